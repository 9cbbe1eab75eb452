r"""Train zero-shot recognition: a network on drawings of seen classes, then prototypes of classes in its feature space.

    sketchdata train zsl --data data/quickdraw-3.8m --vectors edge-vectors.parquet --seen 200 --out runs/zsl
    sketchdata train zsl --data data/quickdraw-3.8m --vectors edge-vectors.parquet --seen 200 --out runs/zsl --resume
    sketchdata train zsl … --vectors edge-vectors.parquet --vectors words.parquet --methods all --recipe
    sketchdata train zsl … --preset paper
    sketchdata evaluate runs/zsl
    sketchdata recognise runs/zsl drawing.svg

Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", sections III-C, III-D
and IV-B. The sketch encoding (SE) subnet learns in three stages: each branch alone, then both under a fusion layer of
4,096 ReLUs. It is frozen, and the edge-map vector encoding (EVE) subnet maps the vector of each class to a prototype
among the embeddings of drawings, Eq. 8; the predicted class is the one with the nearest prototype, Eq. 9.

Neither drawings nor vectors of unseen classes are used for training. Some of the seen classes are validation classes:
the network is not trained on them, and their accuracy chooses the constants of each method, which is then fitted to all
seen classes. `val` drawings of the other seen classes choose the epoch of
each stage; `gallery` and `query` are not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.classes.splits import ClassSplit, SplitOptions
from sketchdata.classes.vectors import VectorSource, arranged, covered, read_sources
from sketchdata.config import recorded
from sketchdata.drawings.sampling import first_of_each
from sketchdata.errors import ConfigError
from sketchdata.progress import console
from sketchdata.storage.catalog import manifest_path
from sketchdata.trainers.options import ZeroShotConfig as Config
from sketchdata.training.bitmaps import read_split
from sketchdata.training.distributed import distributed
from sketchdata.training.encoder import embed, read_encoder
from sketchdata.training.experiment import INDEPENDENT as STAGE_INDEPENDENT
from sketchdata.training.experiment import (
    TRAIN,
    begin,
    facts_of,
    fine_tune,
    new_encoder,
    pretrain,
    read_experiment,
    write_network,
)
from sketchdata.training.losses import CodeLoss
from sketchdata.training.options import NetworkOptions, PrototypeOptions, TrainingOptions
from sketchdata.training.run_folder import RunFolder
from sketchdata.zero_shot import ZeroShotMethod, chosen_methods
from sketchdata.zero_shot.recogniser import KeptRecogniser, read_recognisers, recogniser_path, write_recogniser

#: Options that do not change the network of drawings.
_OF_PROTOTYPES = frozenset({"methods", "recipe", "drawings"})
#: Options that change the network only by its classes, which are compared instead.
_OF_CLASSES = frozenset(SplitOptions.__dataclass_fields__) | {"allow_missing"}
INDEPENDENT = {stage: names | _OF_PROTOTYPES | _OF_CLASSES for stage, names in STAGE_INDEPENDENT.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassPlan:
    """The classes of the experiment and their vectors.

    Attributes:
        classes: The L seen and unseen classes, in the order of the data set.
        split: The seen, validation and unseen classes.
        sources: {name: (L, S) vectors}.
        hashes: {file name: sha256}.
        left_out: Classes of the data set without a vector, and names of the split that are not classes.
    """

    classes: tuple[str, ...]
    split: ClassSplit
    sources: Mapping[str, npt.NDArray[np.float32]]
    hashes: Mapping[str, str]
    left_out: tuple[str, ...]

    def places(self, words: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the rows of classes in the class table, ascending."""
        chosen = set(words)
        return np.array([place for place, word in enumerate(self.classes) if word in chosen], np.int64)

    def record(self) -> dict[str, Any]:
        """Return the value of `zero_shot` in the run's record."""
        return {
            "classes": list(self.classes),
            "seen": list(self.split.seen),
            "validation": list(self.split.validation),
            "unseen": list(self.split.unseen),
            "vectors": dict(self.hashes),
            "left_out": list(self.left_out),
        }


def plan(config: PrototypeOptions, splits: SplitOptions, table: Sequence[str]) -> ClassPlan:
    """Read the class vectors, and choose the seen classes among those of `table`, the classes with drawings.

    Raises:
        ConfigError: Vectors are missing although that is not allowed, or the classes cannot be split as requested.
        SketchDataError: A file of vectors cannot be read.
    """
    sources: tuple[VectorSource, ...] = read_sources(config.vectors)
    known, missing = covered(table, sources, allow_missing=config.allow_missing)
    split, unknown = splits.choose(known, manifest_path("splits"))
    if len(split.validation) == 1:
        raise ConfigError(
            f"--validation-share {splits.validation_share:g} gives one of {len(split.seen):,} seen classes for "
            "validation, and at least 2 are needed: use a larger share, or 0 for none"
        )
    chosen = {*split.seen, *split.unseen}
    classes = tuple(word for word in known if word in chosen)
    found = ClassPlan(
        classes=classes,
        split=split,
        sources={},
        hashes={source.name: source.sha256 for source in sources},
        left_out=(*missing, *(word for word in known if word not in chosen), *unknown),
    )
    return replace(found, sources=arranged(sources, classes, found.places(split.seen)))


def run(config: Config, splits: SplitOptions, network: NetworkOptions, training: TrainingOptions) -> dict[str, Any]:
    """Train the network, freeze it, fit prototypes, write all with a report, and return the report.

    Raises:
        ConfigError: Folders, options, vectors, classes and device do not match.
        SketchDataError: The data is damaged, the training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; `--resume` continues.
    """
    methods = chosen_methods(config, training.optimizer)
    with distributed(training.device) as context:
        facts = facts_of("zsl", config, network, training)
        classes = plan(config, splits, facts["classes"])
        facts["options"] |= recorded(splits) | {"class_split": list(splits.class_split)}
        facts |= {"classes": list(classes.split.learned), "zero_shot": classes.record()}
        folder = begin(config, facts, training.resume, context, INDEPENDENT)
        if (report := folder.report()) is None:
            report = _learn_drawings(folder, config, network, training, facts)
            _learn_prototypes(folder, config, classes, methods, training)
            report = folder.finish(report | _prototypes_record(folder.path, classes.split))
        return report


def _learn_drawings(
    folder: RunFolder, config: Config, network: NetworkOptions, training: TrainingOptions, facts: dict[str, Any]
) -> dict[str, Any]:
    experiment = read_experiment(folder, config, network, training, (config.width, "relu"))
    encoder = new_encoder(experiment)
    if not config.fusion_epochs:
        console.print("--fusion-epochs 0: the embedding stays untrained, a random map of the branches", soft_wrap=True)
    records = list(pretrain(experiment, encoder, config))
    rate = config.cnn_learning_rate
    records.append(fine_tune(experiment, encoder, "fusion", config.fusion_epochs, CodeLoss(), rate))
    return write_network(experiment, encoder, records, facts)


def _learn_prototypes(
    folder: RunFolder,
    config: Config,
    classes: ClassPlan,
    methods: Mapping[str, ZeroShotMethod],
    training: TrainingOptions,
) -> None:
    """Fit each method to each source of vectors, unless its file exists; processes divide the work."""
    wanted = [(source, name) for source in classes.sources for name in methods]
    missing = [pair for pair in wanted if not recogniser_path(folder.path, *pair).exists()]
    own = missing[folder.context.rank :: folder.context.world_size]
    if own:
        features, labels = _features(folder, config, classes)
        seen, validation = (classes.places(words) for words in (classes.split.seen, classes.split.validation))
        for source, name in own:
            console.print(f"{name}, from {source}", highlight=False)
            method = methods[name].on(str(folder.context.device))
            found = method.fit(features, labels, classes.sources[source], seen, validation, training.seed)
            kept = KeptRecogniser(source=source, method=name, classes=classes.classes, recogniser=found)
            write_recogniser(folder.path, kept)
    folder.context.barrier()


def _features(
    folder: RunFolder, config: Config, classes: ClassPlan
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    seen = classes.split.seen
    packed = read_split(config.data, TRAIN, config.classes).of_classes(seen)
    labels = packed.labels.numpy().astype(np.int64)
    rows = np.sort(first_of_each(labels, config.drawings))
    found = embed(read_encoder(folder.path), packed, rows=rows, device=str(folder.context.device))
    return found, classes.places(seen)[labels[rows]]


def _prototypes_record(run: Path, split: ClassSplit) -> dict[str, Any]:
    return {
        "zero_shot": {name: len(getattr(split, name)) for name in ("seen", "validation", "unseen")},
        "chance_of_validation": 1 / len(split.validation) if split.validation else None,
        "recognisers": [
            {
                "source": kept.source,
                "method": kept.method,
                "constants": dict(kept.recogniser.constants),
                "gamma": kept.recogniser.gamma,
                "validation_hit": kept.recogniser.validation_hit,
            }
            for kept in read_recognisers(run)
        ],
    }
