"""What became of every URL: an append-only log, one JSON object a line, which is the truth about a crawl.

A photo's file is whole and has its name before its line is written, and a line is one write. So after a crash the log
may end in a torn line, which is dropped, but never tells of a photo that is not there.
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
from sketchdata.photos.collection.tables import WORK_FOLDER

OUTCOMES_FILE = "outcomes.jsonl"

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one URL.

    Attributes:
        url: As it was asked for.
        status: `ok`; `failed`, which may succeed another time; or `refused`: we must not or will not have it.
        error: Why not, in a few words fit for a table of counts: `http 404`, `robots.txt`, `opt-out`, `not a photo` …
        detail: What was found, for this one.
        sha256: Of the file's bytes, in hexadecimal.
        phash: The perceptual hash, see `photos.perceptual_hash`; an unsigned 64-bit integer.
        bytes: Of the file.
        width: In pixels, upright.
        height: In pixels, upright.
        format: JPEG, PNG, WEBP, BMP or GIF, by content.
        path: Of the file within the collection: `photos/ab/abcd….jpg`.
        fetched: The day, in UTC.
        http_status: Of the last answer.
        final_url: Where redirects led, when they did.
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


def today() -> date:
    """Return the day in UTC, or that of SOURCE_DATE_EPOCH, by which runs can be reproduced.

    Source: reproducible-builds.org/specs/source-date-epoch.

    Raises:
        ConfigError: The variable holds no number of seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    try:
        return datetime.fromtimestamp(int(epoch), timezone.utc).date() if epoch else datetime.now(timezone.utc).date()
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(f"SOURCE_DATE_EPOCH = {epoch!r}: a number of seconds since 1970 is expected") from error


def digest_of(url: str) -> bytes:
    """Return 16 bytes that stand for a URL where hundreds of thousands are to be kept in mind."""
    return hashlib.blake2b(url.encode("utf-8"), digest_size=16).digest()


def read_outcomes(folder: Path) -> dict[str, Outcome]:
    """Return the latest outcome of every URL of a collection; none when there was no crawl.

    Raises:
        SketchDataError: A line of the log is not an outcome.
    """
    return {outcome.url: outcome for outcome in OutcomeLog(folder).read()}


class OutcomeLog:
    """The log of one collection; the file need not exist. One process at a time may write to it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / WORK_FOLDER / OUTCOMES_FILE

    def size(self) -> int:
        """Return the log's length in bytes, a place to read on from."""
        return self.path.stat().st_size if self.path.exists() else 0

    def read(self, start: int = 0) -> Iterator[Outcome]:
        """Yield the outcomes after a place in the log, the oldest first.

        Raises:
            SketchDataError: A line is not an outcome.
        """
        for line in self._whole_lines(start):
            try:
                values = orjson.loads(line)
                yield Outcome(**{**values, "fetched": date.fromisoformat(values["fetched"])})
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                shown = line[:80].decode("utf-8", "replace").strip()
                raise SketchDataError(
                    f"{self.path}: {shown} is not an outcome ({error}): remove that line, its photo is fetched again"
                ) from error

    def _whole_lines(self, start: int) -> Iterator[bytes]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(start)
            for line in file:
                if line.endswith(b"\n"):
                    yield line

    def open(self) -> OutcomeWriter:
        """Open the log for appending; a torn last line is cut off."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return OutcomeWriter(self.path)


class OutcomeWriter:
    """Appends outcomes, each by one write."""

    def __init__(self, path: Path) -> None:
        self._file: Any = path.open("ab+", buffering=0)
        self._file.truncate(_end_of_last_line(self._file))

    def append(self, outcome: Outcome) -> None:
        """Add an outcome.

        Raises:
            OSError: It could not be written whole, for example because the disk is full.
        """
        line = _line(outcome)
        written = self._file.write(line)
        if written != len(line):
            raise OSError(f"only {written:,} of {len(line):,} bytes of {self._file.name} could be written")

    def close(self) -> None:
        """Make what was written durable."""
        os.fsync(self._file.fileno())
        self._file.close()


def _line(outcome: Outcome) -> bytes:
    known = {name: value for name, value in asdict(outcome).items() if value is not None}
    return orjson.dumps(known, option=orjson.OPT_APPEND_NEWLINE)


def _end_of_last_line(file: Any) -> int:
    """Return where the last whole line ends."""
    end: int = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(end - _BLOCK_BYTES, 0)
        file.seek(start)
        found: int = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
