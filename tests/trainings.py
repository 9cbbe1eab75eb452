"""Trainings small enough for tests: a data set of generated drawings, networks of a few numbers, and real processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sketchdata.pipelines import quickdraw, synth
from sketchdata.training.options import NetworkOptions, TrainingOptions
from sketchdata.training.run_folder import CHECKPOINTS
from tests.builds import IN_PROCESS

CLASSES = ("cat", "house", "star")
#: All that a small training has in common, by the names of the options.
NETWORK: dict[str, Any] = {"backbone": "small", "size": 16, "hidden": 4, "layers": 1, "max_points": 32}
LOOP: dict[str, Any] = {"batch_size": 16, "learning_rate": 0.01, "device": "cpu", "save_minutes": 0.0, "log_every": 2}
EPOCHS: dict[str, Any] = {"cnn_epochs": 2, "rnn_epochs": 2, "fusion_epochs": 2, "center_epochs": 2}


def generated_dataset(folder: Path, *, train: int = 40) -> Path:
    """Build a data set of three classes of generated drawings; return its folder."""
    categories, source = ",".join(CLASSES), folder / "source"
    synth.run(synth.Config(out=source, drawings=train + 60, categories=categories), IN_PROCESS)
    sizes = {"train": train, "val": 12, "gallery": 12, "query": 4}
    out = folder / "dataset"
    quickdraw.run(quickdraw.Config(source=str(source), out=out, categories=categories, **sizes), IN_PROCESS)
    return out


def network(**others: Any) -> NetworkOptions:
    """Return the options of a small network, some of them changed."""
    return NetworkOptions(**{**NETWORK, **others})


def loop(**others: Any) -> TrainingOptions:
    """Return the options of a short training, some of them changed."""
    return TrainingOptions(**{**LOOP, **others})


def flags(**options: Any) -> list[str]:
    """Return options as a command line has them."""
    pairs = [(f"--{name.replace('_', '-')}", value) for name, value in options.items()]
    return [word for flag, value in pairs for word in ([flag] if value is True else [flag, str(value)])]


def start(
    trainer: str, data: Path, out: Path, *, launcher: tuple[str, ...] = (), **options: Any
) -> subprocess.Popen[str]:
    """Start a small training as a process of its own, on one thread, and return it."""
    wanted = {**NETWORK, **LOOP, **EPOCHS, **options}
    command = [sys.executable, *launcher, "-m", "sketchdata", "train", trainer, "--data", str(data), "--out", str(out)]
    limit = wanted.pop("preexec_fn", None)
    return subprocess.Popen(
        [*command, *flags(**wanted)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )


def stop_in(process: subprocess.Popen[str], out: Path, stage: str, number: signal.Signals) -> str:
    """Send a signal to a training once a stage of it has a checkpoint; return what it said."""
    wait_for_checkpoint(out, stage, lambda: process.poll() is None)
    process.send_signal(number)
    return str(process.communicate(timeout=300)[1])


def kill_in(out: Path, stage: str, run: Callable[..., Any], *options: Any) -> int | None:
    """Train in a process of its own and kill it with SIGKILL once a stage has a checkpoint; return its exit code."""
    # What is imported once need not be imported again by every process that is killed.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([run.__module__, "torch._dynamo"])
    process = context.Process(target=_on_one_thread, args=(run, *options))
    process.start()
    wait_for_checkpoint(out, stage, process.is_alive)
    process.kill()
    process.join(300)
    return process.exitcode


def _on_one_thread(run: Callable[..., Any], *options: Any) -> None:
    torch.set_num_threads(1)
    run(*options)


def wait_for_checkpoint(out: Path, stage: str, alive: Callable[[], bool]) -> None:
    """Wait until a stage of a training has a checkpoint."""
    deadline = time.monotonic() + 300
    while not list((out / CHECKPOINTS).glob(f"{stage}-*")):
        assert alive(), f"the training ended before it came to {stage}"
        assert time.monotonic() < deadline
        time.sleep(0.001)
