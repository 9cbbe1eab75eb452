"""Take the pictures of the report and of the curation page again: python -m docs.take_pictures AUDITED_DATA_SET.

It needs playwright and Chromium. Give it a copy of a data set of generated drawings: three of them are dropped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sketchdata.web.exhibit import exhibit_drawings
from sketchdata.web.pages import write_report
from tests.web.browsing import DESK, chromium, serving, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICTURES = Path(__file__).parent / "pictures"
CLASS = "star"


def take(directory: Path) -> None:
    """Write docs/pictures/report-class-light.png and curation-class-light.png."""
    report = write_report(exhibit_drawings(directory)).absolute().as_uri()
    with chromium() as browser, serving(directory) as server:
        _drop_three(browser, server.url)
        with tab(browser, viewport=DESK, color_scheme="light") as (page, _):
            _shoot(page, f"{report}#/{CLASS}", "report-class-light", ".example path")
            _shoot(page, f"{server.url}#/{CLASS}", "curation-class-light", ".item:last-child path")


def _drop_three(browser: Browser, address: str) -> None:
    with tab(browser) as (page, _):
        page.goto(f"{address}#/{CLASS}")
        for place in range(3):
            page.locator(".item").nth(place).click()
        page.keyboard.press("d")
        page.get_by_text("Dropped 3 drawings, saved.").wait_for()


def _shoot(page: Page, address: str, name: str, awaited: str) -> None:
    page.goto(address)
    page.locator(awaited).first.wait_for(timeout=60_000)
    page.wait_for_timeout(300)
    page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    take(Path(sys.argv[1]))
