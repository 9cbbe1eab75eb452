"""Evaluation of a trained network's binary codes: retrieval, zero-shot retrieval, spread, cost, and their report."""

from __future__ import annotations

import csv
import io
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sketchdata.classes.splits import draw_classes
from sketchdata.display.charts import Curve
from sketchdata.errors import ConfigError
from sketchdata.formats.codes import Codes
from sketchdata.retrieval.index import make_index
from sketchdata.retrieval.metrics import chance_of_map
from sketchdata.retrieval.scores import score_codes
from sketchdata.training.bitmaps import PackedSplit, read_split
from sketchdata.training.encoder import SketchEncoder, codes_of, embed
from sketchdata.training.loader import View
from sketchdata.training.losses import class_centers

# Spread. Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", Table VI,
# which does not define the distances. Its d2 of 17.6 at 64 bits exceeds 8, the maximum distance of two points in the
# 64-dimensional unit cube, so distances are squared.


def class_spread(
    embeddings: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]]
) -> tuple[float, float]:
    """Return the mean squared distance within classes, d1, and that between the classes' means, d2.

    d1 is the mean over classes of the mean squared Euclidean distance of a class's drawings to their mean; d2 is the
    mean squared Euclidean distance between the means of two different classes, over all pairs. All classes have equal
    weight; those without drawings are ignored.

    Args:
        embeddings: (N, D), outputs of the code layer.
        labels: (N,) classes.

    Raises:
        ValueError: The drawings are of fewer than two classes.
    """
    present, rows, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(present) < 2:
        raise ValueError(f"a distance between classes needs two of them, and there are {len(present)}")
    values = embeddings.astype(np.float64)
    means = np.zeros((len(present), embeddings.shape[1]))
    np.add.at(means, rows, values)
    means /= counts[:, None]
    within = np.bincount(rows, np.square(values - means[rows]).sum(1)) / counts
    # The sum of ‖a − b‖² over all pairs is 2 L Σ ‖a − mean‖².
    between = 2 * np.square(means - means.mean(0)).sum() / (len(present) - 1)
    return float(within.mean()), float(between)


# Cost of a search. Source: Table IV of the same paper, which does not state what was timed and on which machine.

#: Table IV: {bits: (seconds per query, megabytes)} on the gallery of 345,000.
COST = {16: (0.089, 612), 24: (0.126, 667), 32: (0.157, 732), 64: (0.286, 937)}

#: Number of drawings in the gallery of the published cost.
PAPER_GALLERY = 345_000
#: Maximum number of queries that are timed.
_TIMED = 200
_DEFINITION = (
    "Seconds from the code of one drawing to its nearest drawings in the gallery, in order: the Hamming distance to "
    "every code is counted, nothing is approximated, and one thread works; the median over single queries. Making the "
    "code is not included. Memory is that of the gallery's codes alone, that of all that a search holds (codes, labels "
    "and key_ids), and the most that the whole process had so far, network and drawings included. A gallery of another "
    "size repeats the codes."
)


def search_cost(queries: Codes, gallery: Codes, k: int = 200, size: int | None = None) -> dict[str, Any]:
    """Time searches, one query at a time, and measure their memory.

    Args:
        queries: Q codes; at most 200 of them, evenly spaced, are timed.
        gallery: N codes.
        k: Number of nearest codes that a search returns, at most N.
        size: Size of the searched gallery, made by repeating or truncating the codes. Default: N.

    Returns:
        Plain values: `definition`, `bits`, `gallery`, `queries`, `k`, `seconds` and `slowest_seconds` per query,
        `codes_bytes`, `search_bytes`, `peak_bytes`.

    Raises:
        ConfigError: There are no codes.
    """
    if size is not None and len(gallery):
        gallery = gallery.take(np.arange(size) % len(gallery))
    index, wanted = make_index(gallery, "flat"), min(k, len(gallery))
    timed = queries.packed[:: -(-len(queries) // _TIMED)]
    # The first search includes one-off costs.
    index.search(timed[:1], wanted)
    seconds = []
    for query in timed[:, None]:
        begin = time.perf_counter()
        index.search(query, wanted)
        seconds.append(time.perf_counter() - begin)
    return {
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


def peak_bytes() -> int:
    """Return the peak memory of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS reports bytes, all others kibibytes.
    return peak if sys.platform == "darwin" else peak * 1024


GALLERY, QUERY = "gallery", "query"
#: With one class, every result would be relevant.
LEAST_UNSEEN = 2
_SOME = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluator:
    """A trained network, the evaluation data (with the class table of tars), and the options of the evaluation."""

    trained: SketchEncoder
    data: Path
    device: str
    batch_size: int
    table: Path | None = None

    def drawings(self, split: str, words: Sequence[str]) -> PackedSplit:
        """Return the drawings of some classes, which are the class table of the result.

        Raises:
            ConfigError: The split does not exist, the data lacks one of the classes, or there are no drawings.
        """
        packed = read_split(self.data, split, self.table)
        missing = [word for word in words if word not in packed.classes]
        if missing:
            raise ConfigError(
                f"the network knows {len(words):,} classes, and {len(missing):,} of them ({_some(missing)}) are not "
                f"among the {len(packed.classes):,} of {self.data}: use the data set that it was trained on"
            )
        found = packed.of_classes(words)
        if not len(found):
            raise ConfigError(f"{self.data} has no drawings of {_some(words)} in {split}")
        return found

    def encode(self, split: str, words: Sequence[str]) -> Encoded:
        """Return the drawings of some classes with their embeddings and codes.

        Raises:
            ConfigError: See `drawings`.
        """
        packed = self.drawings(split, words)
        embeddings = embed(self.trained, packed, device=self.device, batch_size=self.batch_size)
        codes = codes_of(embeddings, self.trained.threshold, packed)
        return Encoded(packed=packed, embeddings=embeddings, codes=codes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """N drawings, their (N, D) float32 embeddings by the code layer, and their codes."""

    packed: PackedSplit
    embeddings: npt.NDArray[np.float32]
    codes: Codes


def unseen_classes(
    learned: Sequence[str], table: Sequence[str], held: Sequence[str], count: int | None
) -> tuple[str, ...]:
    """Choose the classes for zero-shot retrieval.

    Args:
        learned: The classes that the network learned.
        table: The class table of the data.
        held: The classes that its training held out.
        count: Number of classes, chosen by the hash with which trainings hold classes out, so that a training on this
            data with at least as many `--unseen` has held out all of them. None for the classes that the training held
            out.

    Returns:
        The classes in the order of the table; empty if `count` is None and fewer than two were held out.

    Raises:
        ConfigError: The network has not learned fewer than `count` classes.
    """
    if count is None:
        words = tuple(word for word in table if word in held)
        return words if len(words) >= LEAST_UNSEEN else ()
    unknown = [word for word in table if word not in learned]
    if len(unknown) < count:
        raise ConfigError(
            f"--unseen {count}: the network did not learn {len(unknown):,} of the {len(table):,} classes of the data; "
            f"train with --unseen {count}, which holds classes out, or use --data with more classes"
        )
    return draw_classes(unknown, count)


def evaluate_codes(evaluator: Evaluator, unseen: Sequence[str]) -> tuple[dict[str, Any], Encoded]:
    """Search the gallery for each query: for the learned classes, and for unseen ones if there are any.

    Returns:
        Plain values, as from `Retrieval.values`: `retrieval`, `spread`, `cost`, and `zero_shot` if there are unseen
        classes; and the gallery of the learned classes.

    Raises:
        ConfigError: The data does not have a class or a split.
    """
    trained = evaluator.trained
    gallery, query = (evaluator.encode(split, trained.classes) for split in (GALLERY, QUERY))
    d1, d2 = class_spread(gallery.embeddings, gallery.codes.labels)
    values: dict[str, Any] = {
        "retrieval": score_codes(query.codes, gallery.codes).values(),
        "spread": {
            "d1": d1,
            "d2": d2,
            # The ratio is undefined if the network maps all drawings to one embedding.
            "ratio": d1 / d2 if d2 else None,
            "activation": trained.fusion.activation,
            "drawings": len(gallery.codes),
        },
        "cost": [search_cost(query.codes, gallery.codes, size=size) for size in (None, PAPER_GALLERY)],
    }
    if unseen:
        others, queries = (evaluator.encode(split, unseen).codes for split in (GALLERY, QUERY))
        values["zero_shot"] = {"unseen": list(unseen), **score_codes(queries, others).values()}
    return values, gallery


def curves_of(values: dict[str, Any], learned: int) -> dict[str, Curve]:
    """Return the curves in the values of `evaluate_codes` by the names of their classes, `learned` of them learned."""
    curves = {f"{learned:,} learned classes": values["retrieval"]}
    if "zero_shot" in values:
        curves[f"{len(values['zero_shot']['unseen']):,} unseen classes"] = values["zero_shot"]
    return {name: Curve(chance=found["chance"], **found["curve"]) for name, found in curves.items()}


def curves_csv(curves: Mapping[str, Curve]) -> str:
    """Return named curves as CSV, one line per curve and distance."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["classes", "distance", "recall", "precision"])
    for name, curve in curves.items():
        for row in zip(curve.distance, curve.recall, curve.precision, strict=True):
            writer.writerow([name, *row])
    return file.getvalue()


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:_SOME]) + ("…" if len(words) > _SOME else "")


#: Number of worst classes in a report.
_WORST = 10
_MEGA = 1e6


def hashing_sections(values: Mapping[str, Any], picture: str, table: str) -> list[str]:
    """Return the Markdown lines of a report on the values of `evaluate_codes`.

    Args:
        values: The values.
        picture: The file of the precision-recall picture.
        table: The file of its points.
    """
    lines = ["## Retrieval", "", *_retrieval(values["retrieval"]), ""]
    lines += [f"![precision over recall]({picture})", "", f"Its points are in [{table}]({table}).", ""]
    if "zero_shot" in values:
        words = values["zero_shot"]["unseen"]
        lines += [
            "## Zero-shot retrieval",
            "",
            f"Queries and gallery are of {len(words):,} classes that the network did not learn. Figures over other "
            "numbers of classes cannot be compared with these.",
            "",
            f"The classes: {', '.join(words)}.",
            "",
            *_retrieval(values["zero_shot"]),
            "",
        ]
    spread = values["spread"]
    ratio = "" if spread["ratio"] is None else f"{spread['ratio']:.4f}"
    return [
        *lines,
        "## Spread of the classes",
        "",
        "| d1, within classes | d2, between classes | d1 / d2 |",
        "|--:|--:|--:|",
        f"| {spread['d1']:.4f} | {spread['d2']:.4f} | {ratio} |",
        "",
        "d1: the mean squared Euclidean distance of a class's drawings to their mean, averaged over classes. d2: the "
        f"mean squared distance between the means of two classes. Both of the {spread['activation']} embeddings, "
        f"before they become bits, of {spread['drawings']:,} gallery drawings. The paper's Table VI names both and "
        "defines neither.",
        "",
        "## Cost of a search (Table IV)",
        "",
        *cost_table(values["cost"]),
        "",
        f"{values['cost'][0]['definition']} {values['cost'][0]['queries']:,} queries were timed.",
        "",
    ]


def _retrieval(found: Mapping[str, Any]) -> list[str]:
    whole, k, excluded = found["map"], found["k"], found["excluded"]
    counted = f"{excluded:,} queries have no relevant item and are left out." if excluded else "Every query counts."
    worst = sorted(found["classes"], key=lambda word: (found["classes"][word]["map"], word))[:_WORST]
    interpolated = {side: whole[f"interpolated_{side}"] for side in ("pessimistic", "optimistic")}
    lines = [
        f"Codes of {found['bits']} bits: {found['queries']:,} queries, each against a gallery of {found['gallery']:,} "
        f"drawings. A random order has a mAP of {chance_of_map(found['chance'], found['gallery']):.4f} and a precision "
        f"of {found['chance']:.4f}. {counted}",
        "",
        "| measure | expected | worst order of ties | best order of ties |",
        "|---|--:|--:|--:|",
        _row("**mAP**", whole),
        _row(f"**P@{k}**", found["precision_at_k"]),
        _row(f"P@min({k}, R), as ZSE-SBIR", found["precision_at_min_k_r"]),
        _row(f"R@{k}", found["recall_at_k"]),
        *(
            _row(f"mAP@{k}, {name}{', as SAKE and ZSE-SBIR' * (name == 'interpolated')}", own)
            for name, own in found["map_at_k"].items()
        ),
        _row("mAP, interpolated", interpolated),
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
    lines += ["", f"{found['definition']}", "", f"The {len(worst)} classes with the lowest mAP:", ""]
    lines += ["| class | queries | mAP |", "|---|--:|--:|"]
    own = found["classes"]
    return lines + [f"| {word} | {own[word]['queries']:,} | {own[word]['map']:.4f} |" for word in worst]


def _row(name: str, bounds: Mapping[str, Any]) -> str:
    cells = (f"{bounds[side]:.4f}" if side in bounds else "" for side in ("expected", "pessimistic", "optimistic"))
    return f"| {name} | {' | '.join(cells)} |"


def _interval(bounds: Any) -> str:
    low, high = bounds
    return f"{low:.4f} to {high:.4f}"


def cost_table(costs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return values of `search_cost` as a Markdown table, with the paper's figures for its code lengths below."""
    lines = [
        "| bits | gallery | seconds per query | MB of codes | MB of all that is searched | peak MB of the process |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for bits in dict.fromkeys(each["bits"] for each in costs):
        for each in (each for each in costs if each["bits"] == bits):
            sizes = (f"{each[name] / _MEGA:,.2f}" for name in ("codes_bytes", "search_bytes", "peak_bytes"))
            lines.append(f"| {bits} | {each['gallery']:,} | {each['seconds']:.6f} | {' | '.join(sizes)} |")
        if bits in COST:
            seconds, megabytes = COST[bits]
            lines.append(f"| {bits}, the paper's | {PAPER_GALLERY:,} | {seconds:.3f} | | | {megabytes:,} |")
    return lines


#: Every fifth drawing is a query, and the others are the gallery, so that no query finds itself.
_QUERY_EVERY = 5
_VALIDATION_BATCH = 512


class CodeValidation:
    """Measures retrieval among the codes of `val`, by which trainers of codes select an epoch.

    Every process measures all of `val`, so that all of them select the same epoch.

    Args:
        val: The drawings.
        encoder: The network.
        view: The network's input of a drawing, without augmentation.
        threshold: The minimum value of a bit 1.

    Raises:
        ConfigError: No query has another drawing of its class in the gallery.
    """

    def __init__(self, val: PackedSplit, encoder: SketchEncoder, view: View, threshold: float) -> None:
        self.val, self.encoder, self.view, self.threshold = val, encoder, view, threshold
        self.queries = np.arange(len(val)) % _QUERY_EVERY == 0
        labels = val.labels.cpu().numpy()
        if not np.isin(labels[self.queries], labels[~self.queries]).any():
            raise ConfigError(
                f"val has too few drawings, {len(val):,}, to choose an epoch by retrieval: each class needs at least "
                f"two, better ten"
            )

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """Return the mean average precision, with ties in random order, and the accuracy of the classifier."""
        embeddings, right = [], 0
        for f, scores, labels in answers(self.val, self.encoder, self.view):
            embeddings.append(f.cpu().numpy())
            right += int((scores.argmax(1) == labels).sum())
        codes = codes_of(np.concatenate(embeddings), self.threshold, self.val)
        queries, gallery = (codes.take(np.flatnonzero(rows)) for rows in (self.queries, ~self.queries))
        found = score_codes(queries, gallery, resamples=2)
        return {"map": float(found.values()["map"]["expected"]), "accuracy": right / len(codes)}


def answers(
    packed: PackedSplit, encoder: SketchEncoder, view: View, rows: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield embeddings (B, D), scores (B, L) and labels (B,) of all drawings, or of (N,) int64 `rows`, in order."""
    for indices in torch.split(torch.arange(len(packed)) if rows is None else rows, _VALIDATION_BATCH):
        batch = view.batch(packed, indices)
        f, scores = encoder(batch)
        yield f, scores, batch.labels.to(f.device)


@torch.no_grad()
def class_means(packed: PackedSplit, encoder: SketchEncoder, view: View) -> Tensor:
    """Return the mean embedding of each class: (L, D) float32."""
    encoder.eval()
    return class_centers(((f, y) for f, _, y in answers(packed, encoder, view)), len(packed.classes))
