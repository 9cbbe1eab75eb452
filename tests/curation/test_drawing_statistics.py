"""Strokes, points, countries and the recognized share of a few drawings written out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np

from sketchdata.curation.statistics import ClassStatistics, describe, measure
from tests.batches import batch_of

LINE, BEND = [(0, 0), (255, 0)], [(0, 0), (9, 9), (255, 0)]


def described(label: int | None, countries: list[bytes]) -> ClassStatistics:
    """Four drawings: three of class 1 (1, 2 and 3 strokes), one of class 2."""
    batch = batch_of(
        [LINE], [LINE, BEND], [LINE, LINE, BEND], [BEND], labels=[1, 1, 1, 2], recognized=[True, False, True, False]
    )
    return describe(measure(dataclasses.replace(batch, countrycode=np.array(countries, "S2"))), label)


def test_a_class_is_described() -> None:
    assert described(1, [b"US", b"DE", b"US", b"KR"]) == ClassStatistics(
        drawings=3,
        recognized=2 / 3,
        countries=2,
        top_country="US",
        top_country_share=2 / 3,
        no_country=0,
        strokes_mean=2.0,
        strokes_median=2.0,
        strokes_max=3,
        points_mean=14 / 3,
        points_median=5.0,
        points_max=7,
    )


def test_all_classes_together_are_described() -> None:
    found = described(None, [b"US", b"DE", b"US", b"KR"])
    assert (found.drawings, found.recognized, found.countries) == (4, 0.5, 3)
    assert (found.strokes_median, found.points_median) == (1.5, 4.0)


def test_drawings_without_a_country_are_counted_apart() -> None:
    found = described(1, [b"", b"DE", b"", b""])
    assert (found.countries, found.no_country, found.top_country, found.top_country_share) == (1, 2, "DE", 1 / 3)
    nowhere = described(2, [b"", b"DE", b"", b""])
    assert (nowhere.countries, nowhere.no_country, nowhere.top_country) == (0, 1, None)


def test_the_first_in_the_alphabet_is_the_commonest_among_equals() -> None:
    assert described(1, [b"US", b"DE", b"", b""]).top_country == "DE"


def test_a_class_without_drawings_has_no_numbers() -> None:
    found = dataclasses.asdict(described(0, [b"US"] * 4))
    assert {name for name, value in found.items() if value is not None} == {"drawings", "countries", "no_country"}
    assert (found["drawings"], found["countries"], found["no_country"]) == (0, 0, 0)
