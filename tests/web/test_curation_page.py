"""The curation page in a real browser, with its real server, as curators use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sketchdata.curation.audit import Audit
from sketchdata.curation.decisions import DecisionLog, in_force
from tests.audits import rows_of
from tests.web.browsing import PHONE, Seen, Served, accessibility_faults, overflow, serving, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytest.importorskip("fastapi", reason="the curation page needs the extra `web`")

pytestmark = pytest.mark.slow
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


@pytest.fixture
def served(dataset: Path) -> Iterator[Served]:
    with serving(dataset) as server:
        yield server


@pytest.fixture
def opened(browser: Browser, served: Served) -> Iterator[tuple[Page, Seen]]:
    with tab(browser) as (page, seen):
        page.goto(served.url)
        page.locator("tbody tr").first.wait_for()
        yield page, seen


@pytest.fixture
def page(opened: tuple[Page, Seen], served: Served) -> Iterator[Page]:
    page, seen = opened
    yield page
    assert seen.errors == []
    assert seen.elsewhere(served.url) == []


def open_class(page: Page, word: str = "star", zone: str = "all") -> None:
    page.goto(f"{page.url.partition('#')[0]}#/{word}")
    page.locator(f"[data-zone={zone}]").click()
    page.locator(".item path").first.wait_for()


def items(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Drawings of").get_by_role("option")


def key_id_of(item: Locator) -> int:
    return int((item.get_attribute("aria-label") or "").split(",")[0].removeprefix("key_id "))


def zone_size(page: Page, zone: str) -> int:
    return int(page.locator(f"[data-zone={zone}] .number").inner_text().replace(",", ""))


def verdicts(dataset: Path) -> dict[int, str]:
    return {
        key_id: decision.verdict
        for key_id, decision in in_force(DecisionLog(dataset / "audit/decisions.jsonl").read()).items()
    }


def said(page: Page, text: str) -> None:
    page.locator(".actions .status", has_text=text).wait_for()


def expected_zones(audit: Audit, word: str, low: float, high: float) -> dict[str, int]:
    """Count a class's zones from the audit's columns by numpy."""
    own = audit.label == audit.classes.index(word)
    train = own & (audit.split == audit.splits.index("train"))
    left, right = np.percentile(audit.entropy[train], [low, high])
    entropy = audit.entropy[own]
    below, above = int((entropy < left).sum()), int((entropy > right).sum())
    return {"low": below, "normal": len(entropy) - below - above, "high": above}


def drag(page: Page, name: str, by: int) -> None:
    box = page.get_by_role("slider", name=name).bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by, y, steps=5)
    page.mouse.up()


def percentile(page: Page, name: str) -> float:
    return float(page.get_by_role("slider", name=name).get_attribute("aria-valuenow") or "nan")


# ---- looking ---------------------------------------------------------------------------------------------------------


def test_search_and_sort_are_those_of_the_report(page: Page, audit: Audit) -> None:
    page.get_by_role("searchbox").fill("a")
    page.get_by_role("button", name="p95").click()
    order = np.argsort(-audit.p_high)
    shown = page.locator("tbody th").all_inner_texts()
    assert shown == [audit.classes[label] for label in order if "a" in audit.classes[label]]


def test_the_counts_are_the_audits_until_a_line_is_moved_and_then_those_of_the_line(
    opened: tuple[Page, Seen], page: Page, audit: Audit
) -> None:
    open_class(page)
    assert {zone: zone_size(page, zone) for zone in ("low", "normal", "high")} == expected_zones(audit, "star", 5, 95)
    asked = len(opened[1].requests)
    drag(page, "Lower percentile", 90)
    drag(page, "Upper percentile", -60)
    low, high = percentile(page, "Lower percentile"), percentile(page, "Upper percentile")
    assert 5 < low < high < 95
    assert {zone: zone_size(page, zone) for zone in ("low", "normal", "high")} == expected_zones(
        audit, "star", low, high
    )
    # At once: the page has all it needs, and asks for nothing but the decisions of others.
    assert [url for url in opened[1].requests[asked:] if "decisions" not in url and "pictures" not in url] == []
    page.get_by_role("button", name="Lines to p5 and p95").click()
    assert {zone: zone_size(page, zone) for zone in ("low", "normal", "high")} == expected_zones(audit, "star", 5, 95)


def test_the_border_shows_the_drawings_nearest_to_the_line_and_follows_it(page: Page, audit: Audit) -> None:
    open_class(page, zone="border-low")
    before = [key_id_of(item) for item in items(page).all()]
    drag(page, "Lower percentile", 200)
    own = np.flatnonzero(audit.label == audit.classes.index("star"))
    line = np.percentile(audit.entropy[own[audit.split[own] == 0]], percentile(page, "Lower percentile"))
    distance = np.abs(audit.entropy[own] - line)
    shown = {key_id_of(item) for item in items(page).all()}
    assert shown != set(before)
    furthest = np.sort(distance)[len(shown) - 1]
    assert all(distance[audit.key_id[own] == np.uint64(each)] <= furthest for each in shown)


def test_a_line_is_moved_by_the_arrow_keys_and_does_not_pass_the_other(page: Page) -> None:
    open_class(page)
    handle = page.get_by_role("slider", name="Lower percentile")
    handle.press("ArrowRight")
    assert percentile(page, "Lower percentile") == 5.5
    handle.press("PageUp")
    assert percentile(page, "Lower percentile") == 10.5
    handle.press("End")
    assert percentile(page, "Lower percentile") == 95
    handle.press("Home")
    assert percentile(page, "Lower percentile") == 0
    assert zone_size(page, "low") <= 1  # drawings of other splits may have less ink than any of train


def test_pages_hold_every_drawing_of_a_zone_once(page: Page, audit: Audit) -> None:
    open_class(page)
    found = []
    for number in (1, 2, 3):
        assert page.locator(".page-text").inner_text() == f"Page {number} of 3"
        found += [key_id_of(item) for item in items(page).all()]
        page.keyboard.press("]")
    assert sorted(found) == sorted(audit.key_id[audit.label == audit.classes.index("star")].tolist())


def test_filters_by_split_recognized_and_country_count_what_fits(page: Page, audit: Audit, dataset: Path) -> None:
    facts = [
        (int(label), split, bool(known), country.decode())
        for split, batch in rows_of(dataset)
        for label, known, country in zip(batch.label, batch.recognized, batch.countrycode, strict=True)
    ]
    stars = [fact for fact in facts if fact[0] == audit.classes.index("star")]
    open_class(page)
    page.locator("select[name=split]").select_option("val")
    assert zone_size(page, "all") == sum(split == "val" for _, split, _, _ in stars) == 10
    page.locator("select[name=split]").select_option("all")
    page.locator("select[name=recognized]").select_option("no")
    assert zone_size(page, "all") == sum(not known for _, _, known, _ in stars)
    page.locator("select[name=country]").select_option("US")
    assert zone_size(page, "all") == sum(not known and country == "US" for _, _, known, country in stars)


# ---- deciding --------------------------------------------------------------------------------------------------------


def test_three_are_dropped_one_is_taken_back_and_the_rest_is_there_after_a_reload(page: Page, dataset: Path) -> None:
    open_class(page)
    chosen = [key_id_of(items(page).nth(place)) for place in (0, 2, 5)]
    for place in (0, 2, 5):
        items(page).nth(place).click()
    page.get_by_label("Reason").fill("a word, not a star")
    page.get_by_role("button", name="Drop").click()
    said(page, "Dropped 3 drawings, saved.")
    items(page).nth(2).click()
    page.get_by_role("button", name="Undo").click()
    said(page, "Taken back: 1 drawing, saved.")
    page.reload()
    page.locator("[data-zone=decided]").click()
    items(page).nth(1).locator(".badge").wait_for()
    assert [key_id_of(item) for item in items(page).all()] == [chosen[0], chosen[2]]
    assert items(page).locator(".badge").all_inner_texts() == ["drop", "drop"]
    assert verdicts(dataset) == {chosen[0]: "drop", chosen[2]: "drop"}
    log = DecisionLog(dataset / "audit/decisions.jsonl").read()
    assert [(d.who, d.reason) for d in log[:3]] == [("ada", "a word, not a star")] * 3
    page.get_by_role("link", name="All classes").click()
    row = page.locator("tbody tr", has_text="star")
    assert row.locator("[data-key=decided]").inner_text() == "2"


def test_a_whole_zone_is_dropped_at_once_with_the_zone_as_its_reason(page: Page, audit: Audit, dataset: Path) -> None:
    open_class(page, zone="high")
    page.get_by_role("button", name="Select all").click()
    page.keyboard.press("d")
    count = zone_size(page, "high")
    said(page, f"Dropped {count} drawings, saved.")
    own = audit.label == audit.classes.index("star")
    noise = audit.key_id[own & (audit.entropy > audit.p_high[audit.classes.index("star")])]
    assert verdicts(dataset) == dict.fromkeys(noise.tolist(), "drop")
    log = DecisionLog(dataset / "audit/decisions.jsonl").read()
    assert {d.reason for d in log} == {"entropy above p95"}
    assert len({d.batch for d in log}) == 1


def test_shift_and_click_select_a_range_and_escape_leaves_it(page: Page) -> None:
    open_class(page)
    items(page).nth(1).click()
    items(page).nth(6).click(modifiers=["Shift"])
    assert page.locator("[role=option][aria-selected=true]").count() == 6
    page.keyboard.press("Escape")
    assert page.locator("[role=option][aria-selected=true]").count() == 0
    assert page.get_by_role("heading", level=1).inner_text() == "star"


def test_a_curator_gets_by_with_the_keyboard_alone(page: Page, dataset: Path) -> None:
    page.keyboard.press("/")
    page.keyboard.type("cat")
    page.keyboard.press("Enter")
    page.locator(".item path").first.wait_for()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "option":
            break
    first = [key_id_of(items(page).nth(place)) for place in range(3)]
    page.keyboard.press("d")
    said(page, "Dropped 1 drawing, saved.")
    page.keyboard.press("k")  # the focus has moved on to the second
    said(page, "Kept 1 drawing, saved.")
    page.keyboard.press("Home")
    page.keyboard.press("u")
    said(page, "Taken back: 1 drawing, saved.")
    assert verdicts(dataset) == {first[1]: "keep"}
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("d")
    said(page, "Dropped 3 drawings, saved.")
    assert verdicts(dataset) == dict.fromkeys(first, "drop")


def test_two_pages_at_once_lose_nothing_and_see_each_others_decisions(
    page: Page, browser: Browser, served: Served, dataset: Path
) -> None:
    with tab(browser) as (other, seen):
        other.goto(served.url)
        for each in (page, other):
            open_class(each)
        ids = [key_id_of(items(page).nth(place)) for place in range(4)]
        for place, (each, button) in enumerate([(page, "Drop"), (other, "Keep"), (page, "Drop"), (other, "Drop")]):
            items(each).nth(place).click()
            each.get_by_role("button", name=button).click()
        for each in (page, other):
            for place, verdict in enumerate(["drop", "keep", "drop", "drop"]):
                each.locator(f"[role=option] >> nth={place} >> .badge >> text={verdict}").wait_for(timeout=5000)
        assert verdicts(dataset) == dict(zip(ids, ["drop", "keep", "drop", "drop"], strict=True))
        assert seen.errors == []


def test_what_was_acknowledged_survives_a_killed_server_and_nothing_else_is_claimed(
    opened: tuple[Page, Seen], served: Served, dataset: Path
) -> None:
    page = opened[0]  # its console names the requests that fail, as they must here
    open_class(page)
    ids = [key_id_of(items(page).nth(place)) for place in range(3)]
    items(page).nth(0).click()
    items(page).nth(1).click()
    page.keyboard.press("d")
    said(page, "Dropped 2 drawings, saved.")
    served.process.kill()
    served.process.wait()
    page.get_by_role("alert").get_by_text("nothing can be saved now").wait_for()
    items(page).nth(2).click()
    page.keyboard.press("d")
    said(page, "Not saved")
    assert items(page).nth(2).locator(".badge").is_hidden()
    with serving(dataset, port=served.port):
        page.get_by_role("alert").get_by_text("nothing can be saved now").wait_for(state="detached")
        page.keyboard.press("d")  # still selected
        said(page, "Dropped 1 drawing, saved.")
        page.reload()
        page.locator("[data-zone=decided]").click()
        items(page).nth(2).wait_for()
        assert sorted(key_id_of(item) for item in items(page).all()) == sorted(ids)
    assert verdicts(dataset) == dict.fromkeys(ids, "drop")


# ---- everybody -------------------------------------------------------------------------------------------------------


@SCHEMES
def test_axe_finds_no_serious_fault(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    assert accessibility_faults(page) == []
    open_class(page)
    items(page).nth(0).click()
    page.keyboard.press("d")
    said(page, "Dropped 1 drawing, saved.")
    items(page).nth(2).click()
    assert accessibility_faults(page) == []


def test_it_fits_on_a_phone(page: Page) -> None:
    page.set_viewport_size(PHONE)
    assert overflow(page) <= 0
    open_class(page)
    assert overflow(page) <= 0
