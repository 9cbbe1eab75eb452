"""Files of tensors: safetensors with JSON facts, as sketchdata writes them, and weights of other programs.

Reading never executes code from a file.
"""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import replacing
from sketchdata.storage.records import Fields, decode_fields

SUFFIX = ".safetensors"
_FACTS = "facts"
#: Errors of torch for files that are not weights or are truncated.
_DAMAGE = (RuntimeError, ValueError, TypeError, LookupError, EOFError, OSError, AttributeError, zipfile.BadZipFile)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write named tensors and JSON facts to a safetensors file, whole or not at all.

    Raises:
        SketchDataError: The file cannot be written, for example because the disk is full; an existing file is kept.
    """
    # Copies on the CPU: on a GPU, the weights of a GRU share memory, which the format does not allow.
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # Only one entry of metadata: the order of several, and thus the bytes, would not be reproducible.
    content = save(whole, {_FACTS: orjson.dumps(facts).decode()})
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise SketchDataError(
            f"{path} ({len(content) / 1e6:,.1f} MB) cannot be written: {error.strerror or error}; what was written "
            "before is kept: make room and continue with --resume"
        ) from error


def read_tensors(path: Path, kind: type[Mapping[str, Any]] = dict[str, Any]) -> tuple[dict[str, Tensor], Fields]:
    """Return the tensors, on the CPU, and the facts of `write_tensors`, checked against a TypedDict.

    Raises:
        SketchDataError: The file is missing, damaged, or of another program.
    """
    if not path.is_file():
        raise SketchDataError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            facts = decode_fields((file.metadata() or {})[_FACTS].encode(), kind, path, "train again in another --out")
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - no dict
    except (SafetensorError, OSError, KeyError) as error:
        raise SketchDataError(f"{path} is not a whole safetensors file of sketchdata: {error}") from error


def read_facts(path: Path) -> Fields:
    """Return the facts of `write_tensors` without reading the tensors.

    Raises:
        SketchDataError: The file is missing, damaged, or of another program.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return decode_fields((file.metadata() or {})[_FACTS].encode(), dict[str, Any], path)
    except (SafetensorError, OSError, KeyError) as error:
        raise SketchDataError(f"{path} is not a whole safetensors file of sketchdata: {error}") from error


def read_state_dict(path: Path, data: bytes | None = None) -> dict[str, Tensor]:
    """Return a network's weights from safetensors or a file of `torch.save`: {name: finite tensor}, on the CPU.

    A state dict may be the entry `state_dict` of the file; the prefix `module.` of `nn.DataParallel` is removed.

    Args:
        path: The file; the suffix `.safetensors` selects that format.
        data: Its content, if it was already read.

    Raises:
        ConfigError: The file is missing, damaged, would execute code, or has something else.
    """
    if data is None:
        if not path.is_file():
            raise ConfigError(f"there are no weights at {path}")
        data = path.read_bytes()
    found = _read_safetensors(path, data) if path.suffix == SUFFIX else _read_torch(path, data)
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise ConfigError(f"{path} holds {type(found).__name__}, where a state dict of named tensors was expected")
    if broken := [name for name, value in found.items() if not torch.isfinite(value).all()]:
        raise ConfigError(f"{path} holds values that are not finite, in {broken[0]}: its training failed")
    return {str(name).removeprefix("module."): value for name, value in found.items()}


def _read_safetensors(path: Path, data: bytes) -> Any:
    try:
        return load(data)
    except SafetensorError as error:
        raise ConfigError(f"{path} cannot be read as safetensors: {error}; fetch it again") from error


def _read_torch(path: Path, data: bytes) -> Any:
    try:
        # torch warns of pickles of other programs; the result is checked instead.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's message advises to trust the file.
        raise ConfigError(
            f"{path} does not hold weights alone: it is damaged, or contains code, which is refused"
        ) from error
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ConfigError(f"{path} cannot be read as weights of torch: {reason}; fetch it again") from error
