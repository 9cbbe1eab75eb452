"""What is let in of an answer: downloader middlewares that stop reading, unpacking and following where it is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy import signals
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.exceptions import IgnoreRequest, StopDownload

from sketchdata.crawl.faults import failed, refused
from sketchdata.crawl.opt_out import opt_out
from sketchdata.crawl.options import BOT_NAME
from sketchdata.crawl.robots import IS_ROBOTS, MOST_BYTES
from sketchdata.photos import sniff

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Headers, Response

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
