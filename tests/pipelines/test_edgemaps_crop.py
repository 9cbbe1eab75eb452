"""Cropping photos: every annotation is accounted for, crops show what was annotated, and duplicates go."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import datasets
import numpy as np
import orjson
import pytest

from sketchdata.photos.crawl import CrawlOptions
from sketchdata.photos.crops import crop_photo, encode
from sketchdata.photos.image import Photo, crop, decode, perceptual_hash, resize
from sketchdata.pipelines import edgemaps_collect, edgemaps_crop
from sketchdata.storage import pictures
from sketchdata.storage.manifest import hash_file
from tests.builds import IN_PROCESS
from tests.photo_collections import CLASSES, Shot, crops_of, encoded, make_photos, scene, shot


def rows(out: Path) -> list[dict[str, Any]]:
    tables = (table for path in sorted((out / "data").iterdir()) for table in pictures.read_shard(path))
    return [row for table in tables for row in table.to_pylist()]


def rejects(out: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (out / "rejects.jsonl").read_bytes().splitlines()]


def reasons(out: Path) -> dict[str, int]:
    return dict(Counter(reject["reason"] for reject in rejects(out)))


def duplicates(out: Path) -> list[dict[str, str]]:
    with (out / "duplicates.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def picture(row: dict[str, Any]) -> Photo:
    return decode(row["image"]["bytes"])


def recompressed(made: Shot, quality: int) -> Shot:
    assert made.content is not None
    bgr = cv2.cvtColor(decode(made.content), cv2.COLOR_RGB2BGR)
    content = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes()
    return dataclasses.replace(made, content=content)


# ---- what a crop is --------------------------------------------------------------------------------------------------


def test_a_box_becomes_a_picture_of_its_class_with_its_provenance(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", {"cats/1.png": shot("cat", 1)})
    manifest = crops_of(tmp_path / "photos", tmp_path / "out", format="png", context=0.25)
    [row] = rows(tmp_path / "out")
    made = scene(CLASSES.index("cat"), 1)
    expected = crop(made.photo, made.box, context=0.25)
    assert np.array_equal(picture(row), expected)
    assert (row["height"], row["width"]) == expected.shape[:2]
    assert row["phash"] == perceptual_hash(expected)
    assert (row["x0"], row["y0"], row["x1"], row["y1"]) == made.box
    assert (row["word"], row["label"], row["category"]) == ("cat", CLASSES.index("cat"), "a cat")
    assert (row["photo"], row["source"], row["licence"]) == ("cats/1.png", "voc", "CC BY 4.0")
    assert row["page"] == "https://photos.example/cats/1.png"
    assert row["author"] is None
    assert row["key_id"] == pictures.picture_id(row["photo_sha256"], made.box, "cat")
    assert manifest.name == "edgemap-crops"
    assert manifest.splits == {"all": 1}
    assert manifest.counts["all"]["cat"] == 1
    assert len(manifest.classes) == len(manifest.counts["all"]) == 345
    assert manifest.parent is not None
    assert manifest.parent.name == "edgemap-photos"
    assert manifest.parent.sha256 == hash_file(tmp_path / "photos" / "manifest.json", "sha256")


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_photo_taken_with_a_turned_camera_gives_the_same_crop(tmp_path: Path, orientation: int) -> None:
    make_photos(tmp_path / "upright", {"a.png": shot("cat", 1)})
    make_photos(tmp_path / "turned", {"a.png": shot("cat", 1, orientation=orientation)})
    found = []
    for name in ("upright", "turned"):
        crops_of(tmp_path / name, tmp_path / f"{name}-crops")
        found += rows(tmp_path / f"{name}-crops")
    assert found[0]["image"] == found[1]["image"]
    assert found[0]["x0"] == found[1]["x0"]


@pytest.mark.parametrize(("flag", "turns"), [("turn90", 1), ("turn180", 2), ("turn270", 3)])
def test_a_crop_is_turned_as_its_source_says(flag: str, turns: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
    row: dict[str, Any] = dict.fromkeys(("photo", "source", "page", "author", "licence", "title", "fetched"))
    row |= {"x0": 10, "y0": 20, "x1": 60, "y1": 56, "word": "cat", "category": "cat", "sha256": "ab"}
    row |= {"width": 120, "height": 80}
    config = edgemaps_crop.Config(out=Path("out"), context=0, format="png")
    plain, turned = (
        next(crop_photo(encode(photo, "png"), [row | {"flags": flags}], config.rules())) for flags in ([], [flag])
    )
    assert isinstance(plain, dict)
    assert isinstance(turned, dict)
    assert np.array_equal(decode(turned["image"]), np.rot90(decode(plain["image"]), turns))
    assert (turned["x0"], turned["y1"], turned["key_id"]) == (10, 56, plain["key_id"])


def test_large_crops_are_shrunk_and_small_ones_are_not_enlarged(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", {"a.png": shot("cat", 1, boxed=False), "b.png": shot("cat", 2)})
    crops_of(tmp_path / "photos", tmp_path / "out", longest_side=150, format="png")
    by_photo = {row["photo"]: row for row in rows(tmp_path / "out")}
    made = scene(CLASSES.index("cat"), 1)
    assert np.array_equal(picture(by_photo["a.png"]), resize(made.photo, 150))
    whole = scene(CLASSES.index("cat"), 2)
    assert np.array_equal(picture(by_photo["b.png"]), crop(whole.photo, whole.box))
    assert max(picture(by_photo["b.png"]).shape) < 150


def test_jpeg_crops_look_like_the_photo(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", {"a.png": shot("cat", 1)})
    crops_of(tmp_path / "photos", tmp_path / "out")
    [row] = rows(tmp_path / "out")
    made = scene(CLASSES.index("cat"), 1)
    assert row["image"]["bytes"].startswith(b"\xff\xd8")
    assert np.abs(picture(row).astype(int) - crop(made.photo, made.box)).mean() < 3


def test_rows_stand_by_class_and_key_id_and_load_as_images(tmp_path: Path) -> None:
    shots = {f"{word}{n}.png": shot(word, n) for word in ("cat", "apple", "zebra") for n in range(3)}
    make_photos(tmp_path / "photos", shots)
    crops_of(tmp_path / "photos", tmp_path / "out")
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    places = list(zip(loaded["label"], loaded["key_id"], strict=True))
    assert places == sorted(places)
    assert [loaded[row]["word"] for row in (0, 3, 6)] == ["apple", "cat", "zebra"]
    assert loaded[0]["image"].size == (loaded[0]["width"], loaded[0]["height"])


# ---- photos without a box -------------------------------------------------------------------------------------------


def test_a_photo_without_a_box_is_taken_whole(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", {"a.png": shot("cat", 1, boxed=False)})
    crops_of(tmp_path / "photos", tmp_path / "out", format="png")
    [row] = rows(tmp_path / "out")
    assert np.array_equal(picture(row), scene(CLASSES.index("cat"), 1).photo)
    assert row["x0"] is None
    assert row["key_id"] == pictures.picture_id(row["photo_sha256"], None, "cat")


def test_a_photo_without_a_box_is_cropped_to_what_stands_out(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", {"a.png": shot("cat", 4, boxed=False)})
    crops_of(tmp_path / "photos", tmp_path / "out", format="png", no_box="saliency")
    [row] = rows(tmp_path / "out")
    made = scene(CLASSES.index("cat"), 4)
    left, top, right, bottom = made.box
    found = picture(row)
    assert row["x0"] is None
    assert found.shape[0] * found.shape[1] < 0.6 * made.photo.shape[0] * made.photo.shape[1]
    # The object is in it: it is a part of the photo that holds the box.
    places = cv2.matchTemplate(found, np.ascontiguousarray(made.photo[top:bottom, left:right]), cv2.TM_SQDIFF_NORMED)
    assert places.min() < 1e-6


def test_a_photo_in_which_nothing_stands_out_is_taken_whole(tmp_path: Path) -> None:
    blank = Shot(content=encoded(np.full((90, 120, 3), 200, np.uint8)), annotations=[("cloud", None)])
    make_photos(tmp_path / "photos", {"a.png": blank})
    crops_of(tmp_path / "photos", tmp_path / "out", no_box="saliency")
    [row] = rows(tmp_path / "out")
    assert (row["width"], row["height"]) == (120, 90)


def test_a_photo_without_a_box_can_be_left_out(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", {"a.png": shot("cat", 1, boxed=False), "b.png": shot("cat", 2)})
    crops_of(tmp_path / "photos", tmp_path / "out", no_box="skip")
    assert [row["photo"] for row in rows(tmp_path / "out")] == ["b.png"]
    assert reasons(tmp_path / "out") == {"no box": 1}


def test_a_photo_that_has_a_box_of_the_class_is_not_taken_whole_as_well(tmp_path: Path) -> None:
    made = shot("cat", 1)
    both = dataclasses.replace(made, annotations=[*made.annotations, ("cat", None), ("tiger", None)])
    make_photos(tmp_path / "photos", {"a.png": both})
    crops_of(tmp_path / "photos", tmp_path / "out")
    assert [(row["word"], row["x0"] is None) for row in rows(tmp_path / "out")] == [("cat", False), ("tiger", True)]
    assert reasons(tmp_path / "out") == {"boxed already": 1}


# ---- rejects ---------------------------------------------------------------------------------------------------------


def test_every_annotation_ends_as_a_crop_a_duplicate_or_a_reject(tmp_path: Path) -> None:
    good, copied = shot("cat", 1), shot("cat", 2)
    assert good.content is not None
    left, top, *_ = scene(CLASSES.index("cat"), 3).box
    shots = {
        "good.png": good,
        "same.png": good,
        "near.jpg": recompressed(copied, 60),
        "far.png": copied,
        "group.png": shot("cat", 4, flags=("group", "occluded")),
        "drawing.png": shot("cat", 5, flags=("depiction",)),
        "occluded.png": shot("cat", 6, flags=("occluded",)),
        "beyond.png": dataclasses.replace(shot("cat", 3), annotations=[("cat", (left, top, 5000, 4000))]),
        "outside.png": dataclasses.replace(shot("cat", 7), annotations=[("cat", (400, 10, 500, 90))]),
        "small.png": dataclasses.replace(shot("cat", 8), annotations=[("cat", (10, 10, 41, 30))]),
        "thin.png": dataclasses.replace(shot("cat", 9), annotations=[("snake", (10, 10, 90, 14))]),
        "gone.png": Shot(content=None, annotations=[("cat", None), ("dog", (1, 2, 60, 70))]),
        "broken.png": Shot(content=good.content[:5000], size=(320, 240), annotations=[("cat", None)]),
    }
    make_photos(tmp_path / "photos", shots)
    out = tmp_path / "out"
    manifest = crops_of(tmp_path / "photos", out)
    expected = {
        "box outside the photo": 1,
        "box too small": 1,
        "flagged depiction": 1,
        "flagged group": 1,
        "photo not collected": 2,
        "truncated picture": 1,
    }
    assert reasons(out) == manifest.rejects == expected
    photos = {row["photo"] for row in rows(out)}
    assert len(photos & {"near.jpg", "far.png"}) == 1
    assert photos - {"near.jpg", "far.png"} == {"good.png", "occluded.png", "beyond.png", "thin.png"}
    assert Counter(row["kind"] for row in duplicates(out)) == {"exact": 1, "near": 1}
    annotations = sum(len(made.annotations) for made in shots.values())
    assert len(rows(out)) + len(duplicates(out)) + len(rejects(out)) == annotations
    summary = edgemaps_crop.summarise(out, manifest)
    assert summary.annotations == annotations
    [beyond] = [row for row in rows(out) if row["photo"] == "beyond.png"]
    assert (beyond["x0"], beyond["y0"], beyond["x1"], beyond["y1"]) == (left, top, 320, 240)


# ---- duplicates ------------------------------------------------------------------------------------------------------


def test_equal_crops_go_whatever_their_class_or_name(tmp_path: Path) -> None:
    made = shot("cat", 1)
    [(_, box)] = made.annotations
    two_classes = dataclasses.replace(made, annotations=[("cat", box), ("tiger", box)])
    make_photos(tmp_path / "photos", {"a.png": two_classes, "b.png": made})
    manifest = crops_of(tmp_path / "photos", tmp_path / "out", near=None)
    [row] = rows(tmp_path / "out")
    gone = duplicates(tmp_path / "out")
    assert len(gone) == 2
    assert {line["kind"] for line in gone} == {"exact"}
    assert {line["kept_key_id"] for line in gone} == {str(row["key_id"])}
    assert {line["bits"] for line in gone} == {"0"}
    counts = edgemaps_crop.summarise(tmp_path / "out", manifest).duplicates
    assert (counts.exact, counts.near, counts.across_classes) == (2, 0, 1 if row["word"] == "cat" else 2)


def test_of_near_duplicates_the_larger_one_with_a_box_stays(tmp_path: Path) -> None:
    made = shot("cat", 1)
    assert made.content is not None
    small = cv2.resize(decode(made.content), (160, 120), interpolation=cv2.INTER_AREA)
    [(_, box)] = made.annotations
    assert box is not None
    halved = tuple(edge // 2 for edge in box)
    around = scene(CLASSES.index("cat"), 1).photo[box[1] : box[3], box[0] : box[2]]
    shots = {
        "large.png": made,
        "small.png": Shot(content=encoded(small), annotations=[("cat", halved)]),
        # As large as the first, but without a box.
        "whole.png": Shot(content=encoded(resize(around, 300)), annotations=[("dog", None)]),
    }
    make_photos(tmp_path / "photos", shots)
    crops_of(tmp_path / "photos", tmp_path / "out", context=0, near=8)
    assert [row["photo"] for row in rows(tmp_path / "out")] == ["large.png"]
    gone = {line["photo"]: line for line in duplicates(tmp_path / "out")}
    assert set(gone) == {"small.png", "whole.png"}
    assert {line["kind"] for line in gone.values()} == {"near"}
    assert {line["kept_photo"] for line in gone.values()} == {"large.png"}
    assert gone["whole.png"]["kept_word"] == "cat"


def test_near_duplicates_can_be_kept(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", {"a.png": shot("cat", 1), "b.jpg": recompressed(shot("cat", 1), 60)})
    crops_of(tmp_path / "photos", tmp_path / "out", near=None)
    assert len(rows(tmp_path / "out")) == 2
    assert (tmp_path / "out" / "duplicates.csv").read_text(encoding="utf-8").count("\n") == 1


def test_a_duplicate_of_a_duplicate_is_listed_with_the_one_that_stays(tmp_path: Path) -> None:
    worse = recompressed(shot("cat", 1), 60)
    make_photos(tmp_path / "photos", {"a.png": shot("cat", 1), "b.jpg": worse, "c.jpg": worse})
    crops_of(tmp_path / "photos", tmp_path / "out")
    [row] = rows(tmp_path / "out")
    gone = duplicates(tmp_path / "out")
    assert len(gone) == 2
    assert {line["kept_key_id"] for line in gone} == {str(row["key_id"])}
    assert {line["kept_photo"] for line in gone} == {row["photo"]}


# ---- real photos -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif("SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no real photos")
def test_real_photos_are_cropped_and_the_few_duplicates_among_them_found(tmp_path: Path) -> None:
    root = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "photos"
    sources = edgemaps_collect.Config(out=tmp_path / "photos", voc=(root / "raccoon",))
    assert edgemaps_collect.run(sources, CrawlOptions(), IN_PROCESS) is not None
    manifest = crops_of(tmp_path / "photos", tmp_path / "out")
    summary = edgemaps_crop.summarise(tmp_path / "out", manifest)
    assert summary.annotations == 217
    # Raccoon 50 is 52, made smaller; 21 and 45 are one photo in two sizes.
    assert {(line["photo"][-6:], line["kept_photo"][-6:]) for line in duplicates(tmp_path / "out")} == {
        ("50.jpg", "52.jpg"),
        ("21.jpg", "45.jpg"),
    }
    assert summary.crops == 215
