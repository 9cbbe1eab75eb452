"""Classes find their words by any spelling, the nearest one first, and else by the words of their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.classes.spellings import plain
from sketchdata.classes.word_vectors import Match, WordSearch, parts_of
from sketchdata.errors import ConfigError


def search(classes: tuple[str, ...], words: tuple[str, ...]) -> WordSearch[int]:
    """Search a list of words, whose entries are their places."""
    found: WordSearch[int] = WordSearch(classes)
    for place, word in enumerate(words):
        if found.wants(word.encode()):
            found.offer(word, place)
    return found


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("cat", ("dog", "cat"), Match(("cat",), (1,))),
        ("cat", ("Cat", "CAT", "cat", "cat"), Match(("cat",), (2,))),
        ("cat", ("CAT", "Cat"), Match(("CAT",), (0,))),
        ("Apple", ("apple", "APPLE"), Match(("apple",), (0,))),
        ("wine bottle", ("Wine_Bottle", "winebottle", "wine-bottle"), Match(("winebottle",), (1,))),
        ("The Eiffel Tower", ("eiffel_tower", "Eiffel", "Tower"), Match(("eiffel_tower",), (0,))),
        ("The Eiffel Tower", ("the", "Tower", "Eiffel"), Match(("Eiffel", "Tower"), (2, 1))),
        ("sea turtle", ("turtle", "of", "sea"), Match(("sea", "turtle"), (2, 0))),
        ("t-shirt", ("T", "shirt", "t_shirt"), Match(("t_shirt",), (2,))),
        ("motorbike", ("motorcycle",), Match(("motorcycle",), (0,))),
        ("motorbike", ("motorcycle", "motorbike"), Match(("motorbike",), (1,))),
        ("café", ("Café",), Match(("Café",), (0,))),
        ("sea turtle", ("sea", "turtles"), None),
        ("bear", ("bear_(animal)", "teddy bear"), None),
        ("ater", ("theater",), None),
        ("+", ("-", "+"), Match(("+",), (1,))),
    ],
)
def test_a_class_finds_its_word_or_words(name: str, words: tuple[str, ...], expected: Match[int] | None) -> None:
    assert search((name,), words).find(name) == expected


def test_words_serve_several_classes() -> None:
    found = search(("bat", "baseball bat", "baseball"), ("baseball", "bat"))
    assert found.find("bat") == Match(("bat",), (1,))
    assert found.find("baseball bat") == Match(("baseball", "bat"), (0, 1))


@given(name=st.text(min_size=1).filter(str.strip))
def test_a_class_wants_its_own_name_however_it_is_written(name: str) -> None:
    found = search((name,), (name,))
    match = found.find(name)
    assert match is not None
    assert match.entries[0] == 0


@given(word=st.text(min_size=1))
def test_the_quick_question_turns_away_no_word_that_would_be_kept(word: str) -> None:
    found: WordSearch[int] = WordSearch(("cat", "The Eiffel Tower", "t-shirt", "é"))
    found.offer(word, 0)
    kept = any(found.find(name) for name in ("cat", "é")) or plain(word) in ("t", "shirt", "eiffel", "tower")
    assert found.wants(word.encode()) or not kept


def test_bytes_that_are_no_text_are_not_wanted() -> None:
    assert not WordSearch(("cat",)).wants(b"\xff\xfe")


def test_one_name_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="'sea turtle' and 'Sea_Turtle', which are one name"):
        WordSearch(("sea turtle", "Sea_Turtle"))


def test_names_of_one_word_have_no_parts() -> None:
    assert [parts_of(name) for name in ("cat", "the", "The cat", "+", "a_b-c d")] == [
        (),
        (),
        (),
        (),
        ("a", "b", "c", "d"),
    ]
