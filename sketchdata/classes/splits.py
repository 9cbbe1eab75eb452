"""Splits of classes: which ones a training sees, which of these it keeps aside for its choices, which it never sees.

A checkpoint or a constant that was chosen on unseen classes has seen them. So every split has validation classes, which
are seen ones: a choice is made by learning from the other seen classes and measuring on these, as if they were unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from sketchdata.classes.spellings import by_spelling, match
from sketchdata.config import option
from sketchdata.drawings.sampling import chosen_words, held_out, plain
from sketchdata.errors import ConfigError, FormatError
from sketchdata.names import did_you_mean

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


# Splits of classes as text: a class a line, under `[seen]`, `[validation]` or `[unseen]`; `#` begins a comment line.
# Lines before any such heading are unseen classes, so a bare list of names is one of those.

PARTS = ("seen", "validation", "unseen")
SUFFIX = ".txt"
_HEADING = re.compile(r"\[(.*)\]")
_REASON = "not a split of classes"


def parse(lines: Iterable[str]) -> SplitNames:
    """Read a split, line by line.

    Raises:
        FormatError: A heading is unknown, a class stands twice, a validation class is none of those listed as seen, or
            there are no classes; with the number of the line.
    """
    found: dict[str, dict[str, tuple[int, str]]] = {}
    part = "unseen"
    for number, line in enumerate(lines, 1):
        text = line.strip()
        heading = _HEADING.fullmatch(text)
        if heading is not None:
            part = _part(heading[1].strip().casefold(), number)
            found.setdefault(part, {})
        elif text and not text.startswith("#"):
            own = found.setdefault(part, {})
            first = own.setdefault(plain(text), (number, text))[0]
            if first != number:
                raise FormatError(_REASON, f"line {number:,}: {text!r} stands in line {first:,} already")
    _check(found)
    names = {part: tuple(text for _, text in own.values()) for part, own in found.items()}
    return SplitNames(seen=names.get("seen"), validation=names.get("validation"), unseen=names.get("unseen"))


def _part(name: str, number: int) -> str:
    if name not in PARTS:
        raise FormatError(_REASON, f"line {number:,} begins [{name[:40]}], which is none of {', '.join(PARTS)}")
    return name


def _check(found: Mapping[str, Mapping[str, tuple[int, str]]]) -> None:
    seen, unseen = found.get("seen", {}), found.get("unseen", {})
    if not seen and not unseen:
        raise FormatError(_REASON, "it names neither seen nor unseen classes")
    for key, (number, text) in unseen.items():
        if key in seen:
            raise FormatError(_REASON, f"line {number:,}: {text!r} is unseen, and seen in line {seen[key][0]:,}")
    for key, (number, text) in found.get("validation", {}).items():
        if key in unseen or ("seen" in found and key not in seen):
            raise FormatError(_REASON, f"line {number:,}: {text!r} is for validation, and none of the seen classes")


def dump(split: SplitNames | ClassSplit, head: Sequence[str] = ()) -> str:
    """Write a split as text, which `parse` reads as it was.

    Args:
        split: What it says.
        head: Lines of a comment, to stand above.

    Raises:
        ConfigError: A name cannot stand in a line.
    """
    lines = [f"# {line}".rstrip() for line in head]
    for part in PARTS:
        own = getattr(split, part)
        if own is not None:
            lines += [f"[{part}]", *map(_line, own)]
    return "".join(f"{line}\n" for line in lines)


def _line(name: str) -> str:
    if not name.isprintable() or name != name.strip() or not name or name[0] == "#" or _HEADING.fullmatch(name):
        raise ConfigError(f"the class name {name!r} cannot stand in a list of names")
    return name


def read(path: Path) -> SplitNames:
    """Read a file of a split.

    Raises:
        ConfigError: It cannot be read, or is none.
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:
            return parse(lines)
    except FormatError as error:
        raise ConfigError(f"{path} is {error.reason}: {error.detail}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a split of classes, a name a line: {error}") from error


def read_all(names: Sequence[str], published: Path) -> SplitNames:
    """Read several files, each of which may say something about another part: one the seen, one the unseen classes.

    Args:
        names: Paths, or names of published lists, such as `sketchy-21`.
        published: The folder of these.

    Raises:
        ConfigError: There is no such file, or it is none; or two of them name classes of one part.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        read_names = read(path_of(name, published))
        parts = {part: getattr(read_names, part) for part in PARTS}
        told = {part: own for part, own in parts.items() if own is not None}
        twice = sorted(found.keys() & told)
        if twice:
            raise ConfigError(f"{', '.join(names)}: more than one names {twice[0]} classes, and {name} is the second")
        found |= told
    return SplitNames(seen=found.get("seen"), validation=found.get("validation"), unseen=found.get("unseen"))


def path_of(name: str, published: Path) -> Path:
    """Return the file of a published list, or the one at a path; a published list wins over a file of its name.

    Raises:
        ConfigError: There is neither.
    """
    known = sorted(path.stem for path in published.glob(f"*{SUFFIX}"))
    if name in known:
        return published / f"{name}{SUFFIX}"
    if Path(name).is_file():
        return Path(name)
    hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
    raise ConfigError(f"{name} is neither a file nor a published list; {hint}")


# The options by which commands split the classes into seen and unseen ones: all the same, and all in one place.


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
        names = read_all(self.class_split, published)
        return split_by_names(classes, names, validation_share=share, seed=seed, allow_unknown=self.allow_unknown)
