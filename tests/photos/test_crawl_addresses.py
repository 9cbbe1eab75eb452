"""Which addresses are public, and which URLs can be asked for at all."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.photos.crawl.options import fault_of_url, is_public

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
NOT_PUBLIC = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "100::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("name", ["localhost", "example.com", "2130706433", "0177.0.0.1", "127.1", "0x7f.1", ""])
def test_names_and_odd_spellings_are_not_public_before_they_are_resolved(name: str) -> None:
    assert not is_public(name)


@given(st.ip_addresses(v=4))
def test_an_ipv6_address_that_stands_for_an_ipv4_one_is_judged_like_it(address: ipaddress.IPv4Address) -> None:
    for prefix in ("::ffff:", "64:ff9b::"):
        assert is_public(f"{prefix}{address}") == is_public(str(address))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "not http"),
        ("nonsense", "not http"),
        ("ftp://example.com/a.jpg", "not http"),
        ("file:///etc/passwd", "not http"),
        ("data:image/gif;base64,R0lGOD", "not http"),
        ("javascript:alert(1)", "not http"),
        ("http://", "bad address"),
        ("http:///a.jpg", "bad address"),
        ("http://[::1/a.jpg", "bad address"),
        ("http://example.com:99999/a.jpg", "bad address"),
        ("http://example.com:0/a.jpg", "bad address"),
        ("http://example.com:x/a.jpg", "bad address"),
        ("http://me:secret@example.com/a.jpg", "bad address"),
        ("http://example.com/a b.jpg", "bad address"),
        ("http://example.com/a\n.jpg", "bad address"),
        ("http://example.com/a.jpg", None),
        ("HTTPS://Example.com:8443/ä?x=1#top", None),
        ("http://[2606:4700::1]:80/a.jpg", None),
    ],
)
def test_a_url_that_cannot_be_asked_for_has_a_reason(url: str, reason: str | None) -> None:
    found = fault_of_url(url)
    assert (found and found[0]) == reason
    assert "secret" not in str(found)
