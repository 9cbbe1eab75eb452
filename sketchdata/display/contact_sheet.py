"""Contact sheets: many drawings or pictures on one white page, with captions and a legend."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import MAX_COORDINATE, DrawingBatch
from sketchdata.drawings.raster import Bitmaps, fit, paint, to_pixels
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.photos.image import Photo, resize
from sketchdata.storage.manifest import replacing

MIN_CELL, MAX_CELL = 48, 1024

# Everything is drawn as darkness, 0 for white paper, and converted to grey values at the end.
_INK, _TEXT, _MARK, _SEPARATOR = 225, 150, 110, 28
_BORDER = 8
# Wide enough for a legend such as `1,000 drawings of The Great Wall of China`.
_MIN_WIDTH = 240
_CAPTION_HEIGHT = 18
_LEGEND_HEIGHT, _LEGEND_GAP, _LEGEND_MARK_WIDTH = 24, 16, 13
_MARK_RADIUS = 3
_PICTURE_MARGIN = 2
#: Width of the frame that marks hits and misses, and the space for it; its colours are those of `charts`.
_FRAME, _FRAME_MARGIN = 3, 5
_HIT, _MISS = (27, 122, 67), (163, 38, 42)
# libpng's limit, beyond which OpenCV fails.
_MAX_PNG_SIDE = 1_000_000
_FONT = cv2.FONT_HERSHEY_PLAIN
_FONT_SCALES = (0.75, 0.65, 0.6, 0.5)
_FONT_SCALE = _FONT_SCALES[0]


def contact_sheet(
    batch: DrawingBatch,
    words: Sequence[str],
    *,
    columns: int | None = None,
    cell: int = 112,
    line_width: int = 1,
    captions: bool = True,
) -> Bitmaps:
    """Draw a batch as a grid, row by row, with each drawing centred in its cell: (H, W) uint8 grey, paper 255.

    A caption is the drawing's word, or its key_id if the sheet shows only one word, which the legend then names. A
    small ring in the corner of a cell marks a drawing that the game did not recognize, as the legend says.

    Args:
        batch: The drawings, at least one; simplified or raw.
        words: The class table that the labels index.
        columns: Number of columns; None for a sheet of about 4:3.
        cell: The side of a drawing's square in pixels, 48..1024.
        line_width: Width of the strokes in pixels.
        captions: Whether each drawing has a caption.

    Raises:
        ConfigError: There are no drawings, or an option is out of its range.
        FormatError: A raw coordinate is not a finite number.
    """
    _check(len(batch), columns, cell)
    margin = max(cell // 14, line_width)
    points = fit(batch)
    side = max(cell - 1 - 2 * margin, 0)
    middle = np.repeat(_middles(batch, points), np.diff(batch.points[batch.strokes]), axis=0)
    pixels = to_pixels(points - middle, scale=side / MAX_COORDINATE, shift=(cell - 1) / 2)
    coverage = paint(batch, pixels, np.empty((len(batch), cell, cell), np.uint8), line_width=line_width, antialias=True)
    tiles = (coverage.astype(np.uint16) * _INK // 255).astype(np.uint8)
    for row in np.flatnonzero(~batch.recognized).tolist():
        _ring(tiles[row], (cell - 2 * _MARK_RADIUS - 1, 2 * _MARK_RADIUS))
    texts = captions_of(batch.label, batch.key_id, words) if captions else []
    return _bind(tiles, texts, columns, lambda width: _legend(batch, words, width))


def picture_sheet(
    pictures: Sequence[Photo], titles: Sequence[str], legend: str, *, columns: int | None = None, cell: int = 112
) -> Bitmaps:
    """Show photos or edge maps as a grid, row by row, each scaled to fit and centred in its cell.

    Args:
        pictures: At least one, of any sizes.
        titles: One caption per picture.
        legend: The text at the bottom.
        columns: Number of columns; None for a sheet of about 4:3.
        cell: The side of a picture's square in pixels, 48..1024.

    Returns:
        (H, W, 3) uint8 red, green, blue, paper 255.

    Raises:
        ConfigError: There is nothing to show, or an option is out of its range.
    """
    _check(len(pictures), columns, cell)
    tiles = np.stack([_tile(picture, cell, _PICTURE_MARGIN) for picture in pictures])
    return _bind(tiles, titles, columns, lambda width: _legend_line(legend, width))


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedPicture:
    """A picture in the result of a query.

    Attributes:
        picture: (H, W, 3) uint8.
        word: Its class.
        hit: Whether it is of the query's class.
    """

    picture: Photo
    word: str
    hit: bool


def ranking_sheet(
    queries: Sequence[tuple[Photo, str]], found: Sequence[Sequence[RankedPicture]], legend: str, *, cell: int = 112
) -> Bitmaps:
    """Show queries in a column, each with its results to the right, the nearest first.

    Hits have a solid green frame, others a dashed red one.

    Args:
        queries: (H, W, 3) pictures with their classes.
        found: The results of each query, equally many.
        legend: The text at the bottom.
        cell: The side of a picture's square in pixels, 48..1024.

    Returns:
        (H, W, 3) uint8 red, green, blue, paper 255.

    Raises:
        ConfigError: There is nothing to show, or an option is out of its range.
    """
    _check(len(queries), None, cell)
    tiles, titles = [], []
    for (picture, word), own in zip(queries, found, strict=True):
        tiles.append(_tile(picture, cell, _FRAME_MARGIN))
        titles.append(word)
        for each in own:
            tile = _tile(each.picture, cell, _FRAME_MARGIN)
            _frame(tile, each.hit)
            tiles.append(tile)
            titles.append(each.word)
    return _bind(np.stack(tiles), titles, 1 + len(found[0]), lambda width: _legend_line(legend, width))


def _tile(picture: Photo, cell: int, margin: int) -> Bitmaps:
    """Return a picture centred in a square, as darkness."""
    tile = np.zeros((cell, cell, 3), np.uint8)
    small = 255 - resize(picture, cell - 2 * margin)
    top, left = (cell - small.shape[0]) // 2, (cell - small.shape[1]) // 2
    tile[top : top + small.shape[0], left : left + small.shape[1]] = small
    return tile


def _frame(tile: Bitmaps, hit: bool) -> None:
    """Draw a frame at the edge of a tile of darkness: solid green for a hit, else dashed red."""
    side = np.arange(len(tile))
    edge = np.minimum(side, len(tile) - 1 - side) < _FRAME
    on_edge = edge[:, None] | edge[None, :]
    if not hit:
        dashes = side // (3 * _FRAME) % 2 == 0
        on_edge &= np.where(edge[:, None], dashes[None, :], dashes[:, None])
    tile[on_edge] = 255 - np.array(_HIT if hit else _MISS, np.uint8)


def captions_of(label: npt.NDArray[np.uint16], key_id: npt.NDArray[np.uint64], words: Sequence[str]) -> list[str]:
    """Return the captions of N drawings or pictures: their words, or their key_ids if all are of one class."""
    if len(label) and (label == label[0]).all():
        return [str(each) for each in key_id.tolist()]
    return [words[each] for each in label.tolist()]


def _check(count: int, columns: int | None, cell: int) -> None:
    if count == 0:
        raise ConfigError("a contact sheet needs at least one drawing or picture: choose other classes or filters")
    if not MIN_CELL <= cell <= MAX_CELL:
        raise ConfigError(f"a contact sheet's cell must be {MIN_CELL} to {MAX_CELL} pixels, not {cell}")
    if columns is not None and columns < 1:
        raise ConfigError(f"a contact sheet needs at least 1 column, not {columns}")


def _bind(tiles: Bitmaps, texts: Sequence[str], columns: int | None, legend: Callable[[int], Bitmaps]) -> Bitmaps:
    """Put captions under tiles, tiles on a sheet, and a legend, made for the sheet's width, at the bottom.

    Tiles are darkness, (N, cell, cell) or (N, cell, cell, 3); the sheet is (H, W) or (H, W, 3), paper 255.
    """
    count, cell = tiles.shape[:2]
    if texts:
        strips = np.stack([_write(text, cell) for text in texts])
        tiles = np.concatenate([tiles, _coloured_like(tiles, strips)], axis=1)
    sheet = _arrange(tiles, min(columns or math.ceil(math.sqrt(count * 4 / 3)), count))
    sheet = _pad(sheet, (0, 0), (0, max(_MIN_WIDTH - sheet.shape[1], 0)))
    sheet = np.concatenate([sheet, _coloured_like(sheet, legend(sheet.shape[1]))])
    return 255 - _pad(sheet, (_BORDER, 0), (_BORDER, _BORDER))


def _coloured_like(other: Bitmaps, grey: Bitmaps) -> Bitmaps:
    return np.repeat(grey[..., None], 3, axis=-1) if other.ndim > grey.ndim else grey


def _pad(sheet: Bitmaps, rows: tuple[int, int], columns: tuple[int, int], darkness: int = 0) -> Bitmaps:
    return np.pad(sheet, [rows, columns, (0, 0)][: sheet.ndim], constant_values=darkness)


def write_png(image: npt.NDArray[np.uint8], path: Path) -> None:
    """Write a grey (H, W) or RGB (H, W, 3) image as a PNG file, whole or not at all; missing folders are created.

    Raises:
        ConfigError: The path does not end in .png, or a side of the image exceeds the limit of PNG files.
        SketchDataError: The image cannot be encoded.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError(f"pictures are written as PNG, and {path} does not end in .png: name it {path.stem}.png")
    content = encode_png(image)
    with replacing(path) as file:
        file.write(content)


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """Encode a grey (H, W) or RGB (H, W, 3) image as PNG.

    Raises:
        ConfigError: A side of the image exceeds the limit of PNG files.
        SketchDataError: The image cannot be encoded.
    """
    height, width = image.shape[:2]
    if max(height, width) > _MAX_PNG_SIDE:
        raise ConfigError(
            f"a PNG file may have {_MAX_PNG_SIDE:,} pixels per side, and this one would be {width:,} × {height:,}: "
            "choose fewer drawings, or spread them over rows and columns"
        )
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded, content = cv2.imencode(".png", pixels)
    if not encoded:
        raise SketchDataError(f"OpenCV could not encode an image of shape {image.shape} as PNG")
    return content.tobytes()


def _middles(batch: DrawingBatch, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    middles = np.zeros((len(batch), 2))
    bounds = batch.points[batch.strokes]
    inked = np.flatnonzero(np.diff(bounds))
    if len(inked):
        low, high = (extreme.reduceat(points, bounds[inked]) for extreme in (np.minimum, np.maximum))
        middles[inked] = (low + high) / 2
    return middles


def _ring(image: Bitmaps, centre: tuple[int, int]) -> None:
    cv2.circle(image, centre, _MARK_RADIUS, _MARK, 1, cv2.LINE_AA)


def _write(text: str, width: int) -> Bitmaps:
    """Write a centred caption, scaled down or truncated if necessary: (_CAPTION_HEIGHT, width)."""
    strip = np.zeros((_CAPTION_HEIGHT, width), np.uint8)
    text, scale = _fit_text(text, width - 4)
    left = (width - _text_width(text, scale)) // 2
    cv2.putText(strip, text, (left, _CAPTION_HEIGHT - 6), _FONT, scale, _TEXT, 1, cv2.LINE_AA)
    return strip


def _fit_text(text: str, width: int) -> tuple[str, float]:
    """Return a text, truncated if necessary, and the font scale at which it is at most `width` pixels wide."""
    # OpenCV's built-in font has only ASCII in some supported versions.
    text = text.encode("ascii", "replace").decode("ascii")
    fitting = (scale for scale in _FONT_SCALES if _text_width(text, scale) <= width)
    scale = next(fitting, _FONT_SCALES[-1])
    shown = text
    while _text_width(shown, scale) > width and text:
        text = text[:-1]
        shown = f"{text}.."
    return shown, scale


def _text_width(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, _FONT, scale, 1)[0][0])


def _arrange(tiles: Bitmaps, columns: int) -> Bitmaps:
    """Arrange (N, h, w…) tiles row by row, with lines around them: (rows·(h + 1) + 1, columns·(w + 1) + 1…)."""
    count, height, width, *colours = tiles.shape
    rows = math.ceil(count / columns)
    grid = np.full((rows * columns, height + 1, width + 1, *colours), _SEPARATOR, np.uint8)
    grid[:, 1:, 1:] = 0
    grid[:count, 1:, 1:] = tiles
    sheet = grid.reshape(rows, columns, height + 1, width + 1, *colours).swapaxes(1, 2)
    return _pad(sheet.reshape(rows * (height + 1), -1, *colours), (0, 1), (0, 1), _SEPARATOR)


def _legend(batch: DrawingBatch, words: Sequence[str], width: int) -> Bitmaps:
    shown, missed = np.unique(batch.label).tolist(), int((~batch.recognized).sum())
    kind = words[shown[0]] if len(shown) == 1 else f"{len(shown)} categories"
    summary = f"{len(batch):,} drawing{'s' if len(batch) > 1 else ''} of {kind}"
    if not missed:
        return _legend_line(summary, width)
    missed_text = f"{missed:,} not recognized"
    needed = _text_width(missed_text, _FONT_SCALE) + _LEGEND_MARK_WIDTH
    if _text_width(summary, _FONT_SCALE) + _LEGEND_GAP + needed > width:
        return np.concatenate([_legend_line(summary, width), _legend_line(missed_text, width, mark=True)])
    right = _legend_line(missed_text, needed, mark=True)
    return np.concatenate([_legend_line(summary, width - needed), right], axis=1)


def _legend_line(text: str, width: int, *, mark: bool = False) -> Bitmaps:
    strip = np.zeros((_LEGEND_HEIGHT, width), np.uint8)
    left = _LEGEND_MARK_WIDTH if mark else 0
    text, scale = _fit_text(text, width - left)
    cv2.putText(strip, text, (left, _LEGEND_HEIGHT - 7), _FONT, scale, _TEXT, 1, cv2.LINE_AA)
    if mark:
        _ring(strip, (_MARK_RADIUS + 1, _LEGEND_HEIGHT - 11))
    return strip
