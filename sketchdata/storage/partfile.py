"""Files that arrive whole or not at all: written beside their place, continued after a break, checked, then renamed."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import orjson

from sketchdata.errors import FetchError
from sketchdata.storage.manifest import hash_file, replacing

_BLOCK_BYTES = 1 << 20


class CutOffError(FetchError):
    """Every try ended in a cut or a time-out; what has arrived is good, and a later run can go on from it."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a file must be to be accepted; None where anything goes."""

    bytes: int | None = None
    md5: str | None = None
    validator: str | None = None

    def fault(self, size: int, md5: str) -> str | None:
        """Say what is wrong with a file of this size and md5, or None when nothing is."""
        if self.bytes is not None and size != self.bytes:
            return f"expected {self.bytes:,} bytes, found {size:,}"
        if self.md5 is not None and md5 != self.md5:
            return f"expected md5 {self.md5}, found {md5}"
        return None


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """A file that is whole and checked; `received` is how many of its bytes this call had to fetch."""

    path: Path
    bytes: int
    md5: str
    status: Literal["downloaded", "resumed", "present"]
    received: int


def present(path: Path, expected: Expected) -> Downloaded | None:
    """Return a file that is already there as expected; None when it is not, or when nothing is known to check it by."""
    if not path.is_file() or (expected.bytes is None and expected.md5 is None):
        return None
    size = path.stat().st_size
    if expected.bytes not in (None, size):
        return None
    md5 = hash_file(path, "md5")
    if expected.fault(size, md5) is not None:
        return None
    return Downloaded(path=path, bytes=size, md5=md5, status="present", received=0)


def receive(
    read: Callable[[int], Iterator[bytes]],
    path: Path,
    expected: Expected,
    *,
    on_bytes: Callable[[int], object] | None = None,
    inspect: Callable[[Path], str | None] | None = None,
) -> Downloaded:
    """Write what `read(start)` yields to `path`, by way of `{path}.part`, which takes its name only when it is right.

    A `.part` stays behind only where going on from it makes sense: after a cut, a kill or a full disk, when the
    source's version is known (`{path}.part.json`) or an md5 will tell. It is then continued by the next call.

    Args:
        read: Yields the file's bytes from an offset on.
        path: The target.
        expected: Size and md5 to insist on, and the source's version.
        on_bytes: Called with the number of bytes on disk.
        inspect: A further check of the finished part: what is wrong with it, or None.

    Raises:
        FetchError: It is wrong even when fetched once more from zero (nothing is left behind), or `read` failed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(path)
    for _ in range(2):
        outcome = part.fill(read, expected, on_bytes or (lambda _: None), inspect or (lambda _: None))
        if isinstance(outcome, Downloaded):
            return outcome
    raise FetchError(
        f"{path.name}: {outcome}, also when fetched once more from the beginning; nothing was kept. "
        "Either the source has another file or something on the way damages it: try another source"
    )


class _Part:
    """The unfinished file beside its target, and the note that says which version of the source it is a part of."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self.note = target.with_name(f"{target.name}.part.json")

    def fill(
        self,
        read: Callable[[int], Iterator[bytes]],
        expected: Expected,
        on_bytes: Callable[[int], object],
        inspect: Callable[[Path], str | None],
    ) -> Downloaded | str:
        """Complete the part and let it become the target; or throw it away and say what is wrong with it."""
        with self.path.open("a+b") as file:
            self._lock(file)
            start = self._resumable(file, expected)
            try:
                file.truncate(start)
                self._write_note(expected)
                size, md5 = _append(file, start, read, expected, on_bytes)
                fault = expected.fault(size, md5) or inspect(self.path)
            except BaseException as error:
                if not self._is_worth_keeping(file, expected, error):
                    self._discard()
                raise
            if fault is not None:
                self._discard()
                return fault
            os.fsync(file.fileno())
            self.path.replace(self.target)
            self.note.unlink(missing_ok=True)
        status: Literal["resumed", "downloaded"] = "resumed" if start else "downloaded"
        return Downloaded(path=self.target, bytes=size, md5=md5, status=status, received=size - start)

    def _lock(self, file: BinaryIO) -> None:
        """Keep a second process off; the part may also have become the target since it was opened."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = self.path.exists() and os.path.samestat(self.path.stat(), os.fstat(file.fileno()))
        except BlockingIOError:
            ours = False
        if not ours:
            raise FetchError(f"{self.target} is being downloaded by another process: wait for it, then run this again")

    def _resumable(self, file: BinaryIO, expected: Expected) -> int:
        """Return how many bytes of the part can be kept."""
        size = os.fstat(file.fileno()).st_size
        if expected.bytes is not None and size > expected.bytes:
            return 0
        noted = self._read_note()
        if noted is not None and expected.validator is not None:
            return size if noted == expected.validator else 0
        return size if expected.md5 is not None else 0

    def _is_worth_keeping(self, file: BinaryIO, expected: Expected, error: BaseException) -> bool:
        refused = isinstance(error, FetchError) and not isinstance(error, CutOffError)
        known = expected.md5 is not None or expected.validator is not None
        return known and not refused and file.tell() > 0

    def _read_note(self) -> str | None:
        try:
            validator = orjson.loads(self.note.read_bytes())["validator"]
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            return None  # a part without a readable note is one of unknown version
        return validator if isinstance(validator, str) else None

    def _write_note(self, expected: Expected) -> None:
        with replacing(self.note) as file:
            file.write(orjson.dumps({"validator": expected.validator}))

    def _discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _append(
    file: BinaryIO,
    start: int,
    read: Callable[[int], Iterator[bytes]],
    expected: Expected,
    on_bytes: Callable[[int], object],
) -> tuple[int, str]:
    """Append to a part of `start` bytes what is missing; return size and md5 of the whole."""
    digest = hashlib.md5(usedforsecurity=False)
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    size = start
    on_bytes(size)
    if start == 0 or start != expected.bytes:
        for block in read(start):
            file.write(block)
            digest.update(block)
            size += len(block)
            on_bytes(size)
    file.flush()
    return size, digest.hexdigest()
