"""Splits of classes: which ones a training sees, which of these it keeps aside for its choices, which it never sees.

A checkpoint or a constant that was chosen on unseen classes has seen them. So every split has validation classes, which
are seen ones: a choice is made by learning from the other seen classes and measuring on these, as if they were unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sketchdata.class_spellings import by_spelling, match
from sketchdata.errors import ConfigError
from sketchdata.sampling import chosen_words, held_out, plain

#: 40 of 200.
VALIDATION_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class ClassSplit:
    """Classes that are seen and unseen, in the order of the class table, as it spells them.

    Attributes:
        seen: All that may be learned from.
        validation: Those of the seen ones that choices are made on; none where nothing is chosen.
        unseen: What is never looked at before the last measurement.

    Raises:
        ConfigError: A class is both seen and unseen or listed twice, validation has one that is not seen, fewer than
            two are left to learn from, or none is unseen.
    """

    seen: tuple[str, ...]
    validation: tuple[str, ...]
    unseen: tuple[str, ...]

    def __post_init__(self) -> None:
        both = {plain(name) for name in self.seen} & {plain(name) for name in self.unseen}
        if both:
            told = ", ".join(repr(name) for name in self.seen if plain(name) in both)
            raise ConfigError(f"{told} cannot be both seen and unseen: take it away from one of the two lists")
        for part in (self.seen, self.validation, self.unseen):
            by_spelling(part)  # which refuses a class that is there twice
        strange = [name for name in self.validation if name not in set(self.seen)]
        if strange:
            raise ConfigError(f"validation classes are seen ones, and {', '.join(map(repr, strange))} is not seen")
        if len(self.learned) < 2:
            raise ConfigError(
                f"of {len(self.seen):,} seen classes {len(self.validation):,} are for validation, and a training needs "
                f"two others at least, not {len(self.learned):,}"
            )
        if not self.unseen:
            raise ConfigError("no class is unseen: let fewer be seen")

    @property
    def learned(self) -> tuple[str, ...]:
        """The seen classes that are learned from while something is chosen: those that are not for validation."""
        aside = set(self.validation)
        return tuple(name for name in self.seen if name not in aside)


@dataclass(frozen=True, kw_only=True)
class SplitNames:
    """Names of a published split, as its own source spells them; None where it says nothing.

    Attributes:
        seen: None stands for all classes that are not unseen.
        validation: None stands for a share of the seen ones.
        unseen: None stands for all classes that are not seen.
    """

    seen: tuple[str, ...] | None = None
    validation: tuple[str, ...] | None = None
    unseen: tuple[str, ...] | None = None


def split_classes(
    classes: Sequence[str], seen: int, *, validation_share: float = VALIDATION_SHARE, seed: int = 0
) -> ClassSplit:
    """Split a class table at random: by a keyed hash of each class's name, however that is spelt.

    The order of the table does not count, and of one table and seed, more seen classes are those of fewer and others.

    Args:
        classes: The class table.
        seen: How many are seen.
        validation_share: The share of the seen ones that choices are made on, 0 to 1; 0 for none, else one at least.
        seed: The key.

    Raises:
        ConfigError: There are too few classes, or one twice.
    """
    table = by_spelling(classes)
    if not 2 <= seen < len(table):
        raise ConfigError(f"of {len(table):,} classes 2 to {len(table) - 1:,} can be seen, not {seen:,}")
    unseen = set(held_out(list(table), len(table) - seen, seed))
    known = tuple(word for key, word in table.items() if key not in unseen)
    return ClassSplit(
        seen=known,
        validation=choose_validation(known, validation_share, seed),
        unseen=tuple(table[key] for key in table if key in unseen),
    )


def split_by_names(
    classes: Sequence[str],
    names: SplitNames,
    *,
    validation_share: float = VALIDATION_SHARE,
    seed: int = 0,
    allow_unknown: bool = False,
) -> tuple[ClassSplit, tuple[str, ...]]:
    """Split a class table as lists of names say.

    Args:
        classes: The class table.
        names: Of the seen or the unseen classes, or of both; classes in neither of two lists are left out.
        validation_share: As for `split_classes`, where the names say nothing about validation.
        seed: The key by which validation classes are chosen.
        allow_unknown: Whether names that are no class of the table are passed over.

    Returns:
        The split, and the names that were passed over.

    Raises:
        ConfigError: Names are no class and that is not allowed, or the split cannot be: see `ClassSplit`.
    """
    if names.seen is None and names.unseen is None:
        raise ConfigError("a split names the classes that are seen, or those that are unseen")
    parts = (names.seen, names.validation, names.unseen)
    # All at once, so that the names that are no class are told at once; a validation class stands among the seen too.
    listed = {plain(name): name for part in parts for name in part or ()}
    unknown = match(list(listed.values()), classes, allow_unknown=allow_unknown).unknown
    seen, validation, unseen = (
        None if part is None else match(part, classes, allow_unknown=True).classes for part in parts
    )
    if unseen is None:
        unseen = tuple(word for word in classes if word not in set(seen or ()))
    if seen is None:
        seen = tuple(word for word in classes if word not in set(unseen))
    if validation is None:
        validation = choose_validation(seen, validation_share, seed)
    return ClassSplit(seen=seen, validation=validation, unseen=unseen), unknown


def choose_validation(seen: Sequence[str], share: float, seed: int = 0) -> tuple[str, ...]:
    """Choose a share of the seen classes for validation, by a keyed hash of their names; a larger share adds to it.

    Returns:
        The chosen ones, in their order: none for a share of 0, one at least otherwise.

    Raises:
        ConfigError: The share does not lie in 0..1.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"the share of validation classes must lie from 0 to below 1, not {share}")
    table = by_spelling(seen)
    count = max(int(share * len(table) + 0.5), 1) if share else 0
    return tuple(table[key] for key in chosen_words(list(table), count, seed))
