"""The spider: asks for the URLs of a job, has each photo judged in a thread, and logs one outcome a URL."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from scrapy import Request, Spider
from scrapy.exceptions import CloseSpider

from sketchdata.errors import FormatError
from sketchdata.photos.collection.folder import VERDICTS, StoredPhoto, examine_photo
from sketchdata.photos.crawl.options import PhotoError, explain, failed, fault_of_url, refused
from sketchdata.photos.crawl.outcomes import Outcome, OutcomeLog, today
from sketchdata.photos.image import PhotoLimits

if TYPE_CHECKING:
    from scrapy.http import Response
    from twisted.python.failure import Failure

    from sketchdata.photos.crawl.job import Job


# Bytes that a server sent: judged, and kept under the name of their hash.


def keep_photo(body: bytes, folder: Path, parts: Path, limits: PhotoLimits) -> StoredPhoto:
    """Put a photo into a collection, once for all who have the same bytes.

    Args:
        body: The file's bytes.
        folder: The collection.
        parts: A folder on the same disk, for files that are being written.
        limits: What the photo may cost.

    Raises:
        PhotoError: It is not let in.
    """
    try:
        photo = examine_photo(body, limits)
    except FormatError as error:
        status, reason = VERDICTS[error.reason]
        raise PhotoError(status, reason, error.detail) from error
    if not (folder / photo.path).exists():
        _write(body, folder / photo.path, parts / secrets.token_hex(8))
    return photo


def _write(body: bytes, path: Path, part: Path) -> None:
    """Write a file that is whole, even after a power cut, as soon as it has its name."""
    with part.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    path.parent.mkdir(parents=True, exist_ok=True)
    part.replace(path)


#: After so many requests have been queued, those under way have a turn.
_PORTION = 32
#: Decoding lets go of the interpreter's lock. More threads would only take memory, up to 0.8 GB each at worst.
_MOST_THREADS = 4


class PhotoSpider(Spider):
    """Fetches the photos of a job.

    Attributes:
        fault: What ended the crawl before its time, such as a full disk.
    """

    name = "photos"

    def __init__(self, job: Job, started: threading.Event) -> None:
        super().__init__()
        self.fault: str | None = None
        self._job = job
        self._started = started
        self._resumed = job.take_queue()
        self._queued = self._resumed
        self._pending = job.todo
        self._parts = job.make_parts_folder()
        self._log = OutcomeLog(job.folder).open()
        self._threads = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))

    def request(self, url: str, meta: dict[str, Any], priority: int = 0) -> Request:
        """Return a request whose end is an outcome; `meta["asked"]` is the URL as it was asked for."""
        return Request(url, meta=meta, priority=priority, callback=self.judge, errback=self.give_up, dont_filter=True)

    async def start(self) -> AsyncIterator[Request]:
        """Yield a request for each URL of the list, unless they are in the queue already; Scrapy calls this."""
        self._started.set()
        for number, url in enumerate([] if self._resumed else self._job.urls()):
            fault = fault_of_url(url)
            try:
                request = None if fault else self.request(url, {"asked": url})
            except ValueError as error:
                fault, request = ("bad address", str(error)), None
            if fault is not None:
                self._note(url, refused(*fault))
            elif request is not None and number % _PORTION:
                # Scrapy would take one at a turn, and then wait for the list instead of for the network.
                self.crawler.engine.crawl(request)
            elif request is not None:
                yield request
            if number % _PORTION == 0:
                await asyncio.sleep(0)
        self._queued = True

    async def judge(self, response: Response) -> None:
        """Log what an answer turned out to be; Scrapy calls this."""
        asked = response.meta["asked"]
        moved = response.url if response.url != asked else None
        try:
            found: StoredPhoto | PhotoError = await self._keep(response)
        except PhotoError as error:
            found = error
        self._note(asked, found, http_status=response.status, final_url=moved)

    def give_up(self, failure: Failure) -> None:
        """Log why there is no answer; Scrapy calls this."""
        request: Request = failure.request  # type: ignore[attr-defined]
        assert failure.value is not None  # noqa: S101
        moved = request.url if request.meta.get("redirect_times") else None
        self._note(request.meta["asked"], explain(failure.value), final_url=moved)

    def leave_queue(self) -> None:
        """End the crawl, since its queue is not what it should be; another process builds it anew."""
        self._queued = False
        asyncio.ensure_future(self.crawler.engine.close_spider_async(reason="queue"))  # noqa: RUF006

    def closed(self, reason: str) -> None:
        """Note what is left in the queue; Scrapy calls this when all is at an end."""
        self._threads.shutdown()
        self._log.close()
        if self._queued and self.fault is None and reason == "shutdown":
            self._job.note_queue(self._pending)

    async def _keep(self, response: Response) -> StoredPhoto:
        if response.status != 200:
            raise _explain_status(response)
        loop = asyncio.get_running_loop()
        job = self._job
        try:
            return await loop.run_in_executor(
                self._threads, keep_photo, response.body, job.folder, self._parts, job.options.limits
            )
        except OSError as error:
            raise self._close(error) from error

    def _note(self, asked: str, found: StoredPhoto | PhotoError, **answer: Any) -> None:
        if isinstance(found, StoredPhoto):
            outcome = Outcome(url=asked, status="ok", fetched=today(), **asdict(found), **answer)
        else:
            outcome = Outcome(
                url=asked,
                status=found.status,
                error=found.reason,
                detail=found.detail or None,
                fetched=today(),
                **answer,
            )
        try:
            self._log.append(outcome)
        except OSError as error:
            raise self._close(error) from error
        self._pending.remove(asked)

    def _close(self, error: OSError) -> CloseSpider:
        """Return what ends the crawl when the disk does not take what we write."""
        self.fault = str(error)
        return CloseSpider("disk")


def _explain_status(response: Response) -> PhotoError:
    location = (response.headers.get("Location") or b"").decode("latin-1")
    if 300 <= response.status < 400 and location:
        # Those to http and https have been followed.
        return refused("not http", f"it redirects to {urljoin(response.url, location)}")
    return failed(f"http {response.status}")
