"""Recognisers in files: the folder `recognisers/` of a run has one for each source of class vectors and each method.

A file is safetensors, of which nothing is ever run, named `{source}.{method}.safetensors`. Its arrays are those of
`Recogniser.record`; its facts say whose they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.tensors import SUFFIX, read_tensors, write_tensors
from sketchdata.zero_shot.recogniser import Recogniser, restore_recogniser

FOLDER = "recognisers"
_SOURCE, _METHOD = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,99}"), re.compile(r"[a-z][a-z0-9_]{0,49}")


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptRecogniser:
    """A fitted recogniser, and what it was fitted with.

    Attributes:
        source: Of the class vectors: a file's stem, or `a+b` for those of two side by side.
        method: Its name in ZERO_SHOT_METHODS.
        classes: The L names, in the order of the prototypes.
        recogniser: What was fitted.
    """

    source: str
    method: str
    classes: tuple[str, ...]
    recogniser: Recogniser

    @property
    def name(self) -> str:
        """What its file is called, without the suffix."""
        return f"{self.source}.{self.method}"


def write_recogniser(folder: Path, kept: KeptRecogniser) -> Path:
    """Write a recogniser into a run folder, whole or not at all; the same one gives the same bytes.

    Args:
        folder: The run folder.
        kept: The recogniser.

    Returns:
        The file.

    Raises:
        ConfigError: The source or the method has a name that no file should have, or there is not one class a
            prototype.
        SketchDataError: It cannot be written.
    """
    if not _SOURCE.fullmatch(kept.source) or not _METHOD.fullmatch(kept.method):
        raise ConfigError(
            f"a recogniser's file is named after its vectors and its method, and {kept.name[:120]!r} is no safe name: "
            "name the file of vectors by letters, digits and . _ + - alone, 100 at most and no . at the start"
        )
    _check_classes(kept.classes, kept.recogniser)
    path = recogniser_path(folder, kept.source, kept.method)
    arrays, facts = kept.recogniser.record()
    whose = {"source": kept.source, "method": kept.method, "classes": list(kept.classes)}
    write_tensors(path, {name: torch.from_numpy(array) for name, array in arrays.items()}, {**whose, FOLDER: facts})
    return path


def recogniser_path(folder: Path, source: str, method: str) -> Path:
    """Return where a run folder has a recogniser, or will have it."""
    return folder / FOLDER / f"{source}.{method}{SUFFIX}"


def read_recognisers(folder: Path) -> list[KeptRecogniser]:
    """Read all recognisers of a run folder, by source and method.

    Raises:
        SketchDataError: There are none, or one is damaged, is no recogniser, or is named as another one.
    """
    paths = sorted((folder / FOLDER).glob(f"*{SUFFIX}"))
    if not paths:
        raise SketchDataError(
            f"{folder} has no recognisers ({FOLDER}/*{SUFFIX}): they are written by `sketchdata train zsl`"
        )
    return sorted(map(_read, paths), key=lambda kept: (kept.source, kept.method))


def choose_recogniser(
    kept: Sequence[KeptRecogniser], source: str | None = None, method: str | None = None
) -> KeptRecogniser:
    """Return the one that recognised validation classes best, of those of a source and a method.

    Args:
        kept: All of them; of equally good ones, the first is taken.
        source: None for any.
        method: None for any.

    Raises:
        ConfigError: None is of that source and method.
    """
    fitting = [one for one in kept if source in (None, one.source) and method in (None, one.method)]
    if not fitting:
        asked = " ".join(filter(None, [source and f"vectors {source}", method and f"method {method}"]))
        there = ", ".join(f"{one.source} by {one.method}" for one in kept)
        raise ConfigError(f"there is no recogniser of {asked or 'any kind'}; there are: {there or 'none'}")
    return max(fitting, key=_hit)


def _hit(kept: KeptRecogniser) -> float:
    return -1.0 if kept.recogniser.validation_hit is None else kept.recogniser.validation_hit


def _read(path: Path) -> KeptRecogniser:
    tensors, facts = read_tensors(path)
    try:
        kept = _kept({name: tensor.numpy() for name, tensor in tensors.items()}, facts)
    except (ConfigError, KeyError, TypeError) as error:
        raise SketchDataError(
            f"{path} is damaged or holds no recogniser ({error}): remove it, or train again in another --out"
        ) from error
    if path.name != f"{kept.name}{SUFFIX}":
        raise SketchDataError(f"{path} holds the recogniser {kept.name}: name it {kept.name}{SUFFIX}, or remove it")
    return kept


def _kept(arrays: dict[str, Any], facts: Any) -> KeptRecogniser:
    classes = tuple(facts["classes"])
    recogniser = restore_recogniser(arrays, facts[FOLDER])
    _check_classes(classes, recogniser)
    return KeptRecogniser(
        source=str(facts["source"]), method=str(facts["method"]), classes=classes, recogniser=recogniser
    )


def _check_classes(classes: tuple[str, ...], recogniser: Recogniser) -> None:
    if len(classes) != len(recogniser.prototypes) or len(set(classes)) < len(classes):
        raise ConfigError(
            f"{len(classes):,} classes, {len(set(classes)):,} of them different, do not fit "
            f"{len(recogniser.prototypes):,} prototypes"
        )
