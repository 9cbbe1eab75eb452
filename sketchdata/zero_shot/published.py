"""What Xu et al. published of zero-shot recognition on QuickDraw-3.8M, to be put beside what is measured here.

Source: "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", Tables IX and X. GZSL is there the
share of drawings of unseen classes that are recognised among all classes, with nothing taken off the seen ones' scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Ranks k of hit@k, in the order of the figures.
RANKS = (1, 5, 10, 20)
#: Classes of the published experiment, and drawings of unseen ones that were recognised.
SEEN, UNSEEN, DRAWINGS = 200, 145, 145_000

#: Of class vectors: of words, as the competitors took, or of edge maps.
Kind = Literal["words", "edge maps"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A row of the paper.

    Attributes:
        title: As the paper names it.
        features: The network whose features were used: CNN, RNN, or CR for both.
        kind: Of the class vectors.
        method: Our name of the method; None for one that is not here.
        zsl: hit@1, 5, 10 and 20 among unseen classes.
        gzsl: The same among all classes.
    """

    title: str
    features: str
    kind: Kind
    method: str | None
    zsl: tuple[float, float, float, float]
    gzsl: tuple[float, float, float, float]


_FULL_MODEL = Published(
    title="Full SZSR model",
    features="CR",
    kind="edge maps",
    method="eve",
    zsl=(0.2148, 0.5031, 0.6363, 0.7589),
    gzsl=(0.0756, 0.3360, 0.4831, 0.6416),
)

#: Comparison with methods for photos. The arrow shows which of the two is embedded among the other.
TABLE_IX = (
    Published(
        title="SAE (sketch → word vector)",
        features="CR",
        kind="words",
        method="sae_reversed",
        zsl=(0.0817, 0.2278, 0.3413, 0.5013),
        gzsl=(0.0011, 0.0470, 0.1105, 0.2314),
    ),
    Published(
        title="SAE (sketch ← word vector)",
        features="CR",
        kind="words",
        method="sae",
        zsl=(0.1056, 0.2751, 0.3940, 0.5471),
        gzsl=(0.0085, 0.1387, 0.2555, 0.3986),
    ),
    Published(
        title="DEM",
        features="CR",
        kind="words",
        method="dem",
        zsl=(0.1224, 0.2818, 0.3951, 0.5347),
        gzsl=(0.0312, 0.2150, 0.3398, 0.4953),
    ),
    Published(
        title="DEM (sketch → word vector)",
        features="CR",
        kind="words",
        method="dem_reversed",
        zsl=(0.0198, 0.0601, 0.1233, 0.2314),
        gzsl=(0.0058, 0.0292, 0.0548, 0.1069),
    ),
    Published(
        title="RELATION NET",
        features="CR",
        kind="words",
        method="relation",
        zsl=(0.0968, 0.2828, 0.4076, 0.5654),
        gzsl=(0.0070, 0.1185, 0.2184, 0.3562),
    ),
    Published(
        title="AREN",
        features="CR",
        kind="words",
        method=None,
        zsl=(0.0156, 0.0781, 0.1328, 0.2188),
        gzsl=(0.0025, 0.0175, 0.0199, 0.0430),
    ),
    _FULL_MODEL,
)

#: What each part of the full model brings.
TABLE_X = (
    Published(
        title="CNN, sketch → edge map",
        features="CNN",
        kind="edge maps",
        method="eve_reversed",
        zsl=(0.0405, 0.0845, 0.1312, 0.2215),
        gzsl=(0.0049, 0.0477, 0.0898, 0.1281),
    ),
    Published(
        title="RNN, sketch → edge map",
        features="RNN",
        kind="edge maps",
        method="eve_reversed",
        zsl=(0.0384, 0.1195, 0.1903, 0.3003),
        gzsl=(0.0087, 0.0637, 0.1043, 0.1691),
    ),
    Published(
        title="CR, sketch → edge map",
        features="CR",
        kind="edge maps",
        method="eve_reversed",
        zsl=(0.0435, 0.1361, 0.2198, 0.3408),
        gzsl=(0.0097, 0.0668, 0.1169, 0.1932),
    ),
    Published(
        title="CNN, sketch ← edge map",
        features="CNN",
        kind="edge maps",
        method="eve",
        zsl=(0.1919, 0.4732, 0.6062, 0.7395),
        gzsl=(0.0638, 0.2947, 0.4441, 0.5936),
    ),
    Published(
        title="RNN, sketch ← edge map",
        features="RNN",
        kind="edge maps",
        method="eve",
        zsl=(0.1815, 0.4516, 0.5969, 0.7483),
        gzsl=(0.0554, 0.2632, 0.4040, 0.5664),
    ),
    _FULL_MODEL,
)
