"""Several files of class vectors for one training: each alone, and all of them side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.class_spellings import by_spelling, find
from sketchdata.class_vectors import read_vectors
from sketchdata.errors import ConfigError
from sketchdata.manifest import hash_file

#: Between the names of sources that are side by side.
JOINT = "+"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
#: Of all names together: they name files.
_LONGEST = 100

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class VectorSource:
    """A file of class vectors.

    Attributes:
        name: Of the file, without its ending.
        sha256: Of its bytes.
        words: The W classes that it has, as it spells them.
        vectors: (W, S) float32.
    """

    name: str
    sha256: str
    words: tuple[str, ...]
    vectors: Vectors

    def has(self, word: str) -> bool:
        """Tell whether a class has a vector, whatever its spelling."""
        return find(word, by_spelling(self.words)) is not None

    def of(self, classes: Sequence[str]) -> Vectors:
        """Return the vectors of some classes: (L, S).

        Raises:
            ConfigError: One has none.
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
        ConfigError: There is none, or two have one name, or a name that would not do for a file.
        SketchDataError: One cannot be read.
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
            raise ConfigError(f"{name!r} is to name what is learned from it: take letters, digits, dots, - and _ alone")
    if len(JOINT.join(names)) > _LONGEST:
        raise ConfigError(f"{JOINT.join(names)} is to name a file: give the files of class vectors shorter names")
    found = []
    for path in paths:
        words, vectors, _ = read_vectors(path)
        found.append(
            VectorSource(name=path.stem, sha256=hash_file(path, "sha256"), words=words, vectors=vectors),
        )
    return tuple(found)


def covered(
    classes: Sequence[str], sources: Sequence[VectorSource], *, allow_missing: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide a class table into the classes that all sources have, and those that one of them lacks.

    Raises:
        ConfigError: Some are lacking and that is not allowed, or fewer than three are left.
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
        raise ConfigError(f"{len(kept)} classes have vectors in all files of --vectors: 3 are needed at least")
    return kept, missing


def arranged(
    sources: Sequence[VectorSource], classes: Sequence[str], seen: Sequence[int] | npt.NDArray[np.int64]
) -> dict[str, Vectors]:
    """Return the vectors of each source, and, of several, all of them side by side: {name: (L, S)}.

    Side by side, each source counts for the same: the mean of the seen classes is taken off, and what is left of theirs
    has mean square 1 / S. No unseen class has a say in it.
    """
    found = {source.name: source.of(classes) for source in sources}
    if len(sources) > 1:
        parts = [_levelled(vectors, np.asarray(seen, np.int64)) for vectors in found.values()]
        found[JOINT.join(found)] = np.concatenate(parts, axis=1).astype(np.float32)
    return found


def _levelled(vectors: Vectors, seen: npt.NDArray[np.int64]) -> Any:
    known = vectors[seen].astype(np.float64)
    apart = vectors - known.mean(axis=0)
    size = np.sqrt(np.square(known - known.mean(axis=0)).sum(axis=1).mean())
    if not size:
        raise ConfigError("the vectors of all seen classes are the same, so nothing is to be learnt from them")
    return apart / size
