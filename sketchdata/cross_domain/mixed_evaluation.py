"""Evaluation of a run of `train dsf`: recognition of drawings by one or several views, and retrieval of photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS, Pictures
from sketchdata.cross_domain.encoder import SpaceEncoder, read_space
from sketchdata.cross_domain.experiment import search_precision
from sketchdata.cross_domain.mixing import (
    DrawingViews,
    DrawnSplit,
    MixedClassifier,
    MixedData,
    PhotoPatches,
    read_classifier,
    read_mixed,
)
from sketchdata.cross_domain.networks import LAYERS
from sketchdata.cross_domain.options import MixOptions
from sketchdata.cross_domain.sampling import Inputs
from sketchdata.errors import ConfigError
from sketchdata.progress import task_bar
from sketchdata.retrieval.evaluation import evaluate, write_evaluation
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file, read_manifest
from sketchdata.training.run_folder import read_record
from sketchdata.training.voting import check_views

_AT_ONCE = 64


@torch.no_grad()
def embed_rows(encoder: SpaceEncoder, inputs: Inputs, rows: Tensor, domain: str) -> npt.NDArray[np.float32]:
    """Return the L2-normalised layers of some pictures: (N, D) float32.

    Args:
        encoder: The network, on the device of the pictures.
        inputs: The pictures.
        rows: (N,) int64, rows in `inputs`.
        domain: `drawings` or `photos`.
    """
    encoder.eval()
    found = np.empty((len(rows), encoder.width), np.float32)
    with task_bar() as bar:
        shown = bar.add_task(f"Embedding {domain}", total=len(rows))
        for places in torch.split(torch.arange(len(rows)), _AT_ONCE):
            found[places.numpy()] = encoder(inputs.read(rows[places]), domain).cpu().numpy()
            bar.advance(shown, len(places))
    return found


def drawing_inputs(encoder: SpaceEncoder, drawings: Pictures) -> DrawingViews:
    """Return drawings as input of a network of `train dsf`."""
    resize = str(encoder.architecture.settings["resize"])
    return DrawingViews(pictures=drawings, size=encoder.size, views=1, resize=resize)


def evaluate_mixed(
    run: Path, data: Path | None, *, device: str, batch_size: int = 64, views: int = 1
) -> dict[str, Any]:
    """Evaluate a run of `train dsf` on drawings that it did not learn from, and write its values and pages.

    These are the drawings of its fold; without a fold, the drawings that chose the epoch; in another data set, all
    drawings of the network's classes.

    Args:
        run: The folder.
        data: The data set; None for the one that the network learned from.
        device: Where to compute.
        batch_size: Drawings per batch.
        views: As for `training.voting.vote`; with several, the values have those of one view, too.

    Returns:
        The values in the JSON file: those of `evaluate`, `one_view`, and under `layers`, of data with photos, mAP of
        the drawings that search photos by each layer, with its chance.

    Raises:
        ConfigError: The data has no class that the network learned, or no drawing that was not learned from.
        SketchDataError: The training is not complete, or a file is damaged.
    """
    check_views(views)
    record, trained = read_record(run), read_classifier(run)
    place = Path(record["data"]) if data is None else data
    read, rows, said = _chosen(record, trained, place)
    drawings = DrawnSplit(pictures=read.drawings, rows=rows, classes=trained.classes)
    one = evaluate(trained, drawings, device=device, batch_size=batch_size)
    found = evaluate(trained, drawings, device=device, batch_size=batch_size, views=views) if views > 1 else one
    values: dict[str, Any] = {"split": said, "views": views, "manifest": hash_file(place / MANIFEST_NAME, "sha256")}
    values |= found
    sections: list[str] = []
    if views > 1:
        values["one_view"] = {name: one[name] for name in ("top1", "top5", "ece")}
        sections += [
            f"By one view: top-1 {one['top1']:.4f}, top-5 {one['top5']:.4f}; by {views} views: top-1 "
            f"{found['top1']:.4f}, top-5 {found['top5']:.4f}.",
            "",
        ]
    if read.photos is not None and len(read.photos):
        values["layers"] = _layers(run, read, rows, device)
        sections += _retrieval_section(values["layers"])
    write_evaluation(run, "dsf", values, sections)
    return values


def _chosen(record: dict[str, Any], trained: MixedClassifier, place: Path) -> tuple[MixedData, Tensor, str]:
    architecture, options = trained.encoder.architecture, record["options"]
    same = hash_file(place / MANIFEST_NAME, "sha256") == record["manifest"]
    names = ("fold", "fold_photos", "validation_share")
    own = MixOptions(**{name: options[name] for name in names}) if same else MixOptions(validation_share=0.0)
    there = set(read_manifest(place).classes)
    words = [word for word in trained.classes if word in there]
    if not words:
        raise ConfigError(
            f"{place} has none of the {len(trained.classes):,} classes that the network learned, such as "
            f"{', '.join(trained.classes[:3])}: take a data set with classes of these names"
        )
    read = read_mixed(place, own, size=architecture.size, line_width=architecture.line_width, words=words)
    if not same:
        return read, torch.arange(len(read.drawings)), place.name
    if len(read.held):
        return read, read.held, f"fold {own.fold}" if own.fold else "drawings that are not in train or val"
    if len(read.validation):
        return read, read.validation, "drawings that chose the epoch"
    raise ConfigError(
        f"the network learned from all drawings of {place}: give another data set by --data, or train with --fold"
    )


def _layers(run: Path, read: MixedData, rows: Tensor, device: str) -> dict[str, Any]:
    assert read.photos is not None  # noqa: S101 - the caller asked
    photo_rows, found = read.held_photos if len(read.held_photos) else read.learned_photos, dict[str, Any]()
    queries = read.drawings.labels.numpy()[rows.numpy()]
    gallery = read.photos.labels.numpy()[photo_rows.numpy()]
    for layer in layers_of(read_space(run)):
        encoder = read_space(run, layer).to(device)
        of_drawings = embed_rows(encoder, drawing_inputs(encoder, read.drawings.to(device)), rows, DRAWINGS)
        photos = PhotoPatches(pictures=read.photos.to(device), size=encoder.size, patches=False)
        of_photos = embed_rows(encoder, photos, photo_rows, PHOTOS)
        precision, by_chance = search_precision(of_drawings, of_photos, queries, gallery)
        found[layer] = {"map": precision, "chance": by_chance, "width": encoder.width}
    return {"photos": len(photo_rows), "photos_held": bool(len(read.held_photos)), "by_layer": found}


def layers_of(encoder: SpaceEncoder) -> Sequence[str]:
    """Return the layers that the network of a run of `train dsf` has, of LAYERS."""
    return LAYERS if encoder.layer != "fc7" else ("fc7",)


def _retrieval_section(layers: dict[str, Any]) -> list[str]:
    learned = (
        "that were not learned from" if layers["photos_held"] else "of the data set, learned from where the mix has i"
    )
    rows = [
        f"| {name} | {own['width']:,} | {own['map']:.4f} | {own['chance']:.4f} |"
        for name, own in layers["by_layer"].items()
    ]
    return [
        "## Photos found by drawings",
        "",
        f"The drawings search {layers['photos']:,} photos {learned}. Distances are Euclidean, of L2-normalised layers.",
        "",
        "| layer | width | mAP@all | chance |",
        "|---|--:|--:|--:|",
        *rows,
        "",
    ]
