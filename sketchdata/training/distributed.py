"""The processes of one training: this one's rank and device, and what all of them agree upon.

`torchrun --nproc-per-node 8 -m sketchdata train …` starts several; without it there is one.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from sketchdata.errors import ConfigError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True)
class DistributedContext:
    """One process among the `world_size` that train together, its rank and its device."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks for all."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.world_size > 1:
            dist.barrier()

    def add_up(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes."""
        if self.world_size > 1:
            dist.all_reduce(tensor)

    def sum(self, *values: float) -> list[float]:
        """Return the sum of each value over all processes."""
        if self.world_size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return [float(each) for each in sums]


@contextmanager
def distributed(device: str) -> Iterator[DistributedContext]:
    """Join the other processes that torchrun started, if any, for the length of a block.

    Raises:
        ConfigError: The device does not exist.
    """
    world_size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    context = DistributedContext(device=device_of(device), rank=rank, world_size=world_size)
    if world_size == 1:
        yield context
        return
    dist.init_process_group("nccl" if context.device.type == "cuda" else "gloo")
    try:
        yield context
    finally:
        dist.destroy_process_group()


def device_of(name: str) -> torch.device:
    """Return a device that can be used, by torch's name; `auto` is a GPU where there is one.

    Raises:
        ConfigError: The device does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # which a device without memory, such as meta, cannot give
    except (RuntimeError, AssertionError, ModuleNotFoundError) as error:
        raise ConfigError(f"--device {name} cannot be used: {str(error).splitlines()[0]}") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of raising, so that a step is never left half done."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {number: signal.signal(number, lambda received, _: caught.append(received)) for number in _SIGNALS}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
