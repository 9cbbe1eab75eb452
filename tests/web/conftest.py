"""The data set that the pages' tests look at, and the browser that they look with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sketchdata.curation.audit import Audit, read_audit
from sketchdata.pipelines.audit import EntropyConfig, audit_entropy
from sketchdata.web.exhibit import exhibit_drawings
from sketchdata.web.pages import write_report
from tests.audits import build_in_shards
from tests.quickdraw_builds import IN_PROCESS
from tests.web.browsing import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audited data set of four generated classes with 111 drawings each, and its report; not to be written to."""
    directory = build_in_shards(tmp_path_factory.mktemp("audited"))
    assert audit_entropy(directory, EntropyConfig(), IN_PROCESS) is not None
    write_report(exhibit_drawings(directory))
    return directory


@pytest.fixture(scope="session")
def audit(audited: Path) -> Audit:
    return read_audit(audited)


@pytest.fixture
def dataset(audited: Path, tmp_path: Path) -> Path:
    """A copy of the audited data set to decide on."""
    return shutil.copytree(audited, tmp_path / "dataset")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started
