"""Vectors of classes: of words, for methods that take a name's meaning into account, and computed ones in Parquet.

A file of computed ones has a row a class: `word`, `count` (what the vector is the mean of) and `vector`. Its metadata
has `source`, JSON that says what they are and which files they come from, by sha256.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format as npy_format

from sketchdata.class_spellings import find
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.manifest import replacing
from sketchdata.sampling import plain

#: Key of a file's metadata.
SOURCE_KEY = b"source"

Vectors = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]


def read_class_vectors(path: Path, words: Path, classes: tuple[str, ...]) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Return a vector for each class: unit vectors, from which the mean of all words is taken off.

    A class whose name has none gets a direction of its own, at right angles to all others.

    Args:
        path: `.npy`, (W, S) numbers.
        words: A text file with the W words, one a line.
        classes: The class table; `wine bottle` finds `wine_bottle` and `winebottle`, `motorbike` a `motorcycle`.

    Returns:
        (L, S + missing) float32, and the names of the classes that have no vector.

    Raises:
        ConfigError: None of the classes has one.
        SketchDataError: The files cannot be read, or do not fit one another.
    """
    try:
        with path.open("rb") as file:
            read = npy_format.read_array(file, allow_pickle=False)  # type: ignore[no-untyped-call]
        vectors = read.astype(np.float64, casting="same_kind")
        names = words.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, TypeError, EOFError, MemoryError) as error:
        raise SketchDataError(f"{path} and {words} cannot be read as vectors and their words: {error}") from error
    if vectors.ndim != 2 or len(vectors) != len(names) or not np.isfinite(vectors).all():
        raise SketchDataError(
            f"{path} is to hold a row of finite numbers a word, for the {len(names):,} lines of {words}"
        )
    vectors -= vectors.mean(0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    rows = {plain(name): row for row, name in enumerate(names)}
    missing = [word for word in classes if find(word, rows) is None]
    if len(missing) == len(classes):
        raise ConfigError(f"{words} has none of the classes {', '.join(classes[:3])}…")
    found = np.zeros((len(classes), vectors.shape[1] + len(missing)), np.float32)
    for place, word in enumerate(classes):
        row = find(word, rows)
        if row is None:
            found[place, vectors.shape[1] + missing.index(word)] = 1
        else:
            found[place, : vectors.shape[1]] = vectors[row]
    return found, missing


# ---- computed vectors in Parquet -------------------------------------------------------------------------------------


def write_vectors(
    path: Path, words: Sequence[str], vectors: Vectors, counts: Counts, source: Mapping[str, Any]
) -> None:
    """Write a vector a class, whole or not at all; the same values give the same bytes.

    Args:
        path: The file.
        words: L names of classes.
        vectors: (L, S) float32.
        counts: (L,) int64, what each vector is the mean of.
        source: What they are and where they come from; plain values.

    Raises:
        SketchDataError: The file cannot be written.
    """
    size = vectors.shape[1]
    schema = pa.schema(
        [
            pa.field("word", pa.string(), nullable=False),
            pa.field("count", pa.int64(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), size), nullable=False),
        ],
        metadata={SOURCE_KEY: orjson.dumps(dict(source), option=orjson.OPT_SORT_KEYS)},
    )
    rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1), pa.float32()), size)
    table = pa.Table.from_arrays([pa.array(words, pa.string()), pa.array(counts, pa.int64()), rows], schema=schema)
    try:
        with replacing(path) as file:
            # Of numbers that never repeat, a dictionary would be one more copy.
            pq.write_table(table, file, compression="zstd", use_dictionary=False, write_statistics=False)
    except OSError as error:
        raise SketchDataError(f"{path} cannot be written: {error.strerror or error}") from error


def read_vectors(path: Path) -> tuple[tuple[str, ...], Vectors, Counts]:
    """Read what `write_vectors` wrote.

    Returns:
        The L names of the classes; (L, S) float32; (L,) int64, what each vector is the mean of.

    Raises:
        SketchDataError: The file is missing or damaged, has other columns, or holds no class, one twice, or a vector of
            something else than finite numbers.
    """
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise SketchDataError(f"{path} cannot be read as Parquet: {error}") from error
    _check_columns(path, table.schema)
    words = tuple(table.column("word").to_pylist())
    if not words or len(set(words)) < len(words) or any(column.null_count for column in table.itercolumns()):
        raise SketchDataError(f"{path} is to hold each class once and nothing empty, and has {len(words):,} rows")
    flat = table.column("vector").combine_chunks().flatten()
    vectors = np.array(flat.to_numpy(zero_copy_only=False), np.float32).reshape(len(words), -1)
    if not vectors.size or not np.isfinite(vectors).all():
        raise SketchDataError(f"{path} has vectors of something else than finite numbers: make it again")
    return words, vectors, np.array(table.column("count").to_numpy(), np.int64)


def _check_columns(path: Path, schema: pa.Schema) -> None:
    kinds = {field.name: field.type for field in schema}
    vector: Any = kinds.get("vector", pa.null())
    plain_ones = kinds.get("word") == pa.string() and kinds.get("count") == pa.int64()
    if not plain_ones or not pa.types.is_fixed_size_list(vector) or vector.value_type != pa.float32():
        found = ", ".join(f"{name} {kind}" for name, kind in kinds.items()) or "none"
        raise SketchDataError(
            f"{path} is no file of class vectors, which has the columns word string, count int64 and vector "
            f"fixed_size_list<float>: it has {found}; `sketchdata edgemaps vectors` and `import vectors` write them"
        )


def read_source(path: Path) -> dict[str, Any]:
    """Return what a file of class vectors says of where they come from.

    Raises:
        SketchDataError: It is missing or damaged, or does not say.
    """
    try:
        return dict(orjson.loads((pq.read_schema(path).metadata or {})[SOURCE_KEY]))
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise SketchDataError(f"{path} does not say where its class vectors come from: {error}") from error
