"""The network of a drawing: its options, what it reads of a drawing, and how it comes back from a run folder."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sketchdata.augmentation import Augmentation
from sketchdata.checkpoints import read_tensors, write_tensors
from sketchdata.errors import SketchDataError
from sketchdata.loader import Batch, View
from sketchdata.models import THRESHOLDS, Activation, FusionNetwork, RecurrentEncoder, build
from sketchdata.run_folder import MODEL
from sketchdata.stroke_channels import CHANNELS, to_floats
from sketchdata.training_options import NetworkOptions

_INK = 255


def view_of(network: NetworkOptions, scale: float, augment: Augmentation | None = None) -> View:
    """Return what the branches read of a drawing; `scale` is what ways from point to point are divided by."""
    return View(
        size=None if network.branch == "rnn" else network.size,
        line_width=network.line_width,
        channels="strokes" if network.channels == "strokes" else "ink",
        max_points=None if network.branch == "cnn" else network.max_points,
        scale=scale,
        augment=augment,
    )


def picture_branch(options: NetworkOptions) -> Any:
    """Return a new picture branch, or None where there is none.

    Raises:
        ConfigError: There is no such backbone.
    """
    if options.branch == "rnn":
        return None
    network = build(options.backbone, classes=1, channels=CHANNELS if options.channels == "strokes" else 1)
    *_, classifier = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
    # Only its features are used. What never has a gradient must not wait for one among several processes.
    classifier.requires_grad_(False)
    return network


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
        picture = picture_branch(options)
        points = None if options.branch == "cnn" else RecurrentEncoder(hidden=options.hidden, layers=options.layers)
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
        view=view_of(architecture.network, architecture.scale),
        classes=architecture.classes,
        width=architecture.width,
        threshold=THRESHOLDS[architecture.activation],
    )
