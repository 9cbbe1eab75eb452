"""The comparison of mixes of domains: its cells, what is kept, the tables, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from sketchdata.comparisons.dsf import ROWS, TABLE_1, TABLE_2, TABLE_3
from sketchdata.cross_domain.dataset import PIXELS
from sketchdata.errors import ConfigError
from sketchdata.trainers import dsf_bench
from sketchdata.training.options import TrainingOptions
from tests.two_domains import make_two_domains

LOOP = TrainingOptions(batch_size=32, device="cpu", learning_rate=1e-2, save_minutes=0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dsf-bench")
    make_two_domains(folder / "pixels", drawings=12, photos=3, kind=PIXELS)
    make_two_domains(folder / "strokes", drawings=2, photos=2)
    return folder


def config(data: Path, out: Path, **others: Any) -> dsf_bench.Config:
    given: dict[str, Any] = {"backbone": "small", "size": 16, "epochs": 1, "folds": "1/3", "views": 2}
    return dsf_bench.Config(**{**given, "data": data, "edge_detector": "canny", "out": out, **others})


@pytest.fixture(scope="module")
def compared(place: Path) -> tuple[Path, dict[str, Any], str]:
    out = place / "bench"
    results = dsf_bench.run(config(place / "pixels", out, seeds=2, rows="s,s-bilinear,s+i+e"), LOOP)
    return out, results, (out / dsf_bench.TABLE_FILE).read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_row_has_the_same_folds_and_seeds_and_its_own_mix(compared: tuple[Path, dict[str, Any], str]) -> None:
    out, results, _ = compared
    assert [row["name"] for row in results["rows"]] == ["s-bilinear", "s", "s+i+e"]
    for row in results["rows"]:
        assert [(cell["fold"], cell["seed"]) for cell in row["cells"]] == [("1/3", 0), ("1/3", 1)]
        for cell in row["cells"]:
            assert 0 <= cell["one_view"] <= 1
            assert 0 <= cell["voting"] <= 1
            assert cell["chance"] == pytest.approx(1 / 6, abs=0.1)
            assert (cell["photos"] > 0, cell["edges"] > 0) == (row["name"] == "s+i+e", row["name"] == "s+i+e")
            assert cell["layers"]["by_layer"].keys() == {"fc6", "fc7", "fc6+fc7"}
    held = {cell["held_drawings"] for row in results["rows"] for cell in row["cells"]}
    assert len(held) == 1
    assert orjson.loads((out / "cells" / "s-bilinear-1of3-0.json").read_bytes())["row"] == "s-bilinear"
    assert orjson.loads((out / dsf_bench.RESULTS_FILE).read_bytes()) == results


@pytest.mark.slow
def test_finished_cells_are_kept(
    place: Path, compared: tuple[Path, dict[str, Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, results, _ = compared
    monkeypatch.setattr(dsf_bench.deep_sketch_feature, "run", None)
    again = dsf_bench.run(config(place / "pixels", out, seeds=2, rows="s"), LOOP)
    assert again["rows"] == [row for row in results["rows"] if row["name"] == "s"]


@pytest.mark.slow
def test_the_page_has_chance_and_published_figures(compared: tuple[Path, dict[str, Any], str]) -> None:
    page = compared[2]
    assert "| *chance* |" in page
    own, found = (line for line in page.splitlines() if line.startswith("| `s-bilinear` |"))
    assert own.endswith("| 2 | 0.690 / 0.710 |")
    assert found.count("±") == 3
    assert "| S + I + E | 0.4607 / 0.4615 / 0.4773 |" in page
    assert "| Sketch-a-Net | 0.749 |" in page


def test_published_figures_agree_with_one_another() -> None:
    assert TABLE_1["Sketches"] == (
        TABLE_2["Deep sketch feature, single angle"],
        TABLE_2["Deep sketch feature, multi-angle"],
    )
    assert {row.published for row in ROWS} - {None} == set(TABLE_1)
    assert (len(TABLE_2), len(TABLE_3)) == (8, 8)


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"rows": "s+x"}, r"there is no row 's\+x'"),
        ({"rows": ","}, "leave nothing to compare"),
        ({"folds": "4/3"}, "--fold 4/3"),
        ({"folds": ""}, "leave nothing to compare"),
        ({"views": 1}, "one view with several"),
        ({"views": 7}, "--views is one of"),
        ({"patience": 3}, "different numbers of epochs"),
        ({"rows": "s-thinned"}, "needs drawings that are pixels"),
    ],
)
def test_what_cannot_be_compared_is_refused(place: Path, tmp_path: Path, others: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        dsf_bench.run(config(place / "strokes", tmp_path / "out", **others), LOOP)
