"""What a search is asked with: drawings from files of strangers, and key_ids."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sketchdata.drawings.drawing import Drawing, DrawingBatch, Words, to_batch
from sketchdata.drawings.simplify import simplify
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.formats import svg, tracing
from sketchdata.formats.files import GZIP_SUFFIX, gunzip, read_ndjson
from sketchdata.formats.records import made_up_key_id
from sketchdata.photos import image
from sketchdata.storage import parquet
from sketchdata.storage.dataset import Dataset

#: Of one search, all files together.
MAX_QUERIES = 10_000
_BLOCK_BYTES = 1 << 20
_LINE = "#"
_NDJSON = (".ndjson", f".ndjson{GZIP_SUFFIX}")
_MAX_KEY_ID = 2**64 - 1
_KINDS = "a key_id, or a file: .ndjson (one line of it: FILE.ndjson#3), .svg or .png"


@dataclass(frozen=True, kw_only=True)
class Query:
    """One thing to search for.

    Attributes:
        name: What people call it: a file's name, with the line where it has several, or a key_id.
        drawing: Simplified; None of a key_id whose drawing nobody has looked up.
        key_id: None for drawings that have none.
        row: Its row in the index, of a key_id that is there.
        word: What it shows, None where that is not known.
    """

    name: str
    drawing: Drawing | None = None
    key_id: int | None = None
    row: int | None = None
    word: str | None = None


def parse_key_id(text: str) -> int | None:
    """Return the key_id that a query is; None for what is to be a file.

    Raises:
        ConfigError: It is a number too large for a key_id.
    """
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > len(str(_MAX_KEY_ID)) or int(text) > _MAX_KEY_ID:
        raise ConfigError(f"{text[:40]} is no key_id: they are at most {_MAX_KEY_ID}")
    return int(text)


def read_queries(text: str) -> list[Query]:
    """Read the drawings of a file.

    Raw drawings are simplified first, and so are pictures' and other programs' strokes, so that all queries are like
    the drawings that networks learn from.

    Args:
        text: `FILE.ndjson`, `FILE.ndjson#LINE` with lines from 1, `FILE.svg` or `FILE.png`.

    Raises:
        ConfigError: There is no such file or line, or it is of another kind.
        SketchDataError: It is damaged, too large, holds no drawing, or asks for what is never done.
    """
    path, line = _place(text)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ConfigError(f"{text} is no file; a query is {_KINDS}")
    try:
        if path.name.lower().endswith(_NDJSON):
            return _read_lines(path, line)
        if suffix == ".svg":
            return [_read_svg(path)]
        if suffix == ".png":
            return [_read_picture(path)]
    except FormatError as error:
        raise SketchDataError(f"{path}: {error}") from error
    raise ConfigError(f"{path} is of no kind that can be searched for; a query is {_KINDS}")


def _place(text: str) -> tuple[Path, int | None]:
    name, mark, line = text.rpartition(_LINE)
    if not mark or not name.lower().endswith(_NDJSON):
        return Path(text), None
    if not (line.isascii() and line.isdigit() and int(line[:9]) > 0):
        raise ConfigError(f"{text}: after {_LINE} comes the number of a line, from 1")
    return Path(name), int(line[:9])


# ---- official text ---------------------------------------------------------------------------------------------------


def _read_lines(path: Path, line: int | None) -> list[Query]:
    """Read the lines of official text, or one of them; a line that cannot be read ends it."""
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
    with path.open("rb") as file:
        stored = iter(lambda: file.read(_BLOCK_BYTES), b"")
        blocks = gunzip(stored, str(path)) if path.name.lower().endswith(GZIP_SUFFIX) else stored
        for portion in read_ndjson(blocks, words, None):
            if portion.faults:
                fault = portion.faults[0]
                raise FormatError(fault.reason, f"{fault.detail or 'a line'} at {fault.where}")
            yield from _simplified(portion.batch).drawings(words.names)


def _simplified(batch: DrawingBatch) -> DrawingBatch:
    return simplify(batch) if batch.is_raw else batch


# ---- pictures --------------------------------------------------------------------------------------------------------


def _content(path: Path, limit: int) -> bytes:
    if path.stat().st_size > limit:
        raise FormatError("file too large", f"{path.stat().st_size:,} bytes, and {limit:,} are read at most")
    return path.read_bytes()


def _read_svg(path: Path) -> Query:
    content, word = _content(path, svg.MAX_BYTES), None
    try:
        drawing = svg.load(content)
        word = drawing.word
    except FormatError as error:
        if error.reason != "no word":
            raise
        # What it shows need not be known to search for it.
        drawing = svg.load(content, word="?")
    known = drawing.key_id != made_up_key_id(drawing.strokes, drawing.word, 0)
    raw = drawing.strokes[0].shape[1] == 3
    # Other programs' curves come as far more points than a simplified drawing has.
    drawing = drawing if known and not raw else _resimplified(drawing)
    return Query(name=path.name, drawing=drawing, key_id=drawing.key_id if known else None, word=word)


def _resimplified(drawing: Drawing) -> Drawing:
    words = Words()
    (found,) = simplify(to_batch([drawing], words)).drawings(words.names)
    return found


def _read_picture(path: Path) -> Query:
    limits = image.DEFAULT_LIMITS
    return Query(name=path.name, drawing=tracing.trace(image.decode(_content(path, limits.bytes), limits)))


# ---- drawings of a data set ------------------------------------------------------------------------------------------


def find_drawings(dataset: Dataset, key_ids: Collection[int], first: Sequence[str] = ()) -> dict[int, Drawing]:
    """Look drawings up by their key_ids; of most of the data set, only the key_ids are read.

    Args:
        dataset: A built data set.
        key_ids: Of the drawings wanted.
        first: Splits to look in before the others.

    Returns:
        {key_id: drawing, simplified}, without those that are not there.

    Raises:
        SketchDataError: A shard is missing or cannot be read.
    """
    manifest, found, missing = dataset.manifest, dict[int, Drawing](), set(key_ids)
    for split in sorted(manifest.counts, key=lambda name: name not in first):
        for shard in manifest.shards(split):
            if not missing:
                return found
            batch = _take(dataset.directory / shard.path, missing)
            drawings = [] if batch is None else _simplified(batch).drawings(manifest.classes)
            found |= {drawing.key_id: drawing for drawing in drawings}
            missing -= found.keys()
    return found


def _take(path: Path, key_ids: Collection[int]) -> DrawingBatch | None:
    """Return the drawings with some key_ids from a shard; None where it has none of them."""
    wanted = np.array(sorted(key_ids), np.uint64)
    columns = [table.column("key_id").to_numpy() for table in parquet.read_row_groups(path, ["key_id"])]
    rows = np.flatnonzero(np.isin(np.concatenate([np.empty(0, np.uint64), *columns]), wanted))
    return parquet.read_shard(path).take(rows) if len(rows) else None
