"""Build an index over codes of drawings or photos, or over vectors of photos, for `sketchdata search`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from sketchdata.config import FOLDER, option, recorded
from sketchdata.engine.output_folder import OutputFolder
from sketchdata.errors import ConfigError
from sketchdata.formats.codes import MAX_BITS, Codes, joined
from sketchdata.names import names_in
from sketchdata.retrieval.code_folder import CodeFolder, open_codes
from sketchdata.retrieval.index import CODES, KEY_IDS, KINDS, LABELS, STRUCTURE, make_index, write_arrays
from sketchdata.retrieval.vector_folder import PictureVectors, VectorFolder, is_vectors, open_vectors
from sketchdata.retrieval.vector_index import FILES as VECTOR_FILES
from sketchdata.retrieval.vector_index import ITQ, VECTOR_KINDS, make_vector_index, write_vector_arrays
from sketchdata.storage.manifest import Manifest, read_manifest


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: kind of index, splits, and output folder."""

    out: Path = option(help="Folder of the index.", record=False, type=FOLDER)
    split: str | None = option(
        None,
        help="Split to index; for photos, comma-separated names. Default: gallery, or all splits of photos.",
    )
    kind: str = option(
        "flat",
        help="Kind of index: flat is exact; ivf, hnsw and multihash (for codes), hnsw and ivf-pq (for vectors), by "
        "faiss, are approximate; itq turns vectors into binary codes.",
        type=click.Choice(list(dict.fromkeys((*KINDS, *VECTOR_KINDS)))),
    )
    bits: int | None = option(
        None, help="Length of a code, for itq. Default: 64.", type=click.IntRange(1, MAX_BITS), record=False
    )
    fit: str | None = option(
        None,
        help="Split of the vectors that itq learns from. Default: seen-photos if it exists, else the indexed splits.",
        record=False,
    )
    overwrite: bool = option(False, help="Replace another index in the folder.", record=False)


def run(directory: Path, config: Config) -> Manifest:
    """Build an index over a folder of codes or vectors and return its manifest.

    Raises:
        ConfigError: The split or kind does not exist, faiss is required but not installed, or the folder has other
            content.
        SketchDataError: The codes or vectors are missing or damaged.
    """
    if is_vectors(read_manifest(directory)):
        return _index_vectors(open_vectors(directory), config)
    if config.kind not in KINDS:
        raise ConfigError(f"--kind {config.kind} is for vectors, and {directory} has codes: take {', '.join(KINDS)}")
    if config.bits is not None or config.fit is not None:
        raise ConfigError(f"--bits and --fit are for vectors, and {directory} has codes")
    source = open_codes(directory)
    splits = names_in(config.split or "") or source.photos or ("gallery",)
    if len(splits) > 1 and not set(splits) <= set(source.photos):
        raise ConfigError(f"--split {config.split}: several splits can be joined of photos alone: name one of drawings")
    # Read first, so that damaged codes do not destroy the index to overwrite.
    codes = joined([source.read(split) for split in splits])
    names = frozenset({KEY_IDS, CODES, LABELS, STRUCTURE})
    folder = OutputFolder(out=config.out, plan=_plan(source, codes, splits, config), names=names, noun="index")
    # Built before the folder is claimed, so that an error does not destroy the index to overwrite.
    index = cache(partial(make_index, codes, config.kind))
    if (finished := folder.begin(overwrite=config.overwrite, check=index)) is not None:
        return finished
    return folder.finish([folder.publish(path.name, len(codes)) for path in write_arrays(index(), folder.work)], _card)


def _plan(source: CodeFolder, codes: Codes, splits: Sequence[str], config: Config) -> Manifest:
    facts: dict[str, Any] = {"split": ",".join(splits), "bits": source.bits, "model": source.model}
    facts["ids"] = source.manifest.config.get("ids")
    if source.photos and source.manifest.parent is not None:
        facts |= {"splits": list(splits), "data": asdict(source.manifest.parent)}
    return Manifest(
        name=f"{source.manifest.name}-index",
        config={**recorded(config), **facts},
        classes=codes.classes,
        counts={split: source.manifest.counts[split] for split in splits},
        rejects={},
        sources=(),
        files=(),
        parent=source.entry,
    )


def _card(manifest: Manifest) -> str:
    config, parent = manifest.config, manifest.parent
    made_from = "" if parent is None else f" of {parent.name} (sha256 of its manifest:\n`{parent.sha256}`)"
    nouns = "photos" if "data" in config else "drawings"
    return f"""# {manifest.name}

An index of the kind `{config["kind"]}` over {sum(manifest.splits.values()):,} binary codes of {config["bits"]} bits,
split {config["split"]}{made_from}. Written by {manifest.tool}.

`sketchdata search` finds the nearest {nouns} in it. `codes.npy`, `key_ids.npy` and `labels.npy` hold the codes
by rising key_id; bit j of a code is bit j % 8, the lowest first, of its byte j // 8. `manifest.json` lists every file
with its sha256; `sketchdata verify` checks them.
"""


def _index_vectors(source: VectorFolder, config: Config) -> Manifest:
    if config.kind not in VECTOR_KINDS:
        raise ConfigError(
            f"--kind {config.kind} is for codes, and {source.path} has vectors: take {', '.join(VECTOR_KINDS)}"
        )
    if config.kind != ITQ and (config.bits is not None or config.fit is not None):
        raise ConfigError(f"--bits and --fit are for --kind {ITQ}")
    there = source.manifest.config["splits"]
    splits = names_in(config.split or "") or tuple(split for split in there if split.endswith("-photos"))
    if not splits:
        raise ConfigError(f"{source.path} has no photos: choose splits with --split, of {', '.join(there)}")
    parts = [source.read(split) for split in splits]
    vectors = PictureVectors(
        rows=np.concatenate([part.rows for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        key_ids=np.concatenate([part.key_ids for part in parts]),
        classes=source.manifest.classes,
    )
    kept = ("width", "precision", "model", "layer")
    facts: dict[str, Any] = {name: source.manifest.config[name] for name in kept if name in source.manifest.config}
    facts |= {"kind": config.kind, "splits": list(splits), "data": asdict(source.data)}
    fit = None
    if config.kind == ITQ:
        seen = "seen-photos"
        name = config.fit or (seen if seen in there else ",".join(splits))
        fit = source.read(name) if config.fit or seen in there else vectors
        facts |= {"bits": config.bits or 64, "fit": name}
    plan = Manifest(
        name=f"{source.manifest.name}-index",
        config=facts,
        classes=vectors.classes,
        counts={split: source.manifest.counts[split] for split in splits},
        rejects={},
        sources=(),
        files=(),
        parent=source.entry,
    )
    folder = OutputFolder(out=config.out, plan=plan, names=VECTOR_FILES, noun="index")
    index = cache(partial(make_vector_index, vectors, config.kind, bits=config.bits or 64, fit=fit))
    if (finished := folder.begin(overwrite=config.overwrite, check=index)) is not None:
        return finished
    paths = write_vector_arrays(index(), folder.work)
    return folder.finish([folder.publish(path.name, len(vectors)) for path in paths], _vector_card)


def _vector_card(manifest: Manifest) -> str:
    config = manifest.config
    kept = f"{config['width']:,} {config['precision']} values"
    if config["kind"] == ITQ:
        kept = f"{config['bits']} bits, by ITQ learned from {config['fit']}"
    return f"""# {manifest.name}

An index of the kind `{config["kind"]}` over {sum(manifest.splits.values()):,} vectors of
{", ".join(config["splits"])}: {kept} each. Written by {manifest.tool}.

`sketchdata search` and `sketchdata serve` find the pictures that are nearest to a drawing in it. Rows are by rising
key_id. `manifest.json` lists every file with its sha256; `sketchdata verify` checks them.
"""
