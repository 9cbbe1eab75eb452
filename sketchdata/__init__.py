"""A data-centric toolkit for free-hand sketches.

    import sketchdata

    train = sketchdata.load("data/quickdraw-3.8m", "train")
    train[0].word, train[0].strokes, train[0].image(224)
    sketchdata.entropy(train[:1000])

Importing the package is instant and touches neither network nor disk; each name is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sketchdata.api.datasets import DrawingDataset, entropy, load, rasterize, read, simplify, write
    from sketchdata.api.recogniser import Recogniser
    from sketchdata.drawings.drawing import Drawing
    from sketchdata.errors import SketchDataError
    from sketchdata.formats.codes import Codes
    from sketchdata.retrieval.index import Index
    from sketchdata.retrieval.scores import score_codes

__version__ = "0.1.0"

__all__ = [
    "Codes",
    "Drawing",
    "DrawingDataset",
    "Index",
    "Recogniser",
    "SketchDataError",
    "__version__",
    "entropy",
    "load",
    "rasterize",
    "read",
    "score_codes",
    "simplify",
    "write",
]

#: The modules of the names that are not in `sketchdata.api.datasets`.
_HOMES = {
    "Codes": "sketchdata.formats.codes",
    "Drawing": "sketchdata.drawings.drawing",
    "Index": "sketchdata.retrieval.index",
    "Recogniser": "sketchdata.api.recogniser",
    "SketchDataError": "sketchdata.errors",
    "score_codes": "sketchdata.retrieval.scores",
}


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # so that type checkers refuse names that do not exist

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'sketchdata' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES.get(name, "sketchdata.api.datasets")), name)
