"""Shared code of the edge detection networks: checking and loading weights, and averaging over scales.

It needs the extra `train`, and is only imported with a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sketchdata.edges.filters import read_weights, to_uint8
from sketchdata.errors import ConfigError
from sketchdata.photos.image import Photo
from sketchdata.storage.tensors import read_state_dict

State = dict[str, Tensor]
Pixels = npt.NDArray[np.float32]
#: Preprocessing of a photo: (H, W, 3) float32 RGB in 0..255 → (H, W, 3) float32.
Preparation = Callable[[Pixels], Pixels]

#: Maximum scale, to limit the memory.
_LARGEST_SCALE = 8


def load_state(weights: Path, sha256: str | None, published: Mapping[str, str]) -> State:
    """Read a file of weights, identified by its hash, without executing code in it.

    Args:
        weights: A file of `torch.save`: a state dict, or a dict that has one as `state_dict`.
        sha256: The hash that the file must have; None if it must be one of the published files.
        published: {sha256: name} of the published files.

    Returns:
        {name: finite tensor}, without the prefix of `nn.DataParallel`.

    Raises:
        ConfigError: The file does not exist, is unknown, does not match its hash, or does not have weights.
    """
    known = f"the published files are {', '.join(published.values())}"
    data, found = read_weights(weights, sha256, f"no weights at {weights}; {known}")
    if sha256 is None and found not in published:
        raise ConfigError(
            f"{weights} has an unknown sha256, {found}: {known}. "
            "For other weights, also give their hash with --weights-sha256"
        )
    return read_state_dict(weights, data)


def fill(network: nn.Module, state: State, weights: Path) -> None:
    """Load weights into their network and put it in evaluation mode.

    Raises:
        ConfigError: The weights are of another network.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        faults = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        name = type(network).__name__
        raise ConfigError(f"{weights} holds the weights of another network than {name}: {faults[0][:300]}") from error
    network.eval().requires_grad_(requires_grad=False)


def edge_finder(
    network: nn.Module,
    prepare: Preparation,
    *,
    scales: Sequence[float],
    device: str,
    margin: int = 0,
    multiple: int = 1,
) -> Callable[[Photo], npt.NDArray[np.uint8]]:
    """Return a detector, (H, W, 3) uint8 RGB → (H, W) uint8, that averages a network's edge probability over scales.

    Args:
        network: (1, 3, H, W) float32 → (1, 1, H, W) float32 in 0..1.
        prepare: The preprocessing of a photo.
        scales: Factors by which the photo is resized.
        device: Torch device: cpu, cuda, cuda:1.
        margin: Pixels of mirrored padding, because zero padding would give edges at the border.
        multiple: Height and width of the network's input are multiples of this.

    Raises:
        ConfigError: The device does not exist, or a scale is out of range.
    """
    if not scales or not all(0 < scale <= _LARGEST_SCALE for scale in scales):
        raise ConfigError(f"expected scales above 0 and at most {_LARGEST_SCALE}, such as 0.5, 1, 2; not {scales}")
    try:
        place = torch.device(device)
        torch.zeros(1, device=place).item()  # fails on a device without memory, such as meta
    except (RuntimeError, AssertionError, ModuleNotFoundError) as error:
        raise ConfigError(f"the device {device} cannot be used: {str(error).splitlines()[0]}") from error
    network.to(place)

    def probability(photo: Pixels) -> Pixels:
        height, width = photo.shape[:2]
        below, right = (margin + -(side + 2 * margin) % multiple for side in (height, width))
        seen = np.asarray(cv2.copyMakeBorder(photo, margin, below, margin, right, cv2.BORDER_REFLECT_101), np.float32)
        planes = torch.from_numpy(np.ascontiguousarray(prepare(seen).transpose(2, 0, 1)[None]))
        with torch.inference_mode(), one_thread():
            found: Pixels = network(planes.to(place))[0, 0].cpu().numpy()
        return found[margin : margin + height, margin : margin + width]

    def find(photo: Photo) -> npt.NDArray[np.uint8]:
        pixels = photo.astype(np.float32)
        height, width = photo.shape[:2]
        maps = []
        for scale in scales:
            seen = _resized(pixels, max(round(height * scale), 1), max(round(width * scale), 1))
            maps.append(_resized(probability(seen), height, width))
        return to_uint8(np.mean(maps, axis=0) * np.float32(255))

    return find


@contextmanager
def one_thread() -> Iterator[None]:
    """Restrict torch to one thread: workers already use all cores, and sums are reproducible."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _resized(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
