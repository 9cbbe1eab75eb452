"""Splits of classes: nobody's order decides them, they grow without forgetting, and nothing unseen is ever seen."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.classes.spellings import plain
from sketchdata.classes.splits import (
    ClassSplit,
    SplitNames,
    choose_validation,
    draw_classes,
    split_by_names,
    split_classes,
)
from sketchdata.drawings.sampling import ranks
from sketchdata.errors import ConfigError

WORDS = tuple(f"class {number}" for number in range(60))
TABLE = ("axe", "bear", "cat", "dog", "palm tree", "The Eiffel Tower")

tables = st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=5, max_size=40, unique=True)
seeds = st.integers(0, 2**64 - 1)


@given(tables, st.data(), seeds, st.sampled_from([0.0, 0.2, 0.5]))
def test_every_class_has_one_part_and_validation_is_seen(
    words: list[str], data: st.DataObject, seed: int, share: float
) -> None:
    seen = data.draw(st.integers(4, len(words) - 1))
    split = split_classes(words, seen, validation_share=share, seed=seed)
    assert len(split.seen) == seen
    assert sorted(split.seen + split.unseen) == sorted(words)
    assert set(split.validation) <= set(split.seen)
    assert set(split.learned) == set(split.seen) - set(split.validation)
    assert bool(split.validation) == bool(share)
    for part in (split.seen, split.validation, split.unseen, split.learned):
        assert list(part) == [word for word in words if word in part]


@given(tables, st.data(), seeds)
def test_the_order_and_the_spelling_of_the_table_do_not_count(words: list[str], data: st.DataObject, seed: int) -> None:
    mixed = data.draw(st.permutations(words))
    one = split_classes(words, 3, seed=seed)
    other = split_classes([f"The {word.upper()}" for word in mixed], 3, seed=seed)
    for part in ("seen", "validation", "unseen"):
        assert {plain(name) for name in getattr(one, part)} == {plain(name) for name in getattr(other, part)}


@pytest.mark.parametrize("seed", range(3))
def test_more_seen_classes_are_those_of_fewer_and_others(seed: int) -> None:
    seen = [set(split_classes(WORDS, count, seed=seed).seen) for count in range(3, 60)]
    assert all(fewer < more for fewer, more in pairwise(seen))


def test_a_larger_share_for_validation_adds_to_a_smaller_one() -> None:
    chosen = [set(choose_validation(WORDS, share)) for share in (0, 0.1, 0.2, 0.4, 0.9)]
    assert [len(own) for own in chosen] == [0, 6, 12, 24, 54]
    assert all(fewer < more for fewer, more in pairwise(chosen))


def test_a_share_above_0_is_one_class_at_least() -> None:
    assert len(choose_validation(WORDS[:3], 0.01)) == 1


def test_seeds_give_different_splits() -> None:
    assert len({split_classes(WORDS, 30, seed=seed).unseen for seed in range(10)}) == 10
    assert split_classes(WORDS, 30, seed=1) == split_classes(WORDS, 30, seed=1)


def test_200_seen_classes_have_40_for_validation() -> None:
    split = split_classes([f"class {number}" for number in range(345)], 200)
    assert (len(split.seen), len(split.validation), len(split.learned), len(split.unseen)) == (200, 40, 160, 145)


@pytest.mark.parametrize("seen", [-1, 0, 1, 6, 7])
def test_so_many_seen_classes_as_cannot_be_are_refused(seen: int) -> None:
    with pytest.raises(ConfigError, match=f"2 to 5 of 6 classes can be seen, not {seen}"):
        split_classes(TABLE, seen)


def test_what_would_leave_too_few_to_learn_from_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="1 of 2 seen classes are for validation, which leaves 1: a training needs at least 2"
    ):
        split_classes(TABLE, 2)
    assert split_classes(TABLE, 2, validation_share=0).validation == ()


@pytest.mark.parametrize("share", [-0.1, 1, 1.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="must lie from 0 to below 1"):
        split_classes(TABLE, 4, validation_share=share)


@pytest.mark.parametrize(
    ("seen", "validation", "unseen", "message"),
    [
        (("a", "b", "palm tree"), (), ("palm_tree", "c"), "'palm tree' cannot be both seen and unseen"),
        (("a", "b", "c"), ("d",), ("d",), "validation classes must be seen classes: 'd' is not seen"),
        (("a", "b"), (), (), "no class is unseen"),
        (("a", "b", "b"), (), ("c",), "have 'b' twice"),
        (("a",), (), ("c",), "leaves 1: a training needs at least 2"),
    ],
)
def test_a_split_that_would_leak_or_has_nothing_to_learn_cannot_be_made(
    seen: tuple[str, ...], validation: tuple[str, ...], unseen: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ClassSplit(seen=seen, validation=validation, unseen=unseen)


def test_unseen_names_alone_leave_the_rest_to_be_seen() -> None:
    split, unknown = split_by_names(TABLE, SplitNames(unseen=("eiffel tower", "DOG")), validation_share=0.5)
    assert split.unseen == ("dog", "The Eiffel Tower")
    assert split.seen == ("axe", "bear", "cat", "palm tree")
    assert len(split.validation) == 2
    assert unknown == ()


def test_seen_names_alone_leave_the_rest_unseen() -> None:
    split, _ = split_by_names(TABLE, SplitNames(seen=("palm_tree", "cat", "axe")))
    assert (split.seen, split.unseen) == (("axe", "cat", "palm tree"), ("bear", "dog", "The Eiffel Tower"))


def test_names_of_both_leave_out_what_is_in_neither() -> None:
    names = SplitNames(seen=("axe", "bear", "cat"), unseen=("dog",), validation=("Bear",))
    split, _ = split_by_names(TABLE, names, validation_share=0.9)
    assert split == ClassSplit(seen=("axe", "bear", "cat"), validation=("bear",), unseen=("dog",))


def test_names_may_say_that_nothing_is_for_validation() -> None:
    split, _ = split_by_names(TABLE, SplitNames(unseen=("dog",), validation=()))
    assert split.validation == ()


def test_unknown_names_of_every_part_are_told_at_once_or_passed_over() -> None:
    names = SplitNames(seen=("axe", "bear", "cat", "yak"), unseen=("dog", "gnu"))
    with pytest.raises(ConfigError, match="2 of 6 names are not among the 6 classes: 'yak', 'gnu'"):
        split_by_names(TABLE, names)
    split, unknown = split_by_names(TABLE, names, allow_unknown=True)
    assert (split.seen, split.unseen, unknown) == (("axe", "bear", "cat"), ("dog",), ("yak", "gnu"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (SplitNames(), "a split must name its seen or its unseen classes"),
        (SplitNames(unseen=("gnu",)), "no class is unseen"),
        (SplitNames(seen=("axe", "cat", "bear"), unseen=("Axe",)), "'axe' cannot be both seen and unseen"),
        (SplitNames(unseen=("axe", "AXE")), "'axe' and 'AXE' both name the class 'axe'"),
        (SplitNames(unseen=("axe",), validation=("Axe",)), "'axe' is not seen"),
    ],
)
def test_names_that_make_no_split_are_refused(names: SplitNames, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_by_names(TABLE, names, allow_unknown=True)


# ---- drawn by their names --------------------------------------------------------------------------------------------

# No two of a data set's classes are one name but for the spelling.
names = st.lists(st.text(min_size=1, max_size=6), min_size=2, max_size=12, unique_by=plain)


@given(words=names, seed=seeds, data=st.data())
def test_drawn_classes_are_those_whose_names_have_the_smallest_ranks(
    words: list[str], seed: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(words) - 2))
    hashes = {word: hashlib.sha256(plain(word).encode()).digest()[:8] for word in words}
    rank = {word: int(ranks(np.frombuffer(own, ">u8").astype(np.uint64), seed)[0]) for word, own in hashes.items()}
    expected = set(sorted(words, key=rank.__getitem__)[:count])
    found = draw_classes(words, count, seed)
    assert found == tuple(word for word in words if word in expected)


@given(words=names, data=st.data())
def test_the_choice_of_classes_knows_no_order_and_a_larger_one_keeps_a_smaller_one(
    words: list[str], data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(words) - 2))
    found = draw_classes(words, count)
    assert set(draw_classes(data.draw(st.permutations(words)), count)) == set(found)
    assert set(draw_classes(words, max(count - 1, 0))) <= set(found)


def test_another_seed_holds_out_other_classes() -> None:
    many = [f"class {number}" for number in range(50)]
    assert set(draw_classes(many, 10, seed=0)) != set(draw_classes(many, 10, seed=1))
    assert len(draw_classes(many, 10)) == 10
    # What a data set holds out must never change.
    assert draw_classes(many, 3) == ("class 11", "class 32", "class 49")
    assert draw_classes([word.replace(" ", "_").title() for word in many], 3) == tuple(
        word.replace(" ", "_").title() for word in ("class 11", "class 32", "class 49")
    )


def test_more_classes_than_leave_two_are_refused_and_words_may_all_be_chosen() -> None:
    with pytest.raises(ConfigError, match=r"2 of 4 classes can be held out, not 3: a training needs at least 2"):
        draw_classes("abcd", 3, leave=2)
    with pytest.raises(ConfigError, match="0 of 1 classes can be held out"):
        draw_classes("a", 1, leave=2)
    assert draw_classes("abcd", 3) == tuple(word for word in "abcd" if word in set(draw_classes("dcba", 3)))
    assert draw_classes("abcd", 9) == tuple("abcd")
