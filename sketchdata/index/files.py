"""An index on disk.

key_ids.npy     (N,) uint64, rising
codes.npy       (N, ⌈D / 8⌉) uint8, as `codes.pack_bits` packs them
labels.npy      (N,) uint16
index.faiss     faiss' own file, of the kinds that are approximate
manifest.json   what it is of, and the sha256 of each file; written last
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.codes import Codes
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.hamming import to_words
from sketchdata.index.kinds import KINDS, load_faiss
from sketchdata.index.search import Index
from sketchdata.manifest import Manifest, check_listed, read_manifest, replacing

KEY_IDS, CODES, LABELS, STRUCTURE = "key_ids.npy", "codes.npy", "labels.npy", "index.faiss"
_REMEDY = "build the index again"


def write_arrays(index: Index, folder: Path) -> list[Path]:
    """Write an index's files but for the manifest; the same codes give the same bytes. Return their paths."""
    packed = np.ascontiguousarray(index.words.T).view(np.uint8)[:, : -(-index.bits // 8)]
    arrays: dict[str, npt.NDArray[Any]] = {
        KEY_IDS: index.key_ids,
        CODES: np.ascontiguousarray(packed),
        LABELS: index.labels,
    }
    for name, array in arrays.items():
        with replacing(folder / name) as file:
            np.save(file, array, allow_pickle=False)
    paths = [folder / name for name in arrays]
    if index.structure is not None:
        with replacing(folder / STRUCTURE) as file:
            file.write(load_faiss().serialize_index_binary(index.structure).tobytes())
        paths.append(folder / STRUCTURE)
    return paths


def open_index(folder: Path) -> Index:
    """Read an index; no file of it is parsed before its sha256 has been checked.

    Raises:
        ConfigError: It needs faiss, which is not installed.
        SketchDataError: It is not there, not finished or of another layout version, or a file is missing or damaged.
    """
    manifest = read_manifest(folder)
    kind, bits = manifest.config.get("kind"), manifest.config.get("bits")
    if kind not in KINDS or not isinstance(bits, int):
        raise SketchDataError(
            f"{folder} holds {manifest.name}, which is no index: build one by `sketchdata index build`"
        )
    key_ids, packed, labels = (_read(folder, manifest, name) for name in (KEY_IDS, CODES, LABELS))
    codes = _codes(folder, manifest, bits, (packed, labels, key_ids))
    return Index(
        kind=kind,
        bits=bits,
        words=to_words(codes.packed),
        labels=codes.labels,
        key_ids=codes.key_ids,
        classes=codes.classes,
        structure=None if KINDS[kind] is None else _read_structure(folder, manifest, codes),
        facts={name: manifest.config.get(name) for name in ("model", "split", "ids")},
    )


def _check(folder: Path, manifest: Manifest, name: str) -> Path:
    listed = {entry.path: entry.sha256 for entry in manifest.files}
    if name not in listed:
        raise SketchDataError(f"{folder} does not list {name}, so it is no whole index: {_REMEDY}")
    check_listed(folder / name, listed[name], _REMEDY)
    return folder / name


def _read(folder: Path, manifest: Manifest, name: str) -> npt.NDArray[Any]:
    path = _check(folder, manifest, name)
    try:
        found: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise SketchDataError(f"{path} cannot be read as an array ({error}): {_REMEDY}") from error
    return found


def _codes(folder: Path, manifest: Manifest, bits: int, arrays: tuple[npt.NDArray[Any], ...]) -> Codes:
    """Return arrays from disk as codes, once they are found to be what an index consists of."""
    packed, labels, key_ids = arrays
    wanted = {CODES: (packed, np.uint8, 2), LABELS: (labels, np.uint16, 1), KEY_IDS: (key_ids, np.uint64, 1)}
    for name, (array, dtype, dimensions) in wanted.items():
        if array.dtype != dtype or array.ndim != dimensions or not len(array):
            raise SketchDataError(f"{folder / name} holds {array.dtype} of shape {array.shape}: {_REMEDY}")
    if int(labels.max()) >= len(manifest.classes) or (key_ids[1:] < key_ids[:-1]).any():
        raise SketchDataError(f"{folder} holds labels beyond its class table, or key_ids that do not rise: {_REMEDY}")
    try:
        return Codes(bits=bits, packed=packed, labels=labels, key_ids=key_ids, classes=manifest.classes)
    except ConfigError as error:
        raise SketchDataError(f"{folder} is damaged ({error}): {_REMEDY}") from error


def _read_structure(folder: Path, manifest: Manifest, codes: Codes) -> Any:
    path = _check(folder, manifest, STRUCTURE)
    faiss = load_faiss()
    try:
        structure = faiss.read_index_binary(str(path))
    except RuntimeError as error:
        raise SketchDataError(f"{path} cannot be read by faiss {faiss.__version__} ({error}): {_REMEDY}") from error
    if (structure.d, structure.ntotal) != (8 * codes.packed.shape[1], len(codes)):
        raise SketchDataError(
            f"{path} holds {structure.ntotal:,} codes of {structure.d} bits, and the index {len(codes):,}: {_REMEDY}"
        )
    return structure
