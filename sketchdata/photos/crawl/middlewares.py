"""How fast a host is asked: as slowly as its answers take, its robots.txt says, and its errors suggest."""

from __future__ import annotations

import email.utils
import math
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from time import monotonic
from typing import TYPE_CHECKING

from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.exceptions import IgnoreRequest
from scrapy.extensions.throttle import AutoThrottle

from sketchdata.crawl.faults import explain, failed

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.core.downloader import Slot
    from scrapy.crawler import Crawler
    from scrapy.http import Response

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
