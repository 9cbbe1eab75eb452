"""Scrapy middlewares of the crawler: rate limits, robots.txt, opt-outs, size limits, and error mapping."""

from __future__ import annotations

import asyncio
import functools
import math
import zlib
from collections import Counter
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from OpenSSL import SSL
from protego import Protego
from scrapy import Request, exceptions, signals
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.exceptions import IgnoreRequest, StopDownload
from scrapy.extensions.throttle import AutoThrottle
from scrapy.http.request import NO_CALLBACK
from twisted.internet import error as network

from sketchdata.photos.crawl.opt_outs import (
    Reservations,
    is_reserved,
    opt_out_of_headers,
    reservations_of_tdmrep,
    signals_of_robots,
)
from sketchdata.photos.crawl.options import BOT_NAME
from sketchdata.photos.image import sniff
from sketchdata.storage.fetch import retry_after

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.core.downloader import Slot
    from scrapy.crawler import Crawler
    from scrapy.http import Headers, Response

# Errors: why a photo was not fetched.


class PhotoError(IgnoreRequest):
    """A photo was not fetched; Scrapy neither retries nor logs an IgnoreRequest.

    Args:
        status: `failed` or `refused`.
        reason: A few words, so that equal reasons can be counted.
        detail: What was found.
    """

    def __init__(self, status: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.status, self.reason, self.detail = status, reason, detail[:300]


def failed(reason: str, detail: str = "") -> PhotoError:
    """Return the error of a photo that may be fetched later."""
    return PhotoError("failed", reason, detail)


def refused(reason: str, detail: str = "") -> PhotoError:
    """Return the error of a photo that must not be fetched."""
    return PhotoError("refused", reason, detail)


_FAILURES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((exceptions.DownloadTimeoutError, network.TimeoutError), "timeout"),
    ((exceptions.CannotResolveHostError, network.DNSLookupError), "unknown host"),
    ((exceptions.DownloadConnectionRefusedError, network.ConnectError), "no connection"),
    ((exceptions.ResponseDataLossError, exceptions.DownloadFailedError, network.ConnectionClosed), "connection broken"),
)


def explain(error: BaseException) -> PhotoError:
    """Convert an exception of Scrapy, Twisted or our own to a PhotoError."""
    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, PhotoError):
            return PhotoError(each.status, each.reason, each.detail)
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, exceptions.DownloadCancelledError):
        # Only Scrapy cancels downloads here: when DOWNLOAD_MAXSIZE is declared or reached.
        return refused("too many bytes", str(error) or "more than it announced, and than are accepted")
    if isinstance(error, (exceptions.UnsupportedURLSchemeError, exceptions.NotSupported)):
        return refused("not http", text)
    if any(isinstance(each, SSL.Error) for each in chain):
        return failed("no secure connection", text)
    for kinds, reason in _FAILURES:
        if isinstance(error, kinds):
            return failed(reason, text)
    return failed("broken answer", f"{type(error).__name__}: {text}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes; Twisted has some of them in `reasons`."""
    while error is not None:
        yield error
        for reason in getattr(error, "reasons", None) or ():
            yield from _chain(getattr(reason, "value", reason))
        error = error.__cause__


# The request rate of a host: by its latency, its robots.txt, and its errors.

#: Maximum Retry-After to wait for, in seconds; with a longer one, requests to the host fail for that time.
LONGEST_PAUSE = 120.0
#: Maximum Crawl-delay that is applied, in seconds.
LONGEST_DELAY = 60.0
#: Number of consecutive photos without an answer, each after all retries, after which a host is given up: waiting for
#: its other photos could take days.
MOST_SILENCES = 5


class Pace(AutoThrottle):
    """Scrapy's AutoThrottle, which adapts to a host's latency, with Crawl-delay, Retry-After and pauses after errors.

    It is also a downloader middleware, since it rejects requests to a host during a pause.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._crawl_delays: dict[str, float] = {}
        #: {host: (end of its pause, by time.monotonic(); error of its photos)}.
        self._rests: dict[str, tuple[float, PhotoError]] = {}
        self._silences = Counter[str]()

    def slow_down(self, host: str, seconds: float) -> None:
        """Apply a host's Crawl-delay from now on."""
        self._crawl_delays[host] = min(seconds, LONGEST_DELAY)
        slot = self.crawler.engine.downloader.slots.get(host)
        if slot is not None:
            self._keep_delay(host, slot)

    def process_request(self, request: Request) -> None:
        """Raise a PhotoError during a pause of the host."""
        until, fault = self._rests.get(self.crawler.engine.downloader.get_slot_key(request), (0.0, None))
        if fault is not None and monotonic() < until:
            raise failed(fault.reason, f"{fault.detail}: try again later with --retry-failed")

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Count the consecutive photos without an answer of a host; Scrapy calls this after the last retry."""
        fault = explain(exception)
        if isinstance(exception, IgnoreRequest) or fault.status != "failed":
            return
        host = self.crawler.engine.downloader.get_slot_key(request)
        self._silences[host] += 1
        if self._silences[host] >= MOST_SILENCES:
            detail = f"the host has failed to answer {MOST_SILENCES} times in a row and is given up"
            self._rests[host] = math.inf, failed(fault.reason, detail)

    def _response_downloaded(self, response: Response, request: Request, spider: Spider) -> None:
        super()._response_downloaded(response, request, spider)
        host, slot = self._get_slot(request, spider)
        if host is None or slot is None:
            return
        self._silences.pop(host, None)
        self._keep_delay(host, slot)
        if response.status != 429 and response.status < 500:
            return
        wait = retry_after((response.headers.get("Retry-After") or b"").decode("latin-1")) or 0.0
        if wait > LONGEST_PAUSE:
            detail = f"the host asks to be left alone for {wait:,.0f} seconds"
            self._rests[host] = monotonic() + wait, failed(f"http {response.status}", detail)
            request.meta["dont_retry"] = True
            return
        doubled = self.mindelay * 2 ** request.meta.get("retry_times", 0)
        # The downloader counts the delay from the last request, so it is set to the end of the pause.
        slot.lastseen = max(slot.lastseen, monotonic() + min(max(wait, doubled), LONGEST_PAUSE))

    def _keep_delay(self, host: str, slot: Slot) -> None:
        seconds = self._crawl_delays.get(host, 0.0)
        if seconds > slot.delay:
            slot.delay = seconds
            slot.jitter = 0.0


class PacedHandler(HTTP11DownloadHandler):
    """Scrapy's handler of http and https, which checks for a pause again, after a request has waited in the queue."""

    async def download_request(self, request: Request) -> Response:
        """Send a request, or raise a PhotoError."""
        pace = self._crawler.get_downloader_middleware(Pace)
        if pace is not None:
            pace.process_request(request)
        return await super().download_request(request)


# robots.txt (RFC 9309), requested once per host. Scrapy's middleware parses error pages as rules, and treats a server
# that does not answer like one without rules; by section 2.3.1 of the RFC, a missing robots.txt allows everything, and
# an unreachable one forbids everything.

#: Key in the meta of requests for robots.txt and tdmrep.json.
IS_ROBOTS = "robots"
#: Number of bytes of them that are read. Source: RFC 9309, section 2.5, the required minimum.
MOST_BYTES = 500 << 10


class Robots:
    """A downloader middleware that allows requests by robots.txt, unless it or tdmrep.json reserve the photo."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        # Compressed text, because parsed rules of many thousand hosts would take more than ten times the memory.
        self._answers: dict[str, asyncio.Task[bytes | PhotoError]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Robots:
        """Return the middleware of a crawl; Scrapy calls this."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Raise a PhotoError if a request is forbidden, its photo is reserved, or robots.txt cannot be fetched."""
        if request.meta.get(IS_ROBOTS):
            return
        parts = urlsplit(request.url)
        origin, path = f"{parts.scheme}://{parts.netloc}", f"{parts.path or '/'}{parts.query and f'?{parts.query}'}"
        answer = await self._answer(f"{origin}/robots.txt")
        if isinstance(answer, PhotoError):
            raise PhotoError(answer.status, answer.reason, answer.detail)
        rules, signals = _parse(answer)
        delay = rules.crawl_delay(BOT_NAME)
        pace = self._crawler.get_downloader_middleware(Pace)
        if delay and pace is not None:
            pace.slow_down(parts.hostname or "", float(delay))
        if not rules.can_fetch(request.url, BOT_NAME):
            raise refused("robots.txt", f"{origin}/robots.txt forbids it")
        if is_reserved(signals, path):
            raise refused("opt-out", f"{origin}/robots.txt says by a signal that it is not for training")
        # A server without the file, or with an error, reserves nothing.
        answer = await self._answer(f"{origin}/.well-known/tdmrep.json", dont_retry=True)
        if isinstance(answer, bytes) and is_reserved(_parse_reservations(answer), path):
            raise refused("opt-out", f"{origin}/.well-known/tdmrep.json reserves it")

    async def _answer(self, url: str, **meta: bool) -> bytes | PhotoError:
        if url not in self._answers:
            self._answers[url] = asyncio.ensure_future(self._fetch(url, {IS_ROBOTS: True, **meta}))
        return await asyncio.shield(self._answers[url])

    async def _fetch(self, url: str, meta: dict[str, bool]) -> bytes | PhotoError:
        """Return a file of rules, compressed, or the error of fetching it."""
        request = Request(url, priority=1000, meta=meta, callback=NO_CALLBACK, dont_filter=True)
        try:
            response = await self._crawler.engine.download_async(request)
        except Exception as error:  # noqa: BLE001 - explained, and reported with every photo of the host
            fault = explain(error)
            return PhotoError(fault.status, fault.reason, f"at robots.txt: {fault.detail}")
        if response.status == 429 or response.status >= 500:
            return failed("robots.txt unreachable", f"status {response.status}")
        return zlib.compress(response.body[:MOST_BYTES] if response.status == 200 else b"")


@functools.lru_cache(256)
def _parse(compressed: bytes) -> tuple[Protego, Reservations]:
    # A byte order mark would hide the first line.
    text = zlib.decompress(compressed).decode("utf-8-sig", "ignore")
    return Protego.parse(text), signals_of_robots(text, BOT_NAME)


@functools.lru_cache(256)
def _parse_reservations(compressed: bytes) -> Reservations:
    return reservations_of_tdmrep(zlib.decompress(compressed))


# Limits on responses: downloader middlewares for bodies, decompression and redirects.

#: A body of this size may arrive with the headers in one read (Twisted reads 64 KiB). A shorter body is always read to
#: its end, so that the connection can be reused.
_SHORT = 64 << 10
#: Number of first bytes that identify every format.
_SNIFFED_BYTES = 64
#: Keys of a request's meta.
_START, _READ, _UNWANTED = "start", "read", "unwanted"


class Gate:
    """Stops long responses early: at headers that opt out, and after the first bytes of other files than photos."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Gate:
        """Return the middleware of a crawl; Scrapy calls this."""
        gate = cls()
        crawler.signals.connect(gate.see_headers, signal=signals.headers_received)
        crawler.signals.connect(gate.see_bytes, signal=signals.bytes_received)
        return gate

    def see_headers(self, headers: Headers, body_length: object, request: Request, spider: Spider) -> None:
        """Stop before the body if the headers opt out."""
        unwanted = not request.meta.get(IS_ROBOTS) and _opt_out_of(headers) is not None
        packed = "Content-Encoding" in headers
        request.meta.update({_START: None if packed else b"", _READ: 0, _UNWANTED: unwanted})
        if unwanted and isinstance(body_length, int) and body_length > _SHORT:
            raise StopDownload(fail=False)

    def see_bytes(self, data: bytes, request: Request, spider: Spider) -> None:
        """Stop in a long body if the headers opt out, it is not a photo, or enough of a robots.txt."""
        meta = request.meta
        meta[_READ] += len(data)
        if meta.get(IS_ROBOTS):
            if meta[_READ] > MOST_BYTES:
                raise StopDownload(fail=False)
            return
        if meta[_START] is not None and len(meta[_START]) < _SNIFFED_BYTES:
            meta[_START] += data[:_SNIFFED_BYTES]
        is_other = meta[_START] is not None and sniff(meta[_START]) is None
        if meta[_READ] > _SHORT and (is_other or meta[_UNWANTED]):
            raise StopDownload(fail=False)

    def process_response(self, request: Request, response: Response) -> Response:
        """Raise a PhotoError if the headers opt out."""
        directive = None if request.meta.get(IS_ROBOTS) else _opt_out_of(response.headers)
        if directive is not None and response.status < 400:
            raise refused("opt-out", directive)
        return response


def _opt_out_of(headers: Headers) -> str | None:
    return opt_out_of_headers(lambda name: [value.decode("latin-1") for value in headers.getlist(name)], BOT_NAME)


class Unpacking(HttpCompressionMiddleware):
    """Scrapy's decompression of gzip and so on, with a PhotoError for too many bytes."""

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        """Decompress a response, or raise a PhotoError if it becomes too large."""
        try:
            return super().process_response(request, response)
        except IgnoreRequest as error:
            raise refused("too many bytes", str(error)) from error


class Redirects(RedirectMiddleware):
    """Scrapy's redirects, with a PhotoError for too many. It does not follow redirects to other schemes."""

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        """Follow a redirect, or raise a PhotoError after too many."""
        try:
            return super().process_response(request, response)
        except IgnoreRequest as error:
            raise failed("too many redirects", f"the last one to {response.headers.get('Location')!r}") from error
