"""How to crawl: who asks, how fast, how patiently, and what is let in."""

from __future__ import annotations

import re
from dataclasses import dataclass

import click

from sketchdata.config import option
from sketchdata.errors import ConfigError
from sketchdata.photos import DEFAULT_LIMITS, PhotoLimits
from sketchdata.version import __version__

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
