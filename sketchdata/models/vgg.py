"""VGG-11 and VGG-16.

Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014, table 1,
columns A and D.
"""

from __future__ import annotations

from torch import Tensor, nn

#: Channels of the 3 × 3 convolutions, group by group; a pooling ends each group.
VGG_11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))
VGG_16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG(nn.Module):
    """Groups of 3 × 3 convolutions, then three dense layers.

    Args:
        classes: Number of classes L.
        channels: Of the input, 1 or 3.
        groups: Channels of the convolutions.
    """

    def __init__(self, classes: int, channels: int = 3, groups: tuple[tuple[int, ...], ...] = VGG_16) -> None:
        super().__init__()
        self.feature_size = 4096
        layers: list[nn.Module] = []
        for group in groups:
            for width in group:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(channels * 49, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, classes),
        )
        self.apply(_initialise)

    def extract(self, images: Tensor) -> Tensor:
        """Return the second dense layer, fc7: (B, channels, S, S) float32, S ≥ 32 → (B, 4096)."""
        found: Tensor = self.classifier[:-1](self.avgpool(self.features(images)).flatten(1))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return scores: (B, channels, S, S) float32 → (B, L)."""
        found: Tensor = self.classifier[-1](self.extract(images))
        return found


def _initialise(layer: nn.Module) -> None:
    # Without normalisation, He's initialisation is what lets 11 to 16 layers start to learn at all.
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, 0, 0.01)
    if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
