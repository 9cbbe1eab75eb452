"""Recognise drawings by a trained network: files become drawings, drawings become numbers, numbers become classes.

The classifier of a training gives probabilities of the classes that it learned. A zero-shot training's network gives
numbers that a recogniser compares with a prototype of every class, also of those of which no drawing was learned from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from sketchdata.api.recogniser import Recogniser, Recognition
from sketchdata.config import option
from sketchdata.errors import ConfigError
from sketchdata.retrieval.query import MAX_QUERIES, Query, find_drawings, parse_key_id, read_queries
from sketchdata.storage.catalog import choose_classes
from sketchdata.storage.dataset import open_dataset


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is asked, of which recogniser."""

    top: int = option(10, help="Number of likeliest classes to show, at most.", type=click.IntRange(1))
    among: str = option(
        "all", help="Zero-shot: candidates, all classes or the unseen ones.", type=click.Choice(["all", "unseen"])
    )
    plain: bool = option(False, help="Zero-shot: do not subtract γ from the scores of seen classes.")
    vectors: str | None = option(
        None,
        help="Zero-shot: class vectors of the recogniser. Default: the best on validation classes.",
        metavar="NAME",
    )
    method: str | None = option(
        None, help="Zero-shot: method of the recogniser. Default: the best on validation classes.", metavar="NAME"
    )
    data: Path | None = option(
        None,
        help="Built data set in which to look up key_ids. Default: the training's data set.",
        type=click.Path(file_okay=False, path_type=Path),
    )
    word: str | None = option(
        None, help="Class of the drawings, instead of the one that they state.", param_decls=["--class"], metavar="WORD"
    )
    device: str = option("auto", help="Device: auto, cpu, cuda, cuda:1.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What was recognised, and by what.

    Attributes:
        recogniser: The network that recognised the drawings.
        answers: In the order of the drawings.
    """

    recogniser: Recogniser
    answers: tuple[Recognition, ...]


def run(directory: Path, files: Sequence[str], config: Config) -> Answers:
    """Recognise drawings.

    Args:
        directory: The folder of a training that is finished.
        files: key_ids and files, as `query.read_queries` takes them.
        config: How.

    Raises:
        ConfigError: A file, a key_id, a class or a recogniser is not there, or options are for another kind of run.
        SketchDataError: The training is not finished, or something is damaged.
    """
    recogniser = Recogniser.load(
        directory,
        device=config.device,
        among="unseen" if config.among == "unseen" else "all",
        calibrated=not config.plain,
        vectors=config.vectors,
        method=config.method,
    )
    queries = _read(files, recogniser.classes, config.data or recogniser.data or Path(), config.word)
    scores = recogniser.scores([query.drawing for query in queries if query.drawing])
    answers = (recogniser.rank(row, query, config.top) for row, query in zip(scores, queries, strict=True))
    return Answers(recogniser=recogniser, answers=tuple(answers))


# ---- drawings --------------------------------------------------------------------------------------------------------


def _read(files: Iterable[str], classes: Sequence[str], data: Path, word: str | None) -> list[Query]:
    """Return the drawings of files and key_ids."""
    known = None if word is None else choose_classes(classes, word)[0]
    queries = list[Query]()
    for text in files:
        key_id = parse_key_id(text)
        queries += read_queries(text) if key_id is None else [Query(name=text, key_id=key_id)]
    if len(queries) > MAX_QUERIES:
        raise ConfigError(f"{len(queries):,} drawings at once, and {MAX_QUERIES:,} are recognised at most")
    return [replace(query, word=known or query.word) for query in _with_drawings(queries, data)]


def _with_drawings(queries: Sequence[Query], data: Path) -> list[Query]:
    """Look up the drawings of key_ids."""
    absent = {query.key_id for query in queries if query.drawing is None and query.key_id is not None}
    if not absent:
        return list(queries)
    found = find_drawings(open_dataset(data), absent, first=("query", "gallery"))
    missing = sorted(absent - found.keys())
    if missing:
        raise ConfigError(f"key_id {missing[0]} is not in {data}: name the data set that has it by --data")
    return [
        replace(query, drawing=found[query.key_id], word=found[query.key_id].word)
        if query.drawing is None and query.key_id is not None
        else query
        for query in queries
    ]
