"""A real web server on the loopback interface that hands out photos, and misbehaves path by path as the web does.

    with PhotoServer() as server:
        server.answer("/busy.jpg", status=503, retry_after="1", times=1)
        server.robots = "User-agent: *\nDisallow: /private/"
        ...  # give server.url("/cat.jpg") to the code under test
        assert server.paths() == ["/robots.txt", "/cat.jpg"]

Every path without an answer of its own that ends in .jpg is a photo: a small JPEG that is different for each path, and
always the same for one (`photo_of`). Anything else is not there. robots.txt allows everything.
"""

from __future__ import annotations

import functools
import io
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from sketchdata.photos.crawl.outcomes import OutcomeLog, PhotoOutcome

_PIECE = 4 << 10


@functools.cache
def photo_of(path: str, side: int = 64) -> bytes:
    """Return the JPEG of a path: a smooth pattern, so that perceptual hashes mean something."""
    randomness = np.random.default_rng(zlib.crc32(path.encode()))
    blots = Image.fromarray(randomness.integers(0, 256, (5, 5, 3), np.uint8))
    return encoded(blots.resize((side, side), Image.Resampling.BICUBIC), "JPEG")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return a picture as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read_outcomes(folder: Path) -> dict[str, PhotoOutcome]:
    """Return the latest outcome of every URL in a collection's log."""
    return {outcome.url: outcome for outcome in OutcomeLog(folder).read()}


@dataclass(kw_only=True)
class Answer:
    """What a path is answered with; the fields combine.

    Attributes:
        times: How many requests get this answer before the path is itself again; None for all of them.
        status: The status; with another than 200 the body is a word or two.
        body: The body; by default the path's photo.
        content_type: Its type.
        headers: Further headers.
        retry_after: The header of that name.
        redirect: Answer 302 to this address.
        length: Announce this Content-Length instead of the right one; None is the right one, -1 none at all.
        chunked: Send the body in chunks.
        cut_after: Close the connection after this many bytes of the body.
        endless: Send the body again and again.
        silent: Take the request and never answer.
        hang_up: Close the connection without an answer.
        rate: Send no faster than this many bytes per second.
    """

    times: int | None = None
    status: int = 200
    body: bytes | None = None
    content_type: str = "image/jpeg"
    headers: tuple[tuple[str, str], ...] = ()
    retry_after: str | None = None
    redirect: str | None = None
    length: int | None = None
    chunked: bool = False
    cut_after: int | None = None
    endless: bool = False
    silent: bool = False
    hang_up: bool = False
    rate: int | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it came in, and when, by time.monotonic()."""

    path: str
    headers: dict[str, str]
    moment: float


class PhotoServer:
    """Serve photos at `url(path)` while the `with` block runs.

    Args:
        host: The address to listen at: 127.0.0.1, another one of 127.0.0.0/8, or ::1.
        certificate: A PEM file with certificate and key, to serve https.

    Attributes:
        robots: The text of robots.txt; None for none. `answer("/robots.txt", …)` goes before it.
        requests: Every request so far, robots.txt among them.
        sent: Bytes of bodies handed to the network so far, by path.
        most_at_once: The most requests that were under way at one moment.
    """

    def __init__(self, host: str = "127.0.0.1", *, certificate: str | None = None) -> None:
        self.robots: str | None = "User-agent: *\nDisallow:\n"
        self.requests: list[Asked] = []
        self.sent: dict[str, int] = {}
        self.most_at_once = 0
        self.stopped = threading.Event()
        self._at_once = 0
        self._answers: dict[str, list[Answer]] = {}
        self._lock = threading.Lock()
        self._scheme = "http" if certificate is None else "https"
        self._host = f"[{host}]" if ":" in host else host
        self._server = (_Server6 if ":" in host else _Server)((host, 0), _Handler)
        self._server.photos = self
        self.port = self._server.server_port
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> PhotoServer:
        # The short poll lets shutdown() return at once.
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str, host: str | None = None) -> str:
        """Return the address of a path, by the server's own or another name of its host."""
        return f"{self._scheme}://{host or self._host}:{self.port}{path}"

    def answer(self, path: str, **fields: Any) -> str:
        """Add an answer to a path, after those it has, and return its URL; see `Answer` for the fields."""
        with self._lock:
            self._answers.setdefault(path, []).append(Answer(**fields))
        return self.url(path)

    def heal(self) -> None:
        """Forget all answers and requests."""
        with self._lock:
            self._answers.clear()
            self.requests.clear()

    def paths(self) -> list[str]:
        """Return the paths asked for so far, in order, robots.txt among them."""
        return [asked.path for asked in self.requests]

    def photos_asked(self) -> list[str]:
        """Return the paths asked for so far, in order, without robots.txt and tdmrep.json."""
        return [path for path in self.paths() if path not in ("/robots.txt", "/.well-known/tdmrep.json")]

    def moments(self, path: str) -> list[float]:
        """Return when a path was asked for, by time.monotonic()."""
        return [asked.moment for asked in self.requests if asked.path == path]

    def begin(self, asked: Asked) -> Answer:
        """Record a request, and use up one time of the first answer that its path has left."""
        with self._lock:
            self.requests.append(asked)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            for answer in self._answers.get(asked.path, []):
                if answer.times != 0:
                    answer.times = None if answer.times is None else answer.times - 1
                    return answer
        return self._usual_answer(asked.path)

    def end(self) -> None:
        """Record that a request has got its answer."""
        with self._lock:
            self._at_once -= 1

    def count(self, path: str, sent: int) -> None:
        """Record bytes of a body."""
        with self._lock:
            self.sent[path] = self.sent.get(path, 0) + sent

    def _usual_answer(self, path: str) -> Answer:
        if path == "/robots.txt" and self.robots is not None:
            return Answer(body=self.robots.encode(), content_type="text/plain")
        if path.partition("?")[0].endswith(".jpg"):
            return Answer(body=photo_of(path))
        return Answer(status=404)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    photos: PhotoServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: that a client hangs up is what the tests are about."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body go out by two writes, the second of which would wait for the client's delayed acknowledgement.
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean; requests are recorded in `PhotoServer.requests`."""

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        photos = self.server.photos
        answer = photos.begin(Asked(path=self.path, headers=headers, moment=time.monotonic()))
        try:
            self._give(answer)
        finally:
            photos.end()

    def _give(self, answer: Answer) -> None:
        if answer.silent:
            self.server.photos.stopped.wait(60)
        if answer.silent or answer.hang_up:
            self.close_connection = True
            return
        body = answer.body
        if body is None:
            body = (
                photo_of(self.path) if answer.status == 200 and not answer.redirect else f"{answer.status}\n".encode()
            )
        self._send_headers(answer, len(body))
        self._send_body(answer, body)

    def _send_headers(self, answer: Answer, length: int) -> None:
        self.send_response(302 if answer.redirect else answer.status)
        for name, value in (
            ("Content-Type", answer.content_type),
            ("Location", answer.redirect),
            ("Retry-After", answer.retry_after),
            *answer.headers,
        ):
            if value is not None:
                self.send_header(name, value)
        announced = length if answer.length is None else answer.length
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif announced >= 0:
            self.send_header("Content-Length", str(announced))
        if announced != length or answer.endless or answer.cut_after is not None:
            self.close_connection = True
        self.end_headers()

    def _send_body(self, answer: Answer, body: bytes) -> None:
        for piece in _pieces(body[: answer.cut_after], answer):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece)
            self.server.photos.count(self.path, len(piece))
            if answer.rate is not None and self.server.photos.stopped.wait(len(piece) / answer.rate):
                return
        if answer.chunked and answer.cut_after is None:
            self.wfile.write(b"0\r\n\r\n")


def _pieces(body: bytes, answer: Answer) -> Iterator[bytes]:
    step = _PIECE if answer.rate is None else max(1, min(_PIECE, answer.rate // 20))
    while True:
        for at in range(0, len(body), step):
            yield body[at : at + step]
        if not answer.endless:
            return
