"""Which addresses a crawler may connect to, and which URLs it may ask for."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

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
