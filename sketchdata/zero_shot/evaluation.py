"""Evaluation of a zero-shot training: how well its recognisers recognise drawings of unseen classes.

Each drawing of a split is encoded once, and scored by each recogniser of the run's folder. At the paper's scale,
345,000 drawings and features of width 4,096, that is 5.7 GB of features, and 0.5 GB of scores at a time, with a few
copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sketchdata.display.charts import Cloud, embeddings, save
from sketchdata.errors import SketchDataError
from sketchdata.names import cell_of
from sketchdata.progress import task_bar
from sketchdata.retrieval.code_evaluation import Evaluator
from sketchdata.retrieval.evaluation import JSON_FILE, TABLE_FILE
from sketchdata.storage.manifest import replacing
from sketchdata.training.bitmaps import identity
from sketchdata.training.encoder import embed, read_encoder
from sketchdata.training.run_folder import REPORT, read_record, table_of, write_json
from sketchdata.zero_shot.measures import RANKS, accuracy_by_class, chance_of_hit, confusion_pairs, measure_zero_shot
from sketchdata.zero_shot.recogniser import KeptRecogniser, choose_recogniser, read_recognisers, unit
from sketchdata.zero_shot.training_set import Features, Labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: How many confused pairs and hubs a report lists.
_PAIRS, _HUBS = 20, 10
_PARTS = {"zsl": "ZSL", "gzsl": "GZSL", "calibrated": "GZSL with γ"}
_SIDES = {"unseen": "U", "seen": "S", "harmonic": "H"}


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """The classes of a zero-shot experiment.

    Attributes:
        classes: All L, in the order of prototypes.
        seen: Those to learn from, validation classes among them.
        validation: Those by which constants and recognisers were chosen.
        unseen: The others.
        left_out: Classes of the data that are none of these.
    """

    classes: tuple[str, ...]
    seen: tuple[str, ...]
    validation: tuple[str, ...]
    unseen: tuple[str, ...]
    left_out: tuple[str, ...]

    def places(self) -> Labels:
        """Return the places of the unseen classes: int64, ascending."""
        return np.flatnonzero(np.isin(self.classes, self.unseen)).astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationSet:
    """N drawings: (N, F) float32 features, (N,) int64 places in the class table, and the table."""

    features: Features
    labels: Labels
    table: ClassTable


def read_class_table(record: Mapping[str, Any], run: Path) -> ClassTable:
    """Return the classes of a zero-shot experiment from the record of a run folder.

    Raises:
        SketchDataError: The record is of another training, or its seen and unseen classes are not all of its classes.
    """
    if not record.get("zero_shot"):
        raise SketchDataError(f"{run} is not a run of `sketchdata train zsl`")
    try:
        found = {name: tuple(record["zero_shot"][name]) for name in ClassTable.__dataclass_fields__}
    except (KeyError, TypeError) as error:
        raise SketchDataError(f"{run} is not a run of `sketchdata train zsl`: its record lacks {error}") from error
    table = ClassTable(**found)
    if sorted(table.seen + table.unseen) != sorted(table.classes) or not table.unseen:
        raise SketchDataError(f"{run} is damaged: the seen and unseen classes of its record are not its classes")
    return table


def measure_recogniser(kept: KeptRecogniser, data: EvaluationSet) -> dict[str, Any]:
    """Measure one recogniser by `measure_zero_shot`, with classes by name and its confusions, as plain values.

    Raises:
        ConfigError: There is no drawing of an unseen class.
    """
    table, recogniser = data.table, kept.recogniser
    scores, unseen = recogniser.scores(data.features), table.places()
    values = measure_zero_shot(scores, data.labels, unseen, recogniser.gamma)
    new = np.isin(data.labels, unseen)
    whole, labels = scores[new], data.labels[new]
    lowered = whole - recogniser.gamma * ~np.isin(np.arange(len(table.classes)), unseen)
    predicted = unseen[whole[:, unseen].argmax(axis=1)]
    values |= {
        "source": kept.source,
        "method": kept.method,
        "validation_hit": recogniser.validation_hit,
        "constants": dict(recogniser.constants),
        "by_class": _by_class(predicted, {"gzsl": whole, "calibrated": lowered}, labels, table),
        "confusions": [
            {
                "class": table.classes[pair.label],
                "predicted": table.classes[pair.predicted],
                "drawings": pair.count,
                "share": pair.share,
            }
            for pair in confusion_pairs(predicted, labels, _PAIRS)
        ],
        "hubs": {"unseen": _hubs(predicted, labels, table), "all": _hubs(whole.argmax(axis=1), labels, table)},
    }
    # What guessing gives, of measures that have no chance beside them.
    candidates, validation = len(table.unseen), len(table.validation)
    hubness = {f"N_{k}": chance_of_hubness(k, candidates, len(labels)) for k in (1, 10) if k < candidates}
    values["chance"] = {
        "harmonic": chance_of_hit(1, len(table.classes)),
        "validation": chance_of_hit(1, validation) if validation else None,
        "hubness": hubness,
    }
    return {**values, "below_chance": _below_chance(values)}


def _by_class(
    predicted: Labels, scores: Mapping[str, npt.NDArray[np.floating[Any]]], labels: Labels, table: ClassTable
) -> dict[str, dict[str, Any]]:
    shares = {"zsl": accuracy_by_class(predicted, labels)}
    shares |= {name: accuracy_by_class(own.argmax(axis=1), labels) for name, own in scores.items()}
    # The first pair of a class is its most frequent one.
    pairs = {pair.label: pair for pair in reversed(confusion_pairs(predicted, labels, len(table.classes) ** 2))}
    sizes = np.bincount(labels)
    return {
        table.classes[place]: {
            "drawings": int(sizes[place]),
            **{name: own[place] for name, own in shares.items()},
            "predicted": table.classes[pairs[place].predicted] if place in pairs else None,
            "share": pairs[place].share if place in pairs else 0.0,
        }
        for place in shares["zsl"]
    }


def _hubs(predicted: Labels, labels: Labels, table: ClassTable) -> list[dict[str, Any]]:
    """Return the classes whose predictions outnumber their drawings most."""
    sizes, counts = (np.bincount(each, minlength=len(table.classes)) for each in (labels, predicted))
    order = np.argsort(sizes - counts, kind="stable")[:_HUBS]
    return [
        {
            "class": table.classes[place],
            "drawings": int(sizes[place]),
            "predicted": int(counts[place]),
            "seen": table.classes[place] in table.seen,
        }
        for place in order.tolist()
        if counts[place] > sizes[place]
    ]


def chance_of_hubness(k: int, candidates: int, drawings: int) -> float:
    """Return the skewness of N_k if each drawing's k most likely candidates are random: a binomial's."""
    share = k / candidates
    return float((1 - 2 * share) / np.sqrt(drawings * share * (1 - share)))


def _below_chance(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = [
        (f"{title} {name}", values[part][name], level)
        for part, title in _PARTS.items()
        for name, level in values[part]["chance"].items()
    ]
    for stack, ending in (("harmonic", ""), ("harmonic_calibrated", " with γ")):
        sides = values.get(stack, {})
        found += [(f"{_SIDES[name]}{ending}", value, values["chance"]["harmonic"]) for name, value in sides.items()]
    return [{"measure": name, "value": value, "chance": level} for name, value, level in found if value < level]


_NONE = "–"
_STACKS = ("harmonic", "harmonic_calibrated")


def zero_shot_markdown(values: Mapping[str, Any], picture: str) -> str:
    """Return the values of `evaluate_zero_shot` as a page; `picture` is the file of the picture of embeddings."""
    chosen = values["recognisers"][values["chosen"]]
    lines = [f"# Zero-shot recognition of {cell_of(values['split'])}", "", *_definition(values), ""]
    lines += ["## Recognisers", "", *_recognisers(values), "", *_warnings(values["recognisers"])]
    lines += [f"## Results of {cell_of(values['chosen'])}", "", f"![embeddings and prototypes]({picture})", ""]
    lines += ["### Classes", "", *_classes(chosen), "", "### Most confused", ""]
    if chosen["confusions"]:
        lines += ["| class | predicted | drawings | share of the class |", "|---|---|--:|--:|"]
        lines += [
            f"| {cell_of(pair['class'])} | {cell_of(pair['predicted'])} | {pair['drawings']:,} | {pair['share']:.3f} |"
            for pair in chosen["confusions"]
        ]
    else:
        lines.append("No other unseen class was predicted for any drawing.")
    lines += [
        "",
        "### Hubs",
        "",
        "Classes that are predicted for more drawings of unseen classes than there are of them.",
    ]
    for name, among in (("unseen", "Among unseen classes"), ("all", "Among all classes, without γ")):
        hubs = chosen["hubs"][name]
        if not hubs:
            lines += ["", f"{among}: none."]
            continue
        lines += ["", f"{among}:", "", "| class | its drawings | predicted | |", "|---|--:|--:|---|"]
        lines += [
            f"| {cell_of(hub['class'])} | {hub['drawings']:,} | {hub['predicted']:,} | "
            f"{'seen' if hub['seen'] else 'unseen'} |"
            for hub in hubs
        ]
    return "\n".join(lines) + "\n"


def _definition(values: Mapping[str, Any]) -> Iterator[str]:
    drawings, classes = values["drawings"], values["classes"]
    unseen, seen = len(classes["unseen"]), len(classes["seen"])
    whole = unseen + seen
    yield (
        f"{drawings['unseen']:,} drawings of {unseen:,} unseen classes and {drawings['seen']:,} of {seen:,} seen ones, "
        f"all of {cell_of(values['split'])}; {len(classes['validation']):,} of the seen classes are validation "
        f"classes. Chance of hit@1 is {1 / unseen:.4f} among unseen classes and {1 / whole:.4f} among all."
    )
    if values["split"] == PAPER_SPLIT:
        yield ""
        yield (
            f"`{PAPER_SPLIT}` is the paper's split. Its drawings of the classes that the network learned also chose "
            "the epoch of each stage; those of unseen classes chose nothing."
        )
    if classes["left_out"]:
        words = ", ".join(map(cell_of, classes["left_out"]))
        yield ""
        yield f"Left out of the experiment: {words}."
    yield ""
    yield (
        "ZSL hit@k: the share of drawings of unseen classes whose class is among the k most likely unseen classes. "
        "GZSL hit@k: the same drawings, and the k most likely of all classes, as in the paper (Xu et al., Tables IX "
        "and X). Equal scores count as in random order."
    )
    yield ""
    yield (
        "U and S: the accuracy among all classes on drawings of unseen and of seen classes, averaged over classes; H: "
        "their harmonic mean (Xian et al., TPAMI 2019). With γ: a constant, chosen by validation classes, is "
        "subtracted from the scores of seen classes (Chao et al., ECCV 2016). N_k: the skewness of how often each "
        "unseen class is among the k most likely unseen ones; high where a few hubs attract drawings of all others."
    )
    yield ""
    how = "by validation classes, before any drawing of an unseen class was evaluated"
    if values["recognisers"][values["chosen"]]["validation_hit"] is None:
        how = "as the first by name, since there were no validation classes to choose by"
    yield (
        f"**{cell_of(values['chosen'])}** was chosen {how}, and never by this table. The others are listed for "
        "comparison; to choose the best of them would be to choose by the unseen classes."
    )


def _recognisers(values: Mapping[str, Any]) -> Iterator[str]:
    hits = [f"{title} hit@{k}" for title in ("ZSL", "GZSL") for k in RANKS]
    heads = ["recogniser", "validation hit@1", *hits, "U", "S", "H", "γ", "U, γ", "S, γ", "H, γ", "N_1", "N_10"]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'--:|' * (len(heads) - 1)}"
    first = next(iter(values["recognisers"].values()))
    level = first["chance"]
    cells = [_number(first[part]["chance"].get(f"hit@{k}")) for part in ("zsl", "gzsl") for k in RANKS]
    chance = [_number(level["harmonic"])] * 3 if "harmonic" in first else [_NONE] * 3
    tails = [_number(level["hubness"].get(f"N_{k}"), 2) for k in (1, 10)]
    validation = _number(level["validation"])
    yield f"| *chance* | {' | '.join([validation, *cells, *chance, '', *chance, *tails])} |"
    for name, own in values["recognisers"].items():
        title = f"**{cell_of(name)}** (chosen)" if name == values["chosen"] else cell_of(name)
        sides = [[_number(own[stack][side]) if stack in own else _NONE for side in _SIDES] for stack in _STACKS]
        cells = [_number(own[part].get(f"hit@{k}")) for part in ("zsl", "gzsl") for k in RANKS]
        tails = [_number(own["hubness"].get(f"N_{k}"), 2) for k in (1, 10)]
        cells = [title, _number(own["validation_hit"]), *cells, *sides[0], f"{own['gamma']:.4g}", *sides[1], *tails]
        yield f"| {' | '.join(cells)} |"


def _warnings(recognisers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    below = [(name, each) for name, own in recognisers.items() for each in own["below_chance"]]
    if not below:
        return
    yield "**Warning: below chance.** Guessing would be better than:"
    yield ""
    for name, each in below:
        yield f"- {cell_of(name)}: {each['measure']} {each['value']:.4f}, chance {each['chance']:.4f}"
    yield ""
    if any(each["measure"].startswith(("GZSL", "U")) for _, each in below):
        yield (
            "Among all classes, seen ones are easily predicted for drawings of unseen classes, since their prototypes "
            "were learned from drawings; γ makes up for that."
        )
        yield ""


def _classes(chosen: Mapping[str, Any]) -> Iterator[str]:
    yield "| class | drawings | ZSL hit@1 | GZSL hit@1 | GZSL hit@1, γ | predicted instead | share of the class |"
    yield "|---|--:|--:|--:|--:|---|--:|"
    level, whole = chosen["zsl"]["chance"]["hit@1"], chosen["gzsl"]["chance"]["hit@1"]
    yield f"| *chance* | | {level:.4f} | {whole:.4f} | {whole:.4f} | | |"
    by_class = chosen["by_class"]
    for word in sorted(by_class, key=lambda word: (by_class[word]["zsl"], word)):
        own = by_class[word]
        other = _NONE if own["predicted"] is None else cell_of(own["predicted"])
        yield (
            f"| {cell_of(word)} | {own['drawings']:,} | {own['zsl']:.4f} | {own['gzsl']:.4f} | "
            f"{own['calibrated']:.4f} | {other} | {own['share']:.3f} |"
        )
    yield ""
    yield "The worst first; the class predicted instead is another unseen class."


def _number(value: float | None, digits: int = 4) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"


Matrix: TypeAlias = npt.NDArray[np.float64]

PICTURE_FILE = "embeddings.svg"
#: The most classes in the picture, and drawings of each.
MOST_CLASSES, MOST_DRAWINGS = 10, 60
#: Xu et al., section IV-B: the 145,000 drawings of the unseen classes in the validation split.
PAPER_SPLIT = "val"


def evaluate_zero_shot(
    run: Path, data: Path | None, split: str = PAPER_SPLIT, *, device: str, batch_size: int
) -> dict[str, Any]:
    """Evaluate all recognisers of a run folder, and write JSON, Markdown and a picture into it.

    The chosen recogniser is the one that recognised validation classes best, whatever is measured here.

    Args:
        run: The folder.
        data: The data set; None for the one that the network learned from.
        split: Its split to recognise; by default the paper's.
        device: Where to compute.
        batch_size: Drawings per batch.

    Returns:
        The values in the JSON file.

    Raises:
        ConfigError: The split does not exist, it lacks a class, or has no drawing of an unseen one.
        SketchDataError: The training is not complete, or a file is damaged.
    """
    record = read_record(run)
    if not (run / REPORT).exists():
        raise SketchDataError(f"{run} has no {REPORT}, so its training did not finish: continue with --resume")
    table, kept = read_class_table(record, run), read_recognisers(run)
    for each in kept:
        if each.classes != table.classes or not np.array_equal(each.recogniser.unseen, table.places()):
            raise SketchDataError(
                f"the recogniser {each.name} in {run} is of other classes, or saw others, than the record of the "
                "training says: it belongs to another run; remove it"
            )
    place = Path(record["data"]) if data is None else data
    names = table_of(record) if data is None else None
    trained = read_encoder(run)
    evaluator = Evaluator(trained=trained, data=place, device=device, batch_size=batch_size, table=names)
    packed = evaluator.drawings(split, table.classes)
    drawings = EvaluationSet(
        features=embed(evaluator.trained, packed, device=device, batch_size=batch_size),
        labels=packed.labels.cpu().numpy().astype(np.int64),
        table=table,
    )
    found = {}
    with task_bar() as bar:
        shown = bar.add_task("Recognising", total=len(kept))
        for each in kept:
            found[each.name] = measure_recogniser(each, drawings)
            bar.update(shown, advance=1)
    chosen = choose_recogniser(kept)
    picture, about = draw_embeddings(chosen, drawings, found[chosen.name]["by_class"])
    values = {
        "split": split,
        "manifest": identity(place, names)[1],
        "drawings": found[chosen.name]["drawings"],
        "classes": {name: list(getattr(table, name)) for name in ("seen", "validation", "unseen", "left_out")},
        "chosen": chosen.name,
        "recognisers": found,
        "picture": about,
    }
    save(picture, run / PICTURE_FILE)
    write_json(run / JSON_FILE, values)
    with replacing(run / TABLE_FILE) as file:
        file.write(zero_shot_markdown(values, PICTURE_FILE).encode())
    return values


def draw_embeddings(
    kept: KeptRecogniser, data: EvaluationSet, by_class: Mapping[str, Mapping[str, Any]]
) -> tuple[Figure, dict[str, Any]]:
    """Draw where a recogniser embeds drawings and prototypes of some unseen classes; return the figure and its facts.

    Where it compares directions alone, all lengths are made 1 first. `by_class` is that of `measure_recogniser`.
    """
    recogniser, table = kept.recogniser, data.table
    turned = recogniser.compare in ("cosine", "product")
    shown: list[tuple[str, Matrix, Matrix]] = []
    for word in spread_by_accuracy({word: own["zsl"] for word, own in by_class.items()}):
        place = table.classes.index(word)
        rows = np.flatnonzero(data.labels == place)
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_DRAWINGS)).astype(np.int64)]
        drawings = recogniser.embedded(data.features[rows]).astype(np.float64)
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
        axes: (2, D), orthogonal and of length 1; zeros where drawings vary in fewer directions.
        share: The share of the drawings' variance in the plane: 0 to 1.
    """

    centre: Matrix
    axes: Matrix
    share: float

    def project(self, rows: Matrix) -> Matrix:
        """Return rows on the plane: (N, D) → (N, 2)."""
        return np.asarray((rows - self.centre) @ self.axes.T)


def principal_plane(rows: Matrix) -> Plane:
    """Find the plane by principal components of (N, D) rows; the largest entry of each axis is positive."""
    centre = rows.mean(axis=0)
    _, sizes, directions = np.linalg.svd(rows - centre, full_matrices=False)
    axes = np.zeros((2, rows.shape[1]))
    axes[: len(directions)] = directions[:2]
    largest = axes[np.arange(2), np.abs(axes).argmax(axis=1)]
    total = float(np.square(sizes).sum())
    share = float(np.square(sizes[:2]).sum()) / total if total else 0.0
    return Plane(centre=centre, axes=axes * np.where(largest < 0, -1, 1)[:, None], share=share)


def spread_by_accuracy(hits: Mapping[str, float], most: int = MOST_CLASSES) -> list[str]:
    """Choose classes evenly from the best recognised to the worst; equal ones keep their order."""
    order = sorted(hits, key=lambda word: -hits[word])
    return [
        order[place] for place in np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round()).astype(int)
    ]


def _caption(compare: Any, shown: int, classes: int, share: float) -> str:
    lengths = {
        "distance": "",
        "cosine": " All lengths were made 1 first, as this recogniser compares directions.",
        "product": " All lengths were made 1 first; this recogniser weighs directions by the lengths of prototypes.",
    }
    network = " This recogniser compares by a network, so that nearness in the picture says little."
    return (
        f"{shown} of {classes} unseen classes, evenly from the best recognised to the worst; up to "
        f"{MOST_DRAWINGS} drawings of each. Small marks are drawings, large ones prototypes, which no drawing of these "
        "classes was used for; a line goes from each prototype to the mean of its class's drawings shown. A projection "
        f"onto the first two principal components of these drawings, which hold {share:.1%} of their variance: what is "
        f"apart may seem near.{lengths.get(compare, network) if isinstance(compare, str) else network}"
    )
