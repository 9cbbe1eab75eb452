"""A branch of a network of drawings and photos as one ONNX graph, for programs without torch.

Input, with any B:

    picture   (B, 3, S, S) uint8, red, green and blue; of drawings black lines on white

Outputs of a network that gives vectors:

    vector    (B, D) float32

Of one that gives codes:

    value     (B, D) float32, in (0, 1)
    bits      (B, D) uint8, 1 where the value is at least 0.5
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import torch
from torch import Tensor

from sketchdata.cross_domain.dataset import DRAWINGS
from sketchdata.cross_domain.encoder import SpaceEncoder, read_space
from sketchdata.training.onnx_export import OPSETS, Exportable, OnnxGraph, checked_graph, write_graph

VECTOR_OUTPUTS, CODE_OUTPUTS = ("vector",), ("value", "bits")


class _Branch(Exportable):
    def __init__(self, encoder: SpaceEncoder, domain: str) -> None:
        super().__init__()
        self.encoder, self.domain = encoder, domain
        self.outputs = CODE_OUTPUTS if encoder.bits else VECTOR_OUTPUTS

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        if not self.encoder.bits:
            return (self.encoder(picture, self.domain),)
        branch = self.encoder.branch(self.domain)
        value = branch.values(branch.attended(self.encoder.features(picture, self.domain)))
        return value, (value >= 0.5).to(torch.uint8)

    def examples(self, batch: int, length: int) -> dict[str, Tensor]:
        random, size = torch.Generator().manual_seed(batch), self.encoder.side(self.domain)
        return {"picture": torch.randint(0, 256, (batch, 3, size, size), generator=random, dtype=torch.uint8)}

    def axes(self, batch: Any, length: Any) -> dict[str, dict[int, Any]]:
        return {"picture": {0: batch}}


def build_space_graph(
    encoder: SpaceEncoder, origin: Mapping[str, str], *, domain: str = DRAWINGS, opset: int = OPSETS[0]
) -> OnnxGraph:
    """Make the graph of a branch, and check that onnxruntime computes what torch does.

    Args:
        encoder: The network.
        origin: Further metadata, where the network comes from.
        domain: `drawings` or `photos`.
        opset: Of ONNX.

    Raises:
        ConfigError: A package is missing, or the network is too large for one file.
        SketchDataError: The network has something that cannot be exported.
    """
    metadata = {
        "classes": orjson.dumps(encoder.classes).decode(),
        "domain": domain,
        "bits" if encoder.bits else "width": encoder.width,
        "size": encoder.side(domain),
        "line_width": encoder.architecture.line_width,
    }
    return checked_graph(_Branch(encoder.cpu().float().eval(), domain), {**metadata, **origin}, opset=opset)


def export_space(run: Path, out: Path, domain: str, *, opset: int = OPSETS[0]) -> dict[str, Any]:
    """Write a branch of the network of a finished training's folder as one ONNX file.

    Returns and raises what `training.onnx_export.export_run` does.
    """
    return write_graph(run, out, read_space, partial(build_space_graph, domain=domain), opset=opset)
