"""One drawing as people upload it: scanned, photographed, compressed, on a background."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.drawings.raster import raster
from sketchdata.formats import svg
from tests.formats.test_tracing import dark_edges, drawn, framed, near, shaded, specks

_BACKGROUND = b'<rect width="100%" height="100%" fill="#ffffff"/>'


def uploads_of(drawing: Drawing) -> dict[str, bytes]:
    """Return {file name: content} of pictures and an SVG file of a drawing, each with parts that are not ink."""
    plain = np.full((256, 256), 255, np.uint8)
    plain[28:228, 28:228] = 255 - raster(to_batch([drawing], Words()), size=200, line_width=3)[0]
    chalk = np.dstack([np.full((256, 256, 3), 255, np.uint8), 255 - plain])
    start, end, rest = svg.dump(drawing).partition(b">")
    return {
        "specks.png": _encoded(specks(plain.copy()), ".png"),
        "photo.jpg": _encoded(shaded(plain.copy()), ".jpg"),
        "scan.webp": _encoded(dark_edges(plain.copy()), ".webp"),
        "frame.bmp": _encoded(framed(plain.copy(), 5), ".bmp"),
        "white on transparency.png": _encoded(chalk, ".png"),
        "background.svg": start + end + _BACKGROUND + rest,
    }


def shows(strokes: Iterable[npt.NDArray[np.integer]], drawing: Drawing) -> bool:
    """Tell whether strokes lie where those of a drawing do, and nowhere else."""
    other = Drawing(key_id=0, word="", strokes=tuple(np.asarray(stroke, np.uint8) for stroke in strokes))
    there, own = drawn(other), drawn(drawing)
    return bool((own & near(there)).sum() > 0.85 * own.sum() and (there & near(own)).sum() > 0.85 * there.sum())


def _encoded(picture: npt.NDArray[np.uint8], suffix: str) -> bytes:
    done, content = cv2.imencode(suffix, picture)
    assert done
    return content.tobytes()
