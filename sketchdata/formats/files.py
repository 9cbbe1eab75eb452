"""The table of file formats by name and suffix, with readers and writers of streams of batches.

A reader takes the file's decompressed bytes in blocks of any size and yields portions; a writer takes batches. ndjson,
binary and bitmaps are streamed, so memory does not depend on the file's size; .npz and .svg files are read into memory,
up to a limit.
"""

from __future__ import annotations

import gzip
import re
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path, PurePath
from secrets import token_hex
from typing import Any, BinaryIO, cast

import numpy as np
import orjson

from sketchdata.drawings.drawing import Drawing, DrawingBatch, Parsed, Words, concatenate, empty_batch, to_batch
from sketchdata.errors import ConfigError, FormatError
from sketchdata.files import regular
from sketchdata.formats import binary, kaggle, ndjson, npz, strokes, svg
from sketchdata.formats.records import RecordBlock

GZIP_SUFFIX = ".gz"
#: Far more than any official record; without a limit, a file without line ends would fill the memory.
_MAX_RECORD_BYTES = 1 << 26
#: Drawings per portion of a file that is in memory.
_PORTION = 4096
_BLOCK_BYTES = 1 << 21
_GZIP_MAGIC, _GZIP_LEVEL = b"\x1f\x8b", 6
#: zlib's window size for gzip, and the maximum number of bytes that are decompressed at a time.
_GZIP, _PIECE_BYTES = 16 + zlib.MAX_WBITS, 1 << 20
#: Maximum number of SVG documents per batch.
_TOGETHER = 1000
#: Matches the word at its place in official lines; other lines are parsed.
_OFFICIAL_WORD = re.compile(rb'\{"word": ?"([ !#-\[\]-~]*)"')
_TRUNCATED = "truncated last record"
#: How stroke-3 is scaled to the 0..255 square, for a whole file.
SCALES = {
    "auto": "kept if all coordinates of the file are whole numbers that fit into the square, otherwise scaled",
    "keep": "kept in their units; drawings larger than the square are refused",
    "fit": "scaled so that the larger side of each is 255",
}
_REASONS_SHOWN, _MOST_DETAIL = 3, 160


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A rejected record: its place in the file, such as `byte 1,234` or `train 17`, and the reason."""

    where: str
    reason: str
    detail: str


class FaultCounts:
    """The number of faults per reason; as text, the three most frequent reasons, each with its first place."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.counts = Counter[str]()
        self._first: dict[str, Fault] = {}
        for fault in faults:
            self.add(fault)

    @classmethod
    def of_lines(cls, lines: Iterable[Mapping[str, Any]], counts: Mapping[str, int] | None = None) -> FaultCounts:
        """Count the lines of a rejects.jsonl of any command; `counts` gives the number of faults of a line."""
        found = cls()
        for line in lines:
            place = [line[name] for name in ("source", "file", "photo") if line.get(name)][:1]
            place += [line["where"]] if line.get("where") else []
            place += [f"byte {line['offset']:,}"] if "offset" in line else []
            place += [f"key_id {line['key_id']}"] if "key_id" in line else []
            found.add(Fault(where=", ".join(place), reason=line["reason"], detail=line.get("detail") or ""))
        found.counts = found.counts if counts is None else Counter(counts)
        return found

    @classmethod
    def of_list(cls, path: Path, counts: Mapping[str, int] | None = None) -> FaultCounts:
        """Count the lines of a rejects.jsonl file, see `of_lines`."""
        with path.open("rb") as lines:
            return cls.of_lines(map(orjson.loads, lines), counts)

    def add(self, fault: Fault) -> None:
        """Count a fault."""
        self.counts[fault.reason] += 1
        self._first.setdefault(fault.reason, fault)

    def __str__(self) -> str:
        texts = []
        for reason, count in self.counts.most_common(_REASONS_SHOWN):
            first = self._first[reason]
            detail = f": {first.detail[:_MOST_DETAIL]}" if first.detail else ""
            texts.append(f"{count:,} {reason} ({'' if count == 1 else 'the first at '}{first.where}{detail})")
        more = len(self.counts) - _REASONS_SHOWN
        return "; ".join([*texts, *([f"{more:,} other reasons"] if more > 0 else [])])


@dataclass(frozen=True, kw_only=True)
class Portion:
    """A part of a file's drawings, and the rejected records among them.

    Attributes:
        batch: N drawings.
        faults: The rejected records.
        names: For a folder, the names of the drawings' files without suffix; else empty.
        note: What the reader decided for the whole file, for the user.
    """

    batch: DrawingBatch
    faults: list[Fault] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    note: str | None = None


#: (blocks, words, the category or None) → portions
Reader = Callable[[Iterable[bytes], Words, str | None], Iterator[Portion]]
#: (batches, words, file)
Writer = Callable[[Iterable[DrawingBatch], Words, BinaryIO], None]


@dataclass(frozen=True, kw_only=True)
class FileFormat:
    """One file format.

    Attributes:
        name: The suffix without the dot, and the name for `--from` and `--to`.
        read: The reader; None if the format cannot be read.
        write: The writer of batches to one file; None if the format cannot be written so.
        text: Whether standard input and output are supported.
        names_word: Whether records have their category.
    """

    name: str
    read: Reader | None
    write: Writer | None
    text: bool = False
    names_word: bool = False


# ---- readers ---------------------------------------------------------------------------------------------------------


def read_ndjson(blocks: Iterable[bytes], words: Words, word: str | None) -> Iterator[Portion]:
    """Read official lines of one or many categories, simplified or raw, which the first readable line decides."""

    def bounded() -> Iterator[bytes]:
        open_ = 0
        for block in blocks:
            ended = block.rfind(b"\n") + 1
            open_ = len(block) - ended if ended else open_ + len(block)
            if open_ > _MAX_RECORD_BYTES:
                message = f"more than {_MAX_RECORD_BYTES:,} bytes without a line end: not ndjson"
                raise FormatError("line too long", message)
            yield block

    raw: bool | None = None
    for block in ndjson.scan(bounded()):
        lines = block.records(np.arange(len(block)))
        raw = are_raw(lines) if raw is None else raw
        yield _portion(block, parse_lines(lines, words, word, raw=bool(raw)))


def are_raw(lines: Sequence[bytes]) -> bool | None:
    """Return whether official lines are raw, by the strokes of the first readable line; None without one."""
    for line in lines:
        try:
            columns = len(ndjson.parse_drawing(orjson.loads(line)["drawing"])[0])
        except (orjson.JSONDecodeError, FormatError, KeyError, IndexError, TypeError):
            continue
        if columns in (2, 3):
            return columns == 3
    return None


def parse_lines(lines: Sequence[bytes], words: Words, word: str | None, *, raw: bool) -> Parsed:
    """Parse official lines of any categories, or only of the category `word`, in their order."""
    by_word: dict[str | None, list[int]] = {}
    for row, line in enumerate(lines):
        by_word.setdefault(_word_of(line) if word is None else word, []).append(row)
    parts = []
    for name, rows in by_word.items():
        # A line without a word is rejected by the parser, and must not add a label.
        label = 0 if name is None else words.label(name)
        # With full precision, since simplification needs every digit, and writing then gives the original values.
        some = [lines[row] for row in rows]
        parts.append((rows, ndjson.parse(some, word=name or "", label=label, raw=raw, full_precision=True)))
    if len(parts) == 1:
        return parts[0][1]
    # Restore the order of the records.
    batch = concatenate([empty_batch(raw=raw), *(parsed.batch for _, parsed in parts)])
    good = np.concatenate([np.empty(0, np.int64), *(np.array(rows, np.int64)[parsed.rows] for rows, parsed in parts)])
    faults = [(rows[number], error) for rows, parsed in parts for number, error in parsed.faults]
    order = np.argsort(good)
    return Parsed(batch=batch.take(order), rows=good[order], faults=sorted(faults, key=itemgetter(0)))


def _word_of(line: bytes) -> str | None:
    official = _OFFICIAL_WORD.match(line)
    if official is not None:
        return official[1].decode("ascii")
    try:
        word = orjson.loads(line)["word"]
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
        return None
    return word if isinstance(word, str) else None


def _portion(block: RecordBlock, parsed: Parsed) -> Portion:
    faults = []
    for row, error in parsed.faults:
        truncated = not block.complete and row == len(block) - 1
        place = f"byte {block.position + int(block.starts[row]):,}"
        faults.append(Fault(where=place, reason=_TRUNCATED if truncated else error.reason, detail=error.detail))
    return Portion(batch=parsed.batch, faults=faults)


def read_csv(blocks: Iterable[bytes], words: Words, word: str | None) -> Iterator[Portion]:
    """Read Kaggle's CSV of one or many categories, simplified or raw, which the first readable row decides."""
    rows, first = kaggle.to_lines(blocks, word), 2
    raw: bool | None = None
    while lines := list(islice(rows, _PORTION)):
        raw = are_raw(lines) if raw is None else raw
        parsed = parse_lines(lines, words, word, raw=bool(raw))
        places = [(f"row {first + row:,}", error) for row, error in parsed.faults]
        faults = [Fault(where=place, reason=error.reason, detail=error.detail) for place, error in places]
        yield Portion(batch=parsed.batch, faults=faults)
        first += len(lines)


def read_binary(blocks: Iterable[bytes], words: Words, word: str | None) -> Iterator[Portion]:
    """Read official packed records."""
    name = word or ""
    label = words.label(name)
    for block in binary.scan(blocks):
        yield _portion(block, binary.parse(block.records(np.arange(len(block))), word=name, label=label))


def read_npz(blocks: Iterable[bytes], words: Words, word: str | None, *, scale: str = "auto") -> Iterator[Portion]:
    """Read a sketch-rnn file, split by split, with one scale for the whole file.

    Args:
        blocks: The file.
        words: The class table.
        word: The category.
        scale: A key of SCALES.
    """
    name = word or ""
    label, first = words.label(name), 0
    splits = npz.load(read_whole(blocks, npz.MAX_BYTES))
    keep = all(map(strokes.fit_square, splits.values())) if scale == "auto" else scale == "keep"
    note: str | None = f"drawings are {SCALES['keep' if keep else 'fit']} (--scale {'keep' if keep else 'fit'})"
    for split, arrays in splits.items():
        for start in range(0, len(arrays), _PORTION):
            some = arrays[start : start + _PORTION]
            parsed = strokes.from_stroke3(some, word=name, label=label, first=first + start, keep=keep)
            places = [(f"{split} {start + row:,}", error) for row, error in parsed.faults]
            faults = [Fault(where=place, reason=error.reason, detail=error.detail) for place, error in places]
            yield Portion(batch=parsed.batch, faults=faults, note=note)
            note = None
        first += len(arrays)


def read_svg(blocks: Iterable[bytes], words: Words, word: str | None, *, name: str | int = 0) -> Iterator[Portion]:
    """Read an SVG document as one drawing; `name` distinguishes it from equal documents, see `svg.load`."""
    try:
        drawing = svg.load(read_whole(blocks, svg.MAX_BYTES), word=word, name=name)
    except FormatError as error:
        fault = Fault(where="the document", reason=error.reason, detail=error.detail)
        yield Portion(batch=empty_batch(), faults=[fault])
        return
    yield Portion(batch=to_batch([drawing], words))


def open_file(path: Path) -> BinaryIO:
    """Open a file of drawings.

    Raises:
        ConfigError: The file does not exist.
    """
    try:
        return regular(path).open("rb")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist: give a file of drawings, or a folder of SVG files") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def unpacked_blocks(file: BinaryIO, name: str, advance: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    """Return a file's bytes in blocks, decompressed if they start like gzip.

    Args:
        file: Open for reading.
        name: The file's name, for messages.
        advance: Called with the number of bytes read.
    """

    def stored() -> Iterator[bytes]:
        while block := file.read(_BLOCK_BYTES):
            advance(len(block))
            yield block

    blocks = stored()
    first = next(blocks, b"")
    whole = chain([first], blocks)
    return gunzip(whole, name) if first.startswith(_GZIP_MAGIC) else whole


def gunzip(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Decompress gzip of one or more members (RFC 1952) in blocks of at most 1 MiB; `name` is for messages.

    Raises:
        FormatError: The gzip data is damaged or truncated.
    """
    unpack = zlib.decompressobj(_GZIP)
    try:
        for block in blocks:
            rest = block
            # Between members, and after the last one, gzip allows padding with zeros.
            while rest := rest.lstrip(b"\0") if unpack.eof else rest:
                unpack = zlib.decompressobj(_GZIP) if unpack.eof else unpack
                # Bounded, since 1 MiB of gzip may decompress to 1 GiB.
                piece = unpack.decompress(rest, _PIECE_BYTES)
                rest = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
                if piece:
                    yield piece
        while not unpack.eof and (piece := unpack.decompress(b"", _PIECE_BYTES)):
            yield piece
    except zlib.error as error:
        raise FormatError("damaged gzip", f"{name}: {error}; fetch it again") from error
    if not unpack.eof:
        raise FormatError("truncated gzip", f"{name} ends in the middle of its data; fetch it again")


def read_svg_folder(folder: Path, words: Words, word: str | None) -> Iterator[Portion]:
    """Read the SVG files of a folder in the order of their names; made-up key_ids of equal files differ by the names.

    Raises:
        ConfigError: The folder has no SVG files.
    """
    # Hidden files belong to other programs.
    named = (path for path in folder.iterdir() if path.suffix.lower() == ".svg" and not path.name.startswith("."))
    paths = sorted(path for path in named if path.is_file())
    if not paths:
        below = sorted(path.relative_to(folder) for path in folder.rglob("*.[sS][vV][gG]"))
        there = f": there are {len(below):,} in folders below it, such as {below[0]}" if below else ""
        raise ConfigError(f"{folder} holds no .svg files{there}")
    batches: list[DrawingBatch] = []
    names: list[str] = []
    for path in paths:
        with path.open("rb") as file:
            (portion,) = read_svg(iter(lambda: file.read(_BLOCK_BYTES), b""), words, word, name=path.name)
        if portion.faults:
            yield Portion(
                batch=empty_batch(),
                faults=[Fault(where=path.name, reason=fault.reason, detail=fault.detail) for fault in portion.faults],
            )
            continue
        # Raw and simplified drawings cannot be in one batch.
        if batches and (len(batches) == _TOGETHER or batches[0].is_raw != portion.batch.is_raw):
            yield Portion(batch=concatenate(batches), names=names)
            batches, names = [], []
        batches.append(portion.batch)
        names.append(path.stem)
    if batches:
        yield Portion(batch=concatenate(batches), names=names)


def read_whole(blocks: Iterable[bytes], limit: int) -> bytes:
    """Join a file's blocks.

    Raises:
        FormatError: The file exceeds the size limit.
    """
    pieces, size = [], 0
    for block in blocks:
        size += len(block)
        if size > limit:
            raise FormatError("file too large", f"more than {limit:,} bytes")
        pieces.append(block)
    return b"".join(pieces)


# ---- writers ---------------------------------------------------------------------------------------------------------


def write_ndjson(batches: Iterable[DrawingBatch], words: Words, file: BinaryIO) -> None:
    """Write official lines with the word of each drawing."""
    for batch in batches:
        names = (words.names[label] for label in batch.label.tolist())
        lines = (orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in ndjson.records(batch, names))
        file.write(b"".join(lines))


def write_csv(batches: Iterable[DrawingBatch], words: Words, file: BinaryIO) -> None:
    """Write Kaggle's CSV with the word of each drawing."""
    records = (
        record
        for batch in batches
        for record in ndjson.records(batch, (words.names[label] for label in batch.label.tolist()))
    )
    file.writelines(kaggle.to_rows(records))


def write_binary(batches: Iterable[DrawingBatch], words: Words, file: BinaryIO) -> None:
    """Write official packed records; words and fractions of a second are lost."""
    del words
    for batch in batches:
        file.write(binary.dump(batch))


def write_npz(batches: Iterable[DrawingBatch], words: Words, file: BinaryIO) -> None:
    """Write a sketch-rnn file, divided into train, valid and test in the drawings' order; metadata are lost."""
    del words
    npz.dump(npz.share_out([array for batch in batches for array in strokes.to_stroke3(batch)]), file)


def write_svg(batches: Iterable[DrawingBatch], words: Words, file: BinaryIO) -> None:
    """Write one drawing as an SVG document.

    Raises:
        FormatError: There are several drawings.
    """
    drawings = chain.from_iterable(batch.drawings(words.names) for batch in batches)
    for number, drawing in enumerate(drawings):
        if number:
            raise FormatError("more than one drawing", "an SVG file holds one: give a folder, its name ending in /")
        file.write(svg.dump(drawing))


def write_npy(batches: Iterable[DrawingBatch], words: Words, file: BinaryIO) -> None:
    """Write 28×28 bitmaps by the fast raster; all other data are lost."""
    del words
    # Imported here, because it imports OpenCV.
    from sketchdata.formats import npy

    npy.dump(batches, file)


@contextmanager
def packed_by_name(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Return a stream that writes to a file, compressed if its name ends in .gz; equal content gives equal bytes."""
    if not name.endswith(GZIP_SUFFIX):
        yield file
        return
    with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
        yield cast(BinaryIO, packed)


def write_svg_folder(
    out: Path,
    drawings: Iterable[Drawing],
    *,
    overwrite: bool,
    names: Mapping[int, str] | None = None,
    refuse: Callable[[Drawing, FormatError], None] | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write one SVG file per drawing, first to a temporary folder, from which all files are moved to `out`.

    Args:
        out: The folder, which need not exist.
        drawings: The drawings.
        overwrite: Whether existing files may be replaced.
        names: {key_id: the name of its file without suffix}; the default name is the key_id.
        refuse: Called with the error of a drawing that cannot be written as SVG or has the key_id of another one;
            None to raise the error.
        check: Called when all files are written, before they are moved to the folder.

    Raises:
        ConfigError: The folder already has files with these names.
        FormatError: A drawing cannot be written as SVG, or has the key_id of another one.
    """
    # In the folder if it exists, since `.` and `/` have no name to derive another one from.
    work = (out if out.is_dir() else out.parent) / f".{out.name}.{token_hex(4)}.tmp"
    work.mkdir(parents=True)
    try:
        for drawing in drawings:
            path = work / f"{(names or {}).get(drawing.key_id, drawing.key_id)}.svg"
            try:
                content = svg.dump(drawing)
                if path.exists():
                    raise FormatError("duplicate key_id", "its file would replace that of the drawing before")
                path.write_bytes(content)
            except FormatError as error:
                if refuse is None:
                    raise
                refuse(drawing, error)
        check()
        out.mkdir(parents=True, exist_ok=True)
        paths = list(work.iterdir())
        there = [path.name for path in paths if (out / path.name).exists()]
        if there and not overwrite:
            raise ConfigError(
                f"{out} holds {len(there):,} of these files, {min(there)} among them: overwrite them (--overwrite), or "
                "choose another folder"
            )
        for path in paths:
            path.replace(out / path.name)
    finally:
        shutil.rmtree(work)


FORMATS = {
    found.name: found
    for found in (
        FileFormat(name="ndjson", read=read_ndjson, write=write_ndjson, text=True, names_word=True),
        FileFormat(name="csv", read=read_csv, write=write_csv, text=True, names_word=True),
        FileFormat(name="bin", read=read_binary, write=write_binary),
        FileFormat(name="npz", read=read_npz, write=write_npz),
        FileFormat(name="svg", read=read_svg, write=write_svg, text=True, names_word=True),
        FileFormat(name="npy", read=None, write=write_npy),
    )
}


def format_of(name: str) -> FileFormat:
    """Return the format of a file by the suffix of its name, ignoring `.gz`.

    Raises:
        ConfigError: The format does not exist.
    """
    suffix = PurePath(name.removesuffix(GZIP_SUFFIX)).suffix.lower()
    found = FORMATS.get(suffix.removeprefix("."))
    if found is None:
        known = ", ".join(f".{known}" for known in FORMATS)
        raise ConfigError(f"unknown format of {name}: its suffix should be one of {known}; or name the format")
    return found
