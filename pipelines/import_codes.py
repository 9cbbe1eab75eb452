"""Import binary codes that another program made, as a folder of codes: for our measures, our index, our search."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import click

from sketchdata.config import option
from sketchdata.formats import deephash
from sketchdata.retrieval.code_folder import KEY_IDS, ROW_NUMBERS, Origin, code_folder, write_codes
from sketchdata.storage.catalog import read_class_table
from sketchdata.storage.manifest import Manifest, ParentEntry, hash_file


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the codes are, and where they go."""

    out: Path = option(help="Folder of the codes.", record=False, type=click.Path(file_okay=False, path_type=Path))
    format: str = option("deephash", help="Of what is imported.", type=click.Choice(["deephash"]))
    classes: Path | None = option(
        None,
        help="Class table, a name a line. Default: class 0, class 1 and so on.",
        type=click.Path(dir_okay=False, path_type=Path),
    )
    overwrite: bool = option(False, help="Replace other codes in the folder.", record=False)


def run(directory: Path, config: Config) -> Manifest:
    """Write the codes in a folder of arrays as a folder of codes, and return its manifest.

    Raises:
        ConfigError: The class table cannot be read or does not fit, or the folder holds something else.
        FormatError: An array is missing, or holds something that is no code or no single class.
    """
    found = deephash.read_folder(directory, None if config.classes is None else read_class_table(config.classes))
    listed = "".join(f"{path.name} {hash_file(path, 'sha256')}\n" for path in deephash.files_of(directory))
    source = ParentEntry(name=config.format, sha256=hashlib.sha256(listed.encode()).hexdigest())
    ids = KEY_IDS if found.has_key_ids else ROW_NUMBERS
    origin = Origin(data=source, bits=found.gallery.bits, classes=found.gallery.classes, model=None, ids=ids)
    splits = {"gallery": lambda: found.gallery, "query": lambda: found.query}
    return write_codes(code_folder(config.out, origin, list(splits)), splits, overwrite=config.overwrite)
