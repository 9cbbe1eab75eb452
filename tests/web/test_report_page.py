"""The report in a real browser, offline, as a reader uses it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sketchdata.curation.audit import Audit
from sketchdata.web.exhibit import exhibit_drawings
from sketchdata.web.pages import render_report
from tests.audits import rows_of
from tests.web.browsing import PHONE, Seen, accessibility_faults, overflow, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# A browser for every test.
pytestmark = pytest.mark.slow

SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


@pytest.fixture
def opened(browser: Browser, audited: Path) -> Iterator[tuple[Page, Seen]]:
    with tab(browser) as (page, seen):
        page.context.set_offline(True)
        page.goto((audited / "audit/report.html").as_uri())
        yield page, seen
        assert seen.errors == []
        assert seen.elsewhere("file:") == []


@pytest.fixture
def page(opened: tuple[Page, Seen]) -> Page:
    return opened[0]


def words(page: Page) -> list[str]:
    return page.locator("tbody th").all_inner_texts()


def test_the_table_lists_every_class_with_the_audits_numbers(page: Page, audit: Audit) -> None:
    assert words(page) == list(audit.classes)
    for label, cells in enumerate(page.locator("tbody tr").all()):
        numbers = cells.locator("td").all_inner_texts()
        limits = [f"{values[label]:.4f}" for values in (audit.p_low, audit.p_median, audit.p_high)]
        noise = audit.noise[audit.label == label].mean()
        assert numbers[:5] == [f"{(audit.label == label).sum()}", *limits, f"{100 * noise:.1f} %"]


def test_search_narrows_the_table_and_escape_widens_it(page: Page, audit: Audit) -> None:
    page.get_by_role("searchbox").fill("A")
    assert words(page) == ["aircraft carrier", "cat", "star"]
    assert page.get_by_role("status").inner_text() == "3 of 4 classes"
    page.keyboard.press("Escape")
    assert words(page) == list(audit.classes)


def test_a_columns_heading_sorts_by_it_from_the_largest_and_then_from_the_smallest(page: Page, audit: Audit) -> None:
    rising = [audit.classes[label] for label in np.argsort(audit.p_median)]
    heading = page.get_by_role("button", name="Median")
    heading.click()
    assert words(page) == rising[::-1]
    heading.click()
    assert words(page) == rising
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Median")


def test_a_class_shows_its_limits_and_drawings_of_its_own_along_the_axis(
    page: Page, audit: Audit, audited: Path
) -> None:
    page.get_by_role("link", name="star").click()
    assert page.get_by_role("heading", level=1).inner_text() == "star"
    label = audit.classes.index("star")
    lines = page.locator(".line-label").all_inner_texts()
    assert lines == [f"p5 · {audit.p_low[label]:.4f}", f"p95 · {audit.p_high[label]:.4f}"]
    examples = page.get_by_role("img").all()
    assert 12 <= len(examples) <= 20
    scores = [float(example.locator("figcaption").inner_text()) for example in examples]
    assert scores == sorted(scores)
    _check_drawing(
        examples[7].get_attribute("aria-label") or "", examples[7].locator("path").get_attribute("d"), audited
    )


def _check_drawing(name: str, path: str | None, directory: Path) -> None:
    found = re.match(r"Drawing (\d+), entropy", name)
    assert found is not None, name
    for _, batch in rows_of(directory):
        for row in np.flatnonzero(batch.key_id == int(found[1])):
            strokes = next(iter(batch.take(np.array([row])).drawings(["", "", "", "star"]))).strokes
            points = [f"{'L' if i else 'M'}{x} {y}" for stroke in strokes for i, (x, y) in enumerate(stroke.tolist())]
            assert (path or "").replace("h.01", "") == "".join(points)
            return
    raise AssertionError(f"{name} is not in the data set")


def test_an_example_that_is_pointed_at_is_marked_on_the_axis(page: Page) -> None:
    page.get_by_role("link", name="star").click()
    assert page.locator(".pin").is_hidden()
    page.get_by_role("img").first.hover()
    assert page.locator(".pin").is_visible()


def test_everything_is_reached_by_keyboard_alone(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("hou")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="house", exact=True).wait_for()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "house"
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    for key, word in (("ArrowDown", "cat"), ("ArrowDown", "house"), ("ArrowUp", "cat"), ("End", "star")):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.textContent") == word
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="star", exact=True).wait_for()
    for key, word in (("p", "house"), ("p", "cat"), ("n", "house")):
        page.keyboard.press(key)
        page.get_by_role("heading", name=word, exact=True).wait_for()
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    assert page.get_by_role("heading", level=1).inner_text() == "house"


def test_the_address_names_the_class_so_that_it_can_be_sent_to_somebody(page: Page) -> None:
    page.goto(f"{page.url.partition('#')[0]}#/aircraft%20carrier")
    page.get_by_role("heading", name="aircraft carrier").wait_for()
    page.reload()
    assert page.get_by_role("heading", level=1).inner_text() == "aircraft carrier"


def test_the_foot_says_where_the_numbers_come_from(page: Page, audit: Audit) -> None:
    foot = page.locator("footer").inner_text()
    for fact in ("360 train, 40 val, 40 gallery, 4 query", "seed 0", "line_width 1", audit.record.manifest):
        assert fact in foot


@pytest.mark.slow
@SCHEMES
def test_axe_finds_no_serious_fault(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    assert accessibility_faults(page) == []
    page.get_by_role("link", name="star").click()
    assert accessibility_faults(page) == []
    page.keyboard.press("?")
    assert accessibility_faults(page) == []


def test_it_fits_on_a_phone(page: Page) -> None:
    page.set_viewport_size(PHONE)
    assert overflow(page) <= 0
    page.get_by_role("link", name="aircraft carrier").click()
    assert overflow(page) <= 0


def test_a_hostile_name_is_text_and_nothing_else(browser: Browser, audited: Path, tmp_path: Path) -> None:
    name = "</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"
    exhibit = exhibit_drawings(audited)
    audit = dataclasses.replace(exhibit.audit, manifest=dataclasses.replace(exhibit.audit.manifest, name=name))
    path = tmp_path / "report.html"
    path.write_bytes(render_report(dataclasses.replace(exhibit, audit=audit)))
    with tab(browser) as (page, seen):
        page.goto(path.as_uri())
        assert page.get_by_role("heading", level=1).inner_text() == f"Audit of {name}"
        assert page.title() == f"Audit of {name}"
        assert page.locator("img").count() == 0
        assert seen.errors == []
