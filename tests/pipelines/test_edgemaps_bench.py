"""`sketchdata edgemaps bench` over miniature folders of photos and drawings, and over a few real photos."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from sketchdata.cli import root
from sketchdata.edges.bsds import drawn_photos, read_drawings
from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError, TasksFailedError
from sketchdata.photos.image import Photo
from sketchdata.pipelines.edgemaps_bench import PEOPLE, RESULTS_FILE, TABLE_FILE, BenchLine, Comparison, Config, run
from tests.drawn_photos import real_bsds, small_bsds

IN_PROCESS = EngineOptions(workers=0)
DETECTORS = ("canny", "sobel")


@pytest.fixture
def bsds(tmp_path: Path) -> Path:
    return small_bsds(tmp_path / "bsds")


def bench(bsds: Path, out: Path, **options: Any) -> dict[str, BenchLine]:
    """Run without measuring rates and return the table's lines by their names."""
    settings = {"detectors": "canny", "thresholds": 9, "timed": 0} | options
    comparison = run(Config(bsds=bsds, out=out, **settings), IN_PROCESS)
    assert comparison is not None
    return {line.name: line for line in comparison.lines}


def invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(root, ["edgemaps", "bench", *map(str, arguments)])


def files_in(folder: Path) -> dict[str, bytes]:
    """Return all files but the done-markers, which tell how long a task took."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(".done.json"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def blank(photo: Photo) -> np.ndarray:
    """A detector of one's own, which finds nothing."""
    return np.zeros(photo.shape[:2], np.uint8)


# ---- what is measured ------------------------------------------------------------------------------------------------


def test_clean_shapes_are_found_and_people_agree(bsds: Path, tmp_path: Path) -> None:
    lines = bench(bsds, tmp_path / "out", detectors=",".join(DETECTORS))
    assert lines[PEOPLE].scores is not None
    assert lines[PEOPLE].scores.ods == pytest.approx(1)
    assert lines[PEOPLE].scores.ap is None
    assert {name: lines[name].scores.ods > 0.9 for name in DETECTORS} == dict.fromkeys(DETECTORS, True)
    assert [lines[name].parameters for name in DETECTORS] == [0, 0]


def test_maps_that_are_the_drawings_are_perfect_and_detectors_are_then_left_out(bsds: Path, tmp_path: Path) -> None:
    maps = tmp_path / "ours"
    maps.mkdir()
    for photo in drawn_photos(bsds, "test"):
        drawing = read_drawings(photo.drawings.read_bytes())[0]
        if photo.name == "001":
            np.save(maps / "001.npy", drawing.astype(np.float32))
        else:
            cv2.imwrite(str(maps / f"{photo.name}.png"), drawing.astype(np.uint8) * 255)
    lines = bench(bsds, tmp_path / "out", detectors=None, predictions=(str(maps), f"again={maps}"), thin=True)
    assert list(lines) == [PEOPLE, "ours", "again", "HED"]
    assert lines["ours"].scores.ods == pytest.approx(1)
    assert lines["ours"].scores == lines["again"].scores


def test_broad_maps_are_thinned_to_their_ridges_unless_they_are_said_to_be_thin(bsds: Path, tmp_path: Path) -> None:
    maps = tmp_path / "broad"
    maps.mkdir()
    for photo in drawn_photos(bsds, "test"):
        outline = read_drawings(photo.drawings.read_bytes())[0].astype(np.uint8)
        # Strongest on the outline, fading towards the inside: the middle of what is above a threshold is no edge.
        distance = cv2.distanceTransform(1 - outline, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        inside = cv2.drawContours(outline.copy(), cv2.findContours(outline, 0, 2)[0], -1, 1, cv2.FILLED)
        np.save(maps / f"{photo.name}.npy", np.clip(1 - distance / 16, 0, 1) * inside)
    options = {"detectors": "", "predictions": (str(maps),), "thresholds": 1}
    assert bench(bsds, tmp_path / "out", **options)["broad"].scores.ods > 0.9
    assert bench(bsds, tmp_path / "out", **options, thin=True)["broad"].scores.ods < 0.5


def test_ones_own_detector_and_a_limit_are_taken(bsds: Path, tmp_path: Path) -> None:
    name = f"{__name__}:blank"
    comparison = run(Config(bsds=bsds, out=tmp_path / "out", detectors=name, limit=2, timed=1), IN_PROCESS)
    line = next(line for line in comparison.lines if line.name == name)
    assert (comparison.photos, comparison.drawings) == (2, 4)
    assert (line.scores.ods, line.parameters) == (0, None)
    assert line.rate > 0


def test_a_detector_that_lacks_something_is_listed_and_not_skipped(
    bsds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = bench(bsds, tmp_path / "out", detectors="structured,tin")
    assert {name: lines[name].needs for name in ("structured", "tin")} == {
        "structured": "needs --weights structured=FILE",
        "tin": "needs --weights tin=FILE",
    }
    assert lines["structured"].scores is None
    # As where torch is not installed.
    monkeypatch.setitem(sys.modules, "torch", None)
    assert (
        bench(bsds, tmp_path / "out", detectors="learned")["learned"].needs == "needs pip install 'sketchdata[train]'"
    )


# ---- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_results_are_the_same_bytes_for_any_number_of_workers(bsds: Path, tmp_path: Path) -> None:
    for workers in (0, 2):
        config = Config(bsds=bsds, out=tmp_path / str(workers), detectors="canny,sobel", thresholds=9, timed=0)
        run(config, EngineOptions(workers=workers))
    found = files_in(tmp_path / "0")
    assert len(found) == 2 + 3 * 3
    assert found == files_in(tmp_path / "2")


def test_what_was_counted_is_not_counted_again(bsds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bench(bsds, out)
    written = {path: path.stat().st_mtime_ns for path in sorted((out / "counts").rglob("*")) if path.is_file()}
    lines = bench(bsds, out, detectors="canny,sobel")
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert lines["sobel"].scores is not None
    # Another photo in the place of one: its counts are made again, and only they.
    photo = bsds / "images" / "test" / "001.jpg"
    photo.write_bytes((bsds / "images" / "test" / "002.jpg").read_bytes())
    bench(bsds, out)
    again = {path.name for path, at in written.items() if path.stat().st_mtime_ns != at}
    assert again == {"001.json", "001.json.done.json"}


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_result(tmp_path: Path) -> None:
    bsds = small_bsds(tmp_path / "bsds", photos=40)
    arguments = ["--bsds", bsds, "--detectors", "canny", "--thresholds", "9", "--timed", "0", "--workers", "0"]
    command = [sys.executable, "-m", "sketchdata", "edgemaps", "bench", *map(str, arguments), "--out"]
    with subprocess.Popen([*command, str(tmp_path / "killed")]) as process:
        markers = tmp_path / "killed" / "counts" / "canny"
        while process.poll() is None and len(list(markers.glob("*.done.json"))) < 3:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / RESULTS_FILE).exists()
    # What a kill in the middle of a write leaves behind, which it does not do every time.
    (tmp_path / "killed" / "counts" / "people" / ".000.json.0123abcd.tmp").write_bytes(b"")
    for folder in ("killed", "whole"):
        run(
            Config(bsds=bsds, out=tmp_path / folder, detectors="canny", thresholds=9, timed=0),
            IN_PROCESS,
        )
    assert files_in(tmp_path / "killed") == files_in(tmp_path / "whole")


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_a_table_and_keeps_it(bsds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = invoke("--bsds", bsds, "--out", out, "--detectors", "canny,tin", "--thresholds", 9, "--workers", 0)
    assert result.exit_code == 0, result.output
    assert re.search(r"canny *│ *[01]\.\d{3} │ *[01]\.\d{3} │ *[01]\.\d{3} │ *[\d,.]+ │ *0 │ *0\.600", result.stdout)
    assert "needs" in result.stdout
    table = (out / TABLE_FILE).read_text(encoding="utf-8")
    assert "| tin (needs --weights tin=FILE) | – | – | – | – | – | – |" in table
    assert "3 photos of test, 6 drawings; 9 thresholds" in table
    assert "- Canny: Arbeláez et al., PAMI 2011" in table


def test_the_command_prints_the_same_as_json(bsds: Path, tmp_path: Path) -> None:
    result = invoke("--bsds", bsds, "--out", tmp_path / "out", "--detectors", "sobel", "--workers", 0, "--json")
    assert result.exit_code == 0, result.output
    found = orjson.loads(result.stdout)
    assert found == orjson.loads((tmp_path / "out" / RESULTS_FILE).read_bytes())
    assert set(found) == {field.name for field in dataclasses.fields(Comparison)}
    people, sobel, hed = found["lines"]
    assert (people["name"], sobel["name"], hed["published"]["ods"]) == (PEOPLE, "sobel", 0.788)
    assert sobel["rate"] > 0
    assert found["versions"]["numpy"] == np.__version__
    assert found["machine"].endswith(f"({len(os.sched_getaffinity(0))} cores)")


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detectors": "kanny"}, "no edge detector is named 'kanny'"),
        ({"split": "val"}, "is not the folder of BSDS500"),
        ({"weights": ("tin",)}, "must be NAME="),
        ({"weights": ("tin=tin.pth",)}, "is for tin, which is not among the detectors: canny"),
        ({"detectors": "tin", "weights": ("tin=absent.pth",)}, "the file does not exist"),
        ({"scales": ("canny=1,big",)}, "must be numbers"),
        ({"scales": ("canny=0.5,1",)}, "scales and devices are for networks"),
        ({"predictions": ("absent",)}, r"lacks the maps of 3 of 3 photos: expected 000\.png"),
        ({"predictions": ("canny=absent",)}, "lacks the maps"),
    ],
)
def test_options_that_cannot_work_are_refused(
    bsds: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        bench(bsds, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_two_lines_of_one_name_are_refused(bsds: Path, tmp_path: Path) -> None:
    for photo in drawn_photos(bsds, "test"):
        (tmp_path / f"{photo.name}.png").write_bytes(b"")
    with pytest.raises(ConfigError, match="two lines of the table would be named canny"):
        bench(bsds, tmp_path / "out", predictions=(f"canny={tmp_path}",))


def test_damaged_files_are_named_and_what_was_counted_is_kept(bsds: Path, tmp_path: Path) -> None:
    (bsds / "images" / "test" / "000.jpg").write_bytes(b"\xff\xd8\xff and no more")
    (bsds / "groundTruth" / "test" / "001.mat").write_bytes(b"nothing")
    with pytest.raises(TasksFailedError) as caught:
        bench(bsds, tmp_path / "out")
    assert re.search(r"canny/000: .*000\.jpg: (damaged|truncated) picture", str(caught.value))
    assert re.search(r"canny/001: .*001\.mat: damaged drawings: not a MAT-file", str(caught.value))
    assert (tmp_path / "out" / "counts" / "canny" / "002.json").exists()
    result = invoke("--bsds", bsds, "--out", tmp_path / "out", "--detectors", "canny", "--workers", 0)
    assert (result.exit_code, type(result.exception)) == (1, TasksFailedError)


def test_a_map_of_another_size_is_named(bsds: Path, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    for photo in drawn_photos(bsds, "test"):
        cv2.imwrite(str(maps / f"{photo.name}.png"), np.zeros((20, 30), np.uint8))
    with pytest.raises(TasksFailedError, match=r"the edge map is 30 × 20, where the drawings .* are 144 × 96"):
        bench(bsds, tmp_path / "out", predictions=(str(maps),))


# ---- real photos -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_on_a_few_real_photos_canny_and_people_do_as_is_known(tmp_path: Path) -> None:
    lines = bench(real_bsds(), tmp_path / "out", detectors="canny", limit=3, thresholds=11)
    assert 0.5 < lines["canny"].scores.ods < 0.75
    assert lines["canny"].scores.ods < lines[PEOPLE].scores.ods + 0.1


@pytest.mark.slow
def test_a_network_is_named_after_its_weights_and_stands_beside_what_was_published(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="networks need the extra train")
    photos = real_bsds()
    weights = photos.parents[1] / "edge_weights" / "pidinet" / "table5_pidinet-tiny.pth"
    if not weights.is_file():
        pytest.skip(f"no weights at {weights}")
    options = {"weights": (f"pidinet={weights}",), "scales": ("pidinet=0.5",), "limit": 1, "thresholds": 5}
    line = bench(photos, tmp_path / "out", detectors="pidinet", **options)["pidinet table5_pidinet-tiny"]
    assert (line.parameters, line.scales, line.published.ods) == (84_477, (0.5,), 0.789)
    assert line.scores.ods > 0.5
