"""Splits leave as a list of names or as the lists of SAKE, come back as they were, and replace nothing unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest
from click.testing import CliRunner

from sketchdata.classes.lists import read_folder
from sketchdata.classes.splits import ClassSplit, SplitNames, SplitOptions, read
from sketchdata.cli.exports import export_splits as export_command
from sketchdata.cli.exports import import_splits as import_command
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.pipelines import exports, imports
from sketchdata.storage.dataset import open_dataset
from tests.quickdraw_builds import CATEGORIES, SIZES, build, generate

TABLE = ("axe", "bear", "cat", "dog", "palm tree", "yak")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    build(generate(folder / "source"), folder / "set")
    return folder / "set"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.txt"
    path.write_text("".join(f"{word}\n" for word in TABLE))
    return path


def export(out: Path, classes: Path, split: SplitOptions | None = None, **options: Any) -> exports.ExportedSplit:
    config = exports.ExportSplitsConfig(out=out, classes=str(classes), **options)
    return exports.export_splits(config, split or SplitOptions(seen=4, validation_share=0.25))


def as_names(split: ClassSplit) -> SplitNames:
    return SplitNames(seen=split.seen, validation=split.validation, unseen=split.unseen)


def test_a_list_of_names_says_the_split_and_how_it_was_made(tmp_path: Path, table: Path) -> None:
    found = export(tmp_path / "deep" / "split.txt", table).split
    assert (len(found.seen), len(found.validation), len(found.unseen)) == (4, 1, 2)
    assert read(tmp_path / "deep" / "split.txt") == as_names(found)
    head = (tmp_path / "deep" / "split.txt").read_text().splitlines()[:2]
    assert head == [
        "# 4 seen classes, 1 of them for validation, and 2 unseen ones. From the class table table.txt, by",
        "# sketchdata export splits --seen 4 --split-seed 0 --validation-share 0.25",
    ]


def test_a_written_split_is_taken_up_again_whatever_the_seed_and_the_order_of_the_table(
    tmp_path: Path, table: Path
) -> None:
    one = export(tmp_path / "one.txt", table)
    table.write_text("".join(f"{word.upper()}\n" for word in reversed(TABLE)))
    again = SplitOptions(class_split=(str(tmp_path / "one.txt"),), split_seed=7)
    other = export(tmp_path / "two.txt", table, again)
    for part in ("seen", "validation", "unseen"):
        assert {word.lower() for word in getattr(other.split, part)} == set(getattr(one.split, part))


def test_lists_of_sake_come_back_as_the_split_without_its_validation_classes(tmp_path: Path, table: Path) -> None:
    found = export(tmp_path / "lists", table, format="sake").split
    assert sorted(path.name for path in (tmp_path / "lists").iterdir()) == ["cname_cid.txt", "cname_cid_zero.txt"]
    imported = imports.import_splits(tmp_path / "lists", imports.ImportSplitsConfig(out=tmp_path / "split.txt"))
    assert (imported.seen, imported.unseen, imported.pictures) == (found.seen, found.unseen, {})
    assert read(tmp_path / "split.txt") == SplitNames(seen=found.seen, unseen=found.unseen)


def test_drawings_are_listed_each_once_and_none_of_an_unseen_class_is_for_training(tmp_path: Path, data: Path) -> None:
    split = SplitOptions(seen=3, validation_share=0.34)
    found = export(tmp_path / "lists", data, split, format="sake", drawings=True)
    lists = read_folder(tmp_path / "lists")
    expected = {"train": 3 * SIZES["train"], "test": 3 * SIZES["val"], "zero": SIZES["val"]}
    assert found.pictures == {f"sketches_filelist_{part}.txt": count for part, count in expected.items()}
    (unseen,) = found.split.unseen
    for name, own in lists.pictures.items():
        words = lists.unseen if "zero" in name else lists.seen
        key_ids = {word: set() for word in words}
        for path, label in zip(own.paths, own.labels, strict=True):
            assert path.startswith(f"sketches/{words[label]}/")
            key_ids[words[label]].add(int(path.split("/")[2].removesuffix(".png")))
        batches = list(open_dataset(data).batches("train" if "train" in name else "val"))
        for word in words:
            assert (word == unseen) == ("zero" in name)
            assert key_ids[word] == {
                int(key_id)
                for batch in batches
                for key_id, label in zip(batch.key_id, batch.label, strict=True)
                if CATEGORIES[label] == word
            }
    imported = imports.import_splits(tmp_path / "lists", imports.ImportSplitsConfig(out=tmp_path / "split.txt"))
    assert {name: len(own.paths) for name, own in imported.pictures.items()} == found.pictures


def test_a_published_split_takes_what_a_data_set_has_of_it(tmp_path: Path, table: Path) -> None:
    table.write_text("bat\ncow\ncat\ndog\nbirthday cake\n")
    with pytest.raises(ConfigError, match="28 of 30 names are not among the 5 classes: 'dolphin'"):
        export(tmp_path / "split.txt", table, SplitOptions(class_split=("quickdraw-30",)))
    lists = ("quickdraw-30", "quickdraw-80-train")
    found = export(
        tmp_path / "split.txt", table, SplitOptions(class_split=lists, allow_unknown=True, validation_share=0)
    )
    assert (found.split.seen, found.split.unseen) == (("cat", "dog"), ("bat", "cow"))
    assert (len(found.unknown), found.left_out) == (106, ("birthday cake",))


def test_files_that_are_there_are_replaced_only_on_demand(tmp_path: Path, table: Path) -> None:
    (tmp_path / "lists").mkdir()
    for out, options in ((tmp_path / "split.txt", {}), (tmp_path / "lists" / "cname_cid.txt", {"format": "sake"})):
        out.write_text("mine")
        place = out if not options else out.parent
        with pytest.raises(ConfigError, match="is there already: choose another --out, or --overwrite it"):
            export(place, table, **options)
        assert out.read_text() == "mine"
        assert not (tmp_path / "lists" / "cname_cid_zero.txt").exists()
        export(place, table, overwrite=True, **options)
        assert out.read_text() != "mine"
    with pytest.raises(ConfigError, match="is there already"):
        imports.import_splits(tmp_path / "lists", imports.ImportSplitsConfig(out=tmp_path / "split.txt"))
    imports.import_splits(tmp_path / "lists", imports.ImportSplitsConfig(out=tmp_path / "split.txt", overwrite=True))
    assert read(tmp_path / "split.txt").validation is None


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        (SplitOptions(), {}, "give --seen, for a random split, or --class-split, not both"),
        (SplitOptions(seen=3, class_split=("sketchy-21",)), {}, "not both"),
        (SplitOptions(class_split=("sketchy",)), {}, "sketchy is neither a file nor a published list; did you mean"),
        (SplitOptions(seen=6), {}, "2 to 5 of 6 classes can be seen, not 6"),
        (SplitOptions(seen=3), {"drawings": True}, "--drawings needs --format sake"),
        (SplitOptions(seen=3), {"drawings": True, "format": "sake"}, "give its folder as --classes"),
    ],
)
def test_options_that_do_not_fit_are_refused_and_nothing_is_written(
    split: SplitOptions, options: dict[str, Any], message: str, tmp_path: Path, table: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        export(tmp_path / "out", table, split, **options)
    assert not (tmp_path / "out").exists()


def test_outs_of_the_wrong_kind_are_refused(tmp_path: Path, table: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder; expected a file"):
        export(tmp_path, table)
    with pytest.raises(ConfigError, match="is a file, and lists go to a folder"):
        export(table, table, format="sake")


@pytest.mark.parametrize("content", [b"cat\n\ndog\n", b"", b"\xff"])
def test_class_tables_that_are_none_are_refused(content: bytes, tmp_path: Path, table: Path) -> None:
    table.write_bytes(content)
    with pytest.raises(ConfigError, match=r"--classes .*table\.txt"):
        export(tmp_path / "out", table)


def test_folders_that_are_no_data_set_or_have_no_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match="is not a finished data set"):
        export(tmp_path / "out", tmp_path)
    with pytest.raises(FormatError, match=r"has no cname_cid\.txt and no cname_cid_zero\.txt"):
        imports.import_splits(tmp_path, imports.ImportSplitsConfig(out=tmp_path / "split.txt"))
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_without_the_split_that_lists_need_is_refused(tmp_path: Path, data: Path) -> None:
    broken = tmp_path / "set"
    broken.mkdir()
    manifest = orjson.loads((data / "manifest.json").read_bytes())
    del manifest["counts"]["val"]
    (broken / "manifest.json").write_bytes(orjson.dumps(manifest))
    with pytest.raises(SketchDataError):
        export(tmp_path / "lists", broken, SplitOptions(seen=3), format="sake", drawings=True)
    assert not (tmp_path / "lists" / "cname_cid.txt").exists()


def test_the_commands_tell_what_they_did(tmp_path: Path, data: Path) -> None:
    runner, lists, out = CliRunner(), str(tmp_path / "lists"), str(tmp_path / "split.txt")
    line = ["--seen", "3", "--classes", str(data), "--format", "sake", "--drawings", "--out", lists]
    done = runner.invoke(export_command, line, catch_exceptions=False)
    assert done.output.splitlines() == [
        f"{lists}: 3 seen classes, 1 of them for validation, 1 unseen",
        "sketches_filelist_train.txt: 270 drawings",
        "sketches_filelist_test.txt: 30 drawings",
        "sketches_filelist_zero.txt: 10 drawings",
    ]
    done = runner.invoke(import_command, [lists, "--out", out], catch_exceptions=False)
    assert done.output.splitlines() == [
        f"{out}: 3 seen classes, 1 unseen",
        "sketches_filelist_test.txt: 30 pictures of 3 classes, checked",
        "sketches_filelist_train.txt: 270 pictures of 3 classes, checked",
        "sketches_filelist_zero.txt: 10 pictures of 1 classes, checked",
    ]
    (tmp_path / "lists" / "notes.txt").write_text("of mine")
    table = str(tmp_path / "pictures.csv")
    done = runner.invoke(import_command, [lists, "--out", out, "--overwrite", "--pictures", table])
    assert f"{table}: 310 pictures\n" in done.output
    assert "not read, because their names are not those of lists: notes.txt" in done.output
    rows = pd.read_csv(table)
    assert rows["part"].value_counts().to_dict() == {"train": 270, "test": 30, "zero": 10}
    assert list(rows.columns) == ["list", "part", "path", "word", "label"]
    zero = rows[rows["part"] == "zero"]
    assert (zero["path"] == "sketches/" + zero["word"] + "/" + zero["path"].str.split("/").str[-1]).all()
    done = runner.invoke(import_command, [lists, "--out", str(tmp_path / "new.txt"), "--pictures", table])
    assert f"{table} is there already: choose another --pictures" in str(done.exception)
    told = orjson.loads(runner.invoke(import_command, [lists, "--out", out, "--overwrite", "--json"]).output)
    assert sorted(told["seen"] + told["unseen"]) == sorted(CATEGORIES)
    assert told["pictures"]["sketches_filelist_zero.txt"] == {"pictures": 10, "classes": 1}
    line = ["--class-split", "quickdraw-30", "--out", out, "--overwrite", "--json"]
    told = orjson.loads(runner.invoke(export_command, line, catch_exceptions=False).output)
    assert (len(told["seen"]), len(told["validation"]), len(told["unseen"])) == (315, 63, 30)
    assert (told["unknown"], told["left_out"], told["pictures"]) == ([], [], {})
