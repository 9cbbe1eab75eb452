"""Export a folder of binary codes as other hashing programs keep them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click

from sketchdata.config import option
from sketchdata.engine.output_folder import OutputFolder
from sketchdata.errors import ConfigError
from sketchdata.formats import deephash
from sketchdata.formats.codes import Codes
from sketchdata.retrieval.code_folder import CodeFolder, open_codes
from sketchdata.storage.cards import deephash_card
from sketchdata.storage.manifest import FileEntry, Manifest, replacing

#: The class table, a name a line.
CLASSES_FILE = "classes.txt"


@dataclass(frozen=True, kw_only=True)
class Config:
    """How codes are written, and where they go."""

    out: Path = option(help="Folder of the export.", record=False, type=click.Path(file_okay=False, path_type=Path))
    format: str = option("deephash", help="Of the codes.", type=click.Choice(["deephash"]))
    overwrite: bool = option(False, help="Replace another export in the folder.", record=False)


def run(directory: Path, config: Config) -> Manifest:
    """Write the gallery and the queries of a folder of codes as arrays, and return the export's manifest.

    Raises:
        ConfigError: The codes have no gallery or no queries, or the folder is not free.
        SketchDataError: There are no codes, or they are damaged.
    """
    codes = open_codes(directory)
    absent = [split for split in deephash.PARTS if split not in codes.manifest.counts]
    if absent:
        has = ", ".join(codes.manifest.counts)
        raise ConfigError(f"{directory} has the splits {has}, and DeepHash's arrays need {' and '.join(absent)} too")
    if directory.resolve() in (config.out.resolve(), *config.out.resolve().parents):
        raise ConfigError(f"an export cannot lie in {directory}, from which it is made: choose another --out")
    contents = _contents({split: codes.read(split) for split in deephash.PARTS}, codes)
    folder = OutputFolder(out=config.out, plan=_plan(codes, config), names=frozenset(contents))
    if (finished := folder.begin(overwrite=config.overwrite)) is not None:
        return finished
    return folder.finish([_write(folder, name, *content) for name, content in contents.items()], deephash_card)


def _plan(codes: CodeFolder, config: Config) -> Manifest:
    return Manifest(
        name=f"{codes.manifest.name}-{config.format}",
        config={"format": config.format, "bits": codes.bits, "ids": codes.manifest.config["ids"]},
        classes=codes.manifest.classes,
        counts={split: codes.manifest.counts[split] for split in deephash.PARTS},
        rejects={},
        sources=(),
        files=(),
        parent=codes.entry,
    )


#: What writes a file, and its records.
_Content = tuple[Callable[[BinaryIO], object], int]


def _contents(splits: dict[str, Codes], codes: CodeFolder) -> dict[str, _Content]:
    table = "".join(f"{word}\n" for word in codes.manifest.classes).encode()
    contents: dict[str, _Content] = {CLASSES_FILE: (lambda file: file.write(table), len(codes.manifest.classes))}
    for name, (own, kind) in deephash.arrays(splits).items():
        contents[name] = (partial(deephash.dump, own, kind), len(own))
    return contents


def _write(folder: OutputFolder, name: str, write: Callable[[BinaryIO], object], records: int) -> FileEntry:
    with replacing(folder.work / name) as file:
        write(file)
    return folder.publish(name, records)
