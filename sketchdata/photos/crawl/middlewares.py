"""What the crawler does between Scrapy and the network: pace, robots.txt, opt-outs, limits, and errors in our terms."""

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

# Why a photo was not fetched, in a few words and a status.


class PhotoError(IgnoreRequest):
    """A photo that was not fetched; Scrapy neither retries nor logs an IgnoreRequest.

    Args:
        status: `failed` or `refused`.
        reason: A few words fit for a table of counts.
        detail: What was found.
    """

    def __init__(self, status: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.status, self.reason, self.detail = status, reason, detail[:300]


def failed(reason: str, detail: str = "") -> PhotoError:
    """Return the error of a photo that may be fetched another time."""
    return PhotoError("failed", reason, detail)


def refused(reason: str, detail: str = "") -> PhotoError:
    """Return the error of a photo that may not be fetched, now or later."""
    return PhotoError("refused", reason, detail)


_FAILURES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((exceptions.DownloadTimeoutError, network.TimeoutError), "timeout"),
    ((exceptions.CannotResolveHostError, network.DNSLookupError), "unknown host"),
    ((exceptions.DownloadConnectionRefusedError, network.ConnectError), "no connection"),
    ((exceptions.ResponseDataLossError, exceptions.DownloadFailedError, network.ConnectionClosed), "connection broken"),
)


def explain(error: BaseException) -> PhotoError:
    """Return what an exception of Scrapy or Twisted, or one of our own, means for the photo."""
    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, PhotoError):
            return PhotoError(each.status, each.reason, each.detail)
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, exceptions.DownloadCancelledError):
        # Only Scrapy cancels downloads here: when DOWNLOAD_MAXSIZE is announced or reached.
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
    """Yield an exception and its causes; Twisted keeps some of them in `reasons`."""
    while error is not None:
        yield error
        for reason in getattr(error, "reasons", None) or ():
            yield from _chain(getattr(reason, "value", reason))
        error = error.__cause__


# How fast a host is asked: as slowly as it answers, as its robots.txt says, and as its errors suggest.

#: The longest Retry-After that is waited for; a host that asks for more is left alone for as long.
LONGEST_PAUSE = 120.0
#: The longest Crawl-delay that is kept.
LONGEST_DELAY = 60.0
#: A host that failed to answer so many photos in a row, each after every try, is given up: waiting for its many others
#: could take days.
MOST_SILENCES = 5


class Pace(AutoThrottle):
    """Scrapy's AutoThrottle, which follows a host's latency, with Crawl-delay, Retry-After and pauses after errors.

    It is also a downloader middleware, since it stops requests to a host that must be left alone.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._crawl_delays: dict[str, float] = {}
        #: {host: (until when it is left alone, by time.monotonic(); what its photos fail with)}.
        self._rests: dict[str, tuple[float, PhotoError]] = {}
        self._silences = Counter[str]()

    def slow_down(self, host: str, seconds: float) -> None:
        """Keep a host's Crawl-delay from now on."""
        self._crawl_delays[host] = min(seconds, LONGEST_DELAY)
        slot = self.crawler.engine.downloader.slots.get(host)
        if slot is not None:
            self._keep_delay(host, slot)

    def process_request(self, request: Request) -> None:
        """Raise a PhotoError when the host must be left alone."""
        until, fault = self._rests.get(self.crawler.engine.downloader.get_slot_key(request), (0.0, None))
        if fault is not None and monotonic() < until:
            raise failed(fault.reason, f"{fault.detail}: try again later with --retry-failed")

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Count the photos in a row that a host has not answered; Scrapy calls this after the last try of each."""
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
        # As if the last request were sent only then: the downloader counts the delay from there.
        slot.lastseen = max(slot.lastseen, monotonic() + min(max(wait, doubled), LONGEST_PAUSE))

    def _keep_delay(self, host: str, slot: Slot) -> None:
        seconds = self._crawl_delays.get(host, 0.0)
        if seconds > slot.delay:
            slot.delay = seconds
            slot.jitter = 0.0


class PacedHandler(HTTP11DownloadHandler):
    """Scrapy's handler of http and https, which checks the pace again: a request may have waited for its turn."""

    async def download_request(self, request: Request) -> Response:
        """Send a request, or raise a PhotoError."""
        pace = self._crawler.get_downloader_middleware(Pace)
        if pace is not None:
            pace.process_request(request)
        return await super().download_request(request)


# robots.txt (RFC 9309), requested once a host and obeyed. Scrapy's own middleware reads an error page as rules, and a
# server that does not answer as one without rules; by section 2.3.1 of the RFC a missing robots.txt allows everything,
# and an unreachable one forbids everything.

#: Marks requests for robots.txt and tdmrep.json themselves.
IS_ROBOTS = "robots"
#: How much of them is read. Source: RFC 9309, section 2.5, which asks for at least this.
MOST_BYTES = 500 << 10


class Robots:
    """A downloader middleware that lets through what robots.txt allows and neither it nor tdmrep.json reserves."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        # Compressed texts, since parsed rules of many thousand hosts would take tens of times as much memory.
        self._answers: dict[str, asyncio.Task[bytes | PhotoError]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Robots:
        """Return the middleware of a crawl; Scrapy calls this."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Raise a PhotoError when a request is forbidden, its photo is reserved, or robots.txt cannot be fetched."""
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
        # A server that has none, or that is in trouble with it, reserves nothing.
        answer = await self._answer(f"{origin}/.well-known/tdmrep.json", dont_retry=True)
        if isinstance(answer, bytes) and is_reserved(_parse_reservations(answer), path):
            raise refused("opt-out", f"{origin}/.well-known/tdmrep.json reserves it")

    async def _answer(self, url: str, **meta: bool) -> bytes | PhotoError:
        if url not in self._answers:
            self._answers[url] = asyncio.ensure_future(self._fetch(url, {IS_ROBOTS: True, **meta}))
        return await asyncio.shield(self._answers[url])

    async def _fetch(self, url: str, meta: dict[str, bool]) -> bytes | PhotoError:
        """Return a file of rules, compressed, or why it could not be fetched."""
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


# What is accepted of an answer: downloader middlewares that limit reading, unpacking and following.

#: So much may come with the headers in one read (Twisted reads 64 KiB). A shorter answer is read to its end, whatever
#: it is, so that its connection can be used again.
_SHORT = 64 << 10
#: Enough for every format to show itself.
_SNIFFED_BYTES = 64
#: Keys of a request's meta.
_START, _READ, _UNWANTED = "start", "read", "unwanted"


class Gate:
    """Stops long answers early: at the headers of an unwanted photo, and after the start of other files."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Gate:
        """Return the middleware of a crawl; Scrapy calls this."""
        gate = cls()
        crawler.signals.connect(gate.see_headers, signal=signals.headers_received)
        crawler.signals.connect(gate.see_bytes, signal=signals.bytes_received)
        return gate

    def see_headers(self, headers: Headers, body_length: object, request: Request, spider: Spider) -> None:
        """Stop before the body when the headers opt out."""
        unwanted = not request.meta.get(IS_ROBOTS) and _opt_out_of(headers) is not None
        packed = "Content-Encoding" in headers
        request.meta.update({_START: None if packed else b"", _READ: 0, _UNWANTED: unwanted})
        if unwanted and isinstance(body_length, int) and body_length > _SHORT:
            raise StopDownload(fail=False)

    def see_bytes(self, data: bytes, request: Request, spider: Spider) -> None:
        """Stop within a long body when it is not wanted, no photo, or enough of a robots.txt."""
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
        """Raise a PhotoError when the headers opt out."""
        directive = None if request.meta.get(IS_ROBOTS) else _opt_out_of(response.headers)
        if directive is not None and response.status < 400:
            raise refused("opt-out", directive)
        return response


def _opt_out_of(headers: Headers) -> str | None:
    return opt_out_of_headers(lambda name: [value.decode("latin-1") for value in headers.getlist(name)], BOT_NAME)


class Unpacking(HttpCompressionMiddleware):
    """Scrapy's unpacking of gzip and so on, with its own reason for too many bytes."""

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        """Unpack an answer, or raise a PhotoError when it becomes too large."""
        try:
            return super().process_response(request, response)
        except IgnoreRequest as error:
            raise refused("too many bytes", str(error)) from error


class Redirects(RedirectMiddleware):
    """Scrapy's redirects, with its own reason for too many. It does not follow redirects to other schemes."""

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        """Follow a redirect, or raise a PhotoError after too many."""
        try:
            return super().process_response(request, response)
        except IgnoreRequest as error:
            raise failed("too many redirects", f"the last one to {response.headers.get('Location')!r}") from error
