"""One interface to all kinds of index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from sketchdata.codes import Codes, Packed
from sketchdata.drawing import Drawing, Words, to_batch
from sketchdata.errors import ConfigError, needs_extra
from sketchdata.hamming import Words as Words64
from sketchdata.hamming import to_words, word_distances
from sketchdata.index.exact import Neighbours, Rows, nearest
from sketchdata.index.kinds import KINDS, build_structure
from sketchdata.manifest import hash_file
from sketchdata.simplify import simplify

#: Approximate kinds are asked for more than is wanted, since they cut codes of equal distance off anywhere.
_SURPLUS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """N codes by rising key_id, ready to be asked.

    Attributes:
        kind: One of KINDS.
        bits: D.
        words: (W, N), as `hamming.to_words` gives them.
        labels: (N,) uint16.
        key_ids: (N,) uint64, rising.
        classes: The class table.
        structure: faiss' index; None for `flat`.
        facts: What the record says of where the codes come from: `model`, `split`, `ids`.
    """

    kind: str
    bits: int
    words: Words64
    labels: npt.NDArray[np.uint16]
    key_ids: npt.NDArray[np.uint64]
    classes: tuple[str, ...]
    structure: Any = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.key_ids)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, without faiss' own."""
        return self.words.nbytes + self.labels.nbytes + self.key_ids.nbytes

    def row_of(self, key_id: int) -> int | None:
        """Return the first row of a drawing; None when it is not in the index."""
        row = int(np.searchsorted(self.key_ids, np.uint64(key_id)))
        return row if row < len(self) and int(self.key_ids[row]) == key_id else None

    def code(self, row: int) -> Packed:
        """Return the code of a row: (⌈D / 8⌉,) uint8."""
        return np.ascontiguousarray(self.words[:, row]).view(np.uint8)[: -(-self.bits // 8)]

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Index:
        """Read an index of `sketchdata index build`; no file of it is parsed before its sha256 has been checked.

        Raises:
            ConfigError: It needs faiss, which is not installed.
            SketchDataError: It is not there, not finished, or of another layout version, or a file is damaged.

        Example:
            >>> index = sketchdata.Index.load("index")
            >>> near = index.search(drawing, 5, run="runs/sketchcode-64")
            >>> list(zip(near.words, near.key_ids, near.distances))
        """
        from sketchdata.index.files import open_index

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
        """Return the k nearest codes of each query; from an approximate kind, these or fewer.

        Args:
            queries: (M, ⌈D / 8⌉) uint8 codes, or drawings, one or many; raw ones are simplified first.
            k: 1..N.
            run: Folder of the training whose network made the index's codes; drawings need it. It is read anew for
                each search, so search for many drawings at once.
            device: Where to compute drawings' codes: `auto`, `cpu`, `cuda`, `cuda:1`.

        Returns:
            For one drawing its neighbours; else a list, as long as the queries.

        Raises:
            ConfigError: The codes are of another length, there are not k codes, the run is missing or is not that of
                the index, or torch is not installed.
            SketchDataError: The training is not finished, or damaged.
        """
        if isinstance(queries, Drawing):
            return self.search([queries], k, run=run, device=device)[0]
        packed = queries if isinstance(queries, np.ndarray) else self.encode(queries, run, device=device)
        if packed.ndim != 2 or packed.shape[1] != -(-self.bits // 8):
            found = f"{packed.shape[1]} bytes" if packed.ndim == 2 else f"the shape {packed.shape} and not (M, bytes)"
            raise ConfigError(f"the index holds codes of {self.bits} bits, and the query has {found}")
        if not 1 <= k <= len(self):
            raise ConfigError(
                f"the index holds {len(self):,} codes: its nearest 1 to {len(self):,} can be had, not {k:,}"
            )
        kind = KINDS[self.kind]
        words = [query[:, None] for query in to_words(packed).T]
        if kind is None:
            every = (word_distances(query, self.words)[0] for query in words)
            return [self._neighbours(rows := nearest(found, k), found[rows]) for found in every]
        wanted = min(k + _SURPLUS, len(self))
        kind.prepare(wanted, self.structure)
        _, found = self.structure.search(np.ascontiguousarray(packed), wanted)
        return [self._in_order(rows, query, k) for rows, query in zip(found, words, strict=True)]

    def encode(self, drawings: Sequence[Drawing], run: str | PathLike[str] | None, *, device: str = "cpu") -> Packed:
        """Return the codes of drawings by the network that made those of the index: (M, ⌈D / 8⌉) uint8.

        Raises:
            ConfigError: The run is missing or is not that of the index, or torch is not installed.
            SketchDataError: The training is not finished, or damaged.
        """
        if run is None:
            raise ConfigError(
                "a drawing that is not in the index needs the network to become a code: name its run (--run)"
            )
        with needs_extra("turning drawings into codes", "train"):
            from sketchdata.encoder import read_encoder
            from sketchdata.encoding import encode
            from sketchdata.packed import pack
            from sketchdata.ranks import device_of
            from sketchdata.run_folder import MODEL
        trained, sha256 = read_encoder(Path(run)), hash_file(Path(run) / MODEL, "sha256")
        model = self.facts.get("model")
        if model is None:
            raise ConfigError(
                "the index does not say which network its codes are of, so only its own key_ids can be searched for"
            )
        if (model, self.bits) != (sha256, trained.width):
            raise ConfigError(
                f"the index holds codes of {self.bits} bits by another network (sha256 {str(model)[:16]}…) than that "
                f"of {run} ({trained.width} bits, sha256 {sha256[:16]}…): take the run that the codes were made by, or "
                "encode and index the data set again"
            )
        names = Words()
        batch = to_batch(drawings, names)
        batch = simplify(batch) if batch.is_raw else batch
        return encode(trained, pack([batch], tuple(names.names)), device=str(device_of(device))).packed

    def _in_order(self, rows: Rows, query: Words64, k: int) -> Neighbours:
        """Put what faiss found, -1 where nothing, into the exact order."""
        rows = np.unique(rows[rows >= 0])
        (found,) = word_distances(query, self.words[:, rows])
        order = np.argsort(found, kind="stable")[:k]
        return self._neighbours(rows[order], found[order])

    def _neighbours(self, rows: Rows, distances: npt.NDArray[np.uint8]) -> Neighbours:
        return Neighbours(
            rows=rows,
            distances=distances,
            key_ids=self.key_ids[rows],
            labels=self.labels[rows],
            classes=self.classes,
        )


def make_index(codes: Codes, kind: str, facts: dict[str, Any] | None = None) -> Index:
    """Build an index in memory.

    Raises:
        ConfigError: There is no such kind, faiss is not installed, or there are no codes.
    """
    if kind not in KINDS:
        raise ConfigError(f"there is no kind of index {kind!r}: take one of {', '.join(KINDS)}")
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
