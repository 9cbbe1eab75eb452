"""Image entropy against Eq. 4 as others compute it, percentiles against numpy's, ranks against SciPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import percentileofscore
from skimage.measure import shannon_entropy

from sketchdata.curation.entropy import (
    HIGH,
    LOW,
    NORMAL,
    UNJUDGED,
    ClassLimits,
    Reference,
    drawing_entropies,
    entropies,
    reference,
)
from sketchdata.drawings.drawing import DrawingBatch, empty_batch
from sketchdata.drawings.raster import ink_counts, raster
from sketchdata.errors import ConfigError, FormatError
from tests.batches import batch_of
from tests.strategies import batches

PIXELS = 224 * 224


@pytest.mark.slow
@given(batches(max_size=4), st.sampled_from([1, 2, 28, 224]), st.integers(1, 3))
def test_entropy_is_that_of_the_bitmap(batch: DrawingBatch, size: int, line_width: int) -> None:
    bitmaps = raster(batch, size=size, line_width=line_width)
    expected = [shannon_entropy(bitmap, base=2) for bitmap in bitmaps]
    assert drawing_entropies(batch, size=size, line_width=line_width) == pytest.approx(expected, abs=1e-12)


def test_entropy_of_a_known_line_is_that_of_its_pixels() -> None:
    # From edge to edge at 224 pixels: 224 of 50,176 are ink, so p = 1/224.
    found = drawing_entropies(batch_of([[(0, 128), (255, 128)]]))
    p = 1 / 224
    assert found.tolist() == [-(p * math.log2(p) + (1 - p) * math.log2(1 - p))]


def test_blank_full_and_half_inked_bitmaps_have_the_extreme_entropies() -> None:
    assert entropies(np.array([0, PIXELS, PIXELS // 2]), pixels=PIXELS).tolist() == [0.0, 0.0, 1.0]


@given(st.lists(st.integers(0, PIXELS), min_size=1))
def test_a_share_of_ink_and_its_complement_have_the_very_same_entropy(ink: list[int]) -> None:
    counts = np.array(ink, np.int64)
    found = entropies(counts, pixels=PIXELS)
    assert found.tolist() == entropies(PIXELS - counts, pixels=PIXELS).tolist()
    assert ((found >= 0) & (found <= 1)).all()


def test_more_ink_up_to_half_is_more_entropy() -> None:
    assert (np.diff(entropies(np.arange(PIXELS // 2 + 1), pixels=PIXELS)) > 0).all()


def test_ink_is_counted_over_many_slices_of_bitmaps() -> None:
    # More drawings than are rastered at once; drawing i is a line of i + 1 pixels.
    batch = batch_of(*([[(0, 0), (i % 256, 0)]] for i in range(700)))
    assert ink_counts(batch, size=256).tolist() == [i % 256 + 1 for i in range(700)]
    assert ink_counts(empty_batch()).tolist() == []


def test_raw_drawings_are_fitted_into_the_square() -> None:
    simplified = batch_of([[(0, 0), (255, 0), (255, 200)]])
    raw = batch_of([[(100.0, 40.0), (610.0, 40.0), (610.0, 440.0)]], raw=True)
    assert drawing_entropies(raw).tolist() == drawing_entropies(simplified).tolist()


def test_what_cannot_be_rastered_is_refused() -> None:
    with pytest.raises(FormatError, match="not a finite number"):
        drawing_entropies(batch_of([[(0.0, math.nan)]], raw=True))
    with pytest.raises(ConfigError, match="size must be 1 to 4096"):
        drawing_entropies(batch_of([[(0, 0)]]), size=0)
    with pytest.raises(ConfigError, match="line width must be 1 to 64"):
        drawing_entropies(batch_of([[(0, 0)]]), line_width=65)


# ---- percentiles and ranks -------------------------------------------------------------------------------------------

_drawings = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def of_drawings(found: list[float]) -> Reference:
    return reference(np.array(found), np.ones(len(found), np.int64))


@given(_drawings, st.floats(0, 100))
def test_percentiles_are_numpys(found: list[float], percent: float) -> None:
    assert of_drawings(found).percentiles(percent, 50) == tuple(np.percentile(found, [percent, 50]))


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 9)), min_size=1, max_size=10))
def test_counted_drawings_are_as_many_single_ones(counted: list[tuple[float, int]]) -> None:
    values, counts = (np.array(column) for column in zip(*counted, strict=True))
    together, single = reference(values, counts), of_drawings([v for v, n in counted for _ in range(n)])
    assert len(together) == len(single) == counts.sum()
    assert together.percentiles(5, 95) == single.percentiles(5, 95)


@given(_drawings, _drawings)
def test_ranks_are_the_mean_percentile_of_score(found: list[float], others: list[float]) -> None:
    asked = np.array(found + others)
    expected = [percentileofscore(found, each, kind="mean") for each in asked]
    assert of_drawings(found).ranks(asked) == pytest.approx(expected, rel=1e-5)


def test_drawings_on_a_limit_are_normal() -> None:
    # Of 0, 1 … 100 the 5th percentile is 5 and the 95th is 95, both of them drawings.
    found = np.arange(101) / 100
    limits = ClassLimits.fit([of_drawings(found.tolist())], low=5, high=95)
    _, verdict = limits.classify(np.zeros(101, np.uint16), found)
    assert verdict.tolist() == [LOW] * 5 + [NORMAL] * 91 + [HIGH] * 5


def test_each_class_is_judged_by_its_own_drawings() -> None:
    limits = ClassLimits.fit([of_drawings([0.1, 0.2, 0.3]), of_drawings([0.6, 0.7, 0.8])], low=5, high=95)
    rank, verdict = limits.classify(np.array([1, 0, 1, 0], np.uint16), np.array([0.2, 0.2, 0.7, 0.7]))
    assert verdict.tolist() == [LOW, NORMAL, NORMAL, HIGH]
    assert rank.tolist() == [0, 50, 50, 100]


def test_a_class_with_one_drawing_takes_that_for_both_limits() -> None:
    limits = ClassLimits.fit([of_drawings([0.25])], low=5, high=95)
    assert limits.bounds.tolist() == [[0.25, 0.25, 0.25]]
    assert limits.classify(np.zeros(3, np.uint16), np.array([0.24, 0.25, 0.26]))[1].tolist() == [LOW, NORMAL, HIGH]


def test_a_class_without_drawings_judges_nothing() -> None:
    limits = ClassLimits.fit([of_drawings([]), of_drawings([0.5])], low=5, high=95)
    rank, verdict = limits.classify(np.array([0, 1], np.uint16), np.array([0.5, 0.5]))
    assert np.isnan(limits.bounds[0]).all()
    assert (np.isnan(rank[0]), rank[1]) == (True, 50)
    assert verdict.tolist() == [UNJUDGED, NORMAL]
