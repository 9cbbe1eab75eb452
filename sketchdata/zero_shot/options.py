"""Which methods a command's options ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sketchdata.errors import ConfigError
from sketchdata.names import names_in
from sketchdata.training.options import EVERY, OURS, PAPER, PrototypeOptions
from sketchdata.zero_shot import ZERO_SHOT_METHODS
from sketchdata.zero_shot.method import Method
from sketchdata.zero_shot.networks import Regression


def chosen_methods(options: PrototypeOptions, optimiser: str) -> dict[str, Method]:
    """Return the methods that are asked for, in the order of their table.

    Args:
        options: Name them.
        optimiser: Of the training. RMSprop is for the paper's method as well then, as in the paper.

    Raises:
        ConfigError: There is no such method.
    """
    asked = set(names_in(options.methods))
    if options.recipe:
        asked.add(OURS)
    if unknown := asked - {EVERY, *ZERO_SHOT_METHODS}:
        raise ConfigError(
            f"--methods: there is no {', '.join(sorted(unknown))}; there are {EVERY}, {', '.join(ZERO_SHOT_METHODS)}"
        )
    if not asked:
        raise ConfigError(f"--methods names none: take {PAPER}, the paper's")
    chosen = {name: method for name, method in ZERO_SHOT_METHODS.items() if name in asked or EVERY in asked}
    if optimiser == "rmsprop":
        chosen |= {name: _by_rmsprop(method) for name, method in chosen.items() if name.startswith(PAPER)}
    return chosen


def _by_rmsprop(method: Method) -> Method:
    learn: Any = method.learn
    assert isinstance(learn, Regression)  # noqa: S101 - which both directions of it are
    return replace(method, learn=replace(learn, optimiser="rmsprop"))
