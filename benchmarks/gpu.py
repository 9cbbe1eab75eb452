"""Training on one GPU: drawings that stay on the device, against PNG files, with the same networks in the same run.

    python benchmarks/gpu.py [--out gpu.md] [--json gpu.json] [--no-compile] [--drawings 1000]
    python benchmarks/gpu.py --device cpu --small

Drawings are generated. All that is measured is the package's own: batches as its loader makes them, and steps as its
trainers take them, in bf16 on a GPU and in float32 on the CPU. PNG files are read as one usually does it: OpenCV in a
torch DataLoader with a worker a core; sequences then lie in memory as arrays. Rates are the median of some rounds after
one of warming up, by the clock, the device being waited for at both ends of a round. "Of a step for data" is the time
of making batches alone, over that of a whole step. The peak is what a large matrix product reaches in the same run, in
the type of the training; operations of a step are counted on the network, not estimated. The hours are those of the
defaults of `train hashing` over the whole of QuickDraw-3.8M, every epoch's validation and one pass for the centres
included; reading the data set and its entropies are not. The JSON is written again after each row, so a run that is
cut short leaves what it had. Whatever could not be measured is listed, and the exit code is then 1.

Seen so far: `--device cpu --small`, also with --compile, and the default network on a few drawings on the CPU. No GPU
was at hand, so what happens on CUDA alone has been read, not run.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from measure import machine
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

try:
    from gpu_tables import CLASSES, DEFAULTS, PACKED, STAGES, TRAIN, Row, schedules, text_of
    from plain_loader import Files, plain_batches, sequences_of, write_pictures

    from sketchdata import synth
    from sketchdata.training import experiment
    from sketchdata.training.distributed import device_of
    from sketchdata.training.encoder import Architecture, SketchEncoder, view_of
    from sketchdata.training.loader import Batch, Order, PackedLoader, View
    from sketchdata.training.loop import OPTIMISERS
    from sketchdata.training.losses import CodeLoss
    from sketchdata.training.options import NetworkOptions, TrainingOptions
    from sketchdata.training.packed import PackedSketches, pack
except ModuleNotFoundError as error:
    raise SystemExit(f"{error.name} is missing here: pip install 'sketchdata[train]'") from None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sizes: classes, drawings of each, batches; steps of a round and rounds; PNG files; side of the matrices."""

    classes: int = 345
    drawings: int = 1000
    network: NetworkOptions = field(default_factory=NetworkOptions)
    making: tuple[int, ...] = (256, 1024, 4096, 16384)
    training: tuple[int, ...] = (TrainingOptions().batch_size, 2048)
    steps: int = 20
    rounds: int = 5
    files: int = 20_000
    matrix: int = 8192


FULL = Plan()
SMALL = Plan(
    classes=5,
    drawings=40,
    network=NetworkOptions(backbone="small", size=32, hidden=8, layers=1, max_points=32),
    making=(16, 48),
    training=(16, 24),
    steps=2,
    rounds=2,
    files=48,
    matrix=64,
)
BRANCHES = {"cnn": "picture", "rnn": "points"}


@dataclass(kw_only=True)
class Bench:
    """What all parts share, and the report that they fill."""

    plan: Plan
    device: torch.device
    drawings: PackedSketches
    workers: int
    compiles: bool
    json: Path | None
    report: Row
    operations: dict[str, float] = field(default_factory=dict)

    @cached_property
    def packed(self) -> PackedSketches:
        """The drawings on the device."""
        return self.drawings.to(self.device)

    @cached_property
    def scale(self) -> float:
        return self.drawings.offset_scale()

    def view(self, branch: str) -> View:
        return view_of(dataclasses.replace(self.plan.network, branch=branch), self.scale)

    def size(self, wanted: int) -> int:
        return min(wanted, len(self.drawings))

    def seconds(self, work: Callable[[], object]) -> float:
        """Return the seconds of a call: the median of some rounds of calls, after one that does not count."""
        rounds = [self._round(work) for _ in range(1 + self.plan.rounds)]
        return statistics.median(rounds[1:])

    def _round(self, work: Callable[[], object]) -> float:
        self._wait()
        start = time.perf_counter()
        for _ in range(self.plan.steps):
            work()
        self._wait()
        return (time.perf_counter() - start) / self.plan.steps

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def attempt(self, part: str, what: str, work: Callable[[], Row]) -> None:
        """Add a row to a part of the report, or to what failed: too little memory for one costs no other row."""
        print(f"{part}: {what}", file=sys.stderr, flush=True)
        try:
            self.report[part].append(work())
        except RuntimeError as error:
            first = str(error).strip().partition("\n")[0]
            self.report["failed"].append({"part": part, "what": what, "why": f"{type(error).__name__}: {first}"})
        self.save()

    def save(self) -> None:
        if self.json is not None:
            self.json.write_text(json.dumps(self.report, indent=2) + "\n")


def main() -> None:
    """Measure part by part, print a table of each."""
    arguments = _arguments()
    bench = _bench(arguments)
    with tempfile.TemporaryDirectory() as folder:
        _measure_memory(bench)
        _measure_peak(bench)
        _measure_making(bench)
        _measure_training(bench)
        _measure_files(bench, Path(folder))
    bench.report["schedule"] = list(schedules(bench.report["training"]))
    bench.save()
    text = text_of(bench.report)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")
    raise SystemExit(1 if bench.report["failed"] else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--small", action="store_true", help="few drawings and a small network, to try the script")
    parser.add_argument("--drawings", type=int, help="drawings of each class")
    parser.add_argument("--workers", type=int, help="processes that read PNG files; default: one a core")
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, help="compile networks too; default: on a GPU"
    )
    parser.add_argument("--out", type=Path, help="file for the tables")
    parser.add_argument("--json", type=Path, help="file for all numbers")
    return parser.parse_args()


def _bench(arguments: argparse.Namespace) -> Bench:
    plan, device = SMALL if arguments.small else FULL, device_of(arguments.device)
    plan = dataclasses.replace(plan, drawings=arguments.drawings or plan.drawings)
    drawings = pack(
        [synth.generate(word, plan.drawings, seed=0, label=i) for i, word in enumerate(CLASSES[: plan.classes])],
        CLASSES,
    )
    cores, on_gpu = len(os.sched_getaffinity(0)), device.type == "cuda"
    report: Row = {
        "device": {
            "name": torch.cuda.get_device_name(device) if on_gpu else "the processor",
            "type": device.type,
            "machine": machine(),
            "cores": cores,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "type_of_training": str(_training_type(device)),
        },
        "plan": dataclasses.asdict(plan),
        **{part: [] for part in ("making", "training", "schedule", "failed")},
    }
    return Bench(
        plan=plan,
        device=device,
        drawings=drawings,
        workers=arguments.workers or cores,
        compiles=on_gpu if arguments.compile is None else arguments.compile,
        json=arguments.json,
        report=report,
    )


def _training_type(device: torch.device) -> torch.dtype:
    return torch.bfloat16 if device.type == "cuda" else torch.float32


# ---- the device: its memory and its peak -----------------------------------------------------------------------------


def _measure_memory(bench: Bench) -> None:
    before = torch.cuda.memory_allocated(bench.device) if bench.device.type == "cuda" else 0
    packed = bench.packed
    allocated = torch.cuda.memory_allocated(bench.device) - before if bench.device.type == "cuda" else packed.nbytes
    bench.report["memory"] = {
        "drawings": len(packed),
        "bytes": packed.nbytes,
        "allocated_bytes": allocated,
        "points_a_drawing": len(packed.points) / len(packed),
        "all_drawings": TRAIN,
        "bytes_of_all": round(allocated / len(packed) * TRAIN),
    }


def _measure_peak(bench: Bench) -> None:
    side, dtype = bench.plan.matrix, _training_type(bench.device)
    a, b = (torch.randn(side, side, device=bench.device).to(dtype) for _ in range(2))
    seconds = bench.seconds(lambda: a @ b)
    bench.report["peak"] = {"side": side, "type": str(dtype), "flops": 2 * side**3 / seconds}


# ---- batches alone ---------------------------------------------------------------------------------------------------


def _measure_making(bench: Bench) -> None:
    """Make batches of every size on the device, and of one size on the CPU."""
    for what, branch in (("raster", "cnn"), ("sequence", "rnn"), ("both", "cr")):
        for wanted in bench.plan.making:
            _measure_batches(bench, bench.packed, what, bench.view(branch), bench.size(wanted))
        if bench.device.type != "cpu":
            _measure_batches(bench, bench.drawings, what, bench.view(branch), bench.size(bench.plan.making[1]))


def _measure_batches(bench: Bench, packed: PackedSketches, what: str, view: View, size: int) -> None:
    where = packed.device.type

    def row() -> Row:
        batches = _forever(packed, view, size)
        rate = size / bench.seconds(lambda: next(batches))
        return {"what": what, "where": where, "batch": size, "rate": rate}

    bench.attempt("making", f"{what} on {where}, {size}", row)


def _forever(packed: PackedSketches, view: View, size: int) -> Iterator[Batch]:
    """Yield the whole batches of one epoch after the other."""
    loader = PackedLoader(packed=packed, order=Order(count=len(packed), batch_size=size), view=view)
    for epoch in itertools.count():
        yield from (batch for batch in loader.batches(epoch) if len(batch.labels) == size)


# ---- training --------------------------------------------------------------------------------------------------------


class Trial:
    """A network, and the step by which `sketchdata.training.loop` moves its weights.

    Args:
        bench: The device, and what the branches read.
        branch: `cnn`, `rnn` or `cr`.
        compiled: Whether to compile it first, as `--compile` does.
    """

    def __init__(self, bench: Bench, branch: str, *, compiled: bool = False) -> None:
        self.branch, self.compiled, self.device, self.options = branch, compiled, bench.device, TrainingOptions()
        torch.manual_seed(0)
        self.objective = _objective(dataclasses.replace(bench.plan.network, branch=branch)).to(bench.device).train()
        self.model = torch.compile(self.objective, dynamic=True) if compiled else self.objective
        self.parameters = [each for each in self.objective.parameters() if each.requires_grad]
        self.optimiser = OPTIMISERS[self.options.optimizer](
            self.parameters, lr=DEFAULTS["cnn_learning_rate"], weight_decay=self.options.weight_decay
        )
        self.loss = torch.tensor(0.0)

    def step(self, batch: Batch) -> None:
        """Move the weights once."""
        torch.manual_seed(0)
        with self._autocast():
            self.loss, _ = self.model(batch)
        self.optimiser.zero_grad()
        self.loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        self.optimiser.step()

    @torch.no_grad()
    def answer(self, batch: Batch) -> Tensor:
        """Return the scores of a batch as a validation computes them: not compiled, and in float32."""
        scores = self.objective.encoder(batch)[1] if self.branch == "cr" else self.objective.scores(batch)
        return scores.argmax(1)

    def operations(self, batch: Batch) -> int:
        """Count the floating-point operations of a step, forwards and backwards.

        The network is counted on torch's `meta` device, where a GRU shows the matrix products that cuDNN hides.
        """
        with FlopCounterMode(display=False) as counter:
            loss, _ = copy.deepcopy(self.objective).to("meta")(batch)
            loss.backward()
        return counter.get_total_flops()

    def types(self, batch: Batch) -> list[str]:
        """Return the types in which its layers give their numbers: autocast has rules of its own for some."""
        found: set[str] = set()

        def note(_layer: nn.Module, _inputs: Any, output: Any) -> None:
            numbers = output[1] if isinstance(output, tuple) else output
            found.add(f"{type(_layer).__name__} {numbers.dtype}".replace("torch.", ""))

        layers = [each for each in self.objective.modules() if isinstance(each, nn.Conv2d | nn.Linear | nn.GRU)]
        hooks = [layer.register_forward_hook(note) for layer in layers]
        with torch.no_grad(), self._autocast():
            self.objective(batch)
        for hook in hooks:
            hook.remove()
        return sorted(found)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


def _objective(options: NetworkOptions) -> Any:
    width, classes = int(DEFAULTS["bits"]), len(CLASSES)
    encoder = SketchEncoder(
        Architecture(network=options, width=width, classes=CLASSES, activation="sigmoid", scale=1.0)
    )
    if options.branch in BRANCHES:
        return experiment.BranchObjective(encoder, BRANCHES[options.branch], classes)
    weights = {name: DEFAULTS[name] for name in ("center_weight", "code_weight")}
    return experiment.CodeObjective(encoder, CodeLoss(torch.rand(classes, width), **weights))


def _measure_training(bench: Bench) -> None:
    for branch in STAGES:
        for compiled in (False, True) if bench.compiles else (False,):
            trial = Trial(bench, branch, compiled=compiled)
            for wanted in bench.plan.training:
                what = f"{branch}, {wanted}{', compiled' if compiled else ''}"
                bench.attempt("training", what, partial(_row_of_packed, bench, trial, bench.size(wanted)))


def _row_of_packed(bench: Bench, trial: Trial, size: int) -> Row:
    batches = _forever(bench.packed, bench.view(trial.branch), size)
    row = _row_of(bench, trial, PACKED, size, batches)
    trial.objective.eval()
    checking = bench.seconds(lambda: trial.answer(next(batches)))
    trial.objective.train()
    return {
        **row,
        "data_share": row["making_seconds"] / row["seconds"],
        "validation_rate": size / checking,
        "types": trial.types(next(batches)),
    }


def _row_of(bench: Bench, trial: Trial, source: str, size: int, batches: Iterator[Batch]) -> Row:
    operations = _operations_a_drawing(bench, trial)
    making = bench.seconds(lambda: next(batches))
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(bench.device)
    seconds = bench.seconds(lambda: trial.step(next(batches)))
    return {
        "network": trial.branch,
        "source": source,
        "batch": size,
        "compiled": trial.compiled,
        "rate": size / seconds,
        "seconds": seconds,
        "making_seconds": making,
        "operations_a_drawing": operations,
        "peak_share": operations * size / seconds / bench.report["peak"]["flops"],
        "peak_bytes": torch.cuda.max_memory_allocated(bench.device) if bench.device.type == "cuda" else None,
        "loss": float(trial.loss.detach()),
    }


def _operations_a_drawing(bench: Bench, trial: Trial) -> float:
    """Count them once a network, over a batch of the default size."""
    if trial.branch not in bench.operations:
        size = bench.size(bench.plan.training[0])
        batch = next(_forever(bench.packed, bench.view(trial.branch), size))
        bench.operations[trial.branch] = trial.operations(batch) / size
    return bench.operations[trial.branch]


# ---- the usual way: a file a drawing ---------------------------------------------------------------------------------


def _measure_files(bench: Bench, folder: Path) -> None:
    """Train each network from files and arrays, at the default batch."""
    chosen = torch.randperm(len(bench.drawings), generator=torch.Generator().manual_seed(0))[: bench.plan.files]
    size = min(bench.size(bench.plan.training[0]), len(chosen))
    labels = bench.drawings.labels[chosen].to(torch.int64)
    pictures = write_pictures(bench.drawings, chosen, bench.plan.network.size, folder)
    sequences = sequences_of(bench.drawings, chosen, bench.view("rnn"))
    for branch, source, *parts in (
        ("cnn", "PNG files", pictures, None),
        ("rnn", "arrays", None, sequences),
        ("cr", "PNG files, arrays", pictures, sequences),
    ):
        files = Files(labels=labels, pictures=parts[0], sequences=parts[1])
        bench.attempt("training", f"{branch} of {source}", partial(_row_of_files, bench, branch, source, size, files))


def _row_of_files(bench: Bench, branch: str, source: str, size: int, files: Files) -> Row:
    batches = plain_batches(files, size, bench.workers, bench.device)
    return _row_of(bench, Trial(bench, branch), source, size, batches)


if __name__ == "__main__":
    main()
