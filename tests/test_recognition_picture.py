"""Pictures of what drawings were taken for: whole, safe, and the same in SVG and in PNG."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime, timezone
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from sketchdata.drawing import Drawing
from sketchdata.errors import ConfigError
from sketchdata.recognition_picture import Bar, Legend, Panel, draw
from sketchdata.shapes import Box, Label, Line, printable, to_png, to_svg

STROKES = (np.array([[0, 0], [255, 100]], np.uint8), np.array([[7, 7]], np.uint8))
DRAWING = Drawing(
    key_id=1, word="cat", strokes=STROKES, recognized=True, countrycode=None, timestamp=datetime.now(timezone.utc)
)
BARS = (
    Bar(rank=1, word="star", score="0.9", share=1.0, unseen=True, own=False),
    Bar(rank=2, word="cat", score="0.4", share=0.5, unseen=False, own=True),
    Bar(rank=3, word="house", score="-0.1", share=-0.2, unseen=False, own=False),
)
PANEL = Panel(name="a.svg", drawing=DRAWING, said="not recognised: cat\nnumber 2 of 3", right=False, bars=BARS)
LEGEND = Legend(title="Likeliest of 3 classes", lines=("by a method", "bars are long"), unseen=True)
SEEN, UNSEEN, RIGHT, WRONG = "#2f6690", "#b3541e", "#1b7a43", "#a3262a"


def elements(content: bytes, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(content).iter(f"{{http://www.w3.org/2000/svg}}{tag}"))


def texts(content: bytes) -> list[str]:
    return [each.text or "" for each in elements(content, "text")]


def test_a_panel_shows_the_drawing_its_classes_and_their_bars() -> None:
    content = draw([PANEL], LEGEND, ".svg")
    for text in (
        "a.svg",
        "not recognised: cat",
        "number 2 of 3",
        "Likeliest of 3 classes",
        "by a method",
        "star",
        "0.9",
    ):
        assert text in texts(content)
    bars = {
        title.text: float(box.get("width", 0))
        for box in elements(content, "rect")
        if (title := next(iter(box), None)) is not None
    }
    # A bar of no length is none.
    assert bars.keys() == {"star (unseen): 0.9", "cat: 0.4"}
    assert bars["star (unseen): 0.9"] == 2 * bars["cat: 0.4"]
    (own,) = (each for each in elements(content, "text") if each.text == "cat")
    assert own.get("font-weight") == "bold"
    (unseen,) = (each for each in elements(content, "text") if each.text == "star")
    assert unseen.get("fill") == UNSEEN
    ink = [each for each in elements(content, "path") if each.get("stroke") == "#1f2933"]
    assert len(ink) == len(STROKES)
    assert "h.01" in ink[1].get("d", "")


def test_marks_tell_what_was_recognised_only_where_it_is_known() -> None:
    def colours(panel: Panel) -> set[str | None]:
        return {each.get("stroke") for each in elements(draw([panel], LEGEND, ".svg"), "path")}

    unknown = tuple(replace(bar, own=False) for bar in BARS)
    assert {RIGHT, WRONG} <= colours(PANEL)
    assert WRONG not in colours(replace(PANEL, right=True))
    assert not {RIGHT, WRONG} & colours(replace(PANEL, right=None, bars=unknown))
    assert "the drawing's own class" not in texts(draw([replace(PANEL, bars=unknown)], LEGEND, ".svg"))
    plain = texts(draw([PANEL], replace(LEGEND, unseen=False), ".svg"))
    assert not any("unseen" in text for text in plain)


def test_words_of_strangers_are_words_and_nothing_else() -> None:
    evil = '<script>alert("1")</script>&\x00\x1b[31m\ud800'
    bar = replace(BARS[0], word=evil, score=evil)
    panel = replace(PANEL, name=evil, said=evil, bars=(bar,))
    content = draw([panel], replace(LEGEND, title=evil, lines=(evil,)), ".svg")
    assert b"<script" not in content
    assert len(elements(content, "script")) == 0
    assert any(text.startswith('<script>alert("1")') for text in texts(content))
    assert content.count(b"http") == content.count(b"http://www.w3.org/2000/svg") == 1
    assert Image.open(io.BytesIO(draw([panel], LEGEND, ".png"))).format == "PNG"


def test_a_png_shows_the_same_in_twice_as_many_pixels() -> None:
    root = ElementTree.fromstring(draw([PANEL, PANEL], LEGEND, ".svg"))
    content = draw([PANEL, PANEL], LEGEND, ".png")
    image = Image.open(io.BytesIO(content))
    assert image.size == (2 * round(float(root.get("width", 0))), 2 * round(float(root.get("height", 0))))
    pixels = np.asarray(image.convert("RGB"))
    assert (pixels[0] == 255).all()

    def count(colour: str) -> int:
        return int((pixels == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=2).sum())

    # Two bars of half the room, and a swatch; of the unseen class, edges alone.
    assert count(SEEN) > 2 * 230 * 30
    assert 200 < count(UNSEEN) < count(SEEN) / 2
    assert count(RIGHT) > 20
    assert count("#1f2933") > 1000


def test_a_picture_grows_with_its_bars_and_panels() -> None:
    def height(count: int, bars: int) -> float:
        panel = replace(PANEL, bars=[replace(BARS[0], rank=rank) for rank in range(1, bars + 1)])
        return float(ElementTree.fromstring(draw([panel] * count, LEGEND, ".svg")).get("height", 0))

    assert height(1, 1) == height(1, 10) < height(1, 40)
    assert height(3, 10) - height(2, 10) == pytest.approx(height(2, 10) - height(1, 10))
    with pytest.raises(ConfigError, match="12 drawings at most, and these are 13"):
        draw([PANEL] * 13, LEGEND, ".svg")
    with pytest.raises(ConfigError, match=r"as \.svg or \.png, not as \.jpg"):
        draw([PANEL], LEGEND, ".jpg")


def test_a_drawing_of_one_place_is_drawn_in_the_middle() -> None:
    dot = replace(DRAWING, strokes=(np.array([[200, 3]], np.uint8),))
    (path,) = (
        each
        for each in elements(draw([replace(PANEL, drawing=dot)], LEGEND, ".svg"), "path")
        if each.get("stroke") == "#1f2933"
    )
    assert path.get("d") == "M153.00 187.00h.01"


def test_long_names_are_cut() -> None:
    assert printable("a b", 3) == "a b"
    assert printable("abcdef", 4) == "abc…"
    assert printable("ab cdef", 4) == "ab…"
    assert printable("a\nb\x07") == "a\ufffdb\ufffd"


def test_shapes_lie_where_they_are_said_to() -> None:
    shapes = [
        Box(at=(10, 20), size=(30, 40), fill="#ff0000"),
        Box(at=(60, 20), size=(0.1, 40), fill="#00ff00"),
        Line(points=[(50, 5), (90, 5)], colour="#0000ff", width=4),
        Label(at=(95, 95), text="MMM", colour="#000000", size=20, bold=True, from_right=True),
    ]
    pixels = np.asarray(Image.open(io.BytesIO(to_png(shapes, (100, 100)))))
    assert pixels.shape == (200, 200, 3)
    red = np.argwhere((pixels == [255, 0, 0]).all(axis=2))
    assert red.min(axis=0).tolist() == [40, 20]
    assert red.max(axis=0).tolist() == [119, 79]
    blue = np.argwhere((pixels == [0, 0, 255]).all(axis=2))
    assert blue[:, 0].min() in (6, 7)
    assert blue[:, 0].max() in (12, 13)
    black = np.argwhere((pixels == 0).all(axis=2))
    # How near letters come to where their line ends is the font's business.
    assert 180 <= black[:, 1].max() <= 190
    assert 180 <= black[:, 0].max() <= 190
    assert not (pixels == [0, 255, 0]).all(axis=2).any()
    assert to_svg(shapes, (100, 100), "a & b").startswith(b"<svg ")
    assert b"<title>a &amp; b</title>" in to_svg(shapes, (100, 100), "a & b")
