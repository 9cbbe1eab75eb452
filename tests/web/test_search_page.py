"""The page of a search in a real browser, offline: on a desk and a phone, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sketchdata import synth
from sketchdata.drawings.drawing import Drawing
from sketchdata.photos.crops import encode
from sketchdata.web.pages import Neighbour, SheetRow, render_search
from tests.web.browsing import PHONE, Seen, accessibility_faults, overflow, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# A browser for every test.
pytestmark = pytest.mark.slow

HOSTILE = '</style><script>document.title = "taken"</script><img src="http://127.0.0.1:9/x.png">'


def drawings(word: str, count: int) -> list[Drawing]:
    return list(synth.generate(word, count, seed=2, start=0, label=0).drawings([word]))


def rows() -> list[SheetRow]:
    """Return two queries: a cat with 5 hits and 7 misses, and something that nobody has named."""
    found = [*drawings("cat", 5), *drawings("house", 7)]
    judged = [
        Neighbour(drawing=each, word=each.word, distance=place // 3, hit=each.word == "cat")
        for place, each in enumerate(found)
    ]
    unjudged = [Neighbour(drawing=each, word=HOSTILE, distance=200, hit=None) for each in found[:3]]
    (cat,) = drawings("cat", 1)
    return [
        SheetRow(name="cat.ndjson#3", word="cat", drawing=cat, runs={"hashing-64": judged}),
        SheetRow(name=HOSTILE, word=None, drawing=cat, runs={"hashing-64": unjudged}, note="nothing is known"),
    ]


def photo_rows() -> list[SheetRow]:
    """Return a drawing as pixels that found two photos."""
    query = encode(np.full((32, 32, 3), 255, np.uint8), "png")
    photos = [encode(np.full((32, 48, 3), shade, np.uint8), "jpeg") for shade in (80, 160)]
    found = [
        Neighbour(drawing=photo, word=word, distance=distance, hit=word == "cat", title="7")
        for photo, word, distance in zip(photos, ("cat", HOSTILE), (0.25, 1.0), strict=True)
    ]
    return [SheetRow(name="average precision 0.5", word="cat", drawing=query, runs={"": found})]


def test_photos_are_shown_from_the_page_itself_with_their_distances(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "photos.html"
    told = {"nouns": "photos", "number": "its distance in the space"}
    path.write_bytes(render_search(photo_rows(), index="2 photos", version="1", **told))
    with tab(browser) as (page, seen):
        page.context.set_offline(True)
        page.goto(path.as_uri())
        assert page.title() == "Nearest photos"
        assert page.locator("img.picture").count() == 3
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        assert page.get_by_role("img", name="cat, distance 0.250, hit").count() == 1
        assert page.locator(".result.miss .distance").inner_text().split() == ["✗", "1.000"]
        assert page.locator(".result .word").nth(1).inner_text() == HOSTILE
        assert "a photo is its distance in the space" in page.locator(".lead").inner_text()
        assert accessibility_faults(page) == []
        assert (seen.errors, seen.elsewhere("file:")) == ([], [])


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[tuple[Page, Seen]]:
    path = tmp_path / "found.html"
    path.write_bytes(render_search(rows(), index="345,000 codes of 64 bits (flat)", version="1"))
    with tab(browser) as (page, seen):
        page.context.set_offline(True)
        page.goto(path.as_uri())
        yield page, seen
        assert seen.errors == []
        assert seen.elsewhere("file:") == []


def test_hits_and_misses_differ_by_frame_and_mark(opened: tuple[Page, Seen]) -> None:
    page, _ = opened
    assert (page.locator(".result.hit").count(), page.locator(".result.miss").count()) == (5, 7)
    assert page.locator(".result").count() == 15
    style = "element => { const s = getComputedStyle(element); return [s.borderTopColor, s.borderTopStyle] }"
    hit, miss = (page.locator(f".result.{kind}").first for kind in ("hit", "miss"))
    (green, solid), (red, dashed) = hit.evaluate(style), miss.evaluate(style)
    assert green != red
    assert (solid, dashed) == ("solid", "dashed")
    assert hit.inner_text().split() == ["cat", "✓", "0"]
    assert miss.inner_text().split() == ["house", "✗", "1"]
    assert page.get_by_role("img", name="cat, distance 0, hit").count() == 3
    assert page.locator("section").first.locator(".query").inner_text().split("\n")[:1] == ["cat"]
    assert "5 of 12 are hits" in page.locator("section").first.inner_text()


def test_every_drawing_is_seen_in_its_frame(opened: tuple[Page, Seen]) -> None:
    page, _ = opened
    inside = """svg => {
      const frame = svg.getBoundingClientRect(), ink = svg.querySelector("path").getBoundingClientRect();
      return ink.width + ink.height > 20 && ink.left >= frame.left && ink.right <= frame.right
        && ink.top >= frame.top && ink.bottom <= frame.bottom;
    }"""
    assert all(picture.evaluate(inside) for picture in page.locator("svg.picture").all())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark_and_fits_on_a_phone(opened: tuple[Page, Seen], scheme: str) -> None:
    page, _ = opened
    page.emulate_media(color_scheme=scheme)
    assert accessibility_faults(page) == []
    assert overflow(page) <= 0
    page.set_viewport_size(PHONE)
    assert overflow(page) <= 0


def test_hostile_names_are_text_and_nothing_else(opened: tuple[Page, Seen]) -> None:
    page, _ = opened
    assert page.title() == "Nearest drawings"
    assert (page.locator("img").count(), page.locator("script").count()) == (0, 0)
    assert page.get_by_role("heading", level=2).nth(1).inner_text() == HOSTILE


def test_the_same_answers_give_the_same_bytes() -> None:
    one, two = (render_search(rows(), index="i", version="1") for _ in range(2))
    assert one == two
    assert len(one) < 40_000
