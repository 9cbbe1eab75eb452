"""How to crawl: who asks, how fast, how patiently, and what is let in."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import click
from OpenSSL import SSL
from scrapy import exceptions
from scrapy.exceptions import IgnoreRequest
from twisted.internet import error as network

from sketchdata.config import option
from sketchdata.errors import ConfigError
from sketchdata.photos.image import DEFAULT_LIMITS, PhotoLimits
from sketchdata.version import __version__

# Which addresses a crawler may connect to, and which URLs it may ask for.

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: IPv6 addresses behind which a gateway reaches an IPv4 host. Source: RFC 6052, section 2.1.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(host: str) -> bool:
    """Tell whether an address literal belongs to the public internet.

    Loopback, private, link-local, unique-local, shared, multicast, reserved and unspecified addresses do not, nor do
    IPv6 addresses that stand for such an IPv4 one (mapped, 6to4, NAT64). A name is not public: names hide addresses.
    Source: the IANA special-purpose address registries, as in Python's ipaddress.
    """
    try:
        address: _Address = ipaddress.ip_address(host)
    except ValueError:
        return False
    inner = _embedded(address)
    if inner is not None:
        return is_public(str(inner))
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _embedded(address: _Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def fault_of_url(url: str) -> tuple[str, str] | None:
    """Say why a URL cannot be asked for, as (reason, detail): `not http` or `bad address`; None when it can.

    What its host resolves to is not looked at here: that is judged when a connection is made.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return "bad address", str(error)
    if parts.scheme not in ("http", "https"):
        return "not http", f"{parts.scheme or 'no scheme'} where http or https was expected"
    if not host or port == 0:
        return "bad address", "it names no host" if not host else "port 0"
    if parts.username is not None:
        return "bad address", "it has a user name or password in it"
    if any(character <= " " or character == "\x7f" for character in url):
        return "bad address", "it has blanks or control characters in it: write them as %20 and the like"
    return None


# Why a photo was not had: every exception of Scrapy, Twisted and our own, in a few words and a status.

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


#: By this name robots.txt and X-Robots-Tag may address the crawler.
BOT_NAME = "sketchdata"
_CONTACT = re.compile(r"https?://[!-'*-:<-~]+|[!-'*-:<-~]+@[!-'*-:<-~]+")
_LEAST = {
    "delay": 0,
    "concurrency": 1,
    "concurrency_per_host": 1,
    "timeout": 0.1,
    "fetch_retries": 0,
    "max_bytes": 1,
    "max_pixels": 1,
}


@dataclass(frozen=True, kw_only=True)
class CrawlOptions:
    """Options of a crawl, which a command can hand on as its own.

    Raises:
        ConfigError: A value cannot be.
    """

    contact: str | None = option(
        None,
        help="Mail address or web page in the user agent, for those whose servers are asked. Without it there is none.",
        record=False,
        metavar="MAIL|URL",
    )
    delay: float = option(
        0.5,
        help="Seconds between two requests to a host; more where its robots.txt, slowness or answers ask it.",
        record=False,
        type=click.FloatRange(min=0),
    )
    concurrency: int = option(
        32, help="Requests under way at once, to all hosts.", record=False, type=click.IntRange(min=1)
    )
    concurrency_per_host: int = option(
        2, help="Requests under way at once, to one host.", record=False, type=click.IntRange(min=1)
    )
    timeout: float = option(
        30.0, help="Seconds that one request may take.", record=False, type=click.FloatRange(min=0.1)
    )
    # Not `retries`: the engine that copies local photos has that one, and one command has both.
    fetch_retries: int = option(
        2,
        help="Further tries after status 408, 429 or 5xx, a time-out or a broken connection.",
        record=False,
        type=click.IntRange(min=0),
    )
    max_bytes: int = option(
        DEFAULT_LIMITS.bytes, help="The most bytes of a photo; no more are read.", type=click.IntRange(min=1)
    )
    max_pixels: int = option(
        DEFAULT_LIMITS.pixels,
        help="The most pixels of a photo, by its header, before it is decoded.",
        type=click.IntRange(min=1),
    )
    allow_private: bool = option(
        False, help="Ask loopback, private and other addresses that are not public, too.", record=False
    )
    retry_failed: bool = option(False, help="Ask again for the photos that failed; not for refused ones.", record=False)

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name} = {getattr(self, name)!r} of a crawl: at least {least} is expected")
        if self.contact is not None and not _CONTACT.fullmatch(self.contact):
            raise ConfigError(f"contact = {self.contact!r}: a mail address or an http(s) URL is expected, in ASCII")

    @property
    def limits(self) -> PhotoLimits:
        """What a photo may cost."""
        return PhotoLimits(bytes=self.max_bytes, pixels=self.max_pixels)

    @property
    def user_agent(self) -> str:
        """The user agent: the tool, its version and, where given, a contact."""
        tool = f"{BOT_NAME}/{__version__}"
        return tool if self.contact is None else f"{tool} (+{self.contact})"
