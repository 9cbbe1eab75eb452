"""A thin residual network for small pictures of lines: the backbone of our own hashing recipe.

Lines of one pixel carry all there is to see, so sides are halved by pooling, which keeps a line, and not by strides,
which lose half of it. Maps of many pixels are looked at once and cheaply; most of the work is done on small maps.
"""

from __future__ import annotations

from torch import Tensor, nn

from sketchdata.models.resnet import BasicBlock


class ThinResNet(nn.Module):
    """Two 3 × 3 convolutions and two residual blocks, each followed by pooling, the last one by the mean.

    Args:
        classes: Number of classes L.
        channels: Of the input.
        width: Channels of the first convolution; each next part has twice as many.
    """

    def __init__(self, classes: int, channels: int = 3, width: int = 24) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_convolution(channels, width),
            nn.MaxPool2d(2),
            *_convolution(width, 2 * width),
            nn.MaxPool2d(2),
            BasicBlock(2 * width, 4 * width, 1),
            nn.MaxPool2d(2),
            BasicBlock(4 * width, 8 * width, 1),
        )
        self.feature_size = 8 * width
        self.classifier = nn.Linear(self.feature_size, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def extract(self, images: Tensor) -> Tensor:
        """Return the mean of the last map: (B, channels, S, S) float32, S ≥ 16 → (B, 8 · width)."""
        found: Tensor = self.features(images).mean((2, 3))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return scores: (B, channels, S, S) float32 → (B, L)."""
        found: Tensor = self.classifier(self.extract(images))
        return found


def _convolution(channels: int, width: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
