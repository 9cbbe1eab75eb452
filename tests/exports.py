"""Exporting in this process and by the command, and looking at what came out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sketchdata.engine import EngineOptions
from sketchdata.pipelines.exports import NdjsonConfig, WebDatasetConfig, export_ndjson, export_webdataset
from sketchdata.storage.manifest import Manifest, hash_file
from tests.builds import IN_PROCESS
from tests.commands import sketchdata

Export = Callable[..., Manifest | None]


def tars(directory: Path, out: Path, engine: EngineOptions = IN_PROCESS, **options: Any) -> Manifest | None:
    return export_webdataset(directory, WebDatasetConfig(out=out, **options), engine)


def text(directory: Path, out: Path, engine: EngineOptions = IN_PROCESS, **options: Any) -> Manifest | None:
    return export_ndjson(directory, NdjsonConfig(out=out, **options), engine)


EXPORTS = pytest.mark.parametrize("export", [tars, text])


def tree(folder: Path) -> dict[str, str]:
    """Return {path: sha256} of every file."""
    return {p.relative_to(folder).as_posix(): hash_file(p, "sha256") for p in sorted(folder.rglob("*")) if p.is_file()}


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return sketchdata("export", *arguments, expect=None)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
