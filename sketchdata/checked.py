"""A record of the files in a folder that were hashed before, so that 24 GB are not hashed again on every call."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

import orjson

from sketchdata.errors import FormatError
from sketchdata.gzipped import gunzip
from sketchdata.manifest import hash_file, replacing

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A file as it was when it was hashed; `content_md5` is of what a .gz holds, and else equal to `md5`."""

    bytes: int
    mtime_ns: int
    md5: str
    content_md5: str


class CheckedFiles:
    """The record of one folder, kept in `.sketchdata/checked.json` as {path: [bytes, mtime_ns, md5, content md5]}.

    An entry counts only as long as the file's size and time are those of the entry. A record that cannot be read is an
    empty one: the files are then hashed again. Safe to use from several threads.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / ".sketchdata" / "checked.json"
        self._lock = threading.Lock()
        self._entries = _read(self.path)

    def recorded(self, name: str) -> Checked | None:
        """Return a file's hashes from the record; None when it has none of the file as it is now."""
        entry, file = self._entries.get(name), self.root / name
        if entry is None or not file.is_file():
            return None
        status = file.stat()
        return entry if (entry.bytes, entry.mtime_ns) == (status.st_size, status.st_mtime_ns) else None

    def look(self, name: str) -> Checked | None:
        """Return a file's hashes, from the record or by reading it; None when it is not there or is a damaged .gz."""
        file = self.root / name
        if not file.is_file():
            return None
        entry = self.recorded(name)
        if entry is not None:
            return entry
        try:
            md5 = hash_file(file, "md5")
            return self.add(name, md5, hash_content(file) if name.endswith(".gz") else md5)
        except FormatError:
            return None

    def add(self, name: str, md5: str, content_md5: str) -> Checked:
        """Record a file that was just hashed."""
        status = (self.root / name).stat()
        entry = Checked(bytes=status.st_size, mtime_ns=status.st_mtime_ns, md5=md5, content_md5=content_md5)
        with self._lock:
            self._entries[name] = entry
            rows = {path: [e.bytes, e.mtime_ns, e.md5, e.content_md5] for path, e in sorted(self._entries.items())}
            with replacing(self.path) as file:
                file.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return entry


def hash_content(path: Path) -> str:
    """Return the md5 of what a .gz holds.

    Raises:
        FormatError: It is damaged or ends early.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        for piece in gunzip(iter(lambda: file.read(_BLOCK_BYTES), b""), str(path)):
            digest.update(piece)
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Checked]:
    try:
        rows = orjson.loads(path.read_bytes())
        return {
            name: Checked(bytes=size, mtime_ns=mtime_ns, md5=md5, content_md5=content_md5)
            for name, (size, mtime_ns, md5, content_md5) in rows.items()
        }
    except (OSError, orjson.JSONDecodeError, ValueError, TypeError, AttributeError):
        return {}
