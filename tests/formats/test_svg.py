"""SVG comes back as it was written, is read from other programs, and does nothing but draw."""

from __future__ import annotations

import html
import itertools
import math
import os
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sketchdata.drawings.drawing import Drawing, DrawingBatch, Words
from sketchdata.errors import FormatError
from sketchdata.formats import files, svg
from tests.batches import batch_of, read_simplified
from tests.strategies import assert_same, batches

NAMES = ["star", "The Eiffel Tower"]
BOX = 'viewBox="0 0 255 255"'


def document(content: str, *, root: str = BOX, before: str = "") -> bytes:
    return f'{before}<svg xmlns="http://www.w3.org/2000/svg" {root}>{content}</svg>'.encode()


def load(content: str, *, root: str = BOX, before: str = "", word: str | None = "star") -> Drawing:
    return svg.load(document(content, root=root, before=before), word=word)


def strokes_of(content: str, *, root: str = BOX) -> list[list[list[int]]]:
    return [stroke.tolist() for stroke in load(content, root=root).strokes]


def path(data: str, attributes: str = "") -> str:
    return f'<path d="{data}" {attributes}/>'


def refusal(content: bytes) -> FormatError:
    with pytest.raises(FormatError) as caught:
        svg.load(content, word="star")
    return caught.value


def same(one: Drawing, other: Drawing) -> bool:
    equal = all(np.array_equal(a, b) for a, b in zip(one.strokes, other.strokes, strict=True))
    return equal and {**vars(one), "strokes": ()} == {**vars(other), "strokes": ()}


# ---- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(st.one_of(batches(labels=2), batches(raw=True, labels=2)))
def test_every_drawing_comes_back_exactly(batch: DrawingBatch) -> None:
    words = Words()
    for name in NAMES:
        words.label(name)
    drawings = list(batch.drawings(NAMES))
    found = [svg.load(svg.dump(drawing)) for drawing in drawings]
    assert all(same(one, other) for one, other in zip(found, drawings, strict=True))
    if drawings:
        # Text has no float32: raw pixels come back as the float64 that they are written as.
        exact = {axis: getattr(batch, axis).astype(np.float64) for axis in "xy"} if batch.is_raw else {}
        assert_same(files.to_batch(found, words), replace(batch, **exact))


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), min_size=1))
@example("<\"&'>]]> &amp; ☃ 🦆")
def test_any_word_comes_back(word: str) -> None:
    (drawing,) = batch_of([[(1, 2), (3, 4)]]).drawings([word])
    assert svg.load(svg.dump(drawing)).word == word


@pytest.mark.parametrize("word", ["a\0b", "a\nb", "\x1b", "\ufffe"])
def test_a_word_that_xml_cannot_hold_is_refused(word: str) -> None:
    (drawing,) = batch_of([[(1, 2)]]).drawings([word])
    with pytest.raises(FormatError, match="no SVG form"):
        svg.dump(drawing)


def test_a_document_is_one_that_any_program_shows() -> None:
    (drawing,) = batch_of([[(0, 1), (2, 3), (4, 5)], [(255, 255)]]).drawings(["star"])
    root = ET.fromstring(svg.dump(drawing))
    name = "{http://www.w3.org/2000/svg}"
    assert (root.tag, root.get("viewBox"), root.get("fill")) == (f"{name}svg", "0 0 255 255", "none")
    assert root.get("data-key-id") == "5000000000000000"
    assert [element.text for element in root.iter(f"{name}title")] == ["star"]
    # A path of a moveto alone would show nothing; closed, it is a dot.
    assert [element.get("d") for element in root.iter(f"{name}path")] == ["M0 1L2 3 4 5", "M255 255Z"]


def test_raw_drawings_are_shown_whole_and_keep_their_times() -> None:
    (drawing,) = batch_of([[(10.5, 20), (110.5, 70)]], raw=True).drawings(["star"])
    text = svg.dump(drawing).decode()
    assert 'viewBox="10.5 20 100 50"' in text
    assert 'd="M10.5 20L110.5 70" data-t="0 1"' in text


def test_a_scribble_of_5000_points_comes_back() -> None:
    chance = np.random.default_rng(0)
    (drawing,) = batch_of([chance.integers(0, 256, (5000, 2)).tolist()]).drawings(["star"])
    assert same(svg.load(svg.dump(drawing)), drawing)


@pytest.mark.slow
@pytest.mark.skipif("SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no real files")
def test_real_drawings_come_back_exactly() -> None:
    folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw" / "full" / "simplified"
    drawings = list(read_simplified(sorted(folder.glob("*.ndjson"))[::40]).drawings(["star"]))
    assert len(drawings) > 200
    assert all(same(svg.load(svg.dump(drawing)), drawing) for drawing in drawings)


# ---- what other programs draw ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("M1 2L3 4", [[[1, 2], [3, 4]]]),
        ("m1,2 3,4-1-2", [[[1, 2], [4, 6], [3, 4]]]),
        ("M1 2 3 4 5 6", [[[1, 2], [3, 4], [5, 6]]]),
        ("M10 10h5v5H1V2", [[[10, 10], [15, 10], [15, 15], [1, 15], [1, 2]]]),
        ("M10 10l5 0 0 5z", [[[10, 10], [15, 10], [15, 15], [10, 10]]]),
        ("M10 10L15 10L10 10Z", [[[10, 10], [15, 10], [10, 10]]]),
        ("M10 10h5v5zh-5", [[[10, 10], [15, 10], [15, 15], [10, 10]], [[10, 10], [5, 10]]]),
        ("M10 10h5v5zm1 1h1", [[[10, 10], [15, 10], [15, 15], [10, 10]], [[11, 11], [12, 11]]]),
        ("M1 1L2 2M5 5M7 7L8 8", [[[1, 1], [2, 2]], [[7, 7], [8, 8]]]),
        ("M1 1Z", [[[1, 1]]]),
        ("M1e1 2.5e+1L.5.5 3.e0 4", [[[10, 25], [1, 1], [3, 4]]]),
        ("M1 1A0 5 0 0 1 9 9", [[[1, 1], [9, 9]]]),
        ("M1 1A5 5 0 1 0 1 1L2 2", [[[1, 1], [2, 2]]]),
        ("M1 1C1 1 9 9 9 9", [[[1, 1], [9, 9]]]),
    ],
)
def test_path_data_is_read(data: str, expected: list[list[list[int]]]) -> None:
    assert [corners(stroke) for stroke in strokes_of(path(data))] == [corners(stroke) for stroke in expected]


def corners(stroke: list[list[int]]) -> list[list[int]]:
    """Leave out points within a straight line; pieces of a straight curve are as good as one."""
    kept = stroke[:1]
    for one, other in itertools.pairwise(stroke[1:]):
        (x, y), (u, v) = np.subtract(one, kept[-1]), np.subtract(other, one)
        kept += [one] if x * v != y * u or x * u + y * v < 0 else []
    return kept + (stroke[-1:] if len(stroke) > 1 else [])


def distance(stroke: np.ndarray, curve: np.ndarray) -> float:
    """Return how far a densely given curve gets from a polyline."""
    a, b = stroke[:-1, None].astype(float), stroke[1:, None].astype(float)
    along = ((curve - a) * (b - a)).sum(axis=2) / np.maximum(((b - a) ** 2).sum(axis=2), 1e-12)
    nearest = a + np.clip(along, 0, 1)[..., None] * (b - a)
    return float(np.sqrt(((curve - nearest) ** 2).sum(axis=2)).min(axis=0).max())


def bezier(*control: tuple[float, float]) -> np.ndarray:
    t, points = np.linspace(0, 1, 400)[:, None], np.array(control, float)
    while len(points) > 1 and points.ndim == 2:
        points = np.stack([np.broadcast_to(point, (len(t), 2)) for point in points])
    while len(points) > 1:
        points = points[:-1] * (1 - t) + points[1:] * t
    return points[0]


def ellipse(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, turned: float = 0) -> np.ndarray:
    angle, turn = np.radians(np.linspace(start, stop, 400)), math.radians(turned)
    x, y = rx * np.cos(angle), ry * np.sin(angle)
    return np.stack([cx + x * math.cos(turn) - y * math.sin(turn), cy + x * math.sin(turn) + y * math.cos(turn)], 1)


#: The stated tolerance, and what rounding to whole coordinates adds.
FLATTENED = 0.25 + math.sqrt(0.5)


@pytest.mark.parametrize(
    ("shape", "curve"),
    [
        (path("M0 0C0 255 255 255 255 0"), bezier((0, 0), (0, 255), (255, 255), (255, 0))),
        (path("M0 100c10-100 50-90 100 0s60 90 100 0"), bezier((100, 100), (150, 190), (160, 190), (200, 100))),
        (path("M0 100s60 90 100 0"), bezier((0, 100), (0, 100), (60, 190), (100, 100))),
        (path("M0 0Q128 255 255 0"), bezier((0, 0), (128, 255), (255, 0))),
        (path("M0 100q50-100 100 0t100 0"), bezier((100, 100), (150, 200), (200, 100))),
        (path("M0 100t100 50"), bezier((0, 100), (0, 100), (100, 150))),
        (path("M50 50A50 50 0 0 1 100 100"), ellipse(50, 100, 50, 50, -90, 0)),
        (path("M50 50A50 50 0 0 0 100 100"), ellipse(100, 50, 50, 50, 180, 90)),
        (path("M50 50A50 50 0 1 1 100 100"), ellipse(100, 50, 50, 50, -180, 90)),
        (path("M50 50A50 50 0 1 0 100 100"), ellipse(50, 100, 50, 50, 270, 0)),
        (path("M50 50a50 50 0 0150 50"), ellipse(50, 100, 50, 50, -90, 0)),
        (path("M50 100A1 1 0 0 1 150 100"), ellipse(100, 100, 50, 50, 180, 360)),
        (path("M200 100A100 50 0 0 1 100 150"), ellipse(100, 100, 100, 50, 0, 90)),
        (path("M100 200A100 50 90 0 1 50 100"), ellipse(100, 100, 100, 50, 0, 90, 90)),
        ('<circle cx="100" cy="110" r="90"/>', ellipse(100, 110, 90, 90, 0, 360)),
        ('<ellipse cx="100" cy="110" rx="90" ry="30px"/>', ellipse(100, 110, 90, 30, 0, 360)),
        ('<rect x="10" y="20" width="200" height="100" rx="40"/>', ellipse(50, 60, 40, 40, 180, 270)),
        ('<rect x="10" y="20" width="200" height="100" rx="40"/>', ellipse(170, 80, 40, 40, 0, 90)),
        (path("M0 0C0 100 100 100 100 0", 'transform="scale(2 1.5)"'), bezier((0, 0), (0, 150), (200, 150), (200, 0))),
    ],
)
def test_curves_are_flattened_within_the_tolerance(shape: str, curve: np.ndarray) -> None:
    (stroke,) = load(shape).strokes
    assert distance(stroke, curve) < FLATTENED
    assert len(stroke) < 120


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ('<line x1="1" y1="2" x2="3" y2="4"/>', [[1, 2], [3, 4]]),
        ('<polyline points="1,2 3,4 5,6"/>', [[1, 2], [3, 4], [5, 6]]),
        ('<polygon points="1 2 3 4 5 2"/>', [[1, 2], [3, 4], [5, 2], [1, 2]]),
        ('<rect x="1" y="2" width="10" height="20"/>', [[1, 2], [11, 2], [11, 22], [1, 22], [1, 2]]),
        ('<g transform="translate(10 20)"><line x2="3" y2="4"/></g>', [[10, 20], [13, 24]]),
        ('<line x2="3" y2="4" transform="translate(10)"/>', [[10, 0], [13, 4]]),
        ('<line x2="3" y2="4" transform="scale(2)"/>', [[0, 0], [6, 8]]),
        ('<line x2="3" y2="4" transform="translate(10,10) scale(2,3)"/>', [[10, 10], [16, 22]]),
        ('<line x2="3" y2="4" transform="matrix(0 1 1 0 5 6)"/>', [[5, 6], [9, 9]]),
        ('<line x1="10" x2="20" transform="rotate(90)"/>', [[0, 10], [0, 20]]),
        ('<line x1="10" y1="20" x2="20" y2="20" transform="rotate(90 10 20)"/>', [[10, 20], [10, 30]]),
        ('<line x2="3" y2="4" transform="skewX(45)"/>', [[0, 0], [7, 4]]),
        ('<line x2="3" y2="4" transform="skewY(45)"/>', [[0, 0], [3, 7]]),
        ('<g transform="scale(2)"><g transform="translate(1 1)"><line x2="1"/></g></g>', [[2, 2], [4, 2]]),
        ('<g transform="scale(2)"/><line x2="1"/>', [[0, 0], [1, 0]]),
        (
            '<line x2="3" y2="4" style="scale: 2 3; translate: 10px; transform: translate(1px, 1px)"/>',
            [[12, 3], [18, 15]],
        ),
        ('<style>line{rotate: 90deg}</style><line x1="10" x2="20" translate="no"/>', [[0, 10], [0, 20]]),
    ],
)
def test_shapes_and_transforms_are_read(shape: str, expected: list[list[int]]) -> None:
    assert strokes_of(shape) == [expected]


@pytest.mark.parametrize(
    "hidden",
    [
        "<defs>{}</defs>",
        "<symbol>{}</symbol>",
        "<clipPath>{}</clipPath>",
        '<g display="none">{}</g>',
        '<g style="opacity:1; display: none">{}</g>',
        '<other xmlns="urn:editor">{}</other>',
        "<script>alert(1)</script><style>* {{}}</style><text>M1 1</text>",
        '<image href="file:///etc/passwd"/><foreignObject>{}</foreignObject>',
    ],
)
def test_what_is_not_drawn_is_passed_over(hidden: str) -> None:
    assert strokes_of(hidden.format(path("M9 9L8 8")) + path("M1 2L3 4")) == [[[1, 2], [3, 4]]]


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ('viewBox="0 0 255 255"', [[0, 0], [10, 5]]),
        ('viewBox="0,0,256,256"', [[0, 0], [10, 5]]),
        ('viewBox="0 0 24 24"', [[0, 0], [255, 128]]),
        ('width="24" height="24"', [[0, 0], [255, 128]]),
    ],
)
def test_a_drawing_of_another_frame_fills_the_square(root: str, expected: list[list[int]]) -> None:
    assert strokes_of(path("M0 0L10 5"), root=root) == [expected]


def test_a_drawing_beyond_its_frame_is_moved_or_scaled_into_the_square() -> None:
    assert strokes_of(path("M-5 300L5 310")) == [[[0, 0], [10, 10]]]
    assert strokes_of(path("M-5 0L505 51")) == [[[0, 0], [255, 26]]]


def test_a_curve_after_a_moveto_has_no_curve_to_mirror() -> None:
    for first, second in (("M0 0C0 50 50 100 100 100", "M0 200S100 200 200 0"), ("M0 0Q0 99 99 99", "M0 200T200 0")):
        assert strokes_of(path(first + second)) == strokes_of(path(first) + path(second))
    for joined, apart in (("M0 0C0 50 50 50 50 0ZS9 9 60 90", "M0 0S9 9 60 90"), ("M0 0Q0 9 9 9H9T60 9", "M9 9T60 9")):
        assert strokes_of(path(joined))[-1][-1] == strokes_of(path(apart))[-1][-1]
    # A smooth curve mirrors only one of its own kind.
    smooth, straight = (strokes_of(path(f"M0 0C0 90 40 90 50 0{rest}"))[0] for rest in ("T90 90", "L90 90"))
    assert distance(np.array(straight), np.array(smooth)) < FLATTENED


def test_what_lies_off_the_canvas_is_cut_off() -> None:
    line, beside = path("M0 0L24 12"), path("M30 0L50 12")
    whole = [[[0, 0], [255, 128]]]
    for size in ("", 'width="24" height="24"', 'width="9cm" height="90mm"', 'width="100%"'):
        assert strokes_of(line + beside, root=f'viewBox="0 0 24 24" {size}') == whole
    # A wider viewport shows more at both sides.
    wider = 'viewBox="0 0 24 24" width="120" height="24"'
    assert len(strokes_of(line + beside, root=wider)) == 2
    assert strokes_of(line + beside, root=f'{wider} preserveAspectRatio="xMaxYMid slice"') == whole
    assert len(strokes_of(line + beside, root='viewBox="0 0 24 24" style="overflow: visible"')) == 2
    assert strokes_of(beside, root='viewBox="0 0 24 24"') == [[[0, 0], [255, 153]]]


LINE = path("M10 10L60 40", 'fill="none" stroke="black"')


@pytest.mark.parametrize(
    "unseen",
    [
        '<path d="M0 0L5 5" fill="none"/>',
        '<path d="M0 0L5 5" style="stroke:none;fill:none"/>',
        '<path d="M0 0L5 5" fill="transparent" stroke="rgba(0, 0, 0, 0)"/>',
        '<path d="M0 0L5 5" fill="none" stroke="black" stroke-width="0"/>',
        '<path d="M0 0L5 5" fill="none" stroke="black" stroke-opacity="0"/>',
        '<path d="M0 0L5 5" fill-opacity="0%"/>',
        '<path d="M0 0L5 5" fill="none" stroke="black" visibility="hidden"/>',
        '<path d="M0 0L5 5" fill="none" stroke="black" opacity="0"/>',
        '<path d="M0 0L5 5" fill="none" stroke="currentColor" color="transparent"/>',
        '<g visibility="hidden"><path d="M0 0L5 5" stroke="black"/></g>',
        '<g opacity="0"><path d="M0 0L5 5" opacity="1"/></g>',
        '<g style="transform: scale(0)"><path d="M0 0L5 5"/></g>',
        '<path d="M0 0L5 5" transform="translate(3) scale(0)"/>',
        '<g style="scale: 0; translate: 3px 4px"><path d="M0 0L5 5"/></g>',
        '<path d="M0 0L5 5" filter="opacity(0%) blur(2px)"/><path d="M0 0L5 5" opacity="1e-3"/>',
        '<style>.a{display:none}</style><g class="b a"><path d="M0 0L5 5"/></g>',
        "<style>/* a */ path.a, #b { visibility : hidden !important }</style>"
        '<path class="a" d="M0 0L5 5" style="visibility:visible"/><path id="b" d="M0 0L9 5"/>',
        "<g><g class='in'><path d='M0 0L5 5'/></g></g><style><![CDATA[@import 'x'; g > .in path{fill:none}]]></style>",
        "<style>@media print{g{fill:red}} .a{fill:none}</style><g class='a'><path d='M0 0L5 5'/></g>",
        '<style>[data-guide="x"], :not(g, svg, style, [stroke]) { display: none }</style>'
        '<path data-guide="x" stroke="red" d="M0 0L5 5"/><path d="M0 0L9 5"/>',
        "<style>g > path:nth-child(2n + 1), path:nth-of-type(2), path + path ~ path { visibility: hidden }</style>"
        + f"<g>{'<path d=&M0 0L5 5&/>' * 4}</g>".replace("&", '"'),
        "<style>@font-face{src:url(data:font/woff2;base64,"
        + "A" * 600_000
        + ")} g:has(> path:last-child){fill:none}</style><g><path d='M0 0L5 5'/></g>",
        '<rect width="255" height="255" fill="white"/>',
        '<rect width="100%" height="100%" fill="#fefefe"/>',
        '<rect x="-9" y="-9" width="400" height="300" style="fill: rgb(255 255 255 / 50%)"/>',
        '<path d="M0 0H255V255H0Z" fill="lightyellow"/>',
        '<path d="M0 0L5 5" stroke="white" fill="none"/>',
        '<rect x="3" y="3" width="9" height="9" fill="white" stroke="none"/>',
        '<rect width="255" height="255" fill="url(#gradient)"/>',
        '<path d="M0 0L5 5" fill="hsla(0, 0%, 0%, 0)"/><path d="M0 0L5 5" fill="hwb(0 0% 100% / 0%)"/>',
        '<path d="M0 0L5 5" fill="none" stroke="hsl(0deg 0% 100%)"/>',
        "<style>@media screen{.a{fill:none}} @media print{g{fill:red}}</style><g class='a'><path d='M0 0L5 5'/></g>",
        "<switch><g/><g><path d='M0 0L5 5'/></g></switch>",
        "<switch><path d='M0 0L5 5' fill='none'/></switch>",
        # Frames along the edges of the canvas.
        '<rect width="255" height="255" fill="none" stroke="black"/>',
        '<rect width="100%" height="100%" fill="white" stroke="grey" stroke-width="3"/>',
        '<path d="M0 0H255V255H0Z" fill="none" stroke="black"/>',
        # What is clipped away: by a shape elsewhere, of no size, not shown, or by none.
        '<clipPath id="c"><rect x="90" width="9" height="9"/></clipPath><path d="M0 0L5 5" clip-path="url(#c)"/>',
        '<clipPath id="c"><rect width="0" height="9"/></clipPath><g style="clip-path: url(\'#c\')">'
        '<path d="M0 0L5 5"/></g>',
        '<clipPath id="c"><rect width="9" height="9" display="none"/></clipPath>'
        '<path d="M0 0L5 5" clip-path="url( #c )"/>',
        '<clipPath id="c"/><style>.a{clip-path:url("#c")}</style><svg class="a"><path d="M0 0L5 5"/></svg>',
        '<clipPath id="c"><rect width="9" height="9" clip-path="url(#d)"/></clipPath><clipPath id="d"/>'
        '<path d="M0 0L5 5" clip-path="url(#c)"/>',
        '<clipPath id="c" clip-path="url(#d)"><rect width="9" height="9"/></clipPath><clipPath id="d"/>'
        '<path d="M0 0L5 5" clip-path="url(#c)"/>',
        '<clipPath id="c" clipPathUnits="objectBoundingBox"><rect x="2" width="1" height="1"/></clipPath>'
        '<path d="M0 0L5 5" clip-path="url(#c)"/>',
        '<clipPath id="c"><rect width="9" height="9"/></clipPath><path id="p" d="M0 0L5 5" fill="none"/>'
        '<g clip-path="url(#c)"><use href="#p" x="50" stroke="red"/></g><use href="#p" stroke="red"'
        ' clip-path="url(#e)"/>'
        '<clipPath id="e"><use href="#far"/></clipPath><defs><rect id="far" x="77" width="3" height="3"/></defs>',
    ],
)
def test_what_no_viewer_shows_is_no_ink(unseen: str) -> None:
    assert strokes_of(unseen + LINE) == [[[10, 10], [60, 40]]]


@pytest.mark.parametrize(
    "seen",
    [
        '<path d="M0 0L5 5" fill="red"/>',
        '<path d="M0 0L5 5" fill="none" stroke="nonsense red"/><path d="M0 0L5 5" fill="none" stroke="#eee"/>',
        '<g visibility="hidden"><path d="M0 0L5 5" visibility="visible"/></g>',
        '<g fill-opacity="0"><path d="M0 0L5 5" fill-opacity="1"/></g>',
        '<style>g .a{display:none} .a::before{display:none}</style><path class="a" d="M0 0L5 5"/>',
        '<style>.a{fill:none} #b{fill:red}</style><path id="b" class="a" d="M0 0L5 5"/>',
        '<path d="M0 0L5 5" fill="var(--any)"/>',
        "<style>:nonsense, path{fill:none} path:hover{fill:none} path:not(:first-of-type, :last-of-type){fill:none}"
        ' [d={fill:none}</style><path d="M0 0L5 5"/>',
        # What is less than a frame along the edges is drawn, and so is what is white on something black.
        '<rect x="4" y="4" width="247" height="247" fill="none" stroke="black"/>',
        '<path d="M0 0H255V255H0V0" fill="none" stroke="black"/>',
        '<clipPath id="c"><rect width="9" height="9"/></clipPath><path d="M0 0L5 5" clip-path="url(#c)"/>',
        # Half of it, a clip of which the bounds are not known, one that is not there, and one in another file.
        '<clipPath id="c"><rect width="9" height="9"/></clipPath><path d="M0 0L90 90" clip-path="url(#c)"/>',
        '<clipPath id="c"><text>a</text></clipPath><path d="M0 0L5 5" clip-path="url(#c)"/>',
        '<path d="M0 0L5 5" clip-path="url(#missing)"/>',
        '<path d="M0 0L5 5" style="clip-path: url(a.svg#c)"/>',
        '<clipPath id="c" clipPathUnits="objectBoundingBox"><rect width="1" height="1"/></clipPath>'
        '<path d="M70 70L90 90" clip-path="url(#c)"/>',
        # A clip moves with what it clips, and its shapes need no paint.
        '<clipPath id="c" transform="translate(2)"><path fill="none" d="M0 0H9V9H0Z"/></clipPath>'
        '<g transform="translate(80)" clip-path="url(#c)"><path d="M3 3L5 5"/></g>',
        '<clipPath id="c" clip-path="url(#c)"><rect width="9" height="9"/></clipPath>'
        '<path d="M0 0L5 5" clip-path="url(#c)"/>',
        '<path d="M0 0L5 5" style="transform: inherit"/>',
        # Values of no sense, and attributes of properties that CSS alone has.
        '<path d="M0 0L5 5" scale="0" style="scale: 0 wide; rotate: x 5deg; filter: opacity() opacity(.5)"/>',
        '<rect x="3" y="3" width="90" height="90" fill="white" stroke="black"/>',
    ],
)
def test_what_a_viewer_shows_is_ink(seen: str) -> None:
    assert len(strokes_of(seen + LINE)) == 2


def test_the_colour_of_the_background_decides_what_shows_on_it() -> None:
    white, black = (path("M1 1L2 2", f'fill="none" stroke="{colour}"') for colour in ("white", "black"))
    grid = '<rect width="100%" height="100%" fill="#fafafa"/><rect width="100%" height="100%" fill="url(#grid)"/>'
    for root in (BOX, 'width="100%" height="100%"', ""):
        assert len(strokes_of(grid + white + black + path("M9 9L60 60"), root=root)) == 2
    night = '<rect width="255" height="255" fill="#040404"/>'
    assert strokes_of(night + white + black) == [[[1, 1], [2, 2]]]
    assert strokes_of(white + white, root=f'{BOX} style="background: black"') == [[[1, 1], [2, 2]]] * 2
    # White ink on transparency shows; on white, nothing does.
    assert len(strokes_of(white)) == 1
    with pytest.raises(FormatError, match="empty drawing"):
        load('<rect width="255" height="255" fill="white"/>' + white)
    face = '<circle cx="99" cy="99" r="90"/><circle cx="70" cy="80" r="9" fill="white"/>'
    assert len(strokes_of(face)) == 2
    # A picture that is one shape is that shape.
    assert len(strokes_of('<rect width="255" height="255" fill="black"/>')) == 1


def test_local_elements_are_used() -> None:
    shape = '<defs><g id="a" transform="scale(2)"><line x2="3" y2="4" stroke="black"/></g></defs>'
    assert strokes_of(shape + '<use href="#a" x="10" y="20"/>') == [[[10, 20], [16, 28]]]
    link = f'{BOX} xmlns:xlink="http://www.w3.org/1999/xlink"'
    assert strokes_of(shape + '<use xlink:href="#a" transform="translate(1)"/>', root=link) == [[[1, 0], [7, 8]]]
    line = '<line x2="4" y2="4" stroke="black"/>'
    symbol = f'<symbol id="s" viewBox="0 0 4 4">{line}</symbol>'
    assert strokes_of(symbol + '<use href="#s" x="5" width="8" height="16"/>') == [[[5, 4], [13, 12]]]
    inner = f'<svg x="10" y="10" width="8" height="16" viewBox="0 0 4 4" preserveAspectRatio="none">{line}</svg>'
    assert strokes_of(inner) == [[[10, 10], [18, 26]]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('<line x2="100%" y2="50%"/>', [[0, 0], [200, 50]]),
        ('<line x2="1in" y2="72pt"/>', [[0, 0], [96, 96]]),
        ('<line x2="10mm" y2="1cm"/>', [[0, 0], [38, 38]]),
        ('<line x2="3" y2="4" style="transform: translate(10px, 20px) rotate(90deg)"/>', [[10, 20], [6, 23]]),
    ],
)
def test_units_are_read(line: str, expected: list[list[int]]) -> None:
    corner = path("M0 0Z") + path("M255 255Z")
    assert strokes_of(corner + line, root='viewBox="0 0 200 100" overflow="visible"')[-1] == expected


def test_metadata_that_a_file_lacks_are_made_up() -> None:
    drawing = load(path("M1 2L3 4"))
    assert (drawing.word, drawing.countrycode, drawing.recognized, drawing.timestamp.year) == ("star", None, True, 1970)
    assert drawing.key_id >= 2**63
    assert drawing.key_id == load(path("M1 2L3 4")).key_id != load(path("M1 2L3 5")).key_id


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ('data-word="cat"', "wrong word"),
        ('data-key-id="-1"', "bad key_id"),
        ('data-key-id="18446744073709551616"', "bad key_id"),
        ('data-countrycode="USA"', "bad countrycode"),
        ('data-countrycode="Ö"', "bad countrycode"),
        ('data-recognized="yes"', "bad recognized"),
        ('data-timestamp="yesterday"', "bad timestamp"),
        ('data-timestamp="0001-01-01T00:00:00+23:00"', "bad timestamp"),
    ],
)
def test_bad_metadata_are_refused(attributes: str, reason: str) -> None:
    assert refusal(document(path("M1 2L3 4"), root=attributes)).reason == reason


def test_a_file_without_a_word_asks_for_one() -> None:
    with pytest.raises(FormatError, match="--word"):
        load(path("M1 2L3 4"), word=None)


# ---- hostile and broken ones -----------------------------------------------------------------------------------------


#: Each group draws the one before twice: 2^20 lines of twenty elements.
DOUBLED = "<defs><path id='d0' d='M0 0L1 1'/>" + "".join(
    f"<g id='d{i}'><use href='#d{i - 1}'/><use href='#d{i - 1}'/></g>" for i in range(1, 21)
)
DOUBLED += "</defs><use href='#d20'/>"
LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha"}">' for i in range(12))


@pytest.mark.parametrize(
    "before",
    [
        f"<!DOCTYPE svg [{LAUGHS}]>",
        '<!DOCTYPE svg [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE svg [<!ENTITY % e SYSTEM "http://127.0.0.1:9/x.dtd"> %e;]>',
        "<!DOCTYPE svg [" + "".join(f'<!ENTITY n{i} "text">' for i in range(100)) + "]>",
        f'<!DOCTYPE svg [<!ENTITY long "{"x" * 2000}">]>',
        "<!DOCTYPE svg [" + "".join(f'<!ATTLIST path a{i} CDATA "x">' for i in range(100)) + "]>",
    ],
)
def test_declarations_are_refused_before_they_do_anything(before: str) -> None:
    started = time.process_time()
    content = document("<title>&l11;</title>" + path("M1 2L3 4"), before=before)
    assert refusal(content).reason == "SVG with declarations"
    assert time.process_time() - started < 1


def test_a_plain_doctype_is_harmless_and_nothing_is_fetched_for_it() -> None:
    doctype = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://127.0.0.1:9/svg11.dtd">'
    assert len(load(path("M1 2L3 4"), before=doctype).strokes) == 1
    assert refusal(document(f"<title>&e;</title>{path('M1 2L3 4')}", before=doctype)).reason == "SVG with entities"


def test_entities_that_repeat_much_text_are_refused() -> None:
    before = f'<!DOCTYPE svg [<!ENTITY e "{"x" * 900}">]>'
    assert refusal(document(f"<title>{'&e;' * 2000}</title>", before=before)).reason == "SVG with declarations"
    assert refusal(document(f"<g id='{'&e;' * 2000}'/>", before=before)).reason == "SVG with declarations"
    wide = document("<title>" + "&e;" * 2000 + "</title>", before='<?xml version="1.0" encoding="UTF-16"?>' + before)
    assert refusal(wide.decode().encode("utf-16")).reason == "SVG with declarations"


def test_declarations_of_attributes_and_of_short_texts_are_read() -> None:
    kanji = """<?xml version="1.0" encoding="UTF-8"?>
        <!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.0//EN" "http://127.0.0.1:9/svg10.dtd" [
        <!ATTLIST g xmlns:k CDATA #FIXED "http://kanji.example" k:element CDATA #IMPLIED k:part CDATA #IMPLIED >
        <!ATTLIST path xmlns:k CDATA #FIXED "http://kanji.example" k:type CDATA #IMPLIED > ]>"""
    content = (
        f'<g style="fill:none;stroke:#000" k:element="一">{path("M1 2L3 4", "k:type=" + chr(34) + "㇐" + chr(34))}</g>'
    )
    assert len(load(content, before=kanji.replace("\n", " ")).strokes) == 1
    editor = '<!DOCTYPE svg [<!ENTITY ns_svg "http://www.w3.org/2000/svg"><!ENTITY st0 "fill:none;stroke:#000;">]>'
    text = f"""{editor}<svg xmlns="&ns_svg;" {BOX}>{path("M1 2L3 4", 'style="&st0;"')}</svg>"""
    assert [stroke.tolist() for stroke in svg.load(text.encode(), word="star").strokes] == [[[1, 2], [3, 4]]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "broken XML"),
        (b"\0\1\2", "broken XML"),
        (b"<svg>", "broken XML"),
        (b"<svg/><svg/>", "broken XML"),
        (b'<?xml version="1.0" encoding="nonsense"?><svg/>', "broken XML"),
        (b"<html><svg/></html>", "not SVG"),
        (b'<svg xmlns="urn:other"/>', "not SVG"),
        (document(""), "empty drawing"),
        (document(path("")), "empty drawing"),
        (document(path("M1 1")), "empty drawing"),
        (document('<polyline points=""/><rect width="0" height="5"/><circle r="0"/>'), "empty drawing"),
        (document('<use href="#nothing"/>'), "empty drawing"),
        (document('<use href="other.svg#a"/>'), "unsupported element"),
        (document('<g id="a"><use href="#a"/></g>'), "SVG nested too deeply"),
        (document(DOUBLED), "SVG nested too deeply"),
        (document("<svg/>"), "empty drawing"),
        (document("<style>" + "a{fill:none}" * 3000 + "</style>"), "SVG with too many styles"),
        (document("<style>" + "g g g{fill:none}" * 1500 + "</style>" + "<g/>" * 90_000), "SVG with too many styles"),
        (document("<style>" + "*" * 4_000_000 + "</style>"), "SVG with too many styles"),
        (document("<style>a{fill:" + "(" * 400_000 + "</style>"), "SVG with too many styles"),
        (document("<style>a{fill-opacity:" + "1" * 5_000 + "}</style>"), "SVG with too many styles"),
        (document("<style>b ~ " + "* ~ " * 8 + "a{fill:none}</style>" + "<a/>" * 5_000), "SVG with too many styles"),
        (document("<style>:last-of-type{fill:none}</style>" + "<g/>" * 50_000), "SVG with too many styles"),
        (document("<style>" + "[" * 400_000 + "</style>"), "empty drawing"),
        (document("<style>" + ":not(" * 400 + "a" + ")" * 400 + "{fill:none}</style>"), "empty drawing"),
        (document(path("L1 1")), "bad path"),
        (document(path("M1")), "bad path"),
        (document(path("M1 1L2 x")), "bad path"),
        (document(path("M1 1L2 NaN")), "bad path"),
        (document(path("M1 1A1 1 0 2 0 3 3")), "bad path"),
        (document(path("M1 1L1e999 1")), "bad coordinate"),
        (document(path("M1 1L1e300 1e300")), "bad coordinate"),
        (document(path("M1 1L2 2", 'transform="scale(1e9) scale(1e9)"')), "bad coordinate"),
        (document(path("M1 1L2 2", 'transform="' + "scale(1e9)" * 50 + '"')), "bad coordinate"),
        (document(path("M1 1L2 2", 'transform="scale()"')), "bad transform"),
        (document(path("M1 1L2 2", 'transform="url(http://127.0.0.1)"')), "bad number"),
        (document('<polyline points="1 2 3"/>'), "bad points"),
        (document(path("M1 1L2 2", 'style="transform:translate(1vw)"')), "bad number"),
        (document('<circle r="10%%"/>'), "bad length"),
        (document('<circle r="1vw"/>'), "bad length"),
        (document(path("M1 1L2 2", 'data-t="1"')), "unequal x and t"),
        (document(path("M1 1L2 2", 'data-t="1 2"') + path("M1 1L2 2")), "unequal x and t"),
        (document(path("M1 1L2 2", 'data-t="1 -2"')), "bad time"),
        (document(path("M1 1L2 2", 'data-t="1 4294967296"')), "bad time"),
        (document("<g>" * 1000 + "</g>" * 1000), "SVG nested too deeply"),
        (document(path("M0 0" + "L1 1" * 1_000_000)), "too many points"),
        (document('<polyline points="' + "1 1 " * 1_000_000 + '"/>'), "too many points"),
        (document(path("M0 0L1 1") * 200_000), "too many elements"),
        (document(path("M0 0L1 1") * 80_000), "too many points"),
        (document(path("M0 0" + "C0 255 255 255 255 0 0 255 255 255 0 0" * 5_000)), "too many points"),
        (document("x" * (svg.MAX_BYTES + 1)), "SVG too large"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_documents_are_refused_with_their_reason_and_soon(content: bytes, reason: str) -> None:
    started = time.process_time()
    assert refusal(content).reason == reason
    assert time.process_time() - started < 5


@pytest.mark.parametrize("attribute", ["d", "transform", "data-t", "points", "style"])
@pytest.mark.parametrize(
    "text", ["1" * 200_000 + "x", " " * 200_000 + "x", "M" * 200_000, "1 " * 99_000 + "x", "(" * 200_000]
)
def test_no_attribute_takes_long(attribute: str, text: str) -> None:
    element = "polyline" if attribute == "points" else "path"
    started = time.process_time()
    assert refusal(document(f'<{element} {attribute}="{text}"/>')).reason
    assert time.process_time() - started < 2


@given(st.text(st.sampled_from("MmLlHhVvZzCcSsQqTtAa0123456789.-+e, "), max_size=60))
def test_any_text_for_path_data_is_read_or_refused(data: str) -> None:
    try:
        strokes = load(path(data)).strokes
    except FormatError as error:
        outcome = error.reason
    else:
        outcome = "read" if all(stroke.dtype == np.uint8 and len(stroke) for stroke in strokes) else "wrong"
    assert outcome in {"read", "empty drawing", "bad path", "bad coordinate"}


#: Parts of style sheets, right, wrong and cut off.
STYLES = (
    *(
        "a",
        ".c",
        "#c",
        "*",
        "path",
        ":not(.c)",
        ":has(> g)",
        ":nth-child(2n+1)",
        "::before",
        "[id=c]",
        " > ",
        " ~ ",
        "||",
        "svg|g",
    ),
    *(
        "{",
        "}",
        ";",
        ":",
        ",",
        "(",
        ")",
        "[",
        "]",
        "@media print",
        "@import url(x);",
        "/*",
        "*/",
        "'",
        "\\",
        "!important",
        "\ufeff",
    ),
    *(
        "fill",
        "display",
        "opacity",
        "transform",
        "clip-path",
        "background",
        "--x",
        "none",
        "inherit",
        "url(#c)",
        "url(#c",
        "nan",
    ),
    *(
        "9" * 5000,
        "1e400",
        "hsl(1e30,%,1)",
        "rgb(1 2 3 / 0%)",
        "var(--x, red)",
        "calc(1px + 2%)",
        "scale(0)",
        "rotate(1e308)",
    ),
)


@pytest.mark.slow
@given(st.lists(st.sampled_from(STYLES), max_size=40), st.lists(st.sampled_from(STYLES), max_size=6))
def test_any_style_sheet_is_read_or_refused(sheet: list[str], style: list[str]) -> None:
    sheet_text, style_text = (html.escape("".join(parts)) for parts in (sheet, style))
    shapes = f'<g class="c" style="{style_text}" clip-path="url(#c)">{path("M0 0L5 5")}</g><use href="#c"/>'
    clip = '<clipPath id="c"><rect width="9" height="9"/></clipPath>'
    try:
        outcome = len(load(f"<style>{sheet_text}</style>{clip}{shapes}").strokes)
    except FormatError as error:
        outcome = len(error.reason)
    assert outcome > 0
