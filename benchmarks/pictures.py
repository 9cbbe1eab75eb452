"""Recognition of drawings that come as files: one recogniser, the same drawings, under what people's files add.

    python benchmarks/pictures.py --run runs/recognition --data data/quickdraw-3.8m [--drawings 300] [--split query]

Every drawing is rastered, spoilt, written as a file of its format and read again, as `sketchdata recognise FILE` does.
`refused` are files in which no drawing is found; they count as wrong. `as strokes` is the drawing itself: what tracing
costs lies between it and `clean`. The split must be one that the run did not learn.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from measure import machine, table
from PIL import Image

import sketchdata
from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.drawings.raster import raster
from sketchdata.errors import SketchDataError
from sketchdata.retrieval.query import read_queries

SIDE, MARGIN, LINE = 320, 40, 3
Picture = npt.NDArray[np.uint8]
_SAVED = {".jpg": {"quality": 40}, ".webp": {"quality": 60}}
Spoil = Callable[[Picture, np.random.Generator], Picture]


def page(drawing: Drawing, *, margin: int = MARGIN, line: int = LINE) -> Picture:
    """Return a drawing in black on white: (SIDE, SIDE)."""
    side = SIDE - 2 * margin
    ink = raster(to_batch([drawing], Words()), size=side, line_width=line)[0]
    picture = np.full((SIDE, SIDE), 255, np.uint8)
    picture[margin : SIDE - margin, margin : SIDE - margin] -= ink
    return picture


def _specks(count: int, side: int, picture: Picture, rng: np.random.Generator) -> Picture:
    corners = [(2, 2), (SIDE - 3, SIDE - 3)]
    places = corners if count == 2 else rng.integers(2, SIDE - 3, (count, 2)).tolist()
    for row, column in places:
        picture[row : row + side, column : column + side] = 0
    return picture


def _dark_edge(picture: Picture, rng: np.random.Generator) -> Picture:
    depth = int(rng.integers(4, 16))
    picture[:, :depth], picture[-depth // 2 :] = 30, 60
    return picture


def _frame(inset: int, thickness: int, picture: Picture, _: np.random.Generator) -> Picture:
    cv2.rectangle(picture, (inset, inset), (SIDE - 1 - inset, SIDE - 1 - inset), 0, thickness)
    return picture


def _tilted_frame(picture: Picture, _: np.random.Generator) -> Picture:
    corners = np.array([(6, 9), (SIDE - 9, 6), (SIDE - 6, SIDE - 9), (9, SIDE - 6)], np.int32)
    cv2.polylines(picture, [corners], True, 0, 2)
    return picture


def _one_edge(picture: Picture, _: np.random.Generator) -> Picture:
    picture[:, :2] = 0
    return picture


def _lit(light: npt.NDArray[np.float64], grain: float, picture: Picture, rng: np.random.Generator) -> Picture:
    return np.asarray(np.clip(picture * light + rng.normal(0, grain, picture.shape), 0, 255), np.uint8)


_RAMP = np.add.outer(np.linspace(0, 0.5, SIDE), np.linspace(0, 0.5, SIDE))
_SHADOW = cv2.GaussianBlur(np.where(np.add.outer(np.arange(SIDE), np.arange(SIDE) // 4) > 190, 0.45, 1.0), (0, 0), 5)


def _pencil(picture: Picture, rng: np.random.Generator) -> Picture:
    return np.asarray(
        np.clip(255 - (255 - picture.astype(float)) * 0.35 + rng.normal(0, 3, picture.shape), 0, 255), np.uint8
    )


def _chalk(picture: Picture, _: np.random.Generator) -> Picture:
    return 255 - picture


def _clean(picture: Picture, _: np.random.Generator) -> Picture:
    return picture


def _small(picture: Picture, _: np.random.Generator) -> Picture:
    large = np.full((1200, 1600), 255, np.uint8)
    large[100 : 100 + SIDE, 900 : 900 + SIDE] = picture
    return large


def _white_on_nothing(picture: Picture, _: np.random.Generator) -> Picture:
    return np.dstack([np.full((*picture.shape, 3), 255, np.uint8), 255 - picture])


def _black_on_nothing(picture: Picture, _: np.random.Generator) -> Picture:
    return np.dstack([np.zeros((*picture.shape, 3), np.uint8), 255 - picture])


#: {kind: (margin of the drawing, suffix, what is done to it)}
KINDS: dict[str, tuple[int, str, Spoil]] = {
    "clean": (MARGIN, ".png", _clean),
    "filling the canvas": (0, ".png", _clean),
    "two specks in the corners": (MARGIN, ".png", partial(_specks, 2, 1)),
    "40 specks": (MARGIN, ".png", partial(_specks, 40, 1)),
    "150 specks of 2 × 2": (MARGIN, ".png", partial(_specks, 150, 2)),
    "dark edges of a scanner": (MARGIN, ".png", _dark_edge),
    "dark edges that the drawing touches": (0, ".png", _dark_edge),
    "one line along an edge": (MARGIN, ".png", _one_edge),
    "one line along an edge, touched": (0, ".png", _one_edge),
    "frame": (MARGIN, ".png", partial(_frame, 1, 2)),
    "inset frame": (MARGIN, ".png", partial(_frame, 8, 3)),
    "frame that the drawing touches": (6, ".png", partial(_frame, 6, 3)),
    "frame that the drawing crosses": (0, ".png", partial(_frame, 10, 2)),
    "thick frame that the drawing crosses": (0, ".png", partial(_frame, 10, 9)),
    "tilted frame that the drawing crosses": (0, ".png", _tilted_frame),
    "light gradient": (MARGIN, ".png", partial(_lit, 1.0 - 0.75 * _RAMP, 2.0)),
    "hand's shadow": (MARGIN, ".png", partial(_lit, _SHADOW, 2.0)),
    "pencil, and grain": (MARGIN, ".png", _pencil),
    "chalk": (MARGIN, ".png", _chalk),
    "on a large page": (MARGIN, ".png", _small),
    "JPEG of quality 40": (MARGIN, ".jpg", _clean),
    "WebP": (MARGIN, ".webp", _clean),
    "GIF": (MARGIN, ".gif", _clean),
    "BMP": (MARGIN, ".bmp", _clean),
    "TIFF": (MARGIN, ".tif", _clean),
    "white on transparency": (MARGIN, ".png", _white_on_nothing),
    "black on transparency": (MARGIN, ".png", _black_on_nothing),
}


def main() -> None:
    """Recognise the same drawings under every kind, print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a finished training that recognises drawings")
    parser.add_argument("--data", type=Path, required=True, help="a built data set")
    parser.add_argument("--split", default="query")
    parser.add_argument("--drawings", type=int, default=300)
    arguments = parser.parse_args()
    recogniser = sketchdata.Recogniser.load(arguments.run)
    rows = sketchdata.load(arguments.data, arguments.split)
    chosen = np.random.default_rng(0).permutation(len(rows))[: arguments.drawings].tolist()
    drawings = [rows[row] for row in chosen]
    clean = _right(recogniser, drawings, drawings)
    print(f"{machine()}\n\n{len(drawings)} drawings of {len(recogniser.classes)} classes\n")
    found = [["as strokes", f"{clean / len(drawings):.3f}", "0", "–"]]
    for kind, (margin, suffix, spoil) in KINDS.items():
        read = _read_back(drawings, margin, suffix, spoil)
        kept = [(one, other) for one, other in zip(drawings, read, strict=True) if other is not None]
        right = _right(recogniser, [one for one, _ in kept], [other for _, other in kept])
        strokes = float(np.mean([len(other.strokes) for _, other in kept])) if kept else 0.0
        found.append([kind, f"{right / len(drawings):.3f}", f"{len(drawings) - len(kept)}", f"{strokes:.1f}"])
    print(table(["kind", "right at first guess", "refused", "strokes, mean"], found))


def _read_back(drawings: Sequence[Drawing], margin: int, suffix: str, spoil: Spoil) -> list[Drawing | None]:
    """Write every drawing as a spoilt picture and read the file; None where it is refused."""
    rng = np.random.default_rng(1)
    read = list[Drawing | None]()
    with tempfile.TemporaryDirectory() as folder:
        for number, drawing in enumerate(drawings):
            path = Path(folder) / f"{number}{suffix}"
            Image.fromarray(spoil(page(drawing, margin=margin), rng)).save(path, **_SAVED.get(suffix, {}))
            try:
                (query,) = read_queries(str(path))
                read.append(query.drawing)
            except SketchDataError:
                read.append(None)
    return read


def _right(recogniser: sketchdata.Recogniser, drawings: Sequence[Drawing], read: Sequence[Drawing]) -> int:
    if not read:
        return 0
    places = recogniser.scores(list(read)).argmax(axis=1).tolist()
    return sum(recogniser.classes[place] == one.word for place, one in zip(places, drawings, strict=True))


if __name__ == "__main__":
    main()
