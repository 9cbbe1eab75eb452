r"""Train the deep sketch feature: one classifier of drawings, photos and edge maps, whose layers compare them.

    sketchdata train dsf --data data/tu-berlin --mix s+i+e --fold 1/3 --out runs/dsf-1 --weights imagenet
    sketchdata train dsf --data data/tu-berlin --preset paper --weights alexnet.pth --fold 1/3 --out runs/dsf-paper
    sketchdata train dsf --data data/drawings --mix s --backbone small --size 64 --out runs/small
    sketchdata evaluate runs/dsf-1 --views 18
    sketchdata encode runs/dsf-1 data/tu-berlin --layer fc6+fc7 --splits all --out vectors

Source: Wang, Bai, Fu, Yang and Bai, "Deep sketch feature for cross-domain image retrieval", Neurocomputing 2016. A
pretrained picture network learns all domains under one softmax. Drawings are learned from in 18 views, photos and their
binarised edge maps in nine patches and their mirror images. Photos and drawings are compared by the layers before the
scores, L2-normalised.

The paper leaves open which epoch is taken; here drawings that are not learned from choose it (`--validation-share`). It
does not name the fold of a drawing, which is a keyed hash here, nor whether its edge maps are cut to patches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import torch
from torch import Tensor

from sketchdata.config import recorded
from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS, is_two_domains
from sketchdata.cross_domain.encoder import SpaceArchitecture, SpaceEncoder, write_space
from sketchdata.cross_domain.experiment import CACHE
from sketchdata.cross_domain.mixing import (
    DrawingViews,
    MixedData,
    MixedLoader,
    MixedObjective,
    PhotoPatches,
    Source,
    class_scores,
    find_edges,
    parse_fold,
    read_mixed,
    whole_side,
)
from sketchdata.cross_domain.networks import BOTH, FC7, layer_width
from sketchdata.edges import detector, line_finder
from sketchdata.errors import ConfigError
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file, read_manifest
from sketchdata.trainers.options import DsfConfig as Config
from sketchdata.training.distributed import DistributedContext, distributed
from sketchdata.training.encoder import backbone_config, recorded_weights, start_pretrained, weights_record
from sketchdata.training.loader import Order
from sketchdata.training.loop import TrainingStage, fit
from sketchdata.training.options import TrainingOptions
from sketchdata.training.run_folder import METRICS, MODEL, RunFolder, open_run, stage_seconds
from sketchdata.training.voting import check_views

EDGES = "edges"
_AT_ONCE = 64
#: Drawings of the training that choose the epoch where none are kept for that.
_TRAINING_SAMPLE = 2000


def run(config: Config, training: TrainingOptions) -> dict[str, Any]:
    """Train, and return the report that is written beside the network.

    Raises:
        ConfigError: Folders, options or the device do not fit, or a class has no drawing to learn from.
        SketchDataError: The data is damaged, the training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; `--resume` goes on.
    """
    config.check()
    check_views(config.views)
    if config.fold is not None:
        parse_fold(config.fold)
    manifest = read_manifest(config.data)
    if config.mix != "s" and not is_two_domains(manifest):
        raise ConfigError(
            f"--mix {config.mix} needs photos, and {config.data} holds {manifest.name}: build a data set of both by "
            "`sketchdata build sbir`, or take --mix s"
        )
    with distributed(training.device) as context:
        weights = weights_record(config.network, config.out)
        facts = {
            "trainer": "dsf",
            "options": recorded(config) | recorded(training) | recorded_weights(weights),
            "weights": weights,
            "classes": list(manifest.classes),
            "manifest": hash_file(config.data / MANIFEST_NAME, "sha256"),
            "data": str(config.data.resolve()),
        }
        folder = open_run(config.out, facts, resume=training.resume, context=context)
        if (report := folder.report()) is not None:
            return report
        data = read_mixed(config.data, config, size=whole_side(config.size), line_width=config.line_width)
        counts = torch.bincount(_labels(data.drawings.labels, data.learned), minlength=len(data.classes)).tolist()
        if empty := [word for word, count in zip(data.classes, counts, strict=True) if not count]:
            raise ConfigError(
                f"{config.data} leaves no drawing to learn {', '.join(empty[:5])}{', …' if empty[5:] else ''} from: "
                "build it without these classes, or with more drawings of them"
            )
        encoder = _new_encoder(config, training, data.classes, folder)
        sources = list(_sources(config, data, facts, context, config.cache or folder.path / CACHE))
        stage = fit(_stage(config, training, encoder, data, sources, context), folder, training)
        if context.is_main:
            write_space(folder.path, encoder)
        context.barrier()
        return folder.finish(
            {
                "trainer": "dsf",
                "method": "dsf",
                "options": facts["options"],
                "stages": [stage],
                "classes": len(data.classes),
                "drawings": len(data.learned),
                "photos": len(data.learned_photos) if "i" in config.mix else 0,
                "edges": len(data.learned_photos) if "e" in config.mix else 0,
                "validation_drawings": len(data.validation),
                "held_drawings": len(data.held),
                "held_photos": len(data.held_photos),
                "parameters": sum(each.numel() for each in encoder.parameters() if each.requires_grad),
                "seconds": round(sum(stage_seconds(folder.path / METRICS).values()), 1),
                "sha256": hash_file(folder.path / MODEL, "sha256"),
            }
        )


def _new_encoder(
    config: Config, training: TrainingOptions, classes: tuple[str, ...], folder: RunFolder
) -> SpaceEncoder:
    network = backbone_config(config.network, folder.path)
    try:
        layer, width = BOTH, layer_width(config.backbone, BOTH, config.size, network)
    except ConfigError:
        layer, width = FC7, layer_width(config.backbone, FC7, config.size, network)
    torch.manual_seed(training.seed)
    encoder = SpaceEncoder(
        SpaceArchitecture(
            backbone=config.backbone,
            size=config.size,
            width=width,
            classes=classes,
            shared=True,
            branch="classifier",
            head=False,
            normalise=True,
            line_width=config.line_width,
            config=network,
            settings={"layer": layer, "resize": config.resize},
        )
    )
    start_pretrained(config.network, folder, encoder.branch(DRAWINGS).trunk)
    return encoder.to(folder.context.device)


def _sources(
    config: Config, data: MixedData, facts: dict[str, Any], context: DistributedContext, cache: Path
) -> list[Source]:
    device, views = context.device, config.views
    drawings = data.drawings.to(device)
    inputs = DrawingViews(pictures=drawings, size=config.size, views=views, resize=config.resize)
    found = [
        Source(name=DRAWINGS, inputs=inputs, rows=data.learned, labels=_labels(data.drawings.labels, data.learned))
    ]
    if data.photos is None or config.mix == "s":
        return found
    rows, labels = data.learned_photos, _labels(data.photos.labels, data.learned_photos)
    photos = PhotoPatches(pictures=data.photos.to(device), size=config.size, patches=config.patches)
    if "i" in config.mix:
        found.append(Source(name=PHOTOS, inputs=photos, rows=rows, labels=labels, times=config.repeat_photos))
    if "e" in config.mix:
        find = line_finder(config.edge_detector, detector(config.edge_detector))
        about = [facts["manifest"], config.edge_detector, config.edge_threshold, config.size]
        path = cache / f"{EDGES}-{hashlib.sha256(orjson.dumps(about)).hexdigest()[:16]}.npy"
        if context.is_main:
            find_edges(path, data.photos, find, config.edge_threshold, config.size, patches=config.patches)
        context.barrier()
        edges = find_edges(path, data.photos, find, config.edge_threshold, config.size, patches=config.patches)
        found.append(Source(name=EDGES, inputs=edges, rows=rows, labels=labels, times=config.repeat_photos))
    return found


def _labels(labels: Tensor, rows: Tensor) -> Tensor:
    return labels.cpu()[rows].long()


def _stage(
    config: Config,
    training: TrainingOptions,
    encoder: SpaceEncoder,
    data: MixedData,
    sources: list[Source],
    context: DistributedContext,
) -> TrainingStage:
    count = sum(len(source.rows) * source.times for source in sources)
    order = Order(
        count=count,
        batch_size=min(training.batch_size, count),
        seed=training.seed,
        rank=context.rank,
        world_size=context.world_size,
    )
    branch = encoder.branch(DRAWINGS)
    groups = [
        (list(branch.classifier.parameters()), training.learning_rate),
        (branch.trunk_parameters, config.trunk_learning_rate),
    ]
    chooser = "accuracy" if len(data.validation) else "training_accuracy"
    rows = data.validation if len(data.validation) else data.learned[:_TRAINING_SAMPLE]
    return TrainingStage(
        name="dsf",
        epochs=config.epochs,
        objective=MixedObjective(encoder),
        groups=groups,
        loader=MixedLoader(sources=sources, order=order),
        validate=_validation(encoder, sources[0], rows, _labels(data.drawings.labels, rows), chooser),
        chooser=chooser,
        constant=config.constant_rate,
        patience=config.patience,
    )


def _validation(
    encoder: SpaceEncoder, drawings: Source, rows: Tensor, labels: Tensor, name: str
) -> Callable[[], dict[str, float]]:
    @torch.no_grad()
    def measure() -> dict[str, float]:
        encoder.eval()
        right = 0
        for some, own in zip(torch.split(rows, _AT_ONCE), torch.split(labels, _AT_ONCE), strict=True):
            right += int((class_scores(encoder, drawings.inputs.read(some)).argmax(1).cpu() == own).sum())
        return {name: right / len(rows)}

    return measure
