"""Photos found by drawings: on the page in a real browser, by the command, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.photos.image import decode, sniff
from sketchdata.pipelines import index as index_recipe
from sketchdata.pipelines.serve import Config, open_finder
from sketchdata.retrieval.vector_index import open_vector_index
from sketchdata.storage.manifest import hash_file
from tests.commands import sketchdata
from tests.spaces import Space, make_space, make_space_run
from tests.two_domains import make_two_domains
from tests.web.browsing import accessibility_faults, overflow, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("fastapi", reason="the draw-to-search page needs the extra `web`")

from sketchdata.web.search_server import create_app, to_drawing
from tests.web.finders import served

STROKES = [([0.0, 100.0, 100.0, 0.0], [0.0, 0.0, 80.0, 80.0]), ([20.0, 50.0], [40.0, 45.0])]
#: By the keys of the drawing area: set the pen down, move it, lift it.
TEN_THOUSAND_STROKES = """canvas => {
  const press = key => canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  for (let i = 0; i < 10_000; i++) {
    press(" ");
    press(["ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"][(i >> 4) % 4]);
    press(" ");
  }
}"""
LOADED = "[...document.querySelectorAll('.result img')].every(image => image.complete && image.naturalWidth)"
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">
<path d="M0 0L100 0L100 80L0 80" fill="none" stroke="black"/></svg>"""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    return make_space(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def svg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("svg") / "house.svg"
    path.write_text(SVG)
    return path


def test_photos_come_nearest_first_with_thumbnail_and_credit(space: Space) -> None:
    finder = open_finder(space.index, Config(run=space.run))
    drawing = to_drawing(STROKES)
    found = finder.find(drawing, 5)
    index = open_vector_index(space.index)
    apart = np.linalg.norm(np.asarray(index.rows, np.float64) - finder.embed([drawing])[0], axis=1)
    assert [each["id"] for each in found] == [str(index.key_ids[row]) for row in np.argsort(apart, kind="stable")[:5]]
    assert (finder.nouns, finder.count) == ("photos", 24)
    for each in found:
        assert each["kind"] == "image"
        assert each["data"] == f"api/pictures/{each['id']}"
        assert max(decode(finder.picture(int(each["id"]))).shape[:2]) <= 160
        assert each["credit"] == "by sketchdata, CC0, generated"


@pytest.mark.parametrize(
    "strokes",
    [[([5.0], [5.0])], [([float(i % 97), float(i % 89)], [float(i % 83), float(i % 79)]) for i in range(1000)]],
    ids=["one dot", "1,000 strokes"],
)
def test_a_dot_and_a_thousand_strokes_are_answered(space: Space, strokes: list) -> None:
    finder = open_finder(space.index, Config(run=space.run))
    assert len(finder.find(to_drawing(strokes), 3)) == 3


def test_what_does_not_belong_to_the_index_is_refused(space: Space, svg: Path, tmp_path: Path) -> None:
    other = make_space_run(tmp_path / "other", space.data, seed=1)
    with pytest.raises(ConfigError, match="by another network"):
        open_finder(space.index, Config(run=other))
    make_two_domains(tmp_path / "data", drawings=6, photos=3)
    with pytest.raises(ConfigError, match="is not the data set that the index was made of"):
        open_finder(space.index, Config(run=space.run, data=tmp_path / "data"))
    assert "by another network" in sketchdata("search", space.index, "--run", other, svg, expect=1).stderr
    assert "give its run with --run" in sketchdata("search", space.index, svg, expect=1).stderr.replace("\n", " ")
    drawn = index_recipe.Config(out=tmp_path / "drawn", split="unseen-drawings")
    index_recipe.run(space.vectors, drawn)
    with pytest.raises(ConfigError, match="index photos alone"):
        open_finder(drawn.out, Config(run=space.run))
    damaged = shutil.copytree(space.index, tmp_path / "damaged")
    (damaged / "vectors.npy").write_bytes(b"")
    with pytest.raises(SketchDataError, match=r"vectors\.npy"):
        open_finder(damaged, Config(run=space.run))


def test_the_command_finds_photos_as_text_json_and_page(space: Space, svg: Path, tmp_path: Path) -> None:
    given = ("search", space.index, "--run", space.run, svg, "-k", 4, "--class", "house")
    told = json.loads(sketchdata(*given, "--json").stdout)
    assert (told["index"]["vectors"], told["index"]["width"]) == (24, 6)
    results = told["queries"][0]["results"]
    assert [each["rank"] for each in results] == [1, 2, 3, 4]
    assert [each["distance"] for each in results] == sorted(each["distance"] for each in results)
    assert results[0]["key_id"] in sketchdata(*given).stdout
    sketchdata(*given, "--data", space.data, "--html", tmp_path / "found.html")
    page = (tmp_path / "found.html").read_text()
    assert page.count("data:image/jpeg") == 4
    assert page.count("by sketchdata, CC0, generated") == 8
    itself = json.loads(sketchdata("search", space.index, results[0]["key_id"], "-k", 3, "--json").stdout)
    assert results[0]["key_id"] not in [each["key_id"] for each in itself["queries"][0]["results"]]


def test_codes_of_itq_find_photos_too(space: Space, svg: Path, tmp_path: Path) -> None:
    index_recipe.run(space.vectors, index_recipe.Config(out=tmp_path / "i", kind="itq", bits=4))
    given = ("search", tmp_path / "i", "--run", space.run, svg, "-k", 4)
    told = json.loads(sketchdata(*given, "--json").stdout)
    assert told["index"]["bits"] == 4
    assert all(0 <= each["distance"] <= 4 for each in told["queries"][0]["results"])
    assert len(open_finder(tmp_path / "i", Config(run=space.run)).find(to_drawing(STROKES), 4)) == 4


@pytest.fixture(scope="module")
def address(space: Space) -> Iterator[str]:
    manifest = hash_file(space.data / "manifest.json", "sha256")
    with served(create_app(open_finder(space.index, Config(run=space.run)), k=12)) as address:
        yield address
    assert hash_file(space.data / "manifest.json", "sha256") == manifest


def test_pictures_are_asked_for_by_key_id(space: Space, address: str) -> None:
    key_id = open_vector_index(space.index).key_ids[0]
    picture = httpx.get(f"{address}api/pictures/{key_id}", trust_env=False)
    assert picture.headers["content-type"] == "image/jpeg"
    assert sniff(picture.content) == "JPEG"
    for unknown, status in ((1, 404), (-1, 422), (2**64, 422), ("x", 422)):
        refused = httpx.get(f"{address}api/pictures/{unknown}", trust_env=False)
        assert (refused.status_code, list(refused.json())) == (status, ["error"])


@pytest.mark.slow
def test_a_damaged_photo_is_told_of_in_its_place(browser: Browser, space: Space, monkeypatch) -> None:
    finder = open_finder(space.index, Config(run=space.run))
    bad = finder.find(to_drawing([([5.0], [5.0])]), 3)[1]["id"]
    read = finder.picture

    def picture(key_id: int) -> bytes | None:
        if str(key_id) == bad:
            raise SketchDataError("a photo is damaged")
        return read(key_id)

    monkeypatch.setattr(finder, "picture", picture)
    with served(create_app(finder, k=3)) as address, tab(browser) as (page, _):
        page.goto(address)
        page.locator("canvas").wait_for()
        page.locator("canvas").click()
        page.get_by_alt_text("This photo cannot be read").wait_for()
        assert page.locator(".result").count() == 3


@pytest.mark.slow
def test_ten_thousand_strokes_and_one_dot_leave_the_page_usable(browser: Browser, address: str) -> None:
    with tab(browser) as (page, seen):
        page.goto(address)
        found, status = page.locator(".result"), page.locator(".paper .status")
        page.locator("canvas").click()
        found.nth(11).wait_for()
        (dot,) = [found.first.get_attribute("data-id")]
        page.locator("canvas").evaluate(TEN_THOUSAND_STROKES)
        page.get_by_text("A drawing has 1,000 lines at most: erase some of them.").wait_for()
        assert found.count() == 12
        page.get_by_role("button", name="Clear").click()
        assert (found.count(), status.inner_text()) == (0, "")
        page.locator("canvas").click()
        found.nth(11).wait_for()
        assert found.first.get_attribute("data-id") == dot
        page.wait_for_function(LOADED)
        assert (seen.elsewhere(address), seen.errors) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_photos_with_their_makers_and_asks_nobody_else(
    browser: Browser, address: str, tmp_path: Path, scheme: str
) -> None:
    with tab(browser, color_scheme=scheme) as (page, seen):
        page.goto(address)
        box = page.locator("canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 60, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 260, box["y"] + 80, steps=5)
        page.mouse.move(box["x"] + 200, box["y"] + 240, steps=5)
        page.mouse.up()
        found = page.get_by_role("list", name="Nearest photos").get_by_role("listitem")
        found.nth(11).wait_for()
        assert found.count() == 12
        assert page.locator(".votes").inner_text().startswith("Looks like ")
        assert found.first.locator(".credit").inner_text() == "by sketchdata, CC0, generated"
        assert page.locator(".result img").count() == 12
        page.wait_for_function(LOADED)
        assert overflow(page) == 0
        assert accessibility_faults(page) == []
        page.screenshot(path=tmp_path / f"{scheme}.png")
        assert (seen.elsewhere(address), seen.errors) == ([], [])
