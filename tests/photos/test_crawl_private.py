"""Addresses that are not public are connected to by no name, spelling, redirect or robots.txt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sketchdata.photos.crawl import CrawlOptions, PhotoOutcome, crawl
from tests.photo_servers import PhotoServer

OPTIONS = CrawlOptions(delay=0, timeout=10, fetch_retries=0, concurrency_per_host=8)
SPELLINGS = [
    "127.0.0.1", "localhost", "LOCALHOST", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "0.0.0.0",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "10.0.0.1", "192.168.0.1",
    "169.254.169.254", "224.0.0.1", "[fe80::1]", "[fc00::1]", "[64:ff9b::7f00:1]",
]  # fmt: skip
#: The crawling process, started in a world where 127.0.0.2 is a part of the internet.
_START_ELSEWHERE = """
import sys
sys.path[:] = sys.argv[1:]
from sketchdata.photos.crawl import spider
is_public = spider.is_public
spider.is_public = lambda host: host == "127.0.0.2" or is_public(host)
spider.main()
"""


@pytest.fixture
def private() -> Iterator[PhotoServer]:
    with PhotoServer() as server:
        yield server


def verdict(outcome: PhotoOutcome) -> tuple[str, str | None]:
    return outcome.status, outcome.error


@pytest.mark.slow
def test_no_spelling_of_an_address_that_is_not_public_is_connected_to(private: PhotoServer, tmp_path: Path) -> None:
    with PhotoServer("::1") as private6:
        urls = [server.url("/a.jpg", host) for server in (private, private6) for host in SPELLINGS]
        secure = [f"https://{host}:{private.port}/a.jpg" for host in ("127.0.0.1", "localhost", "[::1]")]
        outcomes = crawl([*urls, *secure], tmp_path, OPTIONS)
        assert {url: verdict(found) for url, found in outcomes.items()} == dict.fromkeys(
            [*urls, *secure], ("refused", "private address")
        )
        assert private.requests == private6.requests == []


@pytest.mark.slow
def test_nothing_public_leads_to_what_is_not(
    private: PhotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sketchdata.photos.crawl._START", _START_ELSEWHERE)
    with PhotoServer("127.0.0.2") as public, PhotoServer("127.0.0.2") as misled:
        public.answer("/by-address", redirect=private.url("/a.jpg"))
        public.answer("/by-name", redirect=private.url("/a.jpg", "localhost"))
        public.answer("/by-number", redirect=private.url("/a.jpg", "2130706433"))
        misled.answer("/robots.txt", redirect=private.url("/robots.txt"))
        paths = ("/a.jpg", "/by-address", "/by-name", "/by-number")
        outcomes = crawl([*map(public.url, paths), misled.url("/a.jpg")], tmp_path, OPTIONS)
        assert {path: verdict(outcomes[public.url(path)]) for path in paths} == {
            "/a.jpg": ("ok", None),
            **dict.fromkeys(paths[1:], ("refused", "private address")),
        }
        assert verdict(outcomes[misled.url("/a.jpg")]) == ("refused", "private address")
        assert misled.photos_asked() == private.requests == []


@pytest.mark.slow
def test_private_addresses_are_asked_when_they_are_allowed(tmp_path: Path) -> None:
    with PhotoServer("::1") as server:
        url = server.url("/a.jpg")
        assert verdict(crawl([url], tmp_path, CrawlOptions(delay=0, allow_private=True))[url]) == ("ok", None)
