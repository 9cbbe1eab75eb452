"""The options by which commands learn prototypes: from which vectors, how, and from how many drawings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from sketchdata.config import option
from sketchdata.errors import ConfigError
from sketchdata.zero_shot import ZERO_SHOT_METHODS
from sketchdata.zero_shot.eve import Regression
from sketchdata.zero_shot.method import Method

#: The method of the paper, and ours.
PAPER, OURS = "eve", "recipe"
EVERY = "all"


@dataclass(frozen=True, kw_only=True)
class PrototypeOptions:
    """What prototypes are learned from, and how."""

    vectors: tuple[Path, ...] = option(
        help="Parquet of class vectors; again for another one: each is used alone, and all side by side.",
        record=False,
        multiple=True,
        required=True,
        type=click.Path(dir_okay=False, path_type=Path),
    )
    allow_missing: bool = option(False, help="Leave out classes without a vector, instead of refusing.")
    methods: str = option(
        PAPER,
        help=f"Comma-separated ways to learn prototypes, or `all`: {', '.join(ZERO_SHOT_METHODS)}.",
        metavar="A,B,…",
    )
    recipe: bool = option(False, help="Our own way as well: the same as `recipe` among --methods.")
    width: int = option(4096, help="Numbers of the fusion layer.", type=click.IntRange(1))
    # A class mean of so many hardly moves with more, and all 1.8 million drawings of the paper would be 29 GB.
    drawings: int = option(
        500, help="Drawings of each seen class that prototypes are learned from, at most.", type=click.IntRange(2)
    )

    def chosen(self, optimiser: str) -> dict[str, Method]:
        """Return the methods that are asked for, in the order of their table.

        Args:
            optimiser: Of the training. RMSprop is for the paper's method as well then, as in the paper.

        Raises:
            ConfigError: There is no such method.
        """
        asked = {name.strip() for name in self.methods.split(",") if name.strip()} | ({OURS} if self.recipe else set())
        if unknown := asked - {EVERY, *ZERO_SHOT_METHODS}:
            raise ConfigError(
                f"--methods: there is no {', '.join(sorted(unknown))}; there are {EVERY}, "
                f"{', '.join(ZERO_SHOT_METHODS)}"
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
