"""Rankings with ties for the tests of measures: drawn at random, and every order of them written out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from hypothesis import strategies as st

from sketchdata.retrieval.metrics import TieGroups

#: (items, relevant items) of each group, the nearest first.
Ranking = Sequence[tuple[int, int]]
#: Whether the item at each rank is relevant.
Order = tuple[bool, ...]


@st.composite
def rankings(draw: st.DrawFn, most: int = 12) -> Ranking:
    """Draw a ranking of 1 to `most` items with a relevant one, empty groups among its groups."""
    sizes = draw(st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(lambda each: 0 < sum(each) <= most))
    groups = [(size, draw(st.integers(0, size))) for size in sizes]
    if not any(relevant for _, relevant in groups):
        place = next(i for i, size in enumerate(sizes) if size)
        groups[place] = (sizes[place], 1)
    return groups


def tie_groups(*rows: Ranking) -> TieGroups:
    """Return the groups of some queries, shorter rows filled up with empty groups."""
    longest = max(map(len, rows))
    both = np.array([[*row, *[(0, 0)] * (longest - len(row))] for row in rows], np.int64)
    return TieGroups(items=both[..., 0], relevant=both[..., 1])


def orders(ranking: Ranking) -> Iterator[Order]:
    """Yield every order of a ranking's tied items once: they are equally probable, as all permutations are."""
    arranged = [
        [tuple(i in chosen for i in range(size)) for chosen in itertools.combinations(range(size), relevant)]
        for size, relevant in ranking
    ]
    for parts in itertools.product(*arranged):
        yield tuple(itertools.chain.from_iterable(parts))
