"""The networks: a table of image classifiers, the recurrent branch, and the network that fuses both.

    model = build("resnet18", classes=345, channels=1)
    model(images)          # (B, 345) scores
    model.extract(images)  # (B, model.feature_size), what the classifier sees

Parameters have torchvision's names and shapes, so that its weights load where a user has the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from sketchdata.errors import ConfigError
from sketchdata.models.alexnet import TORCHVISION, AlexNet
from sketchdata.models.densenet import DenseNet
from sketchdata.models.inception import InceptionV3
from sketchdata.models.mobilenet import MobileNetV1, MobileNetV2
from sketchdata.models.resnet import RESNET_18, RESNET_34, RESNET_50, BasicBlock, Bottleneck, ResNet
from sketchdata.models.sketch_a_net import SketchANet
from sketchdata.models.small import SmallNetwork
from sketchdata.models.thin import ThinResNet
from sketchdata.models.vgg import VGG, VGG_11, VGG_16


@dataclass(frozen=True)
class ModelEntry:
    """A row of the table.

    Attributes:
        make: (classes, channels) → the network.
        size: Side in pixels of the pictures it was made for.
        least: Side of the smallest pictures it takes.
    """

    make: Callable[..., nn.Module]
    size: int = 224
    least: int = 32


MODELS: dict[str, ModelEntry] = {
    "alexnet": ModelEntry(AlexNet, least=63),
    "alexnet-torchvision": ModelEntry(partial(AlexNet, widths=TORCHVISION), least=63),
    "densenet121": ModelEntry(DenseNet),
    "inception_v3": ModelEntry(InceptionV3, size=299, least=75),
    "mobilenet_v1": ModelEntry(MobileNetV1),
    "mobilenet_v2": ModelEntry(MobileNetV2),
    "resnet18": ModelEntry(partial(ResNet, block=BasicBlock, blocks=RESNET_18)),
    "resnet34": ModelEntry(partial(ResNet, block=BasicBlock, blocks=RESNET_34)),
    "resnet50": ModelEntry(partial(ResNet, block=Bottleneck, blocks=RESNET_50)),
    "sketch-a-net": ModelEntry(SketchANet, size=225, least=81),
    "small": ModelEntry(SmallNetwork, size=32, least=16),
    "thin": ModelEntry(ThinResNet, size=48, least=16),
    "vgg11": ModelEntry(partial(VGG, groups=VGG_11)),
    "vgg16": ModelEntry(partial(VGG, groups=VGG_16)),
}

_TIMM = "timm:"


def build(name: str, classes: int, channels: int = 3) -> Any:
    """Return a new model with random weights; it has `feature_size` and `extract`.

    Args:
        name: One of MODELS, or `timm:NAME` where timm is installed.
        classes: Number of classes L.
        channels: Of the pictures: 1 of ink, 3 of colours, 4 of strokes.

    Raises:
        ConfigError: There is no such model, or timm is not installed.
    """
    if name.startswith(_TIMM):
        return _build_by_timm(name.removeprefix(_TIMM), classes, channels)
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}: choose one of {', '.join(MODELS)}, or timm:NAME")
    return MODELS[name].make(classes=classes, channels=channels)


def _build_by_timm(name: str, classes: int, channels: int) -> Any:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ConfigError(f"{_TIMM}{name} needs timm, which is not installed: pip install timm") from error
    except (ImportError, RuntimeError) as error:
        # Its torchvision may be made for another torch.
        raise ConfigError(f"{_TIMM}{name} needs timm, which cannot be imported: {error}") from error
    from sketchdata.models.timm_model import TimmModel

    try:
        return TimmModel(timm.create_model(name, num_classes=classes, in_chans=channels))
    except RuntimeError as error:
        raise ConfigError(f"timm has no model {name!r}: {error}") from error
