"""Class vectors: word vectors, for methods that use the meaning of a name, and computed vectors in Parquet files.

A Parquet file has one row per class: `word`, `count` (the number of vectors that `vector` is the mean of) and `vector`.
Its metadata has `source`, JSON that describes the vectors and the files they come from, by sha256.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format as npy_format

from sketchdata.classes.spellings import by_spelling, find, plain
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.files import regular
from sketchdata.storage.manifest import hash_file, replacing

#: Key of the description in a file's metadata.
SOURCE_KEY = b"source"

Vectors = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]


def read_class_vectors(path: Path, words: Path, classes: tuple[str, ...]) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Return one unit vector per class, computed from word vectors after the mean of all words is subtracted.

    Each class whose name has no vector gets an extra dimension, orthogonal to all other vectors.

    Args:
        path: `.npy`, (W, S).
        words: A text file with the W words, one per line.
        classes: The class table; `wine bottle` finds `wine_bottle` and `winebottle`, `motorbike` a `motorcycle`.

    Returns:
        (L, S + missing) float32, and the names of the classes that have no vector.

    Raises:
        ConfigError: None of the classes has a vector.
        SketchDataError: A file cannot be read, or the numbers of words and vectors differ.
    """
    try:
        with regular(path).open("rb") as file:
            read = npy_format.read_array(file, allow_pickle=False)  # type: ignore[no-untyped-call]
        vectors = read.astype(np.float64, casting="same_kind")
        names = regular(words).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError, TypeError, EOFError, MemoryError) as error:
        raise SketchDataError(f"{path} and {words} cannot be read as vectors and their words: {error}") from error
    if vectors.ndim != 2 or len(vectors) != len(names) or not np.isfinite(vectors).all():
        raise SketchDataError(
            f"{path} has the shape {vectors.shape}; expected a row of finite numbers for each of the {len(names):,} "
            f"lines of {words}"
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


def write_vectors(
    path: Path, words: Sequence[str], vectors: Vectors, counts: Counts, source: Mapping[str, Any]
) -> None:
    """Write the vectors of L classes, (L, S), with the number of vectors that each is the mean of, and their source.

    The file is written whole or not at all; the same values give the same bytes.

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
            # The numbers do not repeat: a dictionary would only be another copy.
            pq.write_table(table, file, compression="zstd", use_dictionary=False, write_statistics=False)
    except OSError as error:
        raise SketchDataError(f"{path} cannot be written: {error.strerror or error}") from error


def read_vectors(path: Path) -> tuple[tuple[str, ...], Vectors, Counts]:
    """Return the names of L classes, their vectors, (L, S), and the number of vectors that each is the mean of, (L,).

    Raises:
        SketchDataError: The file is missing or damaged, has other columns, is empty, or has a repeated class or a
            vector that is not finite.
    """
    try:
        table = pq.read_table(regular(path), partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise SketchDataError(f"{path} cannot be read as Parquet: {error}") from error
    kinds = {field.name: field.type for field in table.schema}
    vector: Any = kinds.get("vector", pa.null())
    plain_ones = kinds.get("word") == pa.string() and kinds.get("count") == pa.int64()
    if not plain_ones or not pa.types.is_fixed_size_list(vector) or vector.value_type != pa.float32():
        found = ", ".join(f"{name} {kind}" for name, kind in kinds.items()) or "none"
        raise SketchDataError(
            f"{path} is not a file of class vectors: expected the columns word string, count int64 and vector "
            f"fixed_size_list<float>, found {found}; `sketchdata edgemaps vectors` and `import vectors` write them"
        )
    words = tuple(table.column("word").to_pylist())
    if not words or len(set(words)) < len(words) or any(column.null_count for column in table.itercolumns()):
        raise SketchDataError(f"{path} has {len(words):,} rows; expected each class once and nothing empty")
    flat = table.column("vector").combine_chunks().flatten()
    vectors = np.array(flat.to_numpy(zero_copy_only=False), np.float32).reshape(len(words), -1)
    if not vectors.size or not np.isfinite(vectors).all():
        raise SketchDataError(f"{path} has vectors that are not finite: make it again")
    return words, vectors, np.array(table.column("count").to_numpy(), np.int64)


def read_source(path: Path) -> dict[str, Any]:
    """Return the description of the source of a file's class vectors.

    Raises:
        SketchDataError: The file is missing or damaged, or does not have one.
    """
    try:
        return dict(orjson.loads((pq.read_schema(path).metadata or {})[SOURCE_KEY]))
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise SketchDataError(f"{path} does not say where its class vectors come from: {error}") from error


#: Separator between the names of concatenated sources.
JOINT = "+"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
#: Maximum length of the joined names, in characters: they are part of file names.
_LONGEST = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class VectorSource:
    """A file of class vectors: its name without suffix, its W classes in the file's spelling, and (W, S) vectors."""

    name: str
    sha256: str
    words: tuple[str, ...]
    vectors: Vectors

    def of(self, classes: Sequence[str]) -> Vectors:
        """Return the vectors of L classes: (L, S).

        Raises:
            ConfigError: A class does not have a vector.
        """
        rows = {key: row for row, key in enumerate(by_spelling(self.words))}
        places = [find(word, rows) for word in classes]
        missing = [word for word, place in zip(classes, places, strict=True) if place is None]
        if missing:
            raise ConfigError(f"{self.name} has no vector for {', '.join(missing)}")
        return self.vectors[np.array(places, np.int64)]


def read_sources(paths: Sequence[Path]) -> tuple[VectorSource, ...]:
    """Read files of class vectors.

    Raises:
        ConfigError: A file does not exist, two have the same name, or a name cannot be part of file names.
        SketchDataError: A file cannot be read.
    """
    if not paths:
        raise ConfigError(
            "say where the class vectors are: --vectors FILE, as `sketchdata edgemaps vectors` and `sketchdata import "
            "vectors` write it"
        )
    names = [path.stem for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two files of class vectors are called {name}: give one of them another name")
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} names the results of a training: use letters, digits, dots, - and _ alone")
    if len(JOINT.join(names)) > _LONGEST:
        raise ConfigError(
            f"{JOINT.join(names)} is too long to name a file: give the files of class vectors shorter names"
        )
    found = ((path, *read_vectors(path)) for path in paths)
    return tuple(
        VectorSource(name=path.stem, sha256=hash_file(path, "sha256"), words=words, vectors=vectors)
        for path, words, vectors, _ in found
    )


def covered(
    classes: Sequence[str], sources: Sequence[VectorSource], *, allow_missing: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide a class table into the classes that all sources have, and the others.

    Raises:
        ConfigError: Some are missing and that is not allowed, or fewer than three are left.
    """
    tables = [by_spelling(source.words) for source in sources]
    lacking = {
        word: [s.name for s, t in zip(sources, tables, strict=True) if find(word, t) is None] for word in classes
    }
    missing = tuple(word for word, names in lacking.items() if names)
    if missing and not allow_missing:
        told = ", ".join(f"{word} ({', '.join(lacking[word])})" for word in missing[:10])
        more = f" and {len(missing) - 10:,} others" if len(missing) > 10 else ""
        raise ConfigError(
            f"{len(missing):,} of {len(classes):,} classes have no vector in a file of --vectors: {told}{more}; leave "
            "these classes out with --allow-missing"
        )
    kept = tuple(word for word in classes if word not in set(missing))
    if len(kept) < 3:
        raise ConfigError(f"{len(kept)} classes have vectors in all files of --vectors: at least 3 are needed")
    return kept, missing


def arranged(
    sources: Sequence[VectorSource], classes: Sequence[str], seen: Sequence[int] | npt.NDArray[np.int64]
) -> dict[str, Vectors]:
    """Return the vectors of each source and, of several sources, their concatenation: {name: (L, S)}.

    In the concatenation all sources have equal weight: the mean of the seen classes is subtracted, and vectors are
    scaled so that seen classes have mean square 1 / S. Unseen classes have no influence on the scaling.
    """
    found = {source.name: source.of(classes) for source in sources}
    if len(sources) < 2:
        return found
    parts = []
    for vectors in found.values():
        known = vectors[np.asarray(seen, np.int64)].astype(np.float64)
        size = np.sqrt(np.square(known - known.mean(axis=0)).sum(axis=1).mean())
        if not size:
            raise ConfigError("the vectors of all seen classes are the same, so nothing can be learned from them")
        parts.append((vectors - known.mean(axis=0)) / size)
    return found | {JOINT.join(found): np.concatenate(parts, axis=1).astype(np.float32)}
