"""Recognition of a drawing by several views: it is turned and mirrored, and the probabilities are averaged.

Source: Wang et al., "Deep sketch feature for cross-domain image retrieval", Neurocomputing 2016: 9 angles from −45° to
45°, each with its mirror image, 18 views in all. The paper prints a step of 11.5°, which would end at 47°; here it is
11.25°.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sketchdata.drawings.drawing import MAX_COORDINATE
from sketchdata.errors import ConfigError
from sketchdata.progress import task_bar
from sketchdata.training.bitmaps import DrawingSplit
from sketchdata.training.encoder import DrawingNetwork
from sketchdata.training.options import VIEW_ANGLES
from sketchdata.training.packed import INK, Augmentation


def check_views(views: int) -> None:
    """Raise ConfigError where there is no such number of views."""
    if views not in VIEW_ANGLES:
        raise ConfigError(f"--views is one of {', '.join(map(str, VIEW_ANGLES))}, not {views}")


@dataclass(frozen=True, kw_only=True)
class Views(Augmentation):
    """The same N changes of every drawing, in a fixed order: no random number decides anything.

    A batch holds each drawing N times in succession. A drawing that leaves the square is brought back into it.

    Attributes:
        count: N, a key of VIEW_ANGLES.
        how: How pixel drawings are moved, of RESIZES.

    Raises:
        ConfigError: There is no such number of views.
    """

    count: int = 18
    how: str = INK

    def __post_init__(self) -> None:
        check_views(self.count)

    @property
    def resize(self) -> str:
        """How pixel drawings are moved."""
        return self.how

    def affine(self, count: int, random: torch.Generator) -> Tensor:
        """Return (B, 2, 3) float32 maps of the 0..255 square about its centre, for B = `count` rows, N per drawing."""
        del random
        return self.maps().repeat(count // self.count, 1, 1)

    def maps(self) -> Tensor:
        """Return the map of each view: (N, 2, 3) float32."""
        maps, centre = [], MAX_COORDINATE / 2
        for side in (1.0, -1.0) if self.count > 1 else (1.0,):
            for angle in map(math.radians, VIEW_ANGLES[self.count]):
                cos, sin = math.cos(angle), math.sin(angle)
                linear = torch.tensor([[side * cos, -sin], [side * sin, cos]])
                maps.append(torch.cat([linear, (centre - linear.sum(1, keepdim=True) * centre)], 1))
        return torch.stack(maps)


@dataclass(frozen=True, kw_only=True)
class RandomView(Views):
    """One of the N views of each drawing, drawn at random: what a network learns from that is asked for all of them."""

    def affine(self, count: int, random: torch.Generator) -> Tensor:
        """Return (B, 2, 3) float32 maps of the 0..255 square about its centre, for B = `count` rows."""
        return self.maps()[torch.randint(self.count, (count,), generator=random)]


@torch.no_grad()
def vote(trained: DrawingNetwork, packed: DrawingSplit, indices: Tensor, views: int) -> Tensor:
    """Return the logarithms of the mean probabilities over all views: (B, L) float32, whose softmax is that mean.

    All views of a drawing are in one batch on the device of `packed`. N views cost N times as much as one.

    Args:
        trained: The network, on that device and in evaluation mode.
        packed: Drawings; strokes are moved and then rastered, the ink of bitmaps is moved without interpolation.
        indices: (B,) int64, the drawings.
        views: N, a key of VIEW_ANGLES.

    Raises:
        ConfigError: There is no such number of views.
    """
    own = trained.view.augment
    augment = dataclasses.replace(own, count=views) if isinstance(own, Views) else Views(count=views)
    view = dataclasses.replace(trained.view, augment=augment)
    # As many rows at a time as there are drawings in the batch, so that views do not need more memory.
    at_once = max(1, len(indices) // views)
    found = []
    for some in torch.split(indices, at_once):
        _, scores = trained(view.batch(packed, some.repeat_interleave(views), 0))
        each = scores.log_softmax(1).view(len(some), views, -1)
        found.append(each.logsumexp(1) - math.log(views))
    return torch.cat(found)


def vote_all(
    trained: DrawingNetwork, packed: DrawingSplit, views: int, *, device: str = "cpu", batch_size: int = 512
) -> npt.NDArray[np.float64]:
    """Return the mean probabilities over all views of drawings in their order: (N, L); errors are those of `vote`."""
    packed = packed.to(device)
    trained.to(packed.device).eval()
    with task_bar() as bar:
        shown = bar.add_task("Recognising", total=len(packed))
        found = np.empty((len(packed), len(trained.classes)))
        for rows in torch.split(torch.arange(len(packed)), batch_size):
            found[rows.numpy()] = vote(trained, packed, rows, views).double().exp().cpu().numpy()
            bar.update(shown, advance=len(rows))
    return found
