"""Inception V3, without its auxiliary classifier.

Source: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception architecture for computer vision", CVPR
2016; layer sizes are those that torchvision's weights have.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d


class Convolution(nn.Module):
    """A convolution, normalised and rectified; by default the map keeps its size."""

    def __init__(self, channels: int, width: int, kernel: int | tuple[int, int], stride: int = 1, pad: bool = True):
        super().__init__()
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (high // 2, wide // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(channels, width, (high, wide), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, width, H', W')."""
        return torch.relu(self.bn(self.conv(x)))


def _shrinking(channels: int, width: int) -> Convolution:
    return Convolution(channels, width, 3, stride=2, pad=False)


class MixedA(nn.Module):
    """1 × 1, 5 × 5, twice 3 × 3, and pooling, side by side, at 35 × 35."""

    def __init__(self, channels: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(channels, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = Convolution(channels, 48, 1), Convolution(48, 64, 5)
        self.branch3x3dbl_1 = Convolution(channels, 64, 1)
        self.branch3x3dbl_2, self.branch3x3dbl_3 = Convolution(64, 96, 3), Convolution(96, 96, 3)
        self.branch_pool = Convolution(channels, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, 224 + pooled, H, W)."""
        fives = self.branch5x5_2(self.branch5x5_1(x))
        threes = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), fives, threes, self.branch_pool(avg_pool2d(x, 3, 1, 1))], 1)


class MixedB(nn.Module):
    """From 35 × 35 to 17 × 17."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3 = _shrinking(channels, 384)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Convolution(channels, 64, 1), Convolution(64, 96, 3)
        self.branch3x3dbl_3 = _shrinking(96, 96)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, channels + 480, H', W')."""
        threes = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), threes, max_pool2d(x, 3, 2)], 1)


class MixedC(nn.Module):
    """7 × 7 convolutions as rows and columns, at 17 × 17."""

    def __init__(self, width: int) -> None:
        super().__init__()
        row, column = (1, 7), (7, 1)
        self.branch1x1 = Convolution(768, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = Convolution(768, width, 1), Convolution(width, width, row)
        self.branch7x7_3 = Convolution(width, 192, column)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = Convolution(768, width, 1), Convolution(width, width, column)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = Convolution(width, width, row), Convolution(width, width, column)
        self.branch7x7dbl_5 = Convolution(width, 192, row)
        self.branch_pool = Convolution(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 768, H, W) to (B, 768, H, W)."""
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), once, twice, self.branch_pool(avg_pool2d(x, 3, 1, 1))], 1)


class MixedD(nn.Module):
    """From 17 × 17 to 8 × 8."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Convolution(768, 192, 1), _shrinking(192, 320)
        self.branch7x7x3_1, self.branch7x7x3_2 = Convolution(768, 192, 1), Convolution(192, 192, (1, 7))
        self.branch7x7x3_3, self.branch7x7x3_4 = Convolution(192, 192, (7, 1)), _shrinking(192, 192)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 768, H, W) to (B, 1280, H', W')."""
        sevens = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), sevens, max_pool2d(x, 3, 2)], 1)


class MixedE(nn.Module):
    """3 × 3 convolutions as rows beside columns, at 8 × 8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        row, column = (1, 3), (3, 1)
        self.branch1x1 = Convolution(channels, 320, 1)
        self.branch3x3_1 = Convolution(channels, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = Convolution(384, 384, row), Convolution(384, 384, column)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Convolution(channels, 448, 1), Convolution(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = Convolution(384, 384, row), Convolution(384, 384, column)
        self.branch_pool = Convolution(channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, 2048, H, W)."""
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        threes = [self.branch3x3_2a(once), self.branch3x3_2b(once)]
        threes += [self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice)]
        return torch.cat([self.branch1x1(x), *threes, self.branch_pool(avg_pool2d(x, 3, 1, 1))], 1)


class InceptionV3(nn.Module):
    """Eleven mixed blocks.

    Args:
        classes: Number of classes L.
        channels: Of the input, 1 or 3.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _shrinking(channels, 32)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, pad=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, pad=False)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = MixedA(192, 32), MixedA(256, 64), MixedA(288, 64)
        self.Mixed_6a = MixedB(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (MixedC(width) for width in (128, 160, 160, 192))
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = MixedD(), MixedE(1280), MixedE(2048)
        self.dropout = nn.Dropout(0.5)
        self.feature_size = 2048
        self.fc = nn.Linear(2048, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.1, a=-2, b=2)

    def extract(self, images: Tensor) -> Tensor:
        """Return the pooled last map: (B, channels, S, S) float32, S ≥ 75 → (B, 2048)."""
        x = images
        for name, layer in self.named_children():
            if name not in ("dropout", "fc"):
                x = layer(x)
        return x.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Return scores: (B, channels, S, S) float32 → (B, L)."""
        found: Tensor = self.fc(self.dropout(self.extract(images)))
        return found
