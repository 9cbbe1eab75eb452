"""The draw-to-search page in a real browser: drawn on by mouse, touch, keys and files, in light and dark."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import pytest

from sketchdata.drawings.drawing import Words, to_batch
from sketchdata.drawings.raster import raster
from tests.web.browsing import PHONE, Seen, accessibility_faults, overflow, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytest.importorskip("fastapi", reason="the draw-to-search page needs the extra `web`")

from tests.web.finders import CountingFinder, drawing_page

# A browser for every test.
pytestmark = pytest.mark.slow

LINES = '<path d="M0 0H9"/><path d="M0 5H9"/>'
SVG = f'<svg xmlns="http://www.w3.org/2000/svg"><g fill="none" stroke="black">{LINES}</g></svg>'
#: Drop a file as a person does: the browser makes the event.
DROP = """([name, type, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, { type }));
  const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.querySelector("canvas").dispatchEvent(event);
}"""
INK = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let ink = 0;
  for (let i = 3; i < data.length; i += 4) ink += data[i] > 127;
  return ink / (canvas.width * canvas.height);
}"""


@pytest.fixture
def server() -> Iterator[tuple[str, CountingFinder]]:
    with drawing_page() as served:
        yield served


@pytest.fixture
def opened(browser: Browser, server: tuple[str, CountingFinder]) -> Iterator[tuple[Page, Seen]]:
    with tab(browser) as (page, seen):
        page.goto(server[0])
        page.locator("canvas").wait_for()
        yield page, seen
        assert seen.elsewhere(server[0]) == []


@pytest.fixture
def page(opened: tuple[Page, Seen]) -> Iterator[Page]:
    page, seen = opened
    yield page
    assert seen.errors == []


def draw(page: Page, *places: tuple[float, float]) -> None:
    """Draw a line through places, in parts of the square's sides."""
    box = page.locator("canvas").bounding_box()
    assert box is not None
    (first, *rest) = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*first)
    page.mouse.down()
    for place in rest:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def ink(page: Page) -> float:
    """Return the share of the square that is drawn on, once it has been painted."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return float(page.locator("canvas").evaluate(INK))


def items(page: Page) -> Locator:
    return page.get_by_role("list", name="Nearest drawings").get_by_role("listitem")


def looks_like(page: Page, word: str) -> None:
    """Wait until the page takes the drawing for a class."""
    page.locator(".votes strong", has_text=word).wait_for()
    assert page.locator(".votes").inner_text().startswith(f"Looks like {word} ")
    assert items(page).first.inner_text().split("\n")[0] == word


def press(page: Page, *names: str) -> None:
    for name in names:
        page.get_by_role("button", name=name, exact=True).click()


def test_results_follow_the_drawing_line_by_line_and_back(page: Page) -> None:
    assert items(page).count() == 0
    assert page.get_by_role("button", name="Undo").is_disabled()
    draw(page, (0.2, 0.2), (0.8, 0.2))
    looks_like(page, "cat")
    assert items(page).count() == 12
    assert items(page).locator("svg.picture path").count() == 12
    draw(page, (0.2, 0.5), (0.8, 0.5))
    looks_like(page, "house")
    two = ink(page)
    press(page, "Undo")
    looks_like(page, "cat")
    assert 0.005 < ink(page) < two
    press(page, "Clear")
    page.get_by_text("Draw something").wait_for()
    assert items(page).count() == 0
    assert ink(page) == 0
    press(page, "Undo")
    looks_like(page, "cat")


def test_results_come_before_the_line_is_finished(page: Page) -> None:
    box = page.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 90, steps=9)
    looks_like(page, "cat")
    page.mouse.up()


def test_a_dot_is_found_by_a_touch(browser: Browser, server: tuple[str, CountingFinder]) -> None:
    with tab(browser, viewport=PHONE, has_touch=True, is_mobile=True) as (page, seen):
        page.goto(server[0])
        page.locator("canvas").tap()
        looks_like(page, "cat")
        assert [stroke.tolist() for stroke in server[1].asked[-1].strokes] == [[[0, 0], [0, 0]]]
        assert 0 < ink(page) < 0.01
        assert seen.errors == []


def test_the_eraser_takes_the_lines_out_that_it_touches_and_undo_brings_them_back(page: Page) -> None:
    for y in (0.2, 0.5, 0.8):
        draw(page, (0.2, y), (0.8, y))
    looks_like(page, "star")
    press(page, "Eraser")
    assert page.get_by_role("button", name="Eraser").get_attribute("aria-pressed") == "true"
    draw(page, (0.5, 0.4), (0.5, 0.95))
    looks_like(page, "cat")
    press(page, "Undo")
    looks_like(page, "star")
    draw(page, (0.05, 0.05), (0.06, 0.06))  # of nothing
    press(page, "Undo")
    looks_like(page, "house")


def test_the_keyboard_reaches_and_does_everything(page: Page) -> None:
    page.on("filechooser", lambda _: None)  # Playwright catches choosers some time after the first one listens
    order = []
    page.locator("#help").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.textContent || document.activeElement.tagName"))
    assert order == ["CANVAS", "Pen", "Eraser"]  # what is disabled is passed over
    page.locator("canvas").focus()
    page.keyboard.press("Space")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    looks_like(page, "cat")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    looks_like(page, "house")
    page.keyboard.press("Control+z")
    looks_like(page, "cat")
    page.keyboard.press("e")
    assert page.get_by_role("button", name="Eraser").get_attribute("aria-pressed") == "true"
    page.keyboard.press("p")
    page.keyboard.press("c")
    page.get_by_text("Draw something").wait_for()
    page.keyboard.press("u")
    looks_like(page, "cat")
    page.keyboard.press("?")
    assert page.get_by_role("dialog").get_by_text("Eraser").is_visible()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")  # keys do nothing else while it is open
    with page.expect_file_chooser():
        page.keyboard.press("o")


def test_files_are_dropped_and_chosen_and_bad_ones_are_named(
    opened: tuple[Page, Seen], server: tuple[str, CountingFinder], tmp_path: Path
) -> None:
    page, seen = opened
    page.evaluate(DROP, ["two.svg", "image/svg+xml", SVG])
    looks_like(page, "house")
    assert ink(page) > 0.01
    picture = tmp_path / "star.png"

    star = server[1].found["star"][0]
    cv2.imwrite(str(picture), 255 - raster(to_batch([star], Words()), size=2000, line_width=9)[0])
    with page.expect_response("**/api/search"):
        page.locator("input[type=file]").set_input_files(picture)
    assert len(server[1].asked) == 2
    press(page, "Undo")
    looks_like(page, "house")
    page.evaluate(DROP, ["bad.svg", "image/svg+xml", "<html/>"])
    page.get_by_text("bad.svg: not SVG").wait_for()
    page.evaluate(DROP, ["note.txt", "text/plain", "hello"])
    page.get_by_text("note.txt: not a picture").wait_for()
    page.evaluate(DROP, ["huge.svg", "image/svg+xml", "x" * 3_000_000])
    page.get_by_text("huge.svg: a request has at most 2,097,152 bytes").wait_for()
    looks_like(page, "house")
    # The browser itself tells of refused requests.
    assert all("Failed to load resource" in error for error in seen.errors)


def test_a_drawing_has_an_end(page: Page, server: tuple[str, CountingFinder]) -> None:
    paths = "".join(f'<path d="M{i % 40} {i // 40}h.5"/>' for i in range(1000))
    page.evaluate(DROP, ["many.svg", "image/svg+xml", SVG.replace(LINES, paths)])
    looks_like(page, "star")
    draw(page, (0.1, 0.1), (0.2, 0.2))
    page.get_by_text("A drawing has 1,000 lines at most: erase some of them.").wait_for()
    assert max(len(each.strokes) for each in server[1].asked) == 1000


def test_more_lines_than_can_be_searched_for_are_told_of(
    opened: tuple[Page, Seen], server: tuple[str, CountingFinder]
) -> None:
    page, seen = opened
    paths = "".join(f'<path d="M{i % 100} {i // 100}h.5"/>' for i in range(10_000))
    page.evaluate(DROP, ["10000.svg", "image/svg+xml", SVG.replace(LINES, paths)])
    page.get_by_text("10,000 lines").wait_for()
    assert items(page).count() == 0
    assert all("Failed to load resource" in error for error in seen.errors)


def test_stale_answers_of_a_slow_server_are_dropped(page: Page, server: tuple[str, CountingFinder]) -> None:
    server[1].delay = {1: 1.5}
    draw(page, (0.2, 0.2), (0.8, 0.2))
    page.wait_for_timeout(200)  # the first question is under way
    press(page, "Clear")
    page.wait_for_timeout(1800)
    assert items(page).count() == 0
    draw(page, (0.2, 0.2), (0.8, 0.2))
    page.wait_for_timeout(200)
    draw(page, (0.2, 0.5), (0.8, 0.5))
    looks_like(page, "house")
    page.wait_for_timeout(1800)
    looks_like(page, "house")


def test_a_server_that_is_gone_is_told_of(browser: Browser) -> None:
    with tab(browser) as (page, _):
        with drawing_page() as (address, _):
            page.goto(address)
            draw(page, (0.2, 0.2), (0.8, 0.2))
            looks_like(page, "cat")
        draw(page, (0.2, 0.5), (0.8, 0.5))
        page.get_by_text("Nothing was found").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark_and_fits_on_a_phone(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    draw(page, (0.2, 0.2), (0.8, 0.2))
    looks_like(page, "cat")
    assert accessibility_faults(page) == []
    assert overflow(page) <= 0
    page.set_viewport_size(PHONE)
    assert overflow(page) <= 0
    box = page.locator("canvas").bounding_box()
    assert box is not None
    assert abs(box["width"] - box["height"]) < 1
    assert box["width"] > 300


def test_lines_turn_light_where_the_page_turns_dark(page: Page) -> None:
    draw(page, (0.2, 0.5), (0.8, 0.5))
    shade = "canvas => canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[0]"
    assert ink(page) > 0
    dark = page.locator("canvas").evaluate(shade)
    page.emulate_media(color_scheme="dark")
    assert ink(page) > 0
    assert dark < 64 < 192 < page.locator("canvas").evaluate(shade)


@contextmanager
def serving(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `sketchdata serve`; yield its process and its address."""
    command: Sequence[str] = [sys.executable, "-m", "sketchdata", "serve", *map(str, arguments), "--port", "0"]
    with subprocess.Popen([*command, "--no-browser", "--json"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = "".join(iter(process.stdout.readline, "}\n"))
            yield process, json.loads(told + "}")["address"]
        finally:
            process.kill()


def test_the_command_serves_an_index_of_drawings_until_ctrl_c(browser: Browser, tmp_path: Path) -> None:
    from tests.retrievals import make_place

    place = make_place(tmp_path)
    with serving(place.index, "--run", place.run, "-k", 7) as (process, address):
        with tab(browser) as (page, seen):
            page.goto(address)
            page.locator("canvas").wait_for()
            draw(page, (0.5, 0.1), (0.8, 0.9), (0.1, 0.4), (0.9, 0.4), (0.2, 0.9), (0.5, 0.1))
            items(page).nth(6).wait_for()
            assert items(page).count() == 7
            assert "36 codes of 16 bits (flat)" in page.locator("footer").inner_text()
            assert (seen.errors, seen.elsewhere(address)) == ([], [])
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
