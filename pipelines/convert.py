"""Convert drawings between file formats as a stream: read, count refused records, write.

An output file is renamed into place only after it is complete and the share of bad records is within its limit, so
neither an error nor a kill leaves half a file. The same holds for the files of a folder.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

import click
import numpy as np
import orjson

from sketchdata.config import PATH, option
from sketchdata.drawings.drawing import Drawing, DrawingBatch, Parsed, Words, empty_batch, to_batch
from sketchdata.drawings.simplify import simplify_records
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.files import output_file
from sketchdata.formats import npy
from sketchdata.formats.files import (
    FORMATS,
    GZIP_SUFFIX,
    SCALES,
    Fault,
    FaultCounts,
    FileFormat,
    Portion,
    Reader,
    Writer,
    format_of,
    open_file,
    packed_by_name,
    read_npz,
    read_svg_folder,
    read_whole,
    unpacked_blocks,
    write_svg_folder,
)
from sketchdata.photos import image
from sketchdata.progress import byte_bar
from sketchdata.storage.catalog import category_of, manifest_path, read_classes
from sketchdata.storage.manifest import replacing

_START_BYTES = 64
#: Standard input or output.
STANDARD = "-"
_EXAMPLES = 5
RASTERS = ("official", "fast")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options of a conversion."""

    in_format: str | None = option(
        None,
        help="Format of IN. Default: by its suffix.",
        param_decls=["--from"],
        type=click.Choice([*(name for name, known in FORMATS.items() if known.read is not None), "picture"]),
    )
    out_format: str | None = option(
        None, help="Format of OUT. Default: by its suffix.", param_decls=["--to"], type=click.Choice(list(FORMATS))
    )
    word: str | None = option(
        None,
        help="The category, for formats that do not name it; in other formats, drawings of another category are "
        "refused. Default: the file's name, if it is one of the 345 categories.",
        metavar="NAME",
    )
    raster: str | None = option(
        None,
        help="Raster of .npy bitmaps: official, which needs the extra `cairo`, or fast, by OpenCV. Default: official "
        "if cairo is installed.",
        type=click.Choice(RASTERS),
    )
    max_bad_fraction: float = option(
        0.001, help="Fail when a larger share of the records is bad.", type=click.FloatRange(0, 1)
    )
    rejects: Path | None = option(
        None, help="List every refused record in this file, as one JSON object per line.", type=PATH
    )
    simplify: bool = option(False, help="Simplify all drawings as the official simplified ones were.")
    scale: str = option(
        "auto",
        help="How .npz drawings are placed in the 0..255 square. "
        + "; ".join(f"{name}: {meaning}" for name, meaning in SCALES.items())
        + ".",
        type=click.Choice(list(SCALES)),
    )
    overwrite: bool = option(False, help="Replace OUT, or existing files in it.")


@dataclass(kw_only=True)
class Converted:
    """The result of a conversion: drawings, refused records by reason, the first few messages, and notes of the reader.

    A note states a decision about the whole file.
    """

    drawings: int = 0
    notes: list[str] = field(default_factory=list)
    rejects: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


def run(source: str, out: str, config: Config) -> Converted:
    """Convert a file, or a folder of SVG files, and return the counts.

    Args:
        source: A file, a folder of SVG files, or `-` for standard input.
        out: A file, a folder for SVG files (one that exists, or a name that ends in /), or `-` for standard output.
        config: Options of the conversion.

    Raises:
        ConfigError: A format is unknown or does not support this use, or OUT exists.
        FormatError: The file cannot be read, or the drawings cannot be written in the format.
        SketchDataError: No record is good, or too many are bad.
    """
    reading, folder = _reading_format(source, config), _is_folder(out, config)
    writing = FORMATS["svg"] if folder else _writing_format(out, config)
    words, word = Words(), _word(source, reading, writing, config)
    if out != STANDARD and not folder and Path(out).exists() and not config.overwrite:
        raise ConfigError(f"{out} exists: choose another name, or --overwrite it")
    with _Tally(source, config) as tally:
        batches = tally.good(_portions(source, reading, words, word, config))
        batches = tally.simplified(batches) if config.simplify else batches
        if folder:
            _write_folder(Path(out), batches, words, tally)
        else:
            _write_file(out, writing, batches, words, tally)
    return tally.converted


def _reading_format(source: str, config: Config) -> FileFormat:
    if config.in_format is None and source == STANDARD:
        raise ConfigError("standard input has no suffix: name its format, as in --from ndjson")
    if source != STANDARD and Path(source).is_dir():
        if config.in_format not in (None, "svg"):
            raise ConfigError(f"{source} is a folder, and only SVG files are read from one: name a file")
        return FORMATS["svg"]
    if config.in_format == "picture" or (config.in_format is None and _is_picture(source)):
        reading = _PICTURE
    else:
        reading = format_of(source) if config.in_format is None else FORMATS[config.in_format]
    if reading.read is None:
        raise ConfigError(f"{source}: bitmaps cannot be turned back into strokes, so .{reading.name} is only written")
    if config.scale != "auto" and reading.name != "npz":
        raise ConfigError(f"--scale is for .npz files, and {source} is read as .{reading.name}: leave it out")
    if source == STANDARD and not reading.text:
        raise ConfigError(f".{reading.name} is not text: give a file instead of standard input")
    return reading


def _writing_format(out: str, config: Config) -> FileFormat:
    if config.out_format is None and out == STANDARD:
        raise ConfigError("standard output has no suffix: name its format, as in --to ndjson")
    writing = format_of(out) if config.out_format is None else FORMATS[config.out_format]
    if out == STANDARD and not writing.text:
        raise ConfigError(f".{writing.name} is not text: give a file instead of standard output")
    if out.endswith(GZIP_SUFFIX) and writing.name != "ndjson":
        raise ConfigError(f"{out}: only .ndjson is written as {GZIP_SUFFIX}")
    return writing


def _is_folder(out: str, config: Config) -> bool:
    if out == STANDARD or not (out.endswith("/") or Path(out).is_dir()):
        return False
    if config.out_format not in (None, "svg"):
        raise ConfigError(f"{out} is a folder, which only SVG files go into: name a file for .{config.out_format}")
    return True


def _word(source: str, reading: FileFormat, writing: FileFormat, config: Config) -> str | None:
    """Return the category to assign, or to require of drawings that name one; None for any."""
    if config.word is not None or reading.names_word:
        # The category in the records wins over the file name.
        return config.word
    name = category_of(Path(source).name)
    if name in read_classes(manifest_path("quickdraw-categories.txt")):
        return name
    if writing.names_word:
        raise ConfigError(f"{source} does not name its category, and .{writing.name} does: give it with --word")
    return None


def _raster(config: Config) -> npy.Raster:
    """Return the function that draws the bitmaps."""
    if config.raster == "fast":
        return npy.fast_raster
    from sketchdata.drawings.raster_cairo import load_cairo, official_raster

    try:
        load_cairo()
    except ConfigError as error:
        if config.raster == "official":
            raise
        click.echo(f"bitmaps are drawn by the fast raster, which is near the official one: {error}", err=True)
        return npy.fast_raster
    return official_raster


def _portions(source: str, reading: FileFormat, words: Words, word: str | None, config: Config) -> Iterator[Portion]:
    read = partial(read_npz, scale=config.scale) if reading.name == "npz" else cast(Reader, reading.read)
    if source != STANDARD and Path(source).is_dir():
        yield from read_svg_folder(Path(source), words, word)
        return
    with ExitStack() as stack, byte_bar() as bar:
        file, size = cast(BinaryIO, sys.stdin.buffer), None
        if source != STANDARD:
            file = stack.enter_context(open_file(Path(source)))
            size = Path(source).stat().st_size
        shown = bar.add_task("Converting", total=size)
        yield from read(unpacked_blocks(file, source, lambda count: bar.advance(shown, count)), words, word)


def _is_picture(source: str) -> bool:
    if source == STANDARD or not Path(source).is_file():
        return False
    with Path(source).open("rb") as file:
        return image.sniff(file.read(_START_BYTES)) is not None


def _read_picture(blocks: Iterable[bytes], words: Words, word: str | None) -> Iterator[Portion]:
    try:
        drawing = image.trace_picture(read_whole(blocks, image.DEFAULT_LIMITS.bytes), word or "")
    except FormatError as error:
        fault = Fault(where="the picture", reason=error.reason, detail=error.detail)
        yield Portion(batch=empty_batch(), faults=[fault])
        return
    yield Portion(batch=to_batch([drawing], words))


_PICTURE = FileFormat(name="picture", read=_read_picture, write=None)


class _Tally:
    """Counter of good and refused records, which lists refused ones as they occur."""

    def __init__(self, source: str, config: Config) -> None:
        self.source, self.config = source, config
        self.converted, self._reasons = Converted(), FaultCounts()
        self.names: dict[int, str] = {}
        self._list: BinaryIO | None = None

    def __enter__(self) -> _Tally:
        if self.config.rejects is not None:
            # Written in place, since the list is needed most if the conversion fails.
            self._list = output_file(self.config.rejects).open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        if self._list is not None:
            self._list.close()

    def good(self, portions: Iterable[Portion]) -> Iterator[DrawingBatch]:
        """Yield the batches of drawings, and record the faults."""
        for portion in portions:
            self.converted.drawings += len(portion.batch)
            self.converted.notes += [portion.note] if portion.note else []
            self.names.update(zip(portion.batch.key_id.tolist(), portion.names, strict=False))
            for fault in portion.faults:
                self.refuse(fault)
            if len(portion.batch):
                yield portion.batch

    def simplified(self, batches: Iterable[DrawingBatch]) -> Iterator[DrawingBatch]:
        """Yield the batches simplified; drawings that cannot be simplified are refused."""
        for batch in batches:
            parsed = simplify_records(Parsed(batch=batch, rows=np.arange(len(batch)), faults=[]))
            self.converted.drawings -= len(parsed.faults)
            for row, error in parsed.faults:
                self.refuse(Fault(where=f"key_id {batch.key_id[row]}", reason=error.reason, detail=error.detail))
            if len(parsed.batch):
                yield parsed.batch

    def refuse(self, fault: Fault) -> None:
        """Record a refused record."""
        self.converted.rejects[fault.reason] += 1
        self._reasons.add(fault)
        if len(self.converted.examples) < _EXAMPLES:
            detail = f" ({fault.detail})" if fault.detail else ""
            self.converted.examples.append(f"{fault.where}: {fault.reason}{detail}")
        if self._list is not None:
            self._list.write(orjson.dumps(fault, option=orjson.OPT_APPEND_NEWLINE))

    def check(self) -> None:
        """Check that some records are good and not too many are bad.

        Raises:
            SketchDataError: No record is good, or too many are bad.
        """
        good, bad = self.converted.drawings, self.converted.rejects.total()
        if not good + bad:
            raise SketchDataError(f"{self.source} holds no drawings")
        if good and bad <= self.config.max_bad_fraction * (good + bad):
            return
        head = f"{bad:,} of {good + bad:,} records of {self.source} are bad ({bad / (good + bad):.2%}"
        limit = f"; --max-bad-fraction allows {self.config.max_bad_fraction:.2%}" if good else ""
        raise SketchDataError("\n".join([f"{head}{limit}): {self._reasons}; nothing was written", *self.examples()]))

    def examples(self) -> list[str]:
        """Return the first refused records, one per line."""
        return [f"  {example}" for example in self.converted.examples]


def _write_file(out: str, writing: FileFormat, batches: Iterator[DrawingBatch], words: Words, tally: _Tally) -> None:
    # Checked before anything is read, so that a wrong option does not cost an hour.
    raster = _raster(tally.config) if writing.name == "npy" else None
    with _target(out) as file:
        if raster is not None:
            npy.dump(batches, file, raster=raster)
        else:
            cast(Writer, writing.write)(batches, words, file)
        tally.check()


@contextmanager
def _target(out: str) -> Iterator[BinaryIO]:
    if out == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with replacing(Path(out)) as file, packed_by_name(file, out) as packed:
        yield packed


def _write_folder(out: Path, batches: Iterable[DrawingBatch], words: Words, tally: _Tally) -> None:
    def refuse(drawing: Drawing, error: FormatError) -> None:
        tally.converted.drawings -= 1
        tally.refuse(Fault(where=f"key_id {drawing.key_id}", reason=error.reason, detail=error.detail))

    drawings = chain.from_iterable(batch.drawings(words.names) for batch in batches)
    write_svg_folder(
        out, drawings, overwrite=tally.config.overwrite, names=tally.names, refuse=refuse, check=tally.check
    )
