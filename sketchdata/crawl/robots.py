"""robots.txt (RFC 9309), asked for once a host and obeyed.

Scrapy's own middleware takes an error page for rules, and a server that does not answer for one without rules. By the
RFC's section 2.3.1 a missing robots.txt allows everything, and one that cannot be had forbids everything.
"""

from __future__ import annotations

import asyncio
import functools
import zlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from protego import Protego
from scrapy import Request
from scrapy.http.request import NO_CALLBACK

from sketchdata.crawl.faults import PhotoError, explain, failed, refused
from sketchdata.crawl.options import BOT_NAME
from sketchdata.crawl.pace import Pace

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

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
