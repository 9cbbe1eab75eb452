"""Converting loses no more than docs/reference/formats.md says, and leaves no half of a file whatever goes wrong."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import orjson
import pytest
from hypothesis import assume, given

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.raster_cairo import official_raster
from sketchdata.drawings.simplify import simplify
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.formats import ndjson
from tests.builds import official_line
from tests.commands import sketchdata
from tests.conversions import BAD, chain, command, drawings, go, lines_of, records
from tests.strategies import batches
from tests.trees import tree


@pytest.fixture
def star(tmp_path: Path) -> Path:
    path = tmp_path / "star.ndjson"
    path.write_bytes(lines_of())
    return path


@pytest.fixture
def temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


# ---- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("names", [["b.ndjson"], ["b.ndjson.gz", "c.ndjson"], ["b.ndjson", "c.ndjson.gz", "d.ndjson"]])
def test_official_text_comes_back_byte_for_byte(raw: bool, names: list[str], tmp_path: Path) -> None:
    content = lines_of(raw=raw)
    assert chain(tmp_path, content, "a.ndjson", *names) == content


@pytest.mark.slow
@given(batches())
def test_binary_loses_fractions_of_a_second_alone(batch: DrawingBatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = ndjson.dump(batch, "star")
        assume(content)
        found = chain(Path(folder), content, "a.ndjson", "star.bin", "c.ndjson")
    expected = records(content)
    for record in expected:
        record["timestamp"] = record["timestamp"].partition(".")[0].removesuffix(" UTC") + " UTC"
    assert records(found) == expected


@pytest.mark.slow
@given(batches())
def test_sketch_rnn_loses_the_metadata_and_keeps_the_strokes_in_their_order(batch: DrawingBatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = ndjson.dump(batch, "star")
        assume(content)
        found = chain(Path(folder), content, "a.ndjson", "star.npz", "c.ndjson")
    assert drawings(found) == drawings(content)
    assert {record["word"] for record in records(found)} == {"star"}
    assert len({record["key_id"] for record in records(found)}) == len(batch)


@pytest.mark.parametrize("raw", [False, True])
def test_a_folder_of_svgs_loses_the_order_alone(raw: bool, tmp_path: Path) -> None:
    content = lines_of(raw=raw)
    (tmp_path / "a.ndjson").write_bytes(content)
    go(tmp_path / "a.ndjson", f"{tmp_path}/svgs/")
    assert sorted(tree(tmp_path / "svgs")) == sorted(f"{record['key_id']}.svg" for record in records(content))
    go(tmp_path / "svgs", tmp_path / "b.ndjson")
    assert sorted((tmp_path / "b.ndjson").read_bytes().splitlines()) == sorted(content.splitlines())


def test_bitmaps_have_a_row_for_each_line(star: Path, tmp_path: Path) -> None:
    go(star, tmp_path / "star.npy", raster="fast")
    bitmaps = np.load(tmp_path / "star.npy")
    assert (bitmaps.shape, bitmaps.dtype) == ((30, 784), np.uint8)
    assert bitmaps.any(axis=1).all()


def test_bitmaps_are_the_official_ones_where_cairo_is_installed(star: Path, tmp_path: Path) -> None:
    pytest.importorskip("cairocffi", reason="the extra `cairo` is not installed")
    go(star, tmp_path / "a.npy")
    go(star, tmp_path / "b.npy", raster="official")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    batch = ndjson.parse(star.read_bytes().splitlines(), word="star", label=0).batch
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy").reshape(-1, 28, 28), official_raster(batch))


@pytest.mark.slow
def test_without_cairo_bitmaps_are_near_the_official_ones_and_the_user_is_told(star: Path, tmp_path: Path) -> None:
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "cairocffi.py").write_text("raise ImportError('blocked by the test')\n")
    path = os.pathsep.join([str(tmp_path / "blocked"), os.environ.get("PYTHONPATH", "")])
    done = command(star, "a.npy", folder=tmp_path, PYTHONPATH=path)
    assert (done.returncode, b"sketchdata[cairo]" in done.stderr) == (0, True)
    go(star, tmp_path / "b.npy", raster="fast")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    done = command(star, "c.npy", "--raster", "official", folder=tmp_path, PYTHONPATH=path)
    assert (done.returncode, done.stderr.startswith(b"error: ")) == (1, True)
    assert not (tmp_path / "c.npy").exists()


def test_raw_drawings_can_be_simplified_on_the_way(tmp_path: Path) -> None:
    content = lines_of(raw=True)
    found = chain(tmp_path, content, "a.ndjson", "b.ndjson", simplify=True)
    raw = ndjson.parse(content.splitlines(), word="star", label=0, raw=True).batch
    assert found == ndjson.dump(simplify(raw), "star")
    assert chain(tmp_path, found, "c.ndjson", simplify=False) == found


def test_drawings_of_every_format_can_be_simplified_on_the_way(tmp_path: Path) -> None:
    # Points every 5 units, bent up and down by less than the official code keeps.
    places = [(5 * n, 100 + n % 2) for n in range(40)] + [(195, 0)]
    steps = np.diff(np.array([(0, 0), *places]), axis=0)
    stroke3 = np.column_stack([steps, [0] * 40 + [1]]).astype(np.int16)
    with (tmp_path / "star.npz").open("wb") as file:
        np.savez(file, train=np.array([stroke3, None], object)[:1])
    path = "L".join(f"{x} {y}" for x, y in places)
    content = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 255 255"><path d="M{path}"/></svg>'
    (tmp_path / "star.svg").write_text(content)
    for name in ("star.npz", "star.svg"):
        for simplified, points in ((False, 41), (True, 3)):
            go(tmp_path / name, tmp_path / "a.ndjson", word="star", simplify=simplified, overwrite=True)
            ((stroke,),) = drawings((tmp_path / "a.ndjson").read_bytes())
            assert len(stroke[0]) == points


def test_a_drawing_that_cannot_be_simplified_is_refused_and_the_others_are_kept(tmp_path: Path) -> None:
    zigzag = b"[[%s],[%s],[%s]]" % tuple(
        b",".join(b"%d" % (value % 2 * 1000 if axis < 2 else value) for value in range(3000)) for axis in range(3)
    )
    line = official_line("star", 1, raw=True)
    record = orjson.loads(line)
    record["drawing"] = [orjson.loads(zigzag)]
    (tmp_path / "a.ndjson").write_bytes(line + orjson.dumps(record) + b"\n" + official_line("star", 2, raw=True))
    found = go(tmp_path / "a.ndjson", tmp_path / "b.ndjson", simplify=True, max_bad_fraction=0.5)
    assert (found.drawings, dict(found.rejects)) == (2, {"stroke too long": 1})
    assert len(records((tmp_path / "b.ndjson").read_bytes())) == 2


def test_the_scale_of_an_npz_is_one_for_the_file_and_told(tmp_path: Path) -> None:
    small, large = ([[0, 0, 0], [side, 0, 1]] for side in (100, 510))
    arrays = np.empty(2, object)
    arrays[:] = [np.array(small, np.int16), np.array(large, np.int16)]
    np.savez(tmp_path / "star.npz", train=arrays)
    found = go(tmp_path / "star.npz", tmp_path / "a.ndjson")
    assert [d[0][0] for d in drawings((tmp_path / "a.ndjson").read_bytes())] == [[0, 255], [0, 255]]
    assert found.notes == ["drawings are scaled so that the larger side of each is 255 (--scale fit)"]
    found = go(tmp_path / "star.npz", tmp_path / "b.ndjson", scale="keep", max_bad_fraction=0.5)
    assert [d[0][0] for d in drawings((tmp_path / "b.ndjson").read_bytes())] == [[0, 100]]
    assert dict(found.rejects) == {"larger than the square": 1}
    with pytest.raises(ConfigError, match=r"--scale is for \.npz"):
        go(tmp_path / "a.ndjson", tmp_path / "c.ndjson", scale="fit")


def test_equal_svgs_of_a_folder_are_two_drawings_with_their_own_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("b one.svg", "a.svg"):
        content = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M1 2L3 4"/></svg>'
        (tmp_path / "in" / name).write_text(content)
    go(tmp_path / "in", tmp_path / "a.ndjson", word="star")
    ids = [record["key_id"] for record in records((tmp_path / "a.ndjson").read_bytes())]
    assert len(set(ids)) == 2
    assert go(tmp_path / "in", f"{tmp_path}/out/", word="star").drawings == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.svg", "b one.svg"]
    go(tmp_path / "out", tmp_path / "b.ndjson")
    assert (tmp_path / "b.ndjson").read_bytes() == (tmp_path / "a.ndjson").read_bytes()


def test_a_picture_of_a_drawing_is_traced(tmp_path: Path) -> None:
    picture = np.full((80, 100), 255, np.uint8)
    cv2.line(picture, (10, 10), (90, 50), 0, 3)
    for name in ("a.jpg", "b.avif", "c.tif"):
        cv2.imwrite(str(tmp_path / name), picture)
        assert go(tmp_path / name, (tmp_path / name).with_suffix(".svg"), word="star").drawings == 1
    go(tmp_path / "a.svg", tmp_path / "a.ndjson")
    ((stroke,),) = drawings((tmp_path / "a.ndjson").read_bytes())
    assert sorted(stroke[0])[:: len(stroke[0]) - 1] == [0, 255]
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((80, 100), 255, np.uint8))
    with pytest.raises(SketchDataError, match="1 empty drawing"):
        go(tmp_path / "blank.png", tmp_path / "b.ndjson", word="star")
    with pytest.raises(ConfigError, match="does not name its category"):
        go(tmp_path / "a.jpg", tmp_path / "c.ndjson")


def test_raw_drawings_have_no_binary_form_without_that(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(lines_of(raw=True))
    with pytest.raises(FormatError, match="simplified drawings only"):
        go(tmp_path / "a.ndjson", tmp_path / "star.bin")
    assert sorted(tree(tmp_path)) == ["a.ndjson"]
    assert go(tmp_path / "a.ndjson", tmp_path / "star.bin", simplify=True).drawings == 30


def test_a_file_of_several_categories_keeps_each_drawings_own(tmp_path: Path) -> None:
    content = b"".join(official_line("cat" if n % 3 else "The Eiffel Tower", n) for n in range(20))
    assert chain(tmp_path, content, "a.ndjson", "b.ndjson") == content


def test_unusual_words_and_lines_are_each_taken_for_what_they_are(tmp_path: Path) -> None:
    good = [official_line(word, n) for n, word in enumerate(["", "étoile", 'a "b"', "star"])]
    content = b"".join([b"{broken\n", *good, b'{"word": 3}\n', official_line("star", 9)])
    (tmp_path / "a.ndjson").write_bytes(content)
    found = go(tmp_path / "a.ndjson", tmp_path / "b.ndjson", max_bad_fraction=0.5)
    assert dict(found.rejects) == {"broken JSON": 1, "missing field": 1}
    assert [r["word"] for r in records((tmp_path / "b.ndjson").read_bytes())] == ["", "étoile", 'a "b"', "star", "star"]


def test_raw_and_simplified_svgs_of_one_folder_are_both_read(tmp_path: Path) -> None:
    for name, raw in (("a", False), ("b", True)):
        (tmp_path / f"{name}.ndjson").write_bytes(official_line(name, 0, raw=raw))
        go(tmp_path / f"{name}.ndjson", f"{tmp_path}/svgs/")
    assert go(tmp_path / "svgs", tmp_path / "all.ndjson").drawings == 2
    assert sorted(len(d[0]) for d in drawings((tmp_path / "all.ndjson").read_bytes())) == [2, 3]


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_text_goes_through_pipes(star: Path, tmp_path: Path) -> None:
    content = star.read_bytes()
    done = command("-", "-", "--from", "ndjson", "--to", "ndjson", given=gzip.compress(content), folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, content)
    assert b"30 drawings, 0 records refused" in done.stderr
    first = content.splitlines(keepends=True)[0]
    done = command("-", "-", "--from", "ndjson", "--to", "svg", given=first, folder=tmp_path)
    back = command("-", "-", "--from", "svg", "--to", "ndjson", given=done.stdout, folder=tmp_path)
    assert back.stdout == first


@pytest.mark.slow
def test_the_command_counts_what_it_refused_and_exits_0_when_that_is_allowed(star: Path, tmp_path: Path) -> None:
    star.write_bytes(star.read_bytes() + b"".join(BAD))
    done = command(star, "b.bin", "--max-bad-fraction", "0.5", folder=tmp_path)
    assert done.returncode == 0
    assert b"b.bin: 30 drawings, 4 records refused\n  2 missing field\n" in done.stderr
    assert b"broken JSON" in done.stderr
    assert done.stdout == b""


MEASURE = """
import resource, sys
from sketchdata.pipelines import convert
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
convert.run(sys.argv[1], sys.argv[2], convert.Config())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("out", ["b.bin", "b.ndjson.gz"])
def test_memory_does_not_grow_with_the_file(out: str, tmp_path: Path) -> None:
    some = lines_of(5000)
    with gzip.open(tmp_path / "star.ndjson.gz", "wb", 1) as file:
        for _ in range(40):
            file.write(some)
    grown = subprocess.run(
        [sys.executable, "-c", MEASURE, "star.ndjson.gz", out], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    # 200,000 drawings of about 300 bytes: a list of them would take several times the file's 60 MB.
    assert int(grown.stdout) < 60_000


# ---- real files ------------------------------------------------------------------------------------------------------


def real(folder: str) -> list[Path]:
    paths = sorted((Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw" / "full" / folder).iterdir())
    assert len(paths) == 345
    return paths


needs_real_data = pytest.mark.skipif(
    "SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no real files"
)


@pytest.mark.slow
@needs_real_data
def test_real_simplified_files_keep_their_strokes_through_every_format(temporary: Path) -> None:
    for path in real("simplified")[::8]:
        content, folder = path.read_bytes(), temporary / path.stem
        folder.mkdir()
        plain = chain(folder, content, "a.ndjson", "1.ndjson.gz", "2.ndjson")
        assert plain.rstrip(b"\n") == content.rstrip(b"\n")
        (folder / "b").mkdir()
        packed = chain(folder / "b", content, "a.ndjson", "b.bin", "c.npz", "d.ndjson", word=path.stem)
        assert drawings(packed) == drawings(content)


@pytest.mark.slow
@needs_real_data
def test_real_raw_files_come_back_from_svg_as_they_are_read(temporary: Path) -> None:
    for path in real("raw")[::16]:
        folder = temporary / path.name
        folder.mkdir()
        go(path, folder / "read.ndjson")
        go(path, f"{folder}/svgs/")
        go(folder / "svgs", folder / "back.ndjson")
        assert sorted((folder / "back.ndjson").read_bytes().splitlines()) == sorted(
            (folder / "read.ndjson").read_bytes().splitlines()
        )


@needs_real_data
@pytest.mark.parametrize("word", ["bowtie", "eye"])
def test_real_bitmaps_are_written_bit_for_bit(word: str, tmp_path: Path) -> None:
    pytest.importorskip("cairocffi", reason="the extra `cairo` is not installed")
    folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw" / "full"
    go(folder / "simplified" / f"{word}.ndjson", tmp_path / "found.npy", raster="official")
    official = np.load(folder / "numpy_bitmap" / f"{word}.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy")[: len(official)], official)


@pytest.mark.parametrize("out", [".", "./"])
def test_svgs_are_written_into_the_folder_that_one_is_in(out: str, tmp_path: Path) -> None:
    sketchdata("synth", "--out", "source", "--drawings", 3, "--categories", "cat", "--workers", 0, cwd=tmp_path)
    sketchdata("convert", "source/full/simplified/cat.ndjson", out, cwd=tmp_path)
    assert len(list(tmp_path.glob("*.svg"))) == 3
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".svg") == ["source"]
