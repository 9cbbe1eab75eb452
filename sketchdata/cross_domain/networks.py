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
#: Width of the attention in the code of Dey et al.; their paper does not give it.
ATTENTION = 380


class SoftAttention(nn.Module):
    """Attention by a softmax over all positions of the maps, with a shortcut connection: f + f · att.

    Source: Dey et al., "Doodle to search", CVPR 2019, section 3.1; two 1 × 1 convolutions without an activation between
    them, as in the authors' code.

    Args:
        channels: Number of channels C.
        hidden: Channels between the two convolutions.
    """

    def __init__(self, channels: int, hidden: int = ATTENTION) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, 1, 1))

    def weights(self, maps: Tensor) -> Tensor:
        """Return the weights of the positions, which sum to 1: (B, C, H, W) → (B, 1, H, W)."""
        scores: Tensor = self.score(maps)
        return scores.flatten(1).softmax(1).view_as(scores)

    def forward(self, maps: Tensor) -> Tensor:
        """Return f + f · att, with the shape of the maps."""
        return maps + maps * self.weights(maps)


class TrunkBranch(nn.Module):
    """A picture network without its classifier, attention over its maps, and a dense layer to D values.

    `features` runs the trunk and `project` the rest, so that the features of a frozen trunk are computed only once.

    Args:
        backbone: A name in the table of `training.backbones`.
        width: Number of values D; None leaves out the dense layer, and D is the trunk's number of features.
        attention: Width of the attention; 0 for none.
        config: Configuration of an image encoder of transformers.

    Raises:
        ConfigError: The backbone does not exist, or has no maps for attention.
    """

    def __init__(
        self, backbone: str, width: int | None, attention: int = 0, config: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.trunk = build(backbone, classes=1, channels=COLOURS, config=config)
        *_, classifier = (layer for layer in self.trunk.modules() if isinstance(layer, nn.Linear))
        # Only its input is used, and DistributedDataParallel would wait for its gradient.
        classifier.requires_grad_(False)
        if attention and not self.trunk.map_channels:
            raise ConfigError(f"--backbone {backbone} has no maps for attention: take --no-attention")
        self.attention = SoftAttention(self.trunk.map_channels, attention) if attention else None
        self.head = nn.Identity() if width is None else nn.Linear(self.trunk.feature_size, width)
        # In a network with several dense layers, those between its maps and its feature are trained with the head.
        self.gives_maps = bool(attention) or isinstance(self.trunk, DenseHead)

    @property
    def features_kind(self) -> str:
        """Name of what `features` returns."""
        return "maps" if self.gives_maps else "pooled"

    @property
    def trunk_parameters(self) -> list[nn.Parameter]:
        """The modules that compute `features`, some of them always frozen."""
        part = self.trunk.features if isinstance(self.trunk, DenseHead) else self.trunk
        return list(part.parameters())

    def features(self, images: Tensor) -> Tensor:
        """Return the trunk's maps, or its pooled features if nothing needs the maps.

        Args:
            images: (B, 3, S, S) float32, normalised.

        Returns:
            (B, C, H, W) or (B, F).
        """
        return self.trunk.maps(images) if self.gives_maps else self.trunk.extract(images)

    def pooled(self, features: Tensor) -> Tensor:
        """Return the input of the trunk's own classifier for `features`, without attention: (B, F)."""
        return self.trunk.pool(features) if self.gives_maps else features

    def project(self, features: Tensor, domain: str) -> Tensor:
        """Return the embeddings of `features`, (B, D), which do not depend on the domain."""
        if self.gives_maps:
            features = self.trunk.pool(features if self.attention is None else self.attention(features))
        found: Tensor = self.head(features)
        return found

    def forward(self, images: Tensor, domain: str) -> Tensor:
        """Return the embeddings of normalised pictures of a domain: (B, 3, S, S) → (B, D)."""
        return self.project(self.features(images), domain)


class TransferBranch(nn.Module):
    """A picture network with trainable upper layers and standardised features.

    A network that is not a sequence of layers, such as an image encoder of transformers, has two dense layers on top of
    its features instead, whose output is added to the features and is 0 at first.

    Args:
        backbone: A name in the table of `training.backbones`.
        config: Configuration of an image encoder of transformers.

    Raises:
        ConfigError: The backbone does not exist.
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
        """Name of what `features` returns."""
        return "lower maps" if self.gives_maps else "pooled"

    @property
    def trunk_parameters(self) -> list[nn.Parameter]:
        """The modules that compute `features`."""
        upper = {id(each) for layer in self.trunk.upper_layers() for each in layer.parameters()}
        part = self.trunk.features if isinstance(self.trunk, DenseHead) else self.trunk
        return [each for each in part.parameters() if id(each) not in upper]

    def features(self, images: Tensor) -> Tensor:
        """Return the input of the upper layers, or the trunk's features if there are none: (B, C, H, W) or (B, F)."""
        return self.trunk.lower(images) if self.gives_maps else self.trunk.extract(images)

    def project(self, features: Tensor, domain: str) -> Tensor:
        """Return standardised features, (B, F), from the result of `features`; they do not depend on the domain."""
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


def feature_width(backbone: str, config: Mapping[str, Any] | None = None) -> int:
    """Return the number of features of a backbone.

    Raises:
        ConfigError: The backbone does not exist.
    """
    with torch.device("meta"):
        return build(backbone, classes=1, channels=COLOURS, config=config).feature_size
