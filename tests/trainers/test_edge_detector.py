"""The trainer of the edge detector: that it learns, survives being stopped, and says what is wrong with its input."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchdata.edges.bsds import SegmentedPhoto, boundaries_between
from sketchdata.edges.learned import load_learned
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.trainers import edge_detector
from sketchdata.trainers.edge_detector import CHECKPOINT, METRICS, WEIGHTS, Config, example, loss_of, order, run
from tests.divided_photos import SHAPE, divided_folder, write_drawings

STEPS = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return divided_folder(tmp_path_factory.mktemp("bsds"), {"train": 5, "val": 2})


def config(data: Path, out: Path, **others: Any) -> Config:
    small: dict[str, Any] = {"steps": STEPS, "batch": 2, "size": 64, "learning_rate": 0.01, "average": 0.5}
    return Config(data=data, out=out, **{**small, **others})


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training that nobody stopped."""
    out = tmp_path_factory.mktemp("undisturbed")
    run(config(data, out))
    return out


def losses(out: Path) -> list[float]:
    return [orjson.loads(line)["loss"] for line in (out / METRICS).read_bytes().splitlines()]


# ---- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_loss_falls(data: Path, tmp_path: Path) -> None:
    run(config(data, tmp_path, steps=60))
    found = losses(tmp_path)
    assert len(found) == 60
    assert np.mean(found[-10:]) < 0.8 * np.mean(found[2:12])


def test_the_written_weights_are_those_of_a_detector(undisturbed: Path) -> None:
    edges = load_learned(undisturbed / WEIGHTS)(np.zeros((40, 50, 3), np.uint8))
    assert edges.shape == (40, 50)


def test_the_report_says_how_the_weights_came_about(undisturbed: Path) -> None:
    report = orjson.loads((undisturbed / "training.json").read_bytes())
    assert report["config"]["splits"] == "train,val"
    assert report["photos"] == 2 * STEPS
    assert report["loss"] == pytest.approx(np.mean(losses(undisturbed)))
    assert report["parameters"] < 100_000
    assert not (undisturbed / CHECKPOINT).exists()


@pytest.mark.slow
def test_any_number_of_threads_gives_the_same_weights(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    run(config(data, tmp_path, threads=1))
    assert (tmp_path / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()


@pytest.mark.slow
def test_another_seed_gives_other_weights(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    run(config(data, tmp_path, seed=1))
    assert (tmp_path / WEIGHTS).read_bytes() != (undisturbed / WEIGHTS).read_bytes()


def test_a_finished_training_is_not_done_again(data: Path, undisturbed: Path) -> None:
    before = (undisturbed / WEIGHTS).stat().st_mtime_ns
    report = run(config(data, undisturbed))
    assert report == orjson.loads((undisturbed / "training.json").read_bytes())
    assert (undisturbed / WEIGHTS).stat().st_mtime_ns == before


@given(photos=st.integers(1, 9), batch=st.integers(1, 20), seed=st.integers(0, 3))
@settings(max_examples=30)
def test_every_photo_comes_once_before_any_comes_twice(photos: int, batch: int, seed: int) -> None:
    options = Config(data=Path(), out=Path(), batch=batch, seed=seed)
    seen = [place for step in range(photos) for place in order(photos, options, step)]
    assert all(sorted(seen[i : i + photos]) == list(range(photos)) for i in range(0, len(seen), photos))


# ---- examples and loss -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_lines_stay_where_the_photo_changes_however_it_is_turned(seed: int) -> None:
    y, x = np.indices((120, 160))
    segments = (((y - 50) ** 2 + (x - 90) ** 2 < 900) + 1).astype(np.uint16)
    photo = np.repeat(np.where(segments == 2, 255, 0).astype(np.uint8)[:, :, None], 3, axis=2)
    divided = SegmentedPhoto(photo=photo, segments=(segments,))
    options = Config(data=Path(), out=Path(), size=128, colour=0.0)
    found = example(divided, options, np.random.default_rng(seed))
    seen = boundaries_between((found.pixels[:, :, 0] > 127).astype(np.uint16))
    assert found.agreement.sum() == pytest.approx(seen.sum(), rel=0.1)
    assert np.count_nonzero((found.agreement == 1) & (seen == 1)) > 0.7 * seen.sum()


def test_the_colours_change_and_the_lines_do_not(data: Path) -> None:
    divided = edge_detector.read_split(data, "train")[0]
    options = Config(data=Path(), out=Path(), size=64, colour=0.0)
    plain, coloured = (example(divided, replace(options, colour=c), np.random.default_rng(4)) for c in (0.0, 1.0))
    assert (plain.agreement == coloured.agreement).all()
    assert (plain.pixels != coloured.pixels).mean() > 0.5


def test_agreement_is_the_share_of_people_who_drew_a_line(data: Path) -> None:
    divided = edge_detector.read_split(data, "train")[0]
    options = Config(data=Path(), out=Path(), size=64)
    found = np.unique(example(divided, options, np.random.default_rng(0)).agreement)
    # Of three people, two drew the disc and all of them the rectangle.
    assert found.tolist() == pytest.approx([0, 2 / 3, 1])


def loss(logits: torch.Tensor, agreement: torch.Tensor, inside: torch.Tensor | None = None) -> float:
    options = Config(data=Path(), out=Path(), side_weight=0.0)
    seen = torch.ones_like(agreement) if inside is None else inside
    return loss_of([logits, logits], agreement, seen, options).item()


def test_the_loss_is_that_of_the_paper_worked_by_hand() -> None:
    # One edge and three backgrounds at probability 1/2: α = 1.1 · 1/4 for background, β = 3/4 for the edge; the mean.
    agreement = torch.tensor([1.0, 0.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
    expected = np.log(2) * (3 / 4 + 3 * 1.1 / 4) / 4
    assert loss(torch.zeros(1, 1, 2, 2), agreement) == pytest.approx(expected)


@pytest.mark.parametrize("ignored", ["what too few people marked", "what lies outside of the photo"])
def test_nothing_is_learned_from(ignored: str) -> None:
    agreement = torch.tensor([1.0, 0.0, 0.0, 0.2 if ignored.startswith("what too") else 1.0]).reshape(1, 1, 2, 2)
    inside = torch.tensor([1.0, 1.0, 1.0, float(ignored.startswith("what too"))]).reshape(1, 1, 2, 2)
    sure, other = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    other[0, 0, 1, 1] = 50
    assert loss(sure, agreement, inside) == loss(other, agreement, inside) > 0


def test_a_photo_without_lines_has_no_loss() -> None:
    assert loss(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)) == 0


# ---- stopped and gone on ---------------------------------------------------------------------------------------------


def start(data: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sketchdata", "train", "edge-detector", "--data", str(data), "--out", str(out)]
    small = f"--steps {STEPS} --batch 2 --size 64 --learning-rate 0.01 --average 0.5 --save-minutes 0".split()
    return subprocess.Popen([*command, *small, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stop_at_checkpoint(process: subprocess.Popen[str], out: Path, number: int, before: int = 0) -> str:
    """Send a signal once a checkpoint newer than `before` is there; return what was said."""
    deadline = time.monotonic() + 120
    while not (out / CHECKPOINT).exists() or (out / CHECKPOINT).stat().st_mtime_ns == before:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(number)
    return process.communicate(timeout=120)[1]


@pytest.mark.slow
def test_a_training_killed_again_and_again_ends_with_the_same_weights(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    before = 0
    for number in range(2):
        process = start(data, tmp_path, *(["--resume"] if number else []))
        stop_at_checkpoint(process, tmp_path, signal.SIGKILL, before)
        assert process.returncode == -signal.SIGKILL
        before = (tmp_path / CHECKPOINT).stat().st_mtime_ns
    run(config(data, tmp_path, resume=True))
    assert (tmp_path / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()
    assert losses(tmp_path) == losses(undisturbed)


@pytest.mark.slow
def test_ctrl_c_saves_and_exits_130(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    process = start(data, tmp_path)
    said = stop_at_checkpoint(process, tmp_path, signal.SIGINT)
    assert process.returncode == 130
    assert re.fullmatch(r"stopped after step \d+; continue with --resume\n", said)
    run(config(data, tmp_path, resume=True))
    assert (tmp_path / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()


@pytest.mark.slow
def test_the_command_prints_its_report_as_json(data: Path, undisturbed: Path) -> None:
    process = start(data, undisturbed, "--json")
    printed, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert orjson.loads(printed) == orjson.loads((undisturbed / "training.json").read_bytes())


def test_without_torch_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "sketchdata", "train", "edge-detector", "--data", "photos", "--out", "runs"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr == "error: training needs torch, which is not installed: pip install 'sketchdata[train]'\n"


# ---- what is wrong with the input ------------------------------------------------------------------------------------


def test_a_folder_without_photos_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not the folder of BSDS500: .*images/train has no \.jpg photos"):
        run(config(tmp_path, tmp_path / "out"))


def spoilt(tmp_path: Path) -> Path:
    return divided_folder(tmp_path / "bsds", {"train": 1})


def test_a_photo_without_drawings_is_named(tmp_path: Path) -> None:
    data = spoilt(tmp_path)
    (data / "groundTruth/train/train000.mat").unlink()
    with pytest.raises(ConfigError, match=r"groundTruth/train lacks the drawings of 1 of 1 photos, train000\.mat"):
        run(config(data, tmp_path / "out", splits="train"))


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "no struct", "MATLAB 7.3"])
def test_drawings_that_are_none_are_named(damage: str, tmp_path: Path) -> None:
    data = spoilt(tmp_path)
    path = data / "groundTruth/train/train000.mat"
    whole = path.read_bytes()
    from scipy.io import savemat

    if damage == "no struct":
        savemat(path, {"groundTruth": np.ones((2, 2))})
    else:
        hdf5 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF"
        path.write_bytes({"empty": b"", "text": b"<html>" * 100, "cut": whole[: len(whole) // 2]}.get(damage, hdf5))
    with pytest.raises(SketchDataError, match=r"train000\.mat: damaged drawings: .*groundTruth.*; fetch it again"):
        run(config(data, tmp_path / "out", splits="train"))


@pytest.mark.parametrize("compressed", [True, False])
def test_flipped_bytes_of_drawings_never_end_the_process(compressed: bool, tmp_path: Path) -> None:
    # SciPy's reader ends it with SIGSEGV on some of these.
    data = spoilt(tmp_path)
    path = write_drawings(data, "train", "train000", [np.ones(SHAPE, np.uint16)] * 2, compressed=compressed)
    whole, rng, faults = path.read_bytes(), np.random.default_rng(0), list[str]()
    for _ in range(400):
        damaged = bytearray(whole)
        # What stands first tells types and lengths; most of the rest is pixels, of which any are as good as others.
        places = rng.integers(0, 600 if rng.random() < 0.7 else len(whole), rng.integers(1, 4)) % len(whole)
        for place in places:
            damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            (found,) = edge_detector.read_split(data, "train")
            assert found.segments[0].shape == SHAPE
        except SketchDataError as error:
            faults.append(str(error))
    assert len(faults) > 100
    assert all("train000.mat: " in fault for fault in faults)


def test_drawings_of_another_photo_are_named(tmp_path: Path) -> None:
    data = spoilt(tmp_path)
    write_drawings(data, "train", "train000", [np.ones((7, 9), np.uint16)])
    with pytest.raises(SketchDataError, match=re.escape(f"expected drawings of {SHAPE}")):
        run(config(data, tmp_path / "out", splits="train"))


def test_a_damaged_photo_is_named(tmp_path: Path) -> None:
    data = spoilt(tmp_path)
    path = data / "images/train/train000.jpg"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(SketchDataError, match=r"train000\.jpg: truncated picture"):
        run(config(data, tmp_path / "out", splits="train"))


def test_a_training_that_diverges_stops_and_says_so(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match=r"diverged in step \d+: .*half of --learning-rate 1e\+30"):
        run(config(data, tmp_path, learning_rate=1e30))


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"resume": True}, "--resume: there is no checkpoint at"),
        ({"device": "abacus"}, "--device abacus cannot be used"),
        ({"smallest": 2.0}, "--smallest 2 must not be above --largest 1.6"),
    ],
)
def test_options_that_do_not_fit_are_refused(data: Path, tmp_path: Path, others: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        run(config(data, tmp_path, **others))


def test_a_finished_training_with_other_options_is_left_alone(data: Path, undisturbed: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds a training with --seed 0: use that, or another --out"):
        run(config(data, undisturbed, seed=3))


@pytest.fixture(scope="module")
def checkpoint(data: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the checkpoint that a training left after its first step."""
    out = tmp_path_factory.mktemp("checkpoint")
    training = edge_detector.Training(config(data, out))
    training.apply([training.gradients(photo, 0) for photo in edge_detector.read_split(data, "val")])
    edge_detector.save_checkpoint(training, 0.0)
    return (out / CHECKPOINT).read_bytes()


@pytest.fixture
def stopped(checkpoint: bytes, tmp_path: Path) -> Path:
    (tmp_path / CHECKPOINT).write_bytes(checkpoint)
    return tmp_path


def test_a_stopped_training_is_not_begun_again_unasked(data: Path, stopped: Path) -> None:
    with pytest.raises(ConfigError, match="holds a training that was stopped: use --resume"):
        run(config(data, stopped))


def test_a_training_goes_on_only_with_its_own_options(data: Path, stopped: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds a training with --batch 2, --size 64: use that"):
        run(config(data, stopped, batch=3, size=96, resume=True))


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", "half"])
def test_a_damaged_checkpoint_is_refused(data: Path, stopped: Path, content: bytes | str) -> None:
    path = stopped / CHECKPOINT
    path.write_bytes(content if isinstance(content, bytes) else path.read_bytes()[:5000])
    with pytest.raises(SketchDataError, match=r"checkpoint\.safetensors"):
        run(config(data, stopped, resume=True))
