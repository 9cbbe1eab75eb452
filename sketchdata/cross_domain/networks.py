"""The branches of a network of two domains: a picture network, soft attention over its maps, and a dense layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sketchdata.errors import ConfigError
from sketchdata.training.backbones import build
from sketchdata.training.networks import DenseHead

#: Channels of a photo, and of a drawing as black lines on white.
COLOURS = 3
#: Width of the attention, from the code of Dey et al.; the paper does not give it.
ATTENTION = 380


class SoftAttention(nn.Module):
    """Weights positions of maps by a softmax over all positions, and adds the result to the maps: f + f · att.

    Source: Dey et al., "Doodle to search", CVPR 2019, section 3.1; two 1 × 1 convolutions without an activation between
    them, as in the authors' code.

    Args:
        channels: C.
        hidden: Channels between the two convolutions.
    """

    def __init__(self, channels: int, hidden: int = ATTENTION) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, 1, 1))

    def weights(self, maps: Tensor) -> Tensor:
        """Return the weights of positions, which sum to 1: (B, C, H, W) → (B, 1, H, W)."""
        scores: Tensor = self.score(maps)
        return scores.flatten(1).softmax(1).view_as(scores)

    def forward(self, maps: Tensor) -> Tensor:
        """Return f + f · att, of the shape of the maps."""
        return maps + maps * self.weights(maps)


class TrunkBranch(nn.Module):
    """A picture network without its classifier, attention over its maps, and a dense layer to D values.

    The trunk computes `features`, and `project` computes the rest, so that the features of a frozen trunk are computed
    only once.

    Args:
        backbone: Of the table in `training.backbones`.
        width: D; None leaves out the dense layer, so that D is the trunk's number of features.
        attention: Width of the attention; 0 for none.
        config: Of an image encoder of transformers.

    Raises:
        ConfigError: There is no such backbone, or it has no maps for attention.
    """

    def __init__(
        self, backbone: str, width: int | None, attention: int = 0, config: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.trunk = build(backbone, classes=1, channels=COLOURS, config=config)
        *_, classifier = (layer for layer in self.trunk.modules() if isinstance(layer, nn.Linear))
        # Only the classifier's input is used. Distributed training would wait for gradients of unused parameters.
        classifier.requires_grad_(False)
        if attention and not self.trunk.map_channels:
            raise ConfigError(f"--backbone {backbone} has no maps for attention: use --no-attention")
        self.attention = SoftAttention(self.trunk.map_channels, attention) if attention else None
        self.head = nn.Identity() if width is None else nn.Linear(self.trunk.feature_size, width)
        # Between its maps and its feature, a network with several dense layers has weights that learn with the head.
        self.gives_maps = bool(attention) or isinstance(self.trunk, DenseHead)

    @property
    def features_kind(self) -> str:
        """What `features` are."""
        return "maps" if self.gives_maps else "pooled"

    @property
    def trunk_parameters(self) -> list[nn.Parameter]:
        """The parameters that compute `features`."""
        part = self.trunk.features if isinstance(self.trunk, DenseHead) else self.trunk
        return list(part.parameters())

    def features(self, images: Tensor) -> Tensor:
        """Return the trunk's maps, or its pooled features if there is no attention.

        Args:
            images: (B, 3, S, S) float32, normalised.

        Returns:
            (B, C, H, W) or (B, F).
        """
        return self.trunk.maps(images) if self.gives_maps else self.trunk.extract(images)

    def pooled(self, features: Tensor) -> Tensor:
        """Return the input of the trunk's classifier, computed from `features` without attention: (B, F)."""
        return self.trunk.pool(features) if self.gives_maps else features

    def project(self, features: Tensor, domain: str) -> Tensor:
        """Return the embeddings of `features`, (B, D); they do not depend on the domain."""
        if self.gives_maps:
            features = self.trunk.pool(features if self.attention is None else self.attention(features))
        found: Tensor = self.head(features)
        return found

    def forward(self, images: Tensor, domain: str) -> Tensor:
        """Return the embeddings of normalised pictures of a domain: (B, 3, S, S) → (B, D)."""
        return self.project(self.features(images), domain)


class TransferBranch(nn.Module):
    """A picture network whose upper layers can learn, and whose features are standardised.

    For networks whose layers are not a sequence, such as image encoders of transformers, two dense layers are added
    instead. Their output, initially 0, is added to the features.

    Args:
        backbone: Of the table in `training.backbones`.
        config: Of an image encoder of transformers.

    Raises:
        ConfigError: There is no such backbone.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.trunk = build(backbone, classes=1, channels=COLOURS, config=config)
        *_, classifier = (layer for layer in self.trunk.modules() if isinstance(layer, nn.Linear))
        classifier.requires_grad_(False)
        width = self.trunk.feature_size
        self.gives_maps = bool(self.trunk.upper_layers())
        self.adapter: nn.Sequential | None = None
        if not self.gives_maps:
            last = nn.Linear(width // 4, width)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.adapter = nn.Sequential(nn.Linear(width, width // 4), nn.ReLU(), last)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    @property
    def features_kind(self) -> str:
        """What `features` are."""
        return "lower maps" if self.gives_maps else "pooled"

    @property
    def trunk_parameters(self) -> list[nn.Parameter]:
        """What computes `features`."""
        upper = {id(each) for layer in self.trunk.upper_layers() for each in layer.parameters()}
        part = self.trunk.features if isinstance(self.trunk, DenseHead) else self.trunk
        return [each for each in part.parameters() if id(each) not in upper]

    def features(self, images: Tensor) -> Tensor:
        """Return the input of the upper layers, or the trunk's features if there are none: (B, C, H, W) or (B, F)."""
        return self.trunk.lower(images) if self.gives_maps else self.trunk.extract(images)

    def project(self, features: Tensor, domain: str) -> Tensor:
        """Return the standardised features, (B, F), from the result of `features`; they do not depend on the domain."""
        if self.gives_maps:
            for layer in self.trunk.upper_layers():
                features = layer(features)
            features = self.trunk.pool(features)
        if self.adapter is not None:
            features = features + self.adapter(features)
        return (features - self.mean) / self.deviation

    def forward(self, images: Tensor, domain: str) -> Tensor:
        """Return the embeddings of normalised pictures of a domain: (B, 3, S, S) → (B, F)."""
        return self.project(self.features(images), domain)


FC6, FC7, BOTH = LAYERS = ("fc6", "fc7", "fc6+fc7")


class ClassifierBranch(nn.Module):
    """A picture network with its classifier, whose embedding is one or both of the layers before the scores.

    `fc7` is the classifier's input and `fc6` the layer before it: of a network with dense layers these, rectified; of
    others the mean of the maps below the last third of their layers.

    Args:
        backbone: Of the table in `training.backbones`.
        classes: Number of classes L.
        layer: Of LAYERS.
        config: Of an image encoder of transformers.

    Raises:
        ConfigError: There is no such backbone or layer.
    """

    def __init__(self, backbone: str, classes: int, layer: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.trunk = build(backbone, classes=classes, channels=COLOURS, config=config)
        if layer not in LAYERS:
            raise ConfigError(f"there is no layer {layer}: take one of {', '.join(LAYERS)}")
        if layer != FC7 and not (isinstance(self.trunk, DenseHead) or self.trunk.upper_layers()):
            raise ConfigError(f"the network {backbone} has one layer before its scores, and not {layer}: take {FC7}")
        self.layer = layer
        *_, self.last = (name for name, module in self.trunk.named_modules() if isinstance(module, nn.Linear))

    @property
    def features_kind(self) -> str:
        """What `features` are."""
        return self.layer

    @property
    def classifier(self) -> nn.Module:
        """The last layer, of scores."""
        return self.trunk.get_submodule(self.last)

    @property
    def trunk_parameters(self) -> list[nn.Parameter]:
        """All weights except those of the classifier."""
        own = {id(each) for each in self.classifier.parameters()}
        return [each for each in self.trunk.parameters() if id(each) not in own]

    def scores(self, images: Tensor) -> Tensor:
        """Return the scores of normalised pictures: (B, 3, S, S) → (B, L)."""
        found: Tensor = self.trunk(images)
        return found

    def features(self, images: Tensor) -> Tensor:
        """Return the layer: (B, 3, S, S) → (B, D)."""
        if self.layer == FC7:
            return self.trunk.extract(images)
        layers = self.trunk.last_layers(images)
        return layers[-2] if self.layer == FC6 else torch.cat(layers[-2:], 1)

    def project(self, features: Tensor, domain: str) -> Tensor:
        """Return the embeddings of `features`, which are the same."""
        return features

    def forward(self, images: Tensor, domain: str) -> Tensor:
        """Return the embeddings of normalised pictures of a domain: (B, 3, S, S) → (B, D)."""
        return self.features(images)


def layer_width(backbone: str, layer: str, size: int, config: Mapping[str, Any] | None = None) -> int:
    """Return the width of a layer of `ClassifierBranch` at a size of pictures.

    Raises:
        ConfigError: There is no such backbone, or it has no such layer.
    """
    if layer == FC7:
        return feature_width(backbone, config)
    with torch.device("meta"):
        branch = ClassifierBranch(backbone, 1, layer, config).eval()
        return branch.features(torch.zeros(1, COLOURS, size, size)).shape[1]


def feature_width(backbone: str, config: Mapping[str, Any] | None = None) -> int:
    """Return the number of features of a backbone.

    Raises:
        ConfigError: There is no such backbone.
    """
    with torch.device("meta"):
        return build(backbone, classes=1, channels=COLOURS, config=config).feature_size
