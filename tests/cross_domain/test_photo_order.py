"""The order of photos for a drawing beside that of people: τ_b by counting pairs, and what is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from sketchdata import synth
from sketchdata.cross_domain.photo_order import compare_order, rank_correlation, read_order
from sketchdata.drawings.raster import raster
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.photos.crops import encode
from sketchdata.synth.photos import jpeg
from tests.commands import sketchdata
from tests.spaces import make_classifier_run, make_space_run
from tests.two_domains import make_two_domains


def counted(first: list[float], second: list[float]) -> float:
    """τ_b by its definition."""
    signs = [
        (np.sign(first[i] - first[j]), np.sign(second[i] - second[j]))
        for i, j in itertools.combinations(range(len(first)), 2)
    ]
    agreed = sum(a * b for a, b in signs)
    untied = [sum(each[axis] != 0 for each in signs) for axis in (0, 1)]
    return float(agreed / np.sqrt(untied[0] * untied[1]))


def test_the_correlation_is_that_of_counted_pairs_with_ties() -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        ranks = random.integers(0, 6, 40).astype(float).tolist()
        distances = random.integers(0, 9, 40).astype(float)
        assert rank_correlation(ranks, distances) == pytest.approx(counted(ranks, distances.tolist()))
    assert rank_correlation([1, 2, 3], np.ones(3)) == 0


def write_benchmark(folder: Path, lines: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for word in ("cat", "star"):
        (ink,) = raster(synth.generate(word, 1, seed=0, label=0), size=64)
        (folder / f"{word}.png").write_bytes(encode(np.stack([255 - ink] * 3, 2), "png"))
        for number in range(3):
            (folder / f"{word}-{number}.jpg").write_bytes(jpeg(word, number, seed=0, side=64))
    (folder / "order.csv").write_text("\n".join(["drawing,photo,rank", *lines, ""]))
    return folder


@pytest.mark.slow
def test_a_run_is_compared_with_an_order_and_with_its_own(tmp_path: Path) -> None:
    make_two_domains(tmp_path / "data")
    run = make_classifier_run(tmp_path / "run", tmp_path / "data")
    photos = [f"{word}-{number}.jpg" for word in ("cat", "star") for number in range(3)]
    lines = [f"{word}.png,{photo},{rank}" for word in ("cat", "star") for rank, photo in enumerate(photos)]
    folder = write_benchmark(tmp_path / "benchmark", lines)
    found = compare_order(run, folder)
    assert found["drawings"].keys() == {"cat.png", "star.png"}
    assert found["tau"] == pytest.approx(np.mean(list(found["drawings"].values())))
    printed = sketchdata("bench", "photo-order", str(run), str(folder), "--device", "cpu", "--json")
    assert json.loads(printed.stdout)["tau"] == pytest.approx(found["tau"])
    reversed_lines = [f"{word}.png,{photo},{-rank}" for word in ("cat", "star") for rank, photo in enumerate(photos)]
    assert compare_order(run, write_benchmark(folder, reversed_lines))["tau"] == pytest.approx(-found["tau"])
    (folder / "star-1.jpg").write_bytes(encode(np.zeros((1, 1, 3), np.uint8), "png"))
    assert len(compare_order(run, folder, layer="fc7")["drawings"]) == 2
    (folder / "star-1.jpg").write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(SketchDataError, match=r"star-1\.jpg is not a picture"):
        compare_order(run, folder)
    space = make_space_run(tmp_path / "space", tmp_path / "data")
    with pytest.raises(ConfigError, match="train dsf"):
        compare_order(space, folder)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "has no lines"),
        (["cat.png,cat-0.jpg,first"], "line 2: expected a number as rank, got 'first'"),
        (["cat.png,cat-0.jpg,nan"], "expected a number"),
        (["cat.png,cat-0.jpg"], "expected a number"),
        (["cat.png,cat-9.jpg,1"], "'cat-9.jpg' is not a file"),
        (["cat.png,cat-0.jpg,1", "cat.png,cat-0.jpg,2"], "line 3: cat.png and cat-0.jpg were ranked before"),
        (["cat.png,cat-0.jpg,1", "cat.png,cat-1.jpg,1"], "two photos of different ranks"),
    ],
)
def test_damaged_orders_are_refused(tmp_path: Path, lines: list[str], told: str) -> None:
    with pytest.raises(SketchDataError, match=told):
        read_order(write_benchmark(tmp_path, lines))
    (tmp_path / "order.csv").unlink()
    with pytest.raises(ConfigError, match="has no order"):
        read_order(tmp_path)
