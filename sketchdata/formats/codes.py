"""Binary codes of drawings, packed into bytes.

Bit j of a code is bit j % 8, counted from the lowest, of byte j // 8, as in faiss and in our Parquet files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError

Packed = npt.NDArray[np.uint8]
#: Maximum code length for which a distance fits into a byte.
MAX_BITS = 248


def pack_bits(bits: npt.NDArray[np.bool_]) -> Packed:
    """Pack codes: (N, D) bool → (N, ⌈D / 8⌉) uint8, 0 in the bits beyond D."""
    return np.packbits(bits, axis=1, bitorder="little")


def unpack_bits(packed: Packed, bits: int) -> npt.NDArray[np.bool_]:
    """Return what `pack_bits` packed: (N, ⌈D / 8⌉) uint8 → (N, D) bool."""
    return np.unpackbits(packed, axis=1, count=bits, bitorder="little").astype(np.bool_)


@dataclass(frozen=True, kw_only=True, eq=False)
class Codes:
    """N binary codes of drawings.

    Attributes:
        bits: D, 1..248.
        packed: (N, ⌈D / 8⌉) uint8.
        labels: (N,) uint16, indices into the class table.
        key_ids: (N,) uint64.
        classes: The class table.

    Raises:
        ConfigError: The shapes of the arrays do not match.
    """

    bits: int
    packed: Packed
    labels: npt.NDArray[np.uint16]
    key_ids: npt.NDArray[np.uint64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise ConfigError(f"a code has 1 to {MAX_BITS} bits, not {self.bits}")
        expected = (len(self.labels), -(-self.bits // 8))
        if self.packed.shape != expected or len(self.key_ids) != len(self.labels):
            raise ConfigError(
                f"{len(self.labels):,} codes of {self.bits} bits are {expected} bytes with as many key_ids, "
                f"not {self.packed.shape} with {len(self.key_ids):,}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> Codes:
        """Return some of the codes, in the order of `rows`."""
        return Codes(
            bits=self.bits,
            packed=self.packed[rows],
            labels=self.labels[rows],
            key_ids=self.key_ids[rows],
            classes=self.classes,
        )


def joined(parts: Sequence[Codes]) -> Codes:
    """Return the codes of one or several parts, of one length and class table, one after the other."""
    return Codes(
        bits=parts[0].bits,
        packed=np.concatenate([part.packed for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        key_ids=np.concatenate([part.key_ids for part in parts]),
        classes=parts[0].classes,
    )
