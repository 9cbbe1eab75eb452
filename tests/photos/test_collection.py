"""The tables of a collection: written the same from the same rows, read back as they were, refused when damaged."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchdata.errors import FormatError, SketchDataError
from sketchdata.formats.files import Fault
from sketchdata.photos.annotations.record import Annotation, PixelBox, Reading
from sketchdata.photos.collection import (
    BOXES_FILE,
    BOXES_SCHEMA,
    NAME,
    OUTCOME_COLUMNS,
    PHOTOS_FILE,
    PHOTOS_SCHEMA,
    Collection,
    boxes_table,
    photos_table,
    read_collection,
    remove_others,
    store_photo,
    write_table,
)
from sketchdata.photos.gathering import (
    Gathering,
    PhotoSource,
    collection_card,
    read_sources,
    source_rows,
    sources_csv,
    summarise,
)
from sketchdata.photos.image import DEFAULT_LIMITS, PhotoLimits
from sketchdata.storage.manifest import Manifest, file_entry
from tests.photo_servers import photo_of
from tests.photos.labelled_photos import write
from tests.trees import tree

DAY = datetime.date(2024, 5, 6)
YOLO, URLS = PhotoSource(kind="yolo", name="coco128"), PhotoSource(kind="urls", name="list.csv", sha256="ab")


def photo_row(photo: str, **values: object) -> dict[str, Any]:
    known = {"photo": photo, "source": "yolo", "status": "ok", "path": f"photos/aa/{photo}.jpg"}
    return {**dict.fromkeys(PHOTOS_SCHEMA.names), **known, **values}


def box_row(photo: str, word: str, box: tuple[int, int, int, int] | None = None, **values: object) -> dict[str, Any]:
    edges = dict(zip(("x0", "y0", "x1", "y1"), box or (None,) * 4, strict=True))
    return {"photo": photo, "word": word, "category": word, "flags": [], "where": "here", **edges, **values}


def columns(rows: list[dict[str, Any]], names: list[str]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in names}


def write_collection(
    folder: Path, photos: list[dict[str, Any]], boxes: list[dict[str, Any]], **changes: Any
) -> Collection:
    folder.mkdir(exist_ok=True)
    write_table(folder / PHOTOS_FILE, photos_table(columns(photos, PHOTOS_SCHEMA.names)))
    write_table(folder / BOXES_FILE, boxes_table(columns(boxes, BOXES_SCHEMA.names)))
    files = tuple(file_entry(folder / name, folder, 1) for name in (BOXES_FILE, PHOTOS_FILE))
    facts: dict[str, Any] = {"config": {}, "classes": ("cat",), "counts": {}, "rejects": {}, "sources": ()}
    Manifest(**{"name": NAME, "files": files, **facts, **changes}).write(folder)
    return read_collection(folder)


# ---- tables ----------------------------------------------------------------------------------------------------------

words = st.sampled_from(["cat", "dog", "The Eiffel Tower", "grüner Apfel"])
small = st.integers(0, 3)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    photos=st.dictionaries(names, st.tuples(words, st.integers(0, 2**64 - 1)), max_size=8),
    boxes=st.lists(
        st.tuples(names, words, st.none() | st.tuples(small, small, small, small), st.sets(words)), max_size=12
    ),
    seed=st.randoms(),
)
def test_rows_in_any_order_give_the_same_bytes_and_come_back_sorted(
    tmp_path_factory: pytest.TempPathFactory, photos: dict[str, Any], boxes: list[Any], seed: Any
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    photo_rows = [photo_row(photo, source=source, phash=phash) for photo, (source, phash) in photos.items()]
    box_rows = [
        box_row(photo, word, box, flags=sorted(flags), where=f"{number}")
        for number, (photo, word, box, flags) in enumerate(boxes)
    ]
    first = write_collection(folder / "a", photo_rows, box_rows)
    seed.shuffle(photo_rows)
    seed.shuffle(box_rows)
    second = write_collection(folder / "b", photo_rows, box_rows)
    assert tree(folder / "a") == tree(folder / "b")
    assert second.photos.to_pylist() == sorted(photo_rows, key=lambda row: (row["source"], row["photo"]))
    keys = [(row["photo"], row["word"]) for row in second.boxes.to_pylist()]
    assert keys == sorted(keys)
    assert sorted(first.boxes.to_pylist(), key=lambda row: int(row["where"])) == sorted(
        box_rows, key=lambda row: int(row["where"])
    )


def test_boxes_come_by_their_edges_and_whole_photos_behind_them(tmp_path: Path) -> None:
    boxes = [box_row("p", "cat", box) for box in (None, (5, 0, 9, 9), (1, 7, 9, 9), (1, 2, 9, 9))]
    found = write_collection(tmp_path, [photo_row("p")], boxes).boxes
    assert found.column("x0").to_pylist() == [1, 1, 5, None]
    assert found.column("y0").to_pylist() == [2, 7, 0, None]


def test_columns_are_of_the_documented_types(tmp_path: Path) -> None:
    write_collection(tmp_path, [photo_row("a", phash=2**64 - 1, fetched=DAY)], [box_row("a", "cat")])
    assert pq.read_schema(tmp_path / PHOTOS_FILE) == PHOTOS_SCHEMA
    assert pq.read_schema(tmp_path / BOXES_FILE) == BOXES_SCHEMA
    row = pq.read_table(tmp_path / PHOTOS_FILE).to_pylist()[0]
    assert (row["phash"], row["fetched"]) == (2**64 - 1, DAY)


@pytest.mark.parametrize("values", [{"width": "wide"}, {"phash": -1}, {"photo": None}, {"title": "\ud800"}])
def test_values_of_another_type_are_refused(values: dict[str, object]) -> None:
    row = {**photo_row("a"), **values}
    if row["photo"] is None:
        del row["photo"]
    with pytest.raises(SketchDataError, match="are not the columns of a collection of photos"):
        photos_table({name: [value] for name, value in row.items()})


# ---- reading back ----------------------------------------------------------------------------------------------------


def test_a_folder_without_a_manifest_is_no_collection(tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match="is not a finished data set"):
        read_collection(tmp_path)


def test_another_data_set_is_no_collection(tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match=r"holds quickdraw-3\.8m, and a collection of photos was expected"):
        write_collection(tmp_path, [photo_row("a")], [], name="quickdraw-3.8m")


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", [PHOTOS_FILE, BOXES_FILE])
@pytest.mark.parametrize(("change", "message"), [(Path.unlink, "is missing"), (damage, "is damaged: it has sha256")])
def test_a_missing_or_damaged_table_is_named(
    tmp_path: Path, name: str, change: Callable[[Path], None], message: str
) -> None:
    write_collection(tmp_path, [photo_row("a")], [box_row("a", "cat")])
    change(tmp_path / name)
    with pytest.raises(SketchDataError, match=f"{name} {message}"):
        read_collection(tmp_path)


def test_a_table_that_the_manifest_does_not_list_and_one_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match=r"photos\.parquet is missing, and the manifest does not list it"):
        write_collection(tmp_path, [photo_row("a")], [], files=())
    entries = []
    for name, content in ((PHOTOS_FILE, b"no Parquet"), (BOXES_FILE, b"")):
        entries.append(file_entry(write(tmp_path / name, content), tmp_path, 0))
    facts: dict[str, Any] = {"config": {}, "classes": (), "counts": {}, "rejects": {}, "sources": ()}
    Manifest(name=NAME, files=tuple(entries), **facts).write(tmp_path)
    with pytest.raises(SketchDataError, match="cannot be read as Parquet"):
        read_collection(tmp_path)


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    write_collection(tmp_path, [photo_row("a")], [])
    pq.write_table(pq.read_table(tmp_path / PHOTOS_FILE).drop_columns(["title"]), tmp_path / PHOTOS_FILE)
    entries = tuple(file_entry(tmp_path / name, tmp_path, 1) for name in (PHOTOS_FILE, BOXES_FILE))
    facts: dict[str, Any] = {"config": {}, "classes": (), "counts": {}, "rejects": {}, "sources": ()}
    Manifest(name=NAME, files=entries, **facts).write(tmp_path)
    with pytest.raises(SketchDataError, match=r"photos\.parquet has other columns"):
        read_collection(tmp_path)


# ---- photos on disk --------------------------------------------------------------------------------------------------


def test_equal_photos_are_stored_once_and_a_cut_one_is_written_again(tmp_path: Path) -> None:
    body = photo_of("/a.jpg")
    first, second = (store_photo(body, tmp_path, DEFAULT_LIMITS) for _ in range(2))
    assert first == second
    assert tree(tmp_path) == {first.path: body}
    assert first.path == f"photos/{first.sha256[:2]}/{first.sha256}.jpg"
    assert (first.bytes, first.width, first.height, first.format) == (len(body), 64, 64, "JPEG")
    (tmp_path / first.path).write_bytes(b"")
    assert store_photo(body, tmp_path, DEFAULT_LIMITS) == first
    assert tree(tmp_path) == {first.path: body}


@pytest.mark.parametrize(
    ("body", "limits", "reason"),
    [
        (b"<html>", DEFAULT_LIMITS, "not a picture"),
        (photo_of("/a.jpg"), PhotoLimits(bytes=100), "too many bytes"),
        (photo_of("/a.jpg"), PhotoLimits(pixels=100), "too many pixels"),
        (photo_of("/a.jpg")[:-300], DEFAULT_LIMITS, "truncated picture"),
    ],
)
def test_what_is_not_let_in_leaves_nothing(tmp_path: Path, body: bytes, limits: PhotoLimits, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        store_photo(body, tmp_path, limits)
    assert tree(tmp_path) == {}


def test_what_unfinished_runs_left_among_the_photos_goes(tmp_path: Path) -> None:
    kept = store_photo(photo_of("/a.jpg"), tmp_path, DEFAULT_LIMITS)
    store_photo(photo_of("/b.jpg"), tmp_path, DEFAULT_LIMITS)
    write((tmp_path / kept.path).with_name(".left.tmp"), b"half")
    write(tmp_path / "photos" / "zz" / ".left.tmp", b"half")
    remove_others(tmp_path, {kept.path})
    assert list(tree(tmp_path)) == [kept.path]
    assert [path.name for path in (tmp_path / "photos").iterdir()] == [kept.sha256[:2]]


# ---- gathering -------------------------------------------------------------------------------------------------------


def seen(photo: str, category: str = "cat", box: PixelBox | None = None, **facts: Any) -> Annotation:
    return Annotation(photo=photo, category=category, box=box, where=f"{photo} {category}", **facts)


def gather(*sources: tuple[PhotoSource, list[Reading]]) -> tuple[Gathering, list[tuple[str, Fault]]]:
    faults: list[tuple[str, Fault]] = []
    gathering = Gathering(report=lambda origin, fault: faults.append((origin.name, fault)))
    for origin, readings in sources:
        gathering.add(origin, readings, lambda name: name if name in ("cat", "dog") else None)
    return gathering, faults


def test_a_photo_that_two_sources_name_keeps_the_firsts_facts_and_all_its_boxes() -> None:
    first = [seen("http://a.test/1", author="Ann"), seen("http://a.test/1", "dog")]
    second = [
        seen("http://a.test/1", box=PixelBox(1, 2, 3, 4), author="Bob"),
        seen("http://a.test/1", "dog", author="Bob"),
        seen("http://a.test/2", licence="CC0 1.0"),
    ]
    gathering, _ = gather((YOLO, first), (URLS, second))
    photos = gathering.photo_columns(lambda photo: [None] * len(OUTCOME_COLUMNS))
    assert (photos["photo"], photos["source"]) == (["http://a.test/1", "http://a.test/2"], ["yolo", "urls"])
    assert (photos["author"], photos["licence"]) == (["Ann", None], [None, "CC0 1.0"])
    boxes = gathering.box_columns()
    assert list(zip(boxes["photo"], boxes["word"], boxes["x0"], strict=True)) == [
        ("http://a.test/1", "cat", None),
        ("http://a.test/1", "dog", None),
        ("http://a.test/1", "cat", 1),
        ("http://a.test/2", "cat", None),
    ]
    named = gathering.counts[URLS]
    assert (named.annotations, named.boxes, named.repeated, named.photos, named.named_before) == (3, 2, 1, 1, 1)


def test_every_annotation_is_counted_as_taken_repeated_left_out_or_refused() -> None:
    origin = PhotoSource(kind="open_images", name="train", unlisted=("photo missing",))
    broken, absent = (Fault(where="x", reason=reason, detail="") for reason in ("no box", "photo missing"))
    readings: list[Reading] = [seen("a"), seen("a"), seen("b", "person"), seen("b", "person"), broken, absent]
    gathering, faults = gather((origin, readings))
    named = gathering.counts[origin]
    counts = (named.boxes, named.repeated, named.left_out, named.rejects)
    assert counts == (1, 1, 3, 1)
    assert sum(counts) == named.annotations == len(readings)
    assert faults == [("train", broken)]
    assert gathering.unmatched == {"person": 2}


def test_a_photo_none_of_whose_annotations_is_wanted_is_not_asked_for() -> None:
    gathering, _ = gather((URLS, [seen("http://a.test/1", "person")]))
    assert (len(gathering), gathering.addresses) == (0, [])


def test_a_file_whose_name_is_no_text_is_refused() -> None:
    gathering, [(_, fault)] = gather((YOLO, [seen(os.fsdecode(b"\xff.jpg")), seen("a")]))
    assert (fault.reason, len(gathering)) == ("name not UTF-8", 1)
    assert fault.where.encode()


# ---- counts and card -------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(tmp_path: Path) -> dict[str, Any]:
    photos = [
        photo_row("a", licence="CC BY 2.0"),
        photo_row("b", licence=None),
        photo_row("c", status="failed", error="timeout", path=None),
        photo_row("d", status="refused", error="opt-out", path=None),
    ]
    collection = write_collection(tmp_path, photos, [box_row("a", "cat"), box_row("c", "dog")])
    gathering, _ = gather((PhotoSource(kind="yolo", name="<b>|`x`"), [seen("a"), seen("c", "dog"), seen("c", "ox")]))
    rows = source_rows(gathering, {"a": "ok", "c": "failed"}.__getitem__)
    return summarise(collection, rows)


def test_counts_say_what_became_of_every_photo(counted: dict[str, Any]) -> None:
    assert counted["photos"] == {"asked": 4, "ok": 2, "failed": 1, "refused": 1}
    assert counted["errors"] == {"opt-out": 1, "timeout": 1}
    assert counted["licences"] == {"CC BY 2.0": 1, "not stated": 1}
    assert (counted["boxes"], counted["classes"]) == (2, 2)
    [source] = counted["sources"]
    assert {key: source[key] for key in ("photos", "ok", "failed", "refused", "left_out")} == {
        "photos": 2,
        "ok": 1,
        "failed": 1,
        "refused": 0,
        "left_out": 1,
    }


def test_the_table_of_sources_comes_back_as_it_was(counted: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path / "sources.csv", sources_csv(counted["sources"]))
    assert read_sources(tmp_path) == counted["sources"]
    write(tmp_path / "sources.csv", "source,name\nyolo,x\n")
    with pytest.raises(SketchDataError, match=r"sources\.csv cannot be read"):
        read_sources(tmp_path)


def test_the_card_shows_names_as_text_and_no_markup(counted: dict[str, Any]) -> None:
    card = collection_card(counted)
    assert "| yolo: \\<b\\>\\|\\`x\\` | 2 | 1 | 1 | 0 | 2 |" in card
    assert "| opt-out | 1 |" in card
    assert "| not stated | 1 |" in card
