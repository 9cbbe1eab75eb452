"""The recogniser that the package ships: it needs no training and no torch, and its ONNX file is what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import sketchdata
from sketchdata.api import default_network
from sketchdata.api.default_network import NETWORK, DefaultNetwork
from sketchdata.cli.recognise import recognise
from sketchdata.curation.labels import line_features
from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.drawings.sampling import ranks
from sketchdata.errors import ConfigError, SketchDataError


def circle(radius: float = 127.0) -> Drawing:
    turn = np.linspace(0, 2 * np.pi, 40)
    points = np.rint(127 + radius * np.stack([np.cos(turn), np.sin(turn)], 1)).astype(np.uint8)
    return Drawing(key_id=1, word="circle", strokes=(points,))


def square() -> Drawing:
    points = np.array([[0, 0], [255, 0], [255, 255], [0, 255], [0, 0]], np.uint8)
    return Drawing(key_id=2, word="square", strokes=(points,))


def test_a_circle_and_a_square_are_recognised_in_the_class_table_s_order() -> None:
    recogniser = sketchdata.Recogniser.default()
    assert len(recogniser.classes) == 345
    assert [each[0][0] for each in recogniser.predict([circle(), square()], top=2)] == ["circle", "square"]


def test_probabilities_are_the_same_every_time_and_add_up_to_one() -> None:
    network = DefaultNetwork.load()
    one, other = network.probabilities([circle(), square()]), DefaultNetwork.load().probabilities([square()])
    assert one.shape == (2, 345)
    assert one.dtype == np.float32
    np.testing.assert_allclose(one.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(one[1], other[0], rtol=1e-4, atol=1e-7)
    assert network.probabilities([]).shape == (0, 345)


def test_opencv_computes_what_onnxruntime_computes() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(NETWORK), providers=["CPUExecutionProvider"])
    drawings = [circle(), square(), circle(60)]
    lines = line_features(to_batch(drawings, Words())).astype(np.float32) / 255
    (scores,) = session.run(["scores"], {"lines": lines})
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    network = DefaultNetwork.load()
    np.testing.assert_allclose(network.probabilities(drawings), powers / powers.sum(1, keepdims=True), atol=1e-5)
    assert session.get_modelmeta().custom_metadata_map["classes"].split("\n") == list(network.classes)


def test_the_file_is_small_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    content = NETWORK.read_bytes()
    assert len(content) <= 1_500_000
    (tmp_path / "a.onnx").write_bytes(content[:-1] + b"\0")
    with pytest.raises(SketchDataError, match="install sketchdata again"):
        DefaultNetwork.load(tmp_path / "a.onnx")
    with pytest.raises(SketchDataError, match="cannot be read"):
        DefaultNetwork.load(tmp_path / "b.onnx")


def test_work_that_needs_a_training_says_so() -> None:
    recogniser = sketchdata.Recogniser.default()
    with pytest.raises(ConfigError, match="give a run"):
        recogniser.explain(circle())
    with pytest.raises(ConfigError, match="give a run"):
        recogniser.picture_network()
    with pytest.raises(ConfigError, match="views"):
        recogniser.predict(circle(), views=2)


def test_the_command_recognises_a_file_without_a_run(tmp_path: Path) -> None:
    path = tmp_path / "circle.svg"
    path.write_text(circle().svg())
    done = CliRunner().invoke(recognise, [str(path), "--top", "1"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "345 classes" in done.stdout
    with pytest.raises(ConfigError, match="--plain"):
        CliRunner().invoke(recognise, [str(path), "--plain"], catch_exceptions=False)
    alone = CliRunner().invoke(recognise, [str(tmp_path)])
    assert alone.exit_code == 2
    assert "name the files" in alone.stderr


@pytest.mark.slow
def test_torch_is_not_imported(tmp_path: Path) -> None:
    path = tmp_path / "circle.svg"
    path.write_text(circle().svg())
    code = "import sys, sketchdata; print(sketchdata.Recogniser.default().predict(sys.argv[1], top=1)[0][0]); "
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["circle", "False"]


@pytest.mark.slow
def test_held_out_real_drawings_are_recognised() -> None:
    real = os.environ.get("SKETCHDATA_REAL_DATA")
    if not real:
        pytest.skip("SKETCHDATA_REAL_DATA names no folder of real drawings")
    right = count = 0
    recogniser = sketchdata.Recogniser.default()
    for path in sorted((Path(real) / "quickdraw" / "full" / "simplified").glob("*.ndjson"))[::4]:
        drawings = sketchdata.read(path)
        held = ranks(np.array([one.key_id for one in drawings], np.uint64), 0) % np.uint64(10) == 0
        kept = [one for one, is_held in zip(drawings, held, strict=True) if is_held][:10]
        right += sum(own[0][0] == one.word for own, one in zip(recogniser.predict(kept, top=1), kept, strict=True))
        count += len(kept)
    assert right / count > 0.35


def test_the_card_states_the_file_s_hash() -> None:
    assert default_network.SHA256 in NETWORK.with_suffix(".md").read_text()
