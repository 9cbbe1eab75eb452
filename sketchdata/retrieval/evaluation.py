"""Evaluation of a trained network: recognition of the drawings of a split, and retrieval with its codes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sketchdata.display.charts import precision_recall, reliability_diagram, save
from sketchdata.errors import ConfigError
from sketchdata.progress import task_bar
from sketchdata.retrieval.code_evaluation import (
    GALLERY,
    Encoded,
    Evaluator,
    curves_csv,
    curves_of,
    evaluate_codes,
    hashing_sections,
    unseen_classes,
)
from sketchdata.retrieval.metrics import Counts
from sketchdata.storage.manifest import replacing
from sketchdata.training.bitmaps import DrawingSplit, identity
from sketchdata.training.encoder import DrawingNetwork, read_encoder
from sketchdata.training.run_folder import read_record, table_of, write_json
from sketchdata.training.voting import check_views, vote

JSON_FILE, TABLE_FILE, PICTURE_FILE = "evaluation.json", "evaluation.md", "reliability.svg"
CURVE_FILE, CURVE_TABLE_FILE = "precision-recall.svg", "precision-recall.csv"
#: Bins of equal width, as in the paper's experiments.
RELIABILITY_BINS = 15
#: Number of confused pairs in a report.
_PAIRS = 20


def calibration(
    drawings: Counts, confidence: npt.NDArray[np.float64], right: Counts
) -> tuple[float, list[dict[str, Any]]]:
    """Compare the confidence of a classifier with its accuracy, in M equal bins of its highest probability.

    Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, eq. 2 and 3.

    Args:
        drawings: (M,) number of drawings in each bin.
        confidence: (M,) sums of their highest probabilities.
        right: (M,) number of drawings whose class was predicted.

    Returns:
        The expected calibration error, and for each non-empty bin: bounds, drawings, mean confidence and accuracy.
    """
    bins = len(drawings)
    rows = [
        {
            "from": place / bins,
            "to": (place + 1) / bins,
            "drawings": int(count),
            "confidence": float(confidence[place] / count),
            "accuracy": float(right[place] / count),
        }
        for place, count in enumerate(drawings.tolist())
        if count
    ]
    return float(np.abs(right - confidence).sum() / drawings.sum()), rows


@torch.no_grad()
def evaluate(
    trained: DrawingNetwork,
    packed: DrawingSplit,
    *,
    device: str = "cpu",
    batch_size: int = 512,
    embeddings: npt.NDArray[np.float32] | None = None,
    views: int = 1,
) -> dict[str, Any]:
    """Evaluate a network on drawings of its own L classes.

    Args:
        trained: The network.
        packed: N drawings, with the class table that it learned.
        device: Where to compute.
        batch_size: Drawings per batch.
        embeddings: (N, D), outputs of its code layer, if known: then only the classifier runs.
        views: Number of views of each drawing whose probabilities are averaged, see `training.voting`.

    Returns:
        Plain values: `drawings`, `top1` and `top5` with chance, the expected calibration error `ece` with its bins in
        `reliability`, the accuracy on each of the `classes`, and the most frequent confusions in `confused`.

    Raises:
        ConfigError: The drawings have other classes, or `views` is invalid.
    """
    words = trained.classes
    check_views(views)
    if packed.classes != words:
        raise ConfigError(
            f"the network knows {len(words):,} classes ({', '.join(words[:3])}…), and the drawings are of "
            f"{len(packed.classes):,} ({', '.join(packed.classes[:3])}…): use the data set that it was trained on"
        )
    packed, encoder = packed.to(device), trained.to(device).eval()
    # Confusion matrix: class (row) by predicted class (column); and drawings whose class is among the five best.
    confusion, first_five = np.zeros((len(words), len(words)), np.int64), np.zeros(len(words), np.int64)
    bins = np.zeros((3, RELIABILITY_BINS))
    with task_bar() as bar:
        shown = bar.add_task("Evaluating", total=len(packed))
        for indices in torch.split(torch.arange(len(packed)), batch_size):
            if views > 1:
                scores = vote(encoder, packed, indices, views)
            elif embeddings is None:
                _, scores = encoder(trained.view.batch(packed, indices, 0))
            else:
                known = torch.from_numpy(embeddings[indices.numpy()]).to(packed.device)
                scores = encoder.classifier(known).float()
            labels = packed.labels[indices.to(packed.device)].long().cpu().numpy()
            best = scores.topk(min(5, scores.shape[1]), dim=1).indices.cpu().numpy()
            confidence = scores.double().softmax(1).amax(1).cpu().numpy()
            np.add.at(confusion, (labels, best[:, 0]), 1)
            np.add.at(first_five, labels[(best == labels[:, None]).any(1)], 1)
            place = np.clip(np.ceil(confidence * RELIABILITY_BINS).astype(np.int64) - 1, 0, RELIABILITY_BINS - 1)
            for row, values in enumerate((np.ones(len(labels)), confidence, best[:, 0] == labels)):
                bins[row] += np.bincount(place, values, RELIABILITY_BINS)
            bar.update(shown, advance=len(indices))
    totals, right = confusion.sum(axis=1), np.diag(confusion)
    error, rows = calibration(bins[0].astype(np.int64), bins[1], bins[2].astype(np.int64))
    wrong = confusion - np.diag(right)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return {
        "drawings": int(totals.sum()),
        "top1": float(right.sum() / totals.sum()),
        "top1_chance": min(1 / len(words), 1.0),
        "top5": float(first_five.sum() / totals.sum()),
        "top5_chance": min(5 / len(words), 1.0),
        "ece": error,
        "classes": {
            word: {
                "drawings": int(total),
                "top1": float(own / total) if total else None,
                "top5": float(five / total) if total else None,
            }
            for word, total, own, five in zip(words, totals, right, first_five, strict=True)
        },
        "confused": [
            {
                "class": words[row],
                "predicted": words[column],
                "drawings": int(wrong[row, column]),
                "share": float(wrong[row, column] / totals[row]),
            }
            for row, column in pairs
            if wrong[row, column]
        ],
        "reliability": rows,
    }


def markdown(values: dict[str, Any], title: str, sections: Sequence[str] = ()) -> str:
    """Return the values of `evaluate` as Markdown, the worst class first; `sections` are lines before its tables."""
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
        "| class | predicted | drawings | share of the class |",
        "|---|---|--:|--:|",
    ]
    lines += [f"| {p['class']} | {p['predicted']} | {p['drawings']:,} | {p['share']:.3f} |" for p in values["confused"]]
    lines += ["", "## Classes", "", "| class | drawings | top-1 | top-5 |", "|---|--:|--:|--:|"]
    known = {word: own for word, own in values["classes"].items() if own["drawings"]}
    for word, own in sorted(known.items(), key=lambda item: (item[1]["top1"], item[0])):
        lines.append(f"| {word} | {own['drawings']:,} | {own['top1']:.3f} | {own['top5']:.3f} |")
    return "\n".join(lines) + "\n"


def evaluate_run(  # noqa: PLR0913 - each is an option of the command that evaluates
    run: Path, data: Path | None, split: str, *, device: str, batch_size: int, unseen: int | None = None, views: int = 1
) -> dict[str, Any]:
    """Evaluate the network of a run folder, and write JSON, Markdown and pictures into it.

    If the network has codes, those of `query` are searched in `gallery`, regardless of the recognised split.

    Args:
        run: The folder.
        data: The data set; None for the training data set.
        split: The split to recognise.
        device: Where to compute.
        batch_size: Drawings per batch.
        unseen: Number of classes, which the network did not learn, for zero-shot retrieval; None for those that its
            training held out.
        views: As for `evaluate`; codes are of the unchanged drawings.

    Returns:
        The values in the JSON file.

    Raises:
        ConfigError: The split does not exist or lacks a class, there are too few unseen classes, or there are no codes.
        SketchDataError: The training is not complete, or a file is damaged.
    """
    record = read_record(run)
    trained, place = read_encoder(run), Path(record["data"]) if data is None else data
    names = table_of(record) if data is None else None
    evaluator = Evaluator(trained=trained, data=place, device=device, batch_size=batch_size, table=names)
    table, manifest = identity(place, names)
    codes: dict[str, Any] = {}
    known: Encoded | None = None
    if "bits" in record["options"]:
        words = unseen_classes(trained.classes, table, record.get("unseen") or (), unseen)
        codes, gallery = evaluate_codes(evaluator, words)
        known = gallery if split == GALLERY else None
    elif unseen is not None:
        raise ConfigError(
            f"--unseen is for networks that make binary codes, which a training of {record['trainer']} does not: "
            "leave it out"
        )
    found = evaluate(
        trained,
        evaluator.drawings(split, trained.classes) if known is None else known.packed,
        device=device,
        batch_size=batch_size,
        embeddings=None if known is None else known.embeddings,
        views=views,
    )
    values = {"split": split, "views": views, "manifest": manifest, **found, **codes}
    write_evaluation(run, record["trainer"], values)
    return values


def write_evaluation(run: Path, trainer: str, values: dict[str, Any], sections: Sequence[str] = ()) -> None:
    """Write values of `evaluate`, with `split` and `views`, as JSON, as a page with more sections, and as a chart."""
    title, pages = f"Recognition of {values['split']}: {trainer}", {}
    title += f", {values['views']} views" * (values["views"] > 1)
    if "retrieval" in values:
        found, curves = values["retrieval"], curves_of(values, len(values["classes"]))
        title, sections = f"Evaluation: {trainer}", hashing_sections(values, CURVE_FILE, CURVE_TABLE_FILE)
        about = f"{trainer}, {found['bits']} bits: mAP {found['map']['expected']:.4f}"
        pages = {CURVE_TABLE_FILE: curves_csv(curves)}
        save(precision_recall(curves, about), run / CURVE_FILE)
    calibration = f"Expected calibration error {values['ece']:.4f} over {values['drawings']:,} drawings"
    save(reliability_diagram(values["reliability"], calibration), run / PICTURE_FILE)
    write_json(run / JSON_FILE, values)
    for name, text in ({TABLE_FILE: markdown(values, title, sections)} | pages).items():
        with replacing(run / name) as file:
            file.write(text.encode())
