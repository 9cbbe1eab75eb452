"""Names of classes: which spellings are one name, and what lists of names find in a class table."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.classes.spellings import by_spelling, find, match, plain
from sketchdata.errors import ConfigError

CLASSES = ("palm tree", "hot air balloon", "The Eiffel Tower", "motorbike", "bear", "teddy-bear")


@pytest.mark.parametrize(
    "spellings",
    [
        ("wine bottle", "wine_bottle", "winebottle", "Wine-Bottle", " WINE  BOTTLE ", "wine\u00a0bottle"),
        ("palm_tree", "palm tree", "Palm Tree"),
        ("hot-air_balloon", "hot air balloon"),
        ("The Eiffel Tower", "eiffel tower", "the_eiffel-tower"),
        ("été", unicodedata.normalize("NFD", "été"), "ÉTÉ"),
        ("car (sedan)", "car_(sedan)"),
        ("Straße", "STRASSE"),
    ],
)
def test_spellings_of_a_name_are_the_same(spellings: tuple[str, ...]) -> None:
    assert len({plain(name) for name in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("car", "car (sedan)"),
        ("bear", "teddy bear"),
        ("theatre", "atre"),
        ("the", "the cat"),
        ("+", "-"),
        ("été", "ete"),
        ("की", "का"),
        ("t-shirt", "shirt"),
    ],
)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert plain(one) != plain(other)


@given(st.text())
def test_a_plain_name_is_plain_already(name: str) -> None:
    assert plain(plain(name)) == plain(name)


def test_no_two_names_of_quickdraw_are_one(quickdraw: tuple[str, ...]) -> None:
    assert len({plain(name) for name in quickdraw}) == 345


@pytest.fixture
def quickdraw() -> tuple[str, ...]:
    from sketchdata.storage.catalog import manifest_path, read_classes

    return read_classes(manifest_path("quickdraw-categories.txt"))


def test_another_name_is_found_only_where_nothing_has_the_name_itself() -> None:
    assert find("motorcycle", {"motorbike": 1}) == 1
    assert find("Motorbike", {"motorcycle": 2}) == 2
    assert find("motorcycle", {"motorbike": 1, "motorcycle": 2}) == 2
    assert find("crocodilian", {"crocodile": 3}) == 3
    assert find("cat", {"motorbike": 1}) is None


def test_a_list_is_matched_by_any_spelling_in_the_order_of_the_table() -> None:
    found = match(["eiffel tower", "motorcycle", "hot-air_balloon", "Palm_Tree"], CLASSES)
    assert found.classes == ("palm tree", "hot air balloon", "The Eiffel Tower", "motorbike")
    assert found.unknown == ()


def test_all_names_that_are_no_class_are_told_with_the_nearest_ones() -> None:
    expected = re.escape(
        "2 of 3 names are not among the 6 classes: 'beer' (did you mean bear?), 'zzz'; "
        "correct them, or leave them out with --allow-unknown"
    )
    with pytest.raises(ConfigError, match=expected):
        match(["beer", "palm tree", "zzz"], CLASSES)


def test_names_that_are_no_class_are_counted_where_that_is_allowed() -> None:
    found = match(["zzz", "bear", "beer"], CLASSES, allow_unknown=True)
    assert (found.classes, found.unknown) == (("bear",), ("zzz", "beer"))


def test_a_class_that_is_named_twice_is_refused_by_both_its_names() -> None:
    with pytest.raises(ConfigError, match="'teddy bear' and 'Teddy_Bear' both name the class 'teddy-bear'"):
        match(["teddy bear", "Teddy_Bear"], CLASSES)
    with pytest.raises(ConfigError, match="'motorcycle' and 'motorbike' both name the class 'motorbike'"):
        match(["motorcycle", "motorbike"], CLASSES)


def test_a_table_with_one_name_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="the 2 classes have 'palm tree' and 'palm_tree', which are one name"):
        by_spelling(["palm tree", "palm_tree"])
    with pytest.raises(ConfigError, match="the 3 classes have 'cat' twice"):
        by_spelling(["cat", "dog", "cat"])
