"""Models of edge detectors in miniature or with random weights, in the formats of the published ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

#: A real model of Structured Edges in miniature: one tree that asks whether the gradient's magnitude (channel 3 of
#: 16 × 16 features) in the middle of a patch is small; its right leaf draws the four middle pixels of the inner
#: 16 × 16, its left one nothing.
FOREST = f"""%YAML:1.0
---
options:
   stride: 2
   shrinkNumber: 2
   patchSize: 32
   patchInnerSize: 16
   numberOfGradientOrientations: 4
   gradientSmoothingRadius: 0
   regFeatureSmoothingRadius: 2
   ssFeatureSmoothingRadius: 8
   gradientNormalizationRadius: 4
   selfsimilarityGridSize: 5
   numberOfTrees: 1
   numberOfTreesToEvaluate: 1
childs:
   - [ 2, 0, 0 ]
featureIds:
   - [ {3 * 256 + 8 * 16 + 8}, 0, 0 ]
thresholds:
   - [ 5.0e-02, 0., 0. ]
edgeBoundaries:
   - [ 0, 0, 0, 4 ]
edgeBins:
   - [ {7 * 16 + 7}, {7 * 16 + 8}, {8 * 16 + 7}, {8 * 16 + 8} ]
"""


def write_forest(folder: Path) -> Path:
    """Write FOREST as a model file; return its path."""
    path = folder / "model.yml"
    path.write_text(FOREST, encoding="utf-8")
    return path


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
