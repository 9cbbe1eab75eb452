"""An index over real-valued vectors: the nearest to a query, by Euclidean distance and, for equal ones, by key_id.

    index = open_vector_index(Path("index"))
    (found,) = index.search(vectors[:1], 20)
    index.key_ids[found.rows], found.distances

`flat` compares every vector and is exact. `hnsw` and `ivf-pq` are approximate, by faiss: their results are sorted
exactly, but they may miss some vectors. `itq` converts vectors to binary codes, which `retrieval.index` searches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.codes import Codes, Packed, pack_bits
from sketchdata.retrieval import index as code_index
from sketchdata.retrieval.index import FaissKind, Index, Neighbours, build_structure, load_faiss
from sketchdata.retrieval.shallow_hashing import SHALLOW_HASHERS, Projection
from sketchdata.retrieval.vector_folder import PictureVectors, VectorRows
from sketchdata.storage.manifest import Manifest, read_manifest, replacing

ITQ = "itq"
#: File names; `codes.npy` is as in an index of codes.
VECTORS, PROJECTION = "vectors.npy", "projection.npy"
_REMEDY = "build the index again"
#: Approximate kinds are asked for more than k vectors, which are then sorted exactly.
_SURPLUS, _PQ_SURPLUS = 50, 10
#: Maximum number of bytes per vector in `ivf-pq`, one for each of its parts.
_PARTS = 64


def _make_hnsw(width: int, _: int) -> Any:
    index = load_faiss().IndexHNSWFlat(width, 32)
    index.hnsw.efConstruction = 80
    return index


def _prepare_hnsw(k: int, index: Any) -> None:
    index.hnsw.efSearch = max(128, k)


def _make_ivf_pq(width: int, count: int) -> Any:
    faiss = load_faiss()
    lists = max(min(round(count**0.5), count // 39), 1)
    parts = max(part for part in range(1, min(_PARTS, width) + 1) if width % part == 0)
    # A part has 2^bits centres, and faiss needs at least one vector for each.
    bits = min(8, max(count.bit_length() - 1, 1))
    index = faiss.IndexIVFPQ(faiss.IndexFlatL2(width), width, lists, parts, bits)
    # Suppresses faiss' warning about few vectors.
    index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
    return index


def _prepare_ivf_pq(_: int, index: Any) -> None:
    index.nprobe = min(max(16, index.nlist // 8), index.nlist)


VECTOR_KINDS: dict[str, FaissKind | None] = {
    "flat": None,
    "hnsw": FaissKind(make=_make_hnsw, prepare=_prepare_hnsw),
    "ivf-pq": FaissKind(make=_make_ivf_pq, prepare=_prepare_ivf_pq),
    ITQ: None,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class VectorIndex:
    """N vectors in ascending order of key_id, ready for searches.

    Attributes:
        kind: One of VECTOR_KINDS.
        width: D.
        rows: (N, D) float32 or float16; None for `itq`, which only has codes.
        labels: (N,) uint16.
        key_ids: (N,) uint64, ascending.
        classes: The class table.
        structure: The faiss index, for `hnsw` and `ivf-pq`.
        projection: The map from vectors to scores, whose signs are the code, for `itq`.
        codes: The index over the codes, for `itq`.
        facts: The source of the vectors: `model`, `splits`, `data`, `fit`.
    """

    kind: str
    width: int
    rows: VectorRows | None
    labels: npt.NDArray[np.uint16]
    key_ids: npt.NDArray[np.uint64]
    classes: tuple[str, ...]
    structure: Any = None
    projection: Projection | None = None
    codes: Index | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.key_ids)

    @property
    def nbytes(self) -> int:
        """The size of all arrays in bytes, without the faiss index."""
        own = self.rows.nbytes if self.rows is not None else 0
        return own + self.labels.nbytes + self.key_ids.nbytes + (0 if self.codes is None else self.codes.words.nbytes)

    @property
    def of_photos(self) -> bool:
        """Whether the vectors are of a network for drawings and photos: always."""
        return True

    def row_of(self, key_id: int) -> int | None:
        """Return the row of a picture; None if it is not in the index."""
        row = int(np.searchsorted(self.key_ids, np.uint64(key_id)))
        return row if row < len(self) and int(self.key_ids[row]) == key_id else None

    def code(self, row: int) -> VectorRows | Packed:
        """Return a row as a query for `search`: (D,) float32, or for `itq` (⌈bits / 8⌉,) uint8."""
        if self.codes is not None:
            return self.codes.code(row)
        assert self.rows is not None  # noqa: S101 - only `itq` has none
        return np.asarray(self.rows[row], np.float32)

    @cached_property
    def _single(self) -> npt.NDArray[np.float32]:
        assert self.rows is not None  # noqa: S101 - only `itq` has none
        return np.ascontiguousarray(self.rows, np.float32)

    @cached_property
    def _halves(self) -> npt.NDArray[np.float32]:
        """|g|² / 2 of each row, (N,)."""
        return np.asarray(np.einsum("nd,nd->n", self._single, self._single) / 2, np.float32)

    def search(self, queries: npt.NDArray[Any], k: int = 20) -> list[Neighbours]:
        """Return the k nearest vectors of each query; an approximate kind may miss some.

        Args:
            queries: (M, D) float32; `itq` also takes (M, ⌈bits / 8⌉) uint8 codes.
            k: 1..N.

        Returns:
            M neighbours, with float32 Euclidean distances, or for `itq` the number of differing bits.

        Raises:
            ConfigError: The queries have another width, or there are fewer than k vectors.
            SketchDataError: A query has a value that is not a finite number.
        """
        if self.codes is not None and queries.dtype == np.uint8:
            return self.codes.search(queries, k)
        if queries.ndim != 2 or queries.shape[1] != self.width:
            raise ConfigError(f"the index holds vectors of {self.width:,} values, and the query has {queries.shape}")
        if not 1 <= k <= len(self):
            raise ConfigError(f"the index holds {len(self):,} vectors: k is 1 to {len(self):,}, not {k:,}")
        queries = np.ascontiguousarray(queries, np.float32)
        if not np.isfinite(queries).all():
            raise SketchDataError("the query has values that are not finite")
        if self.codes is not None and self.projection is not None:
            return self.codes.search(pack_bits(self.projection(queries.astype(np.float64)) >= 0), k)
        if self.structure is None:
            return [self._ordered(query, self._near(query, k), k) for query in queries]
        kind = VECTOR_KINDS[self.kind]
        assert kind is not None  # noqa: S101 - it has a structure
        wanted = min(len(self), max(k + _SURPLUS, _PQ_SURPLUS * k if self.kind == "ivf-pq" else 0))
        kind.prepare(wanted, self.structure)
        _, found = self.structure.search(queries, wanted)
        # faiss returns -1 for missing results.
        pairs = zip(queries, found, strict=True)
        return [self._ordered(query, np.unique(rows[rows >= 0]), k) for query, rows in pairs]

    def _near(self, query: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
        """Return the rows of the k nearest and of all others that rounding may have ranked behind them, ascending."""
        scores = self._halves - self._single @ query
        cut = float(np.partition(scores, k - 1)[k - 1])
        # The error of a float32 sum of D products is at most D u |q| |g|, and of |g|² / 2 at most D u |g|² / 2. Source:
        # Higham, # Accuracy and Stability of Numerical Algorithms, 3.1.
        longest = float(np.sqrt(2 * self._halves.max()))
        error = (self.width + 2) * 2.0**-24 * longest * (float(np.linalg.norm(query)) + longest)
        return np.flatnonzero(scores <= cut + 2 * error)

    def _ordered(self, query: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], k: int) -> Neighbours:
        apart = np.linalg.norm(self._single[rows].astype(np.float64) - query, axis=1)
        order = np.argsort(apart, kind="stable")[:k]
        rows = rows[order]
        return Neighbours(
            rows=rows,
            distances=apart[order].astype(np.float32),
            key_ids=self.key_ids[rows],
            labels=self.labels[rows],
            classes=self.classes,
        )


def make_vector_index(
    vectors: PictureVectors,
    kind: str,
    *,
    bits: int = 64,
    fit: PictureVectors | None = None,
    facts: Mapping[str, Any] | None = None,
) -> VectorIndex:
    """Build an index in memory.

    Args:
        vectors: The N vectors.
        kind: One of VECTOR_KINDS.
        bits: Length of a code, for `itq`.
        fit: The training vectors of `itq`; None for the indexed vectors.
        facts: See `VectorIndex`.

    Raises:
        ConfigError: The kind does not exist, faiss is not installed, there are no vectors, or too few for training.
    """
    if kind not in VECTOR_KINDS:
        raise ConfigError(f"there is no kind of index {kind!r} over vectors: take one of {', '.join(VECTOR_KINDS)}")
    if not len(vectors):
        raise ConfigError("there are no vectors to build an index of")
    vectors = vectors.take(np.argsort(vectors.key_ids, kind="stable"))
    shared: dict[str, Any] = {"labels": vectors.labels, "key_ids": vectors.key_ids, "classes": vectors.classes}
    width, facts = vectors.rows.shape[1], facts or {}
    if kind == ITQ:
        learned = (vectors if fit is None else fit).rows
        projection = SHALLOW_HASHERS["pca_itq"].fit(learned, None, bits, 0).scores
        assert isinstance(projection, Projection)  # noqa: S101 - ITQ gives one
        packed = pack_bits(projection(vectors.rows.astype(np.float64)) >= 0)
        codes = code_index.make_index(Codes(bits=bits, packed=packed, **shared), "flat")
        return VectorIndex(kind=kind, width=width, rows=None, projection=projection, codes=codes, facts=facts, **shared)
    chosen = VECTOR_KINDS[kind]
    structure = None
    if chosen is not None:
        structure = build_structure(chosen, np.ascontiguousarray(vectors.rows, np.float32))
    return VectorIndex(kind=kind, width=width, rows=vectors.rows, structure=structure, facts=facts, **shared)


# On disk:
# key_ids.npy      (N,) uint64, ascending
# labels.npy       (N,) uint16
# vectors.npy      (N, D) float32 or float16, of all kinds except itq
# codes.npy        (N, ⌈bits / 8⌉) uint8, of itq
# projection.npy   (D + 1, bits) float64, of itq: the directions, and in the last row the thresholds
# index.faiss      faiss' own file, of hnsw and ivf-pq
# manifest.json    the source of the vectors, and the sha256 of each file; written last

FILES = frozenset({code_index.KEY_IDS, code_index.LABELS, code_index.CODES, code_index.STRUCTURE, VECTORS, PROJECTION})


def write_vector_arrays(index: VectorIndex, folder: Path) -> list[Path]:
    """Write an index's files except the manifest, and return their paths; equal vectors give equal bytes."""
    arrays: dict[str, npt.NDArray[Any]] = {code_index.KEY_IDS: index.key_ids, code_index.LABELS: index.labels}
    if index.rows is not None:
        arrays[VECTORS] = index.rows
    if index.codes is not None and index.projection is not None:
        bits = index.codes.bits
        arrays[code_index.CODES] = np.ascontiguousarray(
            np.ascontiguousarray(index.codes.words.T).view(np.uint8)[:, : -(-bits // 8)]
        )
        arrays[PROJECTION] = np.vstack([index.projection.directions, index.projection.thresholds])
    for name, array in arrays.items():
        with replacing(folder / name) as file:
            np.save(file, array, allow_pickle=False)
    paths = [folder / name for name in arrays]
    if index.structure is not None:
        with replacing(folder / code_index.STRUCTURE) as file:
            file.write(load_faiss().serialize_index(index.structure).tobytes())
        paths.append(folder / code_index.STRUCTURE)
    return paths


def is_vector_index(manifest: Manifest) -> bool:
    """Return whether a manifest is that of an index over vectors."""
    return {"width", "kind", "model"} <= manifest.config.keys() and manifest.config["kind"] in VECTOR_KINDS


def open_vector_index(folder: Path) -> VectorIndex:
    """Read an index; each file's sha256 is checked before it is parsed.

    Raises:
        ConfigError: It needs faiss, which is not installed.
        SketchDataError: It is missing, unfinished or of another layout version, or a file is missing or damaged.
    """
    manifest = read_manifest(folder)
    if not is_vector_index(manifest):
        raise SketchDataError(
            f"{folder} holds {manifest.name}, not an index of vectors: build one with `sketchdata index build`"
        )
    kind, width = manifest.config["kind"], manifest.config["width"]

    def read(name: str, dtypes: tuple[npt.DTypeLike, ...], *shape: int) -> npt.NDArray[Any]:
        array = code_index.read_array(folder, manifest, name)
        if array.dtype not in [np.dtype(each) for each in dtypes] or array.shape != shape:
            raise SketchDataError(f"{folder / name} holds {array.dtype} of shape {array.shape}: {_REMEDY}")
        return array

    count = sum(manifest.splits.values())
    if not count:
        raise SketchDataError(f"{folder} holds no vectors: {_REMEDY}")
    key_ids, labels = read(code_index.KEY_IDS, (np.uint64,), count), read(code_index.LABELS, (np.uint16,), count)
    if int(labels.max()) >= len(manifest.classes) or (key_ids[1:] < key_ids[:-1]).any():
        raise SketchDataError(f"{folder} holds labels beyond its class table, or key_ids that do not rise: {_REMEDY}")
    facts = {name: manifest.config.get(name) for name in ("model", "layer", "splits", "data", "fit")}
    shared: dict[str, Any] = {"labels": labels, "key_ids": key_ids, "classes": manifest.classes}
    if kind == ITQ:
        bits = int(manifest.config.get("bits") or 0)
        packed = read(code_index.CODES, (np.uint8,), count, -(-bits // 8))
        both = read(PROJECTION, (np.float64,), width + 1, bits)
        try:
            codes = code_index.make_index(Codes(bits=bits, packed=packed, **shared), "flat")
        except ConfigError as error:
            raise SketchDataError(f"{folder} is damaged ({error}): {_REMEDY}") from error
        projection = Projection(directions=both[:-1], thresholds=both[-1])
        return VectorIndex(kind=kind, width=width, rows=None, projection=projection, codes=codes, facts=facts, **shared)
    rows = read(VECTORS, (np.float32, np.float16), count, width)
    structure = None
    if VECTOR_KINDS[kind] is not None:
        structure = _read_structure(folder, manifest, rows.shape)
    return VectorIndex(kind=kind, width=width, rows=rows, structure=structure, facts=facts, **shared)


def _read_structure(folder: Path, manifest: Manifest, shape: tuple[int, ...]) -> Any:
    path, faiss = code_index.listed_file(folder, manifest, code_index.STRUCTURE), load_faiss()
    try:
        structure = faiss.read_index(str(path))
    except RuntimeError as error:
        raise SketchDataError(f"{path} cannot be read by faiss {faiss.__version__} ({error}): {_REMEDY}") from error
    if (structure.ntotal, structure.d) != shape:
        raise SketchDataError(
            f"{path} holds {structure.ntotal:,} vectors of {structure.d} values, and the index {shape}: {_REMEDY}"
        )
    return structure
