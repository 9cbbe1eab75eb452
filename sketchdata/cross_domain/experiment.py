"""What trainings on drawings and photos share: run folder, both domains, network, and how an epoch is chosen."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import torch
from numpy.lib import format as npy_format
from torch import Tensor, nn

from sketchdata.classes.spellings import by_spelling, find
from sketchdata.classes.splits import ClassSplit
from sketchdata.classes.vectors import Vectors, read_vectors
from sketchdata.config import recorded
from sketchdata.cross_domain.dataset import (
    DRAWINGS,
    PHOTOS,
    SEEN,
    VALIDATION,
    PhotoPictures,
    Pictures,
    TwoDomains,
    class_split,
    classes_of,
    open_two_domains,
    read_group,
)
from sketchdata.cross_domain.encoder import SpaceArchitecture, SpaceEncoder, write_space
from sketchdata.cross_domain.evaluation import EmbeddedPictures
from sketchdata.cross_domain.networks import COLOURS
from sketchdata.cross_domain.options import FROZEN, SpaceConfig
from sketchdata.cross_domain.sampling import (
    Inputs,
    PairLoader,
    PairOrder,
    TripletBatch,
    TripletLoader,
    TripletOrder,
    negative_probabilities,
)
from sketchdata.errors import ConfigError
from sketchdata.progress import console, task_bar
from sketchdata.retrieval.metrics import average_precision, chance, chance_of_map, groups_of_scores
from sketchdata.retrieval.scores import nearness
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file, replacing
from sketchdata.training.distributed import DistributedContext, distributed
from sketchdata.training.encoder import backbone_config, recorded_weights, start_pretrained, weights_record
from sketchdata.training.loader import generator
from sketchdata.training.loop import TrainingStage, fit
from sketchdata.training.options import TrainingOptions
from sketchdata.training.packed import Augmentation
from sketchdata.training.run_folder import METRICS, MODEL, RunFolder, open_run, stage_seconds

#: Of a run folder, while its training goes on.
CACHE = "cache"
#: Pictures that a network reads at a time where it does not learn.
_AT_ONCE = 64
#: Scores at a time: 128 MB of float32.
_SCORES = 1 << 25


# ---- what the network reads ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class LivePictures:
    """Pictures that are made or decoded whenever they are needed, changed at random where that is asked for."""

    pictures: Pictures
    size: int
    augment: Augmentation | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, rows: Tensor, *place: int) -> Tensor:
        """Return (B, 3, S, S) uint8."""
        random = generator(*place) if self.augment and place else None
        return self.pictures.pictures(rows, self.size, self.augment if place else None, random)


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptFeatures:
    """What a frozen trunk made of N pictures, mapped into memory: (N, …) float16, or with mirror images (2 N, …)."""

    features: npt.NDArray[np.float16]
    mirrored: bool = False

    def __len__(self) -> int:
        return len(self.features) // (2 if self.mirrored else 1)

    def read(self, rows: Tensor, *place: int) -> Tensor:
        """Return (B, …) float32, of every second picture its mirror image."""
        if self.mirrored and place:
            rows = rows + len(self) * torch.randint(0, 2, (len(rows),), generator=generator(*place))
        return torch.from_numpy(self.features[rows.numpy()]).float()


def features_path(  # noqa: PLR0913
    folder: Path, record: Mapping[str, Any], pictures: Pictures, name: str, *, size: int, kind: str, mirrored: bool
) -> Path:
    """Return where the features of pictures by a trunk that does not learn are kept, for all trainings alike.

    Args:
        folder: Of such files.
        record: Of a training, its `manifest`, `weights` and `options`.
        pictures: Of one domain.
        name: Of the domain, or of what else the pictures are.
        size: Side of the pictures.
        kind: Of the features, as a branch names them.
        mirrored: Whether they are of mirror images too.
    """
    weights, chosen = record["weights"], record["options"]
    facts = [record["manifest"], weights and weights["sha256"], chosen["backbone"], size]
    facts += [chosen["line_width"], kind, mirrored]
    digest = hashlib.sha256(orjson.dumps(facts) + pictures.key_ids.cpu().numpy().tobytes()).hexdigest()
    return folder / f"{name}-{digest[:16]}.npy"


@torch.no_grad()
def keep_features(
    path: Path, encoder: SpaceEncoder, pictures: Pictures, domain: str, *, mirrored: bool, context: DistributedContext
) -> KeptFeatures:
    """Compute the features of all pictures with a trunk that does not learn, unless the file has them.

    Args:
        path: A `.npy`, written whole or not at all.
        encoder: Its trunk computes.
        pictures: Of one domain.
        domain: Which.
        mirrored: Whether to add those of the mirror images.
        context: Of all processes, the main one computes.

    Raises:
        SketchDataError: A picture cannot be read.
    """
    if context.is_main and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        encoder.to(context.device).eval()
        rows = torch.split(torch.arange(len(pictures)), _AT_ONCE)
        with replacing(path) as file, task_bar() as bar:
            shown = bar.add_task(f"Reading {domain}", total=len(pictures) * (1 + mirrored))
            for number in range(1 + mirrored):
                for some in rows:
                    images = pictures.pictures(some, encoder.side(domain))
                    found = encoder.features(images.flip(3) if number else images, domain).half().cpu().numpy()
                    if file.tell() == 0:
                        shape = (len(pictures) * (1 + mirrored), *found.shape[1:])
                        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
                        npy_format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
                    file.write(found.tobytes())
                    bar.advance(shown, len(some))
    context.barrier()
    return KeptFeatures(features=np.load(path, mmap_mode="r"), mirrored=mirrored)


def keep_pictures(path: Path, pictures: Pictures, size: int, *, context: DistributedContext) -> PhotoPictures:
    """Compute pictures that take long to make, unless the file has them, and return them as drawings in pixels.

    Args:
        path: A `.npy`, written whole or not at all.
        pictures: Black on white.
        size: Their side.
        context: Of all processes, the main one computes.

    Raises:
        SketchDataError: A picture cannot be read.
    """
    if context.is_main and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file, task_bar() as bar:
            shown = bar.add_task("Finding edges", total=len(pictures))
            shape = (len(pictures), size, size, COLOURS)
            npy_format.write_array_header_1_0(  # type: ignore[no-untyped-call]
                file, {"descr": "|u1", "fortran_order": False, "shape": shape}
            )
            for some in torch.split(torch.arange(len(pictures)), _AT_ONCE):
                found = pictures.pictures(some, size).permute(0, 2, 3, 1).contiguous().cpu().numpy()
                file.write(found.tobytes())
                bar.advance(shown, len(some))
    context.barrier()
    return PhotoPictures.of_array(
        np.load(path, mmap_mode="r"), pictures.labels.cpu(), pictures.key_ids.cpu(), pictures.classes
    ).to(context.device)


def kept_inputs(
    encoder: SpaceEncoder, record: Mapping[str, Any], folder: Path, pictures: TwoDomains, *, device: str
) -> dict[str, Inputs]:
    """Return the features of both domains by a finished network whose trunk did not learn: {domain: features}.

    Args:
        encoder: The network.
        record: Of its training.
        folder: Where features are kept.
        pictures: Of any classes.
        device: Where to compute.

    Raises:
        SketchDataError: A picture cannot be read.
    """
    context, found = DistributedContext(device=torch.device(device)), dict[str, Inputs]()
    for domain in (DRAWINGS, PHOTOS):
        kind, own = encoder.branch(domain).features_kind, getattr(pictures, domain)
        path = features_path(folder, record, own, domain, size=encoder.side(domain), kind=kind, mirrored=False)
        found[domain] = keep_features(path, encoder, own, domain, mirrored=False, context=context)
    encoder.to(device)
    return found


def embed_kept(
    encoder: SpaceEncoder, inputs: Mapping[str, Inputs], pictures: TwoDomains
) -> dict[str, EmbeddedPictures]:
    """Embed both domains from what `kept_inputs` returned: {domain: its vectors}."""
    return {
        domain: EmbeddedPictures(
            domain=domain,
            vectors=embed_inputs(encoder, own, domain),
            labels=getattr(pictures, domain).labels.cpu().numpy().astype(np.int64),
            classes=pictures.classes,
        )
        for domain, own in inputs.items()
    }


# ---- what is learned -------------------------------------------------------------------------------------------------


class SpaceObjective(nn.Module):
    """The loss of a network on triplets; its subclasses say which."""

    def __init__(self, encoder: SpaceEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def embed(self, batch: TripletBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the embeddings of anchors, positive and negative photos: three of (B, D) float32."""
        photos = self.encoder(torch.cat([batch.positives, batch.negatives]), PHOTOS)
        positives, negatives = photos.chunk(2)
        return self.encoder(batch.anchors, DRAWINGS), positives, negatives

    def forward(self, batch: TripletBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts by name, unweighted."""
        raise NotImplementedError


@torch.no_grad()
def embed_inputs(encoder: SpaceEncoder, inputs: Inputs, domain: str, *, raw: bool = False) -> npt.NDArray[np.float32]:
    """Return the embeddings of all pictures of a domain, or those before the centre is subtracted: (N, D) float32."""
    encoder.eval()
    give = encoder.project if raw else encoder
    rows = torch.split(torch.arange(len(inputs)), _AT_ONCE)
    found = [give(inputs.read(some), domain).cpu().numpy() for some in rows]
    return np.concatenate(found)


def set_centres(encoder: SpaceEncoder, drawings: Inputs, photos: Inputs) -> None:
    """Make the mean of each domain's embeddings, before they are brought to length 1, the centre of that domain.

    Which pictures these are, the caller decides: those of the unseen classes would use the test set itself.

    Raises:
        SketchDataError: A picture cannot be read.
    """
    for domain, inputs in ((DRAWINGS, drawings), (PHOTOS, photos)):
        mean = embed_inputs(encoder, inputs, domain, raw=True).mean(0, dtype=np.float64)
        encoder.centre(domain).copy_(torch.from_numpy(mean))


@dataclass(frozen=True, kw_only=True, eq=False)
class Domains:
    """Drawings and photos of some classes, and what the network takes of them."""

    pictures: TwoDomains
    drawings: Inputs
    photos: Inputs


@dataclass(frozen=True, kw_only=True, eq=False)
class SpaceExperiment:
    """All that the stages of a training share.

    Attributes:
        folder: Of the run.
        config: Options of the network.
        training: Options of the loop.
        seen: Both domains of the seen classes, without those for validation.
        validation: Both domains of the validation classes.
        words: (L, S) float32 vectors of the seen classes; None without --words.
        manifest: sha256 of the data set's manifest.
        weights: Source and sha256 of the pretrained weights; None without.
    """

    folder: RunFolder
    config: Any
    training: TrainingOptions
    seen: TwoDomains
    validation: TwoDomains
    words: Vectors | None
    manifest: str
    weights: Mapping[str, str] | None

    @property
    def context(self) -> DistributedContext:
        """This process among those that train together."""
        return self.folder.context

    @property
    def frozen(self) -> bool:
        """Whether the picture network does not learn."""
        return bool(self.config.trunk == FROZEN)

    def new_encoder(self, **architecture: Any) -> SpaceEncoder:
        """Return a network with the first weights that the seed gives, or pretrained ones for its trunks.

        Args:
            **architecture: Fields of `SpaceArchitecture` that differ from what the options say.

        Raises:
            ConfigError: The weights cannot be read, or are of another network.
        """
        config, network = self.config, self.config.network
        fields = {
            "backbone": config.backbone,
            "size": config.size,
            "photo_size": config.photo_size or 0,
            "width": config.width,
            "classes": self.seen.classes,
            "line_width": config.line_width,
            "config": backbone_config(network, self.folder.path),
        }
        torch.manual_seed(self.training.seed)
        encoder = SpaceEncoder(SpaceArchitecture(**{**fields, **architecture}))
        for branch in (encoder.branch(DRAWINGS), encoder.branch(PHOTOS)):
            start_pretrained(network, self.folder, branch.trunk)
            if self.frozen:
                for parameter in branch.trunk_parameters:
                    parameter.requires_grad_(False)
            elif self.training.compile:
                branch.trunk.maps = torch.compile(branch.trunk.maps)
        return encoder.to(self.context.device)

    def inputs(self, encoder: SpaceEncoder, *, learning: bool) -> Domains:
        """Return what a network takes of the seen classes, to learn from, or else of the validation classes."""
        pictures = self.seen if learning else self.validation
        augment = learning and self.config.augment
        return Domains(
            pictures=pictures,
            drawings=self.inputs_of(encoder, pictures.drawings, DRAWINGS, augment=augment),
            photos=self.inputs_of(encoder, pictures.photos, PHOTOS, augment=augment),
        )

    def inputs_of(
        self,
        encoder: SpaceEncoder,
        pictures: Pictures,
        domain: str,
        *,
        augment: bool,
        name: str | None = None,
        keep: bool = False,
    ) -> Inputs:
        """Return what a network takes of some pictures: cached features if the picture network is frozen.

        Args:
            encoder: The network.
            pictures: The pictures.
            domain: Whose branch reads them.
            augment: Whether they are augmented.
            name: Of the cache, for pictures that are not those of the domain.
            keep: Whether the pictures take long to make, so that they are kept if the picture network is trained.
        """
        size = encoder.side(domain)
        if not self.frozen:
            if keep:
                path = self.features_path(pictures, name or domain, size=size, kind="pictures", mirrored=False)
                pictures = keep_pictures(path, pictures, size, context=self.context)
            return LivePictures(pictures=pictures, size=size, augment=Augmentation() if augment else None)
        kind = encoder.branch(domain).features_kind
        path = self.features_path(pictures, name or domain, size=size, kind=kind, mirrored=augment)
        return keep_features(path, encoder, pictures, domain, mirrored=augment, context=self.context)

    def features_path(self, pictures: Pictures, name: str, **facts: Any) -> Path:
        """Return where features of pictures, or pictures, are kept; `facts` as for the function of this name."""
        record = {"manifest": self.manifest, "weights": self.weights, "options": recorded(self.config)}
        return features_path(self.config.cache or self.folder.path / CACHE, record, pictures, name, **facts)

    def fit(
        self,
        name: str,
        objective: nn.Module,
        encoder: SpaceEncoder,
        *,
        slow: Sequence[nn.Parameter] = (),
        pairs: bool = False,
    ) -> dict[str, Any]:
        """Train an objective on triplets or pairs, and load the epoch whose mAP of the validation classes is best.

        Args:
            name: Of the stage.
            objective: Takes a `TripletBatch`, or a `PairBatch` with `pairs`; all of its parameters that require
                gradients are trained.
            encoder: The network within it.
            slow: Parameters that have the picture network's learning rate; by default those of the trunks.
            pairs: Whether it learns from pairs.

        Raises:
            ConfigError: A class has drawings and no photo.
            SketchDataError: The training diverged, or a checkpoint is damaged or cannot be written.
            InterruptedRunError: Ctrl-C; a checkpoint was written.
        """
        config, training = self.config, self.training
        branches = [encoder.branch(domain) for domain in (DRAWINGS, PHOTOS)]
        own = {id(each) for each in slow or [each for branch in branches for each in branch.trunk_parameters]}
        learned = [each for each in objective.parameters() if each.requires_grad]
        groups = [
            ([each for each in learned if id(each) not in own], training.learning_rate),
            ([each for each in learned if id(each) in own], config.trunk_learning_rate),
        ]
        stage = TrainingStage(
            name=name,
            epochs=config.epochs,
            objective=objective,
            groups=[group for group in groups if group[0]],
            loader=self._loader(self.inputs(encoder, learning=True), pairs=pairs),
            validate=self.validation_of(encoder),
            chooser="map",
            constant=config.constant_rate,
            patience=config.patience,
        )
        return fit(stage, self.folder, training)

    def _loader(self, domains: Domains, *, pairs: bool) -> TripletLoader | PairLoader:
        labels = domains.pictures.drawings.labels, domains.pictures.photos.labels
        classes = len(domains.pictures.classes)
        options: dict[str, Any] = {
            "batch_size": self.training.batch_size,
            "seed": self.training.seed,
            "rank": self.context.rank,
            "world_size": self.context.world_size,
        }
        if pairs:
            order = PairOrder(*labels, classes, **options)
            return PairLoader(order=order, drawings=domains.drawings, photos=domains.photos)
        triplets = TripletOrder(*labels, negative_probabilities(classes, self.words), **options)
        return TripletLoader(order=triplets, drawings=domains.drawings, photos=domains.photos)

    def validation_of(self, encoder: SpaceEncoder) -> Callable[[], dict[str, float]]:
        """Return what measures `map`: drawings of the validation classes search their photos."""
        domains = self.inputs(encoder, learning=False)

        def measure() -> dict[str, float]:
            drawings = embed_inputs(encoder, domains.drawings, DRAWINGS)
            photos = embed_inputs(encoder, domains.photos, PHOTOS)
            return {"map": mean_average_precision(drawings, photos, domains.pictures)[0]}

        return measure


def mean_average_precision(
    drawings: npt.NDArray[np.float32], photos: npt.NDArray[np.float32], pictures: TwoDomains
) -> tuple[float, float]:
    """Return the mAP of drawings, (Q, D), that search photos, (N, D), by Euclidean distance, and of a random order.

    Drawings without a photo of their class are left out.
    """
    queries, gallery = (each.labels.cpu().numpy() for each in (pictures.drawings, pictures.photos))
    return search_precision(drawings, photos, queries, gallery)


def search_precision(
    drawings: npt.NDArray[np.float32],
    photos: npt.NDArray[np.float32],
    queries: npt.NDArray[np.integer],
    gallery: npt.NDArray[np.integer],
) -> tuple[float, float]:
    """Return the same as `mean_average_precision`, given the classes of drawings, (Q,), and of photos, (N,)."""
    scores, rows = nearness(drawings, photos), max(1, _SCORES // len(gallery))
    found, by_chance = [], []
    for start in range(0, len(queries), rows):
        chosen = slice(start, start + rows)
        groups = groups_of_scores(scores(chosen), queries[chosen], gallery, threads=1)
        found.append(average_precision(groups))
        by_chance.append(chance(groups))
    share = float(np.nanmean(np.concatenate(by_chance)))
    return float(np.nanmean(np.concatenate(found))), chance_of_map(share, len(gallery))


# ---- from options to a run folder with a network ---------------------------------------------------------------------


def train_space(
    config: Any,
    training: TrainingOptions,
    learn: Callable[[SpaceExperiment], tuple[SpaceEncoder, list[dict[str, Any]]]],
    split: ClassSplit | None = None,
    *,
    trainer: str = "sbir",
    others: Mapping[str, Path] = MappingProxyType({}),
) -> dict[str, Any]:
    """Train a network of drawings and photos in a run folder, write it, and return the report.

    Args:
        config: `SpaceConfig`, with further options of its method.
        training: How the loop learns.
        learn: Trains and returns the network, and the records of its stages.
        split: Another split of the classes than the data set was built with.
        trainer: Name in records and the report.
        others: {name in the record: folder} of the other data sets that `learn` reads, which must not change on resume.

    Raises:
        ConfigError: Folders, options, words, classes or the device do not fit.
        SketchDataError: The data is damaged, the training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; `--resume` goes on.
    """
    config.check()
    with distributed(training.device) as context:
        manifest = open_two_domains(config.data)
        own = split or class_split(manifest)
        classes = classes_of(own, SEEN)
        if len(own.validation) < 2:
            raise ConfigError(
                f"{config.data} has {len(own.validation)} validation classes, and at least 2 are needed to choose the "
                f"epoch: build it with more"
            )
        words = None if config.words is None else read_words(config.words, classes, unit=config.unit_words)
        weights = weights_record(config.network, config.out)
        facts = {
            "trainer": trainer,
            "options": recorded(config) | recorded(training) | recorded_weights(weights),
            "weights": weights,
            "classes": list(classes),
            "manifest": hash_file(config.data / MANIFEST_NAME, "sha256"),
            "data": str(config.data.resolve()),
            **{name: hash_file(folder / MANIFEST_NAME, "sha256") for name, folder in others.items()},
            "zero_shot": {
                "seen": list(own.seen),
                "validation": list(own.validation),
                "unseen": list(own.unseen),
                "vectors": {} if words is None else {"words": hashlib.sha256(words.tobytes()).hexdigest()},
            },
        }
        folder = open_run(config.out, facts, resume=training.resume, context=context)
        if (report := folder.report()) is not None:
            return report
        alike = [] if words is None else shared_vectors(classes, words)
        if alike and context.is_main:
            told = "; ".join(" = ".join(group) for group in alike)
            console.print(f"classes that share a word's vector: {told}", highlight=False, soft_wrap=True)
        seen, validation = (_read(config, split, group, context) for group in (SEEN, VALIDATION))
        experiment = SpaceExperiment(
            folder=folder,
            config=config,
            training=training,
            seen=seen,
            validation=validation,
            words=words,
            manifest=str(facts["manifest"]),
            weights=weights,
        )
        encoder, records = learn(experiment)
        if context.is_main:
            write_space(folder.path, encoder)
            shutil.rmtree(folder.path / CACHE, ignore_errors=True)
        context.barrier()
        by_chance = mean_average_precision(*_zeros(validation), validation)[1]
        return folder.finish(
            {
                "trainer": trainer,
                "method": config.method,
                "options": facts["options"],
                "stages": records,
                "classes": len(classes),
                "drawings": len(seen.drawings),
                "photos": len(seen.photos),
                "validation": {
                    "classes": len(validation.classes),
                    "drawings": len(validation.drawings),
                    "photos": len(validation.photos),
                    "chance": by_chance,
                },
                "shared_vectors": alike,
                "parameters": sum(each.numel() for each in encoder.parameters() if each.requires_grad),
                "seconds": round(sum(stage_seconds(folder.path / METRICS).values()), 1),
                "sha256": hash_file(folder.path / MODEL, "sha256"),
            }
        )


def _read(config: SpaceConfig, split: ClassSplit | None, group: str, context: DistributedContext) -> TwoDomains:
    kept = None if config.trunk == FROZEN else config.cache
    size = config.photo_size or config.size
    found = read_group(config.data, group, size=size, cache=kept, line_width=config.line_width, split=split)
    for domain in (DRAWINGS, PHOTOS):
        counts = torch.bincount(getattr(found, domain).labels.long(), minlength=len(found.classes))
        if empty := [word for word, count in zip(found.classes, counts.tolist(), strict=True) if not count]:
            raise ConfigError(
                f"{config.data} has no {domain} of the {group} classes {', '.join(empty[:5])}"
                f"{', …' if empty[5:] else ''}: build it without these classes, or with {domain} of them"
            )
    device = context.device
    return replace(found, drawings=found.drawings.to(device), photos=found.photos.to(device))


def _zeros(pictures: TwoDomains) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    return np.zeros((len(pictures.drawings), 1), np.float32), np.zeros((len(pictures.photos), 1), np.float32)


def read_words(path: Path, classes: Sequence[str], *, unit: bool = True) -> Vectors:
    """Return the word vectors of classes, (L, S) float32, brought to length 1 or as they are stored.

    Raises:
        ConfigError: A class has none, or one of zeros alone.
        SketchDataError: The file cannot be read.
    """
    words, vectors, _ = read_vectors(path)
    rows = {key: row for row, key in enumerate(by_spelling(words))}
    places = [find(word, rows) for word in classes]
    if missing := [word for word, place in zip(classes, places, strict=True) if place is None]:
        told = ", ".join(missing[:10]) + (f" and {len(missing) - 10:,} others" if missing[10:] else "")
        raise ConfigError(
            f"{path} has no vector of {told}: make it with `sketchdata import vectors … --classes` of this data set, "
            "from a file that has a word or a synonym of each class; or leave out --words with a method that needs none"
        )
    found = vectors[np.array(places, np.int64)]
    lengths = np.linalg.norm(found.astype(np.float64), axis=1, keepdims=True)
    if not lengths.all():
        raise ConfigError(f"{path} has a vector of zeros for {classes[int(lengths.argmin())]}: give it a real one")
    return (found / lengths).astype(np.float32) if unit else found


def shared_vectors(classes: Sequence[str], vectors: Vectors) -> list[list[str]]:
    """Return the groups of classes whose vectors are the same, so that words cannot tell them apart."""
    groups: dict[bytes, list[str]] = {}
    for word, vector in zip(classes, vectors, strict=True):
        groups.setdefault(vector.tobytes(), []).append(word)
    return [group for group in groups.values() if len(group) > 1]
