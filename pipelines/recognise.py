"""Recognise drawings of files and key_ids by a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from sketchdata.api.recogniser import Recogniser, Recognition
from sketchdata.config import FOLDER, option
from sketchdata.errors import ConfigError
from sketchdata.retrieval.query import (
    MAX_QUERIES,
    Query,
    Unreadable,
    find_drawings,
    parse_key_id,
    read_each,
    read_queries,
)
from sketchdata.storage.catalog import choose_classes
from sketchdata.storage.dataset import open_dataset
from sketchdata.training.options import views_option


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: recognition and output."""

    top: int = option(10, help="Number of most likely classes to show, at most.", type=click.IntRange(1))
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
        None, help="Built data set in which to look up key_ids. Default: the training's data set.", type=FOLDER
    )
    word: str | None = option(
        None, help="Class of the drawings, instead of the one that they state.", param_decls=["--class"], metavar="WORD"
    )
    views: int = views_option()
    device: str = option("auto", help="Device: auto, cpu, cuda, cuda:1.")


@dataclass(frozen=True, kw_only=True, eq=False)
class RecognisedDrawings:
    """The recogniser, its predictions in the order of the drawings, and the files that could not be read."""

    recogniser: Recogniser
    answers: tuple[Recognition, ...]
    unreadable: tuple[Unreadable, ...] = ()


def run(directory: Path | None, files: Sequence[str], config: Config) -> RecognisedDrawings:
    """Recognise drawings given by key_ids and files, see `query.read_queries`, with a finished training.

    Without a training's folder, the recogniser that the package ships is used.

    Raises:
        ConfigError: A file, key_id, class or recogniser is missing, or options are for another kind of run.
        SketchDataError: The training is unfinished, or a file is damaged.
    """
    recogniser = _default(config) if directory is None else _load(directory, config)
    read, unreadable = read_each(files, _read)
    queries = _complete(read, recogniser.classes, config.data or recogniser.data or Path(), config.word)
    scores = recogniser.scores([query.drawing for query in queries if query.drawing], views=config.views)
    answers = (recogniser.rank(row, query, config.top) for row, query in zip(scores, queries, strict=True))
    return RecognisedDrawings(recogniser=recogniser, answers=tuple(answers), unreadable=unreadable)


def _load(directory: Path, config: Config) -> Recogniser:
    return Recogniser.load(
        directory,
        device=config.device,
        among="unseen" if config.among == "unseen" else "all",
        calibrated=not config.plain,
        vectors=config.vectors,
        method=config.method,
    )


def _default(config: Config) -> Recogniser:
    given = {
        "--among": config.among != "all",
        "--plain": config.plain,
        "--vectors": config.vectors is not None,
        "--method": config.method is not None,
        "--views": config.views != 1,
        "--device": config.device not in ("auto", "cpu"),
    }
    if named := ", ".join(name for name, is_given in given.items() if is_given):
        raise ConfigError(f"{named}: only for a training; give its folder before the files")
    return Recogniser.default()


def _read(text: str) -> list[Query]:
    key_id = parse_key_id(text)
    return read_queries(text) if key_id is None else [Query(name=text, key_id=key_id)]


def _complete(queries: Sequence[Query], classes: Sequence[str], data: Path, word: str | None) -> list[Query]:
    known = None if word is None else choose_classes(classes, word)[0]
    if len(queries) > MAX_QUERIES:
        raise ConfigError(f"{len(queries):,} drawings at once, and {MAX_QUERIES:,} are recognised at most")
    absent = {query.key_id for query in queries if query.drawing is None and query.key_id is not None}
    found = find_drawings(open_dataset(data), absent, first=("query", "gallery")) if absent else {}
    missing = sorted(absent - found.keys())
    if missing:
        raise ConfigError(f"key_id {missing[0]} is not in {data}: give the data set that has it with --data")
    complete = []
    for query in queries:
        if query.drawing is None and query.key_id is not None:
            drawing = found[query.key_id]
            query = replace(query, drawing=drawing, word=drawing.word)
        complete.append(replace(query, word=known or query.word))
    return complete
