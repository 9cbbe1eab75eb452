"""Encode the drawings of a data set as binary codes, by a trained network.

The file of a split is written whole, so a run that was stopped goes on with the missing splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sketchdata.config import FOLDER, option
from sketchdata.drawings.sampling import PROPORTIONS
from sketchdata.errors import ConfigError, needs_extra
from sketchdata.names import names_in
from sketchdata.retrieval.code_folder import KEY_IDS, ROW_NUMBERS, CodeOrigin, code_folder, write_codes
from sketchdata.storage.dataset import open_parent
from sketchdata.storage.manifest import Manifest, ParentEntry, hash_file

if TYPE_CHECKING:
    from sketchdata.formats.codes import Codes

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Config:
    """The splits to encode, and the folder of codes."""

    out: Path = option(help="Folder of the codes.", record=False, type=FOLDER)
    splits: str = option(
        "gallery,query", help=f"Comma-separated names, or {ALL} that have drawings.", record=False, metavar="A,B,…"
    )
    device: str = option("auto", help="Device: auto, cpu, cuda, cuda:1.", record=False)
    batch_size: int = option(512, help="Drawings at a time.", record=False, type=click.IntRange(1, 1_000_000))
    overwrite: bool = option(False, help="Replace other codes in the folder.", record=False)


def run(run_folder: Path, data: Path, config: Config) -> Manifest:
    """Encode some splits and return the manifest of the folder of codes.

    Args:
        run_folder: Of a finished training.
        data: A built data set or bitmaps, of any classes.
        config: The splits, and the folder.

    Raises:
        ConfigError: There is no such split, the network's layer is too wide for codes, torch is not installed, or the
            folder holds something else.
        SketchDataError: The training is not finished, or the data set is missing or damaged.
    """
    with needs_extra("encoding", "train"):
        from sketchdata.training.bitmaps import holds_bitmaps, identity, read_split
        from sketchdata.training.distributed import device_of
        from sketchdata.training.encoder import encode, read_encoder
        from sketchdata.training.run_folder import MODEL
    trained = read_encoder(run_folder)
    if holds_bitmaps(data):
        source, ids, splits = _bitmaps(data, config)
    else:
        parent = open_parent(data, None if config.splits == ALL else config.splits, config.out, tars=True)
        parent.check_files()
        source, ids, splits = parent.entry, KEY_IDS, parent.splits
    model = hash_file(run_folder / MODEL, "sha256")
    origin = CodeOrigin(data=source, bits=trained.width, classes=identity(data)[0], model=model, ids=ids)
    folder = code_folder(config.out, origin, splits)
    device = str(device_of(config.device))

    def encoded(split: str) -> Codes:
        return encode(trained, read_split(data, split), device=device, batch_size=config.batch_size)

    return write_codes(folder, {split: partial(encoded, split) for split in splits}, overwrite=config.overwrite)


def _bitmaps(place: Path, config: Config) -> tuple[ParentEntry, str, Sequence[str]]:
    from sketchdata.training.bitmaps import fingerprint

    wanted = set(PROPORTIONS) if config.splits == ALL else set(names_in(config.splits) or ("",))
    unknown = sorted(wanted - set(PROPORTIONS))
    if unknown:
        raise ConfigError(f"there is no split {', '.join(unknown)}; bitmaps are split into {', '.join(PROPORTIONS)}")
    entry = ParentEntry(name="bitmaps", sha256=fingerprint(place))
    return entry, ROW_NUMBERS, [split for split in PROPORTIONS if split in wanted]
