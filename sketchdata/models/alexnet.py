"""AlexNet without local response normalisation.

Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012;
torchvision's widths are those of Krizhevsky's "One weird trick for parallelizing convolutional neural networks", 2014.
"""

from __future__ import annotations

from torch import Tensor, nn

#: Channels of the five convolutions.
PAPER, TORCHVISION = (96, 256, 384, 384, 256), (64, 192, 384, 256, 256)


class AlexNet(nn.Module):
    """Five convolutions and three dense layers.

    Args:
        classes: Number of classes L.
        channels: Of the input, 1 or 3.
        widths: Channels of the convolutions.
        dense: Width of the two dense layers; the last one is the feature.
    """

    def __init__(self, classes: int, channels: int = 3, widths: tuple[int, ...] = PAPER, dense: int = 4096) -> None:
        super().__init__()
        one, two, three, four, five = widths
        self.feature_size = dense
        self.features = nn.Sequential(
            nn.Conv2d(channels, one, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(one, two, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(two, three, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(three, four, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(four, five, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(five * 36, dense),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(dense, dense),
            nn.ReLU(inplace=True),
            nn.Linear(dense, classes),
        )

    def extract(self, images: Tensor) -> Tensor:
        """Return the second dense layer, fc7: (B, channels, S, S) float32, S ≥ 63 → (B, dense)."""
        found: Tensor = self.classifier[:-1](self.avgpool(self.features(images)).flatten(1))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return scores: (B, channels, S, S) float32 → (B, L)."""
        found: Tensor = self.classifier[-1](self.extract(images))
        return found
