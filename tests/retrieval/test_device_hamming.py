"""Counts by matrix products: the very numbers of the counts by exclusive or, for codes of every length."""

from __future__ import annotations

import numpy as np
import pytest

from sketchdata.errors import ConfigError
from sketchdata.retrieval import hamming
from sketchdata.retrieval.scores import score_codes
from tests.binary_codes import clustered_codes


@pytest.mark.parametrize("bits", [1, 7, 12, 16, 17, 33, 64, 65, 128, 248])
@pytest.mark.parametrize("cells", [1, 1000, 1 << 20])
def test_counts_by_matrix_products_are_those_of_exclusive_or(bits: int, cells: int) -> None:
    queries, gallery = clustered_codes(30, bits=bits, seed=1), clustered_codes(300, bits=bits, seed=2)
    gallery = gallery.take(np.flatnonzero(gallery.labels != 1))
    found = hamming.count_distances_on_device(queries, gallery, device="cpu", cells=cells)
    expected = hamming.count_distances(queries, gallery)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.relevant, expected.relevant)


def test_a_retrieval_takes_its_counts_from_a_device() -> None:
    queries, gallery = clustered_codes(30, bits=24, seed=1), clustered_codes(300, bits=24, seed=2)

    def count(*codes: hamming.Codes) -> hamming.TieGroups:
        return hamming.count_distances_on_device(*codes, device="cpu")

    found, expected = score_codes(queries, gallery, count=count).values(), score_codes(queries, gallery).values()
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}


def test_a_device_that_is_not_there_is_refused() -> None:
    codes = clustered_codes(3, bits=8)
    with pytest.raises(ConfigError, match="cuda:99"):
        hamming.count_distances_on_device(codes, codes, device="cuda:99")
