"""How well a zero-shot training recognises drawings of classes that nothing was learnt from, by all its recognisers.

Each drawing of a split is encoded once, and scored by each recogniser of the run's folder. At the paper's scale,
345,000 drawings and 4,096 numbers, that is 5.7 GB of features, and 0.5 GB of scores at a time, with a few copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from sketchdata.display.charts import Cloud, embeddings, save
from sketchdata.errors import SketchDataError
from sketchdata.progress import task_bar
from sketchdata.retrieval.code_evaluation import GALLERY, Subject
from sketchdata.retrieval.evaluation import JSON_FILE, TABLE_FILE
from sketchdata.storage.manifest import replacing
from sketchdata.training.bitmaps import identity
from sketchdata.training.encoder import embed, read_encoder
from sketchdata.training.run_folder import REPORT, read_record
from sketchdata.zero_shot.measures import RANKS, accuracy_by_class, chance_of_hit, confusion_pairs, measure_zero_shot
from sketchdata.zero_shot.recogniser import unit
from sketchdata.zero_shot.store import KeptRecogniser, choose_recogniser, read_recognisers
from sketchdata.zero_shot.training_set import Features, Labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# What one recogniser says of drawings of unseen and of seen classes, with the classes by name.

TRAINER = "zsl"
#: Confused pairs and hubs that are listed.
_PAIRS, _HUBS = 20, 10
_PARTS = {"zsl": "ZSL", "gzsl": "GZSL", "calibrated": "GZSL with γ"}
_SIDES = {"unseen": "U", "seen": "S", "harmonic": "H"}


@dataclass(frozen=True, kw_only=True)
class Roster:
    """The classes of a zero-shot experiment.

    Attributes:
        classes: All L, in the order of prototypes.
        seen: Those that were learnt from, validation classes among them.
        validation: Those by which choices were made.
        unseen: The others.
        left_out: Classes of the data that are none of these.
    """

    classes: tuple[str, ...]
    seen: tuple[str, ...]
    validation: tuple[str, ...]
    unseen: tuple[str, ...]
    left_out: tuple[str, ...]

    def places(self) -> Labels:
        """Return where the unseen classes stand: int64, ascending."""
        return np.flatnonzero(np.isin(self.classes, self.unseen)).astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """N drawings that recognisers are asked about.

    Attributes:
        features: (N, F) float32.
        labels: (N,) int64, places in the classes of the roster.
        roster: The classes.
    """

    features: Features
    labels: Labels
    roster: Roster


def read_roster(record: Mapping[str, Any], run: Path) -> Roster:
    """Return the classes of a zero-shot experiment.

    Args:
        record: The run's record.
        run: Its folder, for the error.

    Raises:
        SketchDataError: The record is of another training, or its seen and unseen classes are not all of its classes.
    """
    try:
        found = {name: tuple(record["zero_shot"][name]) for name in Roster.__dataclass_fields__}
    except (KeyError, TypeError) as error:
        raise SketchDataError(f"{run} is no training of `sketchdata train zsl`: its record lacks {error}") from error
    roster = Roster(**found)
    if sorted(roster.seen + roster.unseen) != sorted(roster.classes) or not roster.unseen:
        raise SketchDataError(f"{run} is damaged: the seen and unseen classes of its record are not its classes")
    return roster


def measure_recogniser(kept: KeptRecogniser, asked: Asked) -> dict[str, Any]:
    """Measure one recogniser, as `measure_zero_shot` does, with classes by name and what it confuses.

    Returns:
        Plain values.

    Raises:
        ConfigError: There is no drawing of an unseen class.
    """
    roster, recogniser = asked.roster, kept.recogniser
    scores, unseen = recogniser.scores(asked.features), roster.places()
    values = measure_zero_shot(scores, asked.labels, unseen, recogniser.gamma)
    new = np.isin(asked.labels, unseen)
    whole, labels = scores[new], asked.labels[new]
    lowered = whole - recogniser.gamma * ~np.isin(np.arange(len(roster.classes)), unseen)
    predicted = unseen[whole[:, unseen].argmax(axis=1)]
    values |= {
        "source": kept.source,
        "method": kept.method,
        "validation_hit": recogniser.validation_hit,
        "constants": dict(recogniser.constants),
        "by_class": _by_class(predicted, {"gzsl": whole, "calibrated": lowered}, labels, roster),
        "confusions": [
            {
                "class": roster.classes[pair.label],
                "taken_for": roster.classes[pair.predicted],
                "drawings": pair.count,
                "share": pair.share,
            }
            for pair in confusion_pairs(predicted, labels, _PAIRS)
        ],
        "hubs": {
            "unseen": _hubs(predicted, labels, roster),
            "all": _hubs(whole.argmax(axis=1), labels, roster),
        },
    }
    values["chance"] = _chance(roster, len(labels))
    return {**values, "below_chance": _below_chance(values)}


def _by_class(
    predicted: Labels, scores: Mapping[str, npt.NDArray[np.floating[Any]]], labels: Labels, roster: Roster
) -> dict[str, dict[str, Any]]:
    """Return what each unseen class that has drawings reaches, and what it is taken for most often."""
    shares = {"zsl": accuracy_by_class(predicted, labels)}
    shares |= {name: accuracy_by_class(own.argmax(axis=1), labels) for name, own in scores.items()}
    # The first pair of a class is its most frequent one.
    pairs = {pair.label: pair for pair in reversed(confusion_pairs(predicted, labels, len(roster.classes) ** 2))}
    sizes = np.bincount(labels)
    return {
        roster.classes[place]: {
            "drawings": int(sizes[place]),
            **{name: own[place] for name, own in shares.items()},
            "taken_for": roster.classes[pairs[place].predicted] if place in pairs else None,
            "share": pairs[place].share if place in pairs else 0.0,
        }
        for place in shares["zsl"]
    }


def _hubs(predicted: Labels, labels: Labels, roster: Roster) -> list[dict[str, Any]]:
    """Return the classes that most drawings too many are taken for."""
    sizes, taken = (np.bincount(each, minlength=len(roster.classes)) for each in (labels, predicted))
    order = np.argsort(sizes - taken, kind="stable")[:_HUBS]
    return [
        {
            "class": roster.classes[place],
            "drawings": int(sizes[place]),
            "predicted": int(taken[place]),
            "seen": roster.classes[place] in roster.seen,
        }
        for place in order.tolist()
        if taken[place] > sizes[place]
    ]


def _chance(roster: Roster, drawings: int) -> dict[str, Any]:
    """Return what guessing gives, of measures that have no chance beside them."""
    candidates, validation = len(roster.unseen), len(roster.validation)
    return {
        "harmonic": chance_of_hit(1, len(roster.classes)),
        "validation": chance_of_hit(1, validation) if validation else None,
        "hubness": {f"N_{k}": chance_of_hubness(k, candidates, drawings) for k in (1, 10) if k < candidates},
    }


def chance_of_hubness(k: int, candidates: int, drawings: int) -> float:
    """Return the skewness of N_k where the k likeliest candidates of each drawing are random ones: a binomial's.

    Args:
        k: Below `candidates`.
        candidates: Classes.
        drawings: M, one at least.
    """
    share = k / candidates
    return float((1 - 2 * share) / np.sqrt(drawings * share * (1 - share)))


def _below_chance(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the shares that guessing would exceed."""
    found = [
        (f"{title} {name}", values[part][name], level)
        for part, title in _PARTS.items()
        for name, level in values[part]["chance"].items()
    ]
    for stack, ending in (("harmonic", ""), ("harmonic_calibrated", " with γ")):
        sides = values.get(stack, {})
        found += [(f"{_SIDES[name]}{ending}", value, values["chance"]["harmonic"]) for name, value in sides.items()]
    return [{"measure": name, "value": value, "chance": level} for name, value, level in found if value < level]


# The evaluation of zero-shot recognition as Markdown: what was measured, chance beside it, and where it goes wrong.

_NONE = "–"
_SIDES_REPORT = ("unseen", "seen", "harmonic")
_STACKS = ("harmonic", "harmonic_calibrated")

Values = Mapping[str, Any]


def zero_shot_markdown(values: Values, picture: str) -> str:
    """Return what `evaluate_zero_shot` measured as a page.

    Args:
        values: What it returned.
        picture: The file of the picture of embeddings.
    """
    chosen = values["recognisers"][values["chosen"]]
    name = _cell(values["chosen"])
    lines = [f"# Zero-shot recognition of {_cell(values['split'])}", "", *_definition(values), ""]
    lines += ["## Recognisers", "", *_recognisers(values), "", *_warnings(values["recognisers"])]
    lines += [f"## Where {name} stands", "", f"![embeddings and prototypes]({picture})", ""]
    lines += ["### Classes", "", *_classes(chosen), "", "### Most confused", "", *_confusions(chosen), ""]
    return "\n".join([*lines, "### Hubs", "", *_hubs_report(chosen)]) + "\n"


def _definition(values: Values) -> Iterator[str]:
    drawings, classes = values["drawings"], values["classes"]
    unseen, seen = len(classes["unseen"]), len(classes["seen"])
    whole = unseen + seen
    yield (
        f"{drawings['unseen']:,} drawings of {unseen:,} unseen classes and {drawings['seen']:,} of {seen:,} seen ones, "
        f"all of {_cell(values['split'])}; of the seen classes, {len(classes['validation']):,} are those by which "
        f"choices were made. Chance of hit@1 is {1 / unseen:.4f} among unseen classes and {1 / whole:.4f} among all."
    )
    if classes["left_out"]:
        words = ", ".join(map(_cell, classes["left_out"]))
        yield ""
        yield f"Left out of the experiment: {words}."
    yield ""
    yield (
        "ZSL hit@k: the share of drawings of unseen classes whose class is among the k likeliest unseen classes. "
        "GZSL hit@k: the same drawings, and the k likeliest of all classes, as in the paper (Xu et al., Tables IX and "
        "X). Equal scores count as in random order."
    )
    yield ""
    yield (
        "U and S: the accuracy among all classes on drawings of unseen and of seen classes, averaged over classes; H: "
        "their harmonic mean (Xian et al., TPAMI 2019). With γ: a constant, chosen by validation classes, is taken off "
        "the scores of seen classes (Chao et al., ECCV 2016). N_k: the skewness of how often each unseen class is "
        "among the k likeliest unseen ones; high where a few hubs attract drawings of all others."
    )
    yield ""
    yield _choice(values)


def _choice(values: Values) -> str:
    how = "by validation classes, before any drawing of an unseen class was looked at"
    if values["recognisers"][values["chosen"]]["validation_hit"] is None:
        how = "as the first by name, since there were no validation classes to choose by"
    return (
        f"**{_cell(values['chosen'])}** is the chosen one: {how}, and never by this table. The others stand here for "
        "comparison; to take the best of them would be to choose by the unseen classes."
    )


def _recognisers(values: Values) -> Iterator[str]:
    hits = [f"{title} hit@{k}" for title in ("ZSL", "GZSL") for k in RANKS]
    heads = ["recogniser", "validation hit@1", *hits, "U", "S", "H", "γ", "U, γ", "S, γ", "H, γ", "N_1", "N_10"]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'--:|' * (len(heads) - 1)}"
    first = next(iter(values["recognisers"].values()))
    level = first["chance"]
    cells = [_number(first[part]["chance"].get(f"hit@{k}")) for part in ("zsl", "gzsl") for k in RANKS]
    sides = [_number(level["harmonic"])] * 3 if "harmonic" in first else [_NONE] * 3
    tails = [_number(level["hubness"].get(f"N_{k}"), 2) for k in (1, 10)]
    validation = _number(level["validation"])
    yield f"| *chance* | {' | '.join([validation, *cells, *sides, '', *sides, *tails])} |"
    for name, own in values["recognisers"].items():
        yield f"| {' | '.join([_title(name, values['chosen']), *_measures(own)])} |"


def _measures(own: Values) -> list[str]:
    sides = [[_number(own[stack][side]) if stack in own else _NONE for side in _SIDES_REPORT] for stack in _STACKS]
    return [
        _number(own["validation_hit"]),
        *(_number(own[part].get(f"hit@{k}")) for part in ("zsl", "gzsl") for k in RANKS),
        *sides[0],
        f"{own['gamma']:.4g}",
        *sides[1],
        *(_number(own["hubness"].get(f"N_{k}"), 2) for k in (1, 10)),
    ]


def _title(name: str, chosen: str) -> str:
    return f"**{_cell(name)}** (chosen)" if name == chosen else _cell(name)


def _warnings(recognisers: Mapping[str, Values]) -> Iterator[str]:
    below = [(name, each) for name, own in recognisers.items() for each in own["below_chance"]]
    if not below:
        return
    yield "**Warning: below chance.** Guessing would have done better than:"
    yield ""
    for name, each in below:
        yield f"- {_cell(name)}: {each['measure']} {each['value']:.4f}, chance {each['chance']:.4f}"
    yield ""
    if any(each["measure"].startswith(("GZSL", "U")) for _, each in below):
        yield (
            "Among all classes, drawings of unseen classes are easily taken for seen ones, whose prototypes were "
            "learnt from drawings; γ makes up for that."
        )
        yield ""


def _classes(chosen: Values) -> Iterator[str]:
    yield "| class | drawings | ZSL hit@1 | GZSL hit@1 | GZSL hit@1, γ | most often taken for | share of the class |"
    yield "|---|--:|--:|--:|--:|---|--:|"
    level, whole = chosen["zsl"]["chance"]["hit@1"], chosen["gzsl"]["chance"]["hit@1"]
    yield f"| *chance* | | {level:.4f} | {whole:.4f} | {whole:.4f} | | |"
    by_class = chosen["by_class"]
    for word in sorted(by_class, key=lambda word: (by_class[word]["zsl"], word)):
        own = by_class[word]
        other = _NONE if own["taken_for"] is None else _cell(own["taken_for"])
        yield (
            f"| {_cell(word)} | {own['drawings']:,} | {own['zsl']:.4f} | {own['gzsl']:.4f} | {own['calibrated']:.4f} | "
            f"{other} | {own['share']:.3f} |"
        )
    yield ""
    yield "The worst first; what a class is taken for is another unseen class."


def _confusions(chosen: Values) -> Iterator[str]:
    if not chosen["confusions"]:
        yield "No drawing was taken for one of another unseen class."
        return
    yield "| class | taken for | drawings | share of the class |"
    yield "|---|---|--:|--:|"
    for pair in chosen["confusions"]:
        yield (f"| {_cell(pair['class'])} | {_cell(pair['taken_for'])} | {pair['drawings']:,} | {pair['share']:.3f} |")


def _hubs_report(chosen: Values) -> Iterator[str]:
    yield "Classes that more drawings of unseen classes are taken for than there are of them."
    for name, among in (("unseen", "Among unseen classes"), ("all", "Among all classes, without γ")):
        yield ""
        if not chosen["hubs"][name]:
            yield f"{among}: none."
            continue
        yield from _hub_table(among, chosen["hubs"][name])


def _hub_table(among: str, hubs: Sequence[Values]) -> Iterator[str]:
    yield f"{among}:"
    yield ""
    yield "| class | drawings of it | taken for it | |"
    yield "|---|--:|--:|---|"
    for hub in hubs:
        kind = "seen" if hub["seen"] else "unseen"
        yield f"| {_cell(hub['class'])} | {hub['drawings']:,} | {hub['predicted']:,} | {kind} |"


def _cell(text: str) -> str:
    """Return a name so that it stays text within a cell: no markup, and no new cell or line."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return "".join(f"\\{letter}" if letter in r"\`*[]<>|&~" else letter for letter in plain)


def _number(value: float | None, digits: int = 4) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"


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
        features=embed(subject.trained, packed, device=device, batch_size=batch_size),
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
