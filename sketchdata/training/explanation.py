"""Why a network recognises a drawing as what it does: the weight of each stroke, maps, filters and inverted features.

Sources: Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017, for weights by gradients;
Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, for weights by leaving out;
Mahendran and Vedaldi, "Understanding deep image representations by inverting them", CVPR 2015, for inverted features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.errors import ConfigError
from sketchdata.progress import task_bar
from sketchdata.training.encoder import DrawingNetwork
from sketchdata.training.networks import PictureNetwork
from sketchdata.training.packed import PackedSketches, pack

#: Points of the path from blank paper to the drawing at which gradients are taken.
STEPS = 32
#: Convolutions that are shown, evenly from the first to the last.
SHOWN_LAYERS = 5
#: Weights of the priors of an inverted picture: of its sixth power, and of its total variation.
_NORM_WEIGHT, _VARIATION_WEIGHT = 1e-2, 1e-1
_WHITE = 255


def packed_drawings(drawings: Sequence[Drawing]) -> PackedSketches:
    """Return simplified drawings as networks take them."""
    words = Words()
    return pack([to_batch(drawings, words)], tuple(words.names))


def centred(scores: Tensor, label: int) -> Tensor:
    """Return how far the score of a class is above the mean of all: (B, L) → (B,)."""
    return scores[:, label] - scores.mean(1)


def gradient_weights(
    network: DrawingNetwork, drawing: Drawing, label: int, *, device: str = "cpu", steps: int = STEPS
) -> tuple[npt.NDArray[np.float64], float, float]:
    """Return the weight of each stroke by integrated gradients of the class's score, above the mean of all scores.

    The drawing's ink, and the points' offsets for networks that read them, appear gradually; the gradients on the way
    times the ink are summed over the pixels and points of each stroke. Pixels of several strokes count for each in
    equal parts. The weights sum to the difference of the two scores, but for the error of `steps` steps.

    Args:
        network: The network.
        drawing: A simplified one of S strokes.
        label: The class.
        device: Where to compute.
        steps: Points of the path.

    Returns:
        (S,) float64, the score of the drawing, and that of blank paper.
    """
    network = network.to(device).eval()
    packed = packed_drawings([drawing]).to(device)
    view, one = network.view, torch.tensor([0])
    batch = view.batch(packed, one, 0)
    # The middle of each step; the last two are blank paper and the drawing.
    shares = torch.cat([(torch.arange(steps) + 0.5) / steps, torch.tensor([0.0, 1.0])]).to(device)
    parts: dict[str, Tensor] = {}
    for name in ("raster", "sequence"):
        own = getattr(batch, name)
        if own is not None:
            scaled = own.to(device).float() * shares.view(-1, *[1] * (own.ndim - 1))
            parts[name] = scaled.requires_grad_(True)
    lengths = None if batch.lengths is None else batch.lengths.expand(len(shares))
    # cuDNN computes no gradients of a recurrent network in evaluation mode.
    with torch.backends.cudnn.flags(enabled=False), torch.enable_grad():
        _, scores = network(replace(batch, indices=one.expand(len(shares)), lengths=lengths, **parts))
        found = centred(scores, label)
        gradients = torch.autograd.grad(found[:steps].sum(), list(parts.values()))
    weights = np.zeros(len(drawing.strokes))
    for (name, part), gradient in zip(parts.items(), gradients, strict=True):
        share = (gradient[:steps].mean(0) * part[-1].detach()).double().cpu().numpy()
        if name == "raster":
            covered = stroke_masks(drawing, int(view.size or 0), view.line_width)
            each = share.sum(0) / np.maximum(covered.sum(0), 1)
            weights += (covered * each).sum((1, 2))
        else:
            owner = np.repeat(np.arange(len(weights)), [len(stroke) for stroke in drawing.strokes])[: len(share)]
            weights += np.bincount(owner, share[: len(owner)].sum(1), len(weights))
    *_, blank, whole = found.detach().tolist()
    return weights, whole, blank


def stroke_masks(drawing: Drawing, size: int, line_width: int) -> npt.NDArray[np.bool_]:
    """Return which pixels each stroke covers: (S, size, size)."""
    alone = packed_drawings([replace(drawing, strokes=(stroke,)) for stroke in drawing.strokes])
    ink: npt.NDArray[np.uint8] = alone.raster(torch.arange(len(alone)), size, line_width)[:, 0].numpy()
    return ink > 0


def without_strokes(drawing: Drawing) -> list[Drawing]:
    """Return the drawing without each of its strokes; none for a drawing of a single one."""
    strokes = drawing.strokes
    if len(strokes) < 2:
        return []
    return [replace(drawing, strokes=strokes[:place] + strokes[place + 1 :]) for place in range(len(strokes))]


# ---- what a picture network sees -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureReader:
    """A picture network and how pictures become its input.

    Attributes:
        trunk: The network, in evaluation mode.
        size: Side of its pictures.
        read: Takes (B, 3, S, S) floats, white 1 and black 0, and returns its input.
        colours: Whether it reads colours, and so photos.
    """

    trunk: PictureNetwork
    size: int
    read: Callable[[Tensor], Tensor]
    colours: bool


def ink_reader(trunk: PictureNetwork, size: int) -> PictureReader:
    """Return a network that reads ink, 1 on background 0, as one of grey pictures.

    Raises:
        ConfigError: It reads the order of strokes as well, which pictures do not have.
    """
    first = first_convolution(trunk)
    if first.in_channels != 1:
        raise ConfigError(
            "the network reads the order of strokes (--channels strokes), which a picture does not have: maps and "
            "inverted features are for networks of ink or colours"
        )
    return PictureReader(trunk=trunk.eval(), size=size, read=lambda x: 1 - x.mean(1, keepdim=True), colours=False)


def first_convolution(trunk: nn.Module) -> nn.Conv2d:
    """Return the first convolution of a network.

    Raises:
        ConfigError: It has none.
    """
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d):
            return layer
    raise ConfigError("the network has no convolution to show")


def shown_convolutions(trunk: nn.Module) -> dict[str, nn.Conv2d]:
    """Return up to five convolutions of a network by their names, evenly from the first to the last."""
    found = [(name, layer) for name, layer in trunk.named_modules() if isinstance(layer, nn.Conv2d)]
    places = sorted(set(np.linspace(0, len(found) - 1, min(SHOWN_LAYERS, len(found))).round().astype(int).tolist()))
    return {f"conv {place + 1} of {len(found)}": found[place][1] for place in places}


@contextmanager
def _recorded(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, given: object, found: Tensor) -> None:
            del module, given
            # A copy, as the activation behind it may work in place.
            kept[name] = found.clone()

        return hook

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def layer_outputs(reader: PictureReader, pictures: Tensor, names: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Return what each shown layer makes of pictures, rectified: {layer: (B, C, H, W) or (B, D)}.

    The layers are those of `shown_convolutions`, and then those before the scores.

    Args:
        reader: The network.
        pictures: (B, 3, S, S) floats, white 1.
        names: Of the layers that are wanted; None for all.
    """
    with _recorded(shown_convolutions(reader.trunk)) as kept:
        last = reader.trunk.last_layers(reader.read(pictures))
    found = {name: own.relu() for name, own in kept.items()}
    found |= {f"fc{8 - len(last) + place}": own for place, own in enumerate(last)}
    return found if names is None else {name: found[name] for name in names}


@torch.no_grad()
def layer_names(reader: PictureReader) -> list[str]:
    """Return the names of the layers of `layer_outputs`."""
    side = reader.size
    device = next(reader.trunk.parameters()).device
    return list(layer_outputs(reader, torch.ones(1, 3, side, side, device=device)))


@torch.no_grad()
def strongest_maps(reader: PictureReader, pictures: Tensor, count: int) -> dict[str, npt.NDArray[np.float32]]:
    """Return the maps of each shown convolution that respond most to all pictures together.

    Args:
        reader: The network.
        pictures: (B, 3, S, S) floats, white 1.
        count: Maps of each layer.

    Returns:
        {layer: (B, count, H, W)}, each map divided by its largest value; fewer where a layer has fewer.
    """
    found = {}
    for name, maps in layer_outputs(reader, pictures).items():
        if maps.ndim != 4:
            continue
        # The geometric mean: a map that one of the pictures leaves silent is not common to them.
        strength = maps.mean((2, 3)).clamp(min=1e-9).log().mean(0)
        best = maps[:, strength.topk(min(count, maps.shape[1])).indices]
        found[name] = (best / best.amax((2, 3), keepdim=True).clamp(min=1e-9)).cpu().numpy()
    return found


def filters_of(weight: Tensor) -> npt.NDArray[np.float32]:
    """Return filters as pictures: (K, C, h, w) → (K, h, w, 3) for three channels, else (K, h, w) of the first, in 0..1.

    Each is stretched about its own mean, so that grey is a weight of that mean.
    """
    kept = weight.detach().float().cpu()
    if kept.shape[1] != 3:
        kept = kept[:, :1]
    flat = kept.flatten(1)
    about, reach = flat.mean(1), (flat - flat.mean(1, keepdim=True)).abs().amax(1).clamp(min=1e-9)
    shown = 0.5 + (kept - about.view(-1, 1, 1, 1)) / (2 * reach.view(-1, 1, 1, 1))
    found: npt.NDArray[np.float32] = shown.permute(0, 2, 3, 1).numpy()
    return found if found.shape[3] == 3 else found[..., 0]


def invert(reader: PictureReader, picture: Tensor, name: str, *, steps: int = 200, seed: int = 0) -> Tensor:
    """Return a picture whose layer is near that of another one, found by optimisation from noise.

    It minimises ‖Φ(x) − Φ₀‖² / ‖Φ₀‖² with priors of the sixth power and of the total variation, Eq. 1 to 3 of Mahendran
    and Vedaldi, by Adam.

    Args:
        reader: The network.
        picture: (3, S, S) floats, white 1.
        name: Of a layer of `layer_outputs`.
        steps: Of the optimiser.
        seed: Of the noise that it begins with.

    Returns:
        (3, S, S) floats in 0..1.
    """
    with torch.no_grad():
        wanted = layer_outputs(reader, picture[None], [name])[name]
    scale = wanted.square().sum().clamp(min=1e-9)
    random = torch.Generator().manual_seed(seed)
    x = (0.5 + 0.05 * torch.randn(1, *picture.shape, generator=random)).to(picture.device).requires_grad_(True)
    optimiser = torch.optim.Adam([x], lr=0.05)
    with torch.enable_grad(), task_bar() as bar:
        shown = bar.add_task(f"Inverting {name}", total=steps)
        for _ in range(steps):
            own = layer_outputs(reader, x, [name])[name]
            across, down = x.diff(dim=3).square().mean(), x.diff(dim=2).square().mean()
            loss = (own - wanted).square().sum() / scale
            loss = loss + _NORM_WEIGHT * (2 * (x - 0.5)).pow(6).mean() + _VARIATION_WEIGHT * (across + down)
            optimiser.zero_grad()
            (x.grad,) = torch.autograd.grad(loss, [x])
            optimiser.step()
            bar.advance(shown, 1)
    return x.detach()[0].clamp(0, 1)
