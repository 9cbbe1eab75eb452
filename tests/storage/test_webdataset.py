"""Tar shards: the same bytes always, whole samples, and nothing of a drawing lost."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch, concatenate
from sketchdata.drawings.raster import raster
from sketchdata.errors import FormatError, SketchDataError
from sketchdata.formats import ndjson
from sketchdata.storage.tars import Picture, members, read_tar, write_members, write_tar
from tests.batches import batch_of
from tests.strategies import assert_same, batches

CLASSES = ("airplane", "The Eiffel Tower", "zigzag")


def samples(batch: DrawingBatch) -> list[dict[str, object]]:
    return [orjson.loads(content) for name, content in members(batch, CLASSES, None) if name.endswith(".json")]


def parsed_again(batch: DrawingBatch) -> Iterator[DrawingBatch]:
    """Read each sample with the reader of the official text, which refuses anything that is out of order."""
    for sample in samples(batch):
        label = sample["label"]
        assert isinstance(label, int)
        parsed = ndjson.parse([orjson.dumps(sample)], word=CLASSES[label], label=label, raw=batch.is_raw)
        assert parsed.faults == []
        yield parsed.batch


@pytest.mark.slow
@given(batch=batches(labels=3))
def test_samples_hold_everything_of_a_simplified_drawing(batch: DrawingBatch) -> None:
    again = list(parsed_again(batch))
    assert len(again) == len(batch)
    for row, found in enumerate(again):
        assert_same(found, batch.take(np.array([row])))


@pytest.mark.slow
@given(batch=batches(labels=3, raw=True))
def test_samples_hold_everything_of_a_raw_drawing(batch: DrawingBatch) -> None:
    again = list(parsed_again(batch))
    assert len(again) == len(batch)
    for row, found in enumerate(again):
        assert_same(found, batch.take(np.array([row])))


@pytest.mark.slow
@pytest.mark.parametrize("raw", [False, True])
@given(data=st.data())
def test_a_tar_is_read_as_it_was_written(raw: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(labels=3, raw=raw))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train-000000.tar"
        write_tar(path, [batch], CLASSES, Picture(size=8))
        found = list(read_tar(path, CLASSES))
    assert sum(map(len, found)) == len(batch)
    if len(batch):
        assert_same(concatenate(found), batch)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("1.json", b'{"label": 0}', "not a drawing of a class"),
        ("1.json", b'{"label": 3, "drawing": [[[1], [2]]]}', "not a drawing of a class"),
        ("1.json", b'{"label": 0, "drawing": [[[1, 2], [3]]], "word": "airplane"}', "something other than drawings"),
        ("1.json", b"\xff", "not a drawing of a class"),
    ],
)
def test_a_tar_of_something_else_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    write_members(tmp_path / "train-000000.tar", [(name, content)])
    with pytest.raises(SketchDataError, match=message):
        list(read_tar(tmp_path / "train-000000.tar", CLASSES))


def test_a_tar_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train-000000.tar"
    write_tar(path, [batch_of([[(0, 0), (1, 1)]])], CLASSES, None)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(SketchDataError, match="cannot be read as a tar of drawings"):
        list(read_tar(path, CLASSES))


def test_a_sample_has_the_official_fields_and_the_label() -> None:
    (sample,) = samples(batch_of([[(0, 10), (255, 20)], [(7, 7)]], labels=[1]))
    assert sample == {
        "word": "The Eiffel Tower",
        "label": 1,
        "countrycode": "US",
        "timestamp": "1970-01-01 00:00:00 UTC",
        "recognized": True,
        "key_id": "5000000000000000",
        "drawing": [[[0, 255], [10, 20]], [[7], [7]]],
    }


def test_members_are_plain_ustar_files_without_owner_or_time(tmp_path: Path) -> None:
    rows = write_tar(tmp_path / "a.tar", [batch_of([[(0, 0), (9, 9)]], [[(1, 1)]])], CLASSES, Picture(size=8))
    with tarfile.open(tmp_path / "a.tar") as file:
        found = file.getmembers()
    assert rows == 2
    assert [m.name for m in found] == [f"500000000000000{n}.{kind}" for n in "01" for kind in ("cls", "json", "png")]
    assert {(m.mode, m.uid, m.gid, m.uname, m.gname, m.mtime, m.isreg()) for m in found} == {
        (0o644, 0, 0, "", "", 0, True)
    }
    content = (tmp_path / "a.tar").read_bytes()
    assert content[257:265] == b"ustar\x0000"
    assert len(content) % tarfile.RECORDSIZE == 0
    assert content.endswith(bytes(2 * tarfile.BLOCKSIZE))


def test_the_standard_library_would_write_the_same_bytes(tmp_path: Path) -> None:
    batch = batch_of(*([[(n, n), (255 - n, n)]] for n in range(40)))
    write_tar(tmp_path / "ours.tar", [batch], CLASSES, None)
    with tarfile.open(tmp_path / "theirs.tar", "w", format=tarfile.USTAR_FORMAT) as file:
        for name, content in members(batch, CLASSES, None):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    assert (tmp_path / "ours.tar").read_bytes() == (tmp_path / "theirs.tar").read_bytes()


@given(contents=st.lists(st.binary(max_size=3000), max_size=5))
def test_members_lie_where_they_are_said_to(contents: list[bytes]) -> None:
    named = [(f"{number}.bin", content) for number, content in enumerate(contents)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tar"
        written = write_members(path, named)
        whole = path.read_bytes()
        with tarfile.open(path) as file:
            assert [(m.name, m.offset_data, m.size) for m in file.getmembers()] == [tuple(each) for each in written]
    assert [whole[m.offset : m.offset + m.bytes] for m in written] == contents
    assert [m.name for m in written] == [name for name, _ in named]


def test_bytes_do_not_depend_on_how_the_rows_arrive(tmp_path: Path) -> None:
    batch = batch_of(*([[(n, 0), (0, n)]] for n in range(1, 30)))
    picture = Picture(size=32, line_width=2)
    write_tar(tmp_path / "whole.tar", [batch], CLASSES, picture)
    write_tar(tmp_path / "pieces.tar", [batch.slice(0, 7), batch.slice(7, 7), batch.slice(7, 29)], CLASSES, picture)
    assert (tmp_path / "whole.tar").read_bytes() == (tmp_path / "pieces.tar").read_bytes()


def decoded(batch: DrawingBatch, picture: Picture) -> np.ndarray:
    pngs = [content for name, content in members(batch, CLASSES, picture) if name.endswith(".png")]
    return np.stack([cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED) for png in pngs])


def test_pictures_are_black_ink_on_white_paper() -> None:
    batch = batch_of([[(0, 0), (255, 255)]], [[(0, 255), (255, 255)]])
    found = decoded(batch, Picture(size=16, line_width=1))
    np.testing.assert_array_equal(found, 255 - raster(batch, size=16))
    assert found[0].diagonal().tolist() == [0] * 16
    assert found[1, 0].tolist() == [255] * 16


def test_pictures_may_be_white_ink_on_black() -> None:
    batch = batch_of([[(0, 0), (255, 255)]])
    found = decoded(batch, Picture(size=16, line_width=3, white_on_black=True))
    np.testing.assert_array_equal(found, raster(batch, size=16, line_width=3))


@pytest.mark.slow
def test_large_pictures_are_drawn_a_few_at_a_time_and_stay_with_their_drawings() -> None:
    batch = batch_of(*([[(n, 0), (n, 255)]] for n in range(0, 250, 50)))
    found = decoded(batch, Picture(size=3000))
    assert [int(image[1500].argmin()) for image in found] == [round(n * 2999 / 255) for n in range(0, 250, 50)]


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    broken = batch_of([[(0, 0), (float("nan"), 1)]], raw=True)
    with pytest.raises(FormatError, match="not a finite number"):
        write_tar(tmp_path / "a.tar", [broken], CLASSES, Picture(size=8))
    assert list(tmp_path.iterdir()) == []
