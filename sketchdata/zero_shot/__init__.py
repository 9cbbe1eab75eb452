"""Zero-shot recognition: methods that recognise classes of which no drawing was learnt from, in a table by name.

    recogniser = ZERO_SHOT_METHODS["eve"].fit(features, labels, vectors, seen, validation, seed=0)
    scores = recogniser.scores(others)   # (M, L) float32, of all classes

A method learns from features of drawings of seen classes and from a semantic vector of every class, seen or not. `eve`
is that of Xu et al., On Learning Semantic Representations for Million-Scale Free-Hand Sketches, `recipe` is ours, and
the others are the competitors of its Table IX, ESZSL and ConSE. `_reversed` embeds drawings among vectors, the others
vectors among drawings. `fit_oracle` shows what prototypes could reach, by seeing the unseen.
"""

from __future__ import annotations

from sketchdata.zero_shot.closed_form import SemanticAutoencoder, fit_oracle, learn_eszsl
from sketchdata.zero_shot.method import Learn, Method
from sketchdata.zero_shot.networks import ConvexCombination, Recipe, Regression, RelationNetwork
from sketchdata.zero_shot.recogniser import Constants, Embedding, Recogniser, restore_recogniser
from sketchdata.zero_shot.training_set import Lesson, check_lesson

__all__ = [
    "ZERO_SHOT_METHODS",
    "Constants",
    "Embedding",
    "Learn",
    "Lesson",
    "Method",
    "Recipe",
    "Recogniser",
    "Regression",
    "RelationNetwork",
    "check_lesson",
    "fit_oracle",
    "restore_recogniser",
]

_XU = "Xu et al., On Learning Semantic Representations for Million-Scale Free-Hand Sketches, Eq. 8 and 9"
_DEM = "Zhang, Xiang and Gong, Learning a Deep Embedding Model for Zero-Shot Learning, CVPR 2017"
_SAE = "Kodirov, Xiang and Gong, Semantic Autoencoder for Zero-Shot Learning, CVPR 2017"


def _walks(*steps: int, decays: tuple[float, ...] = (1e-4,)) -> tuple[dict[str, float], ...]:
    return tuple({"decay": decay, "steps": mark} for decay in decays for mark in steps)


_RIDGES = tuple({"ridge": ridge} for ridge in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0))

#: By name: the paper's and ours first, then its competitors.
ZERO_SHOT_METHODS: dict[str, Method] = {
    "eve": Method(
        learn=Regression(),
        constants={"decay": 1e-4, "steps": 200},
        grid=_walks(50, 100, 200, 300, decays=(1e-4, 1.0)),
        source=_XU,
    ),
    "eve_reversed": Method(
        learn=Regression(direction="to_vectors"),
        constants={"decay": 1e-4, "steps": 300},
        grid=_walks(100, 200, 300),
        source=_XU,
    ),
    "recipe": Method(
        learn=Recipe(),
        constants={"decay": 1e-2, "steps": 100},
        grid=_walks(25, 50, 100, 200, decays=(1e-2,)),
        source="Our own, with the calibrated stacking of Chao et al., ECCV 2016",
    ),
    "sae": Method(
        learn=SemanticAutoencoder(direction="to_features"), constants={"ridge": 1.0}, grid=_RIDGES, source=_SAE
    ),
    "sae_reversed": Method(
        learn=SemanticAutoencoder(direction="to_vectors"), constants={"ridge": 1.0}, grid=_RIDGES, source=_SAE
    ),
    "dem": Method(
        learn=Regression(hidden=1024, optimiser="adam"),
        constants={"decay": 1e-3, "steps": 200},
        grid=_walks(50, 100, 200, 300, decays=(1e-4, 1e-3, 1e-2)),
        source=_DEM,
    ),
    "dem_reversed": Method(
        learn=Regression(hidden=1024, optimiser="adam", direction="to_vectors"),
        constants={"decay": 1e-3, "steps": 300},
        grid=_walks(100, 200, 300, decays=(1e-3,)),
        source=_DEM,
    ),
    "relation": Method(
        learn=RelationNetwork(),
        constants={"decay": 1e-4, "steps": 400},
        grid=_walks(100, 200, 400),
        source="Sung et al., Learning to Compare: Relation Network for Few-Shot Learning, CVPR 2018",
    ),
    "eszsl": Method(
        learn=learn_eszsl,
        constants={"feature_ridge": 0.1, "vector_ridge": 0.1},
        grid=tuple(
            {"feature_ridge": one, "vector_ridge": other}
            for one in (1e-3, 1e-2, 0.1, 1.0, 10.0)
            for other in (1e-3, 1e-2, 0.1, 1.0, 10.0)
        ),
        source="Romera-Paredes and Torr, An Embarrassingly Simple Approach to Zero-Shot Learning, ICML 2015",
    ),
    "conse": Method(
        learn=ConvexCombination(),
        constants={"top": 10},
        grid=tuple({"top": top} for top in (1, 3, 5, 10, 20, 1000)),
        source="Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014",
    ),
}
