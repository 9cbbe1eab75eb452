"""The network of `Recogniser.default`, which the package ships and OpenCV runs.

It was trained by `benchmarks/default_recogniser.py`; `default_network.md` beside this file has its training data,
accuracy and limits. The file is ONNX, for other programs too: input `lines` (B, 576) float32 in 0..1, see
`curation.labels.line_features`; output `scores` (B, 345) float32, of the classes in
`manifests/quickdraw-categories.txt`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.curation.labels import line_features
from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.errors import SketchDataError
from sketchdata.storage.catalog import QUICKDRAW, read_class_table

#: The network in the package, and the hash of its file.
NETWORK = Path(__file__).with_suffix(".onnx")
SHA256 = "7ffcb379a123800d6ba50192926f9eaadb0fcb57bf109db0165127c38b53a5f6"
#: Drawings per pass. `line_features` is quicker by small parts.
_PART = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class DefaultNetwork:
    """The shipped network.

    Attributes:
        classes: The class table of its scores.
    """

    classes: tuple[str, ...]
    _network: Any = field(repr=False)

    @classmethod
    def load(cls, path: Path = NETWORK) -> DefaultNetwork:
        """Read the network of the package.

        Raises:
            SketchDataError: The file is missing, or is not the one that was shipped.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SketchDataError(f"{path} cannot be read: {error}; install sketchdata again") from error
        if (digest := hashlib.sha256(content).hexdigest()) != SHA256:
            raise SketchDataError(
                f"{path} has sha256 {digest[:16]}… instead of {SHA256[:16]}…: install sketchdata again"
            )
        network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
        return cls(classes=read_class_table(QUICKDRAW), _network=network)

    def probabilities(self, drawings: Sequence[Drawing]) -> npt.NDArray[np.float32]:
        """Return the probabilities of the classes for N simplified drawings: (N, 345) float32."""
        found = np.empty((len(drawings), len(self.classes)), np.float32)
        for start in range(0, len(drawings), _PART):
            batch = to_batch(drawings[start : start + _PART], Words())
            self._network.setInput(line_features(batch).astype(np.float32) / 255)
            scores = self._network.forward()
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            found[start : start + _PART] = powers / powers.sum(axis=1, keepdims=True)
        return found
