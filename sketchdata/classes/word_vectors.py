"""Readers of published word vectors: text, word2vec's binary format, and `.npy` with a list of words.

    text      one line `word x1 x2 … xS` per word, separated by spaces. GloVe has no header; word2vec and fastText's
              `.vec` have one: the number of words and S
    binary    that header, then for each word the word, a space, S little-endian float32, and an optional line end
    .npy      (W, S) numbers; the words are in a text file, one per line

The first two may be gzipped. Files have millions of words, few of which are needed, so they are read as a stream, and
only the numbers of wanted words are parsed. Sources: github.com/tmikolov/word2vec (word2vec.c, `binary`),
nlp.stanford.edu/projects/glove, fasttext.cc/docs/en/crawl-vectors.html.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from sketchdata.classes.spellings import by_spelling, plain, plain_names
from sketchdata.errors import ConfigError, FormatError
from sketchdata.files import regular
from sketchdata.formats.files import gunzip

Vector = npt.NDArray[np.float32]
#: Returns whether a word is wanted, given as in the file in UTF-8; called for every word.
Wants = Callable[[bytes], bool]

_BLOCK_BYTES = 1 << 20
_MOST_NUMBERS = 100_000
_MOST_LINE_BYTES, _MOST_WORD_BYTES = 1 << 22, 1 << 14
_BLANKS = b" \t\r"
_HEADER = re.compile(rb"(\d{1,12}) (\d{1,12})")
#: First bytes of a fastText model. Source: github.com/facebookresearch/fastText, src/fasttext.h.
_FASTTEXT_MAGIC = (793_712_314).to_bytes(4, "little")
_GZIP, _NPY, _ZIP, _PARQUET = b"\x1f\x8b", b"\x93NUMPY", b"PK\x03\x04", b"PAR1"


@dataclass(frozen=True, eq=False)
class WordVector:
    """A word as the file spells it, and its (S,) vector."""

    word: str
    vector: Vector


def read_file(path: Path, words: Path | None, wants: Wants) -> Iterator[WordVector]:
    """Yield the wanted words of a file in file order; the format is found from the suffix and the first bytes.

    `words` is the text file with the words of a `.npy`, and None for other formats.

    Raises:
        ConfigError: `words` is missing, or given for a format that contains the words.
        FormatError: The file is missing, damaged or in another format; the message has the line.
    """
    try:
        with regular(path).open("rb") as file:
            magic = file.read(6)
            file.seek(0)
            if (magic == _NPY) != (words is not None):
                raise ConfigError(
                    f"{path} is {'a' if magic == _NPY else 'not a'} .npy file, and --words names the text file with "
                    f"the words of a .npy file's rows: {'give it' if words is None else 'leave it out'}"
                )
            if words:
                yield from _read_array(path, words, wants)
                return
            if magic.startswith((_ZIP, _PARQUET)):
                remedy = "unpack it first" if magic.startswith(_ZIP) else "it may be a file of class vectors already"
                raise FormatError("not a file of word vectors", f"which is a zip archive or Parquet: {remedy}")
            blocks = iter(lambda: file.read(_BLOCK_BYTES), b"")
            if magic.startswith(_GZIP):
                blocks = gunzip(blocks, path.name)
            is_binary = path.name.lower().removesuffix(".gz").endswith(".bin")
            yield from read_binary(blocks, wants) if is_binary else read_text(blocks, wants)
    except FormatError as error:
        raise FormatError(error.reason, f"{path}, {error.detail}") from error
    except (OSError, ValueError) as error:
        raise FormatError("word vectors that cannot be read", f"{path}: {error}") from error


def read_text(blocks: Iterable[bytes], wants: Wants) -> Iterator[WordVector]:
    """Read text with one word per line; empty lines are ignored, and words may contain spaces, as some of GloVe's do.

    Raises:
        FormatError: A line has too few numbers, a wanted one has a value that is not a number, the number of words
        differs from the header, or there are no words.
    """
    declared, size, count = None, 0, 0
    for number, line in enumerate(_lines(blocks), 1):
        text = line.removeprefix(codecs.BOM_UTF8).strip(_BLANKS) if number == 1 else line.rstrip(_BLANKS)
        header = _HEADER.fullmatch(text) if number == 1 else None
        if header:
            declared, size = _sizes(header)
            continue
        if not text:
            continue
        count += 1
        size = size or text.count(b" ")
        word = _word_of(text, size, number)
        wanted = wants(word)
        # The first line is parsed even if it is not wanted, so that other text is rejected.
        if wanted or count == 1:
            where = f"line {number:,}, the word {_shown(word)}"
            try:
                numbers = np.array([float(each) for each in text[len(word) + 1 :].split(b" ")])
            except ValueError as error:
                raise FormatError("a line that cannot be read", f"{where}: {error}") from error
            vector = _checked(numbers, where)
            if wanted:
                yield WordVector(word.decode(), vector)
    if not count:
        raise FormatError("not a file of word vectors", "line 1: it has no words")
    if declared not in (None, count):
        raise FormatError(
            "a header that does not fit",
            f"line 1: it announces {declared:,} words, and {count:,} follow: fetch it again",
        )


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
        if len(rest) > _MOST_LINE_BYTES:
            raise FormatError("not a file of word vectors", f"a line has more than {_MOST_LINE_BYTES:,} bytes")
    if rest:
        yield rest


def _sizes(header: re.Match[bytes]) -> tuple[int, int]:
    words, size = int(header[1]), int(header[2])
    if not 1 <= size <= _MOST_NUMBERS or not words:
        raise FormatError(
            "an invalid header",
            f"line 1: {words:,} words of {size:,} numbers; expected 1 to {_MOST_NUMBERS:,} values per word",
        )
    return words, size


def _word_of(text: bytes, size: int, number: int) -> bytes:
    blanks = text.count(b" ")
    if blanks < size or not size:
        raise FormatError(
            "a line that cannot be read",
            f"line {number:,}: {_shown(text)}: expected a word and {size or 'its'} numbers, separated by blanks",
        )
    return text.partition(b" ")[0] if blanks == size else text.rsplit(b" ", size)[0]


def _checked(numbers: npt.NDArray[np.generic], where: str) -> Vector:
    with np.errstate(over="ignore"):
        vector = numbers.astype(np.float32)
    if not np.isfinite(vector).all():
        raise FormatError("numbers that are not finite", where)
    return vector


def _shown(text: bytes) -> str:
    return repr(text[:60].decode(errors="replace"))


def read_binary(blocks: Iterable[bytes], wants: Wants) -> Iterator[WordVector]:
    """Read the binary format that word2vec writes with `-binary 1`.

    Raises:
        FormatError: There is no header, a wanted word has a number that is not finite, or the file ends before its last
        word or continues after it.
    """
    stream = iter(blocks)
    data = b""
    while b"\n" not in data and len(data) < _MOST_WORD_BYTES and (block := next(stream, b"")):
        data += block
    start = data.find(b"\n") + 1
    header = _HEADER.fullmatch(data[:start].strip(_BLANKS + b"\n"))
    if not header:
        is_model = data.startswith(_FASTTEXT_MAGIC)
        hint = "it is a model of fastText, which has the same words as .vec" if is_model else "fetch it again"
        raise FormatError("not a binary word2vec file", f"line 1: no number of words and of values per word; {hint}")
    count, size = _sizes(header)
    for number in range(1, count + 1):
        end = data.find(b" ", start)
        while end < 0 or len(data) < end + 1 + 4 * size:
            block = next(stream, b"")
            if not block or (end < 0 and len(data) - start > _MOST_WORD_BYTES):
                raise FormatError("a damaged word2vec file", f"word {number:,} of {count:,} is cut off or missing")
            data, start = data[start:] + block, 0
            end = data.find(b" ")
        word = data[start:end].lstrip(b"\n")
        start = end + 1 + 4 * size
        if wants(word):
            vector = np.frombuffer(data, "<f4", size, end + 1)
            yield WordVector(word.decode(), _checked(vector, f"word {number:,}, {_shown(word)}"))
    if data[start:].strip() or any(block.strip() for block in stream):
        raise FormatError("a damaged word2vec file", f"it continues after the {count:,} words that it announces")


def _read_array(path: Path, words: Path, wants: Wants) -> Iterator[WordVector]:
    vectors = npy_format.open_memmap(path, mode="r")  # type: ignore[no-untyped-call]  # refuses objects, never unpickles
    try:
        names = regular(words).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError("words that cannot be read", f"--words {words}: {error}") from error
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or len(vectors) != len(names) or not vectors.size:
        raise FormatError(
            "an array that is not of word vectors",
            f"{vectors.shape} of {vectors.dtype}; expected numbers, a row for each of {len(names):,} lines of {words}",
        )
    for row, name in enumerate(names):
        if wants(name.encode()):
            yield WordVector(name, _checked(np.array(vectors[row]), f"row {row:,} (from 0), the word {name!r}"))


Entry = TypeVar("Entry")

_ASCII_MARKS = bytes(code for code in range(128) if not chr(code).isalnum())
_BETWEEN = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Match(Generic[Entry]):
    """The words that match a class, in the spelling of the list, and their entries."""

    words: tuple[str, ...]
    entries: tuple[Entry, ...]


class WordSearch(Generic[Entry]):
    """Collect the entries of a list for the words of some classes, in one pass over the list.

    Raises:
        ConfigError: The names of two classes differ only in spelling.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        by_spelling(classes)
        self._spelled: dict[str, str] = {}
        for name in classes:
            for word in (name, *parts_of(name)):
                self._spelled.setdefault(plain(word), word)
        for name in classes:
            for key in plain_names(name):
                self._spelled.setdefault(key, key)
        self._quick = {before + key.encode() for key in self._spelled for before in (b"", b"the")}
        self._found: dict[str, tuple[int, str, Entry]] = {}

    def wants(self, word: bytes) -> bool:
        """Return whether a word, in UTF-8, may match a class or a part of its name; optimised for millions of words."""
        if not word.isascii():
            try:
                return plain(word.decode()) in self._spelled
            except UnicodeDecodeError:
                return False
        return (word.lower().translate(None, _ASCII_MARKS) or word.decode().strip().encode()) in self._quick

    def offer(self, word: str, entry: Entry) -> None:
        """Keep an entry, unless an equally good or better spelling of its word was offered before."""
        key = plain(word)
        if key not in self._spelled:
            return
        distance = _distance(word, self._spelled[key])
        if key not in self._found or distance < self._found[key][0]:
            self._found[key] = (distance, word, entry)

    def find(self, name: str) -> Match[Entry] | None:
        """Return the entries for a class: one word for the whole name, or else one per part; None if words are missing.

        `sea turtle` matches `sea_turtle`, `Sea-Turtle` or `seaturtle` if the list has one, otherwise `sea` and
        `turtle`. `motorbike` matches `motorcycle` only if the list does not have `motorbike`.
        """
        for key in plain_names(name):
            if key in self._found:
                return self._match([key])
        parts = [plain(part) for part in parts_of(name)]
        return self._match(parts) if parts and all(part in self._found for part in parts) else None

    def _match(self, keys: Sequence[str]) -> Match[Entry]:
        found = [self._found[key] for key in keys]
        return Match(tuple(word for _, word, _ in found), tuple(entry for _, _, entry in found))


def parts_of(name: str) -> tuple[str, ...]:
    """Return the words of a name without a leading `the`; empty for a name of one word.

    >>> parts_of("The Great Wall of China"), parts_of("t-shirt"), parts_of("cat")
    (('Great', 'Wall', 'of', 'China'), ('t', 'shirt'), ())
    """
    words = [word for word in _BETWEEN.split(name) if word]
    if len(words) > 1 and words[0].casefold() == "the":
        words = words[1:]
    return tuple(words) if len(words) > 1 else ()


def _distance(word: str, spelled: str) -> int:
    """Return how much a spelling differs from the class's own; differences in marks between words count least.

    In a list with both `Apple` and `apple`, one does not match the other.
    """
    joined, own = (_BETWEEN.sub("", each) for each in (word, spelled))
    if joined == own:
        return 0
    return 1 if joined == own.lower() else 2
