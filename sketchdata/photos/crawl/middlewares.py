"""The crawler's manners: pace, robots.txt, opt-outs, and limits on what a response may hold."""

from __future__ import annotations

import asyncio
import email.utils
import functools
import math
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from protego import Protego
from scrapy import Request, signals
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.exceptions import IgnoreRequest, StopDownload
from scrapy.extensions.throttle import AutoThrottle
from scrapy.http.request import NO_CALLBACK

from sketchdata.photos.crawl.options import BOT_NAME, PhotoError, explain, failed, refused
from sketchdata.photos.image import sniff

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.core.downloader import Slot
    from scrapy.crawler import Crawler
    from scrapy.http import Response

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Headers, Response


# How fast a host is asked: as slowly as its answers take, its robots.txt says, and its errors suggest.

#: The longest wish of a Retry-After that is waited for; a host that wishes for more is left alone for as long.
LONGEST_PAUSE = 120.0
#: The longest Crawl-delay that is kept to.
LONGEST_DELAY = 60.0
#: A host that failed to answer so many photos in a row, each after every try, is given up: waiting for its many others
#: could take days.
MOST_SILENCES = 5


@dataclass(frozen=True, kw_only=True)
class _Rest:
    """Until when a host is left alone, by time.monotonic(), and what its photos fail of."""

    until: float
    reason: str
    detail: str


class Pace(AutoThrottle):
    """Scrapy's AutoThrottle, which follows a host's latency, with Crawl-delay, Retry-After and pauses after errors.

    It is also a downloader middleware, since it lets nothing through to a host that is to be left alone.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._crawl_delays: dict[str, float] = {}
        self._rests: dict[str, _Rest] = {}
        self._silences = Counter[str]()

    def slow_down(self, host: str, seconds: float) -> None:
        """Keep to a host's Crawl-delay from now on."""
        self._crawl_delays[host] = min(seconds, LONGEST_DELAY)
        slot = self.crawler.engine.downloader.slots.get(host)
        if slot is not None:
            self._keep_delay(host, slot)

    def process_request(self, request: Request) -> None:
        """Let a request go on, or raise a PhotoError when its host is to be left alone."""
        rest = self._rests.get(self.crawler.engine.downloader.get_slot_key(request))
        if rest is not None and monotonic() < rest.until:
            raise failed(rest.reason, f"{rest.detail}: try again later with --retry-failed")

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Count the photos in a row that a host has not answered; Scrapy calls this after the last try of each."""
        fault = explain(exception)
        if isinstance(exception, IgnoreRequest) or fault.status != "failed":
            return
        host = self.crawler.engine.downloader.get_slot_key(request)
        self._silences[host] += 1
        if self._silences[host] >= MOST_SILENCES:
            detail = f"the host has failed to answer {MOST_SILENCES} times in a row and is given up"
            self._rests[host] = _Rest(until=math.inf, reason=fault.reason, detail=detail)

    def _response_downloaded(self, response: Response, request: Request, spider: Spider) -> None:
        super()._response_downloaded(response, request, spider)
        host, slot = self._get_slot(request, spider)
        if host is None or slot is None:
            return
        self._silences.pop(host, None)
        self._keep_delay(host, slot)
        if response.status == 429 or response.status >= 500:
            self._pause(host, slot, request, response)

    def _pause(self, host: str, slot: Slot, request: Request, response: Response) -> None:
        wish = retry_after((response.headers.get("Retry-After") or b"").decode("latin-1")) or 0.0
        if wish > LONGEST_PAUSE:
            detail = f"the host asks to be left alone for {wish:,.0f} seconds"
            self._rests[host] = _Rest(until=monotonic() + wish, reason=f"http {response.status}", detail=detail)
            request.meta["dont_retry"] = True
            return
        doubled = self.mindelay * 2 ** request.meta.get("retry_times", 0)
        # As if the last request were to be sent only then: the downloader counts the delay from there.
        slot.lastseen = max(slot.lastseen, monotonic() + min(max(wish, doubled), LONGEST_PAUSE))

    def _keep_delay(self, host: str, slot: Slot) -> None:
        seconds = self._crawl_delays.get(host, 0.0)
        if seconds > slot.delay:
            slot.delay = seconds
            slot.jitter = 0.0


class PacedHandler(HTTP11DownloadHandler):
    """Scrapy's handler of http and https, which asks again whether a host is to be left alone.

    A request may have waited for its turn since it passed the middleware.
    """

    async def download_request(self, request: Request) -> Response:
        """Send a request, or raise a PhotoError."""
        pace = self._crawler.get_downloader_middleware(Pace)
        if pace is not None:
            pace.process_request(request)
        return await super().download_request(request)


def retry_after(value: str) -> float | None:
    """Return the seconds that a Retry-After header asks for, by a number or a date; None when it is neither.

    Source: RFC 9110, section 10.2.3.
    """
    value = value.strip()
    if value.isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


# robots.txt (RFC 9309), asked for once a host and obeyed.
# Scrapy's own middleware takes an error page for rules, and a server that does not answer for one without rules. By
# the
# RFC's section 2.3.1 a missing robots.txt allows everything, and one that cannot be had forbids everything.

#: Marks requests for robots.txt itself.
IS_ROBOTS = "robots"
#: What is read of a robots.txt. Source: RFC 9309, section 2.5, which asks for at least this.
MOST_BYTES = 500 << 10
_PARSED_AT_ONCE = 256
_PRIORITY = 1000


class Robots:
    """A downloader middleware that lets through what robots.txt allows."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        # Of many thousand hosts: packed texts are kept and not parsed rules, which take tens of times as much memory.
        self._answers: dict[str, asyncio.Task[bytes | PhotoError]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Robots:
        """Return the middleware of a crawl; Scrapy calls this."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Let a request go on, or raise a PhotoError: `robots.txt`, or why that could not be had."""
        if request.meta.get(IS_ROBOTS):
            return
        parts = urlsplit(request.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._answers:
            self._answers[origin] = asyncio.ensure_future(self._ask(origin))
        answer = await asyncio.shield(self._answers[origin])
        if isinstance(answer, PhotoError):
            raise PhotoError(answer.status, answer.reason, answer.detail)
        rules = _parse(answer)
        self._set_pace(parts.hostname or "", rules)
        if not rules.can_fetch(request.url, BOT_NAME):
            raise refused("robots.txt", f"{origin}/robots.txt forbids it")

    async def _ask(self, origin: str) -> bytes | PhotoError:
        """Return a host's rules, packed, or why they could not be had."""
        request = Request(
            f"{origin}/robots.txt", priority=_PRIORITY, meta={IS_ROBOTS: True}, callback=NO_CALLBACK, dont_filter=True
        )
        try:
            response = await self._crawler.engine.download_async(request)
        except Exception as error:  # noqa: BLE001 - explained, and told with every photo of the host
            fault = explain(error)
            return PhotoError(fault.status, fault.reason, f"at robots.txt: {fault.detail}")
        return _judge(response)

    def _set_pace(self, host: str, rules: Protego) -> None:
        seconds = rules.crawl_delay(BOT_NAME)
        pace = self._crawler.get_downloader_middleware(Pace)
        if seconds and pace is not None:
            pace.slow_down(host, float(seconds))


def _judge(response: Response) -> bytes | PhotoError:
    if response.status == 429 or response.status >= 500:
        return failed("robots.txt unreachable", f"status {response.status}")
    return zlib.compress(response.body[:MOST_BYTES] if response.status == 200 else b"")


@functools.lru_cache(_PARSED_AT_ONCE)
def _parse(packed: bytes) -> Protego:
    return Protego.parse(zlib.decompress(packed).decode("utf-8", "ignore"))


# X-Robots-Tag, by which a server says with its answer that a photo is not for collecting.

#: noindex and none (both directives): Google's robots meta tag specification; noimageindex likewise; noai and
#: noimageai: DeviantArt's, by which hosts of photos opt out of training sets.
OPT_OUT = frozenset({"noai", "noimageai", "noimageindex", "noindex", "none"})

#: Directives with a value of their own, whose colon does not follow a robot's name.
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def opt_out(headers: Iterable[str], robot: str) -> str | None:
    """Return the first directive that keeps a photo from this robot, or None.

    A directive counts when it is for everyone or for this robot: `noai`, `sketchdata: noindex`. A name holds for what
    follows it in the same header: after `otherbot: nofollow, noindex`, neither counts against us.

    Args:
        headers: The values of the X-Robots-Tag headers.
        robot: The robot's name, in lower case.

    Source: developers.google.com/search/docs/crawling-indexing/robots-meta-tag, "Using the X-Robots-Tag HTTP header".
    """
    for header in headers:
        concerns_us = True
        for part in header.lower().split(","):
            name, colon, directive = (piece.strip() for piece in part.partition(":"))
            if not colon:
                directive = name
            elif name not in _WITH_VALUE:
                concerns_us = name == robot
            if concerns_us and directive in OPT_OUT:
                return directive
    return None


# What is let in of an answer: downloader middlewares that stop reading, unpacking and following where it is enough.

#: So much may come with the headers in one read (Twisted reads 64 KiB). A shorter answer is read to its end, whatever
#: it is: its connection is then used again, and one that is being closed would take the next request down with it.
_SHORT = 64 << 10
#: Enough for every format to show itself.
_SNIFFED_BYTES = 16
_START, _READ, _UNWANTED = "start", "read", "unwanted"


class Gate:
    """Stops long answers early: at the headers when a photo is not for us, and after the start of what is no photo."""

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
        """Let an answer go on, or raise a PhotoError: `opt-out`."""
        directive = None if request.meta.get(IS_ROBOTS) else _opt_out_of(response.headers)
        if directive is not None and response.status < 400:
            raise refused("opt-out", f"X-Robots-Tag: {directive}")
        return response


def _opt_out_of(headers: Headers) -> str | None:
    return opt_out((value.decode("latin-1") for value in headers.getlist("X-Robots-Tag")), BOT_NAME)


class Unpacking(HttpCompressionMiddleware):
    """Scrapy's unpacking of gzip and the like, with a byte limit whose excess has its own reason."""

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        """Unpack an answer, or raise a PhotoError: `too many bytes`."""
        try:
            return super().process_response(request, response)
        except IgnoreRequest as error:
            raise refused("too many bytes", str(error)) from error


class Redirects(RedirectMiddleware):
    """Scrapy's redirects, whose end has its own reason. Those to other schemes than http and https it leaves alone."""

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        """Follow a redirect, or raise a PhotoError: `too many redirects`."""
        try:
            return super().process_response(request, response)
        except IgnoreRequest as error:
            raise failed("too many redirects", f"the last one to {response.headers.get('Location')!r}") from error
