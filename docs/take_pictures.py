"""Take the pictures of the report and of the curation page again: python -m docs.take_pictures AUDITED_DATA_SET.

It needs playwright and Chromium. Give it a copy of a data set of generated drawings: three of them are dropped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sketchdata.pipelines import audit_report
from tests.web.browsing import DESK, PHONE, chromium, serving, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICTURES = Path(__file__).parent / "pictures"
LOOKS = {
    "light": {"viewport": DESK, "color_scheme": "light"},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light"},
}
CLASS = "star"


def take(directory: Path) -> None:
    """Write docs/pictures/report-*.png and curation-*.png."""
    PICTURES.mkdir(exist_ok=True)
    report = audit_report.run(directory).absolute().as_uri()
    with chromium() as browser, serving(directory) as server:
        _drop_three(browser, server.url)
        for look, settings in LOOKS.items():
            with tab(browser, **settings) as (page, _):
                _shoot(page, report, f"report-{look}", "tbody tr")
                _shoot(page, f"{report}#/{CLASS}", f"report-class-{look}", ".example path")
                _shoot(page, server.url, f"curation-{look}", "tbody tr")
                _shoot(page, f"{server.url}#/{CLASS}", f"curation-class-{look}", ".item:last-child path")


def _drop_three(browser: Browser, address: str) -> None:
    with tab(browser) as (page, _):
        page.goto(f"{address}#/{CLASS}")
        for place in range(3):
            page.locator(".item").nth(place).click()
        page.keyboard.press("d")
        page.get_by_text("Dropped 3 drawings, saved.").wait_for()


def _shoot(page: Page, address: str, name: str, awaited: str) -> None:
    # By way of an empty page: a mere change of the part after # would keep what was there.
    page.goto("about:blank")
    page.goto(address)
    page.locator(awaited).first.wait_for(timeout=60_000)
    page.wait_for_timeout(300)
    page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    take(Path(sys.argv[1]))
