"""The loop: its rates, its divergence guard, its log, and that being stopped changes nothing."""

from __future__ import annotations

import dataclasses
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.errors import ConfigError, InterruptedRunError, SketchDataError
from sketchdata.storage.tensors import read_tensors
from sketchdata.training.distributed import DistributedContext, distributed
from sketchdata.training.loader import Batch, Order, PackedLoader, View
from sketchdata.training.loop import TrainingStage, fit, learning_rate
from sketchdata.training.options import TrainingOptions
from sketchdata.training.packed import pack
from sketchdata.training.run_folder import (
    METRICS,
    RunFolder,
    open_run,
    opened_log,
    read_lines,
    read_record,
    stage_seconds,
)
from tests.batches import batch_of
from tests.trainings import loop

CPU = DistributedContext(device=torch.device("cpu"))
DRAWINGS, BATCH, EPOCHS = 22, 4, 3
STEPS = 6 * EPOCHS


class Objective(nn.Module):
    """Tells two classes of one-line drawings apart, with dropout, and calls `at_step` before each step."""

    def __init__(self, at_step: Callable[[int], None] = lambda step: None) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(16 * 16, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2)
        )
        self.at_step, self.calls = at_step, 0

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls += 1
        self.at_step(self.calls)
        assert batch.raster is not None
        return functional.cross_entropy(self.layers(batch.raster.float() / 255), batch.labels), {}


def stage(objective: nn.Module, scores: Iterator[float] | None = None, **others: Any) -> TrainingStage:
    lines = [[[(0, each * 9), (255, each * 9)] if each % 2 else [(each * 9, 0), (each * 9, 255)]] for each in range(22)]
    packed = pack([batch_of(*lines, labels=[each % 2 for each in range(DRAWINGS)])], ("a", "b"))
    loader = PackedLoader(
        packed=packed, order=Order(count=DRAWINGS, batch_size=BATCH), view=View(size=16, max_points=None)
    )
    settings: dict[str, Any] = {
        "name": "only",
        "epochs": EPOCHS,
        "groups": [(list(objective.parameters()), 0.01)],
        "loader": loader,
        "validate": lambda: {"accuracy": next(scores)} if scores else {"accuracy": 0.5},
    }
    return TrainingStage(objective=objective, **{**settings, **others})


def folder(path: Path) -> RunFolder:
    return RunFolder(path=path, context=CPU)


def weights(path: Path) -> bytes:
    return folder(path).stage_path("only").read_bytes()


# ---- rates -----------------------------------------------------------------------------------------------------------


def test_the_rate_rises_and_then_falls_to_nearly_nothing() -> None:
    whole = dataclasses.replace(stage(Objective()), epochs=50)
    rates = [learning_rate(0.4, step, whole, TrainingOptions()) for step in range(whole.steps)]
    rise = whole.steps // 10
    assert rates[rise - 1] == rates[rise] == pytest.approx(0.4)
    assert rates[:rise] == pytest.approx([0.4 * (step + 1) / rise for step in range(rise)])
    assert all(one > other for one, other in zip(rates[rise:], rates[rise + 1 :], strict=False))
    assert 0 < rates[-1] < 1e-4


def test_the_papers_rate_falls_to_a_tenth_every_ten_epochs() -> None:
    whole, options = stage(Objective()), TrainingOptions(paper_lr=True)
    found = [learning_rate(0.4, epoch * 6 + 5, whole, options) for epoch in (0, 9, 10, 19, 20)]
    assert found == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001])


# ---- the best epoch, the log, divergence -----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_weights_of_the_best_epoch_are_the_outcome(tmp_path: Path) -> None:
    facts = fit(stage(Objective(), iter([0.2, 0.9, 0.9])), folder(tmp_path / "three"), loop())
    assert facts == {"stage": "only", "epochs": 3, "best_epoch": 2, "accuracy": 0.9}
    seen: list[dict[str, Tensor]] = []
    objective = Objective()

    def look() -> dict[str, float]:
        seen.append({name: value.clone() for name, value in objective.state_dict().items()})
        return {"accuracy": 0.1}

    fit(stage(objective, validate=look), folder(tmp_path / "other"), loop())
    tensors, _ = read_tensors(folder(tmp_path / "three").stage_path("only"))
    assert all(torch.equal(tensors[f"network.{name}"], value) for name, value in seen[1].items())
    assert not list((tmp_path / "three" / "checkpoints").iterdir())


def test_a_stage_of_no_epochs_leaves_the_weights_as_they_are(tmp_path: Path) -> None:
    objective = Objective()
    fit(stage(objective, epochs=0), folder(tmp_path), loop())
    assert all(torch.equal(value, Objective().state_dict()[name]) for name, value in objective.state_dict().items())


def test_every_second_step_and_every_epoch_has_a_line(tmp_path: Path) -> None:
    fit(stage(Objective()), folder(tmp_path), loop())
    lines = read_lines(tmp_path / METRICS)
    assert [line["step"] for line in lines if "loss" in line] == list(range(2, STEPS + 1, 2))
    assert [(line["epoch"], line["step"]) for line in lines if "epoch" in line] == [(1, 6), (2, 12), (3, 18)]
    assert stage_seconds(tmp_path / METRICS) == {"only": lines[-1]["seconds"]}


def test_lines_that_will_come_again_and_lines_cut_off_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / METRICS
    with opened_log(path, "one", step=0, epochs=0, board=None) as log:
        log.write(9, {"loss": 1.0})
    with opened_log(path, "two", step=0, epochs=0, board=None) as log:
        for step in range(1, 6):
            log.write(step, {"loss": step / 2})
        log.write(5, {"accuracy": 0.5, "epoch": 1})
    path.write_bytes(path.read_bytes() + b'{"stage":"two","st')
    with opened_log(path, "two", step=4, epochs=0, board=None):
        pass
    assert [(line["stage"], line["step"]) for line in read_lines(path)] == [
        ("one", 9),
        *(("two", n) for n in range(1, 5)),
    ]


def test_a_loss_that_is_no_number_stops_the_training_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    objective = Objective()

    def spoil(step: int) -> None:
        if step == 9:
            with torch.no_grad():
                objective.layers[1].weight.fill_(float("nan"))

    objective.at_step = spoil
    message = "diverged in stage only by step 9: loss nan, gradient nan; the checkpoint of step 8 is kept"
    with pytest.raises(SketchDataError, match=re.escape(message)):
        fit(stage(objective), folder(tmp_path), loop())
    tensors, _ = read_tensors(tmp_path / "checkpoints" / "only-00000008.safetensors")
    assert all(value.isfinite().all() for value in tensors.values())


# ---- stopped and gone on ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 6, 8, STEPS])
def test_a_training_stopped_at_any_step_ends_with_the_same_weights(step: int, tmp_path: Path) -> None:
    fit(stage(Objective()), folder(tmp_path / "whole"), loop(save_minutes=9.0))

    def press(now: int) -> None:
        if now == step:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(InterruptedRunError, match=f"stopped in stage only after step {step}; continue with --resume"):
        fit(stage(Objective(press)), folder(tmp_path / "stopped"), loop(save_minutes=9.0))
    torch.rand(7)
    fit(stage(Objective()), folder(tmp_path / "stopped"), loop(save_minutes=9.0))
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")
    logs = [read_lines(tmp_path / name / METRICS) for name in ("stopped", "whole")]
    one, two = ([{**line, "seconds": 0} for line in log] for log in logs)
    assert one == two


# ---- the run folder --------------------------------------------------------------------------------------------------

FACTS: dict[str, Any] = {"trainer": "recognition", "options": {"size": 32}, "classes": ["a", "b"], "manifest": "1"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trainer": "hashing"}, "holds a training of another kind, recognition"),
        ({"classes": ["a", "c"]}, "another class table, 2 classes (a, b), and the data set has 2 classes (a, c)"),
        ({"options": {"size": 64}}, "holds a training with --size 32: use that, or another --out"),
        ({"manifest": "2"}, "another data set of these classes"),
    ],
)
def test_a_folder_of_another_training_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    open_run(tmp_path, FACTS, resume=False, context=CPU)
    with pytest.raises(ConfigError, match=re.escape(message)):
        open_run(tmp_path, {**FACTS, **change}, resume=True, context=CPU)
    assert read_record(tmp_path) == FACTS


def test_going_on_must_be_asked_for_and_must_be_possible(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--resume: there is no training in"):
        open_run(tmp_path / "new", FACTS, resume=True, context=CPU)
    open_run(tmp_path / "new", FACTS, resume=False, context=CPU)
    with pytest.raises(ConfigError, match="holds a training that was stopped: use --resume"):
        open_run(tmp_path / "new", FACTS, resume=False, context=CPU)
    assert open_run(tmp_path / "new", FACTS, resume=True, context=CPU).report() is None


def test_a_folder_of_something_else_and_a_damaged_record_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"is not empty, it holds notes\.txt"):
        open_run(tmp_path, FACTS, resume=False, context=CPU)
    (tmp_path / "run.json").write_text('{"trainer": ')
    with pytest.raises(SketchDataError, match=r"run\.json: expected JSON"):
        open_run(tmp_path, FACTS, resume=True, context=CPU)
    with pytest.raises(SketchDataError, match="is not the folder of a training"):
        read_record(tmp_path / "nowhere")


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="--device abacus cannot be used"), distributed("abacus"):
        pytest.fail("it was joined")
