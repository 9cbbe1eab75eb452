"""Few drawings of a class, chosen by each way."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from sketchdata.curation.selection import WAYS, choose, diverse, typical, unit_rows
from sketchdata.errors import ConfigError
from sketchdata.pipelines.select import Config, select
from tests.audits import build_in_shards
from tests.commands import sketchdata
from tests.quickdraw_builds import key_ids_of_class, plain_rank


def features(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 576)).astype(np.uint8)


def value(rows: tuple[int, ...], found: np.ndarray) -> float:
    unit = unit_rows(found)
    return float((unit @ unit[list(rows)].T).max(axis=1).sum())


def test_greedy_facility_location_is_near_the_best_selection() -> None:
    found = features(14)
    best = max(value(rows, found) for rows in itertools.combinations(range(14), 3))
    chosen = diverse(found, 3)
    assert value(tuple(chosen), found) >= (1 - 1 / np.e) * best
    assert chosen.tolist() == diverse(found, 9)[:3].tolist()
    assert sorted(diverse(found, 20).tolist()) == list(range(14))


def test_the_most_typical_drawing_is_nearest_to_the_mean() -> None:
    found = features(30)
    unit = unit_rows(found)
    assert typical(found)[0] == (unit @ unit.mean(axis=0)).argmax()


@pytest.mark.parametrize("by", WAYS)
def test_each_class_gets_its_number_and_one_without_drawings_nothing(by: str) -> None:
    label = np.repeat([0, 2, 3], [20, 5, 30])
    key_id = np.arange(55, dtype=np.uint64)
    rows = choose(by, features(55), label, key_id, 7, 1)
    assert np.bincount(label[rows]).tolist() == [7, 0, 5, 7]
    assert len(set(rows.tolist())) == len(rows)
    assert rows.tolist() == choose(by, features(55), label, key_id, 7, 1).tolist()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_in_shards(tmp_path_factory.mktemp("select"))


def test_random_takes_the_smallest_ranks_and_writes_them(built: Path, tmp_path: Path) -> None:
    counts = select(built, Config(per_class=5, by="random", out=tmp_path / "chosen.csv"))
    assert set(counts.values()) == {5}
    with (tmp_path / "chosen.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for word in counts:
        own = [int(row["key_id"]) for row in rows if row["word"] == word]
        assert own == sorted(key_ids_of_class(built, word)["train"], key=plain_rank)[:5]


def test_a_split_without_drawings_or_a_missing_folder_is_refused(built: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no drawings in the split 'trian'"):
        select(built, Config(per_class=5, out=tmp_path / "a.csv", split="trian"))
    with pytest.raises(ConfigError, match="does not exist"):
        select(built, Config(per_class=5, out=tmp_path / "no" / "a.csv"))


@pytest.mark.slow
def test_the_command_says_what_it_chose(built: Path, tmp_path: Path) -> None:
    told = sketchdata("select", built, "--per-class", 200, "--by", "diversity", "--out", tmp_path / "chosen.csv")
    assert "360 drawings of 4 classes, by diversity" in told.stdout
    assert "fewer than 200" in told.stderr
    told = sketchdata("select", built, "--per-class", 2, "--by", "typicality", "--out", tmp_path / "b.csv", "--json")
    assert json.loads(told.stdout)["drawings"] == 8
