"""Train the small edge detector `learned` on the photos and human drawings of BSDS500.

    sketchdata train edge-detector --data photos/bsds500 --out runs/edges
    sketchdata train edge-detector --data photos/bsds500 --out runs/edges --resume     # after Ctrl-C or a crash
    sketchdata edgemaps bench --bsds photos/bsds500 --detectors learned                # measure the shipped weights

Sources: the loss and its rule for disagreeing annotators are Liu et al., "Richer convolutional features for edge
detection", CVPR 2017, eq. 1, after Xie and Tu, "Holistically-nested edge detection", ICCV 2015; the data is Arbeláez et
al., "Contour detection and hierarchical image segmentation", PAMI 2011.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypedDict

import cv2
import numpy as np
import numpy.typing as npt
import orjson
import torch
from torch import Tensor
from torch.nn import functional

from sketchdata import __version__
from sketchdata.config import recorded
from sketchdata.edges.bsds import SegmentedPhoto, boundaries_between, read_split
from sketchdata.edges.learned import EdgeNetwork
from sketchdata.edges.networks import one_thread
from sketchdata.errors import ConfigError, InterruptedRunError, SketchDataError
from sketchdata.names import names_in
from sketchdata.photos.image import Photo
from sketchdata.progress import one_opencv_thread, task_bar
from sketchdata.storage.manifest import hash_file, replacing
from sketchdata.storage.tensors import read_tensors, write_tensors
from sketchdata.trainers.options import EdgeDetectorConfig as Config
from sketchdata.training.distributed import device_of, stop_signals
from sketchdata.training.loop import restore, state_of
from sketchdata.training.run_folder import read_json

CHECKPOINT, WEIGHTS = "checkpoint.safetensors", "edge-detector.safetensors"
METRICS, REPORT = "metrics.jsonl", "training.json"
#: Number of last steps whose mean loss is reported.
_LAST = 100

Gradients = tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A training example: a square cut out of a photo.

    Attributes:
        pixels: (S, S, 3) uint8 RGB.
        agreement: (S, S) float32, share of annotators who drew a boundary at a pixel.
        inside: (S, S) uint8, 1 inside the photo and 0 in its padding.
    """

    pixels: Photo
    agreement: npt.NDArray[np.float32]
    inside: npt.NDArray[np.uint8]


def example(divided: SegmentedPhoto, config: Config, rng: np.random.Generator) -> Example:
    """Cut a square out of a photo that is rotated, mirrored, scaled and recoloured at random.

    The annotators' segments are rotated, not their lines: lines of one pixel would blur or break.
    """
    matrix, scale = _placement(divided.photo.shape[:2], config, rng)
    # A photo is smoothed before it is scaled down, to avoid aliasing.
    sigma = 0.5 * math.sqrt(max(1 / scale**2 - 1, 0))
    smooth = cv2.GaussianBlur(divided.photo, (0, 0), sigma) if sigma > 0.1 else divided.photo
    pixels = np.asarray(_moved(smooth, matrix, config.size, cv2.INTER_LINEAR), np.uint8)
    parts = [_moved(segments, matrix, config.size, cv2.INTER_NEAREST) for segments in divided.segments]
    lines = np.stack([boundaries_between(np.asarray(part, np.uint16)) for part in parts])
    agreement: npt.NDArray[np.float32] = lines.mean(axis=0, dtype=np.float32)
    whole = np.ones(divided.photo.shape[:2], np.uint8)
    inside = cv2.warpAffine(whole, matrix, (config.size, config.size), flags=cv2.INTER_NEAREST)
    if rng.random() < config.colour:
        # Change contrast, colour balance and brightness; make one in five grey.
        gain = rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, 3)
        changed = pixels * gain.astype(np.float32) + np.float32(rng.uniform(-25, 25))
        if rng.random() < 0.2:
            changed = np.broadcast_to(changed.mean(axis=2, keepdims=True), changed.shape)
        pixels = np.clip(changed, 0, 255).astype(np.uint8)
    return Example(pixels=pixels, agreement=agreement, inside=np.asarray(inside, np.uint8))


def _moved(picture: cv2.typing.MatLike, matrix: cv2.typing.MatLike, size: int, method: int) -> cv2.typing.MatLike:
    """Return the square that a (2, 3) matrix maps (H, W, …) to, padded by reflection."""
    return cv2.warpAffine(picture, matrix, (size, size), flags=method, borderMode=cv2.BORDER_REFLECT_101)


def _placement(shape: Sequence[int], config: Config, rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], float]:
    """Return the (2, 3) matrix from a photo's pixels to those of the square, and its scale factor."""
    scale = math.exp(rng.uniform(math.log(config.smallest), math.log(config.largest)))
    angle = math.radians(90 * int(rng.integers(4)) + rng.normal(0, config.tilt))
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    if rng.random() < 0.5:
        turn[:, 0] *= -1
    seen = config.size / scale / 2
    height, width = shape
    margins = [(min(0.9 * seen, side / 2), side) for side in (width, height)]
    middle = [rng.uniform(margin, side - margin) for margin, side in margins]
    return np.column_stack([turn, config.size / 2 - turn @ middle]), scale


def order(photos: int, config: Config, step: int) -> list[int]:
    """Return the photos of a step; all photos are used once before one is used again."""
    first = step * config.batch
    places = range(first, first + config.batch)
    shuffled = {
        epoch: np.random.default_rng((config.seed, 0, epoch)).permutation(photos)
        for epoch in {p // photos for p in places}
    }
    return [int(shuffled[place // photos][place % photos]) for place in places]


def loss_of(logits: Sequence[Tensor], agreement: Tensor, inside: Tensor, config: Config) -> Tensor:
    """Return the class-balanced loss of RCF of one photo's outputs, the last of which is the final output.

    Args:
        logits: Each (1, 1, S, S) float32.
        agreement: (1, 1, S, S) float32, share of annotators who drew a boundary at a pixel.
        inside: (1, 1, S, S) float32, 0 where pixels are ignored.
        config: Options with η, λ and the weight of side outputs.
    """
    edge, background = inside * (agreement > config.consensus), inside * (agreement == 0)
    edges, backgrounds = edge.sum(), background.sum()
    all_pixels = (edges + backgrounds).clamp(min=1)
    # RCF's α and β: the rarer of edges and background weighs more. Pixels that too few annotators marked are ignored.
    weight = (edge * backgrounds + config.balance * background * edges) / all_pixels**2
    losses = [functional.binary_cross_entropy_with_logits(each, edge, weight, reduction="sum") for each in logits]
    return losses[-1] + config.side_weight * sum(losses[:-1])


class _Checkpoint(TypedDict):
    step: int
    seconds: float
    config: dict[str, Any]


class _DetectorReport(TypedDict):
    config: dict[str, Any]
    parameters: int
    photos: int
    hours: float
    loss: float


class Training:
    """The state of a training: the network, its running average, the optimiser's state and the number of steps."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.device = device_of(config.device)
        torch.manual_seed(config.seed)
        self.network = EdgeNetwork().to(self.device)
        self.parameters: list[Tensor] = list(self.network.parameters())
        self.average = {name: value.detach().clone() for name, value in self.network.named_parameters()}
        groups: list[dict[str, Any]] = [
            {"params": [value for value in self.parameters if value.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [value for value in self.parameters if value.ndim == 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
        self.step = 0

    def rate(self) -> float:
        """Return the learning rate of the next step: a linear warm-up, then cosine decay to zero."""
        share = self.step / self.config.steps
        if share < self.config.warm_up:
            return self.config.learning_rate * (self.step + 1) / (self.config.warm_up * self.config.steps)
        rest = (share - self.config.warm_up) / (1 - self.config.warm_up)
        return self.config.learning_rate * (1 + math.cos(math.pi * rest)) / 2

    def gradients(self, divided: SegmentedPhoto, place: int) -> tuple[float, Gradients]:
        """Return the loss of one photo of this step and the gradient of each parameter."""
        chosen = example(divided, self.config, np.random.default_rng((self.config.seed, 1, self.step, place)))
        pixels = torch.from_numpy(chosen.pixels).to(self.device).permute(2, 0, 1)[None].float()
        agreement = torch.from_numpy(chosen.agreement).to(self.device)[None, None]
        inside = torch.from_numpy(chosen.inside).to(self.device)[None, None].float()
        # The photo is (H, W, C) in memory, which is channels_last.
        loss = loss_of(self.network(pixels), agreement, inside, self.config) / self.config.batch
        return loss.item(), torch.autograd.grad(loss, self.parameters)

    def apply(self, found: Sequence[tuple[float, Gradients]]) -> tuple[float, float]:
        """Take a step with the sum of photos' gradients, in their order; return the loss and the gradient's norm."""
        for parameter, *parts in zip(self.parameters, *(gradients for _, gradients in found), strict=True):
            # The fused optimiser assumes that a gradient has the memory format of its parameter.
            parameter.grad = torch.stack(parts).sum(dim=0).contiguous()
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip))
        loss = sum(part for part, _ in found)
        if not math.isfinite(loss + norm):
            raise SketchDataError(
                f"the training diverged in step {self.step + 1:,}: loss {loss}, gradient {norm}; try half of "
                f"--learning-rate {self.config.learning_rate:g} in another --out"
            )
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        self.optimiser.step()
        self.step += 1
        # The first averages decay faster, so that the random initial weights do not remain in them.
        keep = min(self.config.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), self.parameters, 1 - keep)
        return loss, norm


def save_checkpoint(training: Training, seconds: float) -> None:
    """Write the state of a training to one file, which replaces the last checkpoint atomically."""
    tensors = state_of(training.network, training.optimiser)
    tensors |= {f"average.{name}": value for name, value in training.average.items()}
    facts = {"step": training.step, "seconds": seconds, "config": recorded(training.config)}
    write_tensors(training.config.out / CHECKPOINT, tensors, facts)


def load_checkpoint(training: Training) -> float:
    """Load a checkpoint into a new training; return the seconds of training before the checkpoint.

    Raises:
        ConfigError: There is no checkpoint, or its training had other options.
        SketchDataError: The checkpoint is damaged.
    """
    path = training.config.out / CHECKPOINT
    if not path.is_file():
        raise ConfigError(f"--resume: there is no checkpoint at {path}; leave out --resume to begin")
    tensors, facts = read_tensors(path, _Checkpoint)
    _check_options(facts["config"], training.config)
    restore(tensors, path, training.network, training.optimiser)
    try:
        for name, value in training.average.items():
            value.copy_(tensors[f"average.{name}"])
    except (KeyError, RuntimeError) as error:
        raise SketchDataError(f"{path} is the checkpoint of another network: {error}") from error
    training.step = facts["step"]
    return float(facts["seconds"])


def _check_options(before: dict[str, Any], config: Config) -> None:
    now = recorded(config)
    changed = [f"--{name.replace('_', '-')} {before.get(name)}" for name in now if before.get(name) != now[name]]
    if changed:
        raise ConfigError(f"{config.out} holds a training with {', '.join(changed)}: use that, or another --out")


def run(config: Config) -> dict[str, Any]:
    """Train, write the averaged weights, and return the report that is written beside them.

    Raises:
        ConfigError: The folders, the device or the options do not fit.
        SketchDataError: The data is damaged, or the training diverged.
        InterruptedRunError: Ctrl-C, after a checkpoint; `--resume` continues.
    """
    if config.smallest > config.largest:
        raise ConfigError(f"--smallest {config.smallest:g} must not be above --largest {config.largest:g}")
    if (config.out / CHECKPOINT).exists() and not config.resume:
        raise ConfigError(f"{config.out} holds a training that was stopped: use --resume, or another --out")
    if (config.out / REPORT).is_file():
        report = read_json(config.out / REPORT, _DetectorReport)
        _check_options(report["config"], config)
        return report
    training = Training(config)
    before = load_checkpoint(training) if config.resume else 0.0
    photos = [photo for split in names_in(config.splits) or ("",) for photo in read_split(config.data, split)]
    seconds = train(training, photos, before)
    return _finish(training, seconds)


def train(training: Training, photos: Sequence[SegmentedPhoto], before: float) -> float:
    """Take the remaining steps, with a checkpoint every few minutes; return the seconds of the whole training.

    Raises:
        SketchDataError: A step's loss or gradient is not finite.
        InterruptedRunError: Ctrl-C, after the current step and a checkpoint.
    """
    config = training.config
    started = saved = time.monotonic()
    with (
        stop_signals() as stopping,
        _metrics(training) as metrics,
        # Threads that share one photo wait for each other at every layer, so each thread computes another photo.
        one_thread(),
        one_opencv_thread(),
        ThreadPoolExecutor(config.threads, initializer=torch.set_num_threads, initargs=(1,)) as workers,
        task_bar() as bar,
    ):
        shown = bar.add_task("Training", total=config.steps, completed=training.step)
        while training.step < config.steps:
            chosen = [photos[place] for place in order(len(photos), config, training.step)]
            loss, norm = training.apply(list(workers.map(training.gradients, chosen, range(config.batch))))
            now = time.monotonic()
            metrics.write(orjson.dumps({"step": training.step, "loss": loss, "gradient": norm}) + b"\n")
            bar.update(shown, completed=training.step, description=f"Training: loss {loss:.4f}")
            if stopping or now - saved >= 60 * config.save_minutes:
                metrics.flush()
                save_checkpoint(training, before + now - started)
                saved = now
            if stopping:
                raise InterruptedRunError(f"stopped after step {training.step:,}; continue with --resume")
    return before + time.monotonic() - started


def _finish(training: Training, seconds: float) -> dict[str, Any]:
    config = training.config
    facts = {
        "config": recorded(config),
        "parameters": sum(value.numel() for value in training.parameters),
        "photos": config.steps * config.batch,
        "version": __version__,
    }
    write_tensors(config.out / WEIGHTS, training.average, facts)
    lines = (config.out / METRICS).read_bytes().splitlines()[-_LAST:]
    report = {
        **facts,
        "loss": sum(orjson.loads(line)["loss"] for line in lines) / len(lines),
        "hours": round(seconds / 3600, 3),
        "device": config.device,
        "torch": torch.__version__,
        "sha256": hash_file(config.out / WEIGHTS, "sha256"),
    }
    with replacing(config.out / REPORT) as file:
        file.write(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    (config.out / CHECKPOINT).unlink(missing_ok=True)
    return report


@contextmanager
def _metrics(training: Training) -> Iterator[BinaryIO]:
    """Open the file with one line per step, and remove the lines of steps after the checkpoint, which are repeated."""
    path = training.config.out / METRICS
    kept = path.read_bytes().splitlines(keepends=True)[: training.step] if path.exists() else []
    with replacing(path) as file:
        file.writelines(kept)
    with path.open("ab") as file:
        yield file
