"""Checkpoints: the same tensors again, few of them, the best always, and nothing that could run code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from sketchdata.errors import SketchDataError
from sketchdata.storage.tensors import read_tensors, write_tensors
from sketchdata.training.loop import restore, state_of
from sketchdata.training.run_folder import CheckpointFolder

SOME = {"a": torch.arange(6).reshape(2, 3), "b": torch.tensor(0.5, dtype=torch.bfloat16)}


def trained(optimiser: str, steps: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    rule = getattr(torch.optim, optimiser)(network.parameters(), lr=0.01)
    for _ in range(steps):
        step(network, rule)
    return network, rule


def step(network: nn.Module, rule: torch.optim.Optimizer) -> None:
    rule.zero_grad()
    network(torch.linspace(-1, 1, 12).reshape(4, 3)).square().sum().backward()
    rule.step()


def test_tensors_and_facts_come_back(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x.safetensors", SOME, {"step": 3, "name": "é"})
    tensors, facts = read_tensors(tmp_path / "x.safetensors")
    assert facts == {"step": 3, "name": "é"}
    assert tensors.keys() == SOME.keys()
    assert all(torch.equal(tensors[name], SOME[name]) and tensors[name].dtype == SOME[name].dtype for name in SOME)


@pytest.mark.parametrize("optimiser", ["Adam", "AdamW", "RMSprop"])
def test_a_training_that_was_read_back_takes_the_same_next_step(optimiser: str, tmp_path: Path) -> None:
    network, rule = trained(optimiser)
    path = tmp_path / "x.safetensors"
    write_tensors(path, state_of(network, rule), {})
    other, other_rule = trained(optimiser, steps=0)
    restore(read_tensors(path)[0], path, other, other_rule)
    for each in ((network, rule), (other, other_rule)):
        step(*each)
        step(*each)
    one, two = state_of(network, rule), state_of(other, other_rule)
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    network, rule = trained("Adam")
    with pytest.raises(SketchDataError, match=r"x is of another network: 0\.bias does not fit"):
        restore(state_of(network, rule), Path("x"), nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(4), nn.Linear(4, 2)))


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(directory=tmp_path, stage="cnn", keep=2)
    CheckpointFolder(directory=tmp_path, stage="cnn-2").save(1, SOME, {}, None)
    (tmp_path / ".cnn-00000009.safetensors.0123abcd.tmp").write_bytes(b"what a kill left")
    for number in range(1, 7):
        folder.save(number, SOME, {}, 2)
    assert folder.steps() == [2, 5, 6]
    assert folder.read(2)[1] == {"stage": "cnn", "step": 2}
    folder.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cnn-2-00000001.safetensors"]


@pytest.mark.parametrize("damage", ["empty", "cut", "pickle", "other"])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    damage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = CheckpointFolder(directory=tmp_path, stage="cnn")
    assert folder.newest() is None
    for number in (1, 2):
        folder.save(number, SOME, {}, None)
    spoil(tmp_path / "cnn-00000002.safetensors", damage)
    found = folder.newest()
    assert found is not None
    assert found[2]["step"] == 1
    assert "going on from the checkpoint of step 1" in capfd.readouterr().err
    spoil(tmp_path / "cnn-00000001.safetensors", damage)
    with pytest.raises(SketchDataError, match=r"not a whole safetensors file .* no other checkpoint is left"):
        folder.newest()
    assert not (tmp_path / "ran").exists()


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return os.mkdir, (self.path,)


def spoil(path: Path, damage: str) -> None:
    content = path.read_bytes()
    if damage == "other":
        from safetensors.torch import save_file

        save_file(SOME, path)
    else:
        bomb = pickle.dumps(Bomb(path.parent / "ran"))
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "pickle": bomb}[damage])
