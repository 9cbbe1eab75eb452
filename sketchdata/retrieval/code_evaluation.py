"""Evaluation of a trained network's binary codes: retrieval, zero-shot retrieval, spread, cost, and its report."""

from __future__ import annotations

import csv
import io
import resource
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.classes.splits import draw_classes
from sketchdata.display.charts import Curve
from sketchdata.errors import ConfigError
from sketchdata.formats.codes import Codes
from sketchdata.retrieval.index import make_index
from sketchdata.retrieval.scores import score_codes
from sketchdata.training.bitmaps import PackedSplit, read_split
from sketchdata.training.encoder import Trained, codes_of, embed

# How far apart drawings of one class lie, and how far apart the classes do.
# Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", Table VI, which names
# the distances and does not define them. Its d2 of 17.6 at 64 bits is more than the 8 that two points of a unit cube
# of
# 64 dimensions are apart at most, so distances are squared.


def class_spread(numbers: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]]) -> tuple[float, float]:
    """Return the mean squared distance within classes, d1, and that between the classes' means, d2.

    d1 is the mean over classes of the mean squared Euclidean distance of a class's drawings to their mean; d2 is the
    mean squared Euclidean distance between the means of two different classes, over all pairs. Classes count alike,
    however many drawings they have; those without any do not count.

    Args:
        numbers: (N, D), what the code layer gives for each drawing.
        labels: (N,) their classes.

    Returns:
        d1 and d2.

    Raises:
        ValueError: The drawings are of fewer than two classes.
    """
    present, rows, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(present) < 2:
        raise ValueError(f"a distance between classes needs two of them, and there are {len(present)}")
    values = numbers.astype(np.float64)
    means = np.zeros((len(present), numbers.shape[1]))
    np.add.at(means, rows, values)
    means /= counts[:, None]
    within = np.bincount(rows, np.square(values - means[rows]).sum(1)) / counts
    # Over all pairs Σ ‖a − b‖² is 2 L Σ ‖a − mean‖².
    between = 2 * np.square(means - means.mean(0)).sum() / (len(present) - 1)
    return float(within.mean()), float(between)


# What a search costs: seconds a query, and memory.
# Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", Table IV, which says
# neither what was timed nor on what machine.

#: Table IV: {bits: (seconds a query, megabytes)} on the gallery of 345,000.
COST = {16: (0.089, 612), 24: (0.126, 667), 32: (0.157, 732), 64: (0.286, 937)}

#: Drawings in the gallery that the published cost is of.
PAPER_GALLERY = 345_000
#: Queries that are timed, at most.
_TIMED = 200
_DEFINITION = (
    "Seconds from the code of one drawing to its nearest drawings in the gallery, in order: the Hamming distance to "
    "every code is counted, nothing is approximated, and one thread works; the median over single queries. Making the "
    "code is not included. Memory is that of the gallery's codes alone, that of all that a search holds (codes, labels "
    "and key_ids), and the most that the whole process had so far, network and drawings included."
)


def search_cost(queries: Codes, gallery: Codes, k: int = 200) -> dict[str, Any]:
    """Time searches, one query after the other, and measure what they hold in memory.

    Args:
        queries: Q codes, of which 200 or fewer, evenly spread, are timed.
        gallery: N codes.
        k: How many nearest ones are wanted; N where there are fewer.

    Returns:
        Plain values: `definition`, `bits`, `gallery`, `queries`, `k`, `seconds` and `slowest_seconds` a query,
        `codes_bytes`, `search_bytes`, `peak_bytes`; and `paper`, of `seconds` and `megabytes`, where the gallery is
        as large as the paper's.

    Raises:
        ConfigError: There are no codes.
    """
    index, wanted = make_index(gallery, "flat"), min(k, len(gallery))
    timed = queries.packed[:: -(-len(queries) // _TIMED)]
    # The first search pays for what later ones find ready.
    index.search(timed[:1], wanted)
    seconds = []
    for query in timed[:, None]:
        begin = time.perf_counter()
        index.search(query, wanted)
        seconds.append(time.perf_counter() - begin)
    values: dict[str, Any] = {
        "definition": _DEFINITION,
        "bits": gallery.bits,
        "gallery": len(gallery),
        "queries": len(seconds),
        "k": wanted,
        "seconds": statistics.median(seconds),
        "slowest_seconds": max(seconds),
        "codes_bytes": gallery.packed.nbytes,
        "search_bytes": index.nbytes,
        "peak_bytes": peak_bytes(),
    }
    if len(gallery) == PAPER_GALLERY and gallery.bits in COST:
        values["paper"] = dict(zip(("seconds", "megabytes"), COST[gallery.bits], strict=True))
    return values


def peak_bytes() -> int:
    """Return the most memory that this process has had so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, all others kibibytes.
    return peak if sys.platform == "darwin" else peak * 1024


# How well the binary codes of a trained network find drawings: of classes that it learned, and of others.

GALLERY, QUERY = "gallery", "query"
#: Of one class, everything found would be right.
LEAST_UNSEEN = 2
_SOME = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network, and the data about which it is asked.

    Attributes:
        trained: The network.
        data: A built data set, or bitmaps.
        device: Where to compute.
        batch_size: Drawings at a time.
    """

    trained: Trained
    data: Path
    device: str
    batch_size: int

    def drawings(self, split: str, words: Sequence[str]) -> PackedSplit:
        """Return the drawings of some classes, which become the class table.

        Raises:
            ConfigError: There is no such split, the data lacks one of the classes, or there are no drawings.
        """
        packed = read_split(self.data, split)
        missing = [word for word in words if word not in packed.classes]
        if missing:
            raise ConfigError(
                f"the network knows {len(words):,} classes, and {len(missing):,} of them ({_some(missing)}) are not "
                f"among the {len(packed.classes):,} of {self.data}: take the data set that it learned from"
            )
        found = packed.of_classes(words)
        if not len(found):
            raise ConfigError(f"{self.data} has no drawings of {_some(words)} in {split}")
        return found

    def encoded(self, split: str, words: Sequence[str]) -> Encoded:
        """Return drawings with what the network makes of them.

        Raises:
            ConfigError: As of `drawings`.
        """
        packed = self.drawings(split, words)
        numbers = embed(self.trained, packed, device=self.device, batch_size=self.batch_size)
        return Encoded(packed=packed, numbers=numbers, codes=codes_of(numbers, self.trained.threshold, packed))


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """N drawings, and what a network makes of them.

    Attributes:
        packed: The drawings.
        numbers: (N, D) float32, of the code layer.
        codes: N codes.
    """

    packed: PackedSplit
    numbers: npt.NDArray[np.float32]
    codes: Codes


def unseen_classes(
    learned: Sequence[str], table: Sequence[str], held: Sequence[str], count: int | None
) -> tuple[str, ...]:
    """Choose the classes that zero-shot retrieval is measured on.

    Args:
        learned: The classes that the network learned.
        table: Those of the data.
        held: Those that its training held out.
        count: How many; by the hash by which trainings hold classes out, so that a training with `--unseen` of as many
            or more on this data has held out all of them. None for those that the training held out.

    Returns:
        The classes in the order of the table; none where none were asked for and fewer than two were held out.

    Raises:
        ConfigError: Fewer classes than asked for are unknown to the network.
    """
    if count is None:
        words = tuple(word for word in table if word in held)
        return words if len(words) >= LEAST_UNSEEN else ()
    strange = [word for word in table if word not in learned]
    if len(strange) < count:
        raise ConfigError(
            f"--unseen {count}: of the {len(table):,} classes of the data the network has learned all but "
            f"{len(strange):,}; train with --unseen {count}, which holds classes out, or take --data with more classes"
        )
    return draw_classes(strange, count)


def evaluate_codes(subject: Subject, unseen: Sequence[str]) -> tuple[dict[str, Any], Encoded]:
    """Search the gallery for each query: for classes that the network learned, and for others.

    Args:
        subject: A network whose numbers are thresholded to codes.
        unseen: The other classes; none leaves them out.

    Returns:
        Plain values, as `Retrieval.values` gives them: `retrieval`, `spread`, `cost`, and `zero_shot` where there are
        other classes; and the gallery of the classes learned.

    Raises:
        ConfigError: The data lacks a class or a split.
    """
    gallery, query = (subject.encoded(split, subject.trained.classes) for split in (GALLERY, QUERY))
    values = {
        "retrieval": score_codes(query.codes, gallery.codes).values(),
        "spread": _spread(gallery, subject.trained),
        "cost": search_cost(query.codes, gallery.codes),
    }
    if unseen:
        others, asked = (subject.encoded(split, unseen).codes for split in (GALLERY, QUERY))
        values["zero_shot"] = {"unseen": list(unseen), **score_codes(asked, others).values()}
    return values, gallery


def _spread(gallery: Encoded, trained: Trained) -> dict[str, Any]:
    d1, d2 = class_spread(gallery.numbers, gallery.codes.labels)
    return {
        "d1": d1,
        "d2": d2,
        # A network that gives the same numbers for all has not spread them.
        "ratio": d1 / d2 if d2 else None,
        "numbers": trained.encoder.fusion.activation,
        "drawings": len(gallery.codes),
    }


def curves_of(values: dict[str, Any], learned: int) -> dict[str, Curve]:
    """Return the curves among what `evaluate_codes` gave for a network of so many classes, named after the classes."""
    curves = {f"{learned:,} learned classes": values["retrieval"]}
    if "zero_shot" in values:
        curves[f"{len(values['zero_shot']['unseen']):,} unseen classes"] = values["zero_shot"]
    return {name: Curve(chance=found["chance"], **found["curve"]) for name, found in curves.items()}


def curves_csv(curves: Mapping[str, Curve]) -> str:
    """Return one or more named curves as CSV: a line for each distance of each."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["classes", "distance", "recall", "precision"])
    for name, curve in curves.items():
        for row in zip(curve.distance, curve.recall, curve.precision, strict=True):
            writer.writerow([name, *row])
    return file.getvalue()


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:_SOME]) + ("…" if len(words) > _SOME else "")


# The evaluation of binary codes as Markdown: each number beside its bounds and chance, and what it is.

#: Classes that are listed, those whose drawings are found worst.
_WORST = 10
_MEGA = 1e6

Values = Mapping[str, Any]


def hashing_sections(values: Values, picture: str, table: str) -> list[str]:
    """Return the lines of the sections on retrieval, zero-shot retrieval, spread and cost.

    Args:
        values: What `evaluate_codes` gave.
        picture: The file of the precision-recall picture.
        table: That of its numbers.
    """
    retrieval = values["retrieval"]
    lines = ["## Retrieval", "", *_retrieval(retrieval), ""]
    lines += [f"![precision over recall]({picture})", "", f"Its points are in [{table}]({table}).", ""]
    if "zero_shot" in values:
        lines += ["## Zero-shot retrieval", "", *_zero_shot(values["zero_shot"]), ""]
    return [
        *lines,
        "## Spread of the classes",
        "",
        *_spread_hashing_report(values["spread"]),
        "",
        *_cost(values["cost"]),
    ]


def _retrieval(found: Values) -> list[str]:
    whole, k = found["map"], found["k"]
    lines = [
        f"Codes of {found['bits']} bits: {found['queries']:,} queries, each against a gallery of {found['gallery']:,} "
        f"drawings; chance is {found['chance']:.4f}. {_excluded(found['excluded'])}",
        "",
        "| measure | expected | worst order of ties | best order of ties |",
        "|---|--:|--:|--:|",
        _row("**mAP**", whole),
        _row(f"**P@{k}**", found["precision_at_k"]),
        _row(f"R@{k}", found["recall_at_k"]),
        *(_row(f"mAP@{k}, {name}", found["map_at_k"][name]) for name in found["map_at_k"]),
        _row(
            "mAP, interpolated",
            {side: whole[f"interpolated_{side}"] for side in ("pessimistic", "optimistic")},
        ),
        f"| mAP, by thresholds | {whole['threshold']:.4f} | | |",
        "",
        f"95 % intervals of the mAP: {_interval(whole['query_interval'])} over queries, "
        f"{_interval(whole['class_interval'])} over classes.",
        "",
    ]
    lines += [
        f"Within distance {radius}: precision {own['precision']:.4f}, recall {own['recall']:.4f}; nothing there for "
        f"{own['empty']:.1%} of the queries."
        for radius, own in found["radius"].items()
    ]
    return [*lines, "", f"{found['definition']}", "", *_worst(found["classes"])]


def _row(name: str, bounds: Values) -> str:
    cells = (f"{bounds[side]:.4f}" if side in bounds else "" for side in ("expected", "pessimistic", "optimistic"))
    return f"| {name} | {' | '.join(cells)} |"


def _interval(bounds: Any) -> str:
    low, high = bounds
    return f"{low:.4f} to {high:.4f}"


def _excluded(count: int) -> str:
    return f"{count:,} queries that nothing is relevant to are not counted." if count else "Every query counts."


def _worst(classes: Values) -> list[str]:
    order = sorted(classes, key=lambda word: (classes[word]["map"], word))[:_WORST]
    lines = [f"| {word} | {classes[word]['queries']:,} | {classes[word]['map']:.4f} |" for word in order]
    return [f"The {len(order)} classes that are found worst:", "", "| class | queries | mAP |", "|---|--:|--:|", *lines]


def _zero_shot(found: Values) -> list[str]:
    words = found["unseen"]
    about = (
        f"Drawings of {len(words):,} classes of which the network has never seen one, as queries and as the gallery, "
        f"so that chance is about 1 in {len(words):,}; not to be compared with figures over other numbers of classes."
    )
    return [about, "", f"The classes: {', '.join(words)}.", "", *_retrieval(found)]


def _spread_hashing_report(found: Values) -> list[str]:
    ratio = "" if found["ratio"] is None else f"{found['ratio']:.4f}"
    return [
        "| d1, within classes | d2, between classes | d1 / d2 |",
        "|--:|--:|--:|",
        f"| {found['d1']:.4f} | {found['d2']:.4f} | {ratio} |",
        "",
        "d1: the mean squared Euclidean distance of a class's drawings to their mean, averaged over classes. d2: the "
        f"mean squared distance between the means of two classes. Both of the {found['numbers']} numbers, before they "
        f"become bits, of {found['drawings']:,} gallery drawings. The paper's Table VI names both and defines neither.",
    ]


def _cost(found: Values) -> list[str]:
    lines = [
        "## Cost of a search",
        "",
        "| | seconds a query | MB of codes | MB of all that is searched | peak MB of the process |",
        "|---|--:|--:|--:|--:|",
        f"| {found['gallery']:,} codes of {found['bits']} bits, the nearest {found['k']:,} | {found['seconds']:.6f} | "
        + " | ".join(f"{found[name] / _MEGA:,.2f}" for name in ("codes_bytes", "search_bytes", "peak_bytes"))
        + " |",
    ]
    if "paper" in found:
        paper = found["paper"]
        lines.append(f"| the paper's Table IV | {paper['seconds']:.3f} | | | {paper['megabytes']:,} |")
    return [*lines, "", f"{found['definition']} {found['queries']:,} queries were timed.", ""]
