"""Verifying photos, crops, edge maps and sets of edge maps: every kind of fault is found and named."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sketchdata.photos import collection
from sketchdata.photos.collection import PHOTOS_SCHEMA
from sketchdata.photos.image import perceptual_hash
from sketchdata.pipelines import verify
from sketchdata.storage import pictures
from sketchdata.storage.manifest import Manifest, file_entry, read_manifest
from sketchdata.storage.tars import write_members
from tests.audits import flip_a_byte
from tests.commands import sketchdata
from tests.edge_map_builds import build, curate
from tests.edge_map_sets import CLASSES, EdgeMapSet, make_edge_maps
from tests.photo_collections import encoded, scene
from tests.trees import tree_sha256

FIRST = "data/all-00000-of-00002.parquet"
TAR, INDEX = "shards/train-000000.tar", "index/train.parquet"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> EdgeMapSet:
    return make_edge_maps(tmp_path_factory.mktemp("edge-maps"), {"apple": 24, "ice cream": 12})


@pytest.fixture(scope="module")
def built(source: EdgeMapSet) -> Path:
    build(source.edges, source.edges.parent / "built")
    return source.edges.parent / "built"


@pytest.fixture
def crops(source: EdgeMapSet, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source.crops, tmp_path / "crops"))


@pytest.fixture
def edges(source: EdgeMapSet, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source.edges, tmp_path / "edges"))


@pytest.fixture
def maps(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "maps"))


def faults(directory: Path) -> dict[str, str]:
    """Return {kind: its first case}."""
    return {fault.kind: fault.first for fault in verify.run(directory).faults}


def list_again(directory: Path) -> None:
    """Put every file's present size and hash into the manifest, so that only the check in question can find a fault."""
    manifest = read_manifest(directory)
    files = tuple(file_entry(directory / file.path, directory, file.records) for file in manifest.files)
    dataclasses.replace(manifest, files=files).write(directory)


def edit_manifest(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    values = orjson.loads((directory / "manifest.json").read_bytes())
    change(values)
    (directory / "manifest.json").write_bytes(orjson.dumps(values))


def rewrite(directory: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the rows of a Parquet file, the manifest following."""
    table = pq.read_table(directory / name, partitioning=None)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), directory / name)
    list_again(directory)


def with_value(table: pa.Table, name: str, row: int, value: Any) -> pa.Table:
    values = table.column(name).to_pylist()
    values[row] = value
    field = table.schema.field(name)
    column = pa.array(values, field.type.value_type).dictionary_encode() if pa.types.is_dictionary(field.type) else None
    column = pa.array(values, field.type) if column is None else column.cast(field.type)
    return table.set_column(table.column_names.index(name), field, column)


# ---- crops and edge maps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["crops", "edges", "maps"])
def test_good_pictures_have_no_fault_and_are_left_as_they_are(kind: str, request: pytest.FixtureRequest) -> None:
    directory = request.getfixturevalue(kind)
    before = tree_sha256(directory)
    found = verify.run(directory)
    assert found.faults == []
    assert (found.records, found.files) == (36, len(read_manifest(directory).files))
    assert found.noun == ("crops" if kind == "crops" else "edge maps")
    assert len(found.checks) >= 11
    assert tree_sha256(directory) == before


@pytest.mark.parametrize("kind", ["crops", "edges", "maps"])
def test_a_flipped_byte_a_missing_and_a_strange_file_are_found(kind: str, request: pytest.FixtureRequest) -> None:
    directory = request.getfixturevalue(kind)
    name = TAR if kind == "maps" else FIRST
    flip_a_byte(directory / name)
    (directory / "README.md").unlink()
    (directory / "notes.txt").write_text("x")
    found = faults(directory)
    assert found["sha256"].startswith(f"{name} has sha256")
    assert found["missing file"] == "README.md is missing"
    assert found["unlisted file"] == "notes.txt is not in the manifest"


def test_an_audit_beside_edge_maps_is_no_fault(edges: Path) -> None:
    curate(edges)
    assert faults(edges) == {}


def picture(content: bytes) -> dict[str, Any]:
    return {"bytes": content, "path": None}


@pytest.mark.parametrize(
    ("name", "value", "kind", "message"),
    [
        ("key_id", 7, "key_id", "should be"),
        ("photo_sha256", "00" * 32, "key_id", "should be"),
        ("x0", 3, "key_id", "should be"),
        ("label", 9, "word and label", "has label 9 and word"),
        ("word", "cat", "word and label", "and word 'cat'"),
        ("width", 5, "picture", "expected 5 × 224"),
        ("image", picture(encoded(np.zeros((9, 9), np.uint8))), "picture", "another size: 9 × 9"),
        ("image", picture(encoded(np.zeros((224, 224), np.uint8), ".jpg")), "picture", "not a PNG"),
        ("image", picture(b""), "picture", "not a PNG"),
    ],
)
def test_a_wrong_row_of_edge_maps_is_named(name: str, value: Any, kind: str, message: str, edges: Path) -> None:
    rewrite(edges, FIRST, lambda table: with_value(table, name, 1, value))
    assert message in faults(edges)[kind]


def test_a_crop_may_have_any_size_but_must_decode(crops: Path) -> None:
    rewrite(crops, FIRST, lambda table: with_value(table, "image", 1, picture(b"GIF89a nothing")))
    assert list(faults(crops)) == ["picture"]


def test_rows_out_of_order_and_twice_are_found(edges: Path) -> None:
    def shuffle(table: pa.Table) -> pa.Table:
        return table.take([1, 0, 1, *range(3, len(table))])

    rewrite(edges, FIRST, shuffle)
    found = faults(edges)
    assert found["order of rows"] == "row 0 is out of order"
    assert "is in the data set and in the data set" in found["key_id twice"]


def test_counts_that_are_not_the_manifests_are_named(edges: Path) -> None:
    edit_manifest(edges, lambda values: values["counts"]["all"].update(apple=23))
    assert faults(edges) == {"class balance": "the data set has 24 edge maps of apple instead of 23"}


def test_other_columns_are_named(edges: Path) -> None:
    rewrite(edges, FIRST, lambda table: table.drop_columns(["licence"]))
    assert f"{FIRST} has other columns" in faults(edges)["schema"]


# ---- photos ----------------------------------------------------------------------------------------------------------


def write_photos(folder: Path) -> None:
    """Write a collection of four photos, of which two addresses have one and one failed, and boxes in them."""
    rows, boxes, files = [], [], []
    for number, drawn in enumerate((0, 1, 1, None)):
        photo = dict.fromkeys(PHOTOS_SCHEMA.names)
        photo |= {"photo": f"https://photos.example/{number}.png", "source": "urls", "status": "failed"}
        if drawn is not None:
            content = encoded(scene(0, drawn).photo)
            sha256 = hashlib.sha256(content).hexdigest()
            path = f"photos/{sha256[:2]}/{sha256}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
            photo |= {"status": "ok", "sha256": sha256, "bytes": len(content), "path": path, "format": "PNG"}
            photo |= {"phash": perceptual_hash(scene(0, drawn).photo), "width": 320, "height": 240}
        rows.append(photo)
        box = dict(zip(("x0", "y0", "x1", "y1"), scene(0, drawn or 0).box, strict=True))
        boxes.append({"photo": photo["photo"], "word": "star", "category": "s", **box, "flags": [], "where": "line 1"})
    tables = {
        collection.PHOTOS_FILE: collection.photos_table({name: [row[name] for row in rows] for name in rows[0]}),
        collection.BOXES_FILE: collection.boxes_table({name: [box[name] for box in boxes] for name in boxes[0]}),
    }
    for name, table in tables.items():
        collection.write_table(folder / name, table)
        files.append(file_entry(folder / name, folder, len(table)))
    counts = {word: 4 if word == "star" else 0 for word in CLASSES}
    Manifest(
        name=collection.NAME,
        config={},
        classes=CLASSES,
        counts={pictures.UNDIVIDED: counts},
        rejects={},
        sources=(),
        files=tuple(files),
    ).write(folder)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    write_photos(tmp_path / "photos")
    return tmp_path / "photos"


def first_photo(photos: Path) -> Path:
    return sorted((photos / "photos").rglob("*.png"))[0]


def test_good_photos_have_no_fault(photos: Path) -> None:
    found = verify.run(photos)
    assert found.faults == []
    assert (found.records, found.noun, found.files) == (2, "photos", 4)
    (photos / ".collect").mkdir()
    (photos / ".collect" / "ledger.jsonl").write_text("{}")
    assert faults(photos) == {}


def test_a_photo_that_changed_is_missing_or_unlisted_is_named(photos: Path) -> None:
    path = first_photo(photos)
    name = path.relative_to(photos).as_posix()
    flip_a_byte(path)
    assert faults(photos)["sha256"].startswith(f"{name} has sha256")
    path.rename(photos / "photos" / "stray.png")
    found = faults(photos)
    assert found["missing file"] == f"{name} is missing"
    assert found["unlisted file"] == "photos/stray.png is not in the manifest"


def test_a_box_of_no_photo_and_wrong_counts_are_named(photos: Path) -> None:
    rewrite(photos, "boxes.parquet", lambda table: with_value(table, "photo", 3, "https://photos.example/none"))
    assert faults(photos) == {
        "unknown photo": "boxes are of https://photos.example/none, which photos.parquet does not have"
    }
    rewrite(photos, "boxes.parquet", lambda table: table.slice(0, 3))
    assert faults(photos) == {"class balance": "the collection has 3 photos of star instead of 4"}


# ---- the finished set ------------------------------------------------------------------------------------------------


def rewrite_tar(maps: Path, change: Callable[[list[tuple[str, bytes]]], None]) -> None:
    """Change a tar's members, the manifest following but not the index."""
    with tarfile.open(maps / TAR) as file:
        members = [(m.name, content.read()) for m in file if (content := file.extractfile(m)) is not None]
    change(members)
    write_members(maps / TAR, members)
    list_again(maps)


def blank(side: int) -> bytes:
    return encoded(np.full((side, side), 255, np.uint8))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda members: members.pop(), "members of the tar", "members, the index"),
        (lambda members: members.reverse(), "members of the tar", "they differ from number 0 on"),
        (lambda members: members.__setitem__(0, (members[0][0], blank(224))), "members of the tar", "lies at"),
        (lambda members: members.__setitem__(1, (members[1][0], b"{}")), "members of the tar", "not a sample's JSON"),
        (
            lambda members: members.__setitem__(1, (members[1][0], members[1][1].replace(b'"word":"', b'"word":"x '))),
            "members of the tar",
            "has word 'x ",
        ),
        (lambda members: members.__setitem__(0, (members[0][0], members[0][1][:50])), "picture", ".png: "),
    ],
)
def test_a_tar_that_is_not_what_the_index_says_is_named(
    change: Callable[[list[tuple[str, bytes]]], Any], kind: str, message: str, maps: Path
) -> None:
    rewrite_tar(maps, change)
    assert message in faults(maps)[kind]


def test_what_is_no_tar_is_named(maps: Path) -> None:
    (maps / TAR).write_bytes(b"no tar" * 1000)
    list_again(maps)
    assert f"{TAR} cannot be read as a tar" in faults(maps)["members of the tar"]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda table: table.slice(1), "class balance", "train has "),
        (lambda table: table.slice(1), "rows of the index", f"{TAR} has "),
        (lambda table: table.slice(1), "attribution", "ATTRIBUTION.csv has "),
        (lambda table: table.take([1, 0, *range(2, len(table))]), "order of rows", "train: row 0"),
        (lambda table: table.take([0, 0, *range(2, len(table))]), "key_id twice", "is in train and in train"),
        (lambda table: with_value(table, "word", 0, "cat"), "word and label", "and word 'cat'"),
        (lambda table: with_value(table, "offset", 0, 0), "members of the tar", "the index says 0"),
        (lambda table: with_value(table, "offset", 0, 0), "picture", "not a PNG"),
        (lambda table: with_value(table, "photo", 0, "elsewhere"), "attribution", "maps of elsewhere, and the index 1"),
        (lambda table: with_value(table, "photo", 0, "elsewhere"), "members of the tar", "and the index 'elsewhere'"),
        (lambda table: table.drop_columns(["tar"]), "unreadable index", "other columns"),
    ],
)
def test_an_index_that_is_not_what_the_rules_say_is_named(
    change: Callable[[pa.Table], pa.Table], kind: str, message: str, maps: Path
) -> None:
    rewrite(maps, INDEX, change)
    assert message in faults(maps)[kind]


def test_a_photo_in_both_splits_is_named(maps: Path) -> None:
    stray = pq.read_table(maps / "index/val.parquet", partitioning=None).column("photo_sha256")[0].as_py()
    rewrite(maps, INDEX, lambda table: with_value(table, "photo_sha256", 0, stray))
    found = faults(maps)
    assert f"the photo with sha256 {stray[:16]}… has maps in train and in val" == found["photos across splits"]
    assert "does not belong to train" in found["split by photo"]


def test_another_share_than_the_manifests_is_noticed(maps: Path) -> None:
    edit_manifest(maps, lambda values: values["config"].update(val_share="3/4"))
    assert list(faults(maps)) == ["split by photo"]


# ---- the commands ----------------------------------------------------------------------------------------------------


def test_the_commands_call_things_by_their_names(maps: Path, edges: Path, photos: Path) -> None:
    assert "36 edge maps" in sketchdata("verify", maps).stdout
    told = json.loads(sketchdata("verify", edges, "--json").stdout)
    assert (told["ok"], told["edge_maps"]) == (True, 36)
    assert "2 photos" in sketchdata("verify", photos).stdout
    assert json.loads(sketchdata("info", maps, "--json").stdout)["edge_maps"] == 36
    shown = sketchdata("info", maps).stdout
    assert "edge maps" in shown
    assert "drawings" not in shown
    assert "annotations" in sketchdata("info", photos).stdout
    flip_a_byte(maps / TAR)
    assert f"fault: sha256: {TAR}" in sketchdata("verify", maps, expect=1).stdout
