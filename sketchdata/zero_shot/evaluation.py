"""How well a zero-shot training recognises drawings of classes that nothing was learnt from, by all its recognisers.

Each drawing of a split is encoded once, and scored by each recogniser of the run's folder. At the paper's scale,
345,000 drawings and 4,096 numbers, that is 5.7 GB of features, and 0.5 GB of scores at a time, with a few copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from sketchdata.bitmaps import identity
from sketchdata.charts import Cloud, embeddings, save
from sketchdata.encoder import read_encoder
from sketchdata.encoding import outputs
from sketchdata.errors import SketchDataError
from sketchdata.evaluation import JSON_FILE, TABLE_FILE
from sketchdata.hashing_evaluation import GALLERY, Subject
from sketchdata.manifest import replacing
from sketchdata.progress import task_bar
from sketchdata.run_folder import REPORT, read_record
from sketchdata.zero_shot.comparison import unit
from sketchdata.zero_shot.experiment import Asked, Roster, measure_recogniser, read_roster
from sketchdata.zero_shot.report import zero_shot_markdown
from sketchdata.zero_shot.store import KeptRecogniser, choose_recogniser, read_recognisers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Matrix: TypeAlias = npt.NDArray[np.float64]

PICTURE_FILE = "embeddings.svg"
#: Classes that the picture shows, and drawings of each, at most.
MOST_CLASSES, MOST_DRAWINGS = 10, 60


def evaluate_zero_shot(
    run: Path, data: Path | None, split: str = GALLERY, *, device: str, batch_size: int
) -> dict[str, Any]:
    """Evaluate all recognisers of a run folder, and write JSON, Markdown and a picture into it.

    The chosen recogniser is the one that recognised validation classes best; nothing here has a say in that.

    Args:
        run: The folder.
        data: The data set; None for the one that the network learned from.
        split: Its split to recognise.
        device: Where to compute.
        batch_size: Drawings at a time.

    Returns:
        What was written as JSON.

    Raises:
        ConfigError: There is no such split, it lacks a class, or has no drawing of an unseen one.
        SketchDataError: The training is not whole, or something is damaged.
    """
    record = read_record(run)
    if not (run / REPORT).exists():
        raise SketchDataError(f"{run} has no {REPORT}, so its training did not finish: go on with --resume")
    roster, kept = read_roster(record, run), read_recognisers(run)
    for each in kept:
        _check_fits(each, roster, run)
    place = Path(record["data"]) if data is None else data
    subject = Subject(trained=read_encoder(run), data=place, device=device, batch_size=batch_size)
    packed = subject.drawings(split, roster.classes)
    asked = Asked(
        features=outputs(subject.trained, packed, device=device, batch_size=batch_size),
        labels=packed.labels.cpu().numpy().astype(np.int64),
        roster=roster,
    )
    found = dict(_measured(kept, asked))
    chosen = choose_recogniser(kept)
    picture, about = draw_embeddings(chosen, asked, found[chosen.name]["by_class"])
    values = {
        "split": split,
        "manifest": identity(place)[1],
        "drawings": found[chosen.name]["drawings"],
        "classes": {
            "seen": list(roster.seen),
            "validation": list(roster.validation),
            "unseen": list(roster.unseen),
            "left_out": list(roster.left_out),
        },
        "chosen": chosen.name,
        "recognisers": found,
        "picture": about,
    }
    save(picture, run / PICTURE_FILE)
    _write(run, values)
    return values


def _check_fits(kept: KeptRecogniser, roster: Roster, run: Path) -> None:
    if kept.classes != roster.classes or not np.array_equal(kept.recogniser.unseen, roster.places()):
        raise SketchDataError(
            f"the recogniser {kept.name} in {run} is of other classes, or saw others, than the record of the training "
            "says: it belongs to another run; remove it"
        )


def _measured(kept: list[KeptRecogniser], asked: Asked) -> Iterator[tuple[str, dict[str, Any]]]:
    with task_bar() as bar:
        shown = bar.add_task("Recognising", total=len(kept))
        for each in kept:
            yield each.name, measure_recogniser(each, asked)
            bar.update(shown, advance=1)


def draw_embeddings(
    kept: KeptRecogniser, asked: Asked, by_class: Mapping[str, Mapping[str, Any]]
) -> tuple[Figure, dict[str, Any]]:
    """Draw where a recogniser places drawings and prototypes of some unseen classes.

    Where it compares directions alone, all lengths are made 1 first.

    Args:
        kept: The recogniser.
        asked: The drawings.
        by_class: What `measure_recogniser` says of the classes.

    Returns:
        The figure, and what it shows as plain values.
    """
    recogniser, roster = kept.recogniser, asked.roster
    turned = recogniser.compare in ("cosine", "product")
    shown: list[tuple[str, Matrix, Matrix]] = []
    for word in spread_by_accuracy({word: own["zsl"] for word, own in by_class.items()}):
        place = roster.classes.index(word)
        rows = np.flatnonzero(asked.labels == place)
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_DRAWINGS)).astype(np.int64)]
        drawings = recogniser.embedded(asked.features[rows]).astype(np.float64)
        prototype = recogniser.prototypes[place : place + 1]
        if turned:
            drawings, prototype = unit(drawings), unit(prototype)
        shown.append((word, drawings, prototype.astype(np.float64)))
    plane = principal_plane(np.concatenate([drawings for _, drawings, _ in shown]))
    clouds = [
        Cloud(
            word=word,
            hit=by_class[word]["zsl"],
            drawings=plane.project(drawings),
            prototype=plane.project(prototype)[0],
        )
        for word, drawings, prototype in shown
    ]
    about = {"classes": [cloud.word for cloud in clouds], "drawings": sum(len(cloud.drawings) for cloud in clouds)}
    caption = _caption(recogniser.compare, len(clouds), len(by_class), plane.share)
    return embeddings(clouds, f"Embeddings of {kept.name}", caption), {**about, "variance": plane.share}


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """The two directions along which drawings vary most.

    Attributes:
        centre: (D,), the mean of the drawings.
        axes: (2, D), of length 1 and at right angles; zeros where drawings vary in fewer directions.
        share: Of the drawings' variance, what the plane shows: 0 to 1.
    """

    centre: Matrix
    axes: Matrix
    share: float

    def project(self, rows: Matrix) -> Matrix:
        """Return rows on the plane: (N, D) → (N, 2)."""
        return np.asarray((rows - self.centre) @ self.axes.T)


def principal_plane(rows: Matrix) -> Plane:
    """Find the plane by principal components: (N, D).

    Of an axis and its opposite, that is taken whose largest number is positive, so that the picture is always the same.
    """
    centre = rows.mean(axis=0)
    _, sizes, directions = np.linalg.svd(rows - centre, full_matrices=False)
    axes = np.zeros((2, rows.shape[1]))
    axes[: len(directions)] = directions[:2]
    largest = axes[np.arange(2), np.abs(axes).argmax(axis=1)]
    total = float(np.square(sizes).sum())
    share = float(np.square(sizes[:2]).sum()) / total if total else 0.0
    return Plane(centre=centre, axes=axes * np.where(largest < 0, -1, 1)[:, None], share=share)


def spread_by_accuracy(hits: Mapping[str, float], most: int = MOST_CLASSES) -> list[str]:
    """Choose classes evenly from the one that is recognised best to the worst; equal ones stand as they are given."""
    order = sorted(hits, key=lambda word: -hits[word])
    return [
        order[place] for place in np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round()).astype(int)
    ]


def _caption(compare: Any, shown: int, classes: int, share: float) -> str:
    way = {
        "distance": "",
        "cosine": " All lengths were made 1 first, as this recogniser compares directions.",
        "product": " All lengths were made 1 first; this recogniser weighs directions by the lengths of prototypes.",
    }
    network = " This recogniser compares by a network, so that nearness in the picture says little."
    return (
        f"{shown} of {classes} unseen classes, evenly from the one that is recognised best to the worst; up to "
        f"{MOST_DRAWINGS} drawings of each. Small marks are drawings, large ones prototypes, which no drawing of these "
        "classes was used for; a line goes from each prototype to the mean of its class's drawings shown. A projection "
        f"onto the first two principal components of these drawings, which hold {share:.1%} of their variance: what is "
        f"apart may seem near.{way.get(compare, network) if isinstance(compare, str) else network}"
    )


def _write(run: Path, values: dict[str, Any]) -> None:
    pages = {
        JSON_FILE: orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
        TABLE_FILE: zero_shot_markdown(values, PICTURE_FILE).encode(),
    }
    for name, content in pages.items():
        with replacing(run / name) as file:
            file.write(content)
