"""Sketch-a-Net, the first network that was made for sketches.

Source: Yu, Yang, Song, Xiang and Hospedales, "Sketch-a-Net that beats humans", BMVC 2015, table 1, for one channel.
"""

from __future__ import annotations

from torch import Tensor, nn


class SketchANet(nn.Module):
    """Five convolutions, of which the first is 15 × 15, and three layers that are dense at 225 × 225.

    Args:
        classes: Number of classes L.
        channels: Of the input, 1 or 3.
    """

    def __init__(self, classes: int, channels: int = 1) -> None:
        super().__init__()
        self.feature_size = 512
        self.features = nn.Sequential(
            nn.Conv2d(channels, 64, 15, stride=3),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 128, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(128, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        # 7 × 7 is what 225 pixels come to; other sizes are brought to it.
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Conv2d(256, 512, 7),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(512, 512, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Flatten(1),
            nn.Linear(512, classes),
        )

    def extract(self, images: Tensor) -> Tensor:
        """Return the seventh layer: (B, channels, S, S) float32, S ≥ 81 → (B, 512)."""
        found: Tensor = self.classifier[:-1](self.avgpool(self.features(images)))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return scores: (B, channels, S, S) float32 → (B, L)."""
        found: Tensor = self.classifier[-1](self.extract(images))
        return found
