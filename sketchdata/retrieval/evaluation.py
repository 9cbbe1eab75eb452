"""How good a trained network is: how well it recognises the drawings of a split, and how well its codes find others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import torch

from sketchdata.display.charts import precision_recall, reliability_diagram, save
from sketchdata.errors import ConfigError
from sketchdata.progress import task_bar
from sketchdata.retrieval.code_evaluation import (
    GALLERY,
    Encoded,
    Subject,
    curves_csv,
    curves_of,
    evaluate_codes,
    hashing_sections,
    unseen_classes,
)
from sketchdata.storage.manifest import replacing
from sketchdata.training.bitmaps import PackedSplit, identity
from sketchdata.training.encoder import Trained, read_encoder
from sketchdata.training.run_folder import read_record

JSON_FILE, TABLE_FILE, PICTURE_FILE = "evaluation.json", "evaluation.md", "reliability.svg"
CURVE_FILE, CURVE_TABLE_FILE = "precision-recall.svg", "precision-recall.csv"
#: Bins of equal width, as the paper has them in its experiments.
RELIABILITY_BINS = 15
#: Confused pairs that are listed.
_PAIRS = 20

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """How sure a classifier was, and how often it was right then: M bins of equal width of its highest probability.

    Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, eq. 2 and 3.

    Attributes:
        drawings: (M,) int64.
        confidence: (M,) float64, the sum of these probabilities.
        right: (M,) int64, drawings whose class was chosen.
    """

    drawings: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    right: npt.NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error, eq. 3: Σ |right − confidence| over all bins, by the drawings in each."""
        return float(np.abs(self.right - self.confidence).sum() / self.drawings.sum())

    def rows(self) -> list[dict[str, Any]]:
        """Return each bin that has drawings: where it begins and ends, its drawings, mean confidence and accuracy."""
        bins = len(self.drawings)
        return [
            {
                "from": place / bins,
                "to": (place + 1) / bins,
                "drawings": int(count),
                "confidence": float(self.confidence[place] / count),
                "accuracy": float(self.right[place] / count),
            }
            for place, count in enumerate(self.drawings.tolist())
            if count
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What a network of L classes said of N drawings.

    Attributes:
        classes: The class table.
        confusion: (L, L) int64, drawings of each class (row) that were taken for each class (column).
        first_five: (L,) int64, drawings of each class that had it among the five highest scores.
        reliability: How sure the network was, and how often it was right then.
    """

    classes: tuple[str, ...]
    confusion: Counts
    first_five: Counts
    reliability: Reliability

    @property
    def drawings(self) -> int:
        """N."""
        return int(self.confusion.sum())

    @property
    def top1(self) -> float:
        """The share of drawings whose class has the highest score."""
        return float(np.trace(self.confusion) / self.drawings)

    @property
    def top5(self) -> float:
        """The share of drawings whose class is among the five with the highest scores."""
        return float(self.first_five.sum() / self.drawings)

    def chance(self, k: int) -> float:
        """Return the share that guessing k different classes would get."""
        return min(k / len(self.classes), 1.0)

    def confused(self, count: int) -> list[tuple[str, str, int, float]]:
        """Return the pairs that are confused most often: class, what it was taken for, drawings, share of the class."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        rows, columns = np.unravel_index(order, wrong.shape)
        totals = self.confusion.sum(axis=1)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        return [
            (self.classes[row], self.classes[column], int(wrong[row, column]), float(wrong[row, column] / totals[row]))
            for row, column in pairs
            if wrong[row, column]
        ]


def evaluate(
    trained: Trained,
    packed: PackedSplit,
    *,
    device: str = "cpu",
    batch_size: int = 512,
    numbers: npt.NDArray[np.float32] | None = None,
) -> Evaluation:
    """Ask a network about every drawing.

    Args:
        trained: The network.
        packed: N drawings, of the very classes that it learned.
        device: Where to compute.
        batch_size: Drawings at a time.
        numbers: (N, D), what its code layer gives for them, where that is known: then only the classifier is asked.

    Raises:
        ConfigError: The drawings are of other classes.
    """
    if packed.classes != trained.classes:
        raise ConfigError(
            f"the network knows {len(trained.classes):,} classes ({', '.join(trained.classes[:3])}…), and the drawings "
            f"are of {len(packed.classes):,} ({', '.join(packed.classes[:3])}…): take the data set it learned from"
        )
    classes = len(trained.classes)
    confusion, first_five = np.zeros((classes, classes), np.int64), np.zeros(classes, np.int64)
    bins = np.zeros((3, RELIABILITY_BINS))
    for labels, best, confidence in _answers(trained, packed.to(device), batch_size, numbers):
        np.add.at(confusion, (labels, best[:, 0]), 1)
        np.add.at(first_five, labels[(best == labels[:, None]).any(1)], 1)
        place = np.clip(np.ceil(confidence * RELIABILITY_BINS).astype(np.int64) - 1, 0, RELIABILITY_BINS - 1)
        for row, values in enumerate((np.ones(len(labels)), confidence, best[:, 0] == labels)):
            bins[row] += np.bincount(place, values, RELIABILITY_BINS)
    found = Reliability(drawings=bins[0].astype(np.int64), confidence=bins[1], right=bins[2].astype(np.int64))
    return Evaluation(classes=trained.classes, confusion=confusion, first_five=first_five, reliability=found)


@torch.no_grad()
def _answers(
    trained: Trained, packed: PackedSplit, batch_size: int, numbers: npt.NDArray[np.float32] | None
) -> Iterator[tuple[Counts, Counts, npt.NDArray[np.float64]]]:
    """Yield labels (B,), the five best classes (B, 5) or all there are, and the probability of the best one (B,)."""
    encoder = trained.encoder.to(packed.device).eval()
    with task_bar() as bar:
        shown = bar.add_task("Evaluating", total=len(packed))
        for indices in torch.split(torch.arange(len(packed)), batch_size):
            if numbers is None:
                _, scores = encoder(trained.view.batch(packed, indices))
            else:
                scores = encoder.fusion.classifier(torch.from_numpy(numbers[indices.numpy()]).to(packed.device)).float()
            best = scores.topk(min(5, scores.shape[1]), dim=1).indices
            confidence = scores.double().softmax(1).amax(1)
            bar.update(shown, advance=len(indices))
            yield (
                packed.labels[indices.to(packed.device)].long().cpu().numpy(),
                best.cpu().numpy(),
                confidence.cpu().numpy(),
            )


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain values."""
    totals = evaluation.confusion.sum(axis=1)
    right = np.diag(evaluation.confusion)
    return {
        "drawings": evaluation.drawings,
        "top1": evaluation.top1,
        "top1_chance": evaluation.chance(1),
        "top5": evaluation.top5,
        "top5_chance": evaluation.chance(5),
        "ece": evaluation.reliability.error,
        "classes": {
            word: {"drawings": int(total), "top1": _share(own, total), "top5": _share(five, total)}
            for word, total, own, five in zip(evaluation.classes, totals, right, evaluation.first_five, strict=True)
        },
        "confused": [
            {"class": word, "taken_for": other, "drawings": count, "share": share}
            for word, other, count, share in evaluation.confused(_PAIRS)
        ],
        "reliability": evaluation.reliability.rows(),
    }


def _share(part: int, whole: int) -> float | None:
    """Return a share, None of nothing."""
    return float(part / whole) if whole else None


def markdown(values: dict[str, Any], title: str, sections: Sequence[str] = ()) -> str:
    """Return what `summary` gave as a page of tables, the worst class first.

    Args:
        values: The plain values.
        title: Of the page.
        sections: Lines that come before those on recognition.
    """
    lines = [f"# {title}", "", *sections]
    lines += [f"## Recognition of {values['split']}", ""] if sections else []
    lines += [
        "| measure | value | chance |",
        "|---|---|---|",
        f"| top-1 accuracy | {values['top1']:.4f} | {values['top1_chance']:.4f} |",
        f"| top-5 accuracy | {values['top5']:.4f} | {values['top5_chance']:.4f} |",
        f"| expected calibration error | {values['ece']:.4f} | |",
        "",
        f"{values['drawings']:,} drawings of {len(values['classes']):,} classes.",
        "",
        f"![reliability]({PICTURE_FILE})",
        "",
        "## Most confused",
        "",
        "| class | taken for | drawings | share of the class |",
        "|---|---|--:|--:|",
    ]
    lines += [f"| {p['class']} | {p['taken_for']} | {p['drawings']:,} | {p['share']:.3f} |" for p in values["confused"]]
    lines += ["", "## Classes", "", "| class | drawings | top-1 | top-5 |", "|---|--:|--:|--:|"]
    known = {word: own for word, own in values["classes"].items() if own["drawings"]}
    for word, own in sorted(known.items(), key=lambda item: (item[1]["top1"], item[0])):
        lines.append(f"| {word} | {own['drawings']:,} | {own['top1']:.3f} | {own['top5']:.3f} |")
    return "\n".join(lines) + "\n"


# ---- a run folder ----------------------------------------------------------------------------------------------------


def evaluate_run(
    run: Path, data: Path | None, split: str, *, device: str, batch_size: int, unseen: int | None = None
) -> dict[str, Any]:
    """Evaluate the network of a run folder, and write JSON, Markdown and pictures into it.

    Codes, where it makes them, are those of `query`, searched in `gallery`, whichever split is recognised.

    Args:
        run: The folder.
        data: The data set; None for the one that the network learned from.
        split: Its split to recognise.
        device: Where to compute.
        batch_size: Drawings at a time.
        unseen: How many classes, which the network did not learn, to measure zero-shot retrieval on; None for those
            that its training held out.

    Returns:
        What was written as JSON.

    Raises:
        ConfigError: There is no such split, it lacks a class, or there are not so many unseen ones, or no codes.
        SketchDataError: The training is not whole, or something is damaged.
    """
    record = read_record(run)
    subject = Subject(
        trained=read_encoder(run),
        data=Path(record["data"]) if data is None else data,
        device=device,
        batch_size=batch_size,
    )
    table, manifest = identity(subject.data)
    codes, gallery = _evaluate_codes(subject, record, table, unseen)
    known = gallery if split == GALLERY else None
    evaluation = _evaluate_split(subject, split, known)
    values = {"split": split, "manifest": manifest, **summary(evaluation), **codes}
    _write(run, record["trainer"], values)
    return values


def _evaluate_codes(
    subject: Subject, record: dict[str, Any], table: Sequence[str], unseen: int | None
) -> tuple[dict[str, Any], Encoded | None]:
    """Evaluate the codes, and return the gallery as well; nothing and None of a network that makes none."""
    if "bits" not in record["options"]:
        if unseen is not None:
            raise ConfigError(
                f"--unseen is for networks that make binary codes, which a training of {record['trainer']} does not: "
                "leave it out"
            )
        return {}, None
    return evaluate_codes(subject, unseen_classes(subject.trained.classes, table, record.get("unseen") or (), unseen))


def _evaluate_split(subject: Subject, split: str, known: Encoded | None) -> Evaluation:
    trained = subject.trained
    packed = subject.drawings(split, trained.classes) if known is None else known.packed
    numbers = None if known is None else known.numbers
    return evaluate(trained, packed, device=subject.device, batch_size=subject.batch_size, numbers=numbers)


def _write(run: Path, trainer: str, values: dict[str, Any]) -> None:
    title, sections, pages = f"Recognition of {values['split']}: {trainer}", [], {}
    if "retrieval" in values:
        found, curves = values["retrieval"], curves_of(values, len(values["classes"]))
        title, sections = f"Evaluation: {trainer}", hashing_sections(values, CURVE_FILE, CURVE_TABLE_FILE)
        about = f"{trainer}, {found['bits']} bits: mAP {found['map']['expected']:.4f}"
        pages = {CURVE_TABLE_FILE: curves_csv(curves).encode()}
        save(precision_recall(curves, about), run / CURVE_FILE)
    calibration = f"Expected calibration error {values['ece']:.4f} over {values['drawings']:,} drawings"
    save(reliability_diagram(values["reliability"], calibration), run / PICTURE_FILE)
    pages |= {
        JSON_FILE: orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
        TABLE_FILE: markdown(values, title, sections).encode(),
    }
    for name, content in pages.items():
        with replacing(run / name) as file:
            file.write(content)
