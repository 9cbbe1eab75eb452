"""Queries of a search: drawings from files, and key_ids."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sketchdata.drawings.drawing import Drawing, DrawingBatch, Words, to_batch
from sketchdata.drawings.simplify import simplify
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.files import regular
from sketchdata.formats import svg
from sketchdata.formats.files import GZIP_SUFFIX, gunzip, read_ndjson
from sketchdata.formats.records import made_up_key_id
from sketchdata.photos import image
from sketchdata.storage import parquet
from sketchdata.storage.dataset import Dataset

#: Maximum number of queries in one search.
MAX_QUERIES = 10_000
_BLOCK_BYTES = 1 << 20
_LINE = "#"
_NDJSON = (".ndjson", f".ndjson{GZIP_SUFFIX}")
#: Suffixes of files that are read as pictures; others are recognised by their first bytes.
_PICTURES, _START_BYTES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif", ".tif", ".tiff"), 64
_MAX_KEY_ID = 2**64 - 1
_KINDS = (
    "a key_id, or a file: .ndjson (one line of it: FILE.ndjson#3), .svg, .png, .jpg, .webp, .gif, .bmp, .avif or .tif"
)


@dataclass(frozen=True, kw_only=True)
class Query:
    """One query.

    Attributes:
        name: Displayed name: a file's name, with the line if it has several, or a key_id.
        drawing: The simplified drawing; None for a key_id that has not been looked up.
        key_id: The key_id; None for drawings without one.
        row: The row of the key_id in the index, or None.
        word: The class; None if unknown.
    """

    name: str
    drawing: Drawing | None = None
    key_id: int | None = None
    row: int | None = None
    word: str | None = None


def parse_key_id(text: str) -> int | None:
    """Return the key_id of a query; None for a file.

    Raises:
        ConfigError: The number is too large for a key_id.
    """
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > len(str(_MAX_KEY_ID)) or int(text) > _MAX_KEY_ID:
        raise ConfigError(f"{text[:40]} is not a key_id, which is at most {_MAX_KEY_ID}")
    return int(text)


def read_queries(text: str) -> list[Query]:
    """Read the drawings of a file: `FILE.ndjson`, `FILE.ndjson#LINE` with lines from 1, `FILE.svg` or a picture.

    Raw drawings, pictures and strokes of other programs are simplified, so that all queries have the form of the
    training drawings.

    Raises:
        ConfigError: The file or line does not exist, or has another format.
        SketchDataError: The file is damaged, too large or empty, or refers to external data.
    """
    path, line = _place(text)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ConfigError(f"{text} is not a file; a query is {_KINDS}")
    try:
        if path.name.lower().endswith(_NDJSON):
            return _read_lines(path, line)
        if suffix == ".svg":
            return [read_svg(_content(path, svg.MAX_BYTES), path.name)]
        with path.open("rb") as file:
            is_picture = suffix in _PICTURES or image.sniff(file.read(_START_BYTES)) is not None
        if is_picture:
            drawing = image.trace_picture(_content(path, image.DEFAULT_LIMITS.bytes))
            return [Query(name=path.name, drawing=drawing)]
    except FormatError as error:
        raise SketchDataError(f"{path}: {error}") from error
    raise ConfigError(f"{path} cannot be searched for; a query is {_KINDS}")


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A file without a query, and the reason."""

    name: str
    reason: str


def read_each(
    texts: Sequence[str], read: Callable[[str], list[Query]] = read_queries
) -> tuple[list[Query], tuple[Unreadable, ...]]:
    """Read key_ids and files, skipping unreadable files unless all are.

    Args:
        texts: The queries.
        read: Function that reads one query.

    Raises:
        ConfigError: A key_id is too large or unknown.
        SketchDataError: No file can be read.
    """
    queries, unreadable = list[Query](), list[Unreadable]()
    for text in texts:
        try:
            queries += read(text)
        except SketchDataError as error:
            if len(texts) == 1 or parse_key_id(text) is not None:
                raise
            unreadable.append(Unreadable(name=text, reason=str(error)))
    if not queries:
        raise SketchDataError(
            "\n".join([f"none of {len(texts):,} files can be read:", *(u.reason for u in unreadable)])
        )
    return queries, tuple(unreadable)


def _place(text: str) -> tuple[Path, int | None]:
    name, mark, line = text.rpartition(_LINE)
    if not mark or not name.lower().endswith(_NDJSON):
        return Path(text), None
    if not (line.isascii() and line.isdigit() and int(line[:9]) > 0):
        raise ConfigError(f"{text}: after {_LINE} comes the number of a line, from 1")
    return Path(name), int(line[:9])


def _read_lines(path: Path, line: int | None) -> list[Query]:
    words = Words()
    wanted = None if line is None else line - 1
    drawings = itertools.islice(_drawings(path, words), wanted, MAX_QUERIES + 1 if wanted is None else line)
    names = itertools.count(1) if line is None else iter([line])
    found = [
        Query(name=f"{path.name}{_LINE}{number}", drawing=drawing, key_id=drawing.key_id, word=drawing.word)
        for number, drawing in zip(names, drawings, strict=False)
    ]
    if not found:
        raise ConfigError(f"{path} has no {'drawings' if line is None else f'line {line:,}'}")
    if len(found) > MAX_QUERIES:
        raise ConfigError(f"{path} has more than {MAX_QUERIES:,} drawings: name a line of it, as in {path}{_LINE}3")
    return found


def _drawings(path: Path, words: Words) -> Iterator[Drawing]:
    with regular(path).open("rb") as file:
        stored = iter(lambda: file.read(_BLOCK_BYTES), b"")
        blocks = gunzip(stored, str(path)) if path.name.lower().endswith(GZIP_SUFFIX) else stored
        for portion in read_ndjson(blocks, words, None):
            if portion.faults:
                fault = portion.faults[0]
                raise FormatError(fault.reason, f"{fault.detail or 'a line'} at {fault.where}")
            yield from _simplified(portion.batch).drawings(words.names)


def _simplified(batch: DrawingBatch) -> DrawingBatch:
    return simplify(batch) if batch.is_raw else batch


def _content(path: Path, limit: int) -> bytes:
    if path.stat().st_size > limit:
        raise FormatError("file too large", f"{path.stat().st_size:,} bytes, more than {limit:,}")
    return regular(path).read_bytes()


def read_svg(content: bytes, name: str) -> Query:
    """Read the drawing of an SVG document; `name` is for messages.

    Raises:
        FormatError: The document does not have a drawing, see `formats.svg.load`.
    """
    word = None
    try:
        drawing = svg.load(content)
        word = drawing.word
    except FormatError as error:
        if error.reason != "no word":
            raise
        # The class may be unknown.
        drawing = svg.load(content, word="?")
    known = drawing.key_id != made_up_key_id(drawing.strokes, drawing.word, 0)
    raw = drawing.strokes[0].shape[1] == 3
    # Flattened curves of other programs have far more points than a simplified drawing.
    if raw or not known:
        words = Words()
        (drawing,) = simplify(to_batch([drawing], words)).drawings(words.names)
    return Query(name=name, drawing=drawing, key_id=drawing.key_id if known else None, word=word)


def find_drawings(dataset: Dataset, key_ids: Collection[int], first: Sequence[str] = ()) -> dict[int, Drawing]:
    """Look up drawings by key_id; of most of the data set, only the key_ids are read.

    Args:
        dataset: A built data set.
        key_ids: Key_ids of the drawings.
        first: Splits to search before the others.

    Returns:
        {key_id: simplified drawing}, without missing ones.

    Raises:
        SketchDataError: A shard is missing or cannot be read.
    """
    manifest, found, missing = dataset.manifest, dict[int, Drawing](), set(key_ids)
    for split in sorted(manifest.counts, key=lambda name: name not in first):
        for shard in manifest.shards(split):
            if not missing:
                return found
            path, wanted = dataset.directory / shard.path, np.array(sorted(missing), np.uint64)
            columns = [table.column("key_id").to_numpy() for table in parquet.read_row_groups(path, ["key_id"])]
            rows = np.flatnonzero(np.isin(np.concatenate([np.empty(0, np.uint64), *columns]), wanted))
            if len(rows):
                batch = _simplified(parquet.read_shard(path).take(rows))
                found |= {drawing.key_id: drawing for drawing in batch.drawings(manifest.classes)}
            missing -= found.keys()
    return found
