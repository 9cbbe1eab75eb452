"""Codes of others become codes of ours, and ours become arrays of theirs, without a bit's loss."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.formats.codes import Codes, pack_bits, unpack_bits
from sketchdata.pipelines import exports, imports, verify
from sketchdata.retrieval.code_folder import (
    KEY_IDS,
    ROW_NUMBERS,
    CodeOrigin,
    code_folder,
    open_codes,
    read_codes,
    write_codes,
)
from sketchdata.retrieval.scores import score_codes
from sketchdata.storage.manifest import Manifest, ParentEntry
from tests.commands import sketchdata
from tests.exports import flip_a_bit, tree

CLASSES = ("cat", "The Eiffel Tower", "star", "été")
SIZES = {"gallery": 30, "query": 9}


def some_codes(count: int, bits: int = 20, seed: int = 1) -> Codes:
    random = np.random.default_rng([seed, count])
    return Codes(
        bits=bits,
        packed=pack_bits(random.random((count, bits)) < 0.5),
        labels=random.integers(0, len(CLASSES), count).astype(np.uint16),
        key_ids=random.integers(0, 2**64, count, np.uint64),
        classes=CLASSES,
    )


def some_folder(out: Path, splits: dict[str, Codes] | None = None) -> Path:
    """Write a folder of codes; return it."""
    splits = splits or {split: some_codes(count) for split, count in SIZES.items()}
    origin = CodeOrigin(
        data=ParentEntry(name="small", sha256="0" * 64), bits=20, classes=CLASSES, model="1" * 64, ids=KEY_IDS
    )
    write_codes(
        code_folder(out, origin, list(splits)),
        {split: lambda own=own: own for split, own in splits.items()},
        overwrite=False,
    )
    return out


def bring(directory: Path, out: Path, **options: Any) -> Manifest:
    return imports.import_codes(directory, imports.ImportCodesConfig(out=out, **options))


def give(directory: Path, out: Path, **options: Any) -> Manifest:
    return exports.export_codes(directory, exports.ExportCodesConfig(out=out, **options))


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return sketchdata(*arguments, expect=None)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a folder as DeepHash-pytorch saves it: signs as float32, labels as int64 columns."""
    folder = tmp_path / "save" / "cifar10-1_12bits_0.77"
    folder.mkdir(parents=True)
    random = np.random.default_rng(5)
    for part, count in (("trn", 40), ("tst", 10)):
        np.save(folder / f"{part}_binary.npy", np.sign(random.normal(size=(count, 12))).astype(np.float32))
        np.save(folder / f"{part}_label.npy", np.eye(4, dtype=np.int64)[random.integers(0, 4, count)])
    return folder


# ---- import ----------------------------------------------------------------------------------------------------------


def test_codes_of_deephash_become_a_folder_of_codes(saved: Path, tmp_path: Path) -> None:
    manifest = bring(saved, tmp_path / "codes")
    assert manifest.splits == {"gallery": 40, "query": 10}
    folder = open_codes(tmp_path / "codes")
    assert (folder.bits, folder.model, manifest.config["ids"]) == (12, None, ROW_NUMBERS)
    assert manifest.classes == ("class 0", "class 1", "class 2", "class 3")
    for split, part in (("gallery", "trn"), ("query", "tst")):
        codes = folder.read(split)
        np.testing.assert_array_equal(unpack_bits(codes.packed, 12), np.load(saved / f"{part}_binary.npy") > 0)
        np.testing.assert_array_equal(codes.labels, np.load(saved / f"{part}_label.npy").argmax(1))
        np.testing.assert_array_equal(codes.key_ids, np.arange(len(codes)))
    assert verify.run(tmp_path / "codes").faults == []


def test_the_class_table_can_be_given(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    assert bring(saved, tmp_path / "codes", classes=tmp_path / "names.txt").classes == CLASSES


def test_imported_codes_are_measured_and_what_deephash_itself_computes_is_within_the_bounds(
    saved: Path, tmp_path: Path
) -> None:
    bring(saved, tmp_path / "codes")
    query, gallery = (read_codes(tmp_path / "codes", split) for split in ("query", "gallery"))
    ours = score_codes(query, gallery, resamples=2).values()["map"]
    trn_binary, tst_binary = (np.load(saved / f"{part}_binary.npy") for part in ("trn", "tst"))
    trn_label, tst_label = (np.load(saved / f"{part}_label.npy") for part in ("trn", "tst"))
    # `CalcTopMap` there, over the whole gallery; in which order equal distances come, argsort decides.
    theirs = []
    for binary, label in zip(tst_binary, tst_label, strict=True):
        order = np.argsort(0.5 * (12 - trn_binary @ binary))
        places = np.flatnonzero((trn_label @ label > 0)[order]) + 1.0
        theirs.append(np.mean(np.arange(1, len(places) + 1) / places))
    assert ours["pessimistic"] < np.mean(theirs) < ours["optimistic"]
    assert ours["pessimistic"] < ours["expected"] < ours["optimistic"]


def test_evaluate_measures_a_folder_of_codes(saved: Path, tmp_path: Path) -> None:
    bring(saved, tmp_path / "codes")
    query, gallery = (read_codes(tmp_path / "codes", split) for split in ("query", "gallery"))
    expected = score_codes(query, gallery).values()
    done = command("evaluate", tmp_path / "codes", "--json")
    assert done.returncode == 0, done.stderr
    found = orjson.loads(done.stdout)["retrieval"]
    assert {**found, "seconds": 0} == {**orjson.loads(orjson.dumps(expected)), "seconds": 0}
    for options in ([], ["--split", "val"]):
        shown = command("evaluate", tmp_path / "codes", *options)
        assert shown.returncode == (1 if options else 0)
        assert ("leave them out" in shown.stderr) is bool(options)
        assert (f"mAP {expected['map']['expected']:.4f}" in shown.stdout) is not bool(options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\nstar\n", "has 2 names, and the labels have 4 classes"),
        (b"a\nb\n\nd\n", "line 3 is empty"),
        (b"\xff", "cannot be read as a class table"),
        (None, "cannot be read as a class table"),
    ],
)
def test_a_class_table_that_does_not_fit_is_refused(
    content: bytes | None, message: str, saved: Path, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        bring(saved, tmp_path / "codes", classes=tmp_path / "names.txt")
    assert not (tmp_path / "codes").exists()


def test_the_same_import_twice_changes_nothing_and_another_is_refused(saved: Path, tmp_path: Path) -> None:
    bring(saved, tmp_path / "codes")
    before = tree(tmp_path / "codes")
    bring(saved, tmp_path / "codes")
    assert tree(tmp_path / "codes") == before
    np.save(saved / "tst_binary.npy", -np.load(saved / "tst_binary.npy"))
    with pytest.raises(ConfigError, match="--overwrite it"):
        bring(saved, tmp_path / "codes")
    bring(saved, tmp_path / "codes", overwrite=True)
    assert tree(tmp_path / "codes") != before


def test_codes_of_several_classes_are_refused_and_leave_nothing(saved: Path, tmp_path: Path) -> None:
    labels = np.load(saved / "trn_label.npy")
    labels[17] = 1
    np.save(saved / "trn_label.npy", labels)
    done = command("import", "codes", saved, "--out", tmp_path / "codes")
    assert (done.returncode, done.stderr.startswith("error: rows that are not of one class: trn_label.npy has 4")) == (
        1,
        True,
    )
    assert "in row 17" in done.stderr
    assert not (tmp_path / "codes").exists()
    with pytest.raises(FormatError, match="row 17"):
        bring(saved, tmp_path / "codes")


# ---- export ----------------------------------------------------------------------------------------------------------


def test_codes_go_out_and_come_back_as_they_were(tmp_path: Path) -> None:
    codes = some_folder(tmp_path / "codes")
    manifest = give(codes, tmp_path / "deephash")
    names = [f"{part}_{kind}.npy" for part in ("trn", "tst") for kind in ("binary", "key_id", "label")]
    assert sorted(path.name for path in (tmp_path / "deephash").iterdir()) == sorted(
        ["README.md", "classes.txt", "manifest.json", *names]
    )
    assert (manifest.splits, manifest.parent) == (SIZES, open_codes(codes).entry)
    assert verify.run(tmp_path / "deephash").faults == []

    found = bring(tmp_path / "deephash", tmp_path / "back", classes=tmp_path / "deephash" / "classes.txt")
    assert found.config["ids"] == KEY_IDS
    for split in SIZES:
        # But for who made them, nothing tells them apart.
        assert (tmp_path / "back" / f"{split}.parquet").read_bytes() == (codes / f"{split}.parquet").read_bytes()
    assert found.classes == CLASSES


def test_what_is_exported_has_the_types_that_deephash_writes(tmp_path: Path) -> None:
    give(some_folder(tmp_path / "codes"), tmp_path / "deephash")
    binary, label = (np.load(tmp_path / "deephash" / f"trn_{kind}.npy") for kind in ("binary", "label"))
    assert (binary.dtype, binary.shape, set(np.unique(binary))) == (np.float32, (30, 20), {-1.0, 1.0})
    assert (label.dtype, label.shape) == (np.int8, (30, 4))
    own = read_codes(tmp_path / "codes", "gallery")
    np.testing.assert_array_equal(label.argmax(1), own.labels)
    np.testing.assert_array_equal(binary > 0, unpack_bits(own.packed, 20))


def test_an_export_is_not_written_over_another(tmp_path: Path) -> None:
    out, codes = tmp_path / "deephash", some_folder(tmp_path / "codes")
    give(codes, out)
    before = tree(out)
    give(codes, out)
    assert tree(out) == before
    other = some_folder(tmp_path / "other", {split: some_codes(count, seed=2) for split, count in SIZES.items()})
    with pytest.raises(ConfigError, match="choose another --out, or --overwrite it"):
        give(other, out)
    give(other, out, overwrite=True)
    assert tree(out) != before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"is not empty, it holds notes.txt"):
        give(codes, tmp_path / "full", overwrite=True)


def test_codes_without_queries_cannot_be_exported(tmp_path: Path) -> None:
    codes = some_folder(tmp_path / "codes", {"gallery": some_codes(5)})
    with pytest.raises(ConfigError, match=r"has the splits gallery, and DeepHash's arrays need query too"):
        give(codes, tmp_path / "deephash")


def test_damaged_codes_and_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match="is not a finished data set"):
        give(tmp_path / "nowhere", tmp_path / "deephash")
    codes = some_folder(tmp_path / "codes")
    with pytest.raises(ConfigError, match="an export cannot lie in"):
        give(codes, codes / "deephash")
    flip_a_bit(codes / "query.parquet")
    with pytest.raises(SketchDataError, match="is damaged"):
        give(codes, tmp_path / "deephash")
    assert not (tmp_path / "deephash").exists()


# ---- the commands ----------------------------------------------------------------------------------------------------


def test_the_commands_say_what_they_wrote_and_how_to_read_it_back(tmp_path: Path) -> None:
    codes, out, back = some_folder(tmp_path / "codes"), tmp_path / "deephash", tmp_path / "back"
    done = command("export", "codes", codes, "--format", "deephash", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert "39 codes of 4 classes (gallery 30, query 9)" in done.stdout
    hint = done.stdout.splitlines()[-1].removeprefix("Read them back with: sketchdata ").replace("CODES", str(back))
    told = orjson.loads(command(*hint.split(), "--json").stdout)
    assert told == {"out": str(back), "bits": 20, "ids": KEY_IDS, "splits": SIZES, "classes": 4}
