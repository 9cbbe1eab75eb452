"""What the networks among the detectors share: weights checked before they are read, and photos seen at several scales.

It needs the extra `train`, and is imported only with a network that is asked for.
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
#: What a photo is as the network was trained to see it: (H, W, 3) float32 RGB in 0..255 → (H, W, 3) float32.
Preparation = Callable[[Pixels], Pixels]

#: Above it a photo costs more memory than anyone meant.
_LARGEST_SCALE = 8


def load_state(weights: Path, sha256: str | None, published: Mapping[str, str]) -> State:
    """Read a file of weights that is known by its hash, executing nothing that it may contain.

    Args:
        weights: A file of `torch.save`: a state dict, or a dict that has one as `state_dict`.
        sha256: The hash that the file must have; None when it must be one of the published files.
        published: {sha256: name} of those.

    Returns:
        {name: finite tensor}, without the prefix that `nn.DataParallel` puts before names.

    Raises:
        ConfigError: The file is absent, unknown, another than its hash says, or no weights.
    """
    known = f"the published files are {', '.join(published.values())}"
    data, found = read_weights(weights, sha256, f"no weights at {weights}; {known}")
    if sha256 is None and found not in published:
        raise ConfigError(
            f"{weights} is not known by its sha256, {found}: {known}. "
            "For weights of your own give that hash too (--weights-sha256)"
        )
    return read_state_dict(weights, data)


def fill(network: nn.Module, state: State, weights: Path) -> None:
    """Put weights into the network they belong to, ready to be used.

    Raises:
        ConfigError: They are of another network.
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
        prepare: What is done to pixels first.
        scales: Factors by which the photo is resized.
        device: As torch names it: cpu, cuda, cuda:1.
        margin: Pixels by which the photo is mirrored beyond its border: there the zeros that convolutions see would
            be edges.
        multiple: The network's input height and width are multiples of it.

    Raises:
        ConfigError: The device does not exist, or a scale is out of range.
    """
    if not scales or not all(0 < scale <= _LARGEST_SCALE for scale in scales):
        raise ConfigError(f"expected scales above 0 and at most {_LARGEST_SCALE}, such as 0.5, 1, 2; not {scales}")
    try:
        place = torch.device(device)
        torch.zeros(1, device=place).item()  # which a device without memory, such as meta, cannot give
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
    """Let torch compute in one thread: workers share the cores already, and sums come out the same everywhere."""
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
