"""`sketchdata build drawings`: other people's files and classes, and the data set in every later step."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from sketchdata.drawings.drawing import Drawing
from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats import svg
from sketchdata.pipelines import drawings, verify
from sketchdata.pipelines.audit import EntropyConfig, audit_entropy
from sketchdata.pipelines.convert import Config as ConvertConfig
from sketchdata.pipelines.convert import run as convert
from sketchdata.pipelines.exports import NdjsonConfig, WebDatasetConfig, export_ndjson, export_webdataset
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import Manifest
from tests.builds import IN_PROCESS
from tests.commands import sketchdata
from tests.trees import tree_sha256

SIZES = {"train": 6, "val": 2, "gallery": 2, "query": 2}


def strokes(number: int) -> list[list[list[int]]]:
    return [[[0, 255, number % 256], [number % 256, 10, 255]], [[7, 9], [number % 200, 3]]]


def record(word: str, number: int, **changes: Any) -> dict[str, Any]:
    return {
        "word": word,
        "countrycode": "DE",
        "timestamp": "2017-03-08 21:12:07.26604 UTC",
        "recognized": True,
        "key_id": str(5_000_000_000_000_000 + number),
        "drawing": strokes(number),
        **changes,
    }


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in records))


def write_svgs(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = f'<path d="M0 0L{number + 1} 9 9 {number}" fill="none" stroke="black"/>'
        (folder / f"{number}.svg").write_text(f'<svg xmlns="{svg.SVG_NAMESPACE}" viewBox="0 0 255 255">{path}</svg>')


def write_csv(path: Path, records: list[dict[str, Any]]) -> None:
    columns = ["countrycode", "drawing", "key_id", "recognized", "timestamp", "word"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for each in records:
            stamp = each["timestamp"].removesuffix(" UTC")
            writer.writerow({**each, "timestamp": stamp, "drawing": orjson.dumps(each["drawing"]).decode()})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five classes: two as SVG, the deeper one with equal files, and one each as ndjson, CSV and npz."""
    folder = tmp_path / "mine"
    write_svgs(folder / "Wine_Bottle", 12)
    write_svgs(folder / "more" / "door handle", 11)
    shutil.copy(folder / "more" / "door handle" / "0.svg", folder / "more" / "door handle" / "copy of 0.svg")
    write_lines(folder / "texts" / "full_simplified_eye.ndjson", [record("eye", n) for n in range(12)])
    write_csv(folder / "umbrella.csv", [record("umbrella", 100 + n) for n in range(12)])
    write_lines(folder / "knee.ndjson", [record("knee", 200 + n) for n in range(12)])
    convert(str(folder / "knee.ndjson"), str(folder / "sketchrnn_big%20knee.npz"), ConvertConfig())
    (folder / "knee.ndjson").unlink()
    (folder / "notes.txt").write_text("not a drawing")
    (folder / "loop").symlink_to(folder)
    return folder


CLASSES = ("Wine_Bottle", "big knee", "door handle", "eye", "umbrella")


def build(source: Path, out: Path, engine: EngineOptions = IN_PROCESS, **options: Any) -> Manifest:
    manifest = drawings.build(drawings.Config(source=source, out=out, **{**SIZES, **options}), engine)
    assert manifest is not None
    return manifest


def rows(out: Path) -> dict[str, list[Drawing]]:
    data = open_dataset(out)
    return {s: [d for b in data.batches(s) for d in b.drawings(data.manifest.classes)] for s in data.manifest.counts}


def test_every_kind_of_file_becomes_classes_of_one_data_set(source: Path, tmp_path: Path) -> None:
    manifest = build(source, tmp_path / "out")
    assert (manifest.name, manifest.classes, manifest.rejects) == ("mine", CLASSES, {})
    assert manifest.counts == {split: dict.fromkeys(CLASSES, size) for split, size in SIZES.items()}
    assert verify.run(tmp_path / "out").faults == []
    found = [drawing for split in rows(tmp_path / "out").values() for drawing in split]
    assert len({drawing.key_id for drawing in found}) == len(found) == 60
    expected = {n: [np.array(stroke, np.uint8).T.tolist() for stroke in strokes(n)] for n in range(12)}
    eyes = {d.key_id - 5_000_000_000_000_000: [s.tolist() for s in d.strokes] for d in found if d.word == "eye"}
    assert eyes == expected
    assert {source.path for source in manifest.sources} == {
        "./Wine_Bottle/",
        "./more/door handle/",
        "./sketchrnn_big%20knee.npz",
        "./texts/full_simplified_eye.ndjson",
        "./umbrella.csv",
    }
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Quick, Draw" not in card
    assert "license: unknown" in card


def test_the_scale_of_npz_files_is_told_and_can_be_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, side in (("cat", 100), ("owl", 510)):
        stroke3 = [np.array([[0, 0, 0], [side - n, n, 1]], np.int16) for n in range(12)]
        np.savez(folder / f"{name}.npz", train=np.array([*stroke3, None], object)[:-1])
    build(folder, tmp_path / "auto")
    told = capsys.readouterr().err.replace("\n", " ")
    assert "./cat.npz: drawings are kept in their units" in told
    assert "./owl.npz: drawings are scaled so that the larger side of each is 255" in told
    build(folder, tmp_path / "fit", scale="fit")
    assert "2 files, ./cat.npz among them: drawings are scaled" in capsys.readouterr().err.replace("\n", " ")
    sides = {d.word: max(int(s.max()) for s in d.strokes) for split in rows(tmp_path / "fit").values() for d in split}
    assert sides == {"cat": 255, "owl": 255}


@pytest.mark.slow
def test_workers_and_a_second_call_change_no_byte(source: Path, tmp_path: Path) -> None:
    build(source, tmp_path / "one")
    build(source, tmp_path / "two", EngineOptions(workers=2))
    assert tree_sha256(tmp_path / "one") == tree_sha256(tmp_path / "two")
    assert build(source, tmp_path / "one").classes == CLASSES


def test_a_class_table_decides_labels_and_refuses_other_classes(source: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("umbrella\nwine bottle\n")
    options = {"classes": tmp_path / "classes.txt", "max_bad_fraction": 1.0}
    manifest = build(source, tmp_path / "out", **options)
    assert manifest.classes == ("umbrella", "wine bottle")
    assert manifest.rejects == {"not in the class table": 36}
    assert {drawing.word for drawing in rows(tmp_path / "out")["train"]} == {"umbrella", "wine bottle"}
    lines = [orjson.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_bytes().splitlines()]
    assert {line["detail"] for line in lines} == {"big knee", "door handle", "eye"}
    bad = r"36 of 60 examined records are bad .*36 not in the class table \(the first at \./.*, 12 drawings: \w+ \w+\)"
    with pytest.raises(SketchDataError, match=bad):
        build(source, tmp_path / "strict", classes=tmp_path / "classes.txt")
    (tmp_path / "classes.txt").write_text("none\n")
    with pytest.raises(SketchDataError, match=r"has no drawings of these classes: 60 not in .*see .*rejects\.jsonl"):
        build(source, tmp_path / "none", **options)


def test_small_classes_get_all_splits_in_proportion(tmp_path: Path) -> None:
    write_svgs(tmp_path / "mine" / "few", 6)
    manifest = build(tmp_path / "mine", tmp_path / "out")
    assert manifest.counts == {s: {"few": n} for s, n in {"train": 3, "val": 1, "gallery": 1, "query": 1}.items()}


def test_bad_and_repeated_records_are_refused_and_listed(tmp_path: Path) -> None:
    good = [record("cat", n) for n in range(12)]
    bad = [record("cat", 50, drawing=[]), record("cat", 51, recognized="yes"), record("cat", 3)]
    write_lines(tmp_path / "mine" / "a.ndjson", [*good, *bad])
    write_lines(tmp_path / "mine" / "b.ndjson", [record("dog", 5), *(record("dog", 70 + n) for n in range(12))])
    (tmp_path / "mine" / "cat").mkdir()
    (tmp_path / "mine" / "cat" / "broken.svg").write_text("<svg")
    manifest = build(tmp_path / "mine", tmp_path / "out", max_bad_fraction=0.5)
    assert sum(manifest.rejects.values()) == 5
    assert manifest.rejects["duplicate key_id"] == 2
    assert verify.run(tmp_path / "out").faults == []
    lines = [orjson.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_bytes().splitlines()]
    assert len(lines) == 5
    assert {"./a.ndjson", "./cat/"} <= {line["file"] for line in lines}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: None, "holds no drawings"),
        (
            lambda folder: [(folder / name).write_text("") for name in ("a.txt", "b.txt", "c")],
            r"at any depth; found 2 \.txt \(the first at a\.txt\); 1 without suffix \(c\)",
        ),
        (lambda folder: write_svgs(folder, 1), "expected in a folder named after their class"),
        (lambda folder: write_lines(folder / "a.ndjson", [record("a/b", 1)]), "cannot be the name of a class"),
        (lambda folder: write_lines(folder / "a.ndjson", [record("a\nb", 1)]), "cannot be the name of a class"),
        (lambda folder: (folder / "a.csv").write_text("word\ncat\n"), "not a CSV of drawings"),
    ],
)
def test_what_cannot_work_is_refused_in_words(spoil: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    spoil(tmp_path / "mine")
    with pytest.raises(SketchDataError, match=message):
        build(tmp_path / "mine", tmp_path / "out")


def test_names_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    write_svgs(tmp_path / "mine" / "cat", 2)
    (tmp_path / "mine" / "cat" / "0.svg").rename(tmp_path / "mine" / "cat" / "\udcff.svg")
    with pytest.raises(ConfigError, match="is not UTF-8: rename it"):
        build(tmp_path / "mine", tmp_path / "out")


def test_it_is_audited_and_exported_like_quickdraw(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(source, out)
    audit_entropy(out, EntropyConfig(), IN_PROCESS)
    assert verify.run(out).faults == []
    export_webdataset(out, WebDatasetConfig(out=tmp_path / "tars", png=32), IN_PROCESS)
    export_ndjson(out, NdjsonConfig(out=tmp_path / "text"), IN_PROCESS)
    assert (tmp_path / "text" / "train" / "door handle.ndjson").read_bytes().count(b"\n") == SIZES["train"]
    for folder in ("tars", "text"):
        assert verify.run(tmp_path / folder).faults == []
        assert "Quick, Draw" not in (tmp_path / folder / "README.md").read_text()


@pytest.mark.slow
def test_the_command_tells_what_was_built_and_apply_refuses_to_refill(source: Path, tmp_path: Path) -> None:
    sizes = [text for split, size in SIZES.items() for text in (f"--{split}", str(size))]
    done = sketchdata("build", "drawings", "--source", source, "--out", tmp_path / "out", *sizes, "--workers", "0")
    assert "60 drawings of 5 classes (train 30, val 10, gallery 10, query 10)" in done.stdout
    assert "skipped files that are not drawings: 1 .txt" in done.stderr
    sketchdata("audit", "entropy", tmp_path / "out", "--workers", "0")
    curated = ["audit", "apply", tmp_path / "out", "--out", tmp_path / "curated", "--workers", "0"]
    refused = sketchdata(*curated, "--refill", "--source", source, expect=1)
    assert "not built from official files: leave it out" in refused.stderr
    sketchdata(*curated)
    assert verify.run(tmp_path / "curated").faults == []
    assert "Quick, Draw" not in (tmp_path / "curated" / "README.md").read_text()
