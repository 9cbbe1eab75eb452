"""What strangers write about their photos becomes short plain text, and a class gets so many photos as are wanted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.formats.files import Fault
from sketchdata.photos.annotations.record import Annotation, Reading
from sketchdata.photos.search import SEARCHES, find_photos, plain_text
from tests.photos.labelled_photos import reasons


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<a href="javascript:alert(1)" onclick="x()">Ann <b>Other</b></a>', "Ann Other"),
        ("<script>alert(1)</script>Ann<style>b{}</style>", "Ann"),
        ("Ann &amp; Bob &lt;ann@a.test&gt;", "Ann & Bob <ann@a.test>"),
        ("  Ann\n\t Other\x00\x1b[31m ", "Ann Other [31m"),
        ("Ann\u202egpj.exe", "Ann gpj.exe"),
        ("5 < 6 > 4", "5 < 6 > 4"),
        ("", None),
        ("<p></p>", None),
        (None, None),
        (7, None),
        (["Ann"], None),
    ],
)
def test_html_becomes_plain_text(text: object, expected: str | None) -> None:
    assert plain_text(text) == expected


@given(st.text())
def test_any_text_becomes_one_short_printable_line(text: str) -> None:
    found = plain_text(text)
    assert found is None or (len(found) <= 300 and found.encode() and "\n" not in found and found == found.strip())


def test_an_endless_title_is_cut() -> None:
    assert plain_text("x" * 1000) == f"{'x' * 299}…"


class Found:
    """A search that finds photos by their numbers, and that tells how many it was asked for."""

    def __init__(self, *numbers: int) -> None:
        self.numbers, self.given = numbers, 0

    def find(self, query: str) -> Iterator[Reading]:
        for place, number in enumerate(self.numbers):
            self.given += 1
            where = f"{query} {place}"
            if number < 0:
                yield Fault(where=where, reason="other licence", detail="GFDL")
                continue
            yield Annotation(photo=f"http://a.test/{number}", category=query, box=None, where=where)


def test_a_class_gets_so_many_different_photos_and_no_more_are_asked_for() -> None:
    search = Found(1, 1, -1, 2, 1, 3, 4, 5)
    found = list(find_photos(search, "cat", "house cat", 3))
    photos = [each for each in found if isinstance(each, Annotation)]
    assert [(each.photo, each.category, each.box) for each in photos] == [
        (f"http://a.test/{number}", "cat", None) for number in (1, 2, 3)
    ]
    assert reasons(found) == [("house cat 2", "other licence")]
    assert search.given == 6


def test_there_may_be_fewer_photos_than_asked_for() -> None:
    assert len(list(find_photos(Found(1, 2), "cat", "cat", 100))) == 2


def test_every_search_is_a_kind_of_source() -> None:
    from sketchdata.photos.collection import SOURCES

    assert set(SEARCHES) <= set(SOURCES)
