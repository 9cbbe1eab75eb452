"""An index over binary codes: which of them are nearest to a query's, by Hamming distance and, at equal ones, key_id.

    index = open_index(Path("index"))
    (found,) = index.search(codes.packed[:1], 20)
    index.key_ids[found.rows], found.distances

`flat` looks at every code, and is exact. The others are faiss' and approximate: what they find is put into the exact
order, but they may miss some, and may find fewer than were asked for.
"""

from __future__ import annotations

from sketchdata.index.exact import Neighbours
from sketchdata.index.files import CODES, KEY_IDS, LABELS, STRUCTURE, open_index, write_arrays
from sketchdata.index.kinds import KINDS
from sketchdata.index.search import Index, make_index

__all__ = [
    "CODES",
    "KEY_IDS",
    "KINDS",
    "LABELS",
    "STRUCTURE",
    "Index",
    "Neighbours",
    "make_index",
    "open_index",
    "write_arrays",
]
