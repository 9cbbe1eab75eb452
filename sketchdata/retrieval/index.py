"""An index over binary codes: the nearest codes to a query, by Hamming distance and, for equal ones, by key_id.

    index = open_index(Path("index"))
    (found,) = index.search(codes.packed[:1], 20)
    index.key_ids[found.rows], found.distances

`flat` compares every code, and is exact. The other kinds are approximate, by faiss: their results are sorted exactly,
but they may miss some codes, and may return fewer than k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.drawings.simplify import simplify
from sketchdata.errors import ConfigError, SketchDataError, needs_extra
from sketchdata.formats.codes import Codes, Packed
from sketchdata.retrieval.hamming import CodeWords, distance_function, to_words, word_distances
from sketchdata.storage.manifest import Manifest, check_listed, hash_file, read_manifest, replacing

#: Every 97th code is sampled to estimate the distance of the k-th nearest; a prime, to avoid patterns in the rows.
_SAMPLED = 97

IndexRows: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbours:
    """The n codes or vectors found for one query, nearest first.

    Attributes:
        rows: (n,) int64, their rows in the index.
        distances: (n,) uint8, the number of different bits, or float32, Euclidean distances.
        key_ids: (n,) uint64, of their drawings.
        labels: (n,) uint16, indices into the class table.
        classes: The class table.
    """

    rows: IndexRows
    distances: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    key_ids: npt.NDArray[np.uint64]
    labels: npt.NDArray[np.uint16]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def words(self) -> list[str]:
        """The names of their classes."""
        return [self.classes[label] for label in self.labels.tolist()]


def nearest(found: npt.NDArray[np.uint8], k: int) -> IndexRows:
    """Return the rows of the k smallest of (N,) distances, 1 ≤ k ≤ N, in ascending order of distance, then of row.

    The order is total, so ties at the k-th distance are also decided by row.
    """
    # A sample estimates the distance of the k-th; only the few codes within it are sorted.
    sample = np.cumsum(np.bincount(found[::_SAMPLED]))
    limit = int(np.searchsorted(sample, -(-k * sample[-1] // len(found))))
    rows = np.flatnonzero(found <= limit)
    while len(rows) < k:
        limit += 1
        rows = np.flatnonzero(found <= limit)
    return rows[np.argsort(found[rows], kind="stable")[:k]]


@dataclass(frozen=True, kw_only=True)
class FaissKind:
    """A kind of faiss index: `make(bits or width, rows)` gives an empty index, `prepare(k, index)` sets up a search."""

    make: Callable[[int, int], Any]
    prepare: Callable[[int, Any], None]


def _make_ivf(bits: int, count: int) -> Any:
    faiss = load_faiss()
    # faiss recommends at least 39 training codes per list.
    lists = max(min(round(count**0.5), count // 39), 1)
    index = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(bits), bits, lists)
    # Suppresses faiss' warning about few codes.
    index.cp.min_points_per_centroid = 1
    return index


def _prepare_ivf(_: int, index: Any) -> None:
    index.nprobe = min(max(16, index.nlist // 16), index.nlist)
    # Without heaps, faiss 1.15 returns no results.
    index.use_heap = True


def _make_hnsw(bits: int, _: int) -> Any:
    index = load_faiss().IndexBinaryHNSW(bits, 16)
    index.hnsw.efConstruction = 40
    return index


def _prepare_hnsw(k: int, index: Any) -> None:
    index.hnsw.efSearch = max(64, k)


def _make_multihash(bits: int, _: int) -> Any:
    # Tables of 16 bits each: 65,536 buckets with a few codes each.
    tables = max(min(4, bits // 16), 1)
    return load_faiss().IndexBinaryMultiHash(bits, tables, min(16, bits // tables))


def _prepare_multihash(_: int, index: Any) -> None:
    index.nflip = 2


KINDS: dict[str, FaissKind | None] = {
    "flat": None,
    "ivf": FaissKind(make=_make_ivf, prepare=_prepare_ivf),
    "hnsw": FaissKind(make=_make_hnsw, prepare=_prepare_hnsw),
    "multihash": FaissKind(make=_make_multihash, prepare=_prepare_multihash),
}


def load_faiss() -> Any:
    """Import faiss, which only the approximate kinds need.

    Raises:
        ConfigError: faiss is not installed.
    """
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise ConfigError(
            "this kind of index needs faiss, which is not installed: pip install 'sketchdata[train]', or use --kind "
            "flat"
        ) from error
    return faiss


def build_structure(kind: FaissKind, rows: npt.NDArray[Any]) -> Any:
    """Build a faiss index of (N, B) uint8 codes, or (N, D) float32 vectors; equal rows give equal indexes.

    Raises:
        ConfigError: faiss is not installed.
    """
    faiss = load_faiss()
    threads = faiss.omp_get_max_threads()
    # With several threads, a graph would depend on their timing.
    faiss.omp_set_num_threads(1)
    try:
        structure = kind.make(rows.shape[1] * (8 if rows.dtype == np.uint8 else 1), len(rows))
        structure.train(rows)
        structure.add(rows)
    finally:
        faiss.omp_set_num_threads(threads)
    return structure


# On disk:
# key_ids.npy     (N,) uint64, ascending
# codes.npy       (N, ⌈D / 8⌉) uint8, as `codes.pack_bits` packs them
# labels.npy      (N,) uint16
# index.faiss     faiss' own file, for the approximate kinds
# manifest.json   the source of the codes, and the sha256 of each file; written last

KEY_IDS, CODES, LABELS, STRUCTURE = "key_ids.npy", "codes.npy", "labels.npy", "index.faiss"
_REMEDY = "build the index again"


def write_arrays(index: Index, folder: Path) -> list[Path]:
    """Write an index's files except the manifest, and return their paths; equal codes give equal bytes."""
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
    """Read an index; each file's sha256 is checked before it is parsed.

    Raises:
        ConfigError: It needs faiss, which is not installed.
        SketchDataError: It is missing, unfinished or of another layout version, or a file is missing or damaged.
    """
    manifest = read_manifest(folder)
    kind, bits = manifest.config.get("kind"), manifest.config.get("bits")
    if "width" in manifest.config and "kind" in manifest.config:
        raise SketchDataError(
            f"{folder} holds {manifest.name}, an index of vectors: search it with `sketchdata search`, or open it with "
            "retrieval.vector_index.open_vector_index"
        )
    if kind not in KINDS or not isinstance(bits, int):
        raise SketchDataError(
            f"{folder} holds {manifest.name}, which is not an index: build one with `sketchdata index build`"
        )
    key_ids, packed, labels = (read_array(folder, manifest, name) for name in (KEY_IDS, CODES, LABELS))
    codes = _codes(folder, manifest, bits, (packed, labels, key_ids))
    return Index(
        kind=kind,
        bits=bits,
        words=to_words(codes.packed),
        labels=codes.labels,
        key_ids=codes.key_ids,
        classes=codes.classes,
        structure=None if KINDS[kind] is None else _read_structure(folder, manifest, codes),
        facts={name: manifest.config.get(name) for name in ("model", "split", "ids", "splits", "data")},
    )


def listed_file(folder: Path, manifest: Manifest, name: str) -> Path:
    """Return the path of a file of an index, after checking its sha256.

    Raises:
        SketchDataError: The file is not listed, missing or damaged.
    """
    listed = {entry.path: entry.sha256 for entry in manifest.files}
    if name not in listed:
        raise SketchDataError(f"{folder} does not list {name}, so it is not a whole index: {_REMEDY}")
    check_listed(folder / name, listed[name], _REMEDY)
    return folder / name


def read_array(folder: Path, manifest: Manifest, name: str) -> npt.NDArray[Any]:
    """Return an array of an index, after checking the sha256 of its file.

    Raises:
        SketchDataError: The file is not listed, missing or damaged.
    """
    path = listed_file(folder, manifest, name)
    try:
        found: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise SketchDataError(f"{path} cannot be read as an array ({error}): {_REMEDY}") from error
    return found


def _codes(folder: Path, manifest: Manifest, bits: int, arrays: tuple[npt.NDArray[Any], ...]) -> Codes:
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
    path = listed_file(folder, manifest, STRUCTURE)
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


#: Approximate kinds are asked for more than k codes, because they break ties at the last distance arbitrarily.
_SURPLUS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """N codes in ascending order of key_id, ready for searches.

    Attributes:
        kind: One of KINDS.
        bits: D.
        words: (W, N), as returned by `hamming.to_words`.
        labels: (N,) uint16.
        key_ids: (N,) uint64, ascending.
        classes: The class table.
        structure: The faiss index; None for `flat`.
        facts: The source of the codes: `model`, `split`, `ids`; for photos, also `splits` and `data`.
    """

    kind: str
    bits: int
    words: CodeWords
    labels: npt.NDArray[np.uint16]
    key_ids: npt.NDArray[np.uint64]
    classes: tuple[str, ...]
    structure: Any = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.key_ids)

    @property
    def nbytes(self) -> int:
        """The size of all arrays in bytes, without the faiss index."""
        return self.words.nbytes + self.labels.nbytes + self.key_ids.nbytes

    @property
    def of_photos(self) -> bool:
        """Whether the codes are of a network for drawings and photos."""
        return self.facts.get("data") is not None

    def row_of(self, key_id: int) -> int | None:
        """Return the first row of a drawing; None if it is not in the index."""
        row = int(np.searchsorted(self.key_ids, np.uint64(key_id)))
        return row if row < len(self) and int(self.key_ids[row]) == key_id else None

    def code(self, row: int) -> Packed:
        """Return the code of a row: (⌈D / 8⌉,) uint8."""
        return np.ascontiguousarray(self.words[:, row]).view(np.uint8)[: -(-self.bits // 8)]

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Index:
        """Read an index of `sketchdata index build`; each file's sha256 is checked before it is parsed.

        Raises:
            ConfigError: It needs faiss, which is not installed.
            SketchDataError: It is missing, unfinished or of another layout version, or a file is damaged.

        Example:
            >>> index = sketchdata.Index.load("index")
            >>> near = index.search(drawing, 5, run="runs/sketchcode-64")
            >>> list(zip(near.words, near.key_ids, near.distances))
        """
        return open_index(Path(folder))

    @overload
    def search(
        self, queries: Drawing, k: int = ..., *, run: str | PathLike[str] | None = ..., device: str = ...
    ) -> Neighbours: ...

    @overload
    def search(
        self,
        queries: Packed | Sequence[Drawing],
        k: int = ...,
        *,
        run: str | PathLike[str] | None = ...,
        device: str = ...,
    ) -> list[Neighbours]: ...

    def search(
        self,
        queries: Packed | Drawing | Sequence[Drawing],
        k: int = 20,
        *,
        run: str | PathLike[str] | None = None,
        device: str = "cpu",
    ) -> Neighbours | list[Neighbours]:
        """Return the k nearest codes of each query; an approximate kind may miss some.

        Args:
            queries: (M, ⌈D / 8⌉) uint8 codes, or one or several drawings; raw ones are simplified first.
            k: 1..N.
            run: Run folder of the network that made the codes, required for drawings. It is read in each search, so
                search for many drawings at once.
            device: Where to compute the codes of drawings: `auto`, `cpu`, `cuda`, `cuda:1`.

        Returns:
            For one drawing, its neighbours; otherwise a list of neighbours.

        Raises:
            ConfigError: The codes have another length, there are fewer than k codes, the run is missing or is not that
                of the index, or torch is not installed.
            SketchDataError: The training is not finished, or damaged.
        """
        if isinstance(queries, Drawing):
            return self.search([queries], k, run=run, device=device)[0]
        packed = queries if isinstance(queries, np.ndarray) else self.encode(queries, run, device=device)
        if packed.ndim != 2 or packed.shape[1] != -(-self.bits // 8):
            found = f"{packed.shape[1]} bytes" if packed.ndim == 2 else f"the shape {packed.shape} and not (M, bytes)"
            raise ConfigError(f"the index holds codes of {self.bits} bits, and the query has {found}")
        if not 1 <= k <= len(self):
            raise ConfigError(f"the index holds {len(self):,} codes: k is 1 to {len(self):,}, not {k:,}")
        kind = KINDS[self.kind]
        words = [query[:, None] for query in to_words(packed).T]
        if kind is None:
            compute = distance_function(len(words) * len(self))
            every = (compute(query, self.words)[0] for query in words)
            return [self._neighbours(rows := nearest(found, k), found[rows]) for found in every]
        wanted = min(k + _SURPLUS, len(self))
        kind.prepare(wanted, self.structure)
        _, found = self.structure.search(np.ascontiguousarray(packed), wanted)
        results = []
        for rows, query in zip(found, words, strict=True):
            # faiss returns -1 for missing results.
            some = np.unique(rows[rows >= 0])
            (apart,) = word_distances(query, self.words[:, some])
            order = np.argsort(apart, kind="stable")[:k]
            results.append(self._neighbours(some[order], apart[order]))
        return results

    def encode(self, drawings: Sequence[Drawing], run: str | PathLike[str] | None, *, device: str = "cpu") -> Packed:
        """Return the codes of drawings by the network that made those of the index: (M, ⌈D / 8⌉) uint8.

        Raises:
            ConfigError: The run is missing or is not that of the index, or torch is not installed.
            SketchDataError: The training is not finished, or damaged.
        """
        return self.encoder(run, device=device)(drawings)

    def encoder(self, run: str | PathLike[str] | None, *, device: str = "cpu") -> Callable[[Sequence[Drawing]], Packed]:
        """Read the network and return a function from M drawings to their codes.

        Raises:
            ConfigError: The run is missing or is not that of the index, or torch is not installed.
            SketchDataError: The training is not finished, or damaged.
        """
        if run is None:
            raise ConfigError(
                "a drawing that is not in the index needs the network that computes its code: give its run with --run"
            )
        if self.of_photos:
            raise ConfigError(
                "the index is of photos, whose network reads drawings by `sketchdata search`, or by "
                "cross_domain.photo_search.DrawingEmbedder, which gives codes for `search`"
            )
        with needs_extra("turning drawings into codes", "train"):
            from sketchdata.training.distributed import device_of
            from sketchdata.training.encoder import encode, read_encoder
            from sketchdata.training.packed import pack
            from sketchdata.training.run_folder import MODEL
        trained, sha256 = read_encoder(Path(run)), hash_file(Path(run) / MODEL, "sha256")
        model = self.facts.get("model")
        if model is None:
            raise ConfigError("the index does not record its network, so a query can only be one of its key_ids")
        if (model, self.bits) != (sha256, trained.width):
            raise ConfigError(
                f"the index holds codes of {self.bits} bits by another network (sha256 {str(model)[:16]}…) than that "
                f"of {run} ({trained.width} bits, sha256 {sha256[:16]}…): use the run that made the codes, or "
                "encode and index the data set again"
            )
        where = str(device_of(device))

        def codes(drawings: Sequence[Drawing]) -> Packed:
            names = Words()
            batch = to_batch(drawings, names)
            batch = simplify(batch) if batch.is_raw else batch
            return encode(trained, pack([batch], tuple(names.names)), device=where).packed

        return codes

    def _neighbours(self, rows: IndexRows, distances: npt.NDArray[np.uint8]) -> Neighbours:
        return Neighbours(
            rows=rows, distances=distances, key_ids=self.key_ids[rows], labels=self.labels[rows], classes=self.classes
        )


def make_index(codes: Codes, kind: str, facts: dict[str, Any] | None = None) -> Index:
    """Build an index in memory.

    Raises:
        ConfigError: The kind does not exist, faiss is not installed, or there are no codes.
    """
    if kind not in KINDS:
        raise ConfigError(f"there is no kind of index {kind!r}: choose one of {', '.join(KINDS)}")
    if not len(codes):
        raise ConfigError("there are no codes to build an index of")
    codes = codes.take(np.argsort(codes.key_ids, kind="stable"))
    chosen = KINDS[kind]
    return Index(
        kind=kind,
        bits=codes.bits,
        words=to_words(codes.packed),
        labels=codes.labels,
        key_ids=codes.key_ids,
        classes=codes.classes,
        structure=None if chosen is None else build_structure(chosen, codes.packed),
        facts=facts or {},
    )
