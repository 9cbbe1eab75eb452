"""A small network for small pictures: for trials of a minute, and for machines without a GPU."""

from __future__ import annotations

from torch import Tensor, nn

_WIDTHS = (16, 32, 64, 128)


class SmallNetwork(nn.Module):
    """Four 3 × 3 convolutions, each normalised and pooled.

    Args:
        classes: Number of classes L.
        channels: Of the input, 1 or 3.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.feature_size = _WIDTHS[-1]
        layers: list[nn.Module] = []
        for width in _WIDTHS:
            convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, classes)

    def extract(self, images: Tensor) -> Tensor:
        """Return the pooled last map: (B, channels, S, S) float32, S ≥ 16 → (B, 128)."""
        found: Tensor = self.features(images).mean((2, 3))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return scores: (B, channels, S, S) float32 → (B, L)."""
        found: Tensor = self.classifier(self.extract(images))
        return found
