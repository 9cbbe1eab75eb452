"""Sources of official files: a folder, a URL or a public bucket, with the layout of the official bucket.

A source is cheap to create: a worker process gets the location as text and calls `open_source`.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import quote, quote_plus, urlsplit

import orjson

from sketchdata.errors import ConfigError, FormatError
from sketchdata.formats.files import gunzip
from sketchdata.storage.catalog import BUCKET
from sketchdata.storage.fetch import DEFAULT_POLICY, FetchPolicy, NotFoundError, SourceChangedError, stat, stream
from sketchdata.storage.manifest import hash_file, replacing

#: Default folder of `sketchdata download quickdraw`.
DOWNLOADED = Path("data/quickdraw")

_HEADS_AT_ONCE = 8
_MISSING_SHOWN = 40
_PUBLIC_BUCKETS = "https://storage.googleapis.com"
#: The best block size for scanning records.
_BLOCK_BYTES = 1 << 21


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A file when it was hashed; `content_md5` is of the content of a .gz, otherwise equal to `md5`."""

    bytes: int
    mtime_ns: int
    md5: str
    content_md5: str


class CheckedFiles:
    """The hashes of a folder's files, in `.sketchdata/checked.json`: {path: [bytes, mtime_ns, md5, content md5]}.

    An entry is valid while the file has the same size and modification time. If the record cannot be read, files are
    hashed again. Thread-safe.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / ".sketchdata" / "checked.json"
        self._lock = threading.Lock()
        self._entries: dict[str, Checked] = {}
        try:
            rows = orjson.loads(self.path.read_bytes())
            for name, (size, mtime_ns, md5, content_md5) in rows.items():
                self._entries[name] = Checked(bytes=size, mtime_ns=mtime_ns, md5=md5, content_md5=content_md5)
        except (OSError, orjson.JSONDecodeError, ValueError, TypeError, AttributeError):
            self._entries.clear()

    def recorded(self, name: str) -> Checked | None:
        """Return a file's hashes from the record; None without a valid entry."""
        entry, file = self._entries.get(name), self.root / name
        if entry is None or not file.is_file():
            return None
        status = file.stat()
        return entry if (entry.bytes, entry.mtime_ns) == (status.st_size, status.st_mtime_ns) else None

    def look(self, name: str) -> Checked | None:
        """Return a file's hashes, from the record or by reading it; None if it does not exist or is a damaged .gz."""
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
    """Return the md5 of the content of a .gz file.

    Raises:
        FormatError: The file is damaged or truncated.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        for piece in gunzip(iter(lambda: file.read(_BLOCK_BYTES), b""), str(path)):
            digest.update(piece)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One stored file of a source.

    Attributes:
        path: Its path in the bucket, without `.gz`.
        location: Its path or URL, for messages and for opening it.
        bytes: The stored size; None if the server does not report it.
        md5: md5 of the stored bytes, if the server reports it.
        gzipped: Whether the stored bytes are gzip.
        content_md5: md5 of the decompressed content, if a download recorded it and the file has not changed since.
        identity: Text that identifies the version of the file: size and time of a local file; size, validator and md5
            on a server.
        local: Its path, if it is on this machine.
        validator: The validator with which a server continues the same version.
    """

    path: str
    location: str
    bytes: int | None
    md5: str | None
    gzipped: bool
    identity: str
    local: Path | None = None
    validator: str | None = None
    content_md5: str | None = None

    @property
    def stored_path(self) -> str:
        """The path in the bucket's layout, with `.gz` if it is gzipped."""
        return f"{self.path}.gz" if self.gzipped else self.path


class Source(Protocol):
    """A source of official files."""

    @property
    def location(self) -> str:
        """The argument of `open_source`."""

    def find(self, path: str) -> SourceFile | None:
        """Find a file by its path in the bucket; None if it does not exist."""

    def read(self, file: SourceFile, start: int = 0) -> Iterator[bytes]:
        """Yield the stored bytes from an offset on, in blocks of about 1 MiB; interrupted connections are resumed.

        Raises:
            SourceChangedError: The file has changed since it was found.
            FetchError: The file could not be read.
        """


def open_source(location: str, *, policy: FetchPolicy = DEFAULT_POLICY) -> Source:
    """Return the source at a location: a folder, an http(s) address, or `gs://bucket/prefix` of a public bucket.

    Raises:
        ConfigError: The location is none of these, or the folder does not exist.
    """
    scheme, _, rest = location.partition("://")
    if scheme in ("http", "https") and urlsplit(location).hostname:
        return WebSource(location=location, base=location.rstrip("/"), policy=policy)
    if scheme == "gs" and rest.strip("/"):
        return WebSource(location=location, base=f"{_PUBLIC_BUCKETS}/{rest.strip('/')}", policy=policy)
    if "://" in location:
        raise ConfigError(f"cannot read from {location}: a source is a folder, http(s)://…, or gs://bucket/prefix")
    if not Path(location).is_dir():
        raise ConfigError(f"the source {location} is not a folder: give one that holds full/simplified/NAME.ndjson")
    return FolderSource(location=location)


def location_of(given: str | None) -> str:
    """Return the given location, or by default the downloaded files or else the official bucket."""
    if given is None:
        return str(DOWNLOADED.absolute()) if DOWNLOADED.is_dir() else BUCKET
    return given if "://" in given else str(Path(given).absolute())


def find_files(source: Source, paths: Sequence[str]) -> list[SourceFile]:
    """Find files by their paths in the bucket, in parallel.

    Raises:
        ConfigError: Some are missing; the message names them.
    """
    with ThreadPoolExecutor(_HEADS_AT_ONCE) as pool:
        found = list(pool.map(source.find, paths))
    missing = [path for path, file in zip(paths, found, strict=True) if file is None]
    if missing:
        raise ConfigError(describe_missing(source, missing, len(paths)))
    return [file for file in found if file is not None]


def describe_missing(source: Source, missing: Sequence[str], total: int) -> str:
    """Describe which of `total` files a source lacks, and its expected layout."""
    more = len(missing) - _MISSING_SHOWN
    shown = ", ".join(missing[:_MISSING_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
    return (
        f"{len(missing):,} of {total:,} files are not at {source.location}: {shown}. It should be laid out like the "
        f"official bucket ({source.location.rstrip('/')}/{missing[0]}); --categories asks for fewer"
    )


def read_content(source: Source, file: SourceFile) -> Iterator[bytes]:
    """Yield a file's content, decompressed if it is stored as gzip.

    Raises:
        FormatError: The gzip data is damaged or truncated.
        FetchError: The file could not be read.
    """
    stored = source.read(file)
    return gunzip(stored, file.location) if file.gzipped else stored


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """A folder on this machine: `DIR/full/simplified/x.ndjson`, `DIR/simplified/x.ndjson` or `DIR/x.ndjson`.

    Names that download programs give are also found: `full_simplified_hot%20dog.ndjson`, `hot+dog.ndjson`.
    """

    location: str

    def find(self, path: str) -> SourceFile | None:
        """Look for a file by its path in the bucket, plain before gzipped."""
        root, name = Path(self.location), PurePosixPath(path)
        # Browsers, gsutil and mirrors give downloaded files other names.
        spelled = (path, path.removeprefix("full/"), name.name, path.replace("/", "_"))
        forms = (str, quote, partial(quote_plus, safe="/"), partial(quote, safe=""))
        for place in dict.fromkeys(form(each) for each in spelled for form in forms):
            for suffix in _suffixes(path):
                file = root / (place + suffix)
                if file.is_file():
                    checked, status = CheckedFiles(root).recorded(place + suffix), file.stat()
                    return SourceFile(
                        path=path,
                        location=str(file),
                        bytes=status.st_size,
                        md5=None,
                        gzipped=suffix != "",
                        identity=_identity(status),
                        local=file,
                        validator=_identity(status),
                        content_md5=None if checked is None else checked.content_md5,
                    )
        return None

    def read(self, file: SourceFile, start: int = 0) -> Iterator[bytes]:
        """Yield the stored bytes from an offset on."""
        with Path(file.location).open("rb", buffering=0) as stored:
            if _identity(os.fstat(stored.fileno())) != file.identity:
                raise SourceChangedError(
                    f"{file.location} was replaced by another file: run this again to take the new one"
                )
            stored.seek(start)
            while block := stored.read(_BLOCK_BYTES):
                yield block


@dataclass(frozen=True, kw_only=True)
class WebSource:
    """A web server: `{base}/full/simplified/aircraft%20carrier.ndjson`."""

    location: str
    base: str
    policy: FetchPolicy = DEFAULT_POLICY

    def find(self, path: str) -> SourceFile | None:
        """Ask for a file by its path in the bucket, plain before gzipped."""
        for suffix in _suffixes(path):
            try:
                remote = stat(f"{self.base}/{quote(path + suffix)}", policy=self.policy)
            except NotFoundError:
                continue
            return SourceFile(
                path=path,
                location=remote.url,
                bytes=remote.bytes,
                md5=remote.md5,
                gzipped=suffix != "",
                identity=f"{remote.bytes} {remote.validator} {remote.md5}",
                validator=remote.validator,
            )
        return None

    def read(self, file: SourceFile, start: int = 0) -> Iterator[bytes]:
        """Yield the stored bytes from an offset on."""
        return stream(file.location, start=start, validator=file.validator, policy=self.policy)


def _suffixes(path: str) -> tuple[str, ...]:
    return ("", ".gz") if path.endswith(".ndjson") else ("",)


def _identity(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns}"
