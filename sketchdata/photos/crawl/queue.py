"""Scrapy's queue on disk, in JSON: a queue of pickles would run what a stranger has put into a collection's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from queuelib import FifoDiskQueue

from sketchdata.photos.crawl.spider import PhotoSpider

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler

#: What a request has been through, by Scrapy's and our own names.
_KEPT = ("asked", "retry_times", "redirect_times", "redirect_ttl")


class RequestQueue:
    """A first-in-first-out queue of requests in a folder, by Scrapy's setting SCHEDULER_DISK_QUEUE."""

    def __init__(self, folder: str, spider: PhotoSpider) -> None:
        self._lines = FifoDiskQueue(folder)
        self._spider = spider

    @classmethod
    def from_crawler(cls, crawler: Crawler, folder: str) -> RequestQueue:
        """Return the queue of a crawl; Scrapy calls this."""
        assert isinstance(crawler.spider, PhotoSpider)  # noqa: S101
        return cls(folder, crawler.spider)

    def __len__(self) -> int:
        return len(self._lines)

    def push(self, request: Request) -> None:
        """Add a request."""
        meta = {name: request.meta[name] for name in _KEPT if name in request.meta}
        self._lines.push(orjson.dumps({"url": request.url, "priority": request.priority, "meta": meta}))

    def pop(self) -> Request | None:
        """Take the oldest request out; None when there is none, or something else."""
        line = self._lines.pop()
        if line is None:
            return None
        try:
            values = orjson.loads(line)
            return self._spider.request(values["url"], values["meta"], priority=values["priority"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            self._spider.leave_queue()
            return None

    def close(self) -> None:
        """Write down where the queue begins and ends."""
        self._lines.close()
