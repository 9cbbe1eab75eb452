"""The outcome of every URL: an append-only log, one JSON object per line, from which a crawl resumes.

A photo's file is complete before its line is written, in one write. So after a crash the log may end with an incomplete
line, which is dropped, but never refers to a missing photo.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import orjson

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.photos.collection import WORK_FOLDER

#: The interface between a crawl and its process: the list of URLs in the work folder; the command to stop; and the exit
#: status for an error that the user must fix, which is the last line of standard error.
TODO_FILE, STOP, FAULT_STATUS = "todo.jsonl", b"stop\n", 3

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoOutcome:
    """The outcome of one URL.

    Attributes:
        url: The requested URL.
        status: `ok`; `failed`, which may succeed later; or `refused`, which is final.
        error: The reason, in a few words so that reasons can be counted: `http 404`, `robots.txt`, `opt-out`, `not a
            photo` …
        detail: What was found for this photo.
        phash: An unsigned 64-bit integer, see `image.perceptual_hash`.
        width: Width in pixels of the upright photo.
        format: JPEG, PNG, WEBP, BMP, GIF, AVIF or TIFF, by content.
        path: Path of the file in the collection: `photos/ab/abcd….jpg`.
        fetched: The day, in UTC.
        http_status: Status of the last response.
        final_url: The URL after redirects, if there were any.
    """

    url: str
    status: str
    error: str | None = None
    detail: str | None = None
    sha256: str | None = None
    phash: int | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    path: str | None = None
    fetched: date
    http_status: int | None = None
    final_url: str | None = None


def format_outcome(outcome: PhotoOutcome) -> bytes:
    """Return an outcome as one line of JSON, without the fields that are None."""
    known = {name: value for name, value in asdict(outcome).items() if value is not None}
    return orjson.dumps(known, option=orjson.OPT_APPEND_NEWLINE)


def parse_outcome(line: bytes) -> PhotoOutcome:
    """Parse a line of `format_outcome`.

    Raises:
        ValueError, KeyError, TypeError: The line is not an outcome.
    """
    values = orjson.loads(line)
    return PhotoOutcome(**{**values, "fetched": date.fromisoformat(values["fetched"])})


def today() -> date:
    """Return the current day in UTC, or the day of SOURCE_DATE_EPOCH, for reproducible runs.

    Source: reproducible-builds.org/specs/source-date-epoch.

    Raises:
        ConfigError: The variable is not a number of seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    try:
        return datetime.fromtimestamp(int(epoch), timezone.utc).date() if epoch else datetime.now(timezone.utc).date()
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(f"SOURCE_DATE_EPOCH = {epoch!r}: expected a number of seconds since 1970") from error


def digest_of(url: str) -> bytes:
    """Return a 16-byte digest of a URL, to keep hundreds of thousands in memory."""
    return hashlib.blake2b(url.encode("utf-8"), digest_size=16).digest()


class OutcomeLog:
    """The log of one collection; the file need not exist. Only one process may write to it at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / WORK_FOLDER / "outcomes.jsonl"

    def size(self) -> int:
        """Return the log's length in bytes, from which `read` can continue."""
        return self.path.stat().st_size if self.path.exists() else 0

    def read(self, start: int = 0) -> Iterator[PhotoOutcome]:
        """Yield the outcomes after a position in the log, the oldest first.

        Raises:
            SketchDataError: A line is not an outcome.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                try:
                    yield parse_outcome(line)
                except (KeyError, TypeError, ValueError) as error:
                    shown = line[:80].decode("utf-8", "replace").strip()
                    raise SketchDataError(
                        f"{self.path}: {shown} is not an outcome ({error}): remove that line, its photo is fetched "
                        "again"
                    ) from error


class OutcomeWriter:
    """Appends outcomes to a log, each by one write, after removing an incomplete last line."""

    def __init__(self, log: OutcomeLog) -> None:
        log.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: Any = log.path.open("ab+", buffering=0)
        end: int = self._file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(end - _BLOCK_BYTES, 0)
            self._file.seek(start)
            newline = self._file.read(end - start).rfind(b"\n")
            end = start if newline < 0 else start + newline + 1
            if newline >= 0:
                break
        self._file.truncate(end)

    def append(self, outcome: PhotoOutcome) -> None:
        """Append an outcome.

        Raises:
            OSError: The write failed or was incomplete, for example because the disk is full.
        """
        line = format_outcome(outcome)
        written = self._file.write(line)
        if written != len(line):
            raise OSError(f"only {written:,} of {len(line):,} bytes of {self._file.name} could be written")

    def close(self) -> None:
        """Flush the log to disk and close it."""
        os.fsync(self._file.fileno())
        self._file.close()
