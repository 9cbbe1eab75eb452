"""Builds of real drawings; SKETCHDATA_REAL_DATA names a folder that holds `quickdraw/`, laid out like the bucket."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sketchdata.drawings.sampling import SPLITS
from sketchdata.storage.catalog import manifest_path, read_classes
from sketchdata.storage.manifest import read_manifest
from tests.commands import sketchdata
from tests.quickdraw_builds import build_command, key_ids_in, key_ids_of_class, lines_of, plain_splits
from tests.servers import BucketServer

pytestmark = pytest.mark.skipif(
    "SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no folder with real drawings"
)

ALL = read_classes(manifest_path("quickdraw-categories.txt"))


@pytest.fixture(scope="module")
def real() -> Path:
    return Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw"


def sizes(*numbers: int) -> list[object]:
    return [text for split, size in zip(SPLITS, numbers, strict=True) for text in (f"--{split}", size)]


@pytest.mark.slow
def test_all_345_classes_stream_from_a_server_and_verify(real: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with BucketServer(real) as server:
        sketchdata(*build_command(server.url, out, "--workers", 2, *sizes(16, 2, 4, 1), categories=ALL))
    assert read_manifest(out).splits == {"train": 5520, "val": 690, "gallery": 1380, "query": 345}
    expected = plain_splits(key_ids_in(lines_of(real, "star")), sizes=dict(zip(SPLITS, (16, 2, 4, 1), strict=True)))
    assert key_ids_of_class(out, "star") == expected
    sketchdata("verify", out)


def test_raw_files_build_and_verify(real: Path, tmp_path: Path) -> None:
    out, words = tmp_path / "out", ("cat", "star", "sun", "The Eiffel Tower")
    sketchdata(*build_command(real, out, "--input-format", "raw", "--workers", 0, *sizes(5, 1, 1, 1), categories=words))
    assert read_manifest(out).splits == {"train": 20, "val": 4, "gallery": 4, "query": 4}
    sketchdata("verify", out)


@pytest.mark.slow
def test_the_classes_with_a_thousand_drawings_build_and_verify(real: Path, tmp_path: Path) -> None:
    counts = {path.stem: path.read_bytes().count(b"\n") for path in (real / "pool").glob("*.ndjson")}
    words = [word for word, count in counts.items() if count >= 1000]
    assert len(words) == 19
    out = tmp_path / "out"
    sketchdata(*build_command(real / "pool", out, "--workers", 2, *sizes(700, 100, 150, 50), categories=words))
    assert read_manifest(out).splits == {"train": 13300, "val": 1900, "gallery": 2850, "query": 950}
    sketchdata("verify", out)
    described = json.loads(sketchdata("info", out, "--json").stdout)
    assert described["rejects"] == {}
    sheet = tmp_path / "eyes.png"
    sketchdata("show", out, "--category", "eye", "-n", 16, "-o", sheet)
    assert sheet.stat().st_size > 1000
