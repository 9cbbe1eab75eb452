from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from batches import Points, batch_of

from sketchdata.display.contact_sheet import RankedPicture, contact_sheet, ranking_sheet, write_png
from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.errors import ConfigError

WORDS = ("cat", "The Great Wall of China", "café")
CROSS: list[Points] = [[(0, 0), (255, 255)], [(255, 0), (0, 255)]]
BORDER, CAPTION, LEGEND = 8, 18, 24


def crosses(count: int, **columns: list[int] | list[bool]) -> DrawingBatch:
    return batch_of(*[CROSS] * count, **columns)


def cell_of(sheet: np.ndarray, row: int, column: int, cell: int = 112, caption: int = CAPTION) -> np.ndarray:
    """The square of one drawing, without lines and caption."""
    top = BORDER + row * (cell + caption + 1) + 1
    left = BORDER + column * (cell + 1) + 1
    return sheet[top : top + cell, left : left + cell]


def ink_box(square: np.ndarray) -> tuple[int, int, int, int]:
    """Blank pixels left, above, right of and below the ink."""
    ys, xs = np.nonzero(square < 128)
    return xs.min(), ys.min(), square.shape[1] - 1 - xs.max(), square.shape[0] - 1 - ys.max()


@pytest.mark.parametrize(("columns", "rows", "expected_columns"), [(3, 3, 3), (7, 1, 7), (50, 1, 7), (None, 2, 4)])
def test_the_sheet_is_as_large_as_its_grid(columns: int | None, rows: int, expected_columns: int) -> None:
    sheet = contact_sheet(crosses(7), WORDS, columns=columns)
    height = rows * (112 + CAPTION + 1) + 1 + LEGEND + BORDER
    assert sheet.shape == (height, expected_columns * 113 + 1 + 2 * BORDER)
    assert sheet.dtype == np.uint8


def test_drawings_fill_the_grid_row_by_row_and_the_rest_is_blank() -> None:
    sheet = contact_sheet(crosses(5), WORDS, columns=3)
    inked = [[bool((cell_of(sheet, row, column) < 128).any()) for column in range(3)] for row in range(2)]
    assert inked == [[True, True, True], [True, True, False]]


def test_paper_is_white_and_ink_is_dark() -> None:
    square = cell_of(contact_sheet(crosses(1), WORDS), 0, 0)
    assert (square == 255).mean() > 0.9
    assert square.min() < 40


def test_cells_are_parted_by_thin_light_lines() -> None:
    sheet = contact_sheet(crosses(4), WORDS, columns=2)
    line = sheet[BORDER + 10, BORDER : BORDER + 2 * 113 + 1]
    assert np.flatnonzero((line > 200) & (line < 250)).tolist() == [0, 113, 226]


@pytest.mark.parametrize(
    "drawing",
    [
        [[(0, 0), (255, 40)]],
        [[(0, 0), (30, 255)]],
        [[(0, 0), (255, 255), (0, 255)]],
        [[(200, 200), (255, 255)]],
    ],
    ids=["wide", "tall", "square", "in a corner"],
)
@pytest.mark.parametrize("line_width", [1, 4])
def test_a_drawing_stands_in_the_middle_with_a_margin(drawing: list[Points], line_width: int) -> None:
    square = cell_of(contact_sheet(batch_of(drawing), WORDS, line_width=line_width), 0, 0)
    left, above, right, below = ink_box(square)
    assert abs(left - right) <= 1
    assert abs(above - below) <= 1
    assert min(left, above) >= 4


def test_a_wide_line_shows_more_ink() -> None:
    thin, wide = (contact_sheet(crosses(1), WORDS, line_width=width) for width in (1, 4))
    assert cell_of(wide, 0, 0).mean() < cell_of(thin, 0, 0).mean()


def test_a_dot_and_a_drawing_without_strokes_take_their_places() -> None:
    sheet = contact_sheet(batch_of([[(40, 40)]], [], CROSS), WORDS, columns=3)
    dot, blank, cross = (cell_of(sheet, 0, column) for column in range(3))
    assert np.count_nonzero(dot < 128) == 1
    assert (blank == 255).all()
    assert np.count_nonzero(cross < 128) > 100


def test_raw_drawings_look_like_simplified_ones() -> None:
    simplified = batch_of([[(0, 0), (255, 60)]])
    raw = batch_of([[(10.0, 10.0), (520.0, 130.0)]], raw=True)
    np.testing.assert_array_equal(contact_sheet(raw, WORDS), contact_sheet(simplified, WORDS))


def test_a_caption_stands_below_its_drawing_and_can_be_left_out() -> None:
    with_captions = contact_sheet(crosses(2), WORDS, columns=2)
    without = contact_sheet(crosses(2), WORDS, columns=2, captions=False)
    assert with_captions.shape[0] - without.shape[0] == CAPTION
    strip = with_captions[BORDER + 113 : BORDER + 113 + CAPTION, BORDER + 1 : BORDER + 113]
    assert (strip < 200).any()
    np.testing.assert_array_equal(cell_of(with_captions, 0, 1), cell_of(without, 0, 1, caption=0))


def test_captions_are_words_where_they_differ_and_else_key_ids() -> None:
    one_word = contact_sheet(crosses(2, labels=[0, 0]), WORDS, columns=2)
    two_words = contact_sheet(crosses(2, labels=[0, 1]), WORDS, columns=2)
    renamed = contact_sheet(crosses(2, labels=[0, 1]), ("dog", *WORDS[1:]), columns=2)
    captions = slice(BORDER + 113, BORDER + 113 + CAPTION)
    assert (one_word[captions] != two_words[captions]).any()
    assert (renamed[captions] != two_words[captions]).any()
    again = contact_sheet(crosses(2, labels=[0, 0]), ("dog", *WORDS[1:]), columns=2)
    np.testing.assert_array_equal(again[captions], one_word[captions])


@pytest.mark.parametrize("cell", [48, 60, 112])
def test_a_long_caption_stays_inside_its_cell(cell: int) -> None:
    sheet = contact_sheet(crosses(2, labels=[1, 2]), WORDS, columns=2, cell=cell)
    top = BORDER + cell + 1
    strip = sheet[top : top + CAPTION, BORDER : BORDER + 2 * (cell + 1) + 1]
    assert (strip[:, 1 : cell + 1] < 200).any()
    assert (strip[:, [1, cell, cell + 2, 2 * cell + 1]] == 255).all()


def test_unrecognized_drawings_bear_a_mark_and_the_legend_tells() -> None:
    plain = contact_sheet(crosses(3), WORDS, columns=3)
    marked = contact_sheet(crosses(3, recognized=[True, False, True]), WORDS, columns=3)
    changed = [bool((cell_of(plain, 0, c) != cell_of(marked, 0, c)).any()) for c in range(3)]
    assert changed == [False, True, False]
    legends = plain[-LEGEND:], marked[-LEGEND:]
    middle = plain.shape[1] // 2
    np.testing.assert_array_equal(legends[0][:, :middle], legends[1][:, :middle])
    assert (legends[0][:, middle:] == 255).all()
    assert (legends[1][:, middle:] < 200).any()


def test_the_mark_keeps_clear_of_the_drawing() -> None:
    frame: list[Points] = [[(0, 0), (255, 0), (255, 255), (0, 255), (0, 0)]]
    plain, marked = (contact_sheet(batch_of(frame, recognized=[known]), WORDS) for known in (True, False))
    np.testing.assert_array_equal(cell_of(marked, 0, 0)[12:, :-12], cell_of(plain, 0, 0)[12:, :-12])


def test_a_narrow_sheet_has_room_for_a_legend_on_two_lines() -> None:
    plain = contact_sheet(crosses(2, labels=[1, 1]), WORDS, columns=1, cell=48)
    marked = contact_sheet(crosses(2, labels=[1, 1], recognized=[False, False]), WORDS, columns=1, cell=48)
    assert plain.shape[1] >= 240
    assert marked.shape == (plain.shape[0] + LEGEND, plain.shape[1])
    assert all((line < 200).any() for line in (marked[-LEGEND:], marked[-2 * LEGEND : -LEGEND]))


def test_the_same_drawings_give_the_same_sheet() -> None:
    np.testing.assert_array_equal(contact_sheet(crosses(9), WORDS), contact_sheet(crosses(9), WORDS))


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one drawing"):
        contact_sheet(batch_of(), WORDS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": 47}, "48 to 1024 pixels, not 47"),
        ({"cell": 1025}, "48 to 1024 pixels, not 1025"),
        ({"columns": 0}, "at least 1 column, not 0"),
        ({"line_width": 0}, "1 to 64 pixels, not 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        contact_sheet(crosses(1), WORDS, **options)


def test_a_grey_sheet_comes_back_from_its_png(tmp_path: Path) -> None:
    sheet = contact_sheet(crosses(3, recognized=[True, False, True]), WORDS)
    path = tmp_path / "new" / "folder" / "sheet.PNG"
    write_png(sheet, path)
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), sheet)
    assert list(path.parent.iterdir()) == [path]


def test_colours_come_back_from_their_png_in_the_right_order(tmp_path: Path) -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    image[...] = (250, 120, 10)
    write_png(image, tmp_path / "colour.png")
    blue_green_red = cv2.imread(str(tmp_path / "colour.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(blue_green_red[..., ::-1], image)


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet", "sheet.png.txt"])
def test_other_suffixes_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"does not end in \.png"):
        write_png(np.zeros((2, 2), np.uint8), tmp_path / "new" / name)
    assert list(tmp_path.iterdir()) == []


def test_an_image_beyond_the_limit_of_png_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"1,000,000 pixels per side, and .* would be 2 × 1,000,001"):
        write_png(np.zeros((1_000_001, 2), np.uint8), tmp_path / "tall.png")
    write_png(np.zeros((1_000_000, 2), np.uint8), tmp_path / "tall.png")
    assert [path.name for path in tmp_path.iterdir()] == ["tall.png"]


def test_a_ranking_has_solid_green_frames_for_hits_and_dashed_red_ones_for_others() -> None:
    white = np.full((20, 40, 3), 255, np.uint8)
    found = [RankedPicture(picture=white, word=word, hit=word == "cat") for word in ("cat", "dog")]
    sheet = ranking_sheet([(white, "cat")] * 2, [found, found], "legend", cell=60)
    query, hit, miss = (cell_of(sheet, 1, column, 60) for column in range(3))
    green, red = ((square == colour).all(axis=2) for square, colour in ((hit, (27, 122, 67)), (miss, (163, 38, 42))))
    frame = np.ones((60, 60), bool)
    frame[3:-3, 3:-3] = False
    np.testing.assert_array_equal(green, frame)
    assert 0.4 < red.sum() / frame.sum() < 0.8
    assert not red[~frame].any()
    assert (query == 255).all()
    with pytest.raises(ConfigError, match="at least one"):
        ranking_sheet([], [], "legend")
