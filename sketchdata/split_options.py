"""The options by which commands split the classes into seen and unseen ones: all the same, and all in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from sketchdata.class_splits import VALIDATION_SHARE, ClassSplit, split_by_names, split_classes
from sketchdata.config import option
from sketchdata.errors import ConfigError
from sketchdata.formats import split_names


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Which classes are seen, and which of these are kept aside for choices."""

    seen: int | None = option(None, help="How many classes are seen, chosen by --split-seed.", type=click.IntRange(2))
    class_split: tuple[str, ...] = option(
        (),
        help="Instead of --seen: a published split, such as sketchy-21, or a file of names; again for another part.",
        multiple=True,
        metavar="NAME|FILE",
    )
    split_seed: int = option(0, help="Seed of the choice of classes.", type=click.IntRange(0, 2**64 - 1))
    validation_share: float = option(
        VALIDATION_SHARE,
        help="Share of the seen classes that choices are made on.",
        type=click.FloatRange(0, 1, max_open=True),
    )
    allow_unknown: bool = option(False, help="Pass over names of the split that are no class here.")

    def choose(self, classes: Sequence[str], published: Path) -> tuple[ClassSplit, tuple[str, ...]]:
        """Split a class table; return that, and the names of the split that were passed over.

        Args:
            classes: The class table.
            published: The folder of published lists.

        Raises:
            ConfigError: Neither or both ways of choosing are given, a file cannot be read, names are no class and that
                is not allowed, or the split cannot be.
        """
        if (self.seen is None) == (not self.class_split):
            raise ConfigError("say which classes are seen: --seen for a random split, or --class-split, not both")
        share, seed = self.validation_share, self.split_seed
        if self.seen is not None:
            return split_classes(classes, self.seen, validation_share=share, seed=seed), ()
        names = split_names.read_all(self.class_split, published)
        return split_by_names(classes, names, validation_share=share, seed=seed, allow_unknown=self.allow_unknown)
