"""What every record format has in common: blocks of whole records with known key_ids, and batches of parsed ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class RecordBlock:
    """Whole records of a file, not parsed.

    Attributes:
        data: The records' bytes, perhaps with padding behind them.
        position: Where `data` starts in the (uncompressed) file.
        starts: (L,) int64, each record's first byte in `data`.
        ends: (L,) int64, one past each record's last byte, without a line end.
        key_ids: (L,) uint64, 0 where not found.
        found: (L,) bool, whether the key_id stands where official files have it. Other records must be parsed to be
            known: they may be broken or merely written otherwise.
        complete: Whether the last record is closed as it should be; false only at a file's end.
    """

    data: bytes
    position: int
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    key_ids: npt.NDArray[np.uint64]
    found: npt.NDArray[np.bool_]
    complete: bool = True

    def __len__(self) -> int:
        return len(self.starts)

    def record(self, index: int) -> bytes:
        """Return one record's bytes."""
        return self.data[self.starts[index] : self.ends[index]]

    def records(self, rows: npt.NDArray[np.int64]) -> list[bytes]:
        """Return some records' bytes."""
        data = self.data
        return [data[a:b] for a, b in zip(self.starts[rows].tolist(), self.ends[rows].tolist(), strict=True)]
