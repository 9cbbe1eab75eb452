"""Queries come from other people's files: each good kind becomes a drawing, and each bad one a sentence."""

from __future__ import annotations

import dataclasses
import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from sketchdata import synth
from sketchdata.drawings.drawing import Drawing
from sketchdata.drawings.raster import raster
from sketchdata.drawings.simplify import simplify
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats import ndjson, svg
from sketchdata.retrieval.query import find_drawings, parse_key_id, read_each, read_queries
from sketchdata.storage.dataset import open_dataset
from tests.builds import small_dataset

STAR = "M10 10L200 10L40 200L105 -60L170 200Z"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Official text of three simplified cats and three stars."""
    path = tmp_path_factory.mktemp("query") / "some.ndjson"
    parts = [ndjson.dump(synth.generate(word, 3, seed=1, start=0, label=0), word) for word in ("cat", "star")]
    path.write_bytes(b"".join(parts))
    return path


def write(folder: Path, name: str, content: bytes | str) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def same(one: Drawing | None, other: Drawing | None) -> bool:
    assert one is not None
    assert other is not None
    facts = (one.key_id, one.word) == (other.key_id, other.word)
    return facts and [a.tolist() for a in one.strokes] == [b.tolist() for b in other.strokes]


def test_every_line_of_official_text_is_a_query_and_one_can_be_named(text: Path, tmp_path: Path) -> None:
    queries = read_queries(str(text))
    expected = [
        d for word in ("cat", "star") for d in synth.generate(word, 3, seed=1, start=0, label=0).drawings([word])
    ]
    assert [query.name for query in queries] == [f"some.ndjson#{line}" for line in range(1, 7)]
    assert all(same(query.drawing, drawing) for query, drawing in zip(queries, expected, strict=True))
    assert [(query.word, query.key_id) for query in queries] == [(d.word, d.key_id) for d in expected]
    for line in (1, 4, 6):
        (one,) = read_queries(f"{text}#{line}")
        assert one.name == queries[line - 1].name
        assert same(one.drawing, queries[line - 1].drawing)
    packed = write(tmp_path, "some.ndjson.gz", gzip.compress(text.read_bytes()))
    (fifth,) = read_queries(f"{packed}#5")
    assert same(fifth.drawing, queries[4].drawing)


def test_raw_lines_are_simplified_first(tmp_path: Path) -> None:
    drawn = synth.generate("cat", 3, seed=5, start=0, label=0)
    x, y = (axis.astype(np.float64) * 2.5 + 13.25 for axis in (drawn.x, drawn.y))
    raw = dataclasses.replace(drawn, x=x, y=y, t=np.arange(len(x), dtype=np.uint32))
    path = write(tmp_path, "raw.ndjson", ndjson.dump(raw, "cat"))
    parsed = ndjson.parse(Path(path).read_bytes().splitlines(), word="cat", label=0, raw=True, full_precision=True)
    expected = simplify(parsed.batch).drawings(["cat"])
    assert all(same(query.drawing, drawing) for query, drawing in zip(read_queries(path), expected, strict=True))


def test_an_svg_of_our_own_comes_back_as_it_was(text: Path, tmp_path: Path) -> None:
    (query,) = read_queries(f"{text}#2")
    assert query.drawing is not None
    (found,) = read_queries(write(tmp_path, "cat.svg", svg.dump(query.drawing)))
    assert same(found.drawing, query.drawing)
    assert (found.word, found.key_id, found.name) == ("cat", query.key_id, "cat.svg")


def test_an_svg_of_another_program_is_simplified_and_need_not_name_a_word(tmp_path: Path) -> None:
    curve = "M0 0C300 0 300 900 900 900"
    (query,) = read_queries(
        write(tmp_path, "curve.svg", f'<svg xmlns="http://www.w3.org/2000/svg"><path d="{curve}"/></svg>')
    )
    assert (query.word, query.key_id) == (None, None)
    assert query.drawing is not None
    (stroke,) = query.drawing.strokes
    assert (stroke.dtype, stroke.max()) == (np.uint8, 255)
    assert 3 <= len(stroke) < 15


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><svg><path d="M0 0L&b;"/></svg>', "declar"),
        ('<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg><text>&x;</text></svg>', "declar"),
        ('<svg xmlns:l="http://www.w3.org/1999/xlink"><use l:href="http://127.0.0.1:9/x.svg#a"/></svg>', "<use>"),
        ("<svg>" + "<g>" * 300 + f'<path d="{STAR}"/>' + "</g>" * 300 + "</svg>", "nested too deeply"),
        ('<svg><script>alert(1)</script><image href="http://127.0.0.1:9/"/></svg>', "empty drawing"),
        ('<svg><path d="M0 0L1e300 1"/></svg>', "beyond"),
        (f'<svg><path d="{STAR}"/>', "broken XML"),
        ("", "broken XML"),
        ("<html><body/></html>", "not SVG"),
    ],
)
def test_hostile_and_broken_svgs_are_refused_in_words(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(SketchDataError, match=message) as caught:
        read_queries(write(tmp_path, "bad.svg", content))
    assert "bad.svg" in str(caught.value)


def test_a_picture_becomes_strokes_where_its_lines_are(text: Path, tmp_path: Path) -> None:
    (query,) = read_queries(f"{text}#4")
    batch = synth.generate("star", 1, seed=1, start=0, label=0)
    cv2.imwrite(str(tmp_path / "star.png"), 255 - raster(batch, size=300, line_width=4)[0])
    (found,) = read_queries(str(tmp_path / "star.png"))
    assert (found.word, found.key_id, found.name) == (None, None, "star.png")
    assert found.drawing is not None
    assert query.drawing is not None
    ends = [np.concatenate(each.strokes).astype(int) for each in (found.drawing, query.drawing)]
    assert np.abs(ends[0].max(axis=0) - ends[1].max(axis=0)).max() <= 6


def png(width: int, height: int) -> bytes:
    """Return the start of a PNG that says that it is of this size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, b"IDAT" + zlib.compress(bytes(1000))[:20])
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(100_000, 100_000), "too many pixels"),
        (png(40, 40), "picture"),
        (b"<html>404</html>", "an HTML page"),
        (b"", "not a picture: nothing"),
    ],
)
def test_hostile_and_broken_pictures_are_refused_in_words(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(SketchDataError, match=message):
        read_queries(write(tmp_path, "bad.png", content))


def test_a_blank_picture_is_an_empty_drawing(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((30, 30), 255, np.uint8))
    with pytest.raises(SketchDataError, match=r"blank\.png: empty drawing"):
        read_queries(str(tmp_path / "blank.png"))


@pytest.mark.parametrize("name", ["huge.svg", "huge.png"])
def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SketchDataError, match="file too large: 1,099,511,627,776 bytes"):
        read_queries(str(tmp_path / name))


def test_bad_lines_and_missing_ones_are_refused_in_words(text: Path, tmp_path: Path) -> None:
    first, *_ = text.read_bytes().splitlines(keepends=True)
    bad = {
        "empty.ndjson": (b"", "has no drawings"),
        "broken.ndjson": (first + b"{nonsense\n", "broken JSON.* at byte"),
        "bare.ndjson": (first.replace(first[first.index(b'"drawing":') + 10 : -2], b"[]"), "empty drawing"),
        "cut.ndjson": (first[: len(first) // 2], "truncated"),
        "packed.ndjson.gz": (b"not gzip", "gz"),
    }
    for name, (content, message) in bad.items():
        with pytest.raises(SketchDataError, match=message):
            read_queries(write(tmp_path, name, content))
    with pytest.raises(ConfigError, match=r"has no line 7"):
        read_queries(f"{text}#7")
    for line in ("0", "x", "", "-1"):
        with pytest.raises(ConfigError, match="the number of a line, from 1"):
            read_queries(f"{text}#{line}")


def test_a_line_before_a_broken_one_can_be_had(text: Path, tmp_path: Path) -> None:
    lines = text.read_bytes().splitlines(keepends=True)
    path = write(tmp_path, "half.ndjson", lines[0] + lines[1] + b"{nonsense\n")
    with pytest.raises(SketchDataError, match="broken JSON"):
        read_queries(path)


def one_line(path: Path, *, mode: str = "L", ink: Any = 0, ground: Any = 255, **options: Any) -> str:
    picture = Image.new(mode, (90, 90), ground)
    ImageDraw.Draw(picture).line([(10, 20), (80, 70)], fill=ink, width=3)
    picture.save(path, **options)
    return str(path)


@pytest.mark.parametrize(
    "name", ["a.png", "a.jpg", "a.JPEG", "a.webp", "a.gif", "a.bmp", "a.avif", "a.tif", "no_suffix", "really.txt"]
)
def test_pictures_of_every_format_are_read(tmp_path: Path, name: str) -> None:
    options = {} if name.lower().endswith(tuple(Image.registered_extensions())) else {"format": "PNG"}
    (query,) = read_queries(one_line(tmp_path / name, mode="RGB", ink="black", ground="white", **options))
    assert query.drawing is not None
    (stroke,) = query.drawing.strokes
    assert np.ptp(stroke.astype(int), axis=0)[0] == 255


@pytest.mark.parametrize("ink", [(255, 255, 255, 255), (0, 0, 0, 255), (255, 255, 0, 200)])
@pytest.mark.parametrize("hidden", [(255, 255, 255, 0), (0, 0, 0, 0)])
def test_ink_on_transparency_is_read_whatever_its_colour(
    tmp_path: Path, ink: tuple[int, ...], hidden: tuple[int, ...]
) -> None:
    (query,) = read_queries(one_line(tmp_path / "a.png", mode="RGBA", ink=ink, ground=hidden))
    assert query.drawing is not None
    assert len(query.drawing.strokes) == 1


def test_a_file_that_cannot_be_read_does_not_keep_the_others_from_being_answered(tmp_path: Path) -> None:
    good, bad = one_line(tmp_path / "a.png"), write(tmp_path, "bad.svg", "<svg")
    queries, unreadable = read_each([good, bad, str(tmp_path / "none.svg"), good])
    assert [query.name for query in queries] == ["a.png", "a.png"]
    assert [Path(one.name).name for one in unreadable] == ["bad.svg", "none.svg"]
    assert "broken XML" in unreadable[0].reason
    with pytest.raises(SketchDataError, match=r"bad\.svg: broken XML"):
        read_each([bad])
    with pytest.raises(SketchDataError, match=r"none of 2 files can be read:\n.*broken XML"):
        read_each([bad, bad])


@pytest.mark.parametrize("name", ["absent.svg", "cats", ".", "drawing.txt"])
def test_what_is_no_query_is_refused_with_what_would_be(tmp_path: Path, name: str) -> None:
    write(tmp_path, "drawing.txt", b"a cat")
    with pytest.raises(ConfigError, match=r"a query is a key_id, or a file: \.ndjson"):
        read_queries(str(tmp_path / name))


def test_key_ids_are_numbers_of_64_bits() -> None:
    assert parse_key_id("5188887458749127") == 5188887458749127
    assert parse_key_id(str(2**64 - 1)) == 2**64 - 1
    assert parse_key_id("12.svg") is parse_key_id("-3") is parse_key_id("٣") is None
    for text_ in (str(2**64), "9" * 5000):
        with pytest.raises(ConfigError, match="is not a key_id"):
            parse_key_id(text_)


@pytest.mark.parametrize("raw", [False, True])
def test_drawings_are_found_by_key_id_in_any_split_and_simplified(tmp_path: Path, raw: bool) -> None:
    options = {"input_format": "raw", "keep_raw": True} if raw else {}
    small_dataset(tmp_path, **options)
    dataset = open_dataset(tmp_path / "dataset")
    wanted = {split: next(dataset.batches(split)).take(np.array([3, 1])) for split in ("train", "gallery")}
    key_ids = [key_id for batch in wanted.values() for key_id in batch.key_id.tolist()]
    found = find_drawings(dataset, [*key_ids, 7], first=("gallery",))
    assert set(found) == set(key_ids)
    for batch in wanted.values():
        for drawing in (simplify(batch) if raw else batch).drawings(dataset.manifest.classes):
            assert same(found[drawing.key_id], drawing)
    assert find_drawings(dataset, []) == {}
