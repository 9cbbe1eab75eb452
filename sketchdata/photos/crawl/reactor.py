"""A reactor that opens no connection but to public addresses.

The check sits where connections are made, and not at a look-up beforehand: whatever a name resolved to a moment ago,
wherever a redirect or a robots.txt leads, and however an address is spelt, it ends as an address literal here.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor

from sketchdata.photos.crawl.options import is_public, refused


class PublicReactor(AsyncioSelectorReactor):
    """Twisted's asyncio reactor, for the public internet alone."""

    def connectTCP(self, host: str, port: int, *args: Any, **options: Any) -> Any:  # noqa: N802 - Twisted's name
        """Open a connection, TLS or not, or raise a PhotoError: `private address`."""
        if not is_public(host):
            raise refused("private address", f"{host} is no address of the public internet")
        return super().connectTCP(host, port, *args, **options)


def install() -> None:
    """Make this the process's reactor; Scrapy calls it by the setting TWISTED_REACTOR."""
    installReactor(PublicReactor())  # type: ignore[no-untyped-call]
