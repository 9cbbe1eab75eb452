"""Pictures of drawings become strokes that lie where the lines were, whichever way the picture was made."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchdata import synth
from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.drawings.raster import raster
from sketchdata.errors import FormatError
from sketchdata.formats.tracing import LONGEST_SIDE, ink_of, lines_of, trace


def photo_of(ink: np.ndarray, *, dark: bool = True) -> np.ndarray:
    """Return (H, W) ink of 0..255 as a picture, of dark lines on light ground or the other way round."""
    return np.repeat((255 - ink if dark else ink)[:, :, None], 3, axis=2)


def page(*lines: list[tuple[int, int]], size: int = 200, width: int = 3) -> np.ndarray:
    """Return a picture of some lines."""
    ink = np.zeros((size, size), np.uint8)
    for line in lines:
        cv2.polylines(ink, [np.array(line, np.int32)], False, 255, width)
    return photo_of(ink)


def drawn(drawing: Drawing, size: int = 128) -> np.ndarray:
    """Return where a drawing has ink."""
    found: np.ndarray = raster(to_batch([drawing], Words()), size=size)[0] > 0
    return found


def near(ink: np.ndarray) -> np.ndarray:
    return cv2.dilate(ink.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


@pytest.mark.parametrize("word", ["cat", "house", "star"])
@pytest.mark.parametrize(("size", "width", "dark"), [(256, 1, True), (256, 4, False), (900, 12, True)])
def test_a_traced_picture_lies_where_the_drawing_was(word: str, size: int, width: int, dark: bool) -> None:
    batch = synth.generate(word, 6, seed=3, start=0, label=0)
    pictures = raster(batch, size=size, line_width=width)
    for picture, drawing in zip(pictures, batch.drawings([word]), strict=True):
        traced = trace(photo_of(picture, dark=dark), word)
        one, other = drawn(drawing), drawn(traced)
        assert (one & near(other)).sum() > 0.9 * one.sum()
        assert (other & near(one)).sum() > 0.9 * other.sum()
        points = sum(map(len, traced.strokes))
        assert points < 2 * sum(map(len, drawing.strokes)) + 10


def test_a_traced_drawing_is_as_simplified_ones_are() -> None:
    drawing = trace(page([(50, 60), (150, 60), (150, 110)]), "corner")
    (stroke,) = drawing.strokes
    assert stroke.dtype == np.uint8
    assert len(stroke) <= 4
    for corner in ((0, 0), (255, 0), (255, 127)):
        assert np.abs(stroke.astype(int) - corner).max(axis=1).min() <= 6
    assert (stroke.min(), stroke.max()) == (0, 255)
    assert (drawing.word, drawing.recognized, drawing.countrycode) == ("corner", True, None)
    assert drawing.timestamp.year == 1970


def test_the_same_picture_gives_the_same_drawing() -> None:
    one, two = (trace(page([(50, 60), (150, 60)], [(80, 20), (80, 190)])) for _ in range(2))
    assert one.key_id == two.key_id >= 2**63
    assert all((a == b).all() for a, b in zip(one.strokes, two.strokes, strict=True))


@pytest.mark.parametrize("width", [1, 3, 7])
def test_lines_that_cross_go_on_straight(width: int) -> None:
    traced = trace(page([(20, 20), (180, 180)], [(20, 180), (180, 20)], width=width))
    assert len(traced.strokes) == 2
    assert all(np.ptp(stroke, axis=0).min() > 240 for stroke in traced.strokes)


def test_a_line_that_ends_on_another_is_a_stroke_of_its_own() -> None:
    traced = trace(page([(20, 100), (180, 100)], [(100, 100), (100, 180)]))
    assert sorted(tuple((np.ptp(stroke, axis=0) > 20).tolist()) for stroke in traced.strokes) == [
        (False, True),
        (True, False),
    ]


def test_a_circle_is_one_closed_stroke_and_a_dot_two_equal_points() -> None:
    ink = np.zeros((200, 200), np.uint8)
    cv2.circle(ink, (90, 90), 60, 255, 2)
    cv2.circle(ink, (90, 90), 1, 255, cv2.FILLED)
    circle, dot = sorted(trace(photo_of(ink)).strokes, key=len, reverse=True)
    assert np.abs(circle[0].astype(int) - circle[-1]).max() <= 2
    assert len(circle) > 8
    assert dot.tolist() == [dot[0].tolist()] * 2


@pytest.mark.slow
def test_fine_lines_of_a_large_picture_are_not_lost() -> None:
    ink = np.zeros((4000, 3000), np.uint8)
    ink[2000, 100:2900] = 255
    assert max(ink_of(photo_of(ink)).shape) == LONGEST_SIDE
    (stroke,) = trace(photo_of(ink)).strokes
    assert np.ptp(stroke, axis=0).tolist() == [255, 0]


def test_a_line_along_the_edge_of_the_picture_is_seen() -> None:
    ink = np.zeros((60, 60), np.uint8)
    ink[0], ink[:, 59] = 255, 255
    assert sum(len(line) for line in lines_of(ink_of(photo_of(ink)))) > 100


# ---- pictures as people have them ------------------------------------------------------------------------------------


def specks(picture: np.ndarray) -> np.ndarray:
    """Dust of a scanner: in two corners, and forty crumbs anywhere."""
    rng = np.random.default_rng(1)
    for row, column in [(2, 2), (-3, -3), *rng.integers(3, 250, (40, 2)).tolist()]:
        picture[row : row + 1, column : column + 1] = 0
    return picture


def dark_edges(picture: np.ndarray) -> np.ndarray:
    """The shadows of a scanner's lid, along two sides."""
    picture[:, :8], picture[:, 8:10], picture[-5:] = 30, 120, 60
    return picture


def framed(picture: np.ndarray, inset: int = 0) -> np.ndarray:
    cv2.rectangle(picture, (inset, inset), (255 - inset, 255 - inset), 0, 2)
    return picture


def shaded(picture: np.ndarray) -> np.ndarray:
    """Light from one corner, and the grain of a camera."""
    light = np.add.outer(np.linspace(0.1, 0.5, 256), np.linspace(0.1, 0.5, 256))
    grain = np.random.default_rng(2).normal(0, 2, picture.shape)
    return np.clip(picture * light + grain, 0, 255).astype(np.uint8)


def in_shadow(picture: np.ndarray) -> np.ndarray:
    """A hand's shadow over the lower half."""
    light = np.where(np.add.outer(np.arange(256), np.arange(256) // 4) > 150, 0.45, 1.0)
    return (picture * cv2.GaussianBlur(light, (0, 0), 4)).astype(np.uint8)


def compressed(picture: np.ndarray) -> np.ndarray:
    done, encoded = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, 40))
    assert done
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))


@pytest.mark.parametrize(
    "spoilt",
    [specks, dark_edges, framed, lambda p: framed(p, 5), shaded, in_shadow, compressed, lambda p: 255 - shaded(p)],
    ids=["specks", "dark edges", "frame", "inset frame", "shaded", "shadow", "compressed", "shaded chalk"],
)
def test_what_a_scan_or_photo_adds_is_no_ink(spoilt: Callable[[np.ndarray], np.ndarray]) -> None:
    for word in ("cat", "house", "star"):
        batch = synth.generate(word, 2, seed=3, start=0, label=0)
        for small, drawing in zip(raster(batch, size=200, line_width=3), batch.drawings([word]), strict=True):
            picture = np.full((256, 256), 255, np.uint8)
            picture[28:228, 28:228] -= small
            traced = trace(np.repeat(spoilt(picture)[:, :, None], 3, axis=2), word)
            one, other = drawn(drawing), drawn(traced)
            assert (one & near(near(other))).sum() > 0.95 * one.sum()
            assert (other & near(near(one))).sum() > 0.95 * other.sum()


def dashed(picture: np.ndarray) -> np.ndarray:
    gaps = picture.copy()
    framed(gaps, 9)
    kept = np.add.outer(np.arange(256), np.arange(256)) % 12 < 8
    return np.where(kept, gaps, picture)


def tilted(picture: np.ndarray) -> np.ndarray:
    corners = np.array([(5, 8), (248, 4), (251, 247), (8, 251)], np.int32)
    cv2.polylines(picture, [corners], True, 0, 2)
    return picture


def one_edge(picture: np.ndarray) -> np.ndarray:
    picture[:, 253:] = 0
    return picture


@pytest.mark.parametrize(
    "spoilt",
    [lambda p: framed(p, 9), dashed, tilted, one_edge, lambda p: framed(p, 6)],
    ids=["frame", "dashed", "tilted", "one edge", "nearer frame"],
)
def test_strokes_that_cross_a_frame_stay_and_the_frame_goes(spoilt: Callable[[np.ndarray], np.ndarray]) -> None:
    for word in ("cat", "flower", "star"):
        batch = synth.generate(word, 2, seed=3, start=0, label=0)
        for ink, drawing in zip(raster(batch, size=256, line_width=3), batch.drawings([word]), strict=True):
            traced = trace(np.repeat(spoilt(255 - ink)[:, :, None], 3, axis=2), word)
            one, other = drawn(drawing), drawn(traced)
            assert (one & near(near(other))).sum() > 0.9 * one.sum()
            assert (other & near(near(one))).sum() > 0.9 * other.sum()


def test_lines_along_the_edges_are_the_drawing_where_little_else_is() -> None:
    ink = np.zeros((256, 256), np.uint8)
    cv2.rectangle(ink, (4, 4), (251, 251), 255, 2)
    cv2.line(ink, (4, 120), (20, 120), 255, 2)
    assert max(int(np.ptp(stroke, axis=0).min()) for stroke in trace(photo_of(ink)).strokes) > 200
    # A hand's rectangle is not straight.
    ink = np.zeros((256, 256), np.uint8)
    cv2.polylines(ink, [np.array([(6, 4), (128, 13), (250, 5), (247, 251), (8, 249)], np.int32)], True, 255, 2)
    cv2.polylines(ink, [np.array([(6, 4), (128, 140), (250, 5)], np.int32)], False, 255, 2)
    assert max(len(stroke) for stroke in trace(photo_of(ink)).strokes) >= 5


def test_a_small_drawing_on_a_large_page_is_cropped_to_its_ink() -> None:
    large = np.full((1500, 2000, 3), 255, np.uint8)
    large[600:800, 900:1100] = page([(10, 10), (190, 10), (190, 100)])
    (one,), (other,) = trace(large).strokes, trace(page([(10, 10), (190, 10), (190, 100)])).strokes
    assert np.array_equal(one, other)


def test_a_picture_that_is_no_drawing_is_refused_in_words() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    with pytest.raises(FormatError, match=r"not a drawing: [\d,]+ strokes, more than 300"):
        trace(photo_of(noise))
    with pytest.raises(FormatError, match="not a drawing"):
        trace(photo_of(np.random.default_rng(0).integers(0, 256, (1500, 2500), dtype=np.uint8)))
    blank = np.clip(np.random.default_rng(0).normal(180, 6, (200, 200)), 0, 255).astype(np.uint8)
    with pytest.raises(FormatError, match="empty drawing: nothing in the picture stands out"):
        trace(photo_of(blank))


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_picture_of_one_shade_is_an_empty_drawing(shade: int) -> None:
    with pytest.raises(FormatError, match="empty drawing: the picture is of one shade"):
        trace(np.full((40, 50, 3), shade, np.uint8))


@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**32 - 1), st.floats(0.02, 0.98))
@settings(max_examples=60)
def test_whatever_the_picture_the_drawing_is_a_valid_one(height: int, width: int, seed: int, share: float) -> None:
    ink = np.where(np.random.default_rng(seed).random((height, width)) < share, 255, 0).astype(np.uint8)
    if ink.min() == ink.max():
        return
    drawing = trace(photo_of(ink))
    assert drawing.strokes
    for stroke in drawing.strokes:
        assert stroke.dtype == np.uint8
        assert stroke.shape[1] == 2
        assert len(stroke) >= 2


@given(st.integers(3, 20), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_lines_go_from_pixel_to_near_pixel_within_the_ink(size: int, seed: int) -> None:
    ink = np.random.default_rng(seed).random((size, size)) < 0.4
    for line in lines_of(ink) if ink.any() else ():
        assert ink[line[:, 1].astype(int), line[:, 0].astype(int)].all()
        # Over a crossing, the pen may leap by the width of the lines.
        assert np.abs(np.diff(line, axis=0)).max(initial=1) <= 6
