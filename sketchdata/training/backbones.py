"""The backbones: a table of image classifiers, our own and those of other packages.

model = build("resnet18", classes=345, channels=1)
model(images)          # (B, 345) scores
model.extract(images)  # (B, model.feature_size), the classifier's input
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from sketchdata.errors import ConfigError
from sketchdata.training.networks import (
    ALEXNET_TORCHVISION,
    DENSENET_161,
    DENSENET_169,
    DENSENET_201,
    RESNET_18,
    RESNET_34,
    RESNET_50,
    RESNET_152,
    VGG,
    VGG_11,
    VGG_16,
    AlexNet,
    BasicBlock,
    Bottleneck,
    DenseNet,
    InceptionV3,
    MobileNetV1,
    MobileNetV2,
    PictureNetwork,
    ResNet,
    SketchANet,
    SmallNetwork,
    ThinResNet,
)


class TimmModel(PictureNetwork):
    """Wrap a classifier of timm.

    Args:
        model: What `timm.create_model` returned.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.feature_size = int(model.head_hidden_size)

    def maps(self, images: Tensor) -> Tensor:
        """Return the last layer: (B, channels, S, S) float32 → (B, C, H, W), or (B, tokens, C) of a transformer."""
        found: Tensor = self.model.forward_features(images)
        return found

    def pool(self, maps: Tensor) -> Tensor:
        """Return the classifier's input: (B, C, H, W) or (B, tokens, C) → (B, feature_size)."""
        found: Tensor = self.model.forward_head(maps, pre_logits=True)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores."""
        found: Tensor = self.model(images)
        return found


#: Blocks of EfficientNet-Lite0 whose maps have at least a 16th of the picture's side.
_LITE_LOWER = 11


class EfficientNetLite0(PictureNetwork):
    """EfficientNet-Lite0 of the package efficientnet-lite-pytorch: no sigmoid, no squeeze-and-excitation.

    Source: Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019.

    Args:
        classes: Number of classes L.
        channels: Channels of the input.

    Raises:
        ConfigError: The package is not installed.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ModuleNotFoundError as error:
            raise ConfigError(_not_installed("efficientnet_lite0", "efficientnet-lite-pytorch")) from error
        super().__init__()
        self.model = EfficientNet.from_name("efficientnet-lite0", in_channels=channels, num_classes=classes)
        self.feature_size = 1280

    def maps(self, images: Tensor) -> Tensor:
        """Return the last maps: (B, channels, S, S) float32, S ≥ 32 → (B, 1280, H, W)."""
        found: Tensor = self.model.extract_features(images)
        return found

    def upper_layers(self) -> list[nn.Module]:
        """Return the last five of 16 blocks, and the last convolution with its normalisation and activation."""
        model = self.model
        return [*model._blocks[_LITE_LOWER:], model._conv_head, model._bn1, model._swish]

    def lower(self, images: Tensor) -> Tensor:
        """Return the maps of the first eleven blocks: (B, channels, S, S) float32 → (B, 112, S / 16, S / 16)."""
        model = self.model
        x = model._swish(model._bn0(model._conv_stem(images)))
        for block in model._blocks[:_LITE_LOWER]:
            x = block(x)
        found: Tensor = x
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores."""
        found: Tensor = self.model._fc(self.model._dropout(self.extract(images)))
        return found


#: Image encoders of transformers, and what each needs besides its configuration: DINO's ViT comes without a pooling
#: layer.
TRANSFORMERS_TYPES: Mapping[str, Mapping[str, Any]] = {
    "clip_vision_model": {},
    "dinov2": {},
    "dinov2_with_registers": {},
    "dinov3_vit": {},
    "vit": {"add_pooling_layer": False},
}


class TransformersModel(PictureNetwork):
    """An image encoder of transformers behind a 1 × 1 convolution that gives it three normalised channels.

    Args:
        config: The encoder's configuration, as its `to_json_string` writes it.
        classes: Number of classes L.
        channels: Channels of the input.

    Raises:
        ConfigError: transformers is not installed, or has no such encoder.
    """

    def __init__(self, config: Mapping[str, Any], classes: int, channels: int) -> None:
        try:
            from transformers import AutoConfig, AutoModel
        except ModuleNotFoundError as error:
            raise ConfigError(_not_installed(TRANSFORMERS, "transformers")) from error
        super().__init__()
        self.config = dict(config)
        kind = self.config["model_type"]
        self.feature_size = int(self.config["hidden_size"])
        self.input = nn.Conv2d(channels, 3, 1)
        self.model = AutoModel.from_config(AutoConfig.for_model(**self.config), **TRANSFORMERS_TYPES[kind])
        for name, parameter in self.model.named_parameters():
            # It replaces masked patches, and no patch is masked here.
            if name.endswith("mask_token"):
                parameter.requires_grad_(False)
        self.of_clip = kind == "clip_vision_model"
        self.takes_sizes = kind in ("clip_vision_model", "vit")
        self.classifier = nn.Linear(self.feature_size, classes)

    @property
    def map_channels(self) -> int:
        """0: it has tokens, and the class token is the feature."""
        return 0

    def extract(self, images: Tensor) -> Tensor:
        """Return the class token: (B, channels, S, S) float32, S at least the patch size → (B, feature_size)."""
        other_size = self.takes_sizes and images.shape[-1] != self.config["image_size"]
        given = {"interpolate_pos_encoding": True} if other_size else {}
        found = self.model(pixel_values=self.input(images), **given)
        # Only CLIP normalises the token after the last layer's output.
        token: Tensor = found.pooler_output if self.of_clip else found.last_hidden_state[:, 0]
        return token


def _not_installed(backbone: str, package: str) -> str:
    return f"the backbone {backbone} needs {package}, which is not installed: pip install 'sketchdata[pretrained]'"


@dataclass(frozen=True)
class ModelEntry:
    """A row of the table.

    Attributes:
        make: (classes, channels) → the network.
        size: Side in pixels of the pictures it was made for.
        least: Side of the smallest pictures it takes.
        mean: What published weights expect to be taken from red, green and blue in 0..1.
        std: What they expect the rest to be divided by.
    """

    make: Callable[..., PictureNetwork]
    size: int = 224
    least: int = 32
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


MODELS: dict[str, ModelEntry] = {
    "alexnet": ModelEntry(AlexNet, least=63),
    "alexnet-torchvision": ModelEntry(partial(AlexNet, widths=ALEXNET_TORCHVISION), least=63),
    "densenet121": ModelEntry(DenseNet),
    "densenet161": ModelEntry(partial(DenseNet, blocks=DENSENET_161, growth=48)),
    "densenet169": ModelEntry(partial(DenseNet, blocks=DENSENET_169)),
    "densenet201": ModelEntry(partial(DenseNet, blocks=DENSENET_201)),
    # TensorFlow's weights, which know no channels' means.
    "efficientnet_lite0": ModelEntry(EfficientNetLite0, mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
    "inception_v3": ModelEntry(InceptionV3, size=299, least=75, mean=(0.5,) * 3, std=(0.5,) * 3),
    "mobilenet_v1": ModelEntry(MobileNetV1),
    "mobilenet_v2": ModelEntry(MobileNetV2),
    "resnet18": ModelEntry(partial(ResNet, block=BasicBlock, blocks=RESNET_18)),
    "resnet34": ModelEntry(partial(ResNet, block=BasicBlock, blocks=RESNET_34)),
    "resnet50": ModelEntry(partial(ResNet, block=Bottleneck, blocks=RESNET_50)),
    "resnet152": ModelEntry(partial(ResNet, block=Bottleneck, blocks=RESNET_152)),
    "sketch-a-net": ModelEntry(SketchANet, size=225, least=81),
    "small": ModelEntry(SmallNetwork, size=32, least=16),
    "thin": ModelEntry(ThinResNet, size=48, least=16),
    "vgg11": ModelEntry(partial(VGG, groups=VGG_11)),
    "vgg16": ModelEntry(partial(VGG, groups=VGG_16)),
}

TRANSFORMERS = "transformers"
_TIMM = "timm:"


def build(name: str, classes: int, channels: int = 3, config: Mapping[str, Any] | None = None) -> PictureNetwork:
    """Return a new model with random weights; it has `feature_size` and `extract`.

    Args:
        name: One of MODELS, `timm:NAME` where timm is installed, or `transformers`.
        classes: Number of classes L.
        channels: Channels of the pictures: 1 ink, 3 colours, 4 strokes.
        config: Configuration of an image encoder of transformers.

    Raises:
        ConfigError: The model does not exist, or the package that has it is not installed.
    """
    if name == TRANSFORMERS and config is not None:
        return TransformersModel(config, classes, channels)
    if name.startswith(_TIMM):
        return _build_by_timm(name.removeprefix(_TIMM), classes, channels)
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}: choose one of {', '.join(MODELS)}, timm:NAME, or transformers")
    return MODELS[name].make(classes=classes, channels=channels)


def _build_by_timm(name: str, classes: int, channels: int) -> TimmModel:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ConfigError(f"{_TIMM}{name} needs timm, which is not installed: pip install timm") from error
    except (ImportError, RuntimeError) as error:
        # Its torchvision may be made for another torch.
        raise ConfigError(f"{_TIMM}{name} needs timm, which cannot be imported: {error}") from error
    try:
        return TimmModel(timm.create_model(name, num_classes=classes, in_chans=channels))
    except RuntimeError as error:
        raise ConfigError(f"timm has no model {name!r}: {error}") from error
