"""The process that crawls: Scrapy's reactor can be started once in a process, and wants its main thread.

It reads a job from standard input, then the word to stop; when standard input ends, the parent is gone, and so is it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchdata.photos.crawl.job import Job
from sketchdata.photos.crawl.options import CrawlOptions

if TYPE_CHECKING:
    from scrapy.crawler import CrawlerProcess


# Scrapy's settings for a crawl, without a project: what runs is listed here, and nothing else does.

_HANDLER = "sketchdata.photos.crawl.middlewares.PacedHandler"
_MOST_REDIRECTS = 10
_LONGEST_DELAY = 60.0
_RETRIED = [408, 429, *range(500, 600)]
#: Bytes of answers that are being decoded, above which no more are asked for.
_BACKLOG_BYTES = 64 << 20


def scrapy_settings(options: CrawlOptions, queue: Path) -> dict[str, Any]:
    """Return the settings of a crawl whose queue is in the folder `queue`."""
    return {**_components(options), **_manners(options), **_bounds(options), **_quiet(), "JOBDIR": str(queue)}


def _components(options: CrawlOptions) -> dict[str, Any]:
    """List all that takes part.

    Scrapy's own lists (`…_BASE`) are replaced and not added to. So there are no cookies and no referrers; no proxies
    of environment variables, behind which nobody could see which address is connected to; no telnet console, no remote
    control; and no schemes but http and https.
    """
    reactor = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"
    return {
        "TWISTED_REACTOR": reactor if options.allow_private else "sketchdata.photos.crawl.reactor.PublicReactor",
        # Both kinds of IP addresses; the look-up itself ends with the request, after DOWNLOAD_TIMEOUT.
        "TWISTED_DNS_RESOLVER": "scrapy.resolver.CachingHostnameResolver",
        "DOWNLOAD_HANDLERS_BASE": {"http": _HANDLER, "https": _HANDLER},
        "DOWNLOADER_MIDDLEWARES_BASE": {
            "sketchdata.photos.crawl.middlewares.Robots": 100,
            "sketchdata.photos.crawl.middlewares.Pace": 200,
            "scrapy.downloadermiddlewares.downloadtimeout.DownloadTimeoutMiddleware": 350,
            "scrapy.downloadermiddlewares.defaultheaders.DefaultHeadersMiddleware": 400,
            "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware": 500,
            "scrapy.downloadermiddlewares.retry.RetryMiddleware": 550,
            "sketchdata.photos.crawl.middlewares.Unpacking": 590,
            "sketchdata.photos.crawl.middlewares.Redirects": 600,
            "sketchdata.photos.crawl.middlewares.Gate": 610,
        },
        "SPIDER_MIDDLEWARES_BASE": {},
        "EXTENSIONS_BASE": {},
        # One queue for all hosts: Scrapy's queue of queues keeps files open for each, and runs out of them at some
        # hundred hosts. The list comes shuffled instead, so that hosts take turns.
        "SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.ScrapyPriorityQueue",
        "SCHEDULER_DISK_QUEUE": "sketchdata.photos.crawl.queue.RequestQueue",
        "SCHEDULER_START_DISK_QUEUE": None,
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
    }


def _manners(options: CrawlOptions) -> dict[str, Any]:
    return {
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
        "RETRY_HTTP_CODES": _RETRIED,
        "REDIRECT_MAX_TIMES": _MOST_REDIRECTS,
    }


def _bounds(options: CrawlOptions) -> dict[str, Any]:
    return {
        "DOWNLOAD_TIMEOUT": options.timeout,
        "DNS_TIMEOUT": options.timeout,
        "DOWNLOAD_MAXSIZE": options.max_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_FAIL_ON_DATALOSS": True,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "SCRAPER_SLOT_MAX_ACTIVE_SIZE": _BACKLOG_BYTES,
        # Workers that Scrapy starts for what comes of each answer, which here is nothing.
        "CONCURRENT_ITEMS": 1,
    }


def _quiet() -> dict[str, Any]:
    """Silence all but faults of the program; what goes wrong with photos is in their outcomes."""
    return {
        "LOG_LEVEL": "ERROR",
        "RETRY_GIVE_UP_LOG_LEVEL": "DEBUG",
        "STATS_DUMP": False,
        "WARN_ON_GENERATOR_RETURN_VALUE": False,
    }


STOP = b"stop\n"
#: The exit status when something must be mended first, which the last line of standard error names.
FAULT_STATUS = 3


def main() -> None:
    """Crawl, until all is done or the word to stop comes."""
    # Without a buffer, on whose lock the interpreter could not end while a thread waits in it.
    commands = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115
    job = Job.parse(commands.readline())
    from scrapy.crawler import CrawlerProcess

    from sketchdata.photos.crawl.spider import PhotoSpider

    process = CrawlerProcess(scrapy_settings(job.options, job.queue))
    crawler = process.create_crawler(PhotoSpider)
    started = threading.Event()
    process.crawl(crawler, job=job, started=started)
    threading.Thread(target=_obey, args=(process, commands, started), daemon=True).start()
    process.start(install_signal_handlers=False)
    fault = crawler.spider.fault if isinstance(crawler.spider, PhotoSpider) else None
    if fault is not None:
        sys.stderr.write(f"\n{fault}\n")
        sys.exit(FAULT_STATUS)


def _obey(process: CrawlerProcess, commands: Iterable[bytes], started: threading.Event) -> None:
    """Stop in good order when told to, and at once when the parent is gone."""
    from twisted.internet import reactor

    for line in commands:
        if line == STOP:
            # Scrapy forgets an order to stop that comes before its engine runs, and cannot be stopped after that.
            started.wait()
            reactor.callFromThread(process.stop)
    os._exit(1)
