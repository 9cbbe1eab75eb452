"""Weights of torchvision and others, read from a file of the user's into a model of the table."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from sketchdata.errors import ConfigError

#: Parts of torchvision's models that ours leave out.
_LEFT_OUT = ("AuxLogits.",)
_SHOWN = 3


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict from safetensors, or from a file of torch.save, of which nothing is ever run.

    Raises:
        ConfigError: It is absent, is neither, or holds something else than named tensors.
    """
    if not path.is_file():
        raise ConfigError(f"there are no weights at {path}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings():
            # It warns of pickles that torch.save does not write, and then refuses them or not.
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise ConfigError(f"{path} cannot be read as weights without running code of its own: {reason}") from error
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ConfigError(f"{path} holds {type(found).__name__}, where a dictionary of named tensors was expected")
    return {str(name): value for name, value in found.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{path} cannot be read as safetensors: {error}") from error


def load_weights(model: nn.Module, weights: dict[str, Tensor], source: str) -> list[str]:
    """Load weights into a model, all of them but a classifier of other classes.

    A first layer for three channels becomes one for grey pictures by adding up what it has for red, green and blue.
    A classifier of another number of classes is left as it was initialised.

    Args:
        model: Of the table.
        weights: {torchvision's name: tensor}.
        source: Where they come from, for the error.

    Returns:
        The names that were left out for another number of classes.

    Raises:
        ConfigError: Names or shapes do not fit the model.
    """
    own = model.state_dict()
    given = {name: value for name, value in weights.items() if not name.startswith(_LEFT_OUT)}
    # torch.save of old left out the batch counters, which nothing depends on.
    missing = sorted(name for name in own if name not in given and not name.endswith("num_batches_tracked"))
    strange = sorted(set(given) - set(own))
    if missing or strange:
        raise ConfigError(
            f"{source} is of another model: it lacks {_some(missing)}, and the model has no {_some(strange)}"
        )
    *_, last = (name.rpartition(".")[0] for name in own)
    left_out = []
    for name, value in given.items():
        if value.shape == own[name].shape:
            own[name] = value
        elif value.ndim == 4 and own[name].shape == (value.shape[0], 1, *value.shape[2:]) and value.shape[1] == 3:
            own[name] = value.sum(1, keepdim=True)
        elif name.rpartition(".")[0] == last and value.shape[1:] == own[name].shape[1:]:
            left_out.append(name)
        else:
            shapes = f"{tuple(value.shape)} where {tuple(own[name].shape)} was expected"
            raise ConfigError(f"{source} is of another model: {name} has shape {shapes}")
    model.load_state_dict(own)
    return left_out


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "nothing"
