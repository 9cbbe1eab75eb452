"""Lists of names in one option, and suggestions for a name that is none."""

from __future__ import annotations

import pytest

from sketchdata.names import did_you_mean, names_in


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("star,cat", ("star", "cat")),
        (" wine bottle , cat,", ("wine bottle", "cat")),
        ("cat,star,cat", ("cat", "star")),
        ("", ()),
        (" , ,", ()),
    ],
)
def test_names_come_stripped_and_once_in_their_order(text: str, names: tuple[str, ...]) -> None:
    assert names_in(text) == names


def test_the_nearest_names_are_suggested() -> None:
    assert did_you_mean("stra", ["star", "cat"]) == "did you mean star?"
    assert did_you_mean("bat", ["bat wing", "cat", "hat"]) == "did you mean hat or cat?"
    assert did_you_mean("zzz", ["star", "cat"]) == ""


def test_a_table_says_how_a_suggestion_is_spelled() -> None:
    assert did_you_mean("winebotle", {"winebottle": "wine bottle"}) == "did you mean wine bottle?"
