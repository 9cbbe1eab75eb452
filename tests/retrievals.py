"""Binary codes for tests: made up, or of generated drawings by a network trained for a moment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch

from sketchdata.formats.codes import Codes, pack_bits
from sketchdata.pipelines import encode, index
from sketchdata.retrieval.code_folder import CodeOrigin, code_folder, write_codes
from sketchdata.storage.manifest import Manifest, ParentEntry, hash_file
from sketchdata.trainers import hashing
from tests.trainings import EPOCHS, generated_dataset, loop, network

CLASSES = ("apple", "bee", "cat", "dog")


def codes_like_drawings(count: int, *, bits: int = 16, seed: int = 0, classes: tuple[str, ...] = CLASSES) -> Codes:
    """Return codes of which those of a class are alike, and key_ids in no order."""
    random = np.random.default_rng([seed, count, bits])
    centres = np.random.default_rng(bits).random((len(classes), bits)) < 0.5
    labels = random.integers(0, len(classes), count)
    return Codes(
        bits=bits,
        packed=pack_bits(centres[labels] ^ (random.random((count, bits)) < 0.1)),
        labels=labels.astype(np.uint16),
        key_ids=random.permutation(10 * count)[:count].astype(np.uint64) + np.uint64(2**53),
        classes=classes,
    )


def origin(codes: Codes, model: str | None = "e" * 64) -> CodeOrigin:
    """Return what made-up codes are said to be of."""
    data = ParentEntry(name="drawings", sha256="d" * 64)
    return CodeOrigin(data=data, bits=codes.bits, classes=codes.classes, model=model)


def write(out: Path, **splits: Codes) -> Manifest:
    """Write made-up codes into a folder."""
    folder = code_folder(out, origin(next(iter(splits.values()))), list(splits))
    return write_codes(folder, {split: lambda own=own: own for split, own in splits.items()}, overwrite=False)


def build_index(codes: Path, out: Path, **options: Any) -> Path:
    """Build an index in this process; return its folder."""
    index.run(codes, index.Config(out=out, **options))
    return out


def plain_order(codes: Codes, query: np.ndarray) -> list[tuple[int, int]]:
    """Return all (distance, key_id) in order, counted bit by bit in plain Python."""
    asked = int.from_bytes(query.tobytes(), "little")
    return sorted(
        ((int.from_bytes(code.tobytes(), "little") ^ asked).bit_count(), key_id)
        for code, key_id in zip(codes.packed, codes.key_ids.tolist(), strict=True)
    )


def list_again(folder: Path, name: str) -> None:
    """Enter a file that was changed into the manifest, as if it were meant to be so."""
    path = folder / "manifest.json"
    values = orjson.loads(path.read_bytes())
    for entry in values["files"]:
        if entry["path"] == name:
            entry |= {"sha256": hash_file(folder / name, "sha256"), "bytes": (folder / name).stat().st_size}
    path.write_bytes(orjson.dumps(values))


@dataclass(frozen=True)
class Place:
    """A data set of generated drawings, a trained network, its codes of them, and a flat index of these."""

    data: Path
    run: Path
    codes: Path
    index: Path


def make_place(folder: Path) -> Place:
    """Generate, train for a moment, encode and index, on one thread: what else runs on the machine has the others."""
    data, run, codes, threads = generated_dataset(folder), folder / "run", folder / "codes", torch.get_num_threads()
    epochs = {**EPOCHS, "cnn_epochs": 3, "code_epochs": 1}
    torch.set_num_threads(1)
    try:
        hashing.run(hashing.Config(data=data, out=run, loss="cel", bits="16", **epochs), network(branch="cnn"), loop())
        encode.run(run, data, encode.Config(out=codes, device="cpu"))
    finally:
        torch.set_num_threads(threads)
    return Place(data, run, codes, build_index(codes, folder / "index"))
