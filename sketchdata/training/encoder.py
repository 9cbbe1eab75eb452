"""The network of drawings: its two branches, their fusion into one code, and how a run folder holds it.

Source: Xu et al., section III-A, Figure 2 and section IV-A. Of the 4,096 features of the picture and the 1,024 of the
points one dense layer makes D values, through a sigmoid for codes and recognition, through a ReLU for zero-shot
recognition; another dense layer scores the classes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.codes import Codes, pack_bits
from sketchdata.progress import console, task_bar
from sketchdata.storage.records import convert, fault
from sketchdata.storage.tensors import read_tensors, write_tensors
from sketchdata.training.backbones import build
from sketchdata.training.bitmaps import PackedBitmaps, PackedSplit
from sketchdata.training.loader import Batch, View
from sketchdata.training.options import COLOURS, TRANSFORMERS, NetworkOptions
from sketchdata.training.packed import CHANNELS, Augmentation, to_floats
from sketchdata.training.pretrained import hash_weights, load_pretrained, transformers_config, weights_path
from sketchdata.training.run_folder import MODEL, RECORD, STAGES, RunFolder, read_record

_INK = 255
#: The picture network that a training began with, among the stages of its folder.
_WEIGHTS = "pretrained-weights"


def view_of(network: NetworkOptions, scale: float, augment: Augmentation | None = None) -> View:
    """Return what the branches read of a drawing; `scale` is the divisor of the offsets."""
    return View(
        size=None if network.branch == "rnn" else network.size,
        line_width=network.line_width,
        channels="strokes" if network.channels == "strokes" else "ink",
        max_points=None if network.branch == "cnn" else network.max_points,
        scale=scale,
        augment=augment,
    )


def weights_record(options: NetworkOptions, run: Path | None = None) -> dict[str, str] | None:
    """Return `source` and `sha256` of pretrained weights, after loading them once; None without weights.

    The training in `run`, once begun, does not need them any more, so that they may be absent then.

    Raises:
        ConfigError: They cannot be read, or are of another network.
    """
    if options.weights is None:
        return None
    before = read_record(run).get("weights") if run is not None and (run / RECORD).is_file() else None
    begun = before if before is not None and before["source"] == options.weights else None
    try:
        path = weights_path(options.backbone, options.weights)
        if begun is not None and not path.exists():
            return dict(begun)
    except ConfigError:
        if begun is None:
            raise
        return dict(begun)
    if options.backbone == TRANSFORMERS and not path.is_dir():
        raise ConfigError(f"--weights {path} is not a folder, which --backbone {TRANSFORMERS} needs")
    config = backbone_config(options, None)
    if config is not None and options.size < config["patch_size"]:
        raise ConfigError(
            f"--weights {path} has patches of {config['patch_size']} pixels: use at least that --size, "
            f"not {options.size}"
        )
    found = {"source": options.weights, "sha256": hash_weights(path)}
    if before is None or before["sha256"] != found["sha256"]:
        network = build(options.backbone, classes=1, channels=_channels(options), config=config)
        load_pretrained(network, options.backbone, options.weights)
    return found


def backbone_config(options: NetworkOptions, run: Path | None) -> dict[str, Any] | None:
    """Return the configuration of an encoder of transformers: that of the training in `run`, or else of the weights.

    Raises:
        ConfigError: The folder of the weights holds no image encoder.
    """
    if options.branch == "rnn" or options.backbone != TRANSFORMERS:
        return None
    if run is not None and (kept := kept_weights(run)).is_file():
        return dict(read_tensors(kept)[1]["config"])
    return transformers_config(Path(options.weights or ""))


def start_pretrained(options: NetworkOptions, folder: RunFolder, network: nn.Module | None) -> None:
    """Load the pretrained weights, if there are any, into a training's new picture network.

    The network as it begins is kept among the folder's stages, so that the weights are read once.

    Raises:
        ConfigError: They cannot be read, or are of another network.
    """
    if options.weights is None or network is None:
        return
    path = kept_weights(folder.path)
    if folder.context.is_main and not path.exists():
        left_out = load_pretrained(network, options.backbone, options.weights)
        if left_out:
            names = ", ".join(left_out)
            console.print(f"--weights: {names} left out (another number of classes)", highlight=False, soft_wrap=True)
        write_tensors(path, network.state_dict(), {"config": getattr(network, "config", None)})
    folder.context.barrier()
    network.load_state_dict(read_tensors(path)[0])


def recorded_weights(record: Mapping[str, str] | None) -> dict[str, str | None]:
    """Return pretrained weights as a recorded option: by their sha256, not by their path."""
    return {"weights": None if record is None else f"sha256:{record['sha256']}"}


def kept_weights(run: Path) -> Path:
    """Return where a run keeps its picture network as it began, if it began with pretrained weights."""
    return run / STAGES / f"{_WEIGHTS}.safetensors"


def _channels(options: NetworkOptions) -> int:
    return {"ink": 1, "strokes": CHANNELS, COLOURS: 3}[options.channels]


Activation = Literal["sigmoid", "relu", "identity", "cosine"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "identity": lambda x: x,
    "cosine": lambda x: x,
}
#: The smallest value that is a 1 in a binary code.
THRESHOLDS: dict[str, float] = {"sigmoid": 0.5, "relu": 0.0, "identity": 0.0, "cosine": 0.0}


class RecurrentEncoder(nn.Module):
    """A bidirectional GRU over the points of a drawing; its feature is the last state of each direction's top layer.

    Source: Xu et al., section IV-A; Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.

    Args:
        hidden: Width of each direction's state.
        layers: Number of layers.
        columns: Values of a point: Δx, Δy and the two states of the pen.
        dropout: Between layers.
    """

    def __init__(self, hidden: int = 512, layers: int = 2, columns: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.feature_size = 2 * hidden
        self.gru = nn.GRU(columns, hidden, num_layers=layers, batch_first=True, bidirectional=True, dropout=dropout)

    def forward(self, sequence: Tensor, lengths: Tensor) -> Tensor:
        """Return each drawing's feature, which does not depend on rows beyond its length.

        Args:
            sequence: (B, L, 4) float32.
            lengths: (B,) int64 on the CPU, 1 to L.

        Returns:
            (B, 2 · hidden): the forward state after the last point, and the backward one after the first.
        """
        packed = pack_padded_sequence(sequence, lengths, batch_first=True, enforce_sorted=False)
        kind = sequence.device.type
        # Under autocast, torch computes a GRU on a GPU in float16, whatever was asked for, and gradients would vanish.
        # The meta device, on which operations are counted, has no autocast.
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            _, state = self.gru(packed)
        return torch.cat([state[-2], state[-1]], 1)


class CosineClassifier(nn.Module):
    """Scores classes by the cosine between a drawing's code layer and a direction of each class.

    Source: Hoe et al., "One loss for all: deep hashing with a single cosine similarity based learning objective",
    NeurIPS 2021, equations 3 and 4.

    Args:
        width: D.
        classes: L.
        scale: s, the factor of the cosines; None takes max(8, 2 √D).
    """

    scale: Tensor

    def __init__(self, width: int, classes: int, scale: float | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, width))
        # Kept with the weights, so that a network that is read again gives the same scores.
        self.register_buffer("scale", torch.tensor(max(8.0, 2 * math.sqrt(width)) if scale is None else scale))

    def forward(self, u: Tensor) -> Tensor:
        """Return s · cos(u, c): (B, D) → (B, L)."""
        return self.scale * functional.linear(functional.normalize(u), functional.normalize(self.weight))


class BitNorm(nn.BatchNorm1d):
    """Normalises each of the D values over the batch, so that each bit is 1 in about half of all drawings."""

    def __init__(self, width: int) -> None:
        super().__init__(width, affine=False)

    def forward(self, u: Tensor) -> Tensor:
        """Return (B, D) values; a batch of one, which has no spread of its own, is normalised as those before it."""
        if self.training and len(u) == 1:
            return functional.batch_norm(u, self.running_mean, self.running_var, eps=self.eps)
        return super().forward(u)


class FusionNetwork(nn.Module):
    """One or both branches, a code layer of D values, and a classifier.

    Args:
        picture: The picture branch, of which `extract` is used; None for points alone.
        points: The recurrent branch; None for pictures alone.
        width: D.
        classes: Number of classes L.
        activation: Activation of the code layer; `cosine` normalises each value over the batch and compares angles.

    Raises:
        ConfigError: There is no branch.
    """

    def __init__(
        self, picture: Any, points: Any, *, width: int, classes: int, activation: Activation = "sigmoid"
    ) -> None:
        super().__init__()
        branches = [branch for branch in (picture, points) if branch is not None]
        if not branches:
            raise ConfigError("a network needs a picture branch, a point branch, or both")
        self.picture, self.points = picture, points
        self.feature_size = sum(int(branch.feature_size) for branch in branches)
        self.fuse = nn.Linear(self.feature_size, width, bias=activation != "cosine")
        self.norm = BitNorm(width) if activation == "cosine" else nn.Identity()
        self.activation: str = activation
        classifier: Any = CosineClassifier(width, classes) if activation == "cosine" else nn.Linear(width, classes)
        self.classifier = classifier
        if activation == "sigmoid":
            # Few values in 0..1 would give scores so near one another that learning starts slowly.
            nn.init.normal_(classifier.weight, std=4 / math.sqrt(width))
            nn.init.zeros_(classifier.bias)

    def extract(self, raster: Tensor | None, sequence: Tensor | None, lengths: Tensor | None) -> Tensor:
        """Return the features of both branches, side by side.

        Args:
            raster: (B, channels, S, S) float32, for the picture branch.
            sequence: (B, L, 4) float32, for the point branch.
            lengths: (B,) int64 on the CPU.

        Returns:
            (B, feature_size).
        """
        # Appending to a list would make `torch.compile` begin again at every step: the list's method is new each time.
        picture = () if self.picture is None else (self.picture.extract(raster),)
        points = () if self.points is None else (self.points(sequence, lengths),)
        return torch.cat([*picture, *points], 1)

    def embed(self, features: Tensor) -> Tensor:
        """Return the code layer's values: (B, feature_size) → (B, D), in 0..1 for sigmoid, from 0 on for relu."""
        return _ACTIVATIONS[self.activation](self.norm(self.fuse(features)))

    def forward(self, raster: Tensor | None, sequence: Tensor | None, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the code layer's values and the scores: (B, D), (B, L)."""
        code = self.embed(self.extract(raster, sequence, lengths))
        return code, self.classifier(code)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Everything needed to rebuild a network.

    Attributes:
        network: Its branches.
        width: D, of the code layer.
        activation: Activation of the code layer.
        scale: Divisor of the offsets.
        classes: The class table.
        config: Configuration of an encoder of transformers.
    """

    network: NetworkOptions
    width: int
    activation: Activation
    scale: float
    classes: tuple[str, ...]
    config: Mapping[str, Any] | None = None


class DrawingNetwork(nn.Module):
    """A network that recognises drawings: it takes batches as the loader makes them."""

    @property
    def view(self) -> View:
        """What the network reads of a drawing."""
        raise NotImplementedError

    @property
    def classes(self) -> tuple[str, ...]:
        """The class table of its training data."""
        raise NotImplementedError

    @property
    def width(self) -> int:
        """Width D of the layer before the classifier."""
        raise NotImplementedError

    @property
    def classifier(self) -> nn.Module:
        """The last layer: (B, D) → (B, L) scores."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the classifier's input and the scores of each drawing: (B, D), (B, L) float32."""
        raise NotImplementedError


class SketchEncoder(DrawingNetwork):
    """A fusion network that takes batches as the loader makes them, with random weights at first.

    Raises:
        ConfigError: The backbone does not exist.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture, options = architecture, architecture.network
        picture = points = None
        if options.branch != "rnn":
            picture = build(options.backbone, classes=1, channels=_channels(options), config=architecture.config)
            *_, classifier = (layer for layer in picture.modules() if isinstance(layer, nn.Linear))
            # Only its features are used. What never has a gradient must not be waited for by several processes.
            classifier.requires_grad_(False)
        if options.branch != "cnn":
            points = RecurrentEncoder(hidden=options.hidden, layers=options.layers)
        classes, activation = len(architecture.classes), architecture.activation
        self.fusion = FusionNetwork(picture, points, width=architecture.width, classes=classes, activation=activation)

    @property
    def view(self) -> View:
        """What the network reads of a drawing."""
        return view_of(self.architecture.network, self.architecture.scale)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class table of its training data."""
        return self.architecture.classes

    @property
    def width(self) -> int:
        """D, of the code layer."""
        return self.architecture.width

    @property
    def classifier(self) -> nn.Module:
        """The layer behind the code layer."""
        found: nn.Module = self.fusion.classifier
        return found

    @property
    def threshold(self) -> float:
        """The smallest value of the code layer that is a 1 in a binary code."""
        return THRESHOLDS[self.architecture.activation]

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the code layer's values and the scores of each drawing: (B, D), (B, L) float32."""
        device = self.fusion.fuse.weight.device
        sequence = None if batch.sequence is None else batch.sequence.to(device)
        code, scores = self.fusion(pictures_of(batch, device), sequence, batch.lengths)
        return code.float(), scores.float()


def pictures_of(batch: Batch, device: torch.device) -> Tensor | None:
    """Return a batch's bitmaps as networks take them: (B, C, S, S) float32, ink 1 on background 0."""
    if batch.raster is None:
        return None
    raster = batch.raster.to(device)
    return raster.float() / _INK if raster.shape[1] == 1 else to_floats(raster)


def write_encoder(folder: Path, encoder: SketchEncoder) -> None:
    """Write `model.safetensors` into a run folder: the weights, and how to build what they fit.

    Raises:
        SketchDataError: It cannot be written.
    """
    facts = dataclasses.asdict(encoder.architecture)
    # What it began with makes no difference any more.
    del facts["network"]["weights"]
    if facts["config"] is None:
        del facts["config"]
    write_tensors(folder / MODEL, encoder.state_dict(), {"architecture": facts})


def read_encoder(folder: Path) -> SketchEncoder:
    """Return the network of a run folder, on the CPU and in evaluation mode.

    Raises:
        SketchDataError: Its training is not whole, or the file is damaged.
    """
    path = folder / MODEL
    if not path.is_file():
        raise SketchDataError(f"{folder} has no {MODEL}, so its training did not finish: continue with --resume")
    weights, facts = read_tensors(path)
    if "architecture" not in facts:
        raise SketchDataError(f"{folder} holds a training of another kind: its network does not read drawings")
    architecture = convert(facts["architecture"], Architecture, path, "train in another --out", "architecture.")
    for name in ("size", "hidden", "layers", "max_points"):
        if (value := getattr(architecture.network, name)) < 1:
            raise fault(path, f"architecture.network.{name}", "a number of at least 1", str(value))
    try:
        encoder = SketchEncoder(architecture)
        encoder.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SketchDataError(f"{path} has weights that do not fit the network that it describes: {error}") from error
    return encoder.eval()


@torch.no_grad()
def embed(
    trained: DrawingNetwork,
    packed: PackedSplit,
    *,
    rows: npt.NDArray[np.int64] | None = None,
    device: str = "cpu",
    batch_size: int = 512,
) -> npt.NDArray[np.float32]:
    """Return the code layer's values for drawings in their order: (N, D) float32.

    Args:
        trained: The network.
        packed: Drawings, of any classes.
        rows: (N,) which of them; None for all.
        device: Where to compute.
        batch_size: Drawings at a time.
    """
    packed = packed.to(device)
    trained.to(packed.device).eval()
    chosen = torch.arange(len(packed)) if rows is None else torch.from_numpy(rows)
    view = trained.view
    found = np.empty((len(chosen), trained.width), np.float32)
    with task_bar() as bar:
        shown = bar.add_task("Encoding", total=len(chosen))
        for start in range(0, len(chosen), batch_size):
            indices = chosen[start : start + batch_size]
            f, _ = trained(view.batch(packed, indices, 0))
            found[start : start + len(indices)] = f.cpu().numpy()
            bar.update(shown, advance=len(indices))
    return found


@torch.no_grad()
def probabilities(
    trained: DrawingNetwork, embedding: npt.NDArray[np.float32], *, device: str = "cpu"
) -> npt.NDArray[np.float64]:
    """Return the classifier's probabilities of the classes it learned, of embeddings: (N, D) → (N, L)."""
    classify = trained.to(device).eval().classifier
    scores: npt.NDArray[np.float64] = classify(torch.from_numpy(embedding).to(device)).double().softmax(1).cpu().numpy()
    return scores


def encode(trained: SketchEncoder, packed: PackedSplit, *, device: str = "cpu", batch_size: int = 512) -> Codes:
    """Return the binary codes of every drawing, in their order: Eq. 5, 1 where a value reaches the threshold.

    The class table is that of the drawings, which the network need not know. Bitmaps have no key_ids: the row's number
    stands for it.
    """
    return codes_of(embed(trained, packed, device=device, batch_size=batch_size), trained.threshold, packed)


def codes_of(embedding: npt.NDArray[np.float32], threshold: float, packed: PackedSplit) -> Codes:
    """Return the binary codes of drawings, given their (N, D) embeddings."""
    key_ids: npt.NDArray[np.uint64] = np.arange(len(packed), dtype=np.uint64)
    if not isinstance(packed, PackedBitmaps):
        key_ids = packed.key_ids.cpu().numpy().view(np.uint64)
    return Codes(
        bits=embedding.shape[1],
        packed=pack_bits(embedding >= threshold),
        labels=packed.labels.cpu().numpy().astype(np.uint16),
        key_ids=key_ids,
        classes=packed.classes,
    )
