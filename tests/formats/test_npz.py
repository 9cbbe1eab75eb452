"""sketch-rnn's files are read and written as its own loader does, and a hostile one is refused without running it."""

from __future__ import annotations

import io
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.errors import FormatError
from sketchdata.formats import npz
from sketchdata.formats.strokes import to_stroke3
from tests.strategies import batches

ONE = np.array([[1, 2, 0], [3, -4, 1]], np.int16)
OTHER = np.array([[255, 255, 1]], np.int16)


def objects(*items: Any) -> np.ndarray:
    """Return a one-dimensional array of objects, also of equally long ones."""
    array = np.empty(len(items), object)
    array[:] = [*items]
    return array


def saved(**arrays: Any) -> bytes:
    """Write with numpy itself."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=True, **arrays)
    return file.getvalue()


def dumped(splits: dict[str, Sequence[np.ndarray]]) -> bytes:
    file = io.BytesIO()
    npz.dump(splits, file)
    return file.getvalue()


def with_pickle(data: bytes, *, shape: str = "(1,)") -> bytes:
    """Put any pickle where numpy would put that of train."""
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)
    return file.getvalue()


def assert_equal(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


def refusal(content: bytes) -> FormatError:
    with pytest.raises(FormatError) as caught:
        npz.load(content)
    return caught.value


# ---- good files ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(batches(), batches())
def test_what_is_written_is_read_back_and_read_by_the_loader_of_sketch_rnn(
    train: DrawingBatch, valid: DrawingBatch
) -> None:
    splits = {"train": to_stroke3(train), "valid": to_stroke3(valid), "test": []}
    content = dumped(splits)
    loaded = np.load(io.BytesIO(content), allow_pickle=True, encoding="latin1")
    assert sorted(loaded) == ["test", "train", "valid"]
    for split, arrays in npz.load(content).items():
        assert_equal(arrays, splits[split])
        assert loaded[split].shape == (len(splits[split]),)
        assert_equal(list(loaded[split]), splits[split])


@given(st.lists(st.integers(0, 5), max_size=9), st.sampled_from([np.int16, np.int64, np.float32, ">i2"]))
def test_what_numpy_writes_is_read(lengths: list[int], dtype: Any) -> None:
    arrays = [np.arange(3 * length).reshape(-1, 3).astype(dtype) for length in lengths]
    assert_equal(npz.load(saved(train=objects(*arrays)))["train"], arrays)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("old_names", [False, True])
def test_every_protocol_that_numpy_has_written_is_read(protocol: int, old_names: bool) -> None:
    data = pickle.dumps(objects(ONE, OTHER, np.asfortranarray(ONE)), protocol=protocol)
    names = [b"numpy.core.multiarray\n", b"numpy._core.multiarray\n"]
    data = data.replace(names[old_names], names[not old_names]) if protocol < 4 else data
    assert_equal(npz.load_pickle(data), [ONE, OTHER, ONE])


def test_a_file_that_python_2_wrote_is_read() -> None:
    shape, kind = (
        b"K\x02K\x03\x86",
        b"cnumpy\ndtype\nU\x02i2K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
    )
    number = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    inner = number + b"(\x8a\x01\x01" + shape + kind + b"\x89U\x0c" + ONE.tobytes() + b"tb"
    holder = b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    data = b"\x80\x02" + number + b"(K\x01\x8a\x01\x01\x85" + holder + b"\x89]" + inner + b"atb."
    assert_equal(list(pickle.loads(data, encoding="latin1")), [ONE])
    assert_equal(npz.load(with_pickle(data, shape="(1L,)"))["train"], [ONE])


def test_splits_come_in_the_usual_order_and_others_after_them() -> None:
    found = npz.load(saved(extra=objects(ONE), test=objects(ONE), valid=objects(ONE), train=objects(OTHER)))
    assert list(found) == ["train", "valid", "test", "extra"]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.stack([ONE, ONE]), [ONE, ONE]),
        (ONE, [ONE]),
        (np.zeros((0, 2, 3), np.int16), []),
        (np.array([[0, 0, 1, 0, 0], [1, 2, 1, 0, 0], [3, -4, 0, 1, 0], [0, 0, 0, 0, 1]], np.int16), [ONE]),
        (np.array([[[1, 2, 1, 0, 0], [3, -4, 0, 1, 0], [0, 0, 0, 0, 1]]], np.int16), [ONE]),
    ],
)
def test_plain_numeric_arrays_are_read_too(array: np.ndarray, expected: list[np.ndarray]) -> None:
    assert_equal(npz.load(saved(train=array))["train"], expected)


def test_the_same_drawings_give_the_same_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = dumped({"train": [ONE]})
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert dumped({"train": [ONE]}) == first


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, (0, 0, 0)), (2, (2, 0, 0)), (3, (1, 1, 1)), (75_000, (70_000, 2_500, 2_500))]
)
def test_drawings_are_shared_out_in_order_and_in_the_official_proportion(
    count: int, sizes: tuple[int, int, int]
) -> None:
    arrays = [OTHER] * count
    splits = npz.share_out(arrays)
    assert tuple(map(len, splits.values())) == sizes
    assert [array for split in splits.values() for array in split] == arrays


@pytest.mark.slow
def test_an_official_sized_file_is_read_in_seconds() -> None:
    content = dumped({"train": [np.zeros((45, 3), np.int16)] * 70_000})
    started = time.process_time()
    assert len(npz.load(content)["train"]) == 70_000
    assert time.process_time() - started < 20


# ---- hostile and broken ones -----------------------------------------------------------------------------------------


class Bomb:
    """What runs a program of its choice when unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "wrap", [lambda bomb: bomb, lambda bomb: objects(ONE, bomb), lambda bomb: objects(objects(bomb))]
)
def test_a_pickle_that_would_run_a_program_runs_nothing(wrap: Any, protocol: int, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    data = pickle.dumps(wrap(Bomb(os.system, f"touch {trace}")), protocol=protocol)
    error = refusal(with_pickle(data))
    assert not trace.exists()
    assert error.reason == "not an array of arrays"
    assert "posix.system" in str(error) or (protocol == 5 and "_frombuffer" in str(error))
    pickle.loads(data)
    assert trace.exists()  # so the pickle was a real one


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        objects("text"),
        objects(ONE, None),
        objects(3),
        objects(np.int16(3)),
        objects(np.array(["text"])),
        objects(np.array([1j])),
        objects(np.zeros(2, [("a", "i2"), ("b", "O")])),
        objects(objects(ONE)),
        np.array([[ONE, ONE]], object),
        objects(Bomb(eval, "1")),
        objects(Bomb(np.load, "/etc/passwd")),
        objects(Bomb(bytearray, 10**9)),
    ],
)
def test_whatever_is_not_an_array_of_numeric_arrays_is_refused(value: Any) -> None:
    assert refusal(with_pickle(pickle.dumps(value, protocol=4))).reason in {
        "not an array of arrays",
        "not a numeric array",
        "damaged pickle",
    }


HEAD = b"\x80\x04"
STUB = HEAD + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
INT16 = b"cnumpy\ndtype\nX\x02\x00\x00\x00i2K\x00K\x01\x87R"
KNOWN_NAME = b"cnumpy\nndarray\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        HEAD,
        HEAD + b"0.",
        HEAD + b"h\x05.",
        HEAD + b"\x87.",
        HEAD + b"e.",
        HEAD + b"t.",
        HEAD + b"R.",
        HEAD + b"NNR.",
        HEAD + b"NNb.",
        HEAD + b"\x8e" + b"\xff" * 8 + b".",
        HEAD + b"B\xff\xff\xff\x7fabc.",
        HEAD + b"r\xff\xff\xff\xff.",
        HEAD + b"Nr\xff\xff\xff\xff.",
        HEAD + b"X\x02\x00\x00\x00\xff\xff.",
        HEAD + b"K",
        HEAD + b"\x96" + b"\xff" * 8,  # a bytearray of more than there is memory
        HEAD + b"cos\nsystem",
        HEAD + KNOWN_NAME + b"K\x05\x85R.",  # ndarray((5,)) itself
        HEAD + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ\xff\xff\xff\x7f\x85C\x01b\x87R.",
        HEAD + b"(" * 100_000 + b".",
        HEAD + b")" + b"\x85" * 100_000 + b".",
        STUB + b"(K\x01K\x05\x85" + INT16 + b"\x89C\x02abtb.",  # a shape larger than the data
        STUB + b"(K\x01J\xff\xff\xff\xff\x85" + INT16 + b"\x89C\x02abtb.",
        STUB + b"(K\x01(" + b"J\xff\xff\xff\x7f" * 1000 + b"t" + INT16 + b"\x89C\x02abtb.",
        STUB + b"(K\x01K\x01\x85" + INT16 + b"\x89]tb.",
    ],
)
def test_a_made_up_pickle_is_refused_quickly(data: bytes) -> None:
    started = time.process_time()
    assert isinstance(refusal(with_pickle(data)), FormatError)
    assert time.process_time() - started < 2


def outcome(data: bytes) -> str:
    """Return what became of a pickle: `read`, or the reason of its refusal; any other error fails the test."""
    try:
        arrays = npz.load_pickle(data)
    except FormatError as error:
        return error.reason
    return "read" if all(array.dtype.kind in "iuf" for array in arrays) else "something else"


OUTCOMES = {"read", "not an array of arrays", "not a numeric array", "damaged pickle"}


@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_the_machine_fail_otherwise(data: bytes) -> None:
    assert outcome(data) in OUTCOMES


@given(st.data())
def test_a_good_file_with_any_byte_changed_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(pickle.dumps(objects(ONE, OTHER), protocol=3))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    assert outcome(bytes(content)) in OUTCOMES


@pytest.mark.parametrize("cut", [0, 3, 30, 200, -1])
def test_a_truncated_file_is_refused(cut: int) -> None:
    assert refusal(dumped({"train": [ONE] * 50})[:cut]).reason == "damaged npz"


def test_a_damaged_member_is_refused() -> None:
    content = bytearray(dumped({"train": [ONE] * 50}))
    content[60] ^= 0xFF
    assert refusal(bytes(content)).reason == "damaged npz"


@pytest.mark.slow
def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(40):
            with archive.open(f"{number}.npy", "w") as member:
                for _ in range(16):
                    member.write(bytes(1 << 20))
    started = time.process_time()
    assert refusal(file.getvalue()).reason == "npz too large"
    assert time.process_time() - started < 1


def test_a_member_that_is_longer_than_it_says_is_not_unpacked_further() -> None:
    content = saved(train=np.zeros((1000, 1000, 3), np.int16))
    place = content.rindex(b"PK\x01\x02") + 24
    lying = content[:place] + struct.pack("<I", 1000) + content[place + 4 :]
    assert refusal(lying).reason == "damaged npz"


def test_arrays_that_share_their_bytes_do_not_multiply() -> None:
    long = np.zeros((100_000, 3), np.int16)
    data = pickle.dumps(objects(*[long] * 1000), protocol=4)
    assert refusal(with_pickle(data, shape="(1000,)")).reason == "npz too large"


@pytest.mark.parametrize(
    "content",
    [
        saved(train=np.array(["text"])),
        saved(train=np.zeros(3, [("a", "i2")])),
        saved(train=np.array([1j])),
        saved(train=np.array(5)),
        saved(train=np.zeros((2, 2, 2, 2))),
        with_pickle(pickle.dumps(objects(ONE)), shape="(2,)"),
        with_pickle(b"", shape="(" + "(" * 5000),
    ],
)
def test_other_arrays_are_refused(content: bytes) -> None:
    assert refusal(content).reason in {"not a sketch-rnn file", "damaged npz"}


def test_an_archive_of_something_else_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert refusal(file.getvalue()).reason == "not a sketch-rnn file"
