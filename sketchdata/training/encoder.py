"""The network of a drawing: its options, what it reads of a drawing, and how it comes back from a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.codes import Codes, pack_bits
from sketchdata.progress import console, task_bar
from sketchdata.training.augmentation import CHANNELS, Augmentation, to_floats
from sketchdata.training.bitmaps import Packed, PackedBitmaps
from sketchdata.training.checkpoints import read_tensors, write_tensors
from sketchdata.training.loader import Batch, View
from sketchdata.training.models import (
    THRESHOLDS,
    Activation,
    FusionNetwork,
    RecurrentEncoder,
    build,
    hash_weights,
    load_pretrained,
    transformers_config,
    weights_path,
)
from sketchdata.training.options import TRANSFORMERS, NetworkOptions
from sketchdata.training.run_folder import MODEL, RECORD, STAGES, RunFolder, read_record

_INK = 255
#: The picture network that a training began with, among the stages of its folder.
_WEIGHTS = "pretrained-weights"


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


def picture_branch(options: NetworkOptions, config: Mapping[str, Any] | None = None) -> Any:
    """Return a new picture branch, or None where there is none.

    Args:
        options: Name the backbone.
        config: Of an encoder of transformers.

    Raises:
        ConfigError: There is no such backbone.
    """
    if options.branch == "rnn":
        return None
    network = build(options.backbone, classes=1, channels=_channels(options), config=config)
    *_, classifier = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
    # Only its features are used. What never has a gradient must not wait for one among several processes.
    classifier.requires_grad_(False)
    return network


def weights_record(options: NetworkOptions, run: Path | None = None) -> dict[str, str] | None:
    """Return what is recorded of the weights, `source` and `sha256`, after trying them; None of none.

    Args:
        options: Name the weights.
        run: The folder of the training. One that has begun does not need the weights any more, so that they may be
            absent.

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
        raise ConfigError(f"--weights {path} is no folder, which --backbone {TRANSFORMERS} needs")
    config = backbone_config(options, None)
    if config is not None and options.size < config["patch_size"]:
        raise ConfigError(
            f"--weights {path} looks at patches of {config['patch_size']} pixels: take a --size of that at least, "
            f"not {options.size}"
        )
    found = {"source": options.weights, "sha256": hash_weights(path)}
    if before is None or before["sha256"] != found["sha256"]:
        network = build(options.backbone, classes=1, channels=_channels(options), config=config)
        load_pretrained(network, options.backbone, options.weights)
    return found


def backbone_config(options: NetworkOptions, run: Path | None) -> dict[str, Any] | None:
    """Return the configuration of an encoder of transformers: a training's own, or else that of the weights.

    Raises:
        ConfigError: The folder of the weights holds no image encoder.
    """
    if options.branch == "rnn" or options.backbone != TRANSFORMERS:
        return None
    if run is not None and (kept := _kept_weights(run)).is_file():
        return dict(read_tensors(kept)[1]["config"])
    return transformers_config(Path(options.weights or ""))


def start_pretrained(options: NetworkOptions, folder: RunFolder, network: nn.Module | None) -> None:
    """Give a training's new picture network its pretrained weights, if there are any.

    The network as it begins is kept among the folder's stages, so that the weights are read once.

    Raises:
        ConfigError: They cannot be read, or are of another network.
    """
    if options.weights is None or network is None:
        return
    path = _kept_weights(folder.path)
    if folder.ranks.leads and not path.exists():
        left_out = load_pretrained(network, options.backbone, options.weights)
        if left_out:
            names = ", ".join(sorted(left_out))
            console.print(f"--weights: {names} left out, of another number of classes", highlight=False, soft_wrap=True)
        write_tensors(path, network.state_dict(), {"config": getattr(network, "config", None)})
    folder.ranks.wait()
    network.load_state_dict(read_tensors(path)[0])


def recorded_weights(record: Mapping[str, str] | None) -> dict[str, str | None]:
    """Return pretrained weights as an option of a record: by their sha256, wherever they are."""
    return {"weights": None if record is None else f"sha256:{record['sha256']}"}


def _kept_weights(run: Path) -> Path:
    return run / STAGES / f"{_WEIGHTS}.safetensors"


def _channels(options: NetworkOptions) -> int:
    return CHANNELS if options.channels == "strokes" else 1


class SketchEncoder(nn.Module):
    """A fusion network that takes batches as the loader makes them.

    Args:
        options: Its branches.
        width: D, of the code layer.
        classes: Number of classes L.
        activation: Of the D numbers.
        config: Of an encoder of transformers.

    Raises:
        ConfigError: There is no such backbone.
    """

    def __init__(
        self,
        options: NetworkOptions,
        *,
        width: int,
        classes: int,
        activation: Activation,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        picture = picture_branch(options, config)
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
        config: Of an encoder of transformers.
    """

    network: NetworkOptions
    width: int
    activation: Activation
    scale: float
    classes: tuple[str, ...]
    config: Mapping[str, Any] | None = None

    def encoder(self) -> SketchEncoder:
        """Return a new network with random weights."""
        return SketchEncoder(
            self.network,
            width=self.width,
            classes=len(self.classes),
            activation=self.activation,
            config=self.config,
        )


def write_encoder(folder: Path, encoder: SketchEncoder, architecture: Architecture) -> None:
    """Write `model.safetensors` into a run folder: the weights, and how to build what they fit.

    Raises:
        SketchDataError: It cannot be written.
    """
    facts = dataclasses.asdict(architecture)
    # What it began with makes no difference any more.
    del facts["network"]["weights"]
    if facts["config"] is None:
        del facts["config"]
    write_tensors(folder / MODEL, encoder.state_dict(), {"architecture": facts})


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


# What a trained network makes of the drawings of a split: numbers, and binary codes of them.


@torch.no_grad()
def outputs(
    trained: Trained,
    packed: Packed,
    *,
    rows: npt.NDArray[np.int64] | None = None,
    device: str = "cpu",
    batch_size: int = 512,
) -> npt.NDArray[np.float32]:
    """Return the numbers of the code layer for every drawing, in their order.

    Args:
        trained: The network.
        packed: Drawings, of any classes.
        rows: (N,) which of them; None for all.
        device: Where to compute.
        batch_size: Drawings at a time.

    Returns:
        (N, D) float32.
    """
    packed = packed.to(device)
    encoder = trained.encoder.to(packed.device).eval()
    chosen = torch.arange(len(packed)) if rows is None else torch.from_numpy(rows)
    found = np.empty((len(chosen), trained.width), np.float32)
    with task_bar() as bar:
        shown = bar.add_task("Encoding", total=len(chosen))
        for start in range(0, len(chosen), batch_size):
            indices = chosen[start : start + batch_size]
            f, _ = encoder(trained.view.batch(packed, indices))
            found[start : start + len(indices)] = f.cpu().numpy()
            bar.update(shown, advance=len(indices))
    return found


@torch.no_grad()
def probabilities(
    trained: Trained, numbers: npt.NDArray[np.float32], *, device: str = "cpu"
) -> npt.NDArray[np.float64]:
    """Return what the classifier makes of numbers of the code layer, (N, D): (N, L), of the classes it learned."""
    classify = trained.encoder.to(device).eval().fusion.classifier
    found: npt.NDArray[np.float64] = classify(torch.from_numpy(numbers).to(device)).double().softmax(1).cpu().numpy()
    return found


def encode(trained: Trained, packed: Packed, *, device: str = "cpu", batch_size: int = 512) -> Codes:
    """Return the binary codes of every drawing, in their order: Eq. 5, 1 where a number reaches the threshold.

    The class table is that of the drawings, which the network need not know. Bitmaps have no key_ids: the number of the
    row stands for it.
    """
    return codes_of(outputs(trained, packed, device=device, batch_size=batch_size), trained.threshold, packed)


def codes_of(numbers: npt.NDArray[np.float32], threshold: float, packed: Packed) -> Codes:
    """Return the codes of drawings whose numbers are known: (N, D) float32."""
    key_ids: npt.NDArray[np.uint64] = np.arange(len(packed), dtype=np.uint64)
    if not isinstance(packed, PackedBitmaps):
        key_ids = packed.key_ids.cpu().numpy().view(np.uint64)
    return Codes(
        bits=numbers.shape[1],
        packed=pack_bits(numbers >= threshold),
        labels=packed.labels.cpu().numpy().astype(np.uint16),
        key_ids=key_ids,
        classes=packed.classes,
    )
