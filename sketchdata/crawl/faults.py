"""Why a photo was not had: every exception of Scrapy, Twisted and our own, in a few words and a status."""

from __future__ import annotations

from collections.abc import Iterator

from OpenSSL import SSL
from scrapy import exceptions
from scrapy.exceptions import IgnoreRequest
from twisted.internet import error as network

_LONGEST_DETAIL = 300


class PhotoError(IgnoreRequest):
    """A photo that is not had, with what its outcome is to say. An IgnoreRequest is neither retried nor logged.

    Args:
        status: `failed` or `refused`.
        reason: A few words fit for a table of counts.
        detail: What was found.
    """

    def __init__(self, status: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.status, self.reason, self.detail = status, reason, detail[:_LONGEST_DETAIL]


def failed(reason: str, detail: str = "") -> PhotoError:
    """Return the error of a photo that could not be had, but may be another time."""
    return PhotoError("failed", reason, detail)


def refused(reason: str, detail: str = "") -> PhotoError:
    """Return the error of a photo that we must not or will not have, now or later."""
    return PhotoError("refused", reason, detail)


_FAILURES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((exceptions.DownloadTimeoutError, network.TimeoutError), "timeout"),
    ((exceptions.CannotResolveHostError, network.DNSLookupError), "unknown host"),
    ((exceptions.DownloadConnectionRefusedError, network.ConnectError), "no connection"),
    ((exceptions.ResponseDataLossError, exceptions.DownloadFailedError, network.ConnectionClosed), "connection broken"),
)


def explain(error: BaseException) -> PhotoError:
    """Return what an exception of a download means for the photo."""
    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, PhotoError):
            return PhotoError(each.status, each.reason, each.detail)
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, exceptions.DownloadCancelledError):
        # We cancel for one reason: Scrapy does it when DOWNLOAD_MAXSIZE is announced or reached.
        return refused("too many bytes", str(error) or "more than it announced, and than are let in")
    if isinstance(error, (exceptions.UnsupportedURLSchemeError, exceptions.NotSupported)):
        return refused("not http", text)
    if any(isinstance(each, SSL.Error) for each in chain):
        return failed("no secure connection", text)
    for kinds, reason in _FAILURES:
        if isinstance(error, kinds):
            return failed(reason, text)
    return failed("broken answer", f"{type(error).__name__}: {text}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what it came from; Twisted keeps that in `reasons`."""
    while error is not None:
        yield error
        for reason in getattr(error, "reasons", None) or ():
            yield from _chain(getattr(reason, "value", reason))
        error = error.__cause__
