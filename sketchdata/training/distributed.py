"""The processes of one training: rank, device and collective operations.

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
    """Rank, device and world size of one process of a training."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for all processes."""
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
    """Join the process group of torchrun, if there is one, within a `with` block.

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
    """Return a usable device by its torch name; `auto` is a GPU if there is one.

    Raises:
        ConfigError: The device does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # fails on a device without memory, such as meta
    except (RuntimeError, AssertionError, ModuleNotFoundError) as error:
        raise ConfigError(f"--device {name} cannot be used: {str(error).splitlines()[0]}") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of raising, so that a step is never interrupted."""
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
