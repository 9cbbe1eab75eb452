"""What the benchmarks share: processor time, peak memory of a process tree, the machine's description, tables."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Run:
    """One measured run: wall and processor seconds (children included), and what it returned."""

    wall: float
    cpu: float
    value: object


def measure(work: Callable[[], object]) -> Run:
    """Run something once and time it."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    value = work()
    return Run(time.perf_counter() - wall, _cpu_seconds() - cpu, value)


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@dataclass(frozen=True)
class TreeRun:
    """A run of a command: seconds, largest memory of all processes together (proportional set size), output."""

    wall: float
    cpu: float
    peak_bytes: int
    output: str


def run_command(arguments: Sequence[str], interval: float = 0.05) -> TreeRun:
    """Run `python -m sketchdata …` and watch the memory of its whole process tree."""
    return run_process([sys.executable, "-m", "sketchdata", *arguments], interval)


def run_process(command: Sequence[str], interval: float = 0.05) -> TreeRun:
    """Run a command and watch the memory of its whole process tree.

    Proportional set size counts a page shared by n processes as 1/n in each, so the sum is what the machine gives.
    """
    wall, cpu = time.perf_counter(), _cpu_seconds()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        root = psutil.Process(process.pid)
        while not done.wait(interval):
            peak = max(peak, sum(_memory(p) for p in _tree(root)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return TreeRun(time.perf_counter() - wall, _cpu_seconds() - cpu, peak, output)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def machine() -> str:
    """Describe the machine in a line."""
    model = platform.processor() or "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = psutil.virtual_memory().total / 2**30
    return f"{len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GiB, Python {platform.python_version()}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table, numbers to the right."""
    rule = "|" + "|".join("---" if i == 0 else "--:" for i in range(len(head))) + "|"
    return (
        "\n".join(f"| {' | '.join(row)} |" for row in [head])
        + f"\n{rule}\n"
        + "\n".join(f"| {' | '.join(row)} |" for row in rows)
    )


def tree_bytes(folder: Path) -> int:
    """Return the size of all files under a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
