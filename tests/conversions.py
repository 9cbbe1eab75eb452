"""Conversions as tests make them: official lines in, files or commands run, records out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from sketchdata.pipelines import convert
from sketchdata.pipelines.convert import Config, Converted
from tests.builds import official_line

#: Lines that are no records.
BAD = [b"{broken\n", b"[]\n", b'{"word":"star"}\n', b'{"word":"star","drawing":[[1]]}\n']
COMMAND = [sys.executable, "-m", "sketchdata", "convert"]


def lines_of(count: int = 30, *, word: str = "star", raw: bool = False) -> bytes:
    return b"".join(official_line(word, number, raw=raw) for number in range(count))


def go(source: Path | str, out: Path | str, **options: Any) -> Converted:
    return convert.run(str(source), str(out), Config(**options))


def chain(folder: Path, content: bytes, *names: str, **options: Any) -> bytes:
    """Convert from file to file and return the content of the last one."""
    source = folder / names[0]
    source.write_bytes(content)
    for number, name in enumerate(names[1:]):
        step = folder / str(number)
        step.mkdir()
        go(source, f"{step}/{name}", **options)
        source = step / name
    return source.read_bytes()


def records(content: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in content.splitlines()]


def drawings(content: bytes) -> list[Any]:
    return [record["drawing"] for record in records(content)]


def command(
    *arguments: str | Path, given: bytes = b"", folder: Path, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=given,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=120,
    )
