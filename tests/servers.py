"""A real web server on the loopback interface that serves a folder as the bucket does, and fails as networks do.

with BucketServer(folder) as server:
    server.fault("full/simplified/star.ndjson", cut_after=1000, times=1)
    ...  # give server.url to the code under test
    assert server.gets() == ["full/simplified/star.ndjson", "full/simplified/star.ndjson"]
    assert server.requests[-1].range == "bytes=1000-"
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

_PIECE = 16 << 10
_INVERTED = bytes(range(255, -1, -1))


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with one path; the fields combine.

    Attributes:
        times: How many requests it hits before it is over; None for all of them.
        method: The requests it hits: GET, HEAD, or None for both.
        status: Answer with this status and no file (503, 429, 404, 403, 405 …).
        retry_after: The Retry-After header sent with it.
        redirect: Answer 302 to this address.
        silent: Take the request and never answer.
        cut_after: Close the connection after this many bytes of the body.
        length: Announce this Content-Length instead of the right one.
        corrupt: Send the body with every byte inverted, under the headers of the right one.
        rate: Send no faster than this many bytes per second.
        ignore_range: Answer 200 with the whole file, whatever range was asked for.
        range_offset: Answer a range request with a part that begins this many bytes too late.
        content: The file has changed: serve these bytes, with their own ETag and hash.
        headers: Further headers.
    """

    times: int | None = None
    method: str | None = "GET"
    status: int | None = None
    retry_after: str | None = None
    redirect: str | None = None
    silent: bool = False
    cut_after: int | None = None
    length: int | None = None
    corrupt: bool = False
    rate: int | None = None
    ignore_range: bool = False
    range_offset: int = 0
    content: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came in; `path` is unquoted and without the leading slash."""

    method: str
    path: str
    range: str | None
    headers: dict[str, str]


class BucketServer:
    """Serve a folder laid out like the bucket at `url` while the `with` block runs.

    Args:
        folder: What to serve; files may appear and change while it runs.
        hashes: Whether to send `x-goog-hash`, as the bucket does.
        validators: Which of ETag (the md5 in quotes) and Last-Modified to send.
    """

    def __init__(
        self, folder: Path, *, hashes: bool = True, validators: tuple[str, ...] = ("ETag", "Last-Modified")
    ) -> None:
        self.folder, self.hashes, self.validators = folder, hashes, validators
        self.requests: list[Request] = []
        self.stopped = threading.Event()
        self._faults: dict[str, list[Fault]] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.bucket = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> BucketServer:
        # The short poll lets shutdown() return at once.
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def fault(self, path: str, **fields: Any) -> None:
        """Add a fault to a path, after those it has; see `Fault` for the fields."""
        with self._lock:
            self._faults.setdefault(path, []).append(Fault(**fields))

    def heal(self) -> None:
        """Forget every fault and every request."""
        with self._lock:
            self._faults.clear()
            self.requests.clear()

    def gets(self) -> list[str]:
        """Return the paths of the GET requests so far, in order."""
        return [request.path for request in self.requests if request.method == "GET"]

    def ranges(self) -> list[str | None]:
        """Return the Range header of each GET request so far, in order."""
        return [request.range for request in self.requests if request.method == "GET"]

    def next_fault(self, request: Request) -> Fault:
        """Record a request and use up one time of the first fault that hits it."""
        with self._lock:
            self.requests.append(request)
            for fault in self._faults.get(request.path, []):
                if fault.method in (None, request.method) and fault.times != 0:
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return Fault()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    bucket: BucketServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: that a client hangs up is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean; requests are recorded in `BucketServer.requests`."""

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def _serve(self) -> None:
        bucket = self.server.bucket
        path = unquote(urlsplit(self.path).path).lstrip("/")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(method=self.command, path=path, range=headers.get("range"), headers=headers)
        fault = bucket.next_fault(request)
        file = bucket.folder / path
        if fault.silent:
            bucket.stopped.wait(60)
            self.close_connection = True
        elif fault.redirect is not None:
            self._refuse(302, ("Location", fault.redirect))
        elif fault.status is not None:
            self._refuse(fault.status, *([("Retry-After", fault.retry_after)] if fault.retry_after else []))
        elif not file.is_file() and fault.content is None:
            self._refuse(404)
        else:
            content = file.read_bytes() if fault.content is None else fault.content
            self._send_file(request, fault, content, file.stat().st_mtime if file.is_file() else time.time())

    def _refuse(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        body = f"{status}\n".encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_file(self, request: Request, fault: Fault, content: bytes, changed: float) -> None:
        versions = self._versions(content, changed)
        start = 0 if fault.ignore_range else _start(request, versions)
        if start and start >= len(content):
            return self._refuse(416, ("Content-Range", f"bytes */{len(content)}"))
        start += fault.range_offset if start else 0
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body) if fault.length is None else fault.length))
        for name, value in [*versions.items(), *fault.headers]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(body.translate(_INVERTED) if fault.corrupt else body, fault)
        return None

    def _versions(self, content: bytes, changed: float) -> dict[str, str]:
        bucket = self.server.bucket
        digest = hashlib.md5(content)
        known = {"ETag": f'"{digest.hexdigest()}"', "Last-Modified": formatdate(changed, usegmt=True)}
        headers = {name: known[name] for name in bucket.validators}
        if bucket.hashes:
            headers["x-goog-hash"] = f"crc32c=AAAAAA==,md5={base64.b64encode(digest.digest()).decode()}"
        return headers

    def _send_body(self, body: bytes, fault: Fault) -> None:
        whole = fault.length is None or fault.length == len(body)
        if fault.cut_after is not None or not whole:
            self.close_connection = True
        for piece in _pieces(body[: fault.cut_after], fault.rate):
            self.wfile.write(piece)
            if fault.rate is not None and self.server.bucket.stopped.wait(len(piece) / fault.rate):
                return


def _start(request: Request, versions: dict[str, str]) -> int:
    """Return the first byte to send: 0 without a range, or when If-Range names another version."""
    asked = re.fullmatch(r"bytes=(\d+)-", request.range or "")
    condition = request.headers.get("if-range")
    if asked is None or (condition is not None and condition not in versions.values()):
        return 0
    return int(asked[1])


def _pieces(body: bytes, rate: int | None) -> Iterator[bytes]:
    step = _PIECE if rate is None else max(1, min(_PIECE, rate // 20))
    return (body[at : at + step] for at in range(0, len(body), step))


def closed_port() -> str:
    """Return an address where nothing listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return f"http://127.0.0.1:{server.server_port}"
