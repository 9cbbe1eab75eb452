"""Import published word vectors as a file of class vectors, for zero-shot recognition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from sketchdata.classes.vectors import write_vectors
from sketchdata.classes.word_vectors import Match, Vector, WordSearch, read_file
from sketchdata.config import option
from sketchdata.errors import ConfigError
from sketchdata.storage.catalog import manifest_path, read_class_table
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import hash_file

#: What the file says that its vectors are.
KIND = "words"
QUICKDRAW = "quickdraw"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Of which classes, and where the vectors go."""

    out: Path = option(help="The file, such as words.parquet.", type=click.Path(dir_okay=False, path_type=Path))
    words: Path | None = option(
        None,
        help="The words of a .npy file's rows, a text file with a line each.",
        type=click.Path(dir_okay=False, path_type=Path),
    )
    classes: str = option(
        QUICKDRAW, help="Class table: quickdraw, a data set's folder, or a file, a name a line.", metavar="DATA|FILE"
    )
    allow_missing: bool = option(False, help="Leave out classes that have no word, instead of refusing.")


def run(path: Path, config: Config) -> dict[str, Any]:
    """Write the vectors, and return what they are and where they come from.

    A vector is the file's own, unchanged, or the mean of those of the words of a name. One of zeros alone, which stands
    for an unknown word in files of many programs, counts as none.

    Args:
        path: Word vectors, of any kind that `formats.word_vectors` knows.
        config: Of which classes, and where to.

    Returns:
        `kind`, `file` and `words` (names and sha256), `missing` (classes without a vector) and `stand_ins` ({class: its
        words, where they are not its name as it stands}), which the file says as well; then `out`, `classes` and
        `numbers`, how many a vector has.

    Raises:
        ConfigError: Classes have no word, the class table cannot be read, or `words` does not go with the file.
        FormatError: The file is missing, damaged or of another kind.
        SketchDataError: The data set is missing or damaged, or the file cannot be written.
    """
    classes = _table(config.classes)
    search: WordSearch[Vector] = WordSearch(classes)
    for each in read_file(path, config.words, search.wants):
        if each.vector.any():
            search.offer(each.word, each.vector)
    found = {name: match for name in classes if (match := search.find(name))}
    missing = [name for name in classes if name not in found]
    _check(missing, path, config, len(classes))
    source = {
        "kind": KIND,
        "file": _named(path),
        "words": None if config.words is None else _named(config.words),
        "missing": missing,
        "stand_ins": {name: match.words for name, match in found.items() if match.words != (name,)},
    }
    vectors = _means(list(found.values()))
    counts = np.array([len(match.words) for match in found.values()], np.int64)
    write_vectors(config.out, list(found), vectors, counts, source)
    return source | {"out": str(config.out), "classes": len(found), "numbers": vectors.shape[1]}


def _table(name: str) -> tuple[str, ...]:
    if name != QUICKDRAW and Path(name).is_dir():
        return open_dataset(Path(name)).manifest.classes
    return read_class_table(manifest_path("quickdraw-categories.txt") if name == QUICKDRAW else Path(name))


def _check(missing: Sequence[str], path: Path, config: Config, classes: int) -> None:
    """See to it that classes have vectors.

    Raises:
        ConfigError: Some have none, and that is not allowed; or all.
    """
    if len(missing) == classes:
        raise ConfigError(f"{path} has no word for any of the {classes:,} classes, {', '.join(missing[:3])}…")
    if missing and not config.allow_missing:
        raise ConfigError(
            f"{path} has no word for {len(missing):,} of the {classes:,} classes: {', '.join(missing)}; give them a "
            "word there, take another class table by --classes, or leave them out with --allow-missing"
        )


def _means(matches: Sequence[Match[Vector]]) -> Vector:
    return np.array([np.mean(match.entries, axis=0, dtype=np.float64) for match in matches], np.float32)


def _named(path: Path) -> dict[str, str]:
    # The name alone, as folders mean nothing elsewhere.
    return {"name": path.name, "sha256": hash_file(path, "sha256")}
