"""The trainers learn from official bitmaps too, and say what bitmaps cannot give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.trainers import hashing, recognition
from sketchdata.training.bitmaps import fingerprint, read_bitmaps
from sketchdata.training.run_folder import RECORD
from tests.bitmap_folders import CLASSES, bitmap_folder
from tests.trainings import loop, network, start


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bitmap_folder(tmp_path_factory.mktemp("training") / "full" / "numpy_bitmap").parents[1]


@pytest.mark.slow
def test_a_network_learns_bitmaps_by_command_and_is_evaluated_on_others(data: Path, tmp_path: Path) -> None:
    epochs = {"cnn_epochs": 4, "fusion_epochs": 2, "center_epochs": 1}
    what = {"branch": "cnn", "loss": "cel+cl", "augment": True, "size": 28, "width": 8, "save_minutes": 9.0}
    process = start("recognition", data, tmp_path, **epochs, **what)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    record = orjson.loads((tmp_path / RECORD).read_bytes())
    assert (record["classes"], record["manifest"]) == (list(CLASSES), fingerprint(data))

    command = [sys.executable, "-m", "sketchdata", "evaluate", str(tmp_path), "--device", "cpu", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = orjson.loads(done.stdout)
    assert found["drawings"] == len(read_bitmaps(data, "gallery"))
    assert found["manifest"] == fingerprint(data)
    assert found["top1"] > 0.8 > 2 * found["top1_chance"]


@pytest.mark.slow
def test_codes_are_learned_from_bitmaps_and_the_training_knows_its_data(data: Path, tmp_path: Path) -> None:
    config = hashing.Config(
        data=data / "full" / "numpy_bitmap", out=tmp_path / "run", bits="16", loss="cel", cnn_epochs=1, fusion_epochs=1
    )
    report = hashing.run(config, network(branch="cnn"), loop(batch_size=64))
    assert [stage["stage"] for stage in report["stages"]] == ["cnn", "fusion"]
    assert report["drawings"] == len(read_bitmaps(data, "train"))
    changed = {name: np.load(config.data / f"{name}.npy")[1:] for name in CLASSES}
    other = bitmap_folder(tmp_path / "other", **changed)
    with pytest.raises(ConfigError, match="another data set of these classes"):
        hashing.run(hashing.Config(**{**vars(config), "data": other}), network(branch="cnn"), loop(batch_size=64))


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        ("cel", {"branch": "cr"}, "no points for --branch cr: use --branch cnn"),
        ("cel", {"branch": "rnn"}, "no points for --branch rnn: use --branch cnn"),
        ("cel", {"branch": "cnn", "line_width": 3}, "use --line-width 1, not 3"),
        ("cel+scl", {"branch": "cnn"}, r"--loss cel\+scl needs the image entropy .*use --loss cel or cel\+cl"),
    ],
)
def test_what_needs_drawings_is_refused_before_anything_is_written(
    loss: str, options: dict[str, object], message: str, data: Path, tmp_path: Path
) -> None:
    config = recognition.Config(data=data, out=tmp_path / "run", loss=loss)
    with pytest.raises(ConfigError, match=message):
        recognition.run(config, network(**options), loop())
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_pickle_among_the_bitmaps_ends_the_command_without_a_traceback(tmp_path: Path) -> None:
    data = bitmap_folder(tmp_path / "data", cat=np.array([{}, {}], dtype=object))
    process = start("recognition", data, tmp_path / "run", branch="cnn", loss="cel")
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 1, said
    assert "the class 'cat' should be an array of (N, 784) uint8" in " ".join(said.split())
    assert "Traceback" not in said
    with pytest.raises(SketchDataError, match="cannot be read"):
        read_bitmaps(data, "train")
