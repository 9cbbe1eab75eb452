"""The crawling process, which is needed because Scrapy's reactor runs once per process, in the main thread.

It reads one line of JSON from standard input, then possibly the command to stop; at the end of standard input the
parent has died, and this process ends, too. Its state is in a collection's work folder: `todo.jsonl`, the URLs;
`queue`, Scrapy's queue; `parts`, partial files; `outcomes.jsonl`, the log.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import orjson
from queuelib import FifoDiskQueue
from scrapy import Request, Spider
from scrapy.crawler import CrawlerProcess
from scrapy.exceptions import CloseSpider
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor

from sketchdata.errors import FormatError
from sketchdata.photos.collection import DECODING_FAULTS, WORK_FOLDER, StoredPhoto, examine_photo
from sketchdata.photos.crawl.middlewares import PhotoError, explain, failed, refused
from sketchdata.photos.crawl.options import CrawlOptions, fault_of_url, is_public
from sketchdata.photos.crawl.outcomes import (
    FAULT_STATUS,
    STOP,
    TODO_FILE,
    OutcomeLog,
    OutcomeWriter,
    PhotoOutcome,
    digest_of,
    today,
)
from sketchdata.photos.image import PhotoLimits
from sketchdata.storage.manifest import replacing

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure

_HERE = "sketchdata.photos.crawl"
_LONGEST_DELAY = 60.0
#: Maximum number of bytes of responses in decoding, above which no requests are sent.
_BACKLOG_BYTES = 64 << 20
#: Number of requests that are queued before requests in progress run.
_PORTION = 32
#: Number of decoding threads, which release the interpreter lock. More would only take memory, up to 0.8 GB each.
_MOST_THREADS = 4
#: Keys of a request's meta that are stored in the queue, Scrapy's and ours.
_KEPT = ("asked", "retry_times", "redirect_times", "redirect_ttl")


def main() -> None:
    """Crawl until everything is done or the command to stop arrives."""
    # Unbuffered: at exit, the interpreter would wait for the lock of a buffer that a thread reads from.
    commands = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115
    job = orjson.loads(commands.readline())
    folder, options = Path(job["folder"]), CrawlOptions(**job["options"])
    process = CrawlerProcess(scrapy_settings(options, folder / WORK_FOLDER / "queue"))
    crawler = process.create_crawler(PhotoSpider)
    started = threading.Event()
    process.crawl(crawler, folder=folder, options=options, started=started)
    threading.Thread(target=_obey, args=(process, commands, started), daemon=True).start()
    process.start(install_signal_handlers=False)
    fault = crawler.spider.fault if isinstance(crawler.spider, PhotoSpider) else None
    if fault is not None:
        sys.stderr.write(f"\n{fault}\n")
        sys.exit(FAULT_STATUS)


def _obey(process: CrawlerProcess, commands: Iterable[bytes], started: threading.Event) -> None:
    from twisted.internet import reactor

    for line in commands:
        if line == STOP:
            # Scrapy ignores a stop before its engine runs, and cannot be stopped after that.
            started.wait()
            reactor.callFromThread(process.stop)
    os._exit(1)


def scrapy_settings(options: CrawlOptions, queue: Path) -> dict[str, Any]:
    """Return the settings of a crawl whose queue is in the folder `queue`, without other components.

    Scrapy's default lists (`…_BASE`) are replaced. So there are no cookies or referrers; no proxies from environment
    variables, which would hide the connected address; no telnet console; and only the schemes http and https.
    """
    handler = f"{_HERE}.middlewares.PacedHandler"
    reactor = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"
    return {
        "TWISTED_REACTOR": reactor if options.allow_private else f"{_HERE}.spider.PublicReactor",
        # IPv4 and IPv6; the lookup ends with the request, after DOWNLOAD_TIMEOUT.
        "TWISTED_DNS_RESOLVER": "scrapy.resolver.CachingHostnameResolver",
        "DOWNLOAD_HANDLERS_BASE": {"http": handler, "https": handler},
        "DOWNLOADER_MIDDLEWARES_BASE": {
            f"{_HERE}.middlewares.Robots": 100,
            f"{_HERE}.middlewares.Pace": 200,
            "scrapy.downloadermiddlewares.downloadtimeout.DownloadTimeoutMiddleware": 350,
            "scrapy.downloadermiddlewares.defaultheaders.DefaultHeadersMiddleware": 400,
            "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware": 500,
            "scrapy.downloadermiddlewares.retry.RetryMiddleware": 550,
            f"{_HERE}.middlewares.Unpacking": 590,
            f"{_HERE}.middlewares.Redirects": 600,
            f"{_HERE}.middlewares.Gate": 610,
        },
        "SPIDER_MIDDLEWARES_BASE": {},
        "EXTENSIONS_BASE": {},
        # One queue for all hosts: Scrapy's queue per host keeps files open, and reaches the limit at some hundred
        # hosts. # Instead the list is shuffled, so that hosts alternate.
        "SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.ScrapyPriorityQueue",
        "SCHEDULER_DISK_QUEUE": f"{_HERE}.spider.RequestQueue",
        "SCHEDULER_START_DISK_QUEUE": None,
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
        "JOBDIR": str(queue),
        # Politeness.
        "USER_AGENT": options.user_agent,
        "DEFAULT_REQUEST_HEADERS": {"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"},
        "CONCURRENT_REQUESTS": options.concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": options.concurrency_per_host,
        "DOWNLOAD_DELAY": options.delay,
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": options.delay,
        "AUTOTHROTTLE_MAX_DELAY": max(_LONGEST_DELAY, options.delay),
        "AUTOTHROTTLE_TARGET_CONCURRENCY": float(options.concurrency_per_host),
        "RETRY_TIMES": options.fetch_retries,
        "RETRY_HTTP_CODES": [408, 429, *range(500, 600)],
        "REDIRECT_MAX_TIMES": 10,
        # Limits.
        "DOWNLOAD_TIMEOUT": options.timeout,
        "DNS_TIMEOUT": options.timeout,
        "DOWNLOAD_MAXSIZE": options.max_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_FAIL_ON_DATALOSS": True,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "SCRAPER_SLOT_MAX_ACTIVE_SIZE": _BACKLOG_BYTES,
        # Workers for the items of each response; there are no items.
        "CONCURRENT_ITEMS": 1,
        # Only errors of the program are logged; errors of photos are in their outcomes.
        "LOG_LEVEL": "ERROR",
        "RETRY_GIVE_UP_LOG_LEVEL": "DEBUG",
        "STATS_DUMP": False,
        "WARN_ON_GENERATOR_RETURN_VALUE": False,
    }


class PublicReactor(AsyncioSelectorReactor):
    """Twisted's asyncio reactor, restricted to public addresses.

    The check is made when connecting, not at an earlier lookup: after name resolution, redirects and any spelling of
    an address, this method gets an address literal.
    """

    def connectTCP(self, host: str, port: int, *args: Any, **options: Any) -> Any:  # noqa: N802 - Twisted's name
        """Open a connection, TLS or not, or raise a PhotoError: `private address`."""
        if not is_public(host):
            raise refused("private address", f"{host} is not an address of the public internet")
        return super().connectTCP(host, port, *args, **options)


def install() -> None:
    """Make PublicReactor the process's reactor; Scrapy calls the function of this name in the reactor's module."""
    installReactor(PublicReactor())  # type: ignore[no-untyped-call]


class UrlTally:
    """The number of URLs in a set and the sum of their digests, which identify the set."""

    def __init__(self) -> None:
        self.count = self.sum = 0

    def change(self, by: int, url: str) -> None:
        """Add a URL (`by` = 1) or remove it (−1)."""
        self.count += by
        self.sum = (self.sum + by * int.from_bytes(digest_of(url), "big")) % (1 << 128)

    def as_json(self) -> dict[str, Any]:
        """Return the tally with the sum in hexadecimal, since it exceeds JSON's numbers."""
        return {"count": self.count, "sum": f"{self.sum:x}"}


class PhotoSpider(Spider):
    """Requests the URLs of the list, examines each photo in a thread, and logs one outcome per URL.

    Attributes:
        fault: The error that ended the crawl early, such as a full disk.
    """

    name = "photos"

    def __init__(self, folder: Path, options: CrawlOptions, started: threading.Event) -> None:
        super().__init__()
        self.fault: str | None = None
        self._folder, self._options, self._started = folder, options, started
        self._todo = folder / WORK_FOLDER / TODO_FILE
        self._pending = UrlTally()
        with self._todo.open("rb") as urls:
            for url in urls:
                self._pending.change(1, orjson.loads(url))
        self._queue = folder / WORK_FOLDER / "queue"
        self._note = self._queue / "pending.json"
        self._resumed = self._queued = self._take_queue()
        self._parts = folder / WORK_FOLDER / "parts"
        shutil.rmtree(self._parts, ignore_errors=True)
        self._parts.mkdir(parents=True)
        self._log = OutcomeWriter(OutcomeLog(folder))
        self._threads = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))

    def _take_queue(self) -> bool:
        """Return whether the queue on disk has exactly this list and can be resumed; delete any other.

        Scrapy's queue is consistent only after an orderly stop; after a kill, it lacks the requests in progress. So an
        orderly stop writes the tally of the queue to a file, which is deleted when the queue is used again.
        """
        try:
            fits = bool(orjson.loads(self._note.read_bytes()) == self._pending.as_json())
        except (OSError, orjson.JSONDecodeError):
            fits = False
        if fits:
            self._note.unlink()
        else:
            shutil.rmtree(self._queue, ignore_errors=True)
            self._queue.mkdir(parents=True)
        return fits

    def request(self, url: str, meta: dict[str, Any], priority: int = 0) -> Request:
        """Return a request that ends with an outcome; `meta["asked"]` is the requested URL."""
        return Request(url, meta=meta, priority=priority, callback=self.judge, errback=self.give_up, dont_filter=True)

    async def start(self) -> AsyncIterator[Request]:
        """Yield a request for each URL of the list, unless the queue already has them; Scrapy calls this."""
        self._started.set()
        with self._todo.open("rb") as file:
            for number, line in enumerate([] if self._resumed else file):
                url = orjson.loads(line)
                fault = fault_of_url(url)
                try:
                    request = None if fault else self.request(url, {"asked": url})
                except ValueError as error:
                    fault, request = ("bad address", str(error)), None
                if fault is not None:
                    self._record(url, refused(*fault))
                elif request is not None and number % _PORTION:
                    # Scrapy would take one at a time, and wait for the list instead of the network.
                    self.crawler.engine.crawl(request)
                elif request is not None:
                    yield request
                if number % _PORTION == 0:
                    await asyncio.sleep(0)
        self._queued = True

    async def judge(self, response: Response) -> None:
        """Log the outcome of a response; Scrapy calls this."""
        asked = response.meta["asked"]
        found: StoredPhoto | PhotoError
        if response.status == 200:
            try:
                found = await asyncio.get_running_loop().run_in_executor(
                    self._threads, keep_photo, response.body, self._folder, self._parts, self._options.limits
                )
            except PhotoError as error:
                found = error
            except OSError as error:
                raise self._close(error) from error
        else:
            found = failed(f"http {response.status}")
            location = (response.headers.get("Location") or b"").decode("latin-1")
            if 300 <= response.status < 400 and location:
                # Only redirects to other schemes get here.
                found = refused("not http", f"it redirects to {urljoin(response.url, location)}")
        moved = response.url if response.url != asked else None
        self._record(asked, found, http_status=response.status, final_url=moved)

    def give_up(self, failure: Failure) -> None:
        """Log the error of a request without a response; Scrapy calls this."""
        request: Request = failure.request  # type: ignore[attr-defined]
        assert failure.value is not None  # noqa: S101
        moved = request.url if request.meta.get("redirect_times") else None
        self._record(request.meta["asked"], explain(failure.value), final_url=moved)

    def leave_queue(self) -> None:
        """End the crawl because its queue is damaged; the next process builds a new one."""
        self._queued = False
        asyncio.ensure_future(self.crawler.engine.close_spider_async(reason="queue"))  # noqa: RUF006

    def closed(self, reason: str) -> None:
        """Write the tally of the queue; Scrapy calls this at the end."""
        self._threads.shutdown()
        self._log.close()
        if self._queued and self.fault is None and reason == "shutdown":
            with replacing(self._note) as file:
                file.write(orjson.dumps(self._pending.as_json()))

    def _record(self, asked: str, found: StoredPhoto | PhotoError, **answer: Any) -> None:
        if isinstance(found, StoredPhoto):
            values = {"status": "ok", **asdict(found)}
        else:
            values = {"status": found.status, "error": found.reason, "detail": found.detail or None}
        try:
            self._log.append(PhotoOutcome(url=asked, fetched=today(), **values, **answer))
        except OSError as error:
            raise self._close(error) from error
        self._pending.change(-1, asked)

    def _close(self, error: OSError) -> CloseSpider:
        """Return the error of a failed write, which ends the crawl."""
        self.fault = str(error)
        return CloseSpider("disk")


def keep_photo(body: bytes, folder: Path, parts: Path, limits: PhotoLimits) -> StoredPhoto:
    """Store a photo in a collection, once for all URLs with the same bytes, and durably.

    Args:
        body: The content of the file.
        folder: The collection.
        parts: A folder on the same disk for partial files.
        limits: The limits of accepted photos.

    Raises:
        PhotoError: The photo is rejected.
    """
    try:
        photo = examine_photo(body, limits)
    except FormatError as error:
        status, reason = DECODING_FAULTS[error.reason]
        raise PhotoError(status, reason, error.detail) from error
    path = folder / photo.path
    if not path.exists():
        part = parts / secrets.token_hex(8)
        with part.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        path.parent.mkdir(parents=True, exist_ok=True)
        part.replace(path)
    return photo


class RequestQueue:
    """Scrapy's first-in-first-out queue on disk, as JSON: unpickling could execute code placed in the folder."""

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
        """Remove and return the oldest request; None if the queue is empty or damaged."""
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
        """Write the state of the queue and close it."""
        self._lines.close()
