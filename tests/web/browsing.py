"""A real browser and a real server for the pages' tests."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: No sandbox: containers run as root. No background networking: the browser asks for nothing by itself.
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
#: Milliseconds that a page may take before a test gives up on it.
_PATIENCE = 15_000

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 860}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, from the system or from where Playwright keeps its own; skip the test when there is none."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("the browser tests need playwright: pip install playwright")
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
        except Error as error:
            pytest.skip(f"the browser tests need Chromium (apt-get install chromium): {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@dataclass(kw_only=True)
class Seen:
    """What a page did beside what it shows: addresses it asked for, and errors on its console."""

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def elsewhere(self, address: str) -> list[str]:
        """Return the requests to anywhere but an address."""
        return [url for url in self.requests if not url.startswith((address, "data:"))]


@contextmanager
def tab(browser: Browser, **settings: Any) -> Iterator[tuple[Page, Seen]]:
    """Open a page in a context of its own, with nothing remembered from elsewhere."""
    context = browser.new_context(**{"viewport": DESK, **settings})
    context.set_default_timeout(_PATIENCE)
    page, seen = context.new_page(), Seen()
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
    try:
        yield page, seen
    finally:
        context.close()


def accessibility_faults(page: Page) -> list[str]:
    """Return the serious and critical faults that axe finds on a page as it stands."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    # By evaluation and not as a script of the page, which its Content-Security-Policy forbids.
    found = axe.run(page).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {each['nodes'][0]['html']}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def overflow(page: Page) -> int:
    """Return by how many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@dataclass(kw_only=True)
class Served:
    """A curation page's server: its address and its process."""

    url: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])


@contextmanager
def serving(directory: Path, *, port: int = 0, who: str = "ada", group: str = "audit") -> Iterator[Served]:
    """Run `sketchdata audit serve`, or the `serve` of another group of commands, until the block ends."""
    command = [sys.executable, "-m", "sketchdata", group, "serve", str(directory), "--port", str(port), "--who", who]
    process = subprocess.Popen([*command, "--no-open"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"http://\S+/", line):
                yield Served(url=found[0], process=process)
                return
        raise AssertionError(f"the server ended with {process.wait()}: {''.join(said)}")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
