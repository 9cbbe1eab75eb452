"""A data-centric toolkit for free-hand sketches.

    import sketchdata

    train = sketchdata.load("data/quickdraw-3.8m", "train")
    train[0].word, train[0].strokes, train[0].image(224)
    sketchdata.entropy(train[:1000])

Importing the package is instant and touches neither network nor disk; what a name needs is imported when it is used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from sketchdata.version import __version__

if TYPE_CHECKING:
    from sketchdata.api import DrawingDataset, entropy, load, rasterize, read, simplify, write
    from sketchdata.codes import Codes
    from sketchdata.drawing import Drawing
    from sketchdata.errors import SketchDataError
    from sketchdata.index import Index
    from sketchdata.recogniser import Recogniser
    from sketchdata.retrieval import score_codes

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

#: The modules of the names that are imported when they are used; all others are of `sketchdata.api`.
_HOMES = {
    "Codes": "sketchdata.codes",
    "Drawing": "sketchdata.drawing",
    "Index": "sketchdata.index",
    "Recogniser": "sketchdata.recogniser",
    "SketchDataError": "sketchdata.errors",
    "score_codes": "sketchdata.retrieval",
}


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # so that type checkers refuse names that do not exist

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'sketchdata' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES.get(name, "sketchdata.api")), name)


class _Package(ModuleType):
    """Keeps `simplify` and `entropy` functions, where importing the modules of these names would replace them."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
