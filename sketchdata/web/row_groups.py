"""Rows of Parquet shards by their number, read a row group at a time."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.errors import SketchDataError

#: What is kept in memory of the row groups that were read: at full scale 64 of drawings, or some 30 of photos.
_KEPT_BYTES = 160 << 20


class RowGroups:
    """The rows of some shards, one shard after the other.

    Neighbours on a page lie in different row groups, so those that were decoded are kept, up to a bound. Safe to use
    from several threads.

    Args:
        paths: The shards.
        columns: What is read of them; None for all.
        most_bytes: What is kept in memory at most of the row groups that were read.

    Raises:
        SketchDataError: A shard cannot be read.
    """

    def __init__(
        self, paths: Sequence[Path], columns: Sequence[str] | None = None, most_bytes: int = _KEPT_BYTES
    ) -> None:
        self.paths = paths
        self.most_bytes = most_bytes
        self.columns = None if columns is None else list(columns)
        groups = [(place, group, rows) for place, path in enumerate(paths) for group, rows in _groups(path)]
        self.groups = [(place, group) for place, group, _ in groups]
        self.starts = np.cumsum([0, *(rows for _, _, rows in groups)])
        self._kept: OrderedDict[int, pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process reads for itself.
        return {**self.__dict__, "_kept": OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def take(self, rows: npt.NDArray[np.int64], *, keep: bool) -> Iterator[tuple[list[int], pa.Table]]:
        """Yield (places among `rows`, those rows), a row group at a time, each of them read once.

        Args:
            rows: Numbers of rows, in any order.
            keep: Whether what is read is kept for later; of very many rows it is not worth it.

        Raises:
            SketchDataError: A shard cannot be read.
        """
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows[order], self.starts).tolist()
        for group, (first, last) in enumerate(itertools.pairwise(bounds)):
            if first < last:
                chosen = order[first:last]
                table = self._kept_table(group) if keep else self._load(group)
                yield chosen.tolist(), table.take(rows[chosen] - self.starts[group])

    @property
    def kept_bytes(self) -> int:
        """How much memory the row groups take that are kept."""
        return sum(table.nbytes for table in self._kept.values())

    def _kept_table(self, group: int) -> pa.Table:
        with self._lock:
            if group in self._kept:
                self._kept.move_to_end(group)
                return self._kept[group]
        # Not under the lock: two threads decode two row groups at once.
        table = self._load(group)
        with self._lock:
            self._kept[group] = table
            while self.kept_bytes > self.most_bytes:
                self._kept.popitem(last=False)
        return table

    def _load(self, group: int) -> pa.Table:
        place, number = self.groups[group]
        try:
            with pq.ParquetFile(self.paths[place], memory_map=True) as file:
                return file.read_row_group(number, columns=self.columns)
        except (pa.ArrowException, OSError, LookupError) as error:
            raise _unreadable(self.paths[place], error) from error


def _groups(path: Path) -> list[tuple[int, int]]:
    try:
        with pq.ParquetFile(path) as file:
            return [(group, file.metadata.row_group(group).num_rows) for group in range(file.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> SketchDataError:
    return SketchDataError(f"{path} cannot be read as a shard of sketchdata: {error}")
