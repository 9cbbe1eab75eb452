"""Lists of HashNet become tables, and other files are refused with their line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sketchdata.errors import ConfigError, FormatError
from sketchdata.pipelines import exports
from sketchdata.pipelines.imports import COLUMNS, ImportListsConfig, import_lists
from sketchdata.storage.dataset import open_dataset
from tests.builds import IN_PROCESS
from tests.trainings import generated_dataset


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(folder: Path, **lists: str) -> Path:
    folder.mkdir()
    for name, text in lists.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


def test_our_own_lists_come_back_with_their_key_ids_and_classes(tmp_path: Path) -> None:
    data = generated_dataset(tmp_path)
    exports.export_lists(data, exports.ExportListsConfig(out=tmp_path / "lists"), IN_PROCESS)
    assert import_lists(tmp_path / "lists", ImportListsConfig(out=tmp_path / "tables")) == {
        "train": 120,
        "gallery": 36,
        "query": 12,
    }
    dataset = open_dataset(data)
    for split in ("train", "gallery", "query"):
        expected = [
            (str(key_id), dataset.manifest.classes[label])
            for batch in dataset.batches(split)
            for key_id, label in zip(batch.key_id.tolist(), batch.label.tolist(), strict=True)
        ]
        assert [(row["key_id"], row["class"]) for row in rows(tmp_path / "tables" / f"{split}.csv")] == expected


def test_names_are_given_or_those_of_the_folders_or_numbers(tmp_path: Path) -> None:
    folder = write(tmp_path / "lists", train="images/a.jpg 1 0\nimages/b.jpg 0 1\n", test="images/7.png 0 1\n")
    import_lists(folder, ImportListsConfig(out=tmp_path / "numbered"))
    assert [tuple(row[name] for name in COLUMNS) for row in rows(tmp_path / "numbered" / "query.csv")] == [
        ("images/7.png", "7", "class 1")
    ]
    (tmp_path / "names.txt").write_text("cat\nwine glass\n", encoding="utf-8")
    import_lists(folder, ImportListsConfig(out=tmp_path / "named", classes=tmp_path / "names.txt"))
    assert [(row["key_id"], row["class"]) for row in rows(tmp_path / "named" / "train.csv")] == [
        ("", "cat"),
        ("", "wine glass"),
    ]


def test_a_folder_of_something_else_and_a_damaged_list_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has none of the lists train\.txt, database\.txt, test\.txt"):
        import_lists(tmp_path, ImportListsConfig(out=tmp_path / "out"))
    folder = write(tmp_path / "lists", train="a 1 0\nb 1 1\n")
    with pytest.raises(FormatError, match=r"train\.txt: line 2 has 2"):
        import_lists(folder, ImportListsConfig(out=tmp_path / "out"))
    (tmp_path / "names.txt").write_text("cat\n", encoding="utf-8")
    (folder / "train.txt").write_text("a 1 0\nb 0 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="has 1 names, and the lists have 2 classes"):
        import_lists(folder, ImportListsConfig(out=tmp_path / "out", classes=tmp_path / "names.txt"))
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    with pytest.raises(ConfigError, match="out"):
        import_lists(folder, ImportListsConfig(out=tmp_path / "out"))
    assert import_lists(folder, ImportListsConfig(out=tmp_path / "free")) == {"train": 2}
