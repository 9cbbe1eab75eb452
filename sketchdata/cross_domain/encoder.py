"""The network that embeds drawings and photos in one space, and its file in a run folder.

encoder = read_space(Path("runs/sbir"))
encoder(pictures, PHOTOS)  # (B, 3, S, S) uint8 → (B, D) float32
embed(encoder, photos, PHOTOS)  # all photos of a data set, with a bar
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS, Pictures, read_shards
from sketchdata.cross_domain.hashing_networks import HashingBranch
from sketchdata.cross_domain.networks import ClassifierBranch, TransferBranch, TrunkBranch, layer_width
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.progress import task_bar
from sketchdata.retrieval.vector_folder import PictureVectors
from sketchdata.storage.manifest import Manifest
from sketchdata.storage.records import check_fields, convert, fault
from sketchdata.storage.tensors import read_facts, read_tensors, write_tensors
from sketchdata.training.backbones import MODELS, ModelEntry, TimmModel, TransformersModel
from sketchdata.training.run_folder import MODEL

_WHITE = 255
_SPACE = "space"
_AGAIN = "train in another --out"


@dataclass(frozen=True, kw_only=True)
class SpaceArchitecture:
    """The architecture of a space's network, as its file stores it.

    Attributes:
        backbone: Of the table in `training.backbones`.
        size: Side S of the pictures.
        photo_size: Side of photos; 0 for S.
        width: D.
        classes: Those it learned, the seen ones.
        shared: One branch for both domains, which is told the domain, instead of one for each.
        branch: Kind of the branches, of BRANCHES.
        attention: Width of the attention over the trunk's maps; 0 for none.
        head: Whether a dense layer computes the D values; without it they are the trunk's features.
        normalise: Whether embeddings have length 1.
        line_width: Line width of drawings in pixels.
        config: Configuration of an image encoder of transformers.
        settings: Further settings of the kind of branch.
    """

    backbone: str
    size: int
    width: int
    classes: tuple[str, ...]
    shared: bool = False
    branch: str = "trunk"
    attention: int = 0
    head: bool = True
    normalise: bool = False
    line_width: int = 1
    config: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    photo_size: int = 0


#: {kind: function that returns a branch}. A branch has `features(images)`, `project(features, domain)`,
#: `forward(images, domain)`, and the `trunk` that it wraps.
BRANCHES: dict[str, Callable[[SpaceArchitecture], Any]] = {
    "trunk": lambda architecture: TrunkBranch(
        architecture.backbone,
        architecture.width if architecture.head else None,
        architecture.attention,
        architecture.config,
    ),
    "transfer": lambda architecture: TransferBranch(architecture.backbone, architecture.config),
    "classifier": lambda architecture: ClassifierBranch(
        architecture.backbone, len(architecture.classes), architecture.settings["layer"], architecture.config
    ),
    "hashing": lambda architecture: HashingBranch(architecture.backbone, architecture.width, architecture.config),
}


class _ClassifierSettings(TypedDict):
    layer: str
    resize: str


class SpaceEncoder(nn.Module):
    """One branch for drawings and one for photos, or one for both, with random initial weights.

    Its parameters are `drawing.*` and `photo.*`, or `both.*`. The centre of the domain is subtracted from the output of
    a branch before normalisation to length 1.

    Raises:
        ConfigError: There is no such backbone.
    """

    mean: Tensor
    std: Tensor
    drawing_centre: Tensor
    photo_centre: Tensor

    def __init__(self, architecture: SpaceArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        make = BRANCHES[architecture.branch]
        if architecture.shared:
            self.both = make(architecture)
        else:
            self.drawing, self.photo = make(architecture), make(architecture)
        mean, std = _normalisation(architecture.backbone, self.branch(PHOTOS).trunk)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.register_buffer("drawing_centre", torch.zeros(architecture.width))
        self.register_buffer("photo_centre", torch.zeros(architecture.width))

    @property
    def classes(self) -> tuple[str, ...]:
        """The seen classes, on which it was trained."""
        return self.architecture.classes

    @property
    def size(self) -> int:
        """Side of its drawings in pixels, and of its photos unless `side` says otherwise."""
        return self.architecture.size

    def side(self, domain: str) -> int:
        """Return the side of the pictures of a domain in pixels."""
        return (domain == PHOTOS and self.architecture.photo_size) or self.size

    @property
    def width(self) -> int:
        """D."""
        return self.architecture.width

    @property
    def bits(self) -> int:
        """Number of bits of its codes; 0 for a network that computes vectors."""
        return self.width if self.architecture.branch == "hashing" else 0

    @property
    def layer(self) -> str | None:
        """The layers of a classifier that are its embedding, of LAYERS; None for another network."""
        return self.architecture.settings["layer"] if self.architecture.branch == "classifier" else None

    def branch(self, domain: str) -> Any:
        """Return the branch of a domain."""
        if self.architecture.shared:
            return self.both
        return {DRAWINGS: self.drawing, PHOTOS: self.photo}[domain]

    def centre(self, domain: str) -> Tensor:
        """Return the centre that is subtracted from the embeddings of a domain, (D,)."""
        return {DRAWINGS: self.drawing_centre, PHOTOS: self.photo_centre}[domain]

    def normalised(self, pictures: Tensor) -> Tensor:
        """Return pictures as the backbone's weights expect them: (B, 3, S, S) uint8 → float32."""
        return (pictures.to(self.mean.device).float() / _WHITE - self.mean) / self.std

    def features(self, pictures: Tensor, domain: str) -> Tensor:
        """Return the trunk's features of pictures: (B, 3, S, S) uint8 → (B, …)."""
        found: Tensor = self.branch(domain).features(self.normalised(pictures))
        return found

    def read(self, inputs: Tensor, domain: str) -> Tensor:
        """Return the features of `inputs`, which may be features already; `inputs` as for `forward`."""
        return self.features(inputs, domain) if inputs.dtype == torch.uint8 else inputs.to(self.mean.device)

    def project(self, inputs: Tensor, domain: str) -> Tensor:
        """Return embeddings before the centre is subtracted: (B, D) float32; `inputs` as for `forward`."""
        found: Tensor = self.branch(domain).project(self.read(inputs, domain), domain).float()
        return found

    def forward(self, inputs: Tensor, domain: str) -> Tensor:
        """Return the embeddings of pictures of a domain.

        Args:
            inputs: (B, 3, S, S) uint8, RGB, drawings in black on white; or their floating-point `features`.
            domain: `drawings` or `photos`.

        Returns:
            (B, D) float32.
        """
        embedded = self.project(inputs, domain) - self.centre(domain)
        return functional.normalize(embedded) if self.architecture.normalise else embedded


def _normalisation(backbone: str, trunk: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if isinstance(trunk, TransformersModel):
        # It normalises its input itself.
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if isinstance(trunk, TimmModel):
        settings: Any = getattr(trunk.model, "pretrained_cfg", None) or {}
        return tuple(settings.get("mean", ModelEntry.mean)), tuple(settings.get("std", ModelEntry.std))
    return MODELS[backbone].mean, MODELS[backbone].std


def write_space(folder: Path, encoder: SpaceEncoder) -> None:
    """Write `model.safetensors` into a run folder: the weights and the architecture.

    Raises:
        SketchDataError: The file cannot be written.
    """
    write_tensors(folder / MODEL, encoder.state_dict(), {_SPACE: dataclasses.asdict(encoder.architecture)})


def holds_space(folder: Path) -> bool:
    """Return whether a run folder holds a network of drawings and photos.

    Raises:
        SketchDataError: The network is damaged.
    """
    path = folder / MODEL
    return path.is_file() and _SPACE in read_facts(path)


def read_space(folder: Path, layer: str | None = None) -> SpaceEncoder:
    """Return the network of a run folder, on the CPU and in evaluation mode.

    Args:
        folder: Folder of the run.
        layer: For a network of `train dsf`, a name in LAYERS that replaces the layer of the run.

    Raises:
        ConfigError: The network has no such layer.
        SketchDataError: The training is not finished or of another kind, or the file is damaged.
    """
    path = folder / MODEL
    if not path.is_file():
        raise SketchDataError(f"{folder} has no {MODEL}: expected the folder of a finished `sketchdata train sbir`")
    weights, facts = read_tensors(path)
    if _SPACE not in facts:
        raise SketchDataError(
            f"{folder} holds a training of another kind: expected one of `sketchdata train sbir`, whose network embeds "
            "drawings and photos"
        )
    architecture = convert(facts[_SPACE], SpaceArchitecture, path, _AGAIN, f"{_SPACE}.")
    if architecture.branch not in BRANCHES:
        raise fault(path, f"{_SPACE}.branch", f"one of {', '.join(BRANCHES)}", architecture.branch)
    for name, least in (("size", 1), ("width", 1), ("line_width", 1), ("photo_size", 0)):
        if (value := getattr(architecture, name)) < least:
            raise fault(path, f"{_SPACE}.{name}", f"a number of at least {least}", str(value))
    if architecture.branch == "classifier":
        check_fields(architecture.settings, _ClassifierSettings, path, _AGAIN, f"{_SPACE}.settings.")
    if layer is not None:
        if architecture.branch != "classifier":
            raise ConfigError(f"--layer is for networks of `sketchdata train dsf`, and {folder} holds another: omit it")
        width = layer_width(architecture.backbone, layer, architecture.size, architecture.config)
        settings = {**architecture.settings, "layer": layer}
        architecture = dataclasses.replace(architecture, width=width, settings=settings)
        # The centres of classifiers are zeros.
        weights |= {f"{domain}_centre": torch.zeros(width) for domain in ("drawing", "photo")}
    try:
        encoder = SpaceEncoder(architecture)
        encoder.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SketchDataError(f"{path} has weights that do not fit the network that it describes: {error}") from error
    return encoder.eval()


@torch.no_grad()
def embed(
    encoder: SpaceEncoder, pictures: Pictures, domain: str, *, device: str = "cpu", batch_size: int = 64
) -> npt.NDArray[np.float32]:
    """Return the embeddings of all pictures of a domain, in their order: (N, D) float32.

    Args:
        encoder: The network.
        pictures: Of any classes.
        domain: `drawings` or `photos`.
        device: Where to compute.
        batch_size: Pictures at a time.

    Raises:
        SketchDataError: A picture cannot be read.
    """
    with task_bar() as bar:
        shown = bar.add_task(f"Embedding {domain}", total=len(pictures))
        return _embedded(
            encoder, pictures, domain, device=device, batch_size=batch_size, advance=lambda n: bar.advance(shown, n)
        )


def _embedded(
    encoder: SpaceEncoder,
    pictures: Pictures,
    domain: str,
    *,
    device: str,
    batch_size: int,
    advance: Callable[[int], object],
) -> npt.NDArray[np.float32]:
    encoder.to(device).eval()
    found = np.empty((len(pictures), encoder.width), np.float32)
    for indices in torch.split(torch.arange(len(pictures)), batch_size):
        found[indices.numpy()] = encoder(pictures.pictures(indices, encoder.side(domain)), domain).cpu().numpy()
        advance(len(indices))
    return found


@torch.no_grad()
def embed_shards(
    encoder: SpaceEncoder, directory: Path, manifest: Manifest, split: str, *, device: str = "cpu", batch_size: int = 64
) -> PictureVectors:
    """Return the embeddings of a split of a data set, such as `unseen-photos`, with only one shard of it in memory.

    Args:
        encoder: The network.
        directory: The data set of two domains.
        manifest: Of the data set.
        split: A group of classes and a domain.
        device: Where to compute.
        batch_size: Pictures at a time.

    Returns:
        The vectors in the order of the rows, with the class table of the data set.

    Raises:
        SketchDataError: A shard or a picture is damaged, or the network gives values that are no finite numbers.
    """
    domain = split.rpartition("-")[2]
    rows: list[npt.NDArray[np.float32]] = [np.empty((0, encoder.width), np.float32)]
    labels, key_ids = list[npt.NDArray[np.int16]](), list[npt.NDArray[np.int64]]()
    with task_bar() as bar:
        shown = bar.add_task(f"Embedding {split}", total=manifest.splits[split])
        for pictures in read_shards(directory, manifest, split, line_width=encoder.architecture.line_width):
            rows.append(
                _embedded(
                    encoder,
                    pictures,
                    domain,
                    device=device,
                    batch_size=batch_size,
                    advance=lambda n: bar.advance(shown, n),
                )
            )
            labels.append(pictures.labels.numpy())
            key_ids.append(pictures.key_ids.numpy())
    return PictureVectors(
        rows=np.concatenate(rows),
        labels=np.concatenate(labels).astype(np.uint16),
        key_ids=np.concatenate(key_ids).view(np.uint64),
        classes=manifest.classes,
    )
