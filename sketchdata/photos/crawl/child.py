"""The process that crawls: Scrapy's reactor can be started once in a process, and wants its main thread.

It reads a job from standard input, then the word to stop; when standard input ends, the parent is gone, and so is it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sketchdata.crawl.job import Job
from sketchdata.crawl.settings import scrapy_settings

if TYPE_CHECKING:
    from scrapy.crawler import CrawlerProcess

STOP = b"stop\n"
#: The exit status when something must be mended first, which the last line of standard error names.
FAULT_STATUS = 3


def main() -> None:
    """Crawl, until all is done or the word to stop comes."""
    # Without a buffer, on whose lock the interpreter could not end while a thread waits in it.
    commands = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115
    job = Job.parse(commands.readline())
    from scrapy.crawler import CrawlerProcess

    from sketchdata.crawl.spider import PhotoSpider

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
