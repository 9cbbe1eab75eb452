"""The kinds of index: the exact one, and those of faiss, which is imported only when one of them is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sketchdata.codes import Packed
from sketchdata.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of faiss index.

    Attributes:
        make: (bits, a multiple of 8; number of codes) → an empty index of faiss.
        prepare: Sets how thoroughly (k, index) is searched.
    """

    make: Callable[[int, int], Any]
    prepare: Callable[[int, Any], None]


def _make_ivf(bits: int, count: int) -> Any:
    faiss = load_faiss()
    # faiss wants 39 codes a list to learn from.
    lists = max(min(round(count**0.5), count // 39), 1)
    index = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(bits), bits, lists)
    # It would complain of a handful of codes.
    index.cp.min_points_per_centroid = 1
    return index


def _prepare_ivf(_: int, index: Any) -> None:
    index.nprobe = min(max(16, index.nlist // 16), index.nlist)
    # Without heaps, faiss 1.15 finds nothing.
    index.use_heap = True


def _make_hnsw(bits: int, _: int) -> Any:
    index = load_faiss().IndexBinaryHNSW(bits, 16)
    index.hnsw.efConstruction = 40
    return index


def _prepare_hnsw(k: int, index: Any) -> None:
    index.hnsw.efSearch = max(64, k)


def _make_multihash(bits: int, _: int) -> Any:
    # Tables by 16 bits each: 65,536 places, so that one holds a handful of codes.
    tables = max(min(4, bits // 16), 1)
    return load_faiss().IndexBinaryMultiHash(bits, tables, min(16, bits // tables))


def _prepare_multihash(_: int, index: Any) -> None:
    index.nflip = 2


KINDS: dict[str, Kind | None] = {
    "flat": None,
    "ivf": Kind(make=_make_ivf, prepare=_prepare_ivf),
    "hnsw": Kind(make=_make_hnsw, prepare=_prepare_hnsw),
    "multihash": Kind(make=_make_multihash, prepare=_prepare_multihash),
}


def load_faiss() -> Any:
    """Return the module faiss, which only the approximate kinds need.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise ConfigError(
            "this kind of index needs faiss, which is not installed: pip install 'sketchdata[train]', or take --kind "
            "flat"
        ) from error
    return faiss


def build_structure(kind: Kind, packed: Packed) -> Any:
    """Put (N, B) uint8 codes into a faiss index; the same codes give the same index.

    Raises:
        ConfigError: faiss is not installed.
    """
    faiss = load_faiss()
    threads = faiss.omp_get_max_threads()
    # Several threads would join a graph in the order in which they happen to come.
    faiss.omp_set_num_threads(1)
    try:
        structure = kind.make(8 * packed.shape[1], len(packed))
        structure.train(packed)
        structure.add(packed)
    finally:
        faiss.omp_set_num_threads(threads)
    return structure
