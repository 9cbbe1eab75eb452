"""Local photos with boxes become one collection: each photo and annotation accounted for, the same however made."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image

from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.photos.collection import Collection, read_collection
from sketchdata.pipelines import edgemaps_crop
from sketchdata.storage.manifest import hash_file, read_manifest
from tests.labelled_folders import EPOCH, SIDE, collect, run, voc_folder, yolo_folder
from tests.photo_servers import photo_of
from tests.photos.labelled_photos import voc, voc_object, write
from tests.trees import tree


@pytest.fixture(autouse=True)
def one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in EPOCH.items():
        monkeypatch.setenv(name, value)


def boxes_of(collection: Collection) -> list[tuple[str, str, str]]:
    rows = collection.boxes.to_pylist()
    return [(row["photo"], row["word"], row["category"]) for row in rows]


def statuses(collection: Collection) -> dict[str, tuple[str, str | None]]:
    return {row["photo"]: (row["status"], row["error"]) for row in collection.photos.to_pylist()}


# ---- what is collected -----------------------------------------------------------------------------------------------


def test_folders_become_photos_by_hash_with_boxes_of_our_classes(tmp_path: Path) -> None:
    source = yolo_folder(tmp_path / "coco6", photos=3)
    made = collect(tmp_path / "out", yolo=source, voc=voc_folder(tmp_path / "raccoons", photos=1))
    collection = read_collection(tmp_path / "out")
    assert boxes_of(collection) == [
        ("coco6/images/train/0.jpg", "cat", "cat"),
        ("coco6/images/train/1.jpg", "teddy-bear", "teddy bear"),
        ("coco6/images/train/2.jpg", "cat", "cat"),
        ("coco6/images/train/2.jpg", "teddy-bear", "teddy bear"),
        ("raccoons/images/raccoon-0.jpg", "raccoon", "raccoon"),
    ]
    for row in collection.photos.to_pylist():
        body = (tmp_path / row["photo"]).read_bytes()
        assert (tmp_path / "out" / row["path"]).read_bytes() == body
        assert row["sha256"] == hash_file(tmp_path / row["photo"], "sha256")
        assert (row["status"], row["width"], row["height"], row["format"]) == ("ok", SIDE, SIDE, "JPEG")
        assert (row["bytes"], f"{row['fetched']}") == (len(body), "2024-05-06")
    box = collection.boxes.to_pylist()[0]
    assert (box["x0"], box["y0"], box["x1"], box["y1"]) == (16, 16, 48, 48)
    assert made.unmatched == {"person": 2}
    assert collection.manifest.counts["all"]["cat"] == 2
    assert len(collection.manifest.classes) == len(collection.manifest.counts["all"]) == 345


def test_the_folder_holds_what_the_manifest_lists_and_the_photos_alone(tmp_path: Path) -> None:
    collect(tmp_path / "out", yolo=yolo_folder(tmp_path / "a"))
    collection = read_collection(tmp_path / "out")
    listed = {entry.path: entry.sha256 for entry in collection.manifest.files}
    photos = set(collection.photos.column("path").to_pylist())
    assert set(tree(tmp_path / "out")) == {*listed, *photos, "manifest.json"}
    assert {name: hash_file(tmp_path / "out" / name, "sha256") for name in listed} == listed


def test_equal_photos_are_stored_once_and_stay_two_rows(tmp_path: Path) -> None:
    source = voc_folder(tmp_path / "raccoons", photos=2)
    for number in "01":
        write(source / "images" / f"raccoon-{number}.jpg", photo_of("/same.jpg", SIDE))
    made = collect(tmp_path / "out", voc=source)
    assert (len(made.collection.photos), made.counts["files"]) == (2, 1)
    assert len(list((tmp_path / "out" / "photos").rglob("*.jpg"))) == 1


def test_two_folders_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    folders = (voc_folder(tmp_path / "a" / "set", photos=1), voc_folder(tmp_path / "b" / "set", photos=1))
    made = collect(tmp_path / "out", voc=folders)
    assert sorted(statuses(made.collection)) == ["set-2/images/raccoon-0.jpg", "set/images/raccoon-0.jpg"]


def test_coco_and_open_images_and_imagenet_are_read_too(tmp_path: Path) -> None:
    write(tmp_path / "val" / "1.jpg", photo_of("/1.jpg", SIDE))
    document = {
        "images": [{"id": 1, "file_name": "1.jpg", "license": 4, "flickr_url": "http://a.test/1"}],
        "licenses": [{"id": 4, "name": "Attribution License"}],
        "categories": [{"id": 17, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 17, "bbox": [1, 2, 30, 40], "iscrowd": 1}],
    }
    path = write(tmp_path / "instances.json", json.dumps(document))
    write(tmp_path / "oi" / "aa.jpg", photo_of("/aa.jpg", SIDE))
    rows = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsDepiction\naa,/m/cat,0,1,0,1,1\nnone,/m/cat,0,1,0,1,0\n"
    write(tmp_path / "oi" / "boxes.csv", rows)
    write(tmp_path / "oi" / "class-descriptions-boxable.csv", "/m/cat,Cat\n")
    synset = tmp_path / "imagenet" / "n02690373"
    write(synset / "n02690373_1.JPEG", photo_of("/airliner.jpg", SIDE))
    thing = voc_object("n02690373", (1, 1, 9, 9))
    write(synset / "n02690373_1.xml", voc("n02690373_1", thing, size=(SIDE, SIDE)))
    made = collect(
        tmp_path / "out", coco=f"{path}={tmp_path / 'val'}", open_images=tmp_path / "oi", imagenet=synset.parent
    )
    found = {row["photo"]: (row["word"], row["flags"]) for row in made.collection.boxes.to_pylist()}
    assert found == {
        "val/1.jpg": ("cat", ["group"]),
        "oi/aa.jpg": ("cat", ["depiction"]),
        "imagenet/n02690373/n02690373_1.JPEG": ("airplane", []),
    }
    [coco] = [row for row in made.collection.photos.to_pylist() if row["source"] == "coco"]
    assert (coco["page"], coco["licence"]) == ("http://a.test/1", "Attribution License")
    [images] = [row for row in made.counts["sources"] if row["source"] == "open_images"]
    # That a photo of the table is not in the folder is no fault.
    assert (images["left_out"], images["rejects"]) == (1, 0)


def test_categories_and_a_map_of_names_decide_what_is_taken(tmp_path: Path) -> None:
    source = yolo_folder(tmp_path / "a", names=("kitty", "dog"), photos=2)
    table = write(tmp_path / "map.csv", "category,word\nkitty,cat\n")
    made = collect(tmp_path / "out", yolo=source, class_map=table, categories="cat,lion")
    assert {word for _, word, _ in boxes_of(made.collection)} == {"cat"}
    assert {category for *_, category in boxes_of(made.collection)} == {"kitty"}
    assert made.unmatched == {"dog": 2}


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_damaged_and_oversized_photos_are_rows_with_their_reason(tmp_path: Path) -> None:
    source = voc_folder(tmp_path / "a", photos=4)
    images = source / "images"
    (images / "raccoon-0.jpg").write_bytes(photo_of("/a/0.jpg", SIDE)[:-200])
    write(images / "raccoon-1.jpg", photo_of("/large.jpg", SIDE) + bytes(20_000))
    Image.new("RGB", (300, 300)).save(images / "raccoon-2.jpg")
    write(
        source / "annotations" / "raccoon-2.xml",
        voc("raccoon-2.jpg", voc_object("raccoon", (1, 1, 9, 9)), size=(300, 300)),
    )
    made = collect(tmp_path / "out", voc=source, crawl={"max_bytes": 10_000, "max_pixels": 80_000})
    assert statuses(made.collection) == {
        "a/images/raccoon-0.jpg": ("failed", "truncated photo"),
        "a/images/raccoon-1.jpg": ("refused", "too many bytes"),
        "a/images/raccoon-2.jpg": ("refused", "too many pixels"),
        "a/images/raccoon-3.jpg": ("ok", None),
    }
    assert len(made.collection.boxes) == 4
    assert made.counts["photos"] == {"asked": 4, "ok": 1, "failed": 1, "refused": 2}
    assert made.counts["errors"] == {"too many bytes": 1, "too many pixels": 1, "truncated photo": 1}


def test_annotations_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    source = voc_folder(tmp_path / "a", photos=2)
    write(source / "annotations" / "broken.xml", "<annotation>")
    write(source / "annotations" / "lost.xml", voc("lost.jpg", voc_object("raccoon", (1, 1, 9, 9))))
    (source / "images" / "raccoon-1.jpg").write_bytes(b"no photo")
    made = collect(tmp_path / "out", voc=source)
    lines = [orjson.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_bytes().splitlines()]
    assert {(line["source"], line["where"], line["reason"]) for line in lines} == {
        ("a", "broken.xml", "broken XML"),
        ("a", "lost.xml", "photo missing"),
        ("a", "raccoon-1.xml", "photo not readable"),
    }
    assert made.collection.manifest.rejects == {"broken XML": 1, "photo missing": 1, "photo not readable": 1}


def test_a_file_whose_name_is_no_utf8_is_listed_and_the_others_are_taken(tmp_path: Path) -> None:
    source = voc_folder(tmp_path / "a", photos=1)
    name = os.fsdecode(b"\xff\xfe")
    try:
        write(source / "images" / f"{name}.jpg", photo_of("/odd.jpg", SIDE))
    except OSError:
        pytest.skip("this file system has names of UTF-8 alone")
    thing = voc_object("raccoon", (1, 1, 9, 9))
    write(source / "annotations" / f"{name}.xml", voc("?", thing, size=(SIDE, SIDE)))
    made = collect(tmp_path / "out", voc=source)
    assert len(made.collection.photos) == 1
    assert made.collection.manifest.rejects == {"name not UTF-8": 1}
    assert b"name not UTF-8" in (tmp_path / "out" / "rejects.jsonl").read_bytes()


def test_too_many_failures_are_an_error_that_keeps_the_work(tmp_path: Path) -> None:
    source = voc_folder(tmp_path / "a", photos=4)
    for number in range(3):
        path = source / "images" / f"raccoon-{number}.jpg"
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SketchDataError, match=r"of 4 photos 3 failed \(75\.0%; --max-failed-fraction allows 50%\)"):
        collect(tmp_path / "out", voc=source)
    assert not (tmp_path / "out" / "manifest.json").exists()
    made = collect(tmp_path / "out", voc=source, max_failed_fraction=0.8)
    assert made.counts["photos"]["failed"] == 3


def test_a_collection_without_a_single_photo_is_an_error(tmp_path: Path) -> None:
    source = voc_folder(tmp_path / "a", photos=1)
    with pytest.raises(SketchDataError, match=r"of 1 photos 0 failed .* and 1 were refused"):
        collect(tmp_path / "out", voc=source, max_failed_fraction=1.0, crawl={"max_bytes": 10})
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("kind", ["folders", "imagenet", "yolo"])
def test_files_of_which_none_is_a_photo_are_told_and_listed(tmp_path: Path, kind: str) -> None:
    source = yolo_folder(tmp_path / "a", photos=1) if kind == "yolo" else tmp_path / "a"
    for path in source.rglob("*.jpg"):
        path.unlink()
    write(source / "images" / "cat" / "b.heic", b"\0\0\0\x18ftypheic")
    with pytest.raises(
        SketchDataError, match=r"no photo of the classes .* refused: .*1 not a photo \(.*b\.heic: HEIC\)"
    ):
        collect(tmp_path / "out", **{kind: source})
    lines = [orjson.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_bytes().splitlines()]
    assert {"not a photo"} <= {line["reason"] for line in lines}
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_sources_without_our_classes_are_an_error_that_names_theirs(tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match=r"class names, such as fox, match none of them: --map FILE"):
        collect(tmp_path / "out", voc=voc_folder(tmp_path / "a", name="fox"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "there is nothing to collect: give a source"),
        ({"coco": "instances.json"}, r"--coco instances.json: expected JSON=DIR"),
        ({"coco": "none.json=photos"}, r"none\.json cannot be read"),
        ({"urls": Path("none.csv")}, r"none\.csv cannot be read"),
        ({"yolo": Path("none")}, "none is not a folder with photos"),
        ({"wikimedia": True, "licence": "gpl"}, "--licence 'gpl'"),
        ({"wikimedia": True, "categories": "katze"}, "there is no category 'katze'"),
        ({"wikimedia": True, "class_map": Path("none.csv")}, r"none\.csv"),
        ({"flickr": True}, "FLICKR_API_KEY is not set"),
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLICKR_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=message):
        collect(tmp_path / "out", **options)
    assert not (tmp_path / "out" / "photos.parquet").exists()


def test_a_source_that_is_broken_as_a_whole_is_said(tmp_path: Path) -> None:
    write(tmp_path / "val" / "1.jpg", photo_of("/1.jpg"))
    path = write(tmp_path / "instances.json", "{")
    with pytest.raises(FormatError, match=r"broken JSON: .*instances\.json"):
        collect(tmp_path / "out", coco=f"{path}={tmp_path / 'val'}")


# ---- again, elsewhere, otherwise -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    source = yolo_folder(tmp_path / "a", photos=12)
    for workers in (0, 2):
        collect(tmp_path / f"{workers}", yolo=source, engine=EngineOptions(workers=workers))
    assert tree(tmp_path / "0") == tree(tmp_path / "2")


def test_a_finished_collection_says_so_and_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = yolo_folder(tmp_path / "a")
    first = collect(tmp_path / "out", yolo=source)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    shutil.rmtree(source / "images")
    again = collect(tmp_path / "out", yolo=source)
    assert "is collected already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    assert again.counts == first.counts


def test_another_collection_is_not_replaced_unless_asked_to(tmp_path: Path) -> None:
    source = yolo_folder(tmp_path / "a")
    collect(tmp_path / "out", yolo=source)
    for changed in ({"categories": "cat"}, {"voc": voc_folder(tmp_path / "b")}):
        with pytest.raises(ConfigError, match=r"made with other options \(.*\): .* --overwrite it"):
            collect(tmp_path / "out", **{"yolo": source, **changed})
    collect(tmp_path / "out", voc=tmp_path / "b", overwrite=True)
    collect(tmp_path / "afresh", voc=tmp_path / "b")
    assert tree(tmp_path / "out") == tree(tmp_path / "afresh")


def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "out" / "thesis.tex", "precious")
    with pytest.raises(ConfigError, match=r"is not empty, it holds thesis\.tex"):
        collect(tmp_path / "out", yolo=yolo_folder(tmp_path / "a"), overwrite=True)
    assert tree(tmp_path / "out") == {"thesis.tex": b"precious"}


def test_sources_may_be_added_to_an_unfinished_collection_and_limits_may_not_change(tmp_path: Path) -> None:
    source = voc_folder(tmp_path / "a", photos=2)
    with pytest.raises(SketchDataError, match="of 2 photos"):
        collect(tmp_path / "out", voc=source, crawl={"max_bytes": 10})
    with pytest.raises(ConfigError, match=r"unfinished collection made with other options \(bytes 10 instead of \d+\)"):
        collect(tmp_path / "out", voc=source)
    collect(tmp_path / "out", voc=source, overwrite=True)
    collect(tmp_path / "afresh", voc=source)
    assert tree(tmp_path / "out") == tree(tmp_path / "afresh")


def test_photos_of_sources_that_an_unfinished_run_had_go(tmp_path: Path) -> None:
    broken = voc_folder(tmp_path / "a", photos=3)
    for number in (0, 1):
        path = broken / "images" / f"raccoon-{number}.jpg"
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SketchDataError, match="of 3 photos 2 failed"):
        collect(tmp_path / "out", voc=broken)
    source = voc_folder(tmp_path / "b", photos=1)
    collect(tmp_path / "out", voc=source)
    collect(tmp_path / "afresh", voc=source)
    assert tree(tmp_path / "out") == tree(tmp_path / "afresh")


def test_a_mended_photo_is_taken_by_retry_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = voc_folder(tmp_path / "a", photos=3)
    path = source / "images" / "raccoon-1.jpg"
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    collect(tmp_path / "out", voc=source)
    path.write_bytes(whole)
    collect(tmp_path / "out", voc=source)
    assert "--retry-failed asks again for the 1 photos that failed" in capsys.readouterr().err
    made = collect(tmp_path / "out", voc=source, crawl={"retry_failed": True})
    assert made.counts["photos"] == {"asked": 3, "ok": 3, "failed": 0, "refused": 0}
    collect(tmp_path / "afresh", voc=source)
    assert tree(tmp_path / "out") == tree(tmp_path / "afresh")


def test_shares_of_a_job_array_copy_photos_and_a_last_call_finishes(tmp_path: Path) -> None:
    source = yolo_folder(tmp_path / "a", photos=8)
    for share in range(3):
        engine = EngineOptions(engine="slurm", workers=0, task_range=f"{share}/3")
        assert collect(tmp_path / "out", yolo=source, engine=engine) is None
    assert not (tmp_path / "out" / "manifest.json").exists()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jsonl")}
    made = collect(tmp_path / "out", yolo=source, engine=EngineOptions(engine="slurm", workers=0))
    assert before
    assert made.counts["photos"]["ok"] == 8
    collect(tmp_path / "afresh", yolo=source)
    assert tree(tmp_path / "out") == tree(tmp_path / "afresh")


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prints_tables_and_what_was_left_out(tmp_path: Path) -> None:
    done = run("--yolo", yolo_folder(tmp_path / "a"), "--out", tmp_path / "out", "--workers", 1)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "6 photos with 8 annotations of 2 classes" in done.stdout
    assert "person 4 (--map FILE gives names per class)" in done.stderr


@pytest.mark.slow
def test_json_is_all_that_stands_on_standard_output(tmp_path: Path) -> None:
    done = run("--yolo", yolo_folder(tmp_path / "a"), "--out", tmp_path / "out", "--workers", 0, "--json")
    counts = json.loads(done.stdout)
    assert counts["photos"] == {"asked": 6, "ok": 6, "failed": 0, "refused": 0}
    with (tmp_path / "out" / "sources.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert {key: str(value) for key, value in counts["sources"][0].items()} == row


@pytest.mark.slow
def test_a_fault_exits_1_with_one_message(tmp_path: Path) -> None:
    done = run("--voc", voc_folder(tmp_path / "a", name="fox"), "--out", tmp_path / "out", "--workers", 0)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: no photo of the classes is named by the sources")


# ---- real photos -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif("SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no folder of photos")
def test_every_readable_box_of_the_real_photos_is_accounted_for(tmp_path: Path) -> None:
    folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "photos"
    made = collect(tmp_path / "out", yolo=folder / "coco128", voc=folder / "raccoon")
    voc_row, yolo_row = made.counts["sources"]
    assert (voc_row["boxes"], yolo_row["boxes"] + yolo_row["left_out"]) == (217, 1827)
    assert made.counts["photos"]["failed"] == made.counts["photos"]["refused"] == 0
    assert made.counts["classes"] > 50


def test_when_every_annotation_is_refused_the_commonest_reasons_are_told_and_all_are_listed(tmp_path: Path) -> None:
    source = yolo_folder(tmp_path / "coco6", photos=2)
    for number, path in enumerate(sorted((source / "labels").rglob("*.txt"))):
        path.write_text("0,0.5,0.5,0.2,0.4\n" * 2 + "0 120 80 40 40\n" * number)
    with pytest.raises(SketchDataError) as caught:
        collect(tmp_path / "out", yolo=source)
    message = str(caught.value)
    assert "4 broken line (the first at train/0.txt: line 1: '0,0.5,0.5,0.2,0.4'" in message
    assert "1 parts not from 0 to 1 (train/1.txt: line 3: " in message
    listed = [orjson.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_bytes().splitlines()]
    assert f"see {tmp_path / 'out' / 'rejects.jsonl'}" in message
    assert Counter(each["reason"] for each in listed) == {"broken line": 4, "parts not from 0 to 1": 1}
    yolo_folder(source, photos=2)
    assert collect(tmp_path / "out", yolo=source).collection.manifest.rejects == {}


def test_when_no_photo_can_be_read_the_reasons_are_told(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / "photos" / "cat" / f"{number}.jpg", photo_of(f"/{number}.jpg")[:-300])
    with pytest.raises(SketchDataError, match=r"2 truncated photo \(the first at photos/cat/0\.jpg: JPEG of"):
        collect(tmp_path / "out", folders=tmp_path / "photos")


def test_files_that_are_no_photos_are_counted_and_named(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.jpe", "c"):
        write(tmp_path / "photos" / "cat" / name, photo_of(f"/{name}"))
    write(tmp_path / "photos" / "cat" / "d.heic", b"\0\0\0\x18ftypheic")
    for kind, name in (("AVIF", "f.avif"), ("TIFF", "g.tif")):
        with Image.open(io.BytesIO(photo_of(f"/{name}"))) as image:
            image.save(tmp_path / "photos" / "cat" / name, kind)
    write(tmp_path / "photos" / "cat" / "e.jpg", photo_of("/e.jpg")[:-2])
    made = collect(tmp_path / "out", folders=tmp_path / "photos")
    assert {name: status for name, (status, _) in statuses(made.collection).items()} == dict.fromkeys(
        [f"photos/cat/{name}" for name in ("a.jfif", "b.jpe", "c", "e.jpg", "f.avif", "g.tif")], "ok"
    )
    [reject] = (tmp_path / "out" / "rejects.jsonl").read_bytes().splitlines()
    expected = {"source": "photos", "where": "cat/d.heic", "reason": "not a photo", "detail": "HEIC"}
    assert orjson.loads(reject) == expected
    stored = {Path(path).suffix for path in made.collection.photos.column("path").to_pylist()}
    assert stored == {".jpg", ".avif", ".tif"}
    crops = tmp_path / "crops"
    edgemaps_crop.run(tmp_path / "out", edgemaps_crop.Config(out=crops), EngineOptions(workers=0))
    assert edgemaps_crop.summarise(crops, read_manifest(crops)).crops == 6
