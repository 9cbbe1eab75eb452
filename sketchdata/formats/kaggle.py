"""The CSV of Kaggle's "Quick, Draw! Doodle Recognition": official records with the drawing as JSON in a column.

Columns are countrycode, drawing, key_id, recognized, timestamp and word, in any order; the last three may be absent.
Source: kaggle.com/competitions/quickdraw-doodle-recognition, "Data".
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Mapping

import orjson

from sketchdata.errors import FormatError

COLUMNS = ("countrycode", "drawing", "key_id", "recognized", "timestamp", "word")
_NEEDED = {"drawing", "key_id"}
#: Values of columns that are missing or empty.
_DEFAULTS = {"recognized": "True", "timestamp": "1970-01-01 00:00:00"}
#: Far larger than any drawing.
_MAX_FIELD = 1 << 26


def to_lines(blocks: Iterable[bytes], word: str | None) -> Iterator[bytes]:
    """Convert CSV rows to official JSON lines; `word` is for files without that column.

    Raises:
        FormatError: The file is not such a CSV.
    """
    csv.field_size_limit(_MAX_FIELD)
    reader = csv.DictReader(_text_lines(blocks))
    try:
        if absent := sorted(_NEEDED - set(reader.fieldnames or ())):
            raise FormatError("not a CSV of drawings", f"its first line names no column {' and '.join(absent)}")
        for row in reader:
            yield _line(row, word)
    except (csv.Error, UnicodeDecodeError) as error:
        raise FormatError("not a CSV of drawings", f"row {reader.line_num:,}: {error}") from error


def _text_lines(blocks: Iterable[bytes]) -> Iterator[str]:
    decoder, rest = codecs.getincrementaldecoder("utf-8-sig")(), ""
    for block in blocks:
        *lines, rest = (rest + decoder.decode(block)).split("\n")
        if len(rest) > _MAX_FIELD:
            raise FormatError("not a CSV of drawings", f"more than {_MAX_FIELD:,} characters without a line end")
        yield from (f"{line}\n" for line in lines)
    if rest := rest + decoder.decode(b"", final=True):
        yield rest


def _line(row: Mapping[str, str | None], word: str | None) -> bytes:
    values = _DEFAULTS | {"word": word or ""} | {name: value for name, value in row.items() if value}
    stamp = str(values["timestamp"])
    record = {
        "word": values["word"],
        "countrycode": values.get("countrycode"),
        "timestamp": stamp if stamp.endswith(" UTC") else f"{stamp} UTC",
        "recognized": {"true": True, "false": False}.get(str(values["recognized"]).lower(), values["recognized"]),
        "key_id": values.get("key_id"),
    }
    # A cell that is not JSON gives a line that is not JSON, which the parser rejects.
    return orjson.dumps(record)[:-1] + b',"drawing":' + str(values.get("drawing")).encode() + b"}"


def to_rows(records: Iterable[Mapping[str, object]]) -> Iterator[bytes]:
    """Convert official records to lines of CSV, the header first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        drawing, stamp = orjson.dumps(record["drawing"]).decode(), str(record["timestamp"]).removesuffix(" UTC")
        writer.writerow({**record, "drawing": drawing, "timestamp": stamp})
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()
