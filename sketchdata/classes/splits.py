"""Splits of classes into seen, validation and unseen ones, by a keyed hash of their names or by lists of names.

A checkpoint or a hyperparameter selected on unseen classes has seen them. So every split has validation classes, a part
of the seen ones: to select a model, it is trained on the other seen classes and measured on the validation classes as
if they were unseen.
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
        seen: The classes that may be used for training, including the validation classes.
        validation: The seen classes for model selection; empty if nothing is selected.
        unseen: The classes for the final evaluation only.

    Raises:
        ConfigError: A class is both seen and unseen or listed twice, a validation class is not seen, fewer than two
        classes are left for training, or there are no unseen classes.
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
            by_spelling(part)  # raises ConfigError for a repeated class
        not_seen = [name for name in self.validation if name not in set(self.seen)]
        if not_seen:
            raise ConfigError(f"validation classes must be seen classes: {', '.join(map(repr, not_seen))} is not seen")
        if len(self.learned) < 2:
            raise ConfigError(
                f"{len(self.validation):,} of {len(self.seen):,} seen classes are for validation, which leaves "
                f"{len(self.learned):,}: a training needs at least 2"
            )
        if not self.unseen:
            raise ConfigError("no class is unseen: choose fewer seen classes")

    @property
    def learned(self) -> tuple[str, ...]:
        """The seen classes that are not validation classes: the training classes during model selection."""
        aside = set(self.validation)
        return tuple(name for name in self.seen if name not in aside)


@dataclass(frozen=True, kw_only=True)
class SplitNames:
    """Class names of a published split, in the spelling of its source; None where the source does not list them.

    Without `seen`, all classes that are not unseen are seen, and vice versa; without `validation`, a share of the seen
    classes is drawn.
    """

    seen: tuple[str, ...] | None = None
    validation: tuple[str, ...] | None = None
    unseen: tuple[str, ...] | None = None


def draw_classes(classes: Sequence[str], count: int, seed: int = 0, *, leave: int = 0) -> tuple[str, ...]:
    """Choose classes by a keyed hash of their names.

    Classes are ranked by the hash of their plain names, so their order and spelling do not matter, and a larger `count`
    adds classes to those of a smaller one.

    Args:
        classes: The class table.
        count: How many to choose; all classes if there are fewer.
        seed: The key.
        leave: How many other classes must be left for training, if any is chosen.

    Returns:
        The chosen classes, in the order of the table.

    Raises:
        ConfigError: Fewer than `leave` would be left.
    """
    free = max(len(classes) - leave, 0)
    if leave and count > free:
        raise ConfigError(
            f"{free:,} of {len(classes):,} classes can be held out, not {count:,}: a training needs at least {leave}"
        )
    hashes = [int.from_bytes(hashlib.sha256(plain(word).encode()).digest()[:8], "big") for word in classes]
    chosen = np.argsort(ranks(np.array(hashes, np.uint64), seed), kind="stable")[:count]
    return tuple(classes[place] for place in sorted(chosen.tolist()))


def split_classes(
    classes: Sequence[str], seen: int, *, validation_share: float = VALIDATION_SHARE, seed: int = 0
) -> ClassSplit:
    """Split a class table at random, by `draw_classes`; a larger `seen` adds classes to those of a smaller one.

    Args:
        classes: The class table.
        seen: How many are seen.
        validation_share: The share of the seen classes that are validation classes, 0..1; at least one class unless 0.
        seed: The key.

    Raises:
        ConfigError: There are too few classes, or a class occurs twice.
    """
    table = by_spelling(classes)
    if not 2 <= seen < len(table):
        raise ConfigError(f"2 to {len(table) - 1:,} of {len(table):,} classes can be seen, not {seen:,}")
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
    """Split a class table by lists of names.

    Args:
        classes: The class table.
        names: Names of the seen or the unseen classes, or both; with both, other classes are omitted.
        validation_share: As for `split_classes`, if `names` does not list validation classes.
        seed: The key by which validation classes are chosen.
        allow_unknown: Whether to ignore names that are not classes of the table; they are returned with the split.

    Raises:
        ConfigError: A name is not a class and that is not allowed, or the split is invalid, see `ClassSplit`.
    """
    if names.seen is None and names.unseen is None:
        raise ConfigError("a split must name its seen or its unseen classes")
    parts = (names.seen, names.validation, names.unseen)
    # All parts at once, so that one error lists every unknown name. A validation class may be in `seen`, too.
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
    """Draw a share of the seen classes for validation: at least one unless the share is 0.

    Raises:
        ConfigError: The share is not in 0..1.
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
    """Parse the lines of a split. `#` starts a comment; lines before the first heading are unseen classes.

    Raises:
        FormatError: A heading is unknown, a class is listed twice, a validation class is not listed as seen, or there
        are no classes; the message has the line number.
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
    """Return the text of a split, with the lines of `head` as a comment above it; `parse` reads it.

    Raises:
        ConfigError: A name cannot be written on a line.
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
                    raise ConfigError(f"the class name {name!r} cannot be written to a list of names")
            lines += [f"[{part}]", *own]
    return "".join(f"{line}\n" for line in lines)


def read(path: Path) -> SplitNames:
    """Read the file of a split.

    Raises:
        ConfigError: The file cannot be read, or is not a split.
    """
    try:
        with regular(path).open(encoding="utf-8-sig") as lines:
            return parse(lines)
    except FormatError as error:
        raise ConfigError(f"{path} is {error.reason}: {error.detail}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a split of classes, one name per line: {error}") from error


def read_all(names: Sequence[str], published: Path) -> SplitNames:
    """Read several files with different parts of a split: one may list the seen classes, another the unseen ones.

    Args:
        names: Paths, or names of published lists, such as `sketchy-21`.
        published: The folder of the published lists.

    Raises:
        ConfigError: A file does not exist or is not a split, or two of them list the same part.
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
    """Return the path of a published list or of the user's file; a published list has precedence.

    Raises:
        ConfigError: There is neither a list nor a file of that name.
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
    """How classes are split into seen, validation and unseen ones."""

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
        """Split a class table by the options; return the split and the names that were ignored as unknown.

        Raises:
            ConfigError: Neither or both ways of choosing are given, a file cannot be read, or the split is invalid.
        """
        if (self.seen is None) == (not self.class_split):
            raise ConfigError("give --seen, for a random split, or --class-split, not both")
        share, seed = self.validation_share, self.split_seed
        if self.seen is not None:
            return split_classes(classes, self.seen, validation_share=share, seed=seed), ()
        names = read_all(self.class_split, published)
        return split_by_names(classes, names, validation_share=share, seed=seed, allow_unknown=self.allow_unknown)
