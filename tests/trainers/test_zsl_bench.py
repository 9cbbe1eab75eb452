"""The comparison of zero-shot methods: rows over draws of classes, what is kept, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from sketchdata.classes.splits import SplitOptions
from sketchdata.classes.vectors import read_vectors, write_vectors
from sketchdata.errors import ConfigError
from sketchdata.trainers import zsl_bench
from sketchdata.training.run_folder import RECORD, REPORT, read_json
from sketchdata.zero_shot import ZERO_SHOT_METHODS
from tests.bitmap_folders import bitmap_folder
from tests.trainings import loop, network
from tests.zero_shot_trainings import EPOCHS, SPLITS, built, generated_drawings, vectors_file

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def few_steps() -> Iterator[None]:
    """Let perceptrons take 5 or 10 steps: which rows there are and what they sum up does not depend on it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("eve", "eve_reversed"):
            grid = ({"decay": 1e-4, "steps": 5}, {"decay": 1e-4, "steps": 10})
            short = replace(ZERO_SHOT_METHODS[name], grid=grid, constants=grid[1])
            patch.setitem(ZERO_SHOT_METHODS, name, short)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zsl-bench")
    built(generated_drawings(folder / "source"), folder / "data")
    for name, kind in (("edges", "edge maps"), ("words", "words")):
        words, vectors, counts = read_vectors(vectors_file(folder / f"{name}.parquet", seed=len(name)))
        write_vectors(folder / f"{name}.parquet", words, vectors, counts, {"kind": kind})
    return folder


def config(place: Path, out: Path, **others: Any) -> zsl_bench.Config:
    changed = {"splits": 2, "methods": "eve,eve_reversed,sae,eszsl", "networks": "cr,cnn,rnn,thin", "width": 16}
    vectors = (place / "edges.parquet", place / "words.parquet")
    return zsl_bench.Config(
        **{"data": place / "data", "out": out, "vectors": vectors, "drawings": 20, **EPOCHS, **changed, **others}
    )


@pytest.fixture(scope="module")
def compared(place: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a comparison, and its results."""
    options = config(place, place / "bench", upper_bound=True)
    return place / "bench", zsl_bench.run(options, SPLITS, network(), loop())


def test_a_row_is_a_network_a_source_and_a_method(compared: tuple[Path, dict[str, Any]]) -> None:
    found = {(row["features"], row["source"], row["method"]) for row in compared[1]["rows"]}
    sources = ("edges", "words", "edges+words")
    expected = {("CR", source, method) for source in sources for method in ("eve", "eve_reversed", "sae", "eszsl")}
    expected |= {(one, source, way) for one in ("CNN", "RNN") for source in sources for way in ("eve", "eve_reversed")}
    # Of the methods of our own network only this one was asked for.
    expected |= {("THIN", source, "eve") for source in sources}
    assert found == expected | {("CR", "drawings", "upper-bound"), ("CNN", "drawings", "upper-bound")}


def test_a_row_is_the_mean_of_its_draws(compared: tuple[Path, dict[str, Any]]) -> None:
    folder, results = compared
    for row in results["rows"]:
        hits = [draw["zsl"]["hit@1"] for draw in row["draws"]]
        assert [draw["split_seed"] for draw in row["draws"]] == [0, 1]
        assert row["summary"]["zsl"]["hit@1"] == {
            "mean": pytest.approx(np.mean(hits)),
            "sd": pytest.approx(np.std(hits, ddof=1)),
            "count": 2,
        }
        assert row["summary"]["zsl"]["chance"]["hit@1"]["mean"] == pytest.approx(1 / 3)
        if row["method"] == "upper-bound":
            continue
        for draw in row["draws"]:
            run = folder / "runs" / f"{row['features'].lower()}-{draw['split_seed']}"
            own = read_json(run / "evaluation.json")["recognisers"][f"{row['source']}.{row['method']}"]
            assert own["zsl"]["hit@1"] == draw["zsl"]["hit@1"]


def test_draws_are_of_different_classes(compared: tuple[Path, dict[str, Any]]) -> None:
    unseen = [read_json(compared[0] / "runs" / f"cr-{seed}" / RECORD)["zero_shot"]["unseen"] for seed in (0, 1)]
    assert unseen[0] != unseen[1]


def test_branches_alone_are_those_of_both(compared: tuple[Path, dict[str, Any]]) -> None:
    for name in ("cnn", "rnn"):
        assert set(read_json(compared[0] / "runs" / f"{name}-0" / REPORT)["pretrained"]) >= {name}


def test_the_page_puts_words_and_edge_maps_beside_the_paper_s(compared: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = compared
    page = (folder / zsl_bench.TABLE_FILE).read_text(encoding="utf-8")
    (sae,) = (line for line in page.splitlines() if line.startswith("| sae: SAE (sketch ← word vector) |"))
    assert "| words |" in sae
    assert "0.1056 / 0.2751 / 0.3940 / 0.5471" in sae
    (ours,) = (line for line in page.splitlines() if line.startswith("| eve: CNN, sketch ← edge map |"))
    assert "| edges |" in ours
    assert "| *chance* | | | 0.3333 |" in page
    results = orjson.loads((folder / zsl_bench.RESULTS_FILE).read_bytes())
    assert results["rows"] == compared[1]["rows"]


def test_what_is_finished_is_kept(place: Path, compared: tuple[Path, dict[str, Any]]) -> None:
    folder, results = compared
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*") if path.is_file()}
    assert zsl_bench.run(config(place, folder, upper_bound=True), SPLITS, network(), loop()) == results
    assert {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*") if path.is_file()} == before


def test_bitmaps_have_no_points_to_learn_from(place: Path, tmp_path: Path) -> None:
    data = bitmap_folder(tmp_path / "bitmaps")
    words = tuple(sorted(path.stem for path in data.glob("*.npy")))
    options = replace(config(place, tmp_path), data=data, vectors=(vectors_file(tmp_path / "v.parquet", words=words),))
    assert zsl_bench.chosen_networks(options) == ["cnn", "thin"]
    with pytest.raises(ConfigError, match="leaves nothing to compare"):
        zsl_bench.chosen_networks(replace(options, networks="cr,rnn"))


@pytest.mark.parametrize(
    ("changed", "splits", "message"),
    [
        ({"networks": "cr,vit"}, SPLITS, "there is no vit; there are cr, cnn, rnn, thin"),
        ({"methods": "magic"}, SPLITS, "there is no magic"),
        ({}, SplitOptions(class_split=("quickdraw-30",)), "--class-split is one draw of classes: use --splits 1"),
        ({}, SplitOptions(seen=10), "can be seen, not 10"),
        ({}, SplitOptions(), "give --seen"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_trained(
    place: Path, tmp_path: Path, changed: dict[str, Any], splits: SplitOptions, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        zsl_bench.run(config(place, tmp_path / "bench", **changed), splits, network(), loop())
    assert not (tmp_path / "bench").exists()
