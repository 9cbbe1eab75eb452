"""Robust HTTP downloads: resumed after interruptions, checked, and written whole or not at all.

`stat` requests a file's metadata, `stream` yields its bytes, `download` writes it to disk, and `receive` does so with
bytes from any source.
"""

from __future__ import annotations

import base64
import email.utils
import fcntl
import functools
import hashlib
import os
import random
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO, Literal

import httpx
import orjson

from sketchdata import __version__
from sketchdata.errors import FetchError
from sketchdata.files import output_file
from sketchdata.storage.manifest import hash_file, replacing

BLOCK_BYTES = 1 << 20

# A block is passed on after this time even if it is not full, so that progress is visible on a slow connection.
_BLOCK_SECONDS = 0.5

_ADVICE = {
    401: "it wants a login: only public files can be fetched",
    403: "it refuses access: public buckets need no login, so check the address",
    404: "it is not there: check the name and the source's layout",
    410: "it is gone: choose another source",
}


class NotFoundError(FetchError):
    """The server says that the file does not exist."""


class CutOffError(FetchError):
    """All retries were interrupted or timed out; the received bytes are valid, and a later run can resume."""


class SourceChangedError(FetchError):
    """The file at the source was replaced by another one while it was being read."""


class _CutError(Exception):
    """One try failed with a temporary error."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True)
class FetchPolicy:
    """Retries and timeouts.

    Attributes:
        tries: Number of consecutive failures, without `progress_bytes` in between, after which to give up.
        progress_bytes: Number of bytes that count as progress.
        pause_seconds: The first pause; it doubles with each failure, and a random part of it is waited (full jitter, so
            that many workers do not retry at the same time).
        longest_pause: The maximum pause.
        longest_retry_after: The maximum Retry-After that is waited for.
        connect_seconds: Timeout of connecting.
        read_seconds: Timeout of reading the next bytes.
        least_rate: Minimum bytes per second; slower connections count as interrupted.
        rate_seconds: Seconds over which the rate is measured.
    """

    tries: int = 5
    progress_bytes: int = 1 << 20
    pause_seconds: float = 0.5
    longest_pause: float = 60.0
    longest_retry_after: float = 120.0
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    least_rate: float = 1024.0
    rate_seconds: float = 30.0


DEFAULT_POLICY = FetchPolicy()


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file's metadata from a server; missing values are None.

    Attributes:
        url: Its URL.
        bytes: Its size.
        md5: Hexadecimal, from `x-goog-hash` or `Content-MD5`.
        validator: A strong ETag, or else Last-Modified, which identifies the version of the file.
    """

    url: str
    bytes: int | None
    md5: str | None
    validator: str | None


def stat(url: str, *, policy: FetchPolicy = DEFAULT_POLICY) -> RemoteFile:
    """Request a file's metadata without its content.

    Raises:
        NotFoundError: The file does not exist.
        FetchError: The server refuses or cannot be reached.
    """
    method, patience = "HEAD", _Patience(url, policy)
    while True:
        try:
            with _answer(method, url, {}, policy) as response:
                if method == "HEAD" and response.status_code in (405, 501):
                    method = "GET"  # without reading the body
                    continue
                _check_status(response, url)
                # For an object that the bucket decompresses while sending, size and hash are of the compressed one.
                unpacked = response.headers.get("x-goog-stored-content-encoding", "identity") != "identity"
                return RemoteFile(
                    url=url,
                    bytes=None if unpacked else _number(response.headers.get("Content-Length")),
                    md5=None if unpacked else _announced_md5(response),
                    validator=_validator(response),
                )
        except _CutError as cut:
            patience.wait(cut)


def stream(
    url: str, *, start: int = 0, validator: str | None = None, policy: FetchPolicy = DEFAULT_POLICY
) -> Iterator[bytes]:
    """Yield a file's bytes from offset `start`, in blocks of at most about 1 MiB, resuming after interruptions.

    `validator` is the requested version, from `stat`; by default, the version of the first response.

    Raises:
        NotFoundError: The file does not exist.
        SourceChangedError: The file is not, or no longer, the requested version.
        CutOffError: All retries were interrupted.
        FetchError: The server refuses, or violates HTTP (RFC 9110, sections 13 to 15).
    """
    position, version, patience = start, _Version(validator=validator), _Patience(url, policy)
    while True:
        headers = {"Range": f"bytes={position}-"} if position else {}
        if position and version.validator:
            headers["If-Range"] = version.validator
        try:
            with _answer("GET", url, headers, policy) as response:
                version = _check_version(response, version, url, position)
                if response.status_code == 416:
                    return  # by _check_version, the file ends exactly here
                for block in _blocks(response, _bytes_to_skip(response, position, url), policy):
                    position += len(block)
                    patience.progress(len(block))
                    yield block
            if version.total is None or position == version.total:
                return
            if position > version.total:
                raise FetchError(f"{_shown(url)}: the server announced {version.total:,} bytes and sent {position:,}")
            raise _CutError(f"the answer ended at byte {position:,} of {version.total:,}")
        except _CutError as cut:
            patience.wait(cut)


def download(
    url: str,
    path: Path,
    *,
    bytes: int | None = None,
    md5: str | None = None,
    policy: FetchPolicy = DEFAULT_POLICY,
    on_bytes: Callable[[int], object] | None = None,
) -> Downloaded:
    """Download a file to disk, whole and checked or not at all; see `receive` for what is kept after a failure.

    Args:
        url: An http or https URL.
        path: The path of the file. An existing file with the right size and md5 is kept.
        bytes: The expected size; by default from the server.
        md5: The expected md5, hexadecimal; by default from the server, if available.
        policy: Retries and timeouts.
        on_bytes: Called with the number of bytes on disk, which decreases when the download restarts.

    Raises:
        FetchError: The download failed, or size or md5 are wrong even after a second download from the start.
    """
    given = Expected(bytes=bytes, md5=md5)
    if md5 is not None and (found := present(path, given)):
        return found
    try:
        return _download(url, path, given, policy, on_bytes)
    except SourceChangedError:
        return _download(url, path, given, policy, on_bytes)


def _download(
    url: str, path: Path, given: Expected, policy: FetchPolicy, on_bytes: Callable[[int], object] | None
) -> Downloaded:
    remote = stat(url, policy=policy)
    expected = Expected(
        bytes=remote.bytes if given.bytes is None else given.bytes,
        md5=given.md5 or remote.md5,
        validator=remote.validator,
    )

    def read(start: int) -> Iterator[bytes]:
        return stream(url, start=start, validator=remote.validator, policy=policy)

    return present(path, expected) or receive(read, path, expected, on_bytes=on_bytes)


@dataclass(frozen=True, kw_only=True)
class _Version:
    """The version of a file: its validator and its full size, if known."""

    validator: str | None = None
    total: int | None = None


class _Patience:
    """Counts consecutive failures and waits between retries."""

    def __init__(self, url: str, policy: FetchPolicy) -> None:
        self.url, self.policy = url, policy
        self.failures, self.bytes = 0, 0

    def progress(self, received: int) -> None:
        self.bytes += received
        if self.bytes >= self.policy.progress_bytes:
            self.failures, self.bytes = 0, 0

    def wait(self, cut: _CutError) -> None:
        self.failures, self.bytes = self.failures + 1, 0
        if self.failures >= self.policy.tries:
            raise CutOffError(
                f"{_shown(self.url)}: gave up after {self.failures} tries without progress; the last one: {cut}. "
                "Check the network and the address; the same command continues from what has arrived"
            ) from cut
        longest = min(self.policy.longest_pause, self.policy.pause_seconds * 2 ** (self.failures - 1))
        pause = random.uniform(0, longest)  # noqa: S311 - a pause is no secret
        time.sleep(max(pause, min(cut.retry_after or 0, self.policy.longest_retry_after)))


@functools.cache
def ssl_context() -> ssl.SSLContext:
    """Return the TLS context with certificates; cached, since loading them takes 20 ms."""
    return httpx.create_ssl_context()


@contextmanager
def _answer(method: str, url: str, headers: dict[str, str], policy: FetchPolicy) -> Iterator[httpx.Response]:
    """Send one request and return the response without reading its body; a temporary error becomes a _CutError."""
    headers = {"User-Agent": f"sketchdata/{__version__}", "Accept-Encoding": "identity", **headers}
    timeout = httpx.Timeout(policy.read_seconds, connect=policy.connect_seconds)
    settings: dict[str, Any] = {"verify": ssl_context(), "timeout": timeout, "follow_redirects": True}
    try:
        with httpx.Client(**settings) as client, client.stream(method, url, headers=headers) as response:
            yield response
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise FetchError(f"{_shown(url)} is, or leads to, an address that is not http or https: {error}") from error
    except httpx.TooManyRedirects as error:
        raise FetchError(f"{_shown(url)} leads in a circle of redirects: check the address") from error
    except httpx.TransportError as error:
        raise _CutError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error


def _check_status(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status in (408, 429) or status >= 500:
        raise _CutError(
            f"status {status} {response.reason_phrase}", retry_after(response.headers.get("Retry-After", ""))
        )
    if status in (404, 410):
        raise NotFoundError(f"{_shown(url)}: status {status}, {_ADVICE[status]}")
    if status not in (200, 206):
        advice = _ADVICE.get(status, "the server does not give the file out: check the address")
        raise FetchError(f"{_shown(url)}: status {status} {response.reason_phrase}, {advice}")
    encoding = response.headers.get("Content-Encoding", "identity")
    # A .gz file is often sent with its compression declared as transport encoding; its bytes are the stored ones.
    if encoding != "identity" and not response.url.path.endswith(".gz"):
        raise FetchError(f"{_shown(url)}: the server sends it compressed ({encoding}), although asked not to")


def retry_after(value: str) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date; None if neither (RFC 9110, section 10.2.3)."""
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def _announced_md5(response: httpx.Response) -> str | None:
    match = re.search(r"\bmd5=([A-Za-z0-9+/]{22}==)", response.headers.get("x-goog-hash", ""))
    encoded = match[1] if match else response.headers.get("Content-MD5", "").strip()
    return base64.b64decode(encoded).hex() if re.fullmatch(r"[A-Za-z0-9+/]{22}==", encoded) else None


def _validator(response: httpx.Response) -> str | None:
    tag: str = response.headers.get("ETag", "")
    changed: str | None = response.headers.get("Last-Modified")
    return tag if tag.startswith('"') else changed


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdecimal() else None


def _check_version(response: httpx.Response, wanted: _Version, url: str, position: int) -> _Version:
    """Compare a response with the known version, and return the updated version."""
    if response.status_code == 416:
        found = _Version(total=_content_range(response)[1])
    else:
        _check_status(response, url)
        partial = response.status_code == 206
        total = _content_range(response)[1] if partial else _number(response.headers.get("Content-Length"))
        found = _Version(validator=_validator(response), total=total)
    changed = _differs(wanted.validator, found.validator) or _differs(wanted.total, found.total)
    ends_elsewhere = found.total != position if response.status_code == 416 else (found.total or position) < position
    if changed or ends_elsewhere:
        raise SourceChangedError(
            f"{_shown(url)} was replaced by another file while it was being read (now {found.validator or 'unnamed'}, "
            f"{found.total} bytes): run this again to take the new one"
        )
    return replace(wanted, validator=wanted.validator or found.validator, total=wanted.total or found.total)


def _differs(wanted: object, found: object) -> bool:
    return wanted is not None and found is not None and wanted != found


def _content_range(response: httpx.Response) -> tuple[int | None, int | None]:
    """Return the first byte and the full size in Content-Range."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    return (_number(match[1]), _number(match[2])) if match else (None, None)


def _bytes_to_skip(response: httpx.Response, position: int, url: str) -> int:
    """Return how many bytes to skip: the ones already received, if the server sends the file from its start."""
    if response.status_code == 200:
        return position
    first = _content_range(response)[0]
    if first != position:
        found = response.headers.get("Content-Range", "no Content-Range")
        raise FetchError(
            f"{_shown(url)}: asked for the bytes from {position} on, the server answered {found}: "
            "it does not follow HTTP: choose another source"
        )
    return 0


def _blocks(response: httpx.Response, skip: int, policy: FetchPolicy) -> Iterator[bytes]:
    """Yield the body in blocks, without its first `skip` bytes; after an interruption, first the received bytes."""
    buffer, born = bytearray(), time.monotonic()
    try:
        for chunk in _watched(response.iter_raw(), policy):
            buffer += chunk[skip:]
            skip -= min(skip, len(chunk))
            if buffer and (len(buffer) >= BLOCK_BYTES or time.monotonic() - born > _BLOCK_SECONDS):
                yield bytes(buffer)
                buffer.clear()
                born = time.monotonic()
    except (httpx.TransportError, _CutError):
        if buffer:
            yield bytes(buffer)
        raise
    if buffer:
        yield bytes(buffer)


def _watched(chunks: Iterator[bytes], policy: FetchPolicy) -> Iterator[bytes]:
    """Treat a connection that is too slow as interrupted; the time of the consumer does not count."""
    seconds, received, begun = 0.0, 0, time.monotonic()
    for chunk in chunks:
        seconds += time.monotonic() - begun
        received += len(chunk)
        if seconds >= policy.rate_seconds:
            if received < policy.least_rate * seconds:
                raise _CutError(f"only {received:,} bytes in {seconds:.0f} s")
            seconds, received = 0.0, 0
        yield chunk
        begun = time.monotonic()


def _shown(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


# ---- files that are written to a .part file, resumed, checked, then renamed ------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The expected properties of a file; None for any."""

    bytes: int | None = None
    md5: str | None = None
    validator: str | None = None

    def fault(self, size: int, md5: str) -> str | None:
        """Describe what is wrong with a file of this size and md5; None if it is as expected."""
        if self.bytes is not None and size != self.bytes:
            return f"expected {self.bytes:,} bytes, found {size:,}"
        if self.md5 is not None and md5 != self.md5:
            return f"expected md5 {self.md5}, found {md5}"
        return None


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """A complete, checked file; `received` is the number of bytes that this call fetched."""

    path: Path
    bytes: int
    md5: str
    status: Literal["downloaded", "resumed", "present"]
    received: int


def present(path: Path, expected: Expected) -> Downloaded | None:
    """Return an existing file if it is as expected; None if it is not, or if nothing is known to check it."""
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
    """Write the bytes of `read(start)` to `{path}.part`, which is renamed to `path` once it is checked.

    A `.part` file is kept only if it can be resumed: after an interruption, a kill or a full disk, if the source's
    version (`{path}.part.json`) or an md5 is known. The next call then continues it.

    Args:
        read: Yields the file's bytes from an offset on.
        path: The target.
        expected: The expected size and md5, and the source's version.
        on_bytes: Called with the number of bytes on disk.
        inspect: Another check of the complete file, which returns what is wrong, or None.

    Raises:
        FetchError: The file is wrong even after a second download from the start (then nothing is kept), or `read`
            failed.
    """
    path = output_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _PartFile(path)
    for _ in range(2):
        outcome = part.fill(read, expected, on_bytes or (lambda _: None), inspect or (lambda _: None))
        if isinstance(outcome, Downloaded):
            return outcome
    raise FetchError(
        f"{path.name}: {outcome}, also when fetched once more from the beginning; nothing was kept. "
        "Either the source has another file or something on the way damages it: try another source"
    )


class _PartFile:
    """The partial file beside its target, and the file with the version of its source."""

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
        """Complete the partial file and rename it to the target, or delete it and return what is wrong."""
        with self.path.open("a+b") as file:
            try:
                # The lock excludes other processes, which may have renamed the file since it was opened.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                ours = self.path.exists() and os.path.samestat(self.path.stat(), os.fstat(file.fileno()))
            except BlockingIOError:
                ours = False
            if not ours:
                raise FetchError(
                    f"{self.target} is being downloaded by another process: wait for it, then run this again"
                )
            start = self._resumable(file, expected)
            try:
                file.truncate(start)
                with replacing(self.note) as note:
                    note.write(orjson.dumps({"validator": expected.validator}))
                size, md5 = _append(file, start, read, expected, on_bytes)
                fault = expected.fault(size, md5) or inspect(self.path)
            except BaseException as error:
                refused = isinstance(error, FetchError) and not isinstance(error, CutOffError)
                known = expected.md5 is not None or expected.validator is not None
                if refused or not known or file.tell() == 0:
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

    def _resumable(self, file: BinaryIO, expected: Expected) -> int:
        size = os.fstat(file.fileno()).st_size
        if expected.bytes is not None and size > expected.bytes:
            return 0
        try:
            noted = orjson.loads(self.note.read_bytes())["validator"]
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            noted = None  # without a readable version file, the version is unknown
        if isinstance(noted, str) and expected.validator is not None:
            return size if noted == expected.validator else 0
        return size if expected.md5 is not None else 0

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
    """Append the missing bytes to a partial file of `start` bytes; return size and md5 of the full file."""
    digest = hashlib.md5(usedforsecurity=False)
    file.seek(0)
    while block := file.read(BLOCK_BYTES):
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
