"""MobileNet V1 and V2.

Source: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017, table
1; Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018, table
2.
"""

from __future__ import annotations

from torch import Tensor, nn

#: V1: (channels, stride) of the depthwise-separable convolutions.
_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
#: V2: (expansion, channels, repetitions, stride).
_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _convolution(channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, width, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width),
    ]


class MobileNetV1(nn.Module):
    """Depthwise-separable convolutions; torchvision has none, so the parameters' names are our own.

    Args:
        classes: Number of classes L.
        channels: Of the input, 1 or 3.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.feature_size = 1024
        layers = [nn.Sequential(*_convolution(channels, 32, 3, 2), nn.ReLU(inplace=True))]
        before = 32
        for width, stride in _V1:
            depthwise = _convolution(before, before, 3, stride, groups=before)
            pointwise = _convolution(before, width, 1)
            layers.append(nn.Sequential(*depthwise, nn.ReLU(inplace=True), *pointwise, nn.ReLU(inplace=True)))
            before = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(before, classes)
        self.apply(_initialise)

    def extract(self, images: Tensor) -> Tensor:
        """Return the pooled last map: (B, channels, S, S) float32 → (B, 1024)."""
        found: Tensor = self.features(images).mean((2, 3))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return scores: (B, channels, S, S) float32 → (B, L)."""
        found: Tensor = self.classifier(self.extract(images))
        return found


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; beside a shortcut where the size stays."""

    def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.shortcut = stride == 1 and channels == width
        expand = [nn.Sequential(*_convolution(channels, hidden, 1), nn.ReLU6(inplace=True))] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            nn.Sequential(*_convolution(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6(inplace=True)),
            *_convolution(hidden, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, width, H / stride, W / stride)."""
        found: Tensor = self.conv(x)
        return x + found if self.shortcut else found


class MobileNetV2(nn.Module):
    """Inverted residuals; its feature is the edge-map vector of Xu et al., section III-D.

    Args:
        classes: Number of classes L.
        channels: Of the input, 1 or 3.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.feature_size = 1280
        layers: list[nn.Module] = [nn.Sequential(*_convolution(channels, 32, 3, 2), nn.ReLU6(inplace=True))]
        before = 32
        for expansion, width, repetitions, stride in _V2:
            for repetition in range(repetitions):
                layers.append(InvertedResidual(before, width, stride if repetition == 0 else 1, expansion))
                before = width
        layers.append(nn.Sequential(*_convolution(before, 1280, 1), nn.ReLU6(inplace=True)))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))
        self.apply(_initialise)

    def extract(self, images: Tensor) -> Tensor:
        """Return the pooled last map: (B, channels, S, S) float32 → (B, 1280)."""
        found: Tensor = self.features(images).mean((2, 3))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return scores: (B, channels, S, S) float32 → (B, L)."""
        found: Tensor = self.classifier(self.extract(images))
        return found


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    elif isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, 0, 0.01)
        nn.init.zeros_(layer.bias)
