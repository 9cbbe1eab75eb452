"""Scrapy's settings for a crawl, without a project: what runs is listed here, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sketchdata.crawl.options import CrawlOptions

_HANDLER = "sketchdata.crawl.pace.PacedHandler"
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
        "TWISTED_REACTOR": reactor if options.allow_private else "sketchdata.crawl.reactor.PublicReactor",
        # Both kinds of IP addresses; the look-up itself ends with the request, after DOWNLOAD_TIMEOUT.
        "TWISTED_DNS_RESOLVER": "scrapy.resolver.CachingHostnameResolver",
        "DOWNLOAD_HANDLERS_BASE": {"http": _HANDLER, "https": _HANDLER},
        "DOWNLOADER_MIDDLEWARES_BASE": {
            "sketchdata.crawl.robots.Robots": 100,
            "sketchdata.crawl.pace.Pace": 200,
            "scrapy.downloadermiddlewares.downloadtimeout.DownloadTimeoutMiddleware": 350,
            "scrapy.downloadermiddlewares.defaultheaders.DefaultHeadersMiddleware": 400,
            "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware": 500,
            "scrapy.downloadermiddlewares.retry.RetryMiddleware": 550,
            "sketchdata.crawl.answers.Unpacking": 590,
            "sketchdata.crawl.answers.Redirects": 600,
            "sketchdata.crawl.answers.Gate": 610,
        },
        "SPIDER_MIDDLEWARES_BASE": {},
        "EXTENSIONS_BASE": {},
        # One queue for all hosts: Scrapy's queue of queues keeps files open for each, and runs out of them at some
        # hundred hosts. The list comes shuffled instead, so that hosts take turns.
        "SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.ScrapyPriorityQueue",
        "SCHEDULER_DISK_QUEUE": "sketchdata.crawl.queue.RequestQueue",
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
