"""Zero-shot recognition: methods that recognise classes without any drawing to learn from, in a table by name.

    recogniser = ZERO_SHOT_METHODS["eve"].fit(features, labels, vectors, seen, validation, seed=0)
    scores = recogniser.scores(others)   # (M, L) float32, of all classes

A method learns from features of drawings of seen classes and from a semantic vector of every class, seen or not. `eve`
is that of Xu et al., On Learning Semantic Representations for Million-Scale Free-Hand Sketches, `recipe` is ours, and
the others are the competitors of its Table IX, ESZSL and ConSE. `_reversed` embeds drawings among vectors, the others
vectors among drawings. `fit_upper_bound` shows what prototypes could reach by learning from unseen classes.
"""

from __future__ import annotations

from dataclasses import replace

from sketchdata.errors import ConfigError
from sketchdata.names import names_in
from sketchdata.training.options import EVERY, OURS, PAPER, PrototypeOptions
from sketchdata.zero_shot.closed_form import SemanticAutoencoder, fit_upper_bound, learn_eszsl
from sketchdata.zero_shot.method import Learn, ZeroShotMethod
from sketchdata.zero_shot.networks import ConvexCombination, Recipe, Regression, RelationNetwork
from sketchdata.zero_shot.recogniser import Constants, Embedding, ZeroShotRecogniser, restore_recogniser
from sketchdata.zero_shot.training_set import TrainingSet, make_training_set

__all__ = [
    "ZERO_SHOT_METHODS",
    "Constants",
    "Embedding",
    "Learn",
    "Recipe",
    "Regression",
    "RelationNetwork",
    "TrainingSet",
    "ZeroShotMethod",
    "ZeroShotRecogniser",
    "fit_upper_bound",
    "make_training_set",
    "restore_recogniser",
]

_XU = "Xu et al., On Learning Semantic Representations for Million-Scale Free-Hand Sketches, Eq. 8 and 9"
_DEM = "Zhang, Xiang and Gong, Learning a Deep Embedding Model for Zero-Shot Learning, CVPR 2017"
_SAE = "Kodirov, Xiang and Gong, Semantic Autoencoder for Zero-Shot Learning, CVPR 2017"


def _walks(*steps: int, decays: tuple[float, ...] = (1e-4,)) -> tuple[dict[str, float], ...]:
    return tuple({"decay": decay, "steps": mark} for decay in decays for mark in steps)


_RIDGES = tuple({"ridge": ridge} for ridge in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0))

#: By name: the paper's and ours first, then its competitors.
ZERO_SHOT_METHODS: dict[str, ZeroShotMethod] = {
    "eve": ZeroShotMethod(
        learn=Regression(),
        constants={"decay": 1e-4, "steps": 200},
        grid=_walks(50, 100, 200, 300, decays=(1e-4, 0.1, 1.0)),
        source=_XU,
    ),
    "eve_reversed": ZeroShotMethod(
        learn=Regression(direction="to_vectors"),
        constants={"decay": 1e-4, "steps": 300},
        grid=_walks(100, 200, 300),
        source=_XU,
    ),
    "recipe": ZeroShotMethod(
        learn=Recipe(),
        constants={"decay": 1e-2, "steps": 100},
        grid=_walks(25, 50, 100, 200, decays=(1e-2,)),
        source="Our own, with the calibrated stacking of Chao et al., ECCV 2016",
    ),
    "sae": ZeroShotMethod(
        learn=SemanticAutoencoder(direction="to_features"), constants={"ridge": 1.0}, grid=_RIDGES, source=_SAE
    ),
    "sae_reversed": ZeroShotMethod(
        learn=SemanticAutoencoder(direction="to_vectors"), constants={"ridge": 1.0}, grid=_RIDGES, source=_SAE
    ),
    "dem": ZeroShotMethod(
        learn=Regression(hidden=1024, optimiser="adam"),
        constants={"decay": 1e-3, "steps": 200},
        grid=_walks(50, 100, 200, 300, decays=(1e-4, 1e-3, 1e-2)),
        source=_DEM,
    ),
    "dem_reversed": ZeroShotMethod(
        learn=Regression(hidden=1024, optimiser="adam", direction="to_vectors"),
        constants={"decay": 1e-3, "steps": 300},
        grid=_walks(100, 200, 300, decays=(1e-3,)),
        source=_DEM,
    ),
    "relation": ZeroShotMethod(
        learn=RelationNetwork(),
        constants={"decay": 1e-4, "steps": 400},
        grid=_walks(100, 200, 400),
        source="Sung et al., Learning to Compare: Relation Network for Few-Shot Learning, CVPR 2018",
    ),
    "eszsl": ZeroShotMethod(
        learn=learn_eszsl,
        constants={"feature_ridge": 0.1, "vector_ridge": 0.1},
        grid=tuple(
            {"feature_ridge": one, "vector_ridge": other}
            for one in (1e-3, 1e-2, 0.1, 1.0, 10.0)
            for other in (1e-3, 1e-2, 0.1, 1.0, 10.0)
        ),
        source="Romera-Paredes and Torr, An Embarrassingly Simple Approach to Zero-Shot Learning, ICML 2015",
    ),
    "conse": ZeroShotMethod(
        learn=ConvexCombination(),
        constants={"top": 10},
        grid=tuple({"top": top} for top in (1, 3, 5, 10, 20, 1000)),
        source="Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014",
    ),
}


def chosen_methods(options: PrototypeOptions, optimiser: str) -> dict[str, ZeroShotMethod]:
    """Return the methods that options name, in the order of their table; `optimiser` rmsprop trains the paper's too.

    Raises:
        ConfigError: The method does not exist.
    """
    asked = set(names_in(options.methods))
    if options.recipe:
        asked.add(OURS)
    if unknown := asked - {EVERY, *ZERO_SHOT_METHODS}:
        raise ConfigError(
            f"--methods: there is no {', '.join(sorted(unknown))}; there are {EVERY}, {', '.join(ZERO_SHOT_METHODS)}"
        )
    if not asked:
        raise ConfigError(f"--methods names none: use {PAPER}, the paper's")
    chosen = {name: method for name, method in ZERO_SHOT_METHODS.items() if name in asked or EVERY in asked}
    if optimiser == "rmsprop":
        for name, method in chosen.items():
            if name.startswith(PAPER) and isinstance(method.learn, Regression):
                chosen[name] = replace(method, learn=replace(method.learn, optimiser="rmsprop"))
    return chosen
