"""The trainer of hashing: every stage can be killed, every loss is trained, and codes tell the classes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.tensors import read_tensors
from sketchdata.trainers import hashing
from sketchdata.trainers.hashing import Config, run
from sketchdata.training.encoder import embed, read_encoder
from sketchdata.training.experiment import HeldCodes
from sketchdata.training.losses import codes
from sketchdata.training.packed import read_packed
from sketchdata.training.run_folder import METRICS, MODEL, REPORT, STAGES, read_lines
from tests.trainings import EPOCHS, generated_dataset, kill_in, loop, network

STAGES_IN_ORDER = ("cnn", "rnn", "fusion", "centers", "codes")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated_dataset(tmp_path_factory.mktemp("hashing"))


def config(data: Path, out: Path, **others: Any) -> Config:
    return Config(data=data, out=out, **{**EPOCHS, "code_epochs": 2, "bits": "16", **others})


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training that nobody stopped."""
    out = tmp_path_factory.mktemp("undisturbed")
    run(config(data, out), network(), loop())
    return out


@pytest.mark.slow
def test_a_training_killed_in_each_stage_ends_with_the_same_network(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    for number, stage in enumerate(STAGES_IN_ORDER):
        options = config(data, tmp_path), network(), loop(resume=number > 0)
        assert kill_in(tmp_path, stage, run, *options) == -signal.SIGKILL
        assert not (tmp_path / REPORT).exists()
    run(config(data, tmp_path), network(), loop(resume=True))
    assert (tmp_path / MODEL).read_bytes() == (undisturbed / MODEL).read_bytes()
    logs = [[{**line, "seconds": 0} for line in read_lines(out / METRICS)] for out in (tmp_path, undisturbed)]
    assert logs[0] == logs[1]
    assert [line["stage"] for line in logs[0] if line.get("epoch") == 1] == list(STAGES_IN_ORDER)


@pytest.mark.parametrize(
    ("loss", "parts"),
    [
        ("cel", {"cel"}),
        ("cel+cl", {"cel", "cl"}),
        ("cel+scl", {"cel", "scl"}),
        ("cel+scl+ql", {"cel", "scl", "ql"}),
    ],
)
def test_each_loss_adds_up_its_parts(loss: str, parts: set[str], data: Path, tmp_path: Path) -> None:
    changed = {**dict.fromkeys(EPOCHS, 1), "code_epochs": 1, "loss": loss, "center_weight": 0.5, "code_weight": 0.25}
    run(config(data, tmp_path, **changed), network(branch="rnn"), loop(batch_size=64, log_every=1))
    *_, last = (line for line in read_lines(tmp_path / METRICS) if "loss" in line)
    weights = {"cel": 1.0, "cl": 0.5, "scl": 0.5, "ql": 0.25}
    assert set(weights) & set(last) == parts
    assert last["loss"] == pytest.approx(sum(weights[part] * last[part] for part in parts), rel=1e-4)


@pytest.mark.slow
def test_the_reported_accuracy_of_codes_is_that_of_the_binary_codes(data: Path, undisturbed: Path) -> None:
    trained, val = read_encoder(undisturbed), read_packed(data, "val")
    with torch.no_grad():
        batch = trained.view.batch(val, torch.arange(len(val)))
        f, _ = trained(batch)
        guessed = trained.fusion.classifier(codes(f)).argmax(1)
    assert f.shape == (len(val), 16)
    report = orjson.loads((undisturbed / REPORT).read_bytes())
    found = float((guessed == batch.labels).float().mean())
    assert found == pytest.approx(report["stages"][-1]["code_accuracy"])
    assert report["trainer"] == "hashing"


@pytest.mark.slow
def test_centres_stay_where_they_are(undisturbed: Path) -> None:
    fixed = read_tensors(undisturbed / STAGES / "class-centers.safetensors")[0]["class-centers"]
    for stage in ("centers", "codes"):
        assert torch.equal(
            read_tensors(undisturbed / STAGES / f"{stage}.safetensors")[0]["network.loss.centers"], fixed
        )


@pytest.mark.slow
def test_codes_are_held_for_an_epoch_or_taken_at_every_step(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    train = read_packed(data, "train")
    options = {"code_epochs": 1, "pretrained": undisturbed}
    run(config(data, tmp_path / "epoch", bits="24", **options), network(), loop())
    # The weights before the epoch, from which step 7 of Algorithm 1 computes the codes.
    trained = read_encoder(tmp_path / "epoch")
    before, _ = read_tensors(tmp_path / "epoch" / STAGES / "centers.safetensors")
    prefix = "network.encoder."
    trained.load_state_dict({n.removeprefix(prefix): v for n, v in before.items() if n.startswith(prefix)})
    bits = codes(torch.from_numpy(embed(trained, train))).bool().numpy()
    held = read_tensors(tmp_path / "epoch" / STAGES / "codes.safetensors")[0]["network.held.packed"].numpy()
    np.testing.assert_array_equal(np.unpackbits(held, axis=1, bitorder="little"), bits)
    run(config(data, tmp_path / "step", bits="24", ql_refresh="step", **options), network(), loop())
    assert not any("held" in name for name in read_tensors(tmp_path / "step" / STAGES / "codes.safetensors")[0])


@pytest.mark.parametrize("width", [5, 16])
def test_held_codes_are_unpacked_by_their_drawings(width: int) -> None:
    bits = torch.rand(7, width, generator=torch.Generator().manual_seed(width)) < 0.5
    held = HeldCodes(7, width)
    held.packed.copy_(torch.from_numpy(np.packbits(bits.numpy(), axis=1, bitorder="little")))
    rows = torch.tensor([6, 0, 6, 3])
    assert torch.equal(held(rows), bits[rows].float())


@pytest.mark.slow
def test_a_code_layer_that_never_learns_is_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    none = dict.fromkeys((*EPOCHS, "code_epochs"), 0)
    for name, others in {
        "--fusion-epochs 0": {"loss": "cel"},
        "--fusion-epochs 0, --center-epochs 0, --code-epochs 0": {},
        "": {"loss": "cel+scl", "center_epochs": 1},
    }.items():
        hashing.run(config(data, tmp_path / (name or "trained"), **{**none, **others}), network(), loop())
        told = capsys.readouterr().err
        assert (f"{name}: the code layer stays untrained" if name else "") in told
        assert bool(name) == ("codes are random" in told)


@pytest.mark.slow
def test_more_weight_on_quantisation_draws_outputs_to_0_and_1(data: Path, tmp_path: Path) -> None:
    distances = []
    for weight in (0.0001, 1.0):
        out = tmp_path / str(weight)
        whole = config(data, out, code_weight=weight, code_epochs=4, **dict.fromkeys(EPOCHS, 1))
        hashing.run(whole, network(branch="rnn"), loop(save_minutes=9.0))
        lines = [line["ql"] for line in read_lines(out / METRICS) if "ql" in line]
        distances.append(lines[-1])
    assert distances[1] < 0.8 * distances[0]


@pytest.mark.slow
def test_stages_of_another_training_are_taken_over_where_they_would_come_out_the_same(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    alone, shared, more_bits = tmp_path / "alone", tmp_path / "shared", tmp_path / "more-bits"
    run(config(data, alone, loss="cel"), network(), loop())
    run(config(data, shared, loss="cel", pretrained=undisturbed), network(), loop())
    assert (shared / MODEL).read_bytes() == (alone / MODEL).read_bytes()
    assert set(orjson.loads((shared / REPORT).read_bytes())["pretrained"]) == {"cnn", "rnn", "fusion"}
    assert read_lines(shared / METRICS) == []

    report = run(config(data, more_bits, loss="cel", bits="24", pretrained=undisturbed), network(), loop())
    assert set(report["pretrained"]) == {"cnn", "rnn"}
    assert {line["stage"] for line in read_lines(more_bits / METRICS)} == {"fusion"}


@pytest.mark.slow
def test_stages_that_would_come_out_otherwise_are_refused_by_the_option_that_differs(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"none of its stages can be used here, since it has another --seed$"):
        run(config(data, tmp_path / "seed", pretrained=undisturbed), network(), loop(seed=1))
    with pytest.raises(SketchDataError, match=r"is not the folder of a training"):
        run(config(data, tmp_path / "none", pretrained=data), network(), loop())
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("branch", ["cnn", "rnn"])
def test_a_branch_alone_takes_over_what_it_would_have_learned_itself(
    branch: str, data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    changed = {**dict.fromkeys(EPOCHS, 1), "loss": "cel"}
    run(config(data, tmp_path / "both", **changed), network(), loop(batch_size=64))
    run(config(data, tmp_path / "alone", **changed), network(branch=branch), loop(batch_size=64))
    stage = f"{STAGES}/{branch}.safetensors"
    assert (tmp_path / "alone" / stage).read_bytes() == (tmp_path / "both" / stage).read_bytes()
    options = config(data, tmp_path / "shared", loss="cel", pretrained=undisturbed), network(branch=branch), loop()
    assert set(run(*options)["pretrained"]) >= {branch}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard")
def test_tensorboard_s_files_have_what_the_metrics_have(data: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(config(data, tmp_path, loss="cel"), network(branch="cnn"), loop(tensorboard=True))
    found = EventAccumulator(str(tmp_path / "tensorboard" / "cnn")).Reload()
    lines = [line for line in read_lines(tmp_path / METRICS) if line["stage"] == "cnn" and "loss" in line]
    losses = [(event.step, event.value) for event in found.Scalars("cnn/loss")]
    assert [step for step, _ in losses] == [line["step"] for line in lines]
    assert [value for _, value in losses] == pytest.approx([line["loss"] for line in lines])
