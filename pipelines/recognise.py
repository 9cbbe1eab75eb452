"""Recognise drawings by a trained network: files become drawings, drawings become numbers, numbers become classes.

The classifier of a training gives probabilities of the classes that it learned. A zero-shot training's network gives
numbers that a recogniser compares with a prototype of every class, also of those of which no drawing was learned from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt

from sketchdata.catalog import choose_classes
from sketchdata.config import option
from sketchdata.dataset import open_dataset
from sketchdata.drawing import Words, to_batch
from sketchdata.errors import ConfigError, SketchDataError, needs_extra
from sketchdata.query import MAX_QUERIES, Query, find_drawings, parse_key_id, read_queries

if TYPE_CHECKING:
    from sketchdata.encoder import Trained
    from sketchdata.packed import PackedSketches
    from sketchdata.zero_shot.store import KeptRecogniser

#: Of sketchdata/run_folder.py's records.
_ZERO_SHOT = "zsl"
#: What scores are, by how drawings are compared with prototypes; higher is likelier for all of them.
MEANINGS = {
    "probability": "probability by the network's classifier",
    "distance": "minus the squared distance to the class's prototype",
    "cosine": "cosine of the angle to the class's prototype",
    "product": "inner product with the class's prototype",
    "relation": "logit of the relation network that drawing and class belong together",
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is asked, of which recogniser."""

    top: int = option(10, help="Likeliest classes to show, at most.", type=click.IntRange(1))
    among: str = option(
        "all", help="Zero-shot: among all classes, or the unseen ones.", type=click.Choice(["all", "unseen"])
    )
    plain: bool = option(False, help="Zero-shot: do not take γ off the scores of seen classes.")
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
        help="Built data set in which to look up key_ids. Default: what the network learned from.",
        type=click.Path(file_okay=False, path_type=Path),
    )
    word: str | None = option(
        None, help="What the drawings show, whatever they say themselves.", param_decls=["--class"], metavar="WORD"
    )
    device: str = option("auto", help="Where to compute: auto, cpu, cuda, cuda:1.")


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A class that a drawing may be of.

    Attributes:
        rank: From 1, among the candidates.
        word: Its name.
        score: Higher is likelier; γ is taken off already.
        unseen: Whether no drawing of it was learned from.
        hit: Whether it is the drawing's own class; None where that is not known.
    """

    rank: int
    word: str
    score: float
    unseen: bool
    hit: bool | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a drawing was taken for.

    Attributes:
        query: The drawing.
        guesses: The likeliest class first; of equally likely ones, the first in the class table.
        own_rank: Of its own class among the candidates; None where that is not known, or not among them.
        middle: The median of the candidates' scores.
        note: What its reader should know; None where there is nothing.
    """

    query: Query
    guesses: tuple[Guess, ...]
    own_rank: int | None
    middle: float
    note: str | None = None

    @property
    def right(self) -> bool | None:
        """Whether its own class is the likeliest; None where that is not known, or not among the candidates."""
        return None if self.own_rank is None else self.own_rank == 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """What drawings are recognised by.

    Attributes:
        trainer: Of the run.
        measure: What scores are: a key of MEANINGS.
        classes: The class table of the scores.
        unseen: (L,) bool.
        candidates: (K,) places in the class table.
        gamma: What is taken off the scores of seen classes.
        kept: The recogniser; None of a classifier.
    """

    trainer: str
    measure: str
    classes: tuple[str, ...]
    unseen: npt.NDArray[np.bool_]
    candidates: npt.NDArray[np.int64]
    gamma: float = 0.0
    kept: KeptRecogniser | None = None

    def rank(self, scores: npt.NDArray[np.floating[Any]], query: Query, top: int) -> Answer:
        """Return what a drawing is taken for by its scores of all classes, (L,)."""
        among = scores[self.candidates]
        places: list[int] = self.candidates[np.argsort(-among, kind="stable")].tolist()
        own = self.classes.index(query.word) if query.word in self.classes else None
        guesses = tuple(
            Guess(
                rank=rank,
                word=self.classes[place],
                score=float(scores[place]),
                unseen=bool(self.unseen[place]),
                hit=None if own is None else place == own,
            )
            for rank, place in enumerate(places[:top], 1)
        )
        own_rank = places.index(own) + 1 if own in places else None
        return Answer(
            query=query,
            guesses=guesses,
            own_rank=own_rank,
            middle=float(np.median(among)),
            note=self._note(query.word) if own_rank is None else None,
        )

    def _note(self, word: str | None) -> str | None:
        if word is None:
            return None
        if word in self.classes:
            return f"{word!r} is a seen class, not among the {len(self.candidates):,} unseen ones"
        return f"there is no {word!r} among the {len(self.classes):,} classes to recognise"


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What was recognised, and by what.

    Attributes:
        judge: What drawings were recognised by.
        answers: In the order of the drawings.
    """

    judge: Judge
    answers: tuple[Answer, ...]


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
    with needs_extra("recognising", "train"):
        from sketchdata.encoder import read_encoder
        from sketchdata.packed import pack
        from sketchdata.ranks import device_of
        from sketchdata.run_folder import REPORT, read_record
    record = read_record(directory)
    if not (directory / REPORT).is_file():
        raise SketchDataError(f"{directory} has no {REPORT}, so its training did not finish: go on with --resume")
    trained = read_encoder(directory)
    judge = _judge(directory, record, trained, config)
    queries = _read(files, judge.classes, config.data or Path(record.get("data") or "."), config.word)
    words = Words()
    packed = pack([to_batch([query.drawing for query in queries if query.drawing], words)], tuple(words.names))
    scores = _scores(trained, judge, packed, str(device_of(config.device)))
    answers = (judge.rank(row, query, config.top) for row, query in zip(scores, queries, strict=True))
    return Answers(judge=judge, answers=tuple(answers))


# ---- what recognises -------------------------------------------------------------------------------------------------


def _judge(directory: Path, record: dict[str, Any], trained: Trained, config: Config) -> Judge:
    trainer, count = str(record.get("trainer")), len(trained.classes)
    if trainer != _ZERO_SHOT:
        _refuse_zero_shot_options(directory, trainer, config)
        return Judge(
            trainer=trainer,
            measure="probability",
            classes=trained.classes,
            unseen=np.zeros(count, bool),
            candidates=np.arange(count),
        )
    from sketchdata.zero_shot.store import choose_recogniser, read_recognisers

    kept = choose_recogniser(read_recognisers(directory), config.vectors, config.method)
    own = kept.recogniser
    if own.width != trained.width:
        raise SketchDataError(
            f"{directory}: the recogniser {kept.name} was fitted to {own.width:,} numbers a drawing, and the network "
            f"gives {trained.width:,}: train again in another --out"
        )
    return Judge(
        trainer=trainer,
        measure=own.compare if isinstance(own.compare, str) else "relation",
        classes=kept.classes,
        unseen=np.isin(np.arange(len(kept.classes)), own.unseen),
        candidates=own.unseen if config.among == "unseen" else np.arange(len(kept.classes)),
        gamma=0.0 if config.plain or config.among == "unseen" else own.gamma,
        kept=kept,
    )


def _refuse_zero_shot_options(directory: Path, trainer: str, config: Config) -> None:
    given = {
        "--among": config.among != "all",
        "--plain": config.plain,
        "--vectors": config.vectors is not None,
        "--method": config.method is not None,
    }
    if any(given.values()):
        named = ", ".join(name for name, is_given in given.items() if is_given)
        raise ConfigError(
            f"{directory} holds a training of {trainer}, whose classifier knows the classes that it learned and no "
            f"others: leave out {named}, or take a run of `sketchdata train zsl`"
        )


def _scores(trained: Trained, judge: Judge, packed: PackedSketches, device: str) -> npt.NDArray[np.floating[Any]]:
    """Return how likely each drawing is of each class: (M, L)."""
    from sketchdata.encoding import outputs, probabilities

    numbers = outputs(trained, packed, device=device)
    if judge.kept is None:
        return probabilities(trained, numbers, device=device)
    return judge.kept.recogniser.scores(numbers, calibrated=judge.gamma != 0)


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
