"""The comparison of methods on drawings and photos: its cells, what is kept, the tables, and what is refused."""

from __future__ import annotations

import csv
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch

from sketchdata.classes.splits import SplitOptions
from sketchdata.classes.vectors import write_vectors
from sketchdata.comparisons.sbir import (
    CENTRED_TRANSDUCTIVE,
    TABLE_2,
    TABLE_3,
    MeasuredRow,
    SbirRow,
    all_rows,
    chosen_rows,
    difference,
)
from sketchdata.cross_domain import experiment
from sketchdata.cross_domain.dataset import UNSEEN, read_group
from sketchdata.cross_domain.encoder import read_space
from sketchdata.cross_domain.evaluation import SpaceMeasures, measure_space
from sketchdata.cross_domain.options import SpaceTraining
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import read_manifest
from sketchdata.trainers import sbir_bench
from sketchdata.trainers.options import SBIR_METHODS
from sketchdata.training.backbones import build
from tests.two_domains import make_two_domains

GROUPS = {"seen": ("cat", "house", "star", "airplane"), "validation": ("fish", "sun"), "unseen": ("apple", "ice cream")}
NETWORK: dict[str, Any] = {"backbone": "small", "size": 16, "width": 8, "epochs": 2, "trunk": "frozen"}
SPLITS = SplitOptions(seen=6, validation_share=0.34)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sbir-bench")
    make_two_domains(folder / "data", GROUPS, drawings=5, photos=3)
    words = sorted(word for own in GROUPS.values() for word in own)
    rows = [np.random.default_rng(sum(word.encode())).normal(size=5) for word in words]
    write_vectors(folder / "words.parquet", words, np.array(rows, np.float32), np.ones(len(words), np.int64), {})
    torch.manual_seed(5)
    torch.save(build("small", classes=4, channels=3).state_dict(), folder / "small.pth")
    return folder


def config(place: Path, out: Path, **others: Any) -> sbir_bench.Config:
    given = {"data": place / "data", "words": place / "words.parquet", "weights": str(place / "small.pth"), "draws": 2}
    return sbir_bench.Config(**{**given, **NETWORK, "out": out, **others})


def loop(**others: Any) -> SpaceTraining:
    return SpaceTraining(**{"batch_size": 8, "device": "cpu", "log_every": 2, **others})


@pytest.fixture(scope="module")
def compared(place: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a comparison of all rows in two draws, and its results."""
    out = place / "bench"
    return out, sbir_bench.run(config(place, out, generalised=True), SPLITS, loop())


@pytest.mark.slow
def test_every_row_has_the_draws_epochs_and_classes_of_the_others(compared: tuple[Path, dict[str, Any]]) -> None:
    out, results = compared
    assert [row["name"] for row in results["rows"]] == [row.name for row in all_rows(SBIR_METHODS)]
    untrained = {"frozen", "centred", CENTRED_TRANSDUCTIVE}
    unseen: dict[int, Any] = {}
    for row in results["rows"]:
        assert [(cell["draw"], cell["seed"]) for cell in row["cells"]] == [(0, 0), (1, 0)]
        for cell in row["cells"]:
            assert cell["epochs"] == (0 if row["name"] in untrained else 2)
            assert unseen.setdefault(cell["draw"], cell["split"]) == cell["split"]
            assert (cell["retrieval"]["queries"], cell["retrieval"]["gallery"]) == (10, 6)
            assert cell["retrieval"]["chance"] == pytest.approx(0.5, abs=0.2)
    assert unseen[0]["unseen"] != unseen[1]["unseen"]
    assert orjson.loads((out / sbir_bench.RESULTS_FILE).read_bytes()) == results


@pytest.mark.slow
def test_a_cell_is_what_an_evaluation_of_its_network_gives(place: Path, compared: tuple[Path, dict[str, Any]]) -> None:
    out, results = compared
    (row,) = (row for row in results["rows"] if row["name"] == "doodle2search")
    data = place / "data"
    split, _ = SPLITS.choose(read_manifest(data).classes, Path("none"))
    unseen = read_group(data, UNSEEN, size=16, split=split)
    encoder = read_space(out / sbir_bench.RUNS / "doodle2search-0-0")
    assert not set(encoder.classes) & set(split.unseen)
    found = measure_space(encoder, unseen, None, SpaceMeasures()).values["retrieval"]["map"]["expected"]
    assert row["cells"][0]["retrieval"]["map"]["expected"] == pytest.approx(found, abs=0.02), "features are halves"


@pytest.mark.slow
def test_the_page_names_definitions_chance_and_published_figures(compared: tuple[Path, dict[str, Any]]) -> None:
    page = (compared[0] / sbir_bench.TABLE_FILE).read_text(encoding="utf-8")
    (d2s, last) = (line for line in page.splitlines() if line.startswith("| `doodle2search` | Doodle to Search |"))
    assert "0.3691 / 0.4606 / 0.3704" in d2s
    assert "0.0752 / 0.0901 / 0.0675" in last
    assert "**A random order has a mAP of 0.6450 ± 0.0000** and a precision of 0.5000 ± 0.0000 at every rank" in page
    assert "The gallery has 6 items, fewer than 200" in page
    for told in ("lenient", "strict", "interpolated", "ties", "transductive", "## Generalised"):
        assert told in page
    assert sum(line.startswith("| `triplet` |") for line in page.splitlines()) >= 3
    with (compared[0] / sbir_bench.CELLS_FILE).open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * len(all_rows(SBIR_METHODS))
    assert {line["seed"] for line in lines} == {"0"}


@pytest.mark.slow
def test_what_is_finished_is_kept_and_other_options_are_not_taken_for_it(
    place: Path, compared: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, results = compared
    page = (out / sbir_bench.TABLE_FILE).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(sbir_bench, "import_module", lambda _: pytest.fail("a finished cell is trained again"))
        assert sbir_bench.run(config(place, out, generalised=True), SPLITS, loop()) == results
    assert (out / sbir_bench.TABLE_FILE).read_bytes() == page
    with pytest.raises(ConfigError, match="use that, or another --out"):
        sbir_bench.run(config(place, out, generalised=True, epochs=3, rows="triplet"), SPLITS, loop())


def _compare(*options: Any) -> None:
    torch.set_num_threads(1)
    sbir_bench.run(*options)


@pytest.mark.slow
def test_a_comparison_that_was_killed_ends_with_the_same_figures(place: Path, tmp_path: Path) -> None:
    rows = "frozen,triplet,doodle2search"
    whole = sbir_bench.run(config(place, tmp_path / "whole", rows=rows), SPLITS, loop())
    out = tmp_path / "killed"
    process = multiprocessing.get_context("forkserver").Process(
        target=_compare, args=(config(place, out, rows=rows), SPLITS, loop())
    )
    process.start()
    deadline = time.monotonic() + 300
    while process.is_alive() and len(list((out / sbir_bench.CELLS).glob("*.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.join(300)
    found = sbir_bench.run(config(place, out, rows=rows), SPLITS, loop())

    def figures(results: dict[str, Any]) -> list[Any]:
        return [[{**cell, "seconds": 0, "model": cell["model"]} for cell in row["cells"]] for row in results["rows"]]

    assert figures(found) == figures(whole)


def test_unseen_classes_are_not_read_by_a_training(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def watched(*args: Any, **kwargs: Any) -> Any:
        read.append(args[1])
        assert args[1] != UNSEEN
        found = read_group(*args, **kwargs)
        assert not set(found.classes) & set(kwargs["split"].unseen)
        return found

    monkeypatch.setattr(experiment, "read_group", watched)
    sbir_bench.run(config(place, tmp_path / "bench", rows="triplet,centred", draws=1), SPLITS, loop())
    assert set(read) == {"seen", "validation"}


def test_unequal_epochs_are_refused(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shorter:
        @staticmethod
        def run(own: Any, *others: Any) -> dict[str, Any]:
            return {"stages": [{"epochs": own.epochs - 1}]}

    monkeypatch.setattr(sbir_bench, "import_module", lambda _: Shorter)
    with pytest.raises(SketchDataError, match="triplet learned for 1 epochs, and --epochs is 2"):
        sbir_bench.run(config(place, tmp_path, rows="triplet"), SPLITS, loop())


@pytest.mark.parametrize(
    ("changed", "splits", "message"),
    [
        ({"rows": "siamise"}, SPLITS, "there is no row 'siamise'; did you mean siamese"),
        ({"rows": " , "}, SPLITS, "leaves nothing to compare"),
        ({"words": None, "rows": "doodle2search"}, SPLITS, "leaves nothing to compare"),
        ({"patience": 3}, SPLITS, "different numbers of epochs"),
        ({}, SplitOptions(), "the data set's own split is one draw of classes: use --draws 1"),
        ({}, SplitOptions(class_split=("sketchy-21",)), "--class-split is one draw"),
        ({}, SplitOptions(seen=8), "can be seen, not 8"),
        ({}, SplitOptions(seen=7, validation_share=0.34), "1 unseen classes"),
        ({}, SplitOptions(seen=4), "1 validation classes"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_trained(
    place: Path, tmp_path: Path, changed: dict[str, Any], splits: SplitOptions, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        sbir_bench.run(config(place, tmp_path / "bench", **changed), splits, loop())
    assert not (tmp_path / "bench").exists()


def test_a_class_without_a_photo_is_told_first(place: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    manifest = make_two_domains(data, GROUPS, drawings=2, photos=1)
    text = orjson.loads((data / "manifest.json").read_bytes())
    text["counts"]["seen-photos"]["star"] = 0
    (data / "manifest.json").write_bytes(orjson.dumps(text))
    assert "star" in manifest.classes
    with pytest.raises(ConfigError, match="no photos of star: build it without"):
        sbir_bench.run(config(place, tmp_path / "bench", data=data), SPLITS, loop())


def test_the_own_split_of_the_data_is_one_draw(place: Path, tmp_path: Path) -> None:
    results = sbir_bench.run(config(place, tmp_path, rows="frozen", draws=1), SplitOptions(), loop())
    assert results["splits"][0]["unseen_classes"] == ["apple", "ice cream"]


# ---- rows ------------------------------------------------------------------------------------------------------------


def test_rows_are_the_methods_of_the_trainer_and_the_ablation() -> None:
    rows = all_rows((*SBIR_METHODS, "another"))
    assert {row.method for row in rows} == {*SBIR_METHODS, "another"}
    assert set(TABLE_3) <= {row.name for row in rows}
    assert "doodle2search" in TABLE_2
    assert [row.name for row in chosen_rows("triplet, frozen", SBIR_METHODS)] == ["frozen", "triplet"]


def measured(*values: float) -> MeasuredRow:
    row = SbirRow(name="a", title="a", method="a")
    cells = {(draw, 0): {"retrieval": {"map": {"expected": value}}} for draw, value in enumerate(values)}
    return MeasuredRow(row=row, cells=cells)


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [((0.3, 0.4, 0.5), (0.2, 0.3, 0.41), True), ((0.3, 0.4, 0.5), (0.2, 0.5, 0.5), False)],
)
def test_a_difference_within_its_deviation_is_none(
    one: tuple[float, ...], other: tuple[float, ...], told: bool
) -> None:
    found = difference(measured(*one), measured(*other))
    assert found is not None
    own = np.subtract(one, other)
    assert (found["mean"], found["sd"]) == pytest.approx((own.mean(), own.std(ddof=1)))
    assert found["above_deviation"] is told
    assert difference(measured(0.3), measured(0.2)) is None


def test_seeds_of_a_draw_are_one_number() -> None:
    row = SbirRow(name="a", title="a", method="a")
    values = {(0, 0): 0.1, (0, 1): 0.3, (1, 0): 0.4, (1, 1): 0.6}
    found = MeasuredRow(row=row, cells={key: {"seconds": value} for key, value in values.items()})
    assert found.by_draw("seconds") == pytest.approx({0: 0.2, 1: 0.5})
    assert found.show("seconds", digits=2) == "0.35 ± 0.21"
