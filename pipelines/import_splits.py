"""Import the lists of SAKE and ZSE-SBIR as a split of classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import click

from sketchdata.classes import lists as class_lists
from sketchdata.classes import splits
from sketchdata.classes.splits import SplitNames
from sketchdata.config import option
from sketchdata.errors import ConfigError
from sketchdata.storage.manifest import replacing


@dataclass(frozen=True, kw_only=True)
class Config:
    """Where the split goes."""

    out: Path = option(help="The file to write.", type=click.Path(dir_okay=False, path_type=Path))
    overwrite: bool = option(False, help="Replace that file.")


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was read.

    Attributes:
        names: The split.
        pictures: {list of pictures: (how many, of how many classes)}.
    """

    names: SplitNames
    pictures: dict[str, tuple[int, int]] = field(default_factory=dict)


def run(directory: Path, config: Config) -> Imported:
    """Read the lists of a folder, all of them, and write the split of the classes as one list of names.

    Raises:
        ConfigError: There is no such folder, or the file is there already.
        FormatError: A list is missing or damaged.
    """
    if config.out.exists() and not config.overwrite:
        raise ConfigError(f"{config.out} is there already: choose another --out, or --overwrite it")
    lists = class_lists.read_folder(directory)
    names = SplitNames(seen=lists.seen, unseen=lists.unseen)
    head = [f"{len(lists.seen):,} seen and {len(lists.unseen):,} unseen classes, from lists in the manner of SAKE."]
    with replacing(config.out) as file:
        file.write(splits.dump(names, head).encode())
    pictures = {name: (len(own.paths), len(set(own.labels.tolist()))) for name, own in lists.pictures.items()}
    return Imported(names=names, pictures=pictures)
