"""The processes of one training: who this one is, where it computes, and what all of them agree upon.

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

from sketchdata.errors import ConfigError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """One process among those that train together.

    Attributes:
        device: Where it computes.
        rank: Its number.
        world: How many there are.
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks for all."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            dist.barrier()

    def total(self, *numbers: float) -> list[float]:
        """Return the sum of each number over all processes."""
        if self.world == 1:
            return list(numbers)
        together = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(together)
        return [float(each) for each in together]


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the other processes that torchrun started, if any, for the length of a block.

    Args:
        device: `auto` for a GPU when there is one, or as torch names it.

    Raises:
        ConfigError: There is no such device.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    ranks = Ranks(device=device_of(device), rank=rank, world=world)
    if world == 1:
        yield ranks
        return
    dist.init_process_group("nccl" if ranks.device.type == "cuda" else "gloo")
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


def device_of(name: str) -> torch.device:
    """Return a device that can be used, by its name; `auto` is a GPU when there is one.

    Raises:
        ConfigError: There is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"--device {name} cannot be used: {str(error).splitlines()[0]}") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


@contextmanager
def wishes_to_stop() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list, so that a step is never left half done."""
    wishes: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield wishes
        return
    before = {number: signal.signal(number, lambda pressed, _: wishes.append(pressed)) for number in _SIGNALS}
    try:
        yield wishes
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
