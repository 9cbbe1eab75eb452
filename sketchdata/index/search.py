"""One interface to all kinds of index."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.codes import Codes, Packed
from sketchdata.errors import ConfigError
from sketchdata.hamming import Words, to_words, word_distances
from sketchdata.index.exact import Neighbours, Rows, nearest
from sketchdata.index.kinds import KINDS, build_structure

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
    words: Words
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

    def search(self, packed: Packed, k: int) -> list[Neighbours]:
        """Return the k nearest codes of each query; from an approximate kind, these or fewer.

        Args:
            packed: (M, ⌈D / 8⌉) uint8.
            k: 1..N.

        Raises:
            ConfigError: The codes are of another length, or there are not k codes.
        """
        if packed.shape[1] != -(-self.bits // 8):
            raise ConfigError(f"the index holds codes of {self.bits} bits, and the query has {packed.shape[1]} bytes")
        if not 1 <= k <= len(self):
            raise ConfigError(
                f"the index holds {len(self):,} codes: its nearest 1 to {len(self):,} can be had, not {k:,}"
            )
        kind = KINDS[self.kind]
        queries = [words[:, None] for words in to_words(packed).T]
        if kind is None:
            return [nearest(word_distances(query, self.words)[0], k) for query in queries]
        wanted = min(k + _SURPLUS, len(self))
        kind.prepare(wanted, self.structure)
        _, found = self.structure.search(np.ascontiguousarray(packed), wanted)
        return [self._in_order(rows, query, k) for rows, query in zip(found, queries, strict=True)]

    def _in_order(self, rows: Rows, query: Words, k: int) -> Neighbours:
        """Put what faiss found, -1 where nothing, into the exact order."""
        rows = np.unique(rows[rows >= 0])
        (found,) = word_distances(query, self.words[:, rows])
        order = np.argsort(found, kind="stable")[:k]
        return Neighbours(rows=rows[order], distances=found[order])


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
