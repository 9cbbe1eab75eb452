"""Tables of text with a header line, row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from sketchdata.errors import FormatError

Row = dict[str, str]


def require_columns(names: Sequence[str], needed: Sequence[Sequence[str]], path: Path) -> None:
    """See to it that of each group of columns one is there, whatever its capitals; `path` is for the message.

    Raises:
        FormatError: One is missing.
    """
    have = {name.strip().lower() for name in names}
    missing = [" or ".join(group) for group in needed if not have & {name.lower() for name in group}]
    if missing:
        found = ", ".join(names)[:200] or "none"
        raise FormatError("missing columns", f"{path} has no column {', no '.join(missing)}; it has {found}")


def read_table(path: Path, *, needed: Sequence[Sequence[str]], delimiter: str = ",") -> Iterator[tuple[int, Row]]:
    """Yield each row's line number and {column in small letters: text}, without columns that the row is too short for.

    Args:
        path: The file, in UTF-8.
        needed: Groups of columns, as for `require_columns`.
        delimiter: What stands between columns.

    Raises:
        FormatError: It cannot be read, a needed column is missing, or its quotes are broken.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, delimiter=delimiter, strict=True)
            require_columns(rows.fieldnames or (), needed, path)
            for row in rows:
                yield (
                    rows.line_num,
                    {name.strip().lower(): text for name, text in row.items() if name and text is not None},
                )
    except csv.Error as error:
        raise FormatError("broken table", f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise FormatError("not UTF-8", f"{path}: {error}") from error
    except OSError as error:
        raise FormatError("unreadable file", f"{path}: {error.strerror}") from error
