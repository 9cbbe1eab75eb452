"""`sketchdata build sbir`: drawings and photos as they are published and as people have them, and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from PIL import Image

from sketchdata.classes.splits import SplitOptions
from sketchdata.cross_domain.dataset import GROUPS, read_group
from sketchdata.cross_domain.layouts import DOMAINS
from sketchdata.cross_domain.mixing import read_mixed
from sketchdata.cross_domain.options import MixOptions
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats import svg
from sketchdata.photos.image import decode
from sketchdata.pipelines import sbir, verify
from sketchdata.pipelines.drawings import Config as DrawingsConfig
from sketchdata.pipelines.drawings import build as build_drawings
from sketchdata.storage import parquet, pictures
from sketchdata.storage.manifest import Manifest
from tests.builds import IN_PROCESS, official_line, small_source
from tests.commands import sketchdata
from tests.photo_collections import crops_of, make_photos, shot
from tests.published_layouts import TU_BERLIN, picture, put, quickdraw_extended, sake, sketchy, tu_berlin
from tests.trees import tree

CLASSES = ("airplane", "cat", "ice cream", "star", "zebra")


def build(drawings: Path, photos: Path, out: Path, *, seen: int | None = 3, **options: Any) -> Manifest:
    """Build in this process; names of SplitOptions are given as `split_…` or as they are."""
    own = {name: options.pop(name) for name in ("class_split", "allow_unknown", "validation_share") if name in options}
    split = SplitOptions(seen=None if "class_split" in own else seen, **own)
    manifest = sbir.build(sbir.Config(drawings=drawings, photos=photos, out=out, **options), split, IN_PROCESS)
    assert manifest is not None
    check = verify.run(out)
    assert not check.faults, check.faults
    assert {"file in two groups", "class of another group", "order of rows"} <= set(check.checks)
    return manifest


def rejects(out: Path) -> list[dict[str, str]]:
    return [orjson.loads(line) for line in (out / "rejects.jsonl").read_bytes().splitlines()]


def rows(out: Path, manifest: Manifest, split: str) -> list[dict[str, Any]]:
    return [
        row
        for shard in manifest.shards(split)
        for table in pictures.read_shard(out / shard.path)
        for row in table.to_pylist()
    ]


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path]:
    """Drawings of official text, and photos under other spellings."""
    drawings = small_source(tmp_path / "source", categories=CLASSES, lines=12)
    for word in CLASSES:
        for number in range(4):
            put(tmp_path / "photos" / word.replace(" ", "_").title() / f"{number}.jpg")
    return drawings, tmp_path / "photos"


# ---- published layouts -----------------------------------------------------------------------------------------------


def test_sketchy_has_one_rendering_the_extended_photos_and_pairs(tmp_path: Path) -> None:
    root, out = sketchy(tmp_path / "Sketchy"), tmp_path / "out"
    split = put(tmp_path / "split.txt", b"[unseen]\nzebra\nhot air balloon\n")
    manifest = build(root, root, out, layout="sketchy", class_split=(str(split),), validation_share=0.3)
    assert manifest.config["drawings"] == "pixels"
    assert manifest.config["unseen"] == ["hot-air_balloon", "zebra"]
    assert manifest.config["imagenet"] == ["airplane", "car_(sedan)", "hot-air_balloon", "jack-o-lantern", "zebra"]
    assert sum(manifest.counts[f"{group}-drawings"]["zebra"] for group in GROUPS) == 6
    assert manifest.counts["unseen-photos"]["zebra"] == 6
    drawings, photos = (rows(out, manifest, f"unseen-{domain}") for domain in ("drawings", "photos"))
    # As given, byte for byte.
    folder = root / "256x256" / "sketch" / "tx_000000000000"
    assert all(row["image"]["bytes"] == (folder / row["photo"]).read_bytes() for row in drawings)
    assert all((root / "EXTEND_image_sketchy" / row["photo"]).read_bytes() == row["image"]["bytes"] for row in photos)
    names = {row["key_id"]: row["photo"] for row in [*drawings, *photos]}
    pairs = list(csv.DictReader(io.StringIO((out / "pairs" / "unseen.csv").read_text())))
    assert len(pairs) == len(drawings) == 12
    for pair in pairs:
        drawing, photo = (names[int(pair[domain])] for domain in ("drawing", "photo"))
        assert drawing.rpartition("-")[0] == photo.removesuffix(".jpg")
    assert "pairs/unseen.csv" in {entry.path for entry in manifest.files}


def test_tu_berlins_photos_are_found_under_their_misspelt_folders(tmp_path: Path) -> None:
    root, out = tu_berlin(tmp_path / "TU-Berlin"), tmp_path / "out"
    manifest = build(root, root, out, layout="tu-berlin", seen=8)
    assert manifest.classes == tuple(sorted(TU_BERLIN))
    for word, folder in TU_BERLIN.items():
        own = [row for group in GROUPS for row in rows(out, manifest, f"{group}-photos") if row["word"] == word]
        assert {row["category"] for row in own} == {folder}
        assert len(own) == 2
    assert manifest.rejects == {}
    assert not (out / "pairs").exists()


def test_quickdraw_extended_has_the_listed_drawings_as_strokes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unseen = ("ice cream", "zebra")
    root, out = quickdraw_extended(tmp_path / "root", CLASSES, unseen), tmp_path / "out"
    manifest = build(
        root,
        root,
        out,
        layout="quickdraw-extended",
        lists=root / "lists",
        seen=None,
        validation_share=0.3,
        max_bad_fraction=0.1,
    )
    assert manifest.config["drawings"] == "vectors"
    assert manifest.config["unseen"] == sorted(unseen)
    lines = (root / "lists" / "sketch_zero.txt").read_text().splitlines()
    listed = {line.split("/")[-1].split(".")[0] for line in lines}
    held = {
        str(key_id)
        for shard in manifest.shards("unseen-drawings")
        for key_id in parquet.read_shard(out / shard.path).key_id.tolist()
    }
    assert held == listed - {"17", "18"}
    assert len(held) == 12
    assert manifest.rejects == {"listed drawing that the files do not have": 2}
    assert [line["where"] for line in rejects(out)] == ["key_id 17", "key_id 18"]
    assert manifest.splits["seen-drawings"] + manifest.splits["validation-drawings"] == 30
    assert "no drawings of 3 classes" in capsys.readouterr().err
    # The pictures of drawings themselves name the key_ids, too, and then there are no other classes.
    shown = tmp_path / "QuickDraw_sketches_final"
    for line in lines:
        put(shown / line.rpartition(" ")[0].removeprefix("sketches/"))
    for key_id in ids_of(root, "cat")[:3]:
        put(shown / "cat" / f"{key_id}.png")
    options = {"layout": "quickdraw-extended", "lists": shown, "max_bad_fraction": 0.1, "validation_share": 0}
    again = build(root, root, tmp_path / "again", seen=2, **options)
    assert again.classes == ("cat", "ice cream", "zebra")
    assert sum(again.counts[f"{group}-drawings"]["cat"] for group in GROUPS) == 3


def test_birthday_cakes_are_cakes_where_a_list_says_so(tmp_path: Path) -> None:
    classes = ("cake", "cat", "star", "birthday cake")
    root = quickdraw_extended(tmp_path / "root", classes, ("cake",))
    seen = "".join(f"{word} {cid}\n" for cid, word in enumerate(("cat", "star")))
    put(root / "lists" / "cname_cid.txt", seen.encode())
    chosen = ids_of(root, "birthday cake")[:2]
    with (root / "lists" / "sketch_zero.txt").open("a") as file:
        file.writelines(f"sketches/cake/{key_id}.png 0\n" for key_id in chosen)
    options = {"layout": "quickdraw-extended", "lists": root / "lists", "max_bad_fraction": 0.2, "validation_share": 0}
    manifest = build(root, root, tmp_path / "out", seen=None, **options)
    assert manifest.classes == ("cake", "cat", "star")
    held = [parquet.read_shard(tmp_path / "out" / shard.path) for shard in manifest.shards("unseen-drawings")]
    assert {str(key_id) for batch in held for key_id in batch.key_id.tolist()} == {*ids_of(root, "cake")[:6], *chosen}
    assert manifest.rejects["class that no list has"] == 2


def ids_of(root: Path, word: str) -> list[str]:
    lines = (root / "full" / "simplified" / f"{word}.ndjson").read_bytes().splitlines()
    return [orjson.loads(line)["key_id"] for line in lines]


def test_sake_takes_what_its_lists_name_and_their_split(tmp_path: Path) -> None:
    root, out = sake(tmp_path / "Sketchy"), tmp_path / "out"
    put(root / "EXTEND_image_sketchy_ready" / "zebra" / "unlisted.jpg")
    manifest = build(root, root, out, layout="sake", lists=root / "zeroshot1", seen=None, max_bad_fraction=0.2)
    assert manifest.config["unseen"] == ["bat"]
    assert manifest.splits["unseen-photos"] == manifest.splits["unseen-drawings"] == 2
    assert manifest.rejects == {"missing file": 2}
    assert {line["file"].rpartition("/")[2] for line in rejects(out)} == {"lost_train.jpg", "lost_zero.jpg"}
    assert (out / "pairs" / "unseen.csv").read_text().count("\n") == 3


# ---- what people have ------------------------------------------------------------------------------------------------


def test_own_folders_are_matched_by_spelling_and_read_back(own: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = build(*own, out, drawings_per_class=8, photos_per_class=3)
    assert manifest.classes == CLASSES
    assert manifest.config["drawings"] == "vectors"
    for group in GROUPS:
        read = read_group(out, group, size=32)
        assert read.drawings.labels.bincount().tolist() == [8] * len(read.classes)
        assert read.photos.labels.bincount().tolist() == [3] * len(read.classes)
        assert read.photos.pictures(torch.arange(2), 32).float().std() > 0


@pytest.mark.parametrize("domain", DOMAINS)
def test_datasets_loads_each_domain_by_the_card(
    domain: str, own: tuple[Path, Path], tmp_path: Path, load_dataset: Any
) -> None:
    manifest = build(*own, tmp_path / "out")
    loaded = load_dataset(str(tmp_path / "out"), domain)
    assert {group: len(rows) for group, rows in loaded.items()} == {
        group: manifest.splits[f"{group}-{domain}"] for group in GROUPS
    }
    assert loaded["unseen"].features["label"].names == list(CLASSES)


def test_seen_files_hold_nothing_of_an_unseen_class(own: tuple[Path, Path], tmp_path: Path) -> None:
    drawings, photos = own
    # The same file under two classes, which would be seen and unseen.
    same = (photos / "Cat" / "0.jpg").read_bytes()
    for word in ("Zebra", "Star", "Airplane", "Ice_Cream"):
        put(photos / word / "again.jpg", same)
    manifest = build(drawings, photos, tmp_path / "out")
    assert manifest.rejects == {"same file as another": 4}
    held: dict[str, set[Any]] = {group: set() for group in GROUPS}
    for group in GROUPS:
        for row in rows(tmp_path / "out", manifest, f"{group}-photos"):
            held[group] |= {row["key_id"], row["photo_sha256"], row["image"]["bytes"]}
        for shard in manifest.shards(f"{group}-drawings"):
            held[group] |= set(parquet.read_shard(tmp_path / "out" / shard.path).key_id.tolist())
    assert all(held.values())
    assert not held["unseen"] & (held["seen"] | held["validation"])
    assert not held["seen"] & held["validation"]


def test_strokes_among_pixels_are_drawn(own: tuple[Path, Path], tmp_path: Path) -> None:
    drawings = tmp_path / "mixed"
    for word in CLASSES:
        put(drawings / word / "a.png", picture(word, ".png"))
        put(drawings / word / "b.bmp", picture(f"{word} b", ".bmp"))
        path = f'<path d="M0 0L9 {len(word)} 9 9" fill="none" stroke="black"/>'
        text = f'<svg xmlns="{svg.SVG_NAMESPACE}" viewBox="0 0 255 255">{path}</svg>'
        put(drawings / word / "c.svg", text.encode())
    put(drawings / "cat" / "broken.svg", b"<svg")
    manifest = build(drawings, own[1], tmp_path / "out", max_bad_fraction=0.1)
    assert manifest.config["drawings"] == "pixels"
    stored = [row for group in GROUPS for row in rows(tmp_path / "out", manifest, f"{group}-drawings")]
    assert len(stored) == 15
    assert all(row["image"]["bytes"].startswith(b"\x89PNG") for row in stored)
    drawn = [decode(row["image"]["bytes"]) for row in stored if row["photo"].endswith(".svg")]
    assert {each.shape for each in drawn} == {(256, 256, 3)}
    assert all(0 < (each == 0).mean() < 0.1 for each in drawn)
    assert [line["file"] for line in rejects(tmp_path / "out")] == ["drawings/cat/broken.svg"]
    put(drawings / "cat.ndjson", official_line("cat", 1))
    with pytest.raises(ConfigError, match=r"cat\.ndjson has strokes"):
        build(drawings, own[1], tmp_path / "other")


def test_a_data_set_of_drawings_and_crops_with_their_credits(own: tuple[Path, Path], tmp_path: Path) -> None:
    config = DrawingsConfig(source=own[0], out=tmp_path / "drawings", train=6, val=2, gallery=2, query=2)
    assert build_drawings(config, IN_PROCESS) is not None
    words = ("airplane", "cat", "zebra", "ice cream")
    shots = {f"{word}/{n}.png": shot(word, n) for word in words for n in range(3)}
    two = shot("cat", 7)
    shots["two"] = type(two)(content=two.content, annotations=[*two.annotations, ("zebra", (0, 0, 99, 99))])
    make_photos(tmp_path / "collected", shots)
    crops_of(tmp_path / "collected", tmp_path / "crops")
    split = put(tmp_path / "split.txt", b"[unseen]\nzebra\n")
    manifest = build(tmp_path / "drawings", tmp_path / "crops", tmp_path / "out", class_split=(str(split),))
    assert manifest.classes == ("airplane", "cat", "ice cream", "zebra")
    assert sum(manifest.counts[f"{g}-drawings"]["cat"] for g in GROUPS) == 12
    # Of the photo that has a cat and a zebra, only the unseen class's crop stays.
    assert sum(manifest.counts[f"{g}-photos"]["cat"] for g in GROUPS) == 3
    assert manifest.counts["unseen-photos"]["zebra"] == 4
    assert manifest.rejects["photo of a class of another group"] == 1
    stored = rows(tmp_path / "out", manifest, "unseen-photos")
    assert {row["licence"] for row in stored} == {"CC BY 4.0"}
    assert all(row["page"].startswith("https://photos.example/") and row["x0"] is not None for row in stored)
    whole = build(own[0], tmp_path / "collected", tmp_path / "whole", class_split=(str(split),))
    assert {row["x0"] for row in rows(tmp_path / "whole", whole, "unseen-photos")} == {None}
    assert {row["licence"] for row in rows(tmp_path / "whole", whole, "unseen-photos")} == {"CC BY 4.0"}


def test_photos_are_stored_as_given_or_as_jpeg(own: tuple[Path, Path], tmp_path: Path) -> None:
    drawings, photos = own
    shutil.rmtree(photos / "Cat")
    put(photos / "Cat" / "large.jpg", picture("large", ".jpg", 200))
    put(photos / "Cat" / "small.png", picture("small", ".png"))
    manifest = build(drawings, photos, tmp_path / "out", longest_side=64)
    stored = {
        row["photo"]: row
        for group in GROUPS
        for row in rows(tmp_path / "out", manifest, f"{group}-photos")
        if row["word"] == "cat"
    }
    assert (stored["Cat/large.jpg"]["width"], stored["Cat/small.png"]["width"]) == (64, 32)
    assert all(row["image"]["bytes"].startswith(b"\xff\xd8\xff") for row in stored.values())


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_bad_files_are_listed_and_too_many_are_an_error(own: tuple[Path, Path], tmp_path: Path) -> None:
    drawings, photos = own
    put(photos / "Cat" / "page.jpg", b"<!doctype html>")
    put(photos / "Cat" / "cut.jpg", picture("cut", ".jpg", 64)[:-200])
    put(photos / "Cat" / "notes.txt", b"passed over")
    with pytest.raises(SketchDataError, match=r"2 of 82 examined records are bad .*--max-bad-fraction"):
        build(drawings, photos, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    manifest = build(drawings, photos, tmp_path / "out", max_bad_fraction=0.05)
    assert manifest.rejects == {"not a picture": 1, "truncated picture": 1}
    assert [line["file"] for line in rejects(tmp_path / "out")] == ["photos/Cat/cut.jpg", "photos/Cat/page.jpg"]
    assert "an HTML page" in rejects(tmp_path / "out")[1]["detail"]


def test_photos_are_told_by_their_content_and_other_files_named(
    own: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawings, photos = own
    for number, suffix in enumerate(("", ".JFIF", ".jpg_large")):
        put(photos / "Cat" / f"n0_{number}{suffix}", picture(f"n{number}", ".jpg", 64))
    put(photos / "Cat" / "phone.heic", b"    ftypheic")
    put(photos / "Star" / "[b]notes", b"x")
    manifest = build(drawings, photos, tmp_path / "out")
    words = [
        row["word"] for split in manifest.counts if "photos" in split for row in rows(tmp_path / "out", manifest, split)
    ]
    assert words.count("cat") == 7
    told = " ".join("".join(capsys.readouterr()).split())
    assert "skipped files that are not photos: 1 .heic (Cat/phone.heic)" in told
    assert "1 without suffix (Star/[b]notes)" in told


def test_classes_of_one_domain_and_small_ones_are_listed(own: tuple[Path, Path], tmp_path: Path) -> None:
    drawings, photos = own
    shutil.rmtree(photos / "Star")
    (photos / "Zebra").rename(tmp_path / "away")
    put(photos / "Zebra" / "only.jpg")
    put(photos / "Lion" / "0.jpg")
    (photos / "Empty").mkdir()
    manifest = build(drawings, photos, tmp_path / "out", seen=2, validation_share=0, min_photos=2)
    assert manifest.classes == ("airplane", "cat", "ice cream")
    told = {line["file"]: (line["where"], line["reason"]) for line in rejects(tmp_path / "out")}
    assert told == {
        "drawings/star": ("12 drawings", "class without the other domain"),
        "photos/Lion": ("1 photos", "class without the other domain"),
        "drawings/zebra": ("12 drawings", "class with too few"),
        "photos/zebra": ("1 photos", "class with too few"),
    }


def test_a_class_whose_photos_are_all_bad_is_told_when_the_split_names_it(
    own: tuple[Path, Path], tmp_path: Path
) -> None:
    for path in (own[1] / "Zebra").iterdir():
        path.write_bytes(b"no photo")
    split = put(tmp_path / "split.txt", b"zebra\nstar\n")
    with pytest.raises(ConfigError, match=r"'zebra'.*left out for too few drawings or photos: 'zebra'"):
        build(*own, tmp_path / "out", class_split=(str(split),), max_bad_fraction=1)


def test_files_are_listed_even_if_none_is_a_photo(own: tuple[Path, Path], tmp_path: Path) -> None:
    drawings, photos = own
    for word in ("airplane", "star"):
        put(tmp_path / "none" / word / "0.heic", b"    ftypheic")
    with pytest.raises(SketchDataError, match=r"2 \.heic .*; see .*rejects\.jsonl"):
        build(drawings, tmp_path / "none", tmp_path / "out")
    assert [line["file"] for line in rejects(tmp_path / "out")] == ["airplane/0.heic", "star/0.heic"]
    build(drawings, photos, tmp_path / "out")
    # What is in the folder already is not touched.
    before = tree(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"2 \.heic"):
        build(drawings, tmp_path / "none", tmp_path / "out", seed=1, overwrite=True)
    assert tree(tmp_path / "out") == before


def test_classes_that_are_left_out_are_listed_when_the_split_cannot_be(own: tuple[Path, Path], tmp_path: Path) -> None:
    for word in ("Star", "Zebra"):
        shutil.rmtree(own[1] / word)
    with pytest.raises(ConfigError, match=r"of 3 classes .*left out .*'star', 'zebra'; see .*rejects\.jsonl"):
        build(*own, tmp_path / "out", seen=4)
    assert {line["file"] for line in rejects(tmp_path / "out")} == {"drawings/star", "drawings/zebra"}


def faults(own: tuple[Path, Path], tmp_path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    photos = own[1]
    unknown = put(tmp_path / "unknown.txt", b"zebra\nunicorn\n")
    yield {"class_split": (str(unknown),)}, r"1 of 2 names are not among the 5 classes: 'unicorn'"
    yield {"seen": 5}, "2 to 4 of 5 classes can be seen"
    yield {"seen": None}, "give --seen"
    yield {"lists": photos}, "has no lists"
    yield {"layout": "sake"}, "needs --lists"
    yield {"photos": tmp_path / "none"}, "--photos .*none is not a folder"
    yield {"drawings": tmp_path / "none"}, "--drawings .*none is not a folder"
    yield {"photos": photos / "Cat"}, "holds no photos"
    yield {"photos": tmp_path / "pages"}, r"holds no photos: .*/cat\. 1 \.heic \(cat/0\.heic\)"
    yield {"drawings": tmp_path / "hollow"}, "holds no drawings"
    yield (
        {"photos": tmp_path / "strangers"},
        "no class has drawings and photos: 'airplane', 'cat'",
    )
    yield {"min_photos": 100}, "no class has 1 drawings and 100 photos; the most are 12 drawings and 4 photos"
    yield {"drawings": tmp_path / "twice"}, "'Cat' and 'cat', which are one name"


def test_what_cannot_be_is_told(own: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    put(tmp_path / "strangers" / "lion" / "0.jpg")
    put(tmp_path / "pages" / "cat" / "0.heic", b"x")
    for word in ("cat", "Cat"):
        put(tmp_path / "twice" / word / "0.png")
    for number, (options, told) in enumerate(faults(own, tmp_path)):
        places = {name: options.pop(name, each) for name, each in zip(("drawings", "photos"), own, strict=True)}
        with pytest.raises((ConfigError, SketchDataError), match=told):
            build(places["drawings"], places["photos"], tmp_path / f"out {number}", **options)


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_info_and_show(own: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = ["build", "sbir", "--drawings", own[0], "--photos", own[1], "--seen", 3, "--out", out, "--workers", 0]
    assert "drawings are vectors" in sketchdata(*line).stdout
    again = sketchdata(*line, "--json")
    assert "finished already" in again.stderr
    assert orjson.loads(again.stdout)["groups"]["unseen"] == {"drawings": 24, "photos": 8, "classes": 2}
    other = sketchdata(*line[:-4], "--out", out, "--seed", 1, "--workers", 0, expect=1)
    assert "with other options (seed 0 instead of 1)" in other.stderr
    before = tree(out)
    assert "all right" in sketchdata("verify", out).stdout
    told = sketchdata("info", out).stdout
    assert "pictures" in told
    assert "unseen-photos" in told
    sketchdata("show", out, "--split", "unseen", "-n", 16, "-o", tmp_path / "sheet.png")
    sheet = decode((tmp_path / "sheet.png").read_bytes())
    assert sheet.shape[1] > 8 * 112
    wrong = sketchdata("show", out, "--split", "train", "-o", tmp_path / "other.png", expect=1)
    assert "seen, validation, unseen" in wrong.stderr
    assert tree(out) == before


def test_verify_finds_a_class_in_a_foreign_group(own: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = build(*own, out)
    config = {**manifest.config, "unseen": manifest.config["unseen"][:1]}
    dataclasses.replace(manifest, config=config).write(out)
    assert "class of another group" in {fault.kind for fault in verify.run(out).faults}


def test_classes_under_two_spellings_foreign_classes_and_pictures_of_one_pixel(
    own: tuple[Path, Path], tmp_path: Path
) -> None:
    drawings, photos = own
    put(photos / "unheard of" / "0.jpg")
    put(photos / "CAT" / "7.jpg")
    dot = io.BytesIO()
    Image.new("RGB", (1, 1)).save(dot, "PNG")
    (photos / "Cat" / "dot.png").write_bytes(dot.getvalue())
    manifest = build(drawings, photos, tmp_path / "out", max_bad_fraction=0.1)
    assert manifest.classes == CLASSES
    assert manifest.rejects == {"class without the other domain": 1}
    assert sum(manifest.counts[f"{group}-photos"]["cat"] for group in GROUPS) == 4 + 2
    mixed = read_mixed(tmp_path / "out", MixOptions(), size=24, line_width=1)
    assert mixed.photos is not None
    assert mixed.photos.pictures(torch.arange(len(mixed.photos)), 24).shape == (22, 3, 24, 24)
    for word in ("cat", "Cat", "star"):
        put(tmp_path / "drawn" / word / "0.png")
    with pytest.raises(ConfigError, match="which are one name: remove one of them"):
        build(tmp_path / "drawn", photos, tmp_path / "again", seen=2, max_bad_fraction=0.1)
