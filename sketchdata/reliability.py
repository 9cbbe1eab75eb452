"""Reliability: how sure a classifier was, and how often it was right then.

Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, eq. 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: Bins of equal width, as the paper has them in its experiments.
RELIABILITY_BINS = 15

_SIDE, _EDGE = 320, 44


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """Drawings by the probability of the class that was chosen, in M bins of equal width from 0 to 1.

    Attributes:
        drawings: (M,) int64.
        confidence: (M,) float64, the sum of these probabilities.
        right: (M,) int64, drawings whose class was chosen.
    """

    drawings: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    right: npt.NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error, eq. 3: Σ |right − confidence| over all bins, by the drawings in each."""
        return float(np.abs(self.right - self.confidence).sum() / self.drawings.sum())

    def rows(self) -> list[dict[str, Any]]:
        """Return each bin that has drawings: where it begins and ends, its drawings, mean confidence and accuracy."""
        bins = len(self.drawings)
        return [
            {
                "from": place / bins,
                "to": (place + 1) / bins,
                "drawings": int(count),
                "confidence": float(self.confidence[place] / count),
                "accuracy": float(self.right[place] / count),
            }
            for place, count in enumerate(self.drawings.tolist())
            if count
        ]


def reliability_svg(reliability: Reliability) -> str:
    """Return the reliability diagram as SVG: accuracy over confidence, the diagonal being perfect calibration."""
    total = int(reliability.drawings.sum())
    bars = []
    for row in reliability.rows():
        left, width = row["from"] * _SIDE, (row["to"] - row["from"]) * _SIDE
        high = row["accuracy"] * _SIDE
        # The fewer drawings, the paler; every bar can still be seen.
        opacity = 0.25 + 0.75 * min(1.0, len(reliability.drawings) * row["drawings"] / total)
        about = f"{row['drawings']:,} drawings, confidence {row['confidence']:.3f}, accuracy {row['accuracy']:.3f}"
        bars.append(
            f'<rect x="{left:.1f}" y="{_SIDE - high:.1f}" width="{width - 1:.1f}" height="{high:.1f}" '
            f'fill="#2f6690" fill-opacity="{opacity:.2f}"><title>{about}</title></rect>'
        )
    ticks = "".join(
        f'<text x="{share * _SIDE:.0f}" y="{_SIDE + 16}" text-anchor="middle">{share:g}</text>'
        f'<text x="-6" y="{_SIDE - share * _SIDE + 4:.0f}" text-anchor="end">{share:g}</text>'
        for share in (0, 0.5, 1)
    )
    whole = _SIDE + 2 * _EDGE
    title = f"Expected calibration error {reliability.error:.4f} over {total:,} drawings"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {whole}" width="{whole}" height="{whole}" '
        f'role="img" font-family="sans-serif" font-size="12">\n<title>{title}</title>\n'
        f'<rect width="{whole}" height="{whole}" fill="#fff"/>\n<g transform="translate({_EDGE} {_EDGE})">\n'
        + "\n".join(bars)
        + f'\n<rect width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#888"/>\n'
        f'<path d="M0 {_SIDE}L{_SIDE} 0" stroke="#b3541e" stroke-dasharray="4 3"/>\n{ticks}\n'
        f'<text x="{_SIDE / 2}" y="-14" text-anchor="middle">{title}</text>\n'
        f'<text x="{_SIDE / 2}" y="{_SIDE + 34}" text-anchor="middle">confidence</text>\n'
        f'<text transform="translate(-30 {_SIDE / 2}) rotate(-90)" text-anchor="middle">accuracy</text>\n</g>\n</svg>\n'
    )
