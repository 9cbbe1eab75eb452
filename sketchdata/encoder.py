"""The network of a drawing: its options, what it reads of a drawing, and how it comes back from a run folder."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn

from sketchdata.augmentation import Augmentation
from sketchdata.checkpoints import read_tensors, write_tensors
from sketchdata.config import option
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.loader import Batch, View
from sketchdata.models import MODELS, THRESHOLDS, Activation, FusionNetwork, RecurrentEncoder, build
from sketchdata.raster import MAX_SIZE
from sketchdata.run_folder import MODEL
from sketchdata.stroke_channels import CHANNELS, to_floats

_INK = 255


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The branches, and what they read. The defaults are those of Xu et al., section IV-A."""

    branch: str = option("cr", help="Pictures, points, or both.", type=click.Choice(["cnn", "rnn", "cr"]))
    backbone: str = option("alexnet", help=f"Picture branch: {', '.join(MODELS)} or timm:NAME.", metavar="NAME")
    size: int = option(224, help="Side of the picture in pixels.", type=click.IntRange(16, MAX_SIZE))
    line_width: int = option(1, help="Width of its lines in pixels.", type=click.IntRange(1, 64))
    channels: str = option(
        "ink",
        help="Of the picture: ink, or strokes, which adds when and which way each pixel was drawn.",
        type=click.Choice(["ink", "strokes"]),
    )
    hidden: int = option(512, help="Width of the GRU in each direction.", type=click.IntRange(1))
    layers: int = option(2, help="Layers of the GRU.", type=click.IntRange(1))
    # The paper does not say how long; simplified drawings of more points are rare.
    max_points: int = option(128, help="Points of a drawing that the GRU reads.", type=click.IntRange(1))

    def check(self) -> None:
        """Refuse pictures that are too small for the backbone.

        Raises:
            ConfigError: They are.
        """
        least = MODELS[self.backbone].least if self.backbone in MODELS else 1
        if self.branch != "rnn" and self.size < least:
            raise ConfigError(f"--backbone {self.backbone} needs pictures of --size {least} at least, not {self.size}")

    def view(self, scale: float, augment: Augmentation | None = None) -> View:
        """Return what the branches read of a drawing; `scale` is what ways from point to point are divided by."""
        return View(
            size=None if self.branch == "rnn" else self.size,
            line_width=self.line_width,
            channels="strokes" if self.channels == "strokes" else "ink",
            max_points=None if self.branch == "cnn" else self.max_points,
            scale=scale,
            augment=augment,
        )

    def picture_branch(self) -> Any:
        """Return a new picture branch, or None where there is none.

        Raises:
            ConfigError: There is no such backbone.
        """
        if self.branch == "rnn":
            return None
        network = build(self.backbone, classes=1, channels=CHANNELS if self.channels == "strokes" else 1)
        *_, classifier = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
        # Only its features are used. What never has a gradient must not wait for one among several processes.
        classifier.requires_grad_(False)
        return network

    def point_branch(self) -> RecurrentEncoder | None:
        """Return a new point branch, or None where there is none."""
        return None if self.branch == "cnn" else RecurrentEncoder(hidden=self.hidden, layers=self.layers)


class SketchEncoder(nn.Module):
    """A fusion network that takes batches as the loader makes them.

    Args:
        options: Its branches.
        width: D, of the code layer.
        classes: Number of classes L.
        activation: Of the D numbers.

    Raises:
        ConfigError: There is no such backbone.
    """

    def __init__(self, options: NetworkOptions, *, width: int, classes: int, activation: Activation) -> None:
        super().__init__()
        picture, points = options.picture_branch(), options.point_branch()
        self.fusion = FusionNetwork(picture, points, width=width, classes=classes, activation=activation)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the D numbers and the scores of each drawing: (B, D), (B, L) float32."""
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A network that was trained, on the CPU and ready to be asked, and what it reads.

    Attributes:
        encoder: The network.
        view: What it reads of a drawing.
        classes: The class table of the data that it learned from.
        width: D.
        threshold: From which value on a number is a 1 in a binary code.
    """

    encoder: SketchEncoder
    view: View
    classes: tuple[str, ...]
    width: int
    threshold: float


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """All that is needed to build a network again.

    Attributes:
        network: Its branches.
        width: D.
        activation: Of the D numbers.
        scale: What the ways from point to point are divided by.
        classes: The class table.
    """

    network: NetworkOptions
    width: int
    activation: Activation
    scale: float
    classes: tuple[str, ...]

    def encoder(self) -> SketchEncoder:
        """Return a new network with random weights."""
        return SketchEncoder(self.network, width=self.width, classes=len(self.classes), activation=self.activation)


def write_encoder(folder: Path, encoder: SketchEncoder, architecture: Architecture) -> None:
    """Write `model.safetensors` into a run folder: the weights, and how to build what they fit.

    Raises:
        SketchDataError: It cannot be written.
    """
    write_tensors(folder / MODEL, encoder.state_dict(), {"architecture": dataclasses.asdict(architecture)})


def read_encoder(folder: Path) -> Trained:
    """Return the network of a run folder.

    Raises:
        SketchDataError: Its training is not whole, or the file is damaged.
    """
    path = folder / MODEL
    if not path.is_file():
        raise SketchDataError(f"{folder} has no {MODEL}, so its training did not finish: go on with --resume")
    weights, facts = read_tensors(path)
    if "architecture" not in facts:
        raise SketchDataError(f"{folder} holds a training of another kind: its network does not read drawings")
    try:
        values = dict(facts["architecture"])
        values["network"], values["classes"] = NetworkOptions(**values["network"]), tuple(values["classes"])
        architecture = Architecture(**values)
        encoder = architecture.encoder()
        encoder.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        raise SketchDataError(f"{path} does not hold the network that it says it holds: {error}") from error
    return Trained(
        encoder=encoder.eval(),
        view=architecture.network.view(architecture.scale),
        classes=architecture.classes,
        width=architecture.width,
        threshold=THRESHOLDS[architecture.activation],
    )
