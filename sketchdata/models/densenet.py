"""DenseNet-121.

Source: Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks", CVPR 2017, table 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

GROWTH, BLOCKS = 32, (6, 12, 24, 16)


class DenseLayer(nn.Module):
    """A 1 × 1 and a 3 × 3 convolution over all maps before them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels, 4 * GROWTH, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * GROWTH)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4 * GROWTH, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, channels + 32, H, W)."""
        found = self.conv1(self.relu1(self.norm1(x)))
        return torch.cat([x, self.conv2(self.relu2(self.norm2(found)))], 1)


class DenseNet(nn.Module):
    """Four dense blocks with transitions between them.

    Args:
        classes: Number of classes L.
        channels: Of the input, 1 or 3.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        features = nn.Sequential()
        features.add_module("conv0", nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False))
        features.add_module("norm0", nn.BatchNorm2d(64))
        features.add_module("relu0", nn.ReLU(inplace=True))
        features.add_module("pool0", nn.MaxPool2d(3, stride=2, padding=1))
        width = 64
        for number, layers in enumerate(BLOCKS, 1):
            block = nn.Sequential()
            for layer in range(1, layers + 1):
                block.add_module(f"denselayer{layer}", DenseLayer(width))
                width += GROWTH
            features.add_module(f"denseblock{number}", block)
            if number < len(BLOCKS):
                features.add_module(f"transition{number}", _transition(width))
                width //= 2
        features.add_module("norm5", nn.BatchNorm2d(width))
        self.features = features
        self.feature_size = width
        self.classifier = nn.Linear(width, classes)
        for each in self.modules():
            if isinstance(each, nn.Conv2d):
                nn.init.kaiming_normal_(each.weight)

    def extract(self, images: Tensor) -> Tensor:
        """Return the pooled last map: (B, channels, S, S) float32, S ≥ 32 → (B, 1024)."""
        found: Tensor = torch.relu(self.features(images)).mean((2, 3))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return scores: (B, channels, S, S) float32 → (B, L)."""
        found: Tensor = self.classifier(self.extract(images))
        return found


def _transition(width: int) -> nn.Sequential:
    layers = nn.Sequential()
    layers.add_module("norm", nn.BatchNorm2d(width))
    layers.add_module("relu", nn.ReLU(inplace=True))
    layers.add_module("conv", nn.Conv2d(width, width // 2, 1, bias=False))
    layers.add_module("pool", nn.AvgPool2d(2))
    return layers
