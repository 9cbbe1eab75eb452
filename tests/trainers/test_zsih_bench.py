"""The comparison of binary codes of drawings and photos: its cells, what is kept, the tables, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import torch

from sketchdata.classes.splits import SplitOptions
from sketchdata.comparisons.zsih import ROWS, TABLE_1, TABLE_2
from sketchdata.cross_domain.options import PairTraining
from sketchdata.errors import ConfigError
from sketchdata.trainers import zsih_bench
from sketchdata.training.backbones import build
from tests.two_domains import make_two_domains, write_random_words

GROUPS = {"seen": ("cat", "house", "star", "airplane"), "validation": ("fish", "sun"), "unseen": ("apple", "ice cream")}
SPLITS = SplitOptions(seen=6, validation_share=0.34)
LOOP = PairTraining(batch_size=8, device="cpu", log_every=2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zsih-bench")
    make_two_domains(folder / "data", GROUPS, drawings=5, photos=3)
    write_random_words(folder / "words.parquet", GROUPS)
    torch.manual_seed(5)
    torch.save(build("small", classes=4, channels=3).state_dict(), folder / "small.pth")
    return folder


def config(place: Path, out: Path, **others: Any) -> zsih_bench.Config:
    given: dict[str, Any] = {"data": place / "data", "words": place / "words.parquet", "draws": 2, "epochs": 1}
    given |= {"weights": str(place / "small.pth"), "backbone": "small", "size": 16, "trunk": "frozen", "bits": "16"}
    return zsih_bench.Config(
        **{**given, "kron_width": 4, "graph_width": 8, "edge_detector": "none", "out": out, **others}
    )


@pytest.fixture(scope="module")
def compared(place: Path) -> tuple[Path, dict[str, Any]]:
    out = place / "bench"
    return out, zsih_bench.run(
        config(place, out, rows="zsih,no-graph,cca,cvh,cmfh,scm-seq,itq,ours-pca,ours"), SPLITS, LOOP
    )


@pytest.mark.slow
def test_every_row_has_the_draws_and_classes_of_the_others(compared: tuple[Path, dict[str, Any]]) -> None:
    out, results = compared
    assert [row["name"] for row in results["rows"]] == [
        *("cca", "cvh", "cmfh", "scm-seq", "itq", "ours-pca", "ours", "zsih", "no-graph")
    ]
    splits = [[cell["split"] for cell in row["cells"]] for row in results["rows"]]
    assert all(each == splits[0] for each in splits)
    assert splits[0][0] != splits[0][1]
    for row in results["rows"]:
        for cell in row["cells"]:
            assert (cell["queries"], cell["gallery"], cell["unseen"]) == (10, 6, 2)
            assert cell["map"]["pessimistic"] <= cell["map"]["expected"] <= cell["map"]["optimistic"]
            assert cell["chance"] == pytest.approx(0.5, abs=0.2)
    assert orjson.loads((out / zsih_bench.RESULTS_FILE).read_bytes()) == results


@pytest.mark.slow
def test_finished_cells_are_kept(
    place: Path, compared: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, results = compared
    for trainer in (zsih_bench.zsih, zsih_bench.sketchspace, zsih_bench.sbir_baselines):
        monkeypatch.setattr(trainer, "run", None)
    monkeypatch.setattr(zsih_bench, "read_space", None)
    again = zsih_bench.run(config(place, out, rows="zsih,cca,ours"), SPLITS, LOOP)
    assert again["rows"] == [row for row in results["rows"] if row["name"] in ("zsih", "cca", "ours")]


@pytest.mark.slow
def test_the_page_has_chance_bounds_and_published_figures(compared: tuple[Path, dict[str, Any]]) -> None:
    page = (compared[0] / zsih_bench.TABLE_FILE).read_text(encoding="utf-8")
    assert "A random order has a mAP of 0.6450" in page
    (own,) = (line for line in page.splitlines() if line.startswith("| `zsih` | ZSIH | 16 |"))
    assert own.endswith("| 0.254 / 0.220 |")
    assert "| SCM-Seq | 0.092 / 0.100 / 0.084 | 0.084 / 0.087 / 0.072 |" in page
    assert "| SAE, 300 values | 0.210 / 0.302 | 0.161 / 0.210 |" in page
    assert (len(TABLE_1), len(TABLE_2)) == (11, 13)
    assert TABLE_1["ZSIH"][0][1] == TABLE_2["ZSIH, 64 bits"][0][0] == 0.254
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"rows": "zsh"}, "there is no row 'zsh'"),
        ({"bits": "48"}, "--bits 48: expected some of"),
        ({"patience": 3}, "different numbers of epochs"),
        ({"words": None}, "needs --weights and --words"),
    ],
)
def test_what_cannot_be_compared_is_refused(place: Path, tmp_path: Path, others: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        zsih_bench.run(config(place, tmp_path, **others), SPLITS, LOOP)
