"""Converting loses no more than docs/reference/formats.md says, and leaves no half of a file whatever goes wrong."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.raster_cairo import official_raster
from sketchdata.drawings.simplify import simplify
from sketchdata.errors import FormatError
from sketchdata.formats import ndjson
from tests.builds import official_line
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
