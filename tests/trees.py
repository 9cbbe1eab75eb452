"""Whole folders as values: their names and contents."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path


def tree(folder: Path) -> dict[str, bytes]:
    """Return {path within the folder: content} of every file, hidden ones included."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def tree_sha256(folder: Path) -> str:
    """Hash the names and contents of every file; a missing or empty folder is an error of the test that asks."""
    files = tree(folder)
    assert files, f"{folder} holds no files"
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def tree_bytes(folder: Path) -> int:
    """Return the size of all files; they may come and go meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(place) / name).stat().st_size
    return total
