"""Networks of zero-shot methods, and the steps by which they learn. All chance comes from generators of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise

import numpy as np
import torch
from torch import Tensor, nn

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.zero_shot.comparison import Weights
from sketchdata.zero_shot.lesson import Matrix
from sketchdata.zero_shot.recogniser import Constants

OPTIMISERS = ("adamw", "adam", "rmsprop")


def walk(
    loss: Callable[[], Tensor], optimiser: torch.optim.Optimizer, marks: Sequence[int], name: str
) -> Iterator[int]:
    """Take steps down a loss, and stop for a look after each number of them in `marks`, which is yielded.

    Raises:
        SketchDataError: The loss is no longer a finite number.
    """
    for step in range(1, max(marks) + 1):
        optimiser.zero_grad()
        found = loss()
        found.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step in marks:
            if not math.isfinite(float(found.detach())):
                raise SketchDataError(
                    f"the loss of {name} is not finite after {step:,} steps: lower its learning rate or its decay"
                )
            yield step


def by_decay(grid: Sequence[Constants]) -> Iterator[tuple[float, list[int]]]:
    """Yield each `decay` of a grid with its numbers of `steps`, so that one walk serves all of these.

    Raises:
        ConfigError: A number of steps is below 1.
    """
    pairs = sorted({(constants["decay"], int(constants["steps"])) for constants in grid})
    if min(steps for _, steps in pairs) < 1:
        raise ConfigError("a network learns in 1 step or more")
    for decay, group in groupby(pairs, key=lambda pair: pair[0]):
        yield decay, [steps for _, steps in group]


def make_optimiser(name: str, network: nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    """Return an optimiser whose decay is the λ of λ ‖Θ‖².

    AdamW decays weights beside the gradient; the others have it in the gradient, where torch's factor stands for λ/2.

    Raises:
        ConfigError: There is none of that name.
    """
    if name == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
    if name == "adam":
        return torch.optim.Adam(network.parameters(), lr=rate, weight_decay=2 * decay)
    if name == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=rate, weight_decay=2 * decay)
    raise ConfigError(f"optimisers are {', '.join(OPTIMISERS)}, and {name!r} is none")


def chance_of(seed: int, member: int = 0) -> torch.Generator:
    """Return a generator on the CPU, for all devices draw the same numbers then."""
    return torch.Generator().manual_seed((seed * 1_000_003 + member) % (1 << 63))


def linear(inputs: int, outputs: int, chance: torch.Generator, *, gain: float = 1.0) -> nn.Linear:
    """Return a layer with torch's usual first weights, drawn from `chance` rather than from the generator of all.

    Args:
        inputs: Numbers that it takes.
        outputs: Numbers that it gives.
        chance: Where first weights come from.
        gain: What the usual weights are multiplied by: √3 makes their variance 1 / inputs.
    """
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    reach = 1 / math.sqrt(inputs)
    with torch.no_grad():
        layer.weight.uniform_(-gain * reach, gain * reach, generator=chance)
        layer.bias.uniform_(-reach, reach, generator=chance)
    return layer


def perceptron(sizes: Sequence[int], chance: torch.Generator, *, last_relu: bool, gain: float = 1.0) -> nn.Sequential:
    """Return fully connected layers with ReLU between them, and after the last one if so wished."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [linear(inputs, outputs, chance, gain=gain), nn.ReLU()]
    return nn.Sequential(*(layers if last_relu else layers[:-1]))


def as_matrix(values: Tensor) -> Matrix:
    """Return a tensor's numbers in double, on the CPU."""
    return values.detach().cpu().numpy().astype(np.float64)


def layers_of(network: nn.Module) -> tuple[tuple[Weights, ...], tuple[Weights, ...]]:
    """Return weights and biases of a network's fully connected layers in their order, which later steps do not change.

    Each is (outputs, inputs) and (outputs,), float32.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return (
        tuple(layer.weight.detach().cpu().numpy().astype(np.float32) for layer in layers),
        tuple(layer.bias.detach().cpu().numpy().astype(np.float32) for layer in layers),
    )
