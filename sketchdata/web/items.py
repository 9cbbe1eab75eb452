"""Items that people look at: N of them in C groups, each with an id, a score and facts to filter by, as columns.

The pages know items alone. Here they are drawings scored by image entropy; whoever has other scored pictures in groups
makes `Items` of them and gives their pictures a kind of their own, see `sketchdata.web.pictures`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sketchdata.audit_store import Audit
from sketchdata.errors import SketchDataError
from sketchdata.shards import parquet

_FACTS = ("key_id", "countrycode", "recognized")


@dataclass(frozen=True, kw_only=True)
class Items:
    """N items, group by group and by rising score within a group.

    Attributes:
        offsets: (C + 1,) int64, where each group's items begin.
        id: (N,) uint64.
        score: (N,) float64.
        row: (N,) int64, where the item's picture is found.
        split: (N,) uint8, an index into `splits`.
        country: (N,) uint16, an index into `countries`.
        recognized: (N,) bool.
        noise: (N,) bool, beyond the audit's limits.
        splits: Names of the splits.
        countries: Country codes, the empty one for unknown.
    """

    offsets: npt.NDArray[np.int64]
    id: npt.NDArray[np.uint64]
    score: npt.NDArray[np.float64]
    row: npt.NDArray[np.int64]
    split: npt.NDArray[np.uint8]
    country: npt.NDArray[np.uint16]
    recognized: npt.NDArray[np.bool_]
    noise: npt.NDArray[np.bool_]
    splits: tuple[str, ...]
    countries: tuple[str, ...]

    def group(self, group: int) -> slice:
        """Return where a group's items stand."""
        return slice(int(self.offsets[group]), int(self.offsets[group + 1]))


#: What the page gets of each item of a class, in columns one after the other; curation's `items.js` reads them.
WIRE_COLUMNS = (("id", "<u8"), ("score", "<f8"), ("country", "<u2"), ("split", "u1"), ("recognized", "u1"))


def pack(items: Items, group: int) -> bytes:
    """Return a group's columns as bytes, as `WIRE_COLUMNS` lists them: 20 bytes an item."""
    rows = items.group(group)
    return b"".join(getattr(items, name)[rows].astype(kind).tobytes() for name, kind in WIRE_COLUMNS)


def audited_drawings(audit: Audit) -> Items:
    """Return the drawings of an entropy audit, a class a group; row i is row i of the audit.

    Raises:
        SketchDataError: A shard cannot be read, or has other drawings than the audit.
    """
    country, recognized, names = _facts(audit)
    order = np.lexsort((audit.key_id, audit.entropy, audit.label))
    return Items(
        offsets=np.searchsorted(audit.label[order], np.arange(len(audit.classes) + 1)).astype(np.int64),
        id=audit.key_id[order],
        score=audit.entropy[order],
        row=order.astype(np.int64),
        split=audit.split[order],
        country=country[order],
        recognized=recognized[order],
        noise=audit.noise[order],
        splits=audit.splits,
        countries=names,
    )


def _facts(audit: Audit) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_], tuple[str, ...]]:
    """Read each drawing's country and whether it was recognized, in the order of the audit's rows."""
    country, recognized = np.empty(len(audit), np.uint16), np.empty(len(audit), np.bool_)
    names: dict[str, int] = {"": 0}
    start = 0
    for table in _tables(audit):
        stop = start + table.num_rows
        if not np.array_equal(audit.key_id[start:stop], table.column("key_id").to_numpy()):
            raise SketchDataError(
                f"{audit.directory} has other drawings than its audit from row {start:,} on: "
                f"run `sketchdata audit entropy {audit.directory}`"
            )
        country[start:stop] = _country_indices(table, names)
        recognized[start:stop] = table.column("recognized").to_numpy()
        start = stop
    return country, recognized, tuple(names)


def _tables(audit: Audit) -> Iterator[pa.Table]:
    for split in audit.splits:
        for shard in audit.manifest.shards(split):
            yield from parquet.read_row_groups(audit.directory / shard.path, _FACTS)


def _country_indices(table: pa.Table, names: dict[str, int]) -> npt.NDArray[np.uint16]:
    column = table.column("countrycode").combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    known = [names.setdefault(name, len(names)) for name in column.dictionary.to_pylist()]
    indices = column.indices.fill_null(len(known)).to_numpy()
    found: npt.NDArray[np.uint16] = np.array([*known, 0], np.uint16)[indices]
    return found
