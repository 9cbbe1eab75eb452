"""Splits of classes into seen, validation and unseen ones, by a keyed hash of their names or by lists of names.

A checkpoint or a constant that was chosen on unseen classes has seen them. So every split has validation classes, which
are seen ones: a choice is made by learning from the other seen classes and measuring on these, as if they were unseen.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from sketchdata.classes.spellings import by_spelling, match, plain
from sketchdata.config import option
from sketchdata.drawings.sampling import ranks
from sketchdata.errors import ConfigError, FormatError
from sketchdata.files import regular
from sketchdata.names import did_you_mean

#: 40 of 200.
VALIDATION_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class ClassSplit:
    """Classes of a table, in its order and spelling.

    Attributes:
        seen: All that may be learned from.
        validation: Those of the seen ones that choices are made on; none where nothing is chosen.
        unseen: Not looked at before the last measurement.

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
            raise ConfigError(f"{told} cannot be both seen and unseen: remove it from one of the two lists")
        for part in (self.seen, self.validation, self.unseen):
            by_spelling(part)  # refuses a class that is there twice
        not_seen = [name for name in self.validation if name not in set(self.seen)]
        if not_seen:
            raise ConfigError(f"validation classes are seen ones, and {', '.join(map(repr, not_seen))} is not seen")
        if len(self.learned) < 2:
            raise ConfigError(
                f"of {len(self.seen):,} seen classes {len(self.validation):,} are for validation, and a training needs "
                f"two others at least, not {len(self.learned):,}"
            )
        if not self.unseen:
            raise ConfigError("no class is unseen: choose fewer seen classes")

    @property
    def learned(self) -> tuple[str, ...]:
        """The seen classes that are not for validation: those trained on during model selection."""
        aside = set(self.validation)
        return tuple(name for name in self.seen if name not in aside)


@dataclass(frozen=True, kw_only=True)
class SplitNames:
    """Names of a published split, as its own source spells them; None where it says nothing.

    No `seen` means all classes that are not unseen, no `unseen` the reverse, no `validation` a share of the seen ones.
    """

    seen: tuple[str, ...] | None = None
    validation: tuple[str, ...] | None = None
    unseen: tuple[str, ...] | None = None


def draw_classes(classes: Sequence[str], count: int, seed: int = 0, *, leave: int = 0) -> tuple[str, ...]:
    """Choose classes by a keyed hash of their names.

    Each class is chosen by the rank of its own name, however spelled, so the order of the classes does not count, and a
    larger count only adds to a smaller one's.

    Args:
        classes: The class table.
        count: How many to choose; all of them where there are not more.
        seed: The key.
        leave: How many others must be left to learn from, if any is chosen.

    Returns:
        The chosen ones, in the order of the table.

    Raises:
        ConfigError: Fewer than `leave` would be left.
    """
    free = max(len(classes) - leave, 0)
    if leave and count > free:
        raise ConfigError(
            f"of {len(classes):,} classes {free:,} can be held out, as a training needs {leave} at least, not {count:,}"
        )
    hashes = [int.from_bytes(hashlib.sha256(plain(word).encode()).digest()[:8], "big") for word in classes]
    chosen = np.argsort(ranks(np.array(hashes, np.uint64), seed), kind="stable")[:count]
    return tuple(classes[place] for place in sorted(chosen.tolist()))


def split_classes(
    classes: Sequence[str], seen: int, *, validation_share: float = VALIDATION_SHARE, seed: int = 0
) -> ClassSplit:
    """Split a class table at random, by `draw_classes`; more seen classes are those of fewer and others.

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
    unseen = set(draw_classes(list(table), len(table) - seen, seed))
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
        names: Names of the seen or the unseen classes, or both; classes in neither list are left out.
        validation_share: As for `split_classes`, where the names say nothing about validation.
        seed: The key by which validation classes are chosen.
        allow_unknown: Whether names that are not classes of the table are ignored; they are returned with the split.

    Raises:
        ConfigError: Names are not classes and that is not allowed, or `ClassSplit` refuses the split.
    """
    if names.seen is None and names.unseen is None:
        raise ConfigError("a split names the classes that are seen, or those that are unseen")
    parts = (names.seen, names.validation, names.unseen)
    # All parts at once, so that one error lists every unknown name; a validation class is among the seen ones, too.
    listed = {plain(name): name for part in parts for name in part or ()}
    unknown = match(list(listed.values()), classes, allow_unknown=allow_unknown).unknown
    seen, validation, unseen = (
        None if part is None else match(part, classes, allow_unknown=True).classes for part in parts
    )
    unseen = tuple(word for word in classes if word not in set(seen or ())) if unseen is None else unseen
    seen = tuple(word for word in classes if word not in set(unseen)) if seen is None else seen
    validation = choose_validation(seen, validation_share, seed) if validation is None else validation
    return ClassSplit(seen=seen, validation=validation, unseen=unseen), unknown


def choose_validation(seen: Sequence[str], share: float, seed: int = 0) -> tuple[str, ...]:
    """Draw a share of the seen classes for validation: none for a share of 0, otherwise one at least.

    Raises:
        ConfigError: The share does not lie in 0..1.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"the share of validation classes must lie from 0 to below 1, not {share}")
    table = by_spelling(seen)
    count = max(int(share * len(table) + 0.5), 1) if share else 0
    return tuple(table[key] for key in draw_classes(list(table), count, seed))


PARTS = ("seen", "validation", "unseen")
SUFFIX = ".txt"
_HEADING = re.compile(r"\[(.*)\]")
_REASON = "not a split of classes"


def parse(lines: Iterable[str]) -> SplitNames:
    """Read a split from its lines. `#` begins a comment; lines before any heading are unseen classes.

    Raises:
        FormatError: A heading is unknown, a class is listed twice, a validation class is not among those listed as
            seen, or there are no classes; with the number of the line.
    """
    found: dict[str, dict[str, tuple[int, str]]] = {}
    part = "unseen"
    for number, line in enumerate(lines, 1):
        text = line.strip()
        heading = _HEADING.fullmatch(text)
        if heading is not None:
            part = heading[1].strip().casefold()
            if part not in PARTS:
                raise FormatError(
                    _REASON, f"line {number:,} begins [{part[:40]}], which is not one of {', '.join(PARTS)}"
                )
            found.setdefault(part, {})
        elif text and not text.startswith("#"):
            own = found.setdefault(part, {})
            first = own.setdefault(plain(text), (number, text))[0]
            if first != number:
                raise FormatError(_REASON, f"line {number:,}: {text!r} is already in line {first:,}")
    _check(found)
    return SplitNames(**{part: tuple(text for _, text in own.values()) for part, own in found.items()})


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
    """Return the text of a split, below the lines of `head` as a comment; `parse` reads it back.

    Raises:
        ConfigError: A name cannot stand in a line.
    """
    lines = [f"# {line}".rstrip() for line in head]
    for part in PARTS:
        own = getattr(split, part)
        if own is not None:
            for name in own:
                if (
                    not name.isprintable()
                    or name != name.strip()
                    or not name
                    or name[0] == "#"
                    or _HEADING.fullmatch(name)
                ):
                    raise ConfigError(f"the class name {name!r} cannot stand in a list of names")
            lines += [f"[{part}]", *own]
    return "".join(f"{line}\n" for line in lines)


def read(path: Path) -> SplitNames:
    """Read a file of a split.

    Raises:
        ConfigError: It cannot be read, or is not one.
    """
    try:
        with regular(path).open(encoding="utf-8-sig") as lines:
            return parse(lines)
    except FormatError as error:
        raise ConfigError(f"{path} is {error.reason}: {error.detail}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a split of classes, one name per line: {error}") from error


def read_all(names: Sequence[str], published: Path) -> SplitNames:
    """Read several files, each of other parts: one may list the seen classes, another the unseen ones.

    Args:
        names: Paths, or names of published lists, such as `sketchy-21`.
        published: The folder of these.

    Raises:
        ConfigError: The file does not exist, it is not a split, or two of them name classes of one part.
    """
    found = SplitNames()
    for name in names:
        read_names = read(path_of(name, published))
        own = {part: getattr(read_names, part) for part in PARTS if getattr(read_names, part) is not None}
        for part in sorted(own):
            if getattr(found, part) is not None:
                raise ConfigError(f"{', '.join(names)}: more than one names {part} classes, and {name} is the second")
        found = dataclasses.replace(found, **own)
    return found


def path_of(name: str, published: Path) -> Path:
    """Return the file of a published list, or the one at a path; a published list wins over a file of its name.

    Raises:
        ConfigError: There is neither a file nor a list of that name.
    """
    known = sorted(path.stem for path in published.glob(f"*{SUFFIX}"))
    if name in known:
        return published / f"{name}{SUFFIX}"
    if Path(name).is_file():
        return Path(name)
    hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
    raise ConfigError(f"{name} is neither a file nor a published list; {hint}")


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Which classes are seen, and which of these are validation classes."""

    seen: int | None = option(None, help="Number of seen classes, chosen by --split-seed.", type=click.IntRange(2))
    class_split: tuple[str, ...] = option(
        (),
        help="Published split, such as sketchy-21, or a file of names, instead of --seen; repeatable.",
        multiple=True,
        metavar="NAME|FILE",
    )
    split_seed: int = option(0, help="Seed of the choice of classes.", type=click.IntRange(0, 2**64 - 1))
    validation_share: float = option(
        VALIDATION_SHARE, help="Share of the seen classes for validation.", type=click.FloatRange(0, 1, max_open=True)
    )
    allow_unknown: bool = option(False, help="Ignore names of the split that are not in the class table.")

    def choose(self, classes: Sequence[str], published: Path) -> tuple[ClassSplit, tuple[str, ...]]:
        """Split a class table by the options; return that, and the names that were ignored as no class of it.

        Raises:
            ConfigError: Neither or both ways of choosing are given, a file cannot be read, or the split is refused.
        """
        if (self.seen is None) == (not self.class_split):
            raise ConfigError("say which classes are seen: --seen for a random split, or --class-split, not both")
        share, seed = self.validation_share, self.split_seed
        if self.seen is not None:
            return split_classes(classes, self.seen, validation_share=share, seed=seed), ()
        names = read_all(self.class_split, published)
        return split_by_names(classes, names, validation_share=share, seed=seed, allow_unknown=self.allow_unknown)
