"""The report and the curation page of edge maps in a real browser: each edge map beside its photo."""

from __future__ import annotations

import base64
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from sketchdata.curation.audit import Audit, read_audit
from sketchdata.curation.decisions import DecisionLog, in_force
from sketchdata.curation.messiness import decode_map, ink_of
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.photos.image import decode, resize
from sketchdata.pipelines import edgemaps_curate
from sketchdata.storage import pictures
from sketchdata.web import views
from sketchdata.web.exhibit import Exhibit, exhibit_edge_maps
from sketchdata.web.pages import write_report
from tests.commands import sketchdata
from tests.edge_map_sets import EDGE_MAPS, EdgeMapSet, make_edge_maps
from tests.quickdraw_builds import IN_PROCESS
from tests.web.browsing import PHONE, Seen, Served, accessibility_faults, overflow, serving, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytest.importorskip("fastapi", reason="the curation page needs the extra `web`")

pytestmark = pytest.mark.slow
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
#: Returns mean and deviation of the pixels of an image that the page shows; an image that is not drawn has none.
PIXELS = """image => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const values = [...context.getImageData(0, 0, canvas.width, canvas.height).data].filter((_, i) => i % 4 < 3);
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
  return [canvas.width, canvas.height, mean, Math.sqrt(variance)];
}"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EdgeMapSet:
    """Audited edge maps beside their crops, with a report; not to be written to."""
    found = make_edge_maps(tmp_path_factory.mktemp("pages"))
    assert edgemaps_curate.run(found.edges, edgemaps_curate.Config(), IN_PROCESS) is not None
    write_report(exhibit_edge_maps(found.edges))
    return found


@pytest.fixture(scope="module")
def exhibit(made: EdgeMapSet) -> Exhibit:
    return exhibit_edge_maps(made.edges)


@pytest.fixture(scope="module")
def audit(made: EdgeMapSet) -> Audit:
    return read_audit(made.edges, "messiness")


@pytest.fixture(scope="module")
def rows(made: EdgeMapSet) -> dict[int, dict[str, Any]]:
    """The edge maps as stored, by key_id, and with `crop` the photo, read without the pages' code."""
    tables = {
        folder: [row for path in sorted((folder / "data").iterdir()) for row in pq.read_table(path).to_pylist()]
        for folder in (made.edges, made.crops)
    }
    photos = {row["key_id"]: row["image"]["bytes"] for row in tables[made.crops]}
    return {row["key_id"]: {**row, "crop": photos[row["key_id"]]} for row in tables[made.edges]}


def pixels(url: str) -> np.ndarray:
    """Decode the picture of a data address, RGB."""
    content = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


# ---- what the pages are given ----------------------------------------------------------------------------------------


def test_every_edge_map_is_an_item_with_its_source_and_licence(
    exhibit: Exhibit, audit: Audit, rows: dict[int, dict[str, Any]]
) -> None:
    items = exhibit.items
    assert sorted(items.row.tolist()) == list(range(len(audit)))
    told = {fact.name: np.array(fact.values)[fact.index].tolist() for fact in items.facts}
    assert list(told) == ["source", "licence"]
    assert told["source"] == [rows[key_id]["source"] for key_id in items.id.tolist()]
    assert told["licence"] == [rows[key_id]["licence"] or "not stated" for key_id in items.id.tolist()]


def test_the_overview_has_classes_with_edge_maps_and_counts_licences_and_sources(
    exhibit: Exhibit, rows: dict[int, dict[str, Any]]
) -> None:
    overview = views.overview(exhibit.audit, exhibit.items)
    assert {row["word"]: row["count"] for row in overview["classes"]} == EDGE_MAPS
    assert [tally["title"] for tally in overview["tallies"]] == ["Source", "Licence"]
    for tally, name in zip(overview["tallies"], ("source", "licence"), strict=True):
        assert dict(tally["rows"]) == Counter(row[name] or "not stated" for row in rows.values())
    assert (overview["low"], overview["high"]) == (None, 90.0)
    assert "distance" not in overview["lead"]
    assert overview["facts"]["Without edge maps"] == "342 of the 345 classes"


def test_a_page_gets_the_edge_map_as_stored_and_the_photo_made_small(
    exhibit: Exhibit, audit: Audit, rows: dict[int, dict[str, Any]]
) -> None:
    wanted = [77, 3, 40, 3]
    for row, picture in zip(wanted, exhibit.pictures.read(wanted), strict=True):
        stored = rows[int(audit.key_id[row])]
        assert picture["kind"] == "edgemap"
        assert base64.b64decode(picture["data"]["edges"].partition(",")[2]) == stored["image"]["bytes"]
        expected = resize(decode(stored["crop"]), 128).astype(np.float64)
        assert np.abs(pixels(picture["data"]["photo"]) - expected).mean() < 6
        assert picture["data"]["page"] == stored["page"]
        assert stored["author"] in picture["data"]["credit"]
        assert (stored["licence"] or "not stated") in picture["data"]["credit"]


def test_the_report_gets_small_ones_that_show_the_same(
    exhibit: Exhibit, audit: Audit, rows: dict[int, dict[str, Any]]
) -> None:
    wanted = list(range(len(audit)))
    found = exhibit.pictures.read(wanted, small=True)
    for row, picture in zip(wanted, found, strict=True):
        stored = rows[int(audit.key_id[row])]
        ink = ink_of(decode_map(stored["image"]["bytes"]), black=True, weakest=16)
        shown = 1 - pixels(picture["data"]["edges"])[:, :, 0] / 255
        assert shown.shape == (112, 112)
        assert np.corrcoef(shown.ravel(), ink.reshape(112, 2, 112, 2).mean(axis=(1, 3)).ravel())[0, 1] > 0.9
    assert np.mean([len(json.dumps(picture["data"])) for picture in found]) < 3600


@pytest.mark.parametrize("page", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", None, ""])
def test_only_an_address_of_the_web_becomes_a_link(made: EdgeMapSet, tmp_path: Path, page: str | None) -> None:
    edges = Path(shutil.copytree(made.edges, tmp_path / "edges"))
    path = sorted((edges / "data").iterdir())[0]
    table = pq.read_table(path)
    columns = {name: table.column(name) for name in table.column_names if name != "word"}
    columns["page"] = [page] * table.num_rows
    pictures.write_shard(path, pictures.to_table(columns, read_audit(made.edges, "messiness").classes), {})
    exhibit = exhibit_edge_maps(edges, made.crops)
    assert exhibit.pictures.read([0])[0]["data"]["page"] is None


def test_examples_go_from_the_best_to_the_worst_and_a_small_class_is_shown_whole(exhibit: Exhibit) -> None:
    items = exhibit.items
    for label in np.flatnonzero(np.diff(items.offsets)).tolist():
        found = list(views.example_positions(exhibit.audit, items, label))
        positions = [position for _, position in found]
        assert positions == sorted(set(positions))
        own = items.group(label)
        assert (positions[0], positions[-1]) == (own.start, own.stop - 1)
        assert next(iter(dict(found))) == "best"
    assert len(positions) == EDGE_MAPS["star"]


def test_the_photos_are_found_beside_the_edge_maps_or_given_or_left_out(
    made: EdgeMapSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = Path(shutil.copytree(made.edges, tmp_path / "alone" / "edges"))
    assert exhibit_edge_maps(alone).pictures.read([0])[0]["data"]["photo"] is None
    assert "edge maps are shown alone; see --photos" in " ".join(capsys.readouterr().err.split())
    given = exhibit_edge_maps(alone, made.crops)
    assert given.pictures.read([0])[0]["data"]["photo"] is not None
    other = make_edge_maps(tmp_path / "other", {"apple": 3}, seed=5)
    with pytest.raises(ConfigError, match="were made from other photos than those"):
        exhibit_edge_maps(alone, other.crops)
    with pytest.raises(SketchDataError, match="is not a finished data set"):
        exhibit_edge_maps(alone, tmp_path)


def test_the_report_has_the_same_bytes_when_it_is_made_again(made: EdgeMapSet, tmp_path: Path) -> None:
    again = write_report(exhibit_edge_maps(made.edges, made.crops), tmp_path / "again.html")
    assert again.read_bytes() == (made.edges / "audit/report.html").read_bytes()


# ---- the report ------------------------------------------------------------------------------------------------------


@pytest.fixture
def report(browser: Browser, made: EdgeMapSet) -> Iterator[Page]:
    with tab(browser) as (page, seen):
        page.context.set_offline(True)
        page.goto((made.edges / "audit/report.html").as_uri())
        yield page
        assert seen.errors == []
        assert seen.elsewhere("file:") == []


def test_the_report_lists_classes_licences_and_sources(report: Page, audit: Audit) -> None:
    assert report.locator("tbody th").all_inner_texts() == list(EDGE_MAPS)
    cells = report.locator("tbody tr", has_text="apple").locator("td").all_inner_texts()
    apples = audit.label == audit.classes.index("apple")
    limits = [f"{values[audit.classes.index('apple')]:.4f}" for values in (audit.p_median, audit.p_high)]
    assert cells[:4] == ["40", *limits, f"{100 * audit.noise[apples].mean():.1f} %"]
    tallies = report.locator(".tallies").inner_text()
    for text in ("Source", "voc", "Licence", "CC BY-SA 2.0", "not stated"):
        assert text in tallies
    assert "mean of an edge map's ranks" in report.locator(".lead").inner_text()


def test_a_class_shows_one_line_and_photos_beside_edge_maps_that_are_really_drawn(report: Page) -> None:
    report.get_by_role("link", name="apple").click()
    assert [text[:4] for text in report.locator(".line-label").all_inner_texts()] == ["p90 "]
    examples = report.locator(".example").all()
    scores = [float(example.locator("figcaption").inner_text()) for example in examples]
    assert scores == sorted(scores)
    assert len(scores) >= 16
    for example in (examples[0], examples[-1]):
        photo, edges = example.locator("img").all()
        photo.scroll_into_view_if_needed()
        width, height, _, deviation = photo.evaluate(PIXELS)
        assert (width, height, deviation > 5) == (88, 66, True)
        width, height, mean, deviation = edges.evaluate(PIXELS)
        assert (width, height) == (112, 112)
        assert 180 < mean < 254
        assert deviation > 10
        left, right = photo.bounding_box(), edges.bounding_box()
        assert left is not None
        assert right is not None
        assert left["x"] + left["width"] <= right["x"]
    assert examples[0].locator("a").get_attribute("href", timeout=1000).startswith("https://photos.example/pages/")


@SCHEMES
def test_axe_finds_no_serious_fault_in_the_report(report: Page, scheme: str) -> None:
    report.emulate_media(color_scheme=scheme)
    assert accessibility_faults(report) == []
    report.get_by_role("link", name="apple").click()
    assert accessibility_faults(report) == []


def test_the_report_fits_on_a_phone(report: Page) -> None:
    report.set_viewport_size(PHONE)
    assert overflow(report) <= 0
    report.get_by_role("link", name="ice cream").click()
    assert overflow(report) <= 0


# ---- the curation page -----------------------------------------------------------------------------------------------


@pytest.fixture
def edges(made: EdgeMapSet, tmp_path: Path) -> Path:
    """A copy to decide on, beside the crops."""
    shutil.copytree(made.crops, tmp_path / "crops")
    return Path(shutil.copytree(made.edges, tmp_path / "edges"))


@pytest.fixture
def served(edges: Path) -> Iterator[Served]:
    with serving(edges, group="edgemaps") as server:
        yield server


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    with tab(browser) as (opened, seen):
        opened.goto(served.url)
        opened.locator("tbody tr").first.wait_for()
        yield opened
        assert_quiet(seen, served)


def assert_quiet(seen: Seen, served: Served) -> None:
    assert seen.errors == []
    assert seen.elsewhere(served.url) == []


def open_class(page: Page, word: str = "apple", zone: str = "all") -> None:
    page.goto(f"{page.url.partition('#')[0]}#/{word}")
    page.locator(f"[data-zone={zone}]").click()
    page.locator(".item img").first.wait_for()


def items(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Edge maps of").get_by_role("option")


def key_id_of(item: Locator) -> int:
    return int((item.get_attribute("aria-label") or "").split(",")[0].removeprefix("key_id "))


def zone_size(page: Page, zone: str) -> int:
    return int(page.locator(f"[data-zone={zone}] .number").inner_text())


def said(page: Page, text: str) -> None:
    page.locator(".actions .status", has_text=text).wait_for()


def verdicts(edges: Path) -> dict[int, str]:
    state = in_force(DecisionLog(edges / "audit/decisions.jsonl").read())
    return {key_id: decision.verdict for key_id, decision in state.items()}


def test_a_class_begins_with_its_noise_and_has_one_line_to_move(page: Page, audit: Audit) -> None:
    page.get_by_role("link", name="apple").click()
    page.locator(".item img").first.wait_for()
    own = audit.label == audit.classes.index("apple")
    noise = audit.key_id[own & audit.noise]
    assert {key_id_of(item) for item in items(page).all()} == set(noise.tolist())
    assert page.get_by_role("slider").count() == 1
    assert page.locator("[data-zone]").all_inner_texts()[0].startswith("Normal")
    handle = page.get_by_role("slider", name="Upper percentile")
    for key, percentile in (("PageDown", 85), ("ArrowLeft", 84.5), ("Home", 0), ("End", 100)):
        handle.press(key)
        assert float(handle.get_attribute("aria-valuenow") or "nan") == percentile
        limit = np.percentile(audit.score[own], percentile)
        assert zone_size(page, "high") == (audit.score[own] > limit).sum()


def test_an_item_shows_the_photo_beside_the_stored_edge_map(page: Page, rows: dict[int, dict[str, Any]]) -> None:
    open_class(page)
    item = items(page).nth(3)
    item.locator("img").nth(1).wait_for()
    photo, edges = item.locator("img").all()
    row = rows[key_id_of(item)]
    assert (edges.get_attribute("src") or "").endswith(base64.b64encode(row["image"]["bytes"]).decode())
    assert photo.evaluate(PIXELS)[:2] == [128, 96]
    assert photo.evaluate(PIXELS)[3] > 5
    width, height, mean, _ = edges.evaluate(PIXELS)
    assert (width, height, mean < 254) == (224, 224, True)
    name = item.get_attribute("aria-label") or ""
    assert row["source"] in name
    assert (row["licence"] or "not stated") in name


def test_filters_by_source_and_licence_count_what_fits(page: Page, rows: dict[int, dict[str, Any]]) -> None:
    apples = [row for row in rows.values() if row["word"] == "apple"]
    open_class(page)
    page.locator("select[name=source]").select_option("voc")
    assert zone_size(page, "all") == sum(row["source"] == "voc" for row in apples) > 0
    page.locator("select[name=licence]").select_option("not stated")
    both = {row["key_id"] for row in apples if row["source"] == "voc" and row["licence"] is None}
    assert zone_size(page, "all") == len(both)
    assert {key_id_of(item) for item in items(page).all()} == both
    assert page.locator("select[name=split]").count() == 0


def test_keep_drop_and_undo_are_saved_and_there_after_a_reload(page: Page, edges: Path) -> None:
    open_class(page, zone="high")
    chosen = [key_id_of(items(page).nth(place)) for place in range(3)]
    items(page).nth(0).click()
    items(page).nth(1).click()
    page.get_by_role("button", name="Keep").click()
    said(page, "Kept 2 edge maps, saved.")
    items(page).nth(2).click()
    page.keyboard.press("d")
    said(page, "Dropped 1 edge map, saved.")
    items(page).nth(1).click()
    page.keyboard.press("u")
    said(page, "Taken back: 1 edge map, saved.")
    assert verdicts(edges) == {chosen[0]: "keep", chosen[2]: "drop"}
    assert {d.reason for d in DecisionLog(edges / "audit/decisions.jsonl").read()} == {"messiness above p90"}
    page.reload()
    page.locator("[data-zone=decided]").click()
    page.locator(".item img").first.wait_for()
    assert [key_id_of(item) for item in items(page).all()] == [chosen[0], chosen[2]]
    assert items(page).locator(".badge").all_inner_texts() == ["keep", "drop"]


def test_a_class_without_a_line_shows_all_as_normal_but_what_is_certain(page: Page) -> None:
    open_class(page, "star")
    assert (zone_size(page, "normal"), zone_size(page, "high"), zone_size(page, "all")) == (8, 0, 8)
    assert page.get_by_role("slider").count() == 0


@SCHEMES
def test_axe_finds_no_serious_fault_in_the_curation_page(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    assert accessibility_faults(page) == []
    open_class(page)
    items(page).nth(0).click()
    page.keyboard.press("d")
    said(page, "Dropped 1 edge map, saved.")
    items(page).nth(2).click()
    assert accessibility_faults(page) == []


def test_the_curation_page_fits_on_a_phone(page: Page) -> None:
    page.set_viewport_size(PHONE)
    open_class(page)
    assert overflow(page) <= 0


def test_what_cannot_be_is_refused_in_the_words_of_edge_maps(served: Served) -> None:
    headers = {"Origin": served.url.rstrip("/")}
    with httpx.Client(base_url=served.url, headers=headers, trust_env=False) as client:
        unknown = client.post("/api/decisions", json={"ids": ["1"], "verdict": "drop"})
        assert (unknown.status_code, unknown.json()["error"][:31]) == (422, "the data set has no edge map 1:")
        many = client.get("/api/classes/8/pictures?positions=40")
        assert "positions of the class's edge maps" in many.json()["error"]
        assert client.get("/api/classes/0/items").content == b""


# ---- certain noise, and the commands ---------------------------------------------------------------------------------


def test_what_is_certain_is_noise_even_in_a_class_without_a_line(
    browser: Browser, made: EdgeMapSet, tmp_path: Path
) -> None:
    edges = Path(shutil.copytree(made.edges, tmp_path / "edges"))
    messiest = 0.02
    record = edgemaps_curate.run(edges, edgemaps_curate.Config(most_ink=messiest), IN_PROCESS)
    assert record is not None
    audit = read_audit(edges, "messiness")
    stars = audit.label == audit.classes.index("star")
    certain = set(audit.key_id[stars & (audit.measures["density"] > messiest)].tolist())
    assert certain
    with serving(edges, group="edgemaps") as server, tab(browser) as (page, seen):
        page.goto(server.url)
        page.locator("tbody tr").first.wait_for()
        open_class(page, "star", zone="high")
        assert {key_id_of(item) for item in items(page).all()} == certain
        assert_quiet(seen, server)


def test_the_commands_say_where_the_report_is_and_what_is_missing(made: EdgeMapSet, tmp_path: Path) -> None:
    done = sketchdata("edgemaps", "report", made.edges, "-o", tmp_path / "r.html")
    assert done.stdout.startswith(f"{tmp_path / 'r.html'}: ")
    assert (tmp_path / "r.html").read_bytes() == (made.edges / "audit/report.html").read_bytes()
    fresh = make_edge_maps(tmp_path / "fresh", {"apple": 3}).edges
    failed = sketchdata("edgemaps", "serve", fresh, "--no-open", "--port", 0, expect=1)
    assert f"run `sketchdata edgemaps curate {fresh}`" in " ".join(failed.stderr.split())
