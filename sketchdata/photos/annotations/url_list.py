"""Lists of photo URLs with their class and, optionally, box, licence, author, page and title."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from sketchdata.errors import ConfigError, FormatError
from sketchdata.files import regular
from sketchdata.photos.annotations.record import (
    Annotation,
    PixelBox,
    Reading,
    attempt,
    parse_number,
    pixel_box,
    read_table,
    require_columns,
)

#: {value: names of its column, ignoring case}; the first is the name that we write.
LIST_COLUMNS = {
    "url": ("url", "image_url"),
    "class": ("class", "category", "label", "word"),
    "licence": ("licence", "license"),
    "author": ("author", "creator"),
    "page": ("page", "landing_url", "foreign_landing_url"),
    "title": ("title",),
}
_NEEDED = (LIST_COLUMNS["url"], LIST_COLUMNS["class"])
_EDGES = ("x0", "y0", "x1", "y1")

#: (place, {column: value}), or the reason why the row cannot be read.
ListRows = Iterator[tuple[str, Mapping[str, object] | FormatError]]


def read_url_list(path: Path) -> Iterator[Reading]:
    """Yield a list's photos, in its order, in constant memory.

    A box is four columns x0, y0, x1, y1 in pixels, or one column `box` with the four in that order, as a list or
    separated by commas. It is only clipped to the photo's left and top, since the photo has not been fetched.

    Args:
        path: A `.csv`, `.tsv`, `.parquet` or `.jsonl` file.

    Raises:
        ConfigError: The file has another suffix.
        FormatError: The file cannot be read, or is not such a table.
    """
    read_rows = _READERS.get(path.suffix.lower())
    if read_rows is None:
        raise ConfigError(f"{path} is not a list of photos: expected a file in {', '.join(sorted(_READERS))}")
    for place, row in read_rows(path):
        where = f"{path.name}: {place}"
        yield attempt(where, partial(_read_row, row, where))


def _read_row(row: Mapping[str, object] | FormatError, where: str) -> Annotation:
    if isinstance(row, FormatError):
        raise row
    values = {name.strip().lower(): value for name, value in row.items()}
    category = _text(values, "class")
    if category is None:
        raise FormatError("no class", f"expected in a column {' or '.join(LIST_COLUMNS['class'])}")
    return Annotation(
        photo=checked_url(_text(values, "url")),
        category=category,
        box=_read_box(values),
        where=where,
        page=_text(values, "page"),
        author=_text(values, "author"),
        licence=_text(values, "licence"),
        title=_text(values, "title"),
    )


def _text(values: Mapping[str, object], what: str) -> str | None:
    found = (values[column] for column in LIST_COLUMNS[what] if column in values)
    return next((text for value in found if value is not None and (text := str(value).strip())), None)


def checked_url(url: str | None) -> str:
    """Return a photo's URL after checking that it is an http(s) URL without a user name and password.

    Raises:
        FormatError: `no address` or `not a web address`.
    """
    if url is None:
        raise FormatError("no address", f"expected in a column {' or '.join(LIST_COLUMNS['url'])}")
    try:
        parts = urlsplit(url)
        # Accessing the port validates it.
        plain = parts.scheme in ("http", "https") and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:
        plain = False
    if not plain or not url.isprintable() or " " in url:
        raise FormatError("not a web address", f"{url!r:.200} where http://… or https://… was expected")
    return url


def _read_box(values: Mapping[str, object]) -> PixelBox | None:
    numbers: list[object] = [values.get(edge) for edge in _EDGES]
    box = values.get("box")
    if box not in (None, "", []):
        numbers = list(box) if isinstance(box, list) else [*str(box).strip("[]() ").split(",")]
    if all(number in (None, "") for number in numbers):
        return None
    if len(numbers) != 4:
        raise FormatError("no box", f"{box!r:.60} where x0, y0, x1, y1 was expected")
    x0, y0, x1, y1 = map(parse_number, numbers)
    return pixel_box((x0, y0, x1, y1), None)


def _text_rows(path: Path, *, delimiter: str) -> ListRows:
    for line, row in read_table(path, needed=_NEEDED, delimiter=delimiter):
        yield f"line {line}", row


def _parquet_rows(path: Path) -> ListRows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(regular(path)) as file:
            require_columns(file.schema_arrow.names, _NEEDED, path)
            number = 0
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except (pa.ArrowException, OSError) as error:
        raise FormatError("broken Parquet", f"{path}: {error}") from error


def _json_rows(path: Path) -> ListRows:
    try:
        with regular(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"line {number}", _parse_line(line.removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        raise FormatError("unreadable file", f"{path}: {error.strerror}") from error


def _parse_line(line: bytes) -> Mapping[str, object] | FormatError:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return FormatError("broken JSON", f"{error}")
    return row if isinstance(row, dict) else FormatError("broken JSON", f"{row!r:.60} where an object was expected")


_READERS: dict[str, Callable[[Path], ListRows]] = {
    ".csv": partial(_text_rows, delimiter=","),
    ".jsonl": _json_rows,
    ".parquet": _parquet_rows,
    ".tsv": partial(_text_rows, delimiter="\t"),
}
