"""The log of curators' decisions: append-only, one JSON object per line, durable once a decision is acknowledged.

    {"who": "ada", "when": "2024-05-06T07:08:09.123456Z", "key_id": "5891796615823360", "verdict": "drop",
     "reason": "a word", "batch": null}

A decision to relabel has one field more, `"word"`, the drawing's new class.

Several processes may append concurrently. Lines are never changed: a new line changes an earlier decision.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson

from sketchdata.errors import FormatError, SketchDataError
from sketchdata.progress import console

#: `keep` a drawing or an edge map regardless of the audit, `drop` it, `relabel` a drawing, which also keeps it, or
#: `undo` the latest decision about it.
VERDICTS = ("keep", "drop", "relabel", "undo")
#: File name of the log in the folder of a data set's audits.
DECISIONS_FILE = "decisions.jsonl"
MAX_REASON = 500
#: Maximum length of a curator's name and of a batch's identifier, in characters.
MAX_NAME = 200

_FIELDS = {"who", "when", "key_id", "verdict", "reason", "batch"}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One curator's decision on one drawing, or on one edge map.

    Attributes:
        who: The curator.
        key_id: The drawing or edge map, an unsigned 64-bit integer.
        verdict: One of VERDICTS.
        reason: Up to 500 characters; may be empty.
        batch: An identifier that all decisions of one selection share; None for a single decision.
        word: The new class of a drawing to relabel; None for the other verdicts.
        when: UTC, to the microsecond.

    Raises:
        FormatError: A value is invalid.
    """

    who: str
    key_id: int
    verdict: str
    reason: str = ""
    batch: str | None = None
    word: str | None = None
    when: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def __post_init__(self) -> None:
        _check_text("who", self.who, MAX_NAME)
        _check_text("reason", self.reason, MAX_REASON)
        if not self.who.strip():
            raise FormatError("no curator", "`who` must name the curator")
        if self.batch is not None:
            _check_text("batch", self.batch, MAX_NAME)
        if self.verdict not in VERDICTS:
            raise FormatError("unknown verdict", f"{self.verdict!r} is not one of {', '.join(VERDICTS)}")
        if (self.verdict == "relabel") != (self.word not in (None, "")):
            raise FormatError(
                "wrong class",
                f"`word` must name the new class of `relabel`, and is for no other verdict: {self.word!r}",
            )
        if self.word is not None:
            _check_text("word", self.word, MAX_NAME)
        if type(self.key_id) is not int or not 0 <= self.key_id < 2**64:
            raise FormatError("not a key_id", f"{self.key_id!r} is not an integer from 0 to 2^64-1")
        if not isinstance(self.when, datetime) or self.when.utcoffset() != timedelta(0):
            raise FormatError("not a time in UTC", repr(self.when))

    def line(self) -> bytes:
        """Return the decision as a line of the log."""
        values: dict[str, str | None] = {
            "who": self.who,
            "when": f"{self.when.replace(tzinfo=None).isoformat(timespec='microseconds')}Z",
            "key_id": str(self.key_id),
            "verdict": self.verdict,
            "reason": self.reason,
            "batch": self.batch,
        }
        if self.word is not None:
            values["word"] = self.word
        return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)


def parse_key_id(text: object) -> int:
    """Parse a key_id, which JSON has as a string of digits, because large numbers lose precision there.

    Raises:
        FormatError: The value is not a key_id.
    """
    if isinstance(text, str) and text.isascii() and text.isdigit() and str(int(text[:20])) == text:
        return int(text)
    raise FormatError("not a key_id", f"{text!r} is not an integer from 0 to 2^64-1, written as a text of digits")


def in_force(decisions: Iterable[Decision]) -> dict[int, Decision]:
    """Return the decisions in force: {key_id: the decision to keep, drop or relabel it}.

    An `undo` reverts the latest decision on its drawing, by any curator, that is not reverted yet: keep, drop, undo
    gives keep. Without such a decision it has no effect. Drawings without a decision in force are not in the result.
    """
    standing: dict[int, list[Decision]] = {}
    for decision in decisions:
        about = standing.setdefault(decision.key_id, [])
        if decision.verdict != "undo":
            about.append(decision)
        elif about:
            about.pop()
    return {key_id: about[-1] for key_id, about in standing.items() if about}


class DecisionLog:
    """The log of one data set, `DIR/audit/decisions.jsonl`. The file is created by the first decision.

    A crash during a write may leave an incomplete last line. It was never acknowledged: readers ignore it, and the
    next append removes it. Complete lines count, acknowledged or not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content, torn = self._read_whole_lines(0)
        if torn:
            self._say_torn(len(content), torn, "is ignored")

    def append(self, decisions: Sequence[Decision]) -> None:
        """Append decisions; they are on disk when this returns.

        Raises:
            OSError: The write failed, for example because the disk is full; then the log is unchanged.
        """
        lines = b"".join(decision.line() for decision in decisions)
        if not lines:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+", buffering=0) as file, _locked(file, fcntl.LOCK_EX):
            end = self._cut_torn_line(file)
            try:
                # One write(), so that a crash can only leave a prefix of it.
                written = file.write(lines)
                if written != len(lines):
                    raise OSError(
                        f"only {written:,} of {len(lines):,} bytes of {self.path} could be written: is the disk full?"
                    )
                os.fsync(file.fileno())
                if end == 0:
                    # Under the lock: the first decision is acknowledged only after the file's name is durable.
                    _sync_folder(self.path.parent)
            except OSError:
                file.truncate(end)
                raise

    def read(self) -> list[Decision]:
        """Return all decisions in the order in which they were made.

        Raises:
            SketchDataError: A line is not a decision.
        """
        return self.read_from(0)[0]

    def read_from(self, offset: int) -> tuple[list[Decision], int]:
        """Return the decisions after an offset, initially 0, and the offset for the next call.

        Raises:
            SketchDataError: A line is not a decision, or this log did not return the offset.
        """
        content, _ = self._read_whole_lines(offset)
        if not content:
            return [], offset
        with self.path.open("rb") as file:
            before = file.read(offset).count(b"\n")
        return parse(content, self.path, first_line=before + 1), offset + len(content)

    def content(self) -> bytes:
        """Return the current content of the log, for `parse`, without an incomplete last line."""
        return self._read_whole_lines(0)[0]

    def _read_whole_lines(self, offset: int) -> tuple[bytes, int]:
        """Return the complete lines after an offset, and the number of bytes of an incomplete one after them."""
        found = b""
        if self.path.exists():
            # The lock excludes a batch that is being written and may still fail.
            with self.path.open("rb", buffering=0) as file, _locked(file, fcntl.LOCK_SH):
                file.seek(max(offset - 1, 0))
                found = file.read()
        if offset and not found.startswith(b"\n"):
            raise SketchDataError(f"{self.path} has no line that begins at byte {offset:,}: read it from the beginning")
        after = found[1:] if offset else found
        whole = after.rfind(b"\n") + 1
        return after[:whole], len(after) - whole

    def _cut_torn_line(self, file: Any) -> int:
        """Remove an incomplete last line; return the length of the file."""
        end: int = file.seek(0, os.SEEK_END)
        file.seek(max(end - 1, 0))
        if end == 0 or file.read(1) == b"\n":
            return end
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
        self._say_torn(whole, end - whole, "was cut off")
        return int(whole)

    def _say_torn(self, offset: int, length: int, fate: str) -> None:
        what = f"note: {self.path} ends in {length:,} bytes of a torn line, at byte {offset:,}"
        console.print(
            f"{what}: a crash left it there before it was acknowledged, and it {fate}", soft_wrap=True, highlight=False
        )


def parse(content: bytes, path: Path, *, first_line: int = 1) -> list[Decision]:
    """Parse complete lines of the log at `path`; the first one has the line number `first_line`.

    Raises:
        SketchDataError: A line is not a decision; the message gives its number.
    """
    decisions = []
    for number, line in enumerate(content.split(b"\n")[:-1], first_line):
        try:
            values = orjson.loads(line)
            if not isinstance(values, Mapping) or set(values) - {"word"} != _FIELDS:
                raise FormatError("other fields", f"an object of {', '.join(sorted(_FIELDS))} is expected")
            key_id, when = parse_key_id(values["key_id"]), _parse_time(values["when"])
            decisions.append(Decision(**{**values, "key_id": key_id, "when": when}))
        except (orjson.JSONDecodeError, FormatError) as error:
            raise SketchDataError(f"{path}, line {number:,} is not a decision: {error}; fix or remove it") from error
    return decisions


def _parse_time(text: Any) -> datetime:
    try:
        if len(text) == len("2024-05-06T07:08:09.123456Z") and text.endswith("Z"):
            return datetime.fromisoformat(text[:-1]).replace(tzinfo=timezone.utc)
    except (ValueError, TypeError, AttributeError):
        pass
    raise FormatError("not a time", f"{text!r} is not like 2024-05-06T07:08:09.123456Z")


def _check_text(name: str, text: object, longest: int) -> None:
    if not isinstance(text, str):
        raise FormatError(f"{name} is not a text", repr(text))
    if len(text) > longest:
        raise FormatError(f"{name} is too long", f"{len(text):,} characters instead of at most {longest}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormatError(f"{name} is not a text", f"half of a character: {error}") from error


@contextmanager
def _locked(file: Any, kind: int) -> Iterator[None]:
    fcntl.flock(file, kind)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _sync_folder(folder: Path) -> None:
    """Write a folder's entries to disk, so that a new file keeps its name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
