"""ONNX graphs give what torch gives, with the file and onnxruntime alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import orjson
import pytest
import torch
from click.testing import CliRunner

from sketchdata import __version__
from sketchdata.cli import exports
from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.raster import raster
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.codes import pack_bits
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import hash_file
from sketchdata.trainers import hashing, recognition
from sketchdata.training import onnx_export
from sketchdata.training.bitmaps import read_bitmaps
from sketchdata.training.encoder import (
    Architecture,
    SketchEncoder,
    encode,
    pictures_of,
    read_encoder,
    write_encoder,
)
from sketchdata.training.loader import Batch
from sketchdata.training.onnx_export import OPSETS, OUTPUTS, build_graph, export_run
from sketchdata.training.packed import pack, read_packed
from sketchdata.training.run_folder import MODEL, RECORD
from tests.batches import batch_of
from tests.bitmap_folders import bitmap_folder
from tests.trainings import CLASSES, EPOCHS, generated_dataset, loop, network

#: How far numbers may be apart, and how far from the threshold a bit must be to count.
NEAR = 1e-4
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated_dataset(tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="module")
def trained_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a short training of both branches."""
    out = tmp_path_factory.mktemp("trained")
    once = dict.fromkeys(EPOCHS, 1)
    hashing.run(hashing.Config(data=data, out=out, bits=12, code_epochs=1, **once), network(layers=2), loop())
    return out


@pytest.fixture(scope="module")
def exported(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what exporting that training returned."""
    return export_run(trained_run, tmp_path_factory.mktemp("exported") / "deep" / "model.onnx")


def some_run(folder: Path, activation: Any = "sigmoid", width: int = 9, **options: Any) -> Path:
    """Write the folder of a network that never learned, whose normalisation has seen some pictures."""
    torch.manual_seed(1)
    architecture = Architecture(
        network=network(**options), width=width, activation=activation, scale=1.7, classes=CLASSES
    )
    encoder = SketchEncoder(architecture)
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    folder.mkdir(parents=True)
    write_encoder(folder, encoder)
    (folder / RECORD).write_bytes(orjson.dumps({"trainer": "hashing", "classes": CLASSES}))
    return folder


def some_batch(trained: SketchEncoder, lengths: list[int], longest: int) -> Batch:
    """Return random pictures and points; what stands beyond a drawing's length is not 0, and must not matter."""
    random = torch.Generator().manual_seed(longest)
    size, channels = trained.view.size or 1, 4 if trained.view.channels == "strokes" else 1
    return Batch(
        indices=torch.arange(len(lengths)),
        labels=torch.zeros(len(lengths)),
        raster=torch.randint(0, 256, (len(lengths), channels, size, size), generator=random).to(torch.uint8),
        sequence=torch.randn(len(lengths), longest, 4, generator=random),
        lengths=torch.tensor(lengths),
    )


def answers(graph: Path | bytes, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
    """Ask onnxruntime for code, bits and scores."""
    session = onnxruntime.InferenceSession(graph)
    pictures = pictures_of(batch, torch.device("cpu"))
    given = {"raster": pictures, "sequence": batch.sequence, "lengths": batch.lengths}
    wanted = {value.name: given[value.name].numpy() for value in session.get_inputs()}
    return tuple(session.run(list(OUTPUTS), wanted))


def assert_same(found: tuple[npt.NDArray[Any], ...], trained: SketchEncoder, batch: Batch) -> None:
    code, bits, scores = found
    with torch.no_grad():
        own_code, own_scores = (tensor.numpy() for tensor in trained(batch))
    assert (code.dtype, bits.dtype, scores.dtype) == (np.float32, np.uint8, np.float32)
    np.testing.assert_allclose(code, own_code, atol=NEAR, rtol=0)
    np.testing.assert_allclose(scores, own_scores, atol=NEAR, rtol=1e-4)
    clear = np.abs(own_code - trained.threshold) > NEAR
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(bits[clear], (own_code >= trained.threshold)[clear])


# ---- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "opset", "options"),
    [
        ("sigmoid", 18, {"branch": "cnn", "size": 20}),
        ("identity", 20, {"branch": "rnn", "layers": 1}),
        ("sigmoid", 23, {"branch": "cr", "layers": 3, "hidden": 7}),
        ("cosine", 18, {"branch": "cr", "channels": "strokes"}),
    ],
)
def test_onnxruntime_gives_what_torch_gives_for_any_batch_and_any_lengths(
    activation: str, opset: int, options: dict[str, Any], tmp_path: Path
) -> None:
    run = some_run(tmp_path / "run", activation, **options)
    trained = read_encoder(run)
    content = build_graph(trained, {}, opset=opset).content
    graph = onnx.load_from_string(content)
    onnx.checker.check_model(graph, full_check=True)
    assert {entry.domain: entry.version for entry in graph.opset_import} == {"": opset}
    lengths = [[1], [6], [32, 1], [2, 2], [1, 9, 3, 1, 9, 4, 5], [1, 1, 1, 1, 1, 1, 1]]
    for own in lengths:
        for longest in (max(own), max(own) + 8):
            batch = some_batch(trained, own, longest)
            assert_same(answers(content, batch), trained, batch)


@pytest.mark.slow
def test_a_network_of_official_bitmaps_can_be_exported(tmp_path: Path) -> None:
    data, run, out = bitmap_folder(tmp_path / "bitmaps", 60), tmp_path / "run", tmp_path / "model.onnx"
    config = recognition.Config(data=data, out=run, width=8, loss="cel", **dict.fromkeys(EPOCHS, 1))
    recognition.run(config, network(branch="cnn", size=28), loop())
    found = export_run(run, out)
    assert found["inputs"] == {"raster": ["batch", 1, 28, 28]}
    assert "max_points" not in found["metadata"]
    trained, bitmaps = read_encoder(run), read_bitmaps(data, "train")
    batch = trained.view.batch(bitmaps, torch.arange(len(bitmaps)))
    assert_same(answers(out.read_bytes(), batch), trained, batch)


# ---- the file --------------------------------------------------------------------------------------------------------


def drawn(batch: DrawingBatch, metadata: dict[str, str]) -> dict[str, npt.NDArray[Any]]:
    """Make a graph's inputs as its metadata say, without torch."""
    pictures = raster(batch, size=int(metadata["size"]), line_width=int(metadata["line_width"]))
    rows = []
    for drawing in range(len(batch)):
        strokes = batch.points[batch.strokes[drawing] : batch.strokes[drawing + 1] + 1]
        xy = np.stack([batch.x, batch.y], 1)[strokes[0] : strokes[-1]].astype(np.float64)
        ends = np.isin(np.arange(strokes[0], strokes[-1]), strokes[1:] - 1)
        ways = np.diff(xy, axis=0, prepend=xy[:1]) / float(metadata["scale"])
        rows.append(np.column_stack([ways, ~ends, ends])[: int(metadata["max_points"])])
    sequence = np.zeros((len(rows), max(map(len, rows)), 4), np.float32)
    for own, place in zip(rows, sequence, strict=True):
        place[: len(own)] = own
    lengths = np.array([len(own) for own in rows])
    return {"raster": np.float32(pictures[:, None] / 255), "sequence": sequence, "lengths": lengths}


@pytest.mark.slow
def test_the_metadata_suffice_to_make_the_inputs_and_to_read_the_outputs(
    trained_run: Path, exported: dict[str, Any], data: Path
) -> None:
    session = onnxruntime.InferenceSession(exported["path"])
    metadata = session.get_modelmeta().custom_metadata_map
    inputs = drawn(next(open_dataset(data).batches("gallery")), metadata)
    code, bits, scores = session.run(list(OUTPUTS), inputs)
    trained, packed = read_encoder(trained_run), read_packed(data, "gallery")
    own = encode(trained, packed)
    assert np.abs(code - trained.threshold).min() > 1e-6
    np.testing.assert_array_equal(pack_bits(bits.astype(bool)), own.packed)
    assert scores.shape == (36, len(orjson.loads(metadata["classes"])))


@pytest.mark.slow
def test_the_snippet_of_the_documentation_gives_the_same_code(trained_run: Path, exported: dict[str, Any]) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/how-to/exports.md").read_text(), flags=re.DOTALL)
    place = Path(exported["path"]).parent
    done = subprocess.run([sys.executable, "-c", snippet], cwd=place, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    drawing = batch_of([[(10, 20), (240, 30), (120, 250)], [(5, 5), (60, 255)]])
    trained, packed = read_encoder(trained_run), pack([drawing], CLASSES)
    with torch.no_grad():
        code, scores = trained(trained.view.batch(packed, torch.arange(1)))
    expected = [CLASSES[int(scores.argmax())], *(str(int(bit)) for bit in code[0] >= 0.5)]
    assert done.stdout.split() == expected


@pytest.mark.slow
def test_the_metadata_are_complete(trained_run: Path, exported: dict[str, Any]) -> None:
    written = {entry.key: entry.value for entry in onnx.load(exported["path"]).metadata_props}
    assert written == exported["metadata"]
    assert written.pop("scale") == repr(read_encoder(trained_run).view.scale)
    assert written == {
        "classes": '["cat","house","star"]',
        "bits": "12",
        "threshold": "0.5",
        "activation": "sigmoid",
        "size": "16",
        "line_width": "1",
        "channels": "ink",
        "max_points": "32",
        "trainer": "hashing",
        "model_sha256": hash_file(trained_run / MODEL, "sha256"),
        "sketchdata": __version__,
    }
    assert exported["inputs"] == {
        "raster": ["batch", 1, 16, 16],
        "sequence": ["batch", "length", 4],
        "lengths": ["batch"],
    }
    assert exported["outputs"] == {"code": ["batch", 12], "bits": ["batch", 12], "scores": ["batch", 3]}


@pytest.mark.slow
def test_the_file_names_no_place_of_this_machine(exported: dict[str, Any]) -> None:
    content = Path(exported["path"]).read_bytes()
    for place in (str(ROOT), "site-packages", str(Path(exported["path"]).parent), "fusion.py"):
        assert place.encode() not in content


# ---- what does not work ----------------------------------------------------------------------------------------------


def test_a_folder_without_a_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match="is not the folder of a training"):
        export_run(tmp_path, tmp_path / "model.onnx")


def test_an_unfinished_training_is_refused(tmp_path: Path) -> None:
    run = some_run(tmp_path / "run")
    (run / MODEL).unlink()
    with pytest.raises(SketchDataError, match="did not finish: continue with --resume"):
        export_run(run, tmp_path / "model.onnx")


def test_a_folder_as_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder: give the name of a file"):
        export_run(some_run(tmp_path / "run"), tmp_path)


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    run = some_run(tmp_path / "run", branch="rnn")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/model\.onnx cannot be written: .*: choose another --out"):
        export_run(run, tmp_path / "file" / "model.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_what_to_install(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = read_encoder(some_run(tmp_path / "run", branch="rnn"))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"needs {package}, .* pip install 'sketchdata\[onnx\]'"):
        build_graph(trained, {})


@pytest.mark.slow
def test_a_graph_that_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = onnx_export._gru_inputs

    def torchs_order(gru: torch.nn.GRU, layer: int) -> dict[str, torch.Tensor]:
        inputs = right(gru, layer)
        update, reset, new = inputs["R"].chunk(3, 1)
        return {**inputs, "R": torch.cat([reset, update, new], 1)}

    monkeypatch.setattr(onnx_export, "_gru_inputs", torchs_order)
    out = tmp_path / "model.onnx"
    with pytest.raises(SketchDataError, match=r"differ from torch's by up to .* nothing was written"):
        export_run(some_run(tmp_path / "run", branch="rnn", hidden=32), out)
    assert not out.exists()


# ---- the command -----------------------------------------------------------------------------------------------------


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "sketchdata", "export", "onnx", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_command_offers_the_opsets_that_were_tried() -> None:
    (opset,) = (param for param in exports.export_onnx.params if param.name == "opset")
    assert isinstance(opset.type, click.IntRange)
    assert (opset.type.min, opset.type.max) == OPSETS


@pytest.mark.slow
def test_the_command_writes_the_same_bytes_and_tells_what_is_in_the_file(
    trained_run: Path, exported: dict[str, Any], tmp_path: Path
) -> None:
    done = command(trained_run, "--out", tmp_path / "model.onnx", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert orjson.loads(done.stdout) == {**exported, "path": str(tmp_path / "model.onnx")}
    assert hash_file(tmp_path / "model.onnx", "sha256") == exported["sha256"]


@pytest.mark.slow
def test_the_command_says_what_is_in_the_file(tmp_path: Path) -> None:
    run, out = some_run(tmp_path / "run", branch="rnn"), tmp_path / "model.onnx"
    done = CliRunner().invoke(exports.export_onnx, [str(run), "--out", str(out)])
    assert done.stdout.splitlines()[1:] == [
        "inputs: sequence (batch, length, 4), lengths (batch)",
        "outputs: code (batch, 9), bits (batch, 9), scores (batch, 3)",
    ]
