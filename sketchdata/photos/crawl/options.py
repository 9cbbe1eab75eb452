"""Options of a crawl: identity, rate, retries, limits, and which addresses may be requested."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import click

from sketchdata import __version__
from sketchdata.config import option
from sketchdata.errors import ConfigError
from sketchdata.photos.image import DEFAULT_LIMITS, PhotoLimits

#: IPv6 prefix of gateways to IPv4 hosts. Source: RFC 6052, section 2.1.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(host: str) -> bool:
    """Return whether an address literal belongs to the public internet.

    Loopback, private, link-local, unique-local, shared, multicast, reserved and unspecified addresses do not, nor do
    IPv6 addresses that represent such an IPv4 address (mapped, 6to4, NAT64). A name is not public, since its address is
    unknown. Source: the IANA special-purpose address registries, as in Python's ipaddress.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def fault_of_url(url: str) -> tuple[str, str] | None:
    """Return why a URL cannot be requested, as (reason, detail): `not http` or `bad address`; None if it can.

    The addresses to which its host resolves are checked when connecting, not here.
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
        return "bad address", "it has blanks or control characters in it: write them as %20 and so on"
    return None


#: The crawler's name in robots.txt and X-Robots-Tag.
BOT_NAME = "sketchdata"
_CONTACT = re.compile(r"https?://[!-'*-:<-~]+|[!-'*-:<-~]+@[!-'*-:<-~]+")


@dataclass(frozen=True, kw_only=True)
class CrawlOptions:
    """Options of a crawl, also as options of a command.

    Raises:
        ConfigError: A value is out of its range.
    """

    contact: str | None = option(
        None,
        help="Mail address or web page for the user agent, so that a server's owner can reach you. Default: none.",
        record=False,
        metavar="MAIL|URL",
    )
    delay: float = option(
        0.5,
        help="Seconds between two requests to a host; more where its robots.txt, latency or answers ask for it.",
        record=False,
        type=click.FloatRange(min=0),
    )
    concurrency: int = option(32, help="Concurrent requests, to all hosts.", record=False, type=click.IntRange(1, 1024))
    concurrency_per_host: int = option(
        2, help="Concurrent requests, to one host.", record=False, type=click.IntRange(1, 64)
    )
    timeout: float = option(
        30.0, help="Seconds that one request may take.", record=False, type=click.FloatRange(0.1, 3600)
    )
    # Not `retries`, which is an option of the engine in the same command.
    fetch_retries: int = option(
        2,
        help="Retries after status 408, 429 or 5xx, a time-out or a broken connection.",
        record=False,
        type=click.IntRange(min=0),
    )
    max_bytes: int = option(DEFAULT_LIMITS.bytes, help="Largest photo in bytes.", type=click.IntRange(min=1))
    max_pixels: int = option(
        DEFAULT_LIMITS.pixels, help="Largest photo in pixels, checked before decoding.", type=click.IntRange(min=1)
    )
    allow_private: bool = option(
        False, help="Also fetch from loopback, private and other addresses that are not public.", record=False
    )
    retry_failed: bool = option(False, help="Fetch failed photos again, but not refused ones.", record=False)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            least, value = getattr(field.metadata["click"].get("type"), "min", None), getattr(self, field.name)
            if least is not None and not value >= least:
                raise ConfigError(f"{field.name} = {value!r} of a crawl: expected at least {least:g}")
        if self.contact is not None and not _CONTACT.fullmatch(self.contact):
            raise ConfigError(f"contact = {self.contact!r}: expected a mail address or an http(s) URL, in ASCII")

    @property
    def limits(self) -> PhotoLimits:
        """The limits of accepted photos."""
        return PhotoLimits(bytes=self.max_bytes, pixels=self.max_pixels)

    @property
    def user_agent(self) -> str:
        """The tool, its version and, if given, a contact."""
        tool = f"{BOT_NAME}/{__version__}"
        return tool if self.contact is None else f"{tool} (+{self.contact})"
