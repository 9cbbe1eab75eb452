"""The boundary benchmark of BSDS500: soft edge maps against what several people drew on the same photo.

    counts = [evaluate(ridges(sobel(photo)), drawings) for photo, drawings in ...]
    scores = summarise(counts)
    scores.ods, scores.ois, scores.ap

Sources: Martin, Fowlkes and Malik, "Learning to detect natural image boundaries using local brightness, color, and
texture cues", PAMI 2004; Arbeláez, Maire, Fowlkes and Malik, "Contour detection and hierarchical image segmentation",
PAMI 2011. The numbers follow the official code of BSDS500, in the form that the field reports: `edgesEvalImg` and
`edgesEvalDir` of Dollár's Structured Edge Detection Toolbox 3.01.
"""

from __future__ import annotations

from sketchdata.edges.boundaries.matching import TOLERANCE, Counts, agreement, evaluate, even_thresholds, match, ridges
from sketchdata.edges.boundaries.scores import Scores, summarise

__all__ = ["TOLERANCE", "Counts", "Scores", "agreement", "evaluate", "even_thresholds", "match", "ridges", "summarise"]
