"""The published splits: as many classes as they say, what their sources list, and ours made again to the byte."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sketchdata.classes.lists import ClassLists, parse_pictures, read_folder
from sketchdata.classes.spellings import match, plain
from sketchdata.classes.splits import SplitNames, SplitOptions, read, read_all, split_by_names
from sketchdata.pipelines import exports
from sketchdata.storage.catalog import manifest_path, read_classes

PUBLISHED = manifest_path("splits")
QUICKDRAW = read_classes(manifest_path("quickdraw-categories.txt"))
UNSEEN = {
    "sketchy-21": 21,
    "sketchy-25-sake": 25,
    "sketchy-25-sem-pcyc": 25,
    "tu-berlin-30-sake": 30,
    "tu-berlin-30-sem-pcyc": 30,
    "quickdraw-30": 30,
}
OURS = [f"quickdraw-200-145-seed-{seed}" for seed in range(5)]


def names(name: str) -> SplitNames:
    return read(PUBLISHED / f"{name}.txt")


@pytest.fixture(scope="module")
def theirs() -> Path:
    """Return the folder of the lists as their sources publish them."""
    data = os.environ.get("SKETCHDATA_REAL_DATA")
    if not data or not (Path(data) / "splits").is_dir():
        pytest.skip("needs the published lists: set SKETCHDATA_REAL_DATA to a folder with splits/")
    return Path(data) / "splits"


@pytest.fixture(scope="module")
def zse(theirs: Path) -> dict[str, ClassLists]:
    folders = {
        "sketchy-21": "Sketchy/zeroshot0",
        "sketchy-25-sake": "Sketchy/zeroshot1",
        "tu-berlin-30-sake": "TUBerlin/zeroshot",
        "quickdraw-30": "QuickDraw/zeroshot",
    }
    return {name: read_folder(theirs / "zse-sbir" / folder) for name, folder in folders.items()}


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


# ---- what travels with the product -----------------------------------------------------------------------------------


def test_there_are_the_published_lists_and_five_of_ours() -> None:
    assert {path.stem for path in PUBLISHED.glob("*")} == {*UNSEEN, "quickdraw-80-train", *OURS}


@pytest.mark.parametrize("name", UNSEEN)
def test_a_published_list_has_as_many_classes_as_its_name_says_and_says_where_it_is_from(name: str) -> None:
    found = names(name)
    assert (found.seen, found.validation, len(found.unseen or ())) == (None, None, UNSEEN[name])
    head = [line for line in lines(PUBLISHED / f"{name}.txt") if line.startswith("#")]
    assert any(line.startswith("# Source: ") for line in head)
    assert any(line.startswith("# Known: ") for line in head)


def test_the_lists_of_quickdraw_are_classes_of_quickdraw_80_and_30_of_them() -> None:
    split, unknown = split_by_names(QUICKDRAW, read_all(["quickdraw-30", "quickdraw-80-train"], PUBLISHED))
    assert (len(split.seen), len(split.validation), len(split.unseen), unknown) == (80, 16, 30, ())
    assert {"crocodile", "motorbike", "The Eiffel Tower", "teddy-bear"} <= set(split.seen)
    assert "birthday cake" not in {*split.seen, *split.unseen}


@pytest.mark.parametrize("seed", range(5))
def test_our_splits_are_made_again_to_the_byte(seed: int, tmp_path: Path) -> None:
    config = exports.ExportSplitsConfig(out=tmp_path / "split.txt")
    made = exports.export_splits(config, SplitOptions(seen=200, split_seed=seed)).split
    assert (len(made.seen), len(made.validation), len(made.unseen)) == (200, 40, 145)
    assert config.out.read_bytes() == (PUBLISHED / f"{OURS[seed]}.txt").read_bytes()
    assert split_by_names(QUICKDRAW, names(OURS[seed]), seed=99)[0] == made


def test_our_splits_are_five_different_ones_which_together_see_and_miss_most_classes() -> None:
    found = [names(name) for name in OURS]
    assert len({own.unseen for own in found}) == 5
    # Of independent splits, 1.3 % of the classes are never seen, and 6.5 % are always.
    assert len(set().union(*(own.seen or () for own in found))) > 330
    assert len(set().union(*(own.unseen or () for own in found))) > 300


# ---- against their sources -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sketchy-21", "sketchy-25-sake", "tu-berlin-30-sake"])
def test_lists_are_those_of_zse_sbir_in_its_order(name: str, zse: dict[str, ClassLists]) -> None:
    assert names(name).unseen == zse[name].unseen


def test_sketchy_21_is_the_same_in_three_programs(theirs: Path) -> None:
    for path in ("sem-pcyc/test_classes_eccv_2018.txt", "doodle2search/zeroshot_classes_sketchy.txt"):
        assert tuple(lines(theirs / path)) == names("sketchy-21").unseen


def test_quickdraw_30_is_that_of_doodle2search_and_zse_sbir_spells_one_name_otherwise(
    theirs: Path, zse: dict[str, ClassLists]
) -> None:
    own = names("quickdraw-30").unseen or ()
    assert own == tuple(lines(theirs / "doodle2search/zeroshot_classes_quickdraw.txt"))
    assert set(own) ^ set(zse["quickdraw-30"].unseen) == {"palm_tree", "palm tree"}
    assert {plain(name) for name in own} == {plain(name) for name in zse["quickdraw-30"].unseen}


def test_quickdraw_80_and_30_are_the_classes_of_doodle2search_without_the_list_itself(
    theirs: Path, zse: dict[str, ClassLists]
) -> None:
    seen = names("quickdraw-80-train").seen or ()
    assert seen == zse["quickdraw-30"].seen
    listed = lines(theirs / "doodle2search/quick_draw_class_labels.txt")
    assert set(listed) - {*seen, *zse["quickdraw-30"].unseen} == {"class_labels.txt"}
    assert len(listed) == 111


@pytest.mark.parametrize(
    ("name", "table", "taken"),
    [("sketchy-25-sem-pcyc", "sketchy-25-sake", 100), ("tu-berlin-30-sem-pcyc", "tu-berlin-30-sake", 220)],
)
def test_the_lists_of_sem_pcyc_are_what_its_random_numbers_leave_over(
    name: str, table: str, taken: int, zse: dict[str, ClassLists]
) -> None:
    classes = sorted(word.replace(" ", "_").replace("-", "_") for word in (*zse[table].seen, *zse[table].unseen))
    left = set(classes) - set(np.random.RandomState(0).choice(classes, taken, replace=False).tolist())
    assert set(match(names(name).unseen or (), classes).classes) == left


def test_sketchy_and_tu_berlin_are_covered_by_each_of_their_lists(zse: dict[str, ClassLists]) -> None:
    for table, own in (("sketchy-21", "sketchy"), ("tu-berlin-30-sake", "tu-berlin")):
        classes = (*zse[table].seen, *zse[table].unseen)
        for name in (name for name in UNSEEN if name.startswith(own)):
            assert len(split_by_names(classes, names(name))[0].unseen) == UNSEEN[name]


def test_the_pictures_of_zse_sbir_are_read_and_cake_is_of_two_classes(zse: dict[str, ClassLists]) -> None:
    found = zse["quickdraw-30"].pictures["sketch_zero.txt"]
    counts = dict(zip(zse["quickdraw-30"].unseen, np.bincount(found.labels).tolist(), strict=True))
    assert counts.pop("cake") == 5262
    assert set(counts.values()) == {3001}
    assert len(found.paths) == 92291
    folders = {plain(path.split("/")[1]): int(label) for path, label in zip(found.paths, found.labels, strict=True)}
    assert folders == {plain(name): label for label, name in enumerate(zse["quickdraw-30"].unseen)}
    assert parse_pictures(
        [f"{path} {label}" for path, label in zip(found.paths[:9], found.labels[:9], strict=True)], 30
    )
