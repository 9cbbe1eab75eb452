"""What a search costs: seconds a query, and memory.

Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", Table IV, which says
neither what was timed nor on what machine.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from typing import Any

from sketchdata.codes import Codes
from sketchdata.index import make_index

#: Table IV: {bits: (seconds a query, megabytes)} on the gallery of 345,000.
COST = {16: (0.089, 612), 24: (0.126, 667), 32: (0.157, 732), 64: (0.286, 937)}

#: Drawings in the gallery that the published cost is of.
PAPER_GALLERY = 345_000
#: Queries that are timed, at most.
_TIMED = 200
_DEFINITION = (
    "Seconds from the code of one drawing to its nearest drawings in the gallery, in order: the Hamming distance to "
    "every code is counted, nothing is approximated, and one thread works; the median over single queries. Making the "
    "code is not included. Memory is that of the gallery's codes alone, that of all that a search holds (codes, labels "
    "and key_ids), and the most that the whole process had so far, network and drawings included."
)


def search_cost(queries: Codes, gallery: Codes, k: int = 200) -> dict[str, Any]:
    """Time searches, one query after the other, and measure what they hold in memory.

    Args:
        queries: Q codes, of which 200 or fewer, evenly spread, are timed.
        gallery: N codes.
        k: How many nearest ones are wanted; N where there are fewer.

    Returns:
        Plain values: `definition`, `bits`, `gallery`, `queries`, `k`, `seconds` and `slowest_seconds` a query,
        `codes_bytes`, `search_bytes`, `peak_bytes`; and `paper`, of `seconds` and `megabytes`, where the gallery is
        as large as the paper's.

    Raises:
        ConfigError: There are no codes.
    """
    index, wanted = make_index(gallery, "flat"), min(k, len(gallery))
    timed = queries.packed[:: -(-len(queries) // _TIMED)]
    # The first search pays for what later ones find ready.
    index.search(timed[:1], wanted)
    seconds = []
    for query in timed[:, None]:
        begin = time.perf_counter()
        index.search(query, wanted)
        seconds.append(time.perf_counter() - begin)
    values: dict[str, Any] = {
        "definition": _DEFINITION,
        "bits": gallery.bits,
        "gallery": len(gallery),
        "queries": len(seconds),
        "k": wanted,
        "seconds": statistics.median(seconds),
        "slowest_seconds": max(seconds),
        "codes_bytes": gallery.packed.nbytes,
        "search_bytes": index.nbytes,
        "peak_bytes": peak_bytes(),
    }
    if len(gallery) == PAPER_GALLERY and gallery.bits in COST:
        values["paper"] = dict(zip(("seconds", "megabytes"), COST[gallery.bits], strict=True))
    return values


def peak_bytes() -> int:
    """Return the most memory that this process has had so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, all others kibibytes.
    return peak if sys.platform == "darwin" else peak * 1024
