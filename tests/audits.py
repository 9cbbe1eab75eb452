"""Small data sets of several shards a split to audit, and ways to damage them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import file_entry, read_manifest
from tests.quickdraw_builds import build, generate
from tests.trees import tree

SHARD_ROWS = 100


def build_in_shards(folder: Path, change: Callable[[Path], None] | None = None, **options: object) -> Path:
    """Build generated drawings of four classes into shards of 100 rows at most; return the data set's folder.

    Args:
        folder: Where the source and the data set go.
        change: Called with the source's folder, before the build.
        **options: Fields of the build's Config.
    """
    source = generate(folder / "source")
    if change is not None:
        change(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sketchdata.engine.assembly.SHARD_ROWS", SHARD_ROWS)
        build(source, folder / "out", **options)
    return folder / "out"


def rows_of(directory: Path) -> Iterator[tuple[str, DrawingBatch]]:
    """Yield (split, drawings) of a whole data set, in the order of its rows."""
    dataset = open_dataset(directory)
    for split, drawings in dataset.manifest.splits.items():
        if drawings:
            yield from ((split, batch) for batch in dataset.batches(split))


def audit_files(directory: Path) -> dict[str, bytes]:
    return tree(directory / "audit")


def data_sha256(directory: Path) -> dict[str, str]:
    """Hash every file that is not an audit's."""
    files = tree(directory).items()
    return {name: hashlib.sha256(content).hexdigest() for name, content in files if not name.startswith("audit/")}


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def relist(directory: Path, name: str, records: int) -> None:
    """Write a manifest that lists a file as it is now."""
    manifest, entry = read_manifest(directory), file_entry(directory / name, directory, records)
    files = tuple(entry if file.path == name else file for file in manifest.files)
    dataclasses.replace(manifest, files=files).write(directory)
