"""A trained network as one ONNX graph, for programs without torch.

Inputs of the branches that the network has, with any B and L:

    raster    (B, C, S, S) float32, ink 1 on background 0
    sequence  (B, L, 4) float32
    lengths   (B,) int64, 1 to L

Outputs:

    code      (B, D) float32, the values of the code layer
    bits      (B, D) uint8, 1 where the value reaches the threshold
    scores    (B, classes) float32

The file's metadata say how the inputs are made. torch's exporter does not support packed sequences, so the GRU is
written as ONNX's own, with `sequence_lens`. Source: github.com/onnx/onnx, docs/Operators.md, "GRU".
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import numpy as np
import orjson
import torch
from torch import Tensor, nn

from sketchdata import __version__
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import hash_file, replacing
from sketchdata.training.encoder import RecurrentEncoder, SketchEncoder, read_encoder
from sketchdata.training.run_folder import MODEL, read_record

T = TypeVar("T")
#: What torch's exporter writes without converting, up to what was tried.
OPSETS = (18, 23)
OUTPUTS = ("code", "bits", "scores")

#: A protobuf message, and so an ONNX file in one piece, is smaller than 2 GiB.
_MOST_BYTES = (1 << 31) - (1 << 20)
#: B and L of the inputs with which the graph is made, and with which it is tried.
_MADE_WITH, _TRIED_WITH = (2, 5), (3, 11)
#: Largest error of the graph's outputs, as a share of the largest one.
_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxGraph:
    """The content of a checked ONNX file, its metadata, and {name: shape}, where an axis of any length has a name."""

    content: bytes
    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]
    metadata: dict[str, str]


def export_run(run: Path, out: Path, *, opset: int = OPSETS[0]) -> dict[str, Any]:
    """Write the network of a finished training's folder as one ONNX file.

    Returns:
        Path, bytes, sha256 and opset, inputs and outputs by name, and the metadata, as plain values.

    Raises:
        ConfigError: There can be no such file or opset, a package is missing, or the network is too large for one file.
        SketchDataError: The training is not whole, the network cannot be exported, or the file cannot be written.
    """
    return write_graph(run, out, read_encoder, build_graph, opset=opset)


def write_graph(
    run: Path, out: Path, read: Callable[[Path], T], build: Callable[..., OnnxGraph], *, opset: int
) -> dict[str, Any]:
    """Write the graph that `build` makes of the network that `read` takes from a training's folder.

    Returns and raises what `export_run` does.
    """
    # Before anything is computed, which takes up to a minute.
    if out.is_dir():
        raise ConfigError(f"--out {out} is a folder: give the name of a file, such as {out / 'model.onnx'}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror or error}: choose another --out") from error
    record = read_record(run)
    trained = read(run)
    origin = {"trainer": str(record["trainer"]), "model_sha256": hash_file(run / MODEL, "sha256")}
    graph = build(trained, origin, opset=opset)
    try:
        with replacing(out) as file:
            file.write(graph.content)
    except OSError as error:
        size = f"{len(graph.content) / 1e6:,.1f} MB"
        raise SketchDataError(f"{out} ({size}) cannot be written: {error.strerror or error}") from error
    return {
        "path": str(out),
        "bytes": len(graph.content),
        "sha256": hash_file(out, "sha256"),
        "opset": opset,
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "metadata": graph.metadata,
    }


def build_graph(trained: SketchEncoder, origin: Mapping[str, str], *, opset: int = OPSETS[0]) -> OnnxGraph:
    """Make a network's graph with the further metadata `origin`, and check that onnxruntime computes what torch does.

    Raises:
        ConfigError: A package is missing, or the network is too large for one file.
        SketchDataError: The network has something that cannot be exported.
    """
    network = _Network(trained).eval()
    return checked_graph(network, {**_metadata(trained, network), **origin}, opset=opset)


class Exportable(nn.Module):
    """A forward pass that becomes a graph: its outputs have names, and so have the axes of its inputs."""

    outputs: Sequence[str]

    def examples(self, batch: int, length: int) -> dict[str, Tensor]:
        """Return inputs of `forward` by name."""
        raise NotImplementedError

    def axes(self, batch: Any, length: Any) -> dict[str, dict[int, Any]]:
        """Return {input: {axis: its length}} of the axes that may have any length."""
        raise NotImplementedError


def checked_graph(network: Exportable, metadata: Mapping[str, Any], *, opset: int) -> OnnxGraph:
    """Make a graph of a forward pass, and check that onnxruntime computes what torch does.

    Raises what `build_graph` does.
    """
    try:
        onnx, _, runtime = (importlib.import_module(name) for name in ("onnx", "onnxscript", "onnxruntime"))
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the ONNX export needs {error.name}, which is not installed: pip install 'sketchdata[onnx]'"
        ) from error
    if not hasattr(torch.onnx, "ops"):
        raise ConfigError(f"the ONNX export needs torch 2.8 or later, not {torch.__version__}: pip install -U torch")
    size = sum(tensor.nbytes for tensor in network.state_dict().values())
    if size > _MOST_BYTES:
        raise ConfigError(f"a network of {size / 1e9:,.1f} GB is too large for one ONNX file, which holds 2.1 GB")
    model = _translate(network, opset)
    metadata = {key: str(value) for key, value in metadata.items()} | {"sketchdata": __version__}
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise SketchDataError(f"the network came out as a wrong graph: {error}") from error
    content = model.SerializeToString(deterministic=True)
    _compare(runtime, content, network)
    return OnnxGraph(
        content=content,
        inputs={value.name: _shape(value) for value in model.graph.input},
        outputs={value.name: _shape(value) for value in model.graph.output},
        metadata=metadata,
    )


def _metadata(trained: SketchEncoder, network: _Network) -> dict[str, Any]:
    view = trained.view
    values: dict[str, Any] = {
        "classes": orjson.dumps(trained.classes).decode(),
        "bits": trained.width,
        "threshold": trained.threshold,
        "activation": network.fusion.activation,
    }
    if view.size is not None:
        values |= {"size": view.size, "line_width": view.line_width, "channels": view.channels}
    if view.max_points is not None:
        values |= {"max_points": view.max_points, "scale": repr(view.scale)}
    return values


class _Network(Exportable):
    """A trained network's forward pass, with ONNX's GRU while it is exported and torch's otherwise."""

    outputs = OUTPUTS

    def __init__(self, trained: SketchEncoder) -> None:
        super().__init__()
        self.fusion: Any = copy.deepcopy(trained.fusion).cpu().float()
        self.threshold, self.size = trained.threshold, trained.view.size
        if isinstance(self.fusion.points, RecurrentEncoder):
            self.fusion.points = _OnnxRecurrent(self.fusion.points)

    def forward(
        self, raster: Tensor | None = None, sequence: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        code, scores = self.fusion(raster, sequence, lengths)
        return code, (code >= self.threshold).to(torch.uint8), scores

    def examples(self, batch: int, length: int) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(batch)
        found = {}
        if self.size is not None:
            channels = next(
                layer.in_channels for layer in self.fusion.picture.modules() if isinstance(layer, nn.Conv2d)
            )
            ink = torch.rand(batch, channels, self.size, self.size, generator=random) < 0.05
            found["raster"] = ink.float()
        if self.fusion.points is not None:
            found["sequence"] = torch.randn(batch, length, self.fusion.points.columns, generator=random)
            # The longest, the shortest, and some between.
            found["lengths"] = torch.linspace(length, 1, batch).long()
        return found

    def axes(self, batch: Any, length: Any) -> dict[str, dict[int, Any]]:
        return {"raster": {0: batch}, "sequence": {0: batch, 1: length}, "lengths": {0: batch}}


class _OnnxRecurrent(nn.Module):
    """A `RecurrentEncoder` that becomes a chain of ONNX's GRU nodes."""

    def __init__(self, encoder: RecurrentEncoder) -> None:
        super().__init__()
        self.encoder, self.feature_size, self.columns = encoder, encoder.feature_size, encoder.gru.input_size
        for layer in range(encoder.gru.num_layers):
            for name, tensor in _gru_inputs(encoder.gru, layer).items():
                self.register_buffer(f"{name}{layer}", tensor)

    def forward(self, sequence: Tensor, lengths: Tensor) -> Tensor:
        if not torch.onnx.is_in_onnx_export():
            found: Tensor = self.encoder(sequence, lengths)
            return found
        hidden = self.encoder.gru.hidden_size
        rows, shorter = sequence.transpose(0, 1), lengths.to(torch.int32)
        steps, batch = rows.shape[0], rows.shape[1]
        state = rows
        for layer in range(self.encoder.gru.num_layers):
            every, state = torch.onnx.ops.symbolic_multi_out(
                "GRU",
                (rows, *(getattr(self, f"{name}{layer}") for name in ("W", "R", "B")), shorter),
                # The reset gate after the product with the state: so torch computes it, and ONNX by default does not.
                {"direction": "bidirectional", "hidden_size": hidden, "linear_before_reset": 1},
                dtypes=(torch.float32, torch.float32),
                shapes=((steps, 2, batch, hidden), (2, batch, hidden)),
            )
            rows = every.transpose(1, 2).reshape(steps, batch, 2 * hidden)
        return torch.cat([state[0], state[1]], 1)


def _gru_inputs(gru: nn.GRU, layer: int) -> dict[str, Tensor]:
    """Return a layer's W (2, 3H, I), R (2, 3H, H) and B (2, 6H), forward and backward, as ONNX wants them."""

    def of(name: str, direction: str) -> Tensor:
        # torch's order of the gates is reset, update, new; ONNX's is update, reset, hidden.
        reset, update, new = getattr(gru, f"{name}_l{layer}{direction}").detach().chunk(3)
        return torch.cat([update, reset, new])

    directions = ("", "_reverse")
    return {
        "W": torch.stack([of("weight_ih", direction) for direction in directions]),
        "R": torch.stack([of("weight_hh", direction) for direction in directions]),
        "B": torch.stack([torch.cat([of("bias_ih", each), of("bias_hh", each)]) for each in directions]),
    }


def _translate(network: Exportable, opset: int) -> Any:
    examples = network.examples(*_MADE_WITH)
    axes = network.axes(torch.export.Dim("batch"), torch.export.Dim("length"))
    with _silence():
        try:
            program = torch.onnx.export(
                network,
                kwargs=examples,
                dynamo=True,
                opset_version=opset,
                input_names=list(examples),
                output_names=list(network.outputs),
                dynamic_shapes={name: axes[name] for name in examples},
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise SketchDataError(f"torch cannot export this network to ONNX: {reason}") from error
    # Without a file, the exporter returns the program.
    model: Any = cast("Any", program).model_proto
    found = {entry.domain: entry.version for entry in model.opset_import}
    if found.get("") != opset:
        raise SketchDataError(f"torch wrote opset {found.get('')} instead of {opset}: use --opset {found.get('')}")
    # They name the files of this machine, and so would differ from one to another.
    for node in [*model.graph.node, *(node for function in model.functions for node in function.node)]:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer]:
        del value.metadata_props[:]
        value.doc_string = ""
    del model.graph.metadata_props[:], model.metadata_props[:]
    return model


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    # The exporter's log is of no use to the user: the graph is checked afterwards.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def _shape(value: Any) -> list[int | str]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


@torch.no_grad()
def _compare(runtime: ModuleType, content: bytes, network: Exportable) -> None:
    # For another batch and another length than the graph was made with.
    examples = network.examples(*_TRIED_WITH)
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    answers = session.run(list(network.outputs), {name: value.numpy() for name, value in examples.items()})
    for found, wanted in zip(answers, network(**examples), strict=True):
        own = wanted.numpy()
        # Of a value near its threshold, the bit may be either.
        if own.dtype == np.uint8:
            continue
        off = float(np.abs(found - own).max(initial=0))
        if not off <= _TOLERANCE * max(1.0, float(np.abs(own).max(initial=0))):
            raise SketchDataError(
                f"onnxruntime's outputs differ from torch's by up to {off:.2g}, so the graph is wrong and nothing was "
                "written: try another --opset, or another version of torch"
            )
