"""Build an index over the codes of a split, for `sketchdata search`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import click
import numpy as np

from sketchdata.config import FOLDER, option, recorded
from sketchdata.engine.output_folder import OutputFolder
from sketchdata.formats.codes import Codes
from sketchdata.retrieval.code_folder import CodeFolder, open_codes
from sketchdata.retrieval.index import CODES, KEY_IDS, KINDS, LABELS, STRUCTURE, make_index, write_arrays
from sketchdata.storage.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Config:
    """The kind of index, its split and its folder."""

    out: Path = option(help="Folder of the index.", record=False, type=FOLDER)
    split: str = option("gallery", help="Split that is searched.")
    kind: str = option(
        "flat",
        help="Kind of index: flat compares with every code and is exact; the others, by faiss, are approximate.",
        type=click.Choice(list(KINDS)),
    )
    overwrite: bool = option(False, help="Replace another index in the folder.", record=False)


def run(directory: Path, config: Config) -> Manifest:
    """Build an index over a folder of codes and return its manifest.

    Raises:
        ConfigError: There is no such split, faiss is needed and not installed, or the folder holds something else.
        SketchDataError: There are no codes, or they are damaged.
    """
    source = open_codes(directory)
    # Read first: damaged codes must not cost the user the index that is to be overwritten.
    codes = source.read(config.split)
    names = frozenset({KEY_IDS, CODES, LABELS, STRUCTURE})
    folder = OutputFolder(out=config.out, plan=_plan(source, codes, config), names=names, noun="index")
    # Made before the claim: one that cannot be made must not cost the user the index that is to be overwritten.
    index = cache(partial(make_index, codes, config.kind))
    if (finished := folder.begin(overwrite=config.overwrite, check=index)) is not None:
        return finished
    return folder.finish([folder.publish(path.name, len(codes)) for path in write_arrays(index(), folder.work)], _card)


def _plan(source: CodeFolder, codes: Codes, config: Config) -> Manifest:
    counts = np.bincount(codes.labels, minlength=len(codes.classes)).tolist()
    facts = {"bits": source.bits, "model": source.model, "ids": source.manifest.config.get("ids")}
    return Manifest(
        name=f"{source.manifest.name}-index",
        config={**recorded(config), **facts},
        classes=codes.classes,
        counts={config.split: dict(zip(codes.classes, counts, strict=True))},
        rejects={},
        sources=(),
        files=(),
        parent=source.entry,
    )


def _card(manifest: Manifest) -> str:
    config, parent = manifest.config, manifest.parent
    made_from = "" if parent is None else f" of {parent.name} (sha256 of its manifest:\n`{parent.sha256}`)"
    return f"""# {manifest.name}

An index of the kind `{config["kind"]}` over {sum(manifest.splits.values()):,} binary codes of {config["bits"]} bits,
split {config["split"]}{made_from}. Written by {manifest.tool}.

`sketchdata search` finds the nearest drawings in it. `codes.npy`, `key_ids.npy` and `labels.npy` hold the codes
by rising key_id; bit j of a code is bit j % 8, the lowest first, of its byte j // 8. `manifest.json` lists every file
with its sha256; `sketchdata verify` checks them.
"""
