"""Suspects of the audit of labels on the curation page: what they look like, and relabelling them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from sketchdata.curation.decisions import DecisionLog, in_force
from sketchdata.pipelines.audit_labels import Config, audit_labels
from sketchdata.storage.manifest import read_manifest
from sketchdata.web.exhibit import exhibit_drawings
from sketchdata.web.items import LOOKS
from tests.quickdraw_builds import IN_PROCESS
from tests.web.browsing import Served, serving, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("fastapi", reason="the curation page needs the extra `web`")

pytestmark = pytest.mark.slow


@pytest.fixture
def labelled(dataset: Path) -> Path:
    assert audit_labels(dataset, Config(epochs=2), IN_PROCESS) is not None
    return dataset


@pytest.fixture
def served(labelled: Path) -> Iterator[Served]:
    with serving(labelled) as server:
        yield server


def suspects(dataset: Path) -> dict[int, tuple[str, str]]:
    """Return {key_id: (class, suggested class)}."""
    classes = read_manifest(dataset).classes
    rows = pq.read_table(dataset / "audit" / "labels.parquet").to_pylist()
    return {
        row["key_id"]: (classes[row["label"]], classes[row["suggested"]]) for row in rows if row["flag"] == "suspect"
    }


def test_items_say_what_suspects_look_like(labelled: Path) -> None:
    items = exhibit_drawings(labelled).items
    (fact,) = (fact for fact in items.facts if fact.name == LOOKS)
    found = {int(each): fact.values[value] for each, value in zip(items.id, fact.index, strict=True) if value}
    assert found == {key_id: suggested for key_id, (_, suggested) in suspects(labelled).items()}
    assert found


def test_an_audit_of_labels_that_is_stale_is_left_out(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (labelled / "audit" / "labels.parquet").write_bytes(b"")
    assert [fact.name for fact in exhibit_drawings(labelled).items.facts] == ["split", "recognized", "country"]
    assert "suggested classes are not shown" in capsys.readouterr().err


def test_a_suspect_is_relabelled_as_suggested_or_to_any_class_and_back(
    browser: Browser, served: Served, labelled: Path
) -> None:
    key_id, (word, suggested) = next(iter(suspects(labelled).items()))
    log = DecisionLog(labelled / "audit" / "decisions.jsonl")
    with tab(browser) as (page, seen):
        page.goto(f"{served.url}#/{word}")
        page.locator("[data-zone=all]").click()
        page.locator("select[name=looks]").select_option(label=suggested)
        item = page.get_by_role("option", name=f"key_id {key_id}")
        item.get_by_text(f"looks like {suggested}").wait_for()
        item.click()
        page.get_by_role("button", name="Relabel").click()
        page.locator(".actions .status", has_text="Relabelled 1 drawing").wait_for()
        assert in_force(log.read())[key_id].word == suggested
        item.locator(".badge", has_text=suggested).wait_for()
        item.click()
        other = next(each for each in read_manifest(labelled).classes if each not in (word, suggested))
        page.get_by_label("New class").fill(other)
        page.get_by_role("button", name="Relabel").click()
        item.locator(".badge", has_text=other).wait_for()
        item.click()
        page.get_by_role("button", name="Undo").click()
        item.locator(".badge", has_text=suggested).wait_for()
        assert in_force(log.read())[key_id].word == suggested
        assert seen.errors == []
