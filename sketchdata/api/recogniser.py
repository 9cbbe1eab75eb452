"""Recognition of drawings by a trained network.

A trained classifier gives the probabilities of the classes that it learned. A zero-shot network gives embeddings, which
a recogniser compares with one prototype per class, including classes without training drawings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from sketchdata.api.datasets import simplify
from sketchdata.api.default_network import DefaultNetwork
from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.errors import ConfigError, SketchDataError, needs_extra
from sketchdata.formats import tracing
from sketchdata.retrieval.query import Query, read_queries

if TYPE_CHECKING:
    from sketchdata.training.encoder import DrawingNetwork
    from sketchdata.training.explanation import PictureReader
    from sketchdata.training.networks import PictureNetwork
    from sketchdata.zero_shot.recogniser import KeptRecogniser

#: One drawing: as strokes, as a picture (H, W) or (H, W, 3) uint8, or as an .svg or .png file or a line of .ndjson.
Recognisable: TypeAlias = "Drawing | npt.NDArray[np.uint8] | str | PathLike[str]"
#: (class, score), the most likely first.
Prediction: TypeAlias = list[tuple[str, float]]

#: The trainers of zero-shot runs, and of classifiers of drawings and photos, in their run.json.
ZERO_SHOT, DSF = "zsl", "dsf"
#: What `trainer` says of the recogniser in the package.
DEFAULT = "default"
#: {measure: the meaning of its scores}; a higher score is more likely in all of them.
MEANINGS = {
    "probability": "probability by the network's classifier",
    "distance": "minus the squared distance to the class's prototype",
    "cosine": "cosine of the angle to the class's prototype",
    "product": "inner product with the class's prototype",
    "relation": "logit of the relation network that drawing and class belong together",
}


#: How `Recogniser.explain` weighs strokes.
BY_GRADIENT, BY_REMOVAL = "gradient", "removal"


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """How much each stroke of a drawing speaks for a class.

    Attributes:
        word: The class.
        by: `gradient` or `removal`.
        weights: (S,) float64, of the strokes in their order; above 0 for the class, below 0 against it.
        score: Of the class, above the mean score of all classes.
        blank: The score of blank paper, by gradients; None by removal.
    """

    word: str
    by: str
    weights: npt.NDArray[np.float64]
    score: float
    blank: float | None = None


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A class predicted for a drawing.

    Attributes:
        rank: From 1, among the candidates.
        word: Its name.
        score: A higher one is more likely; γ has been subtracted.
        unseen: Whether the class had no training drawings.
        hit: Whether it is the true class of the drawing; None if that is unknown.
    """

    rank: int
    word: str
    score: float
    unseen: bool
    hit: bool | None


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """The classes predicted for a drawing.

    Attributes:
        query: The drawing.
        guesses: The most likely class first; equally likely ones in the order of the class table.
        own_rank: Rank of the true class; None if that is unknown or not among the candidates.
        middle: The median of the candidates' scores.
        note: A note for the reader, or None.
    """

    query: Query
    guesses: tuple[Guess, ...]
    own_rank: int | None
    middle: float
    note: str | None = None

    @property
    def right(self) -> bool | None:
        """Whether the true class is the most likely; None if it is unknown or not among the candidates."""
        return None if self.own_rank is None else self.own_rank == 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Recogniser:
    """A trained network that recognises drawings.

    Attributes:
        trainer: The trainer of the run.
        measure: The meaning of scores, a key of MEANINGS: `probability` except for zero-shot runs.
        classes: The class table of the scores.
        unseen: (L,) bool, the classes without training drawings.
        candidates: (K,) indices into the class table of the classes that can be predicted.
        trained: The network: of a run, or the one that the package ships.
        device: Where to compute.
        data: The data set that the network was trained on, if the run records it.
        gamma: Subtracted from the scores of seen classes.
        kept: The recogniser of a zero-shot run; None for a classifier.

    Example:
        >>> recogniser = sketchdata.Recogniser.load("runs/recognition")
        >>> recogniser.predict("cat.svg")[:2]
        [('cat', 0.91), ('tiger', 0.04)]
    """

    trainer: str
    measure: str
    classes: tuple[str, ...]
    unseen: npt.NDArray[np.bool]
    candidates: npt.NDArray[np.int64]
    trained: DrawingNetwork | DefaultNetwork
    device: str
    data: Path | None = None
    gamma: float = 0.0
    kept: KeptRecogniser | None = None

    @classmethod
    def load(
        cls,
        run: str | PathLike[str],
        *,
        device: str = "auto",
        among: Literal["all", "unseen"] = "all",
        calibrated: bool = True,
        vectors: str | None = None,
        method: str | None = None,
    ) -> Recogniser:
        """Read the network of a finished training on drawings.

        Args:
            run: The training's folder.
            device: Where to compute: `auto`, `cpu`, `cuda`, `cuda:1`.
            among: Zero-shot: predict among all classes, or the unseen ones.
            calibrated: Zero-shot: subtract γ from the scores of seen classes.
            vectors: Zero-shot: class vectors of the recogniser; None for the best on validation classes.
            method: Zero-shot: method of the recogniser; None for the best on validation classes.

        Raises:
            ConfigError: The device or recogniser does not exist, an option is for another kind of run, or torch is not
                installed.
            SketchDataError: The training is not finished, or a file is damaged.
        """
        with needs_extra("recognising", "train"):
            from sketchdata.cross_domain.encoder import holds_space
            from sketchdata.cross_domain.mixing import read_classifier
            from sketchdata.training.distributed import device_of
            from sketchdata.training.encoder import read_encoder
            from sketchdata.training.run_folder import REPORT, read_record
        directory = Path(run)
        record = read_record(directory)
        if not (directory / REPORT).is_file():
            raise SketchDataError(
                f"{directory} has no {REPORT}, so its training did not finish: continue with --resume"
            )
        trained: DrawingNetwork = read_classifier(directory) if holds_space(directory) else read_encoder(directory)
        trainer = str(record.get("trainer"))
        data, where = Path(record["data"]) if record.get("data") else None, str(device_of(device))
        if trainer != ZERO_SHOT:
            given = {
                "--among": among != "all",
                "--plain": not calibrated,
                "--vectors": vectors is not None,
                "--method": method is not None,
            }
            if named := ", ".join(name for name, is_given in given.items() if is_given):
                raise ConfigError(
                    f"{directory} holds a training of {trainer}, whose classifier predicts only the classes that it "
                    f"learned: leave out {named}, or use a run of `sketchdata train zsl`"
                )
            return cls._of_classifier(trainer, trained, where, data)
        from sketchdata.zero_shot.recogniser import choose_recogniser, read_recognisers

        kept = choose_recogniser(read_recognisers(directory), vectors, method)
        own = kept.recogniser
        if own.width != trained.width:
            raise SketchDataError(
                f"{directory}: the recogniser {kept.name} was fitted to embeddings of {own.width:,} values, and the "
                f"network gives {trained.width:,}: train again in another --out"
            )
        return cls(
            trainer=trainer,
            measure=own.compare if isinstance(own.compare, str) else "relation",
            classes=kept.classes,
            unseen=np.isin(np.arange(len(kept.classes)), own.unseen),
            candidates=own.unseen if among == "unseen" else np.arange(len(kept.classes)),
            trained=trained,
            device=where,
            data=data,
            gamma=own.gamma if calibrated and among == "all" else 0.0,
            kept=kept,
        )

    @classmethod
    def default(cls) -> Recogniser:
        """Return the recogniser that the package ships: 345 classes of Quick, Draw!, without torch or a training.

        It is small and quick rather than accurate; `docs/results/default-recogniser.md` has its accuracy per class.
        `explain` and `views` need a training, see `load`.

        Raises:
            SketchDataError: The file in the package is missing or damaged.

        Example:
            >>> ((word, probability),) = sketchdata.Recogniser.default().predict("cat.svg", top=1)
        """
        return cls._of_classifier(DEFAULT, DefaultNetwork.load(), "cpu")

    @classmethod
    def _of_classifier(
        cls, trainer: str, trained: DrawingNetwork | DefaultNetwork, device: str, data: Path | None = None
    ) -> Recogniser:
        count = len(trained.classes)
        return cls(
            trainer=trainer,
            measure="probability",
            classes=trained.classes,
            unseen=np.zeros(count, bool),
            candidates=np.arange(count),
            trained=trained,
            device=device,
            data=data,
        )

    # A str is also a sequence of str, but means one file.
    @overload
    def predict(self, drawings: Recognisable, *, top: int | None = None, views: int = 1) -> Prediction: ...  # type: ignore[overload-overlap]

    @overload
    def predict(
        self, drawings: Sequence[Recognisable], *, top: int | None = None, views: int = 1
    ) -> list[Prediction]: ...

    def predict(
        self, drawings: Recognisable | Sequence[Recognisable], *, top: int | None = None, views: int = 1
    ) -> Prediction | list[Prediction]:
        """Predict the classes of drawings.

        Args:
            drawings: One drawing, or a sequence of them: a Drawing (raw ones are simplified first); a picture of one,
                (H, W) or (H, W, 3) uint8, whose lines are traced; an `.svg` or `.png` file, an `.ndjson` file of one
                drawing, or one line of such a file, `FILE.ndjson#3`.
            top: Number of classes to return; None for all.
            views: Number of views of each drawing whose probabilities are averaged: 1, 2, 10 or 18, see
                `training.voting`. Not for zero-shot runs.

        Returns:
            For one drawing, (class, probability) pairs, the most likely first, equally likely ones in the order of the
            class table; for a sequence, a list of such lists. Zero-shot runs give scores, see `measure` and MEANINGS.

        Raises:
            ConfigError: The file does not exist or holds several drawings, an array is not a picture, or `views` is
                invalid.
            SketchDataError: A file is damaged, or does not hold a drawing.
        """
        if isinstance(drawings, (Drawing, np.ndarray, str, PathLike)):
            return self.predict([drawings], top=top, views=views)[0]
        if top is not None and top < 1:
            raise ConfigError(f"top must be 1 or more, not {top}")
        found = list[Prediction]()
        for row in self.scores([_drawing_of(one) for one in drawings], views=views):
            places = self.candidates[np.argsort(-row[self.candidates], kind="stable")][:top].tolist()
            found.append([(self.classes[place], float(row[place])) for place in places])
        return found

    def scores(self, drawings: Sequence[Drawing], *, views: int = 1) -> npt.NDArray[np.floating[Any]]:
        """Return the scores of M simplified drawings for all L classes, (M, L), see `measure`.

        Raises:
            ConfigError: `views` is invalid, or more than 1 for a zero-shot run, whose scores cannot be averaged, or for
                the default recogniser.
        """
        if isinstance(self.trained, DefaultNetwork):
            if views != 1:
                raise ConfigError("views are for trainings, and the default recogniser sees a drawing once")
            return self.trained.probabilities(drawings)
        from sketchdata.training.encoder import embed, probabilities
        from sketchdata.training.packed import pack
        from sketchdata.training.voting import check_views, vote_all

        check_views(views)
        if views > 1 and self.kept is not None:
            raise ConfigError("views are for classifiers, and a zero-shot run compares prototypes: leave out --views")
        words = Words()
        packed = pack([to_batch(drawings, words)], tuple(words.names))
        if views > 1:
            return vote_all(self.trained, packed, views, device=self.device)
        numbers = embed(self.trained, packed, device=self.device)
        if self.kept is None:
            return probabilities(self.trained, numbers, device=self.device)
        return self.kept.recogniser.scores(numbers, calibrated=self.gamma != 0)

    def explain(self, drawing: Recognisable, *, word: str | None = None, by: str = BY_GRADIENT) -> Explanation:
        """Weigh the strokes of a drawing by how much they speak for a class.

        Args:
            drawing: One, as for `predict`.
            word: The class; None for the most probable one.
            by: `gradient`: integrated gradients of the class's score, see `training.explanation`; their sum is the
                score of the drawing less that of blank paper. `removal`: how much the score falls without the stroke; a
                single stroke has all of the score.

        Raises:
            ConfigError: There is no such class or way, or gradients are asked of a zero-shot run.
            SketchDataError: The file is damaged, or holds no drawing.

        Example:
            >>> recogniser.explain("cat.svg").weights
            array([2.1, -0.3, 0.8])
        """
        trained = self.run_network("explaining")
        own = _drawing_of(drawing)
        if by not in (BY_GRADIENT, BY_REMOVAL):
            raise ConfigError(f"strokes are weighed by {BY_GRADIENT} or {BY_REMOVAL}, not by {by}")
        if word is None:
            ((word, _),) = self.predict(own, top=1)
        if word not in self.classes:
            raise ConfigError(f"the network does not know the class {word!r}")
        label = self.classes.index(word)
        if by == BY_GRADIENT:
            if self.kept is not None:
                raise ConfigError(f"a zero-shot run compares prototypes, without gradients: weigh by {BY_REMOVAL}")
            from sketchdata.training.explanation import gradient_weights

            weights, score, blank = gradient_weights(trained, own, label, device=self.device)
            return Explanation(word=word, by=by, weights=weights, score=score, blank=blank)
        from sketchdata.training.explanation import without_strokes

        scores = self.scores([own, *without_strokes(own)]).astype(np.float64)
        if self.measure == "probability":
            scores = np.log(np.maximum(scores, np.finfo(np.float64).tiny))
        above = scores[:, label] - scores[:, self.candidates].mean(1)
        weights = above[0] - above[1:] if len(above) > 1 else above[:1]
        return Explanation(word=word, by=by, weights=weights, score=float(above[0]))

    def picture_network(self) -> PictureNetwork:
        """Return the network's picture branch.

        Raises:
            ConfigError: It has none.
        """
        trained: Any = self.run_network("the picture branch")
        network = trained.encoder.branch("drawings").trunk if self.trainer == DSF else trained.fusion.picture
        if network is None:
            raise ConfigError("the network reads points alone (--branch rnn), and has no pictures to show")
        found: PictureNetwork = network
        return found

    def picture_reader(self) -> PictureReader:
        """Return the picture branch and how pictures become its input, see `training.explanation`.

        Raises:
            ConfigError: There is none, or it reads the order of strokes, which pictures do not have.
        """
        from sketchdata.training.explanation import PictureReader, ink_reader

        trained: Any = self.run_network("the picture branch")
        trunk, size = self.picture_network(), int(trained.view.size or 0)
        if self.trainer != DSF:
            return ink_reader(trunk, size)
        encoder = trained.encoder
        return PictureReader(
            trunk=trunk.eval(), size=size, read=lambda x: (x - encoder.mean) / encoder.std, colours=True
        )

    def run_network(self, work: str) -> DrawingNetwork:
        """Return the network of a run, for work that needs one.

        Raises:
            ConfigError: This is the recogniser of the package.
        """
        if isinstance(self.trained, DefaultNetwork):
            raise ConfigError(f"{work} needs a training, and this is the default recogniser: give a run")
        return self.trained

    def rank(self, scores: npt.NDArray[np.floating[Any]], query: Query, top: int) -> Recognition:
        """Rank the classes of a drawing by its scores of all classes, (L,)."""
        among, word, note = scores[self.candidates], query.word, None
        places: list[int] = self.candidates[np.argsort(-among, kind="stable")].tolist()
        own = self.classes.index(word) if word in self.classes else None
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
        if word is not None and own is None:
            note = f"there is no {word!r} among the {len(self.classes):,} classes to recognise"
        elif word is not None and own_rank is None:
            note = f"{word!r} is a seen class, not among the {len(self.candidates):,} unseen ones"
        middle = float(np.median(among))
        return Recognition(query=query, guesses=guesses, own_rank=own_rank, middle=middle, note=note)


def _drawing_of(one: Recognisable) -> Drawing:
    if isinstance(one, np.ndarray):
        if one.dtype != np.uint8 or not (one.ndim == 2 or (one.ndim == 3 and one.shape[2] == 3)) or not one.size:
            raise ConfigError(
                f"a picture of a drawing is (H, W) or (H, W, 3) uint8, not {one.dtype} of shape {one.shape}: give a "
                "list of pictures where there are several"
            )
        return tracing.trace(np.ascontiguousarray(one if one.ndim == 3 else np.repeat(one[:, :, None], 3, axis=2)))
    if isinstance(one, Drawing):
        return simplify(one)
    (query, *more) = read_queries(str(one))
    if more or query.drawing is None:
        raise ConfigError(
            f"{one} holds {1 + len(more):,} drawings: name a line of it, as in {one}#3, or give "
            f"sketchdata.read({str(one)!r})"
        )
    return query.drawing
