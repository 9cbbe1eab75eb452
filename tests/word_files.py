"""Word vectors in files as GloVe, fastText and word2vec write them, by independent code."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


def text(words: Sequence[str], vectors: Vectors) -> bytes:
    """Return text without a header, as of GloVe."""
    rows = zip(words, vectors.tolist(), strict=True)
    return "".join(f"{word} {' '.join(map(repr, row))}\n" for word, row in rows).encode()


def with_header(words: Sequence[str], vectors: Vectors) -> bytes:
    """Return text with a header and a blank before each line's end, as word2vec prints it."""
    head = f"{len(words)} {vectors.shape[1]}\n".encode()
    return head + text(words, vectors).replace(b"\n", b" \n")


def binary(words: Sequence[str], vectors: Vectors) -> bytes:
    """Return a binary file with a line end after each word's numbers."""
    rows = zip(words, vectors.tolist(), strict=True)
    packed = (word.encode() + b" " + struct.pack(f"<{len(row)}f", *row) + b"\n" for word, row in rows)
    return f"{len(words)} {vectors.shape[1]}\n".encode() + b"".join(packed)


def binary_without_line_ends(words: Sequence[str], vectors: Vectors) -> bytes:
    """Return a binary file as that of Google News is."""
    rows = zip(words, vectors.tolist(), strict=True)
    packed = (word.encode() + b" " + struct.pack(f"<{len(row)}f", *row) for word, row in rows)
    return f"{len(words)} {vectors.shape[1]}\n".encode() + b"".join(packed)


#: {file name: what writes its bytes}.
KINDS: dict[str, Callable[[Sequence[str], Vectors], bytes]] = {
    "glove.txt": text,
    "glove.txt.gz": lambda words, vectors: gzip.compress(text(words, vectors)),
    "crawl.vec": with_header,
    "crawl.vec.gz": lambda words, vectors: gzip.compress(with_header(words, vectors)),
    "news.bin": binary,
    "news.bin.gz": lambda words, vectors: gzip.compress(binary_without_line_ends(words, vectors)),
}


def write(folder: Path, kind: str, words: Sequence[str], vectors: Vectors) -> Path:
    """Write a file of one of the KINDS."""
    path = folder / kind
    path.write_bytes(KINDS[kind](words, vectors))
    return path


def in_pieces(data: bytes, size: int) -> Iterable[bytes]:
    """Yield bytes in pieces of a size."""
    return (data[start : start + size] for start in range(0, len(data), size))
