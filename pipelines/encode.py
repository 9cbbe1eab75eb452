"""Encode the drawings of a data set as binary codes, or drawings and photos as vectors or codes, by a trained network.

The file of a split is written atomically, so a stopped run resumes with the missing splits.
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
from sketchdata.retrieval.vector_folder import PRECISIONS, PictureVectors, vector_folder, write_vectors
from sketchdata.storage.dataset import open_parent
from sketchdata.storage.manifest import MANIFEST_NAME, Manifest, ParentEntry, hash_file, read_manifest

if TYPE_CHECKING:
    from sketchdata.formats.codes import Codes

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: splits, and output folder."""

    out: Path = option(help="Folder of the codes or vectors.", record=False, type=FOLDER)
    splits: str | None = option(
        None,
        help=f"Comma-separated names, or `{ALL}`. Default: gallery,query; for drawings and photos unseen, a group, "
        "which means unseen-drawings,unseen-photos.",
        record=False,
        metavar="A,B,…",
    )
    precision: str = option(
        "float32",
        help="Type of the values of vectors.",
        record=False,
        type=click.Choice(list(PRECISIONS)),
    )
    layer: str | None = option(
        None,
        help="Layer of a network of `train dsf`, brought to length 1: fc6, fc7 (the classifier's input) or fc6+fc7. "
        "Default: that of the run, fc6+fc7 where it has both.",
        record=False,
        type=click.Choice(["fc6", "fc7", "fc6+fc7"]),
    )
    device: str = option("auto", help="Device: auto, cpu, cuda, cuda:1.", record=False)
    batch_size: int | None = option(
        None,
        help="Drawings or photos at a time. Default: 512; for drawings and photos 64.",
        record=False,
        type=click.IntRange(1, 1_000_000),
    )
    overwrite: bool = option(False, help="Replace other codes or vectors in the folder.", record=False)


def run(run_folder: Path, data: Path, config: Config) -> Manifest:
    """Encode splits and return the manifest of the folder of codes or vectors.

    Runs of `train sbir` give vectors of drawings and photos, runs of `train zsih` codes of them, other runs codes of
    drawings.

    Args:
        run_folder: Folder of a finished training.
        data: A built data set or bitmaps, of any classes; for a run of `train sbir` or `train zsih`, drawings and
            photos.
        config: Splits and output folder.

    Raises:
        ConfigError: A split does not exist or has no pictures, the layer of the network is too wide for codes, torch is
            not installed, or the folder has other content.
        SketchDataError: The training is unfinished, or the data set is missing or damaged.
    """
    with needs_extra("encoding", "train"):
        from sketchdata.cross_domain.encoder import holds_space
        from sketchdata.training.bitmaps import holds_bitmaps, identity, read_split
        from sketchdata.training.distributed import device_of
        from sketchdata.training.encoder import encode, read_encoder
        from sketchdata.training.run_folder import MODEL
    if holds_space(run_folder):
        return _embed(run_folder, data, config)
    if config.layer is not None:
        raise ConfigError(f"--layer is for networks of `sketchdata train dsf`, and {run_folder} holds another: omit it")
    trained = read_encoder(run_folder)
    wanted = config.splits or "gallery,query"
    if holds_bitmaps(data):
        source, ids, splits = _bitmaps(data, wanted)
    else:
        parent = open_parent(data, None if wanted == ALL else wanted, config.out, tars=True)
        parent.check_files()
        source, ids, splits = parent.entry, KEY_IDS, parent.splits
    model = hash_file(run_folder / MODEL, "sha256")
    origin = CodeOrigin(data=source, bits=trained.width, classes=identity(data)[0], model=model, ids=ids)
    folder = code_folder(config.out, origin, splits)
    device = str(device_of(config.device))

    def encoded(split: str) -> Codes:
        return encode(trained, read_split(data, split), device=device, batch_size=config.batch_size or 512)

    return write_codes(folder, {split: partial(encoded, split) for split in splits}, overwrite=config.overwrite)


def _embed(run_folder: Path, data: Path, config: Config) -> Manifest:
    from sketchdata.cross_domain.encoder import embed_shards, read_space
    from sketchdata.cross_domain.layouts import DOMAINS, GROUPS, UNSEEN, is_two_domains
    from sketchdata.formats.codes import Codes, pack_bits
    from sketchdata.training.distributed import device_of
    from sketchdata.training.run_folder import MODEL

    manifest = read_manifest(data)
    if not is_two_domains(manifest):
        raise ConfigError(
            f"{run_folder} is a training on drawings and photos, and {data} holds {manifest.name}: give a data set of "
            "`sketchdata build sbir`"
        )
    encoder = read_space(run_folder, config.layer)
    groups = {group: [f"{group}-{domain}" for domain in DOMAINS] for group in GROUPS}
    named = names_in(config.splits or UNSEEN)
    known = [split for own in groups.values() for split in own]
    unknown = [name for name in named if name not in (ALL, *groups, *known)]
    if unknown or not named:
        raise ConfigError(
            f"there is no split {', '.join(unknown)}; {data} has {', '.join(known)}, and the groups {', '.join(GROUPS)}"
        )
    chosen = {split for name in named for split in (known if name == ALL else groups.get(name, [name]))}
    splits = [split for split in known if split in chosen and manifest.splits[split]]
    if not splits:
        raise ConfigError(f"{data} has no pictures in {', '.join(sorted(chosen))}: choose another of its --splits")
    if encoder.bits and config.precision != "float32":
        raise ConfigError(f"--precision is of vectors, and {run_folder} gives codes: leave it out")
    model, device = hash_file(run_folder / MODEL, "sha256"), str(device_of(config.device))
    entry = ParentEntry(name=manifest.name, sha256=hash_file(data / MANIFEST_NAME, "sha256"))

    def embedded(split: str) -> PictureVectors:
        return embed_shards(encoder, data, manifest, split, device=device, batch_size=config.batch_size or 64)

    def encoded(split: str) -> Codes:
        found = embedded(split)
        return Codes(
            bits=encoder.bits,
            packed=pack_bits(found.rows > 0),
            labels=found.labels,
            key_ids=found.key_ids,
            classes=found.classes,
        )

    if encoder.bits:
        origin = CodeOrigin(data=entry, bits=encoder.bits, classes=manifest.classes, model=model)
        codes = code_folder(config.out, origin, splits)
        return write_codes(codes, {split: partial(encoded, split) for split in splits}, overwrite=config.overwrite)
    facts = {"width": encoder.width, "precision": config.precision, "model": model}
    if encoder.layer is not None:
        facts["layer"] = encoder.layer
    folder = vector_folder(config.out, data=entry, classes=manifest.classes, splits=splits, facts=facts)
    return write_vectors(folder, {split: partial(embedded, split) for split in splits}, overwrite=config.overwrite)


def _bitmaps(place: Path, splits: str) -> tuple[ParentEntry, str, Sequence[str]]:
    from sketchdata.training.bitmaps import fingerprint

    wanted = set(PROPORTIONS) if splits == ALL else set(names_in(splits) or ("",))
    unknown = sorted(wanted - set(PROPORTIONS))
    if unknown:
        raise ConfigError(f"there is no split {', '.join(unknown)}; bitmaps are split into {', '.join(PROPORTIONS)}")
    entry = ParentEntry(name="bitmaps", sha256=fingerprint(place))
    return entry, ROW_NUMBERS, [split for split in PROPORTIONS if split in wanted]
