"""Published word vectors come back to the bit from every kind of file, and damaged files are refused by line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sketchdata.classes.word_vectors import WordVector, read_binary, read_file, read_text
from sketchdata.errors import ConfigError, FormatError
from tests import word_files

WORDS = ("the", "cat", "señal", "hot_dog", ",")
VECTORS = np.arange(15, dtype=np.float32).reshape(5, 3) / 7 - 1

#: A blank or a line end would be another word's; other characters may stand in words, and do in real files.
NAMES = st.text(st.characters(codec="utf-8", exclude_characters=" \t\r\n\ufeff"), min_size=1, max_size=8)
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def every(word: bytes) -> bool:
    return True


def as_dict(found: list[WordVector]) -> dict[str, list[float]]:
    return {each.word: each.vector.tolist() for each in found}


@settings(max_examples=60)
@given(data=st.data(), words=st.lists(NAMES, min_size=1, max_size=6, unique=True), piece=st.integers(1, 40))
def test_words_come_back_to_the_bit_whatever_pieces_the_file_is_read_in(
    data: st.DataObject, words: list[str], piece: int
) -> None:
    size = data.draw(st.integers(2, 5))
    vectors = data.draw(arrays(np.float32, (len(words), size), elements=NUMBERS))
    for write, read in (
        (word_files.text, read_text),
        (word_files.with_header, read_text),
        (word_files.binary, read_binary),
        (word_files.binary_without_line_ends, read_binary),
    ):
        found = list(read(word_files.in_pieces(write(words, vectors), piece), every))
        assert [each.word for each in found] == words
        assert np.array([each.vector for each in found]).tobytes() == vectors.tobytes()


@pytest.mark.parametrize("kind", word_files.KINDS)
def test_a_file_is_known_by_its_bytes_and_gives_only_what_is_wanted(kind: str, tmp_path: Path) -> None:
    path = word_files.write(tmp_path, kind, WORDS, VECTORS)
    found = list(read_file(path, None, lambda word: word in ("señal".encode(), b"cat")))
    assert as_dict(found) == {"cat": VECTORS[1].tolist(), "señal": VECTORS[2].tolist()}
    assert found[0].vector.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, ">f8"])
def test_an_array_of_numbers_of_any_type_has_its_words_beside_it(dtype: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", (VECTORS * 7).astype(dtype))
    (tmp_path / "words.txt").write_text("".join(f"{word}\n" for word in WORDS), encoding="utf-8")
    found = as_dict(list(read_file(tmp_path / "a.npy", tmp_path / "words.txt", lambda word: word == b"cat")))
    assert found == {"cat": (VECTORS * 7).astype(dtype)[1].astype(np.float32).tolist()}


def test_words_of_text_may_hold_blanks_and_lines_may_be_empty() -> None:
    found = read_text([b"the 1 2\n", b". . 3 4\r\n\n", b"at a@b.org 5 6"], every)
    assert as_dict(list(found)) == {"the": [1, 2], ". .": [3, 4], "at a@b.org": [5, 6]}


def test_a_byte_order_mark_belongs_to_no_word(tmp_path: Path) -> None:
    assert as_dict(list(read_text([b"\xef\xbb\xbfthe 1 2\ncat 3 4\n"], every))) == {"the": [1, 2], "cat": [3, 4]}
    assert as_dict(list(read_text([b"\xef\xbb\xbf1 2\ncat 3 4\n"], every))) == {"cat": [3, 4]}
    np.save(tmp_path / "a.npy", VECTORS)
    (tmp_path / "words.txt").write_text("\ufeff" + "\n".join(WORDS), encoding="utf-8")
    found = read_file(tmp_path / "a.npy", tmp_path / "words.txt", lambda word: word == b"the")
    assert as_dict(list(found)) == {"the": VECTORS[0].tolist()}


def test_what_nobody_wants_is_not_parsed_but_for_the_first_line() -> None:
    found = read_text([b"the 1 2\ndog x \xff\ncat 3 4\n"], lambda word: word == b"cat")
    assert as_dict(list(found)) == {"cat": [3, 4]}
    with pytest.raises(FormatError, match=r"line 1, the word 'once': could not convert .*upon"):
        list(read_text([b"once upon a time\nthere was a\n"], lambda word: False))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1: it has no words"),
        (b"\n\n", "line 1: it has no words"),
        (b"3 2\n", "line 1: it announces 3 words, and 0 follow|it has no words"),
        (b"cat\n", "line 1: 'cat': expected a word and its numbers"),
        (b"cat 1 2\ndog 3\n", "line 2: 'dog 3': expected a word and 2 numbers"),
        (b"2 2\ncat 1 2\ndog 3\n", "line 3: 'dog 3': expected a word and 2 numbers"),
        (b"cat 1 2\ndog 3 x\n", "line 2, the word 'dog': could not convert"),
        (b"cat 1 2\ndog 3 nan\n", "not finite: .*line 2, the word 'dog'"),
        (b"cat 1 2\ndog 3 1e300\n", "not finite: .*line 2, the word 'dog'"),
        (b"cat 1 2\ndog 3  4\nx 1 2\n", "line 2, the word 'dog 3': could not convert"),
        (b"3 2\ncat 1 2\ndog 3 4\n", "line 1: it announces 3 words, and 2 follow"),
        (b"1 2\ncat 1 2\ndog 3 4\n", "line 1: it announces 1 words, and 2 follow"),
        (b"2 0\ncat\ndog\n", "line 1: 2 words of 0 numbers"),
        (b"2 999999999\ncat 1\n", "line 1: 2 words of 999,999,999 numbers"),
        (b"cat 1 2\n" + b"x" * 5_000_000, "a line has more than 4,194,304 bytes"),
        (b"PK\x03\x04", "zip archive or Parquet: unpack it first"),
        (b"PAR1", "it may be a file of class vectors already"),
        (gzip.compress(b"cat 1 2\n" * 100, mtime=0)[:-9], "gzip"),
    ],
)
def test_text_that_is_damaged_or_of_another_kind_is_refused_by_line(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes(data)
    with pytest.raises(FormatError, match=message) as caught:
        list(read_file(tmp_path / "words.txt", None, every))
    assert "words.txt" in str(caught.value)


WHOLE = word_files.binary(WORDS, VECTORS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1: no number of words"),
        (b"cat 1 2\n", "line 1: no number of words"),
        ((793712314).to_bytes(4, "little") + bytes(100), r"it is a model of fastText, which has .*\.vec"),
        (WHOLE[:-2], "word 5 of 5 is cut off"),
        (WHOLE.replace(b"5 3", b"6 3", 1), "word 6 of 6 is cut off"),
        (WHOLE.replace(b"5 3", b"4 3", 1), "it continues after the 4 words"),
        (b"2 3\n" + b"x" * 100_000, "word 1 of 2 is cut off or missing"),
        (word_files.binary(WORDS, VECTORS + np.float32(np.nan)), "not finite: .*word 1, 'the'"),
    ],
    ids=["empty", "text", "fasttext", "cut-off", "fewer", "more", "no-word", "nan"],
)
def test_binary_files_that_are_damaged_or_of_another_kind_are_refused(
    data: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "news.bin").write_bytes(data)
    with pytest.raises(FormatError, match=message):
        list(read_file(tmp_path / "news.bin", None, every))


def test_words_of_an_array_are_asked_for_and_of_other_files_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VECTORS)
    with pytest.raises(ConfigError, match=r"a\.npy is a \.npy file, .*--words .*give it"):
        list(read_file(tmp_path / "a.npy", None, every))
    glove = word_files.write(tmp_path, "glove.txt", WORDS, VECTORS)
    with pytest.raises(ConfigError, match=r"glove\.txt is not a \.npy file, .*leave it out"):
        list(read_file(glove, glove, every))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (VECTORS[:4], r"\(4, 3\) of float32; expected numbers, a row for each of 5 lines"),
        (VECTORS[0], r"\(3,\) of float32; expected"),
        (VECTORS[:, :0], r"\(5, 0\) of float32"),
        (VECTORS * 1j, "complex64"),
        (np.array([[{}] * 3] * 5, object), "Array can't be memory-mapped"),
        (VECTORS - np.float32(np.inf), r"not finite: .*row 0 \(from 0\), the word 'the'"),
    ],
    ids=["fewer", "one-axis", "empty", "complex", "objects", "infinite"],
)
def test_other_arrays_are_refused_and_nothing_is_unpickled(
    array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", array)
    (tmp_path / "words.txt").write_text("\n".join(WORDS), encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        list(read_file(tmp_path / "a.npy", tmp_path / "words.txt", every))


def test_missing_files_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VECTORS)
    with pytest.raises(FormatError, match=r"none\.txt.*No such file"):
        list(read_file(tmp_path / "none.txt", None, every))
    with pytest.raises(FormatError, match=r"--words .*none\.txt"):
        list(read_file(tmp_path / "a.npy", tmp_path / "none.txt", every))
