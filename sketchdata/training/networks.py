"""Networks that classify pictures, with torchvision's names and shapes of parameters; `backbones` has their table."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d


class PictureNetwork(nn.Module):
    """A classifier of pictures: (B, channels, S, S) float32 → (B, classes) scores.

    Its subclasses are made with a number of classes and the pictures' number of channels: 1 of ink, 3 of colours, 4 of
    strokes.
    """

    feature_size: int
    features: nn.Module
    classifier: Any

    @property
    def map_channels(self) -> int:
        """Channels of `maps`; 0 for a network that has no maps."""
        return self.feature_size

    def maps(self, images: Tensor) -> Tensor:
        """Return the last convolutional maps: (B, channels, S, S) float32 → (B, map_channels, H, W)."""
        found: Tensor = self.features(images)
        return found

    def upper_layers(self) -> list[nn.Module]:
        """Return the last third of the layers of `maps`; none where they are not a sequence."""
        part = getattr(self, "features", None)
        if type(self).maps is not PictureNetwork.maps or not isinstance(part, nn.Sequential):
            return []
        layers = list(part)
        return layers[2 * len(layers) // 3 :]

    def lower(self, images: Tensor) -> Tensor:
        """Return the maps that `upper_layers` take: (B, channels, S, S) float32 → (B, C, H, W)."""
        layers = list(self.features.children())
        for layer in layers[: len(layers) - len(self.upper_layers())]:
            images = layer(images)
        return images

    def pool(self, maps: Tensor) -> Tensor:
        """Return the classifier's input of `maps`, (B, feature_size): by default their mean over all places."""
        return maps.mean((2, 3))

    def extract(self, images: Tensor) -> Tensor:
        """Return the classifier's input: (B, channels, S, S) float32 → (B, feature_size)."""
        return self.pool(self.maps(images))

    def last_layers(self, images: Tensor) -> list[Tensor]:
        """Return the layers before the scores, the classifier's input last: (B, channels, S, S) → (B, D_i) each.

        The first is the mean of the maps that `upper_layers` take, and is left out where these are not a sequence.
        """
        upper = self.upper_layers()
        if not upper:
            return [self.extract(images)]
        below = self.lower(images)
        maps = below
        for layer in upper:
            maps = layer(maps)
        return [below.mean((2, 3)), self.pool(maps)]

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores."""
        found: Tensor = self.classifier(self.extract(images))
        return found


class DenseHead(PictureNetwork):
    """A network whose classifier has several dense layers, the last but one of which gives the features."""

    avgpool: nn.Module

    @property
    def map_channels(self) -> int:
        """Channels of the last convolution."""
        *_, last = (layer for layer in self.features.modules() if isinstance(layer, nn.Conv2d))
        return last.out_channels

    def dense_input(self, maps: Tensor) -> Tensor:
        """Return what the classifier's first layer takes of `maps`, (B, map_channels, H, W)."""
        found: Tensor = self.avgpool(maps)
        return found.flatten(1)

    def pool(self, maps: Tensor) -> Tensor:
        """Return the last layer's input of `maps`: (B, map_channels, H, W) → (B, feature_size)."""
        found: Tensor = self.classifier[:-1](self.dense_input(maps))
        return found

    def last_layers(self, images: Tensor) -> list[Tensor]:
        """Return the rectified dense layers before the scores, fc6 and fc7: (B, channels, S, S) float32 → (B, D_i)."""
        x, found = self.dense_input(self.maps(images)), []
        for layer in self.classifier[:-1]:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(x.flatten(1))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores."""
        found: Tensor = self.classifier[-1](self.extract(images))
        return found


def _rectified(channels: int, width: int, kernel: int, **settings: Any) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, kernel, **settings), nn.ReLU(inplace=True)]


def _normalised(channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    padding = (kernel - 1) // 2
    return [nn.Conv2d(channels, width, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(width)]


def _initialise_convolutions(network: nn.Module, mode: Literal["fan_in", "fan_out"] = "fan_out") -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _initialise_dense(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 0.01)
            nn.init.zeros_(layer.bias)


#: Channels of the five convolutions.
ALEXNET_PAPER, ALEXNET_TORCHVISION = (96, 256, 384, 384, 256), (64, 192, 384, 256, 256)


class AlexNet(DenseHead):
    """Five convolutions and three dense layers, without local response normalisation; S ≥ 63.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012;
    torchvision's widths are of Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.

    Args:
        widths: Channels of the convolutions.
        dense: Width of the two dense layers; the last one is the feature.
    """

    def __init__(
        self, classes: int, channels: int = 3, widths: tuple[int, ...] = ALEXNET_PAPER, dense: int = 4096
    ) -> None:
        super().__init__()
        one, two, three, four, five = widths
        self.feature_size = dense
        self.features = nn.Sequential(
            *_rectified(channels, one, 11, stride=4, padding=2),
            nn.MaxPool2d(3, stride=2),
            *_rectified(one, two, 5, padding=2),
            nn.MaxPool2d(3, stride=2),
            *_rectified(two, three, 3, padding=1),
            *_rectified(three, four, 3, padding=1),
            *_rectified(four, five, 3, padding=1),
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


#: Channels of the 3 × 3 convolutions, group by group; a pooling ends each group.
VGG_11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))
VGG_16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG(DenseHead):
    """Groups of 3 × 3 convolutions, then three dense layers; S ≥ 32.

    Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014, table 1,
    columns A and D.

    Args:
        groups: Channels of the convolutions.
    """

    def __init__(self, classes: int, channels: int = 3, groups: tuple[tuple[int, ...], ...] = VGG_16) -> None:
        super().__init__()
        self.feature_size = 4096
        layers: list[nn.Module] = []
        for group in groups:
            for width in group:
                layers += _rectified(channels, width, 3, padding=1)
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
        # Without normalisation, He's initialisation is what lets 11 to 16 layers start to learn at all.
        _initialise_convolutions(self)
        _initialise_dense(self)


#: Blocks of the four stages.
RESNET_18, RESNET_34, RESNET_50, RESNET_152 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 6, 3), (3, 8, 36, 3)


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, width, H / stride, W / stride)."""
        found = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        result: Tensor = self.relu(found + (x if self.downsample is None else self.downsample(x)))
        return result


class Bottleneck(nn.Module):
    """A 1 × 1, a 3 × 3 and a 1 × 1 convolution beside a shortcut."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * 4)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(channels, width * 4, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, 4 · width, H / stride, W / stride)."""
        found = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        found = self.bn3(self.conv3(found))
        result: Tensor = self.relu(found + (x if self.downsample is None else self.downsample(x)))
        return result


class ResNet(PictureNetwork):
    """Four stages of residual blocks.

    Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016; of the bottleneck the
    middle convolution has the stride, as torchvision's has ("ResNet v1.5").

    Args:
        block: BasicBlock or Bottleneck.
        blocks: Number of blocks in each stage.
    """

    def __init__(
        self,
        classes: int,
        channels: int = 3,
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
        blocks: tuple[int, ...] = RESNET_18,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(block, 64, 64, blocks[0], stride=1)
        self.layer2 = _stage(block, 64 * block.expansion, 128, blocks[1], stride=2)
        self.layer3 = _stage(block, 128 * block.expansion, 256, blocks[2], stride=2)
        self.layer4 = _stage(block, 256 * block.expansion, 512, blocks[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.feature_size = 512 * block.expansion
        self.fc = nn.Linear(self.feature_size, classes)
        _initialise_convolutions(self)

    def maps(self, images: Tensor) -> Tensor:
        """Return the last stage's maps: (B, channels, S, S) float32 → (B, 512 or 2048, H, W)."""
        found: Tensor = self.layer4(self.lower(images))
        return found

    def upper_layers(self) -> list[nn.Module]:
        """Return the last stage."""
        return [self.layer4]

    def lower(self, images: Tensor) -> Tensor:
        """Return the third stage's maps: (B, channels, S, S) float32 → (B, 256 or 1024, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        found: Tensor = self.layer3(self.layer2(self.layer1(x)))
        return found

    def pool(self, maps: Tensor) -> Tensor:
        """Return their means over all places."""
        found: Tensor = self.avgpool(maps).flatten(1)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores."""
        found: Tensor = self.fc(self.extract(images))
        return found


def _shortcut(channels: int, width: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels == width:
        return None
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))


def _stage(
    block: type[BasicBlock] | type[Bottleneck], channels: int, width: int, blocks: int, *, stride: int
) -> nn.Sequential:
    rest = [block(width * block.expansion, width, 1) for _ in range(blocks - 1)]
    return nn.Sequential(block(channels, width, stride), *rest)


#: Layers of the four blocks.
DENSENET_121, DENSENET_161, DENSENET_169, DENSENET_201 = (
    (6, 12, 24, 16),
    (6, 12, 36, 24),
    (6, 12, 32, 32),
    (6, 12, 48, 32),
)


class DenseLayer(nn.Module):
    """A 1 × 1 and a 3 × 3 convolution over all maps before them, which add `growth` maps."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, channels + growth, H, W)."""
        found = self.conv1(self.relu1(self.norm1(x)))
        return torch.cat([x, self.conv2(self.relu2(self.norm2(found)))], 1)


class DenseNet(PictureNetwork):
    """Four dense blocks with transitions between them; S ≥ 32.

    Source: Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks", CVPR 2017, table 1.

    Args:
        blocks: Number of layers in each block.
        growth: Maps that a layer adds.
    """

    def __init__(
        self, classes: int, channels: int = 3, blocks: tuple[int, ...] = DENSENET_121, growth: int = 32
    ) -> None:
        super().__init__()
        width = 2 * growth
        features = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False),
                norm0=nn.BatchNorm2d(width),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(3, stride=2, padding=1),
            )
        )
        for number, layers in enumerate(blocks, 1):
            block: OrderedDict[str, nn.Module] = OrderedDict(
                (f"denselayer{n}", DenseLayer(width + (n - 1) * growth, growth)) for n in range(1, layers + 1)
            )
            width += layers * growth
            features.add_module(f"denseblock{number}", nn.Sequential(block))
            if number < len(blocks):
                norm, conv = nn.BatchNorm2d(width), nn.Conv2d(width, width // 2, 1, bias=False)
                transition = OrderedDict(norm=norm, relu=nn.ReLU(inplace=True), conv=conv, pool=nn.AvgPool2d(2))
                features.add_module(f"transition{number}", nn.Sequential(transition))
                width //= 2
        features.add_module("norm5", nn.BatchNorm2d(width))
        self.features = features
        self.feature_size = width
        self.classifier = nn.Linear(width, classes)
        _initialise_convolutions(self, "fan_in")

    def maps(self, images: Tensor) -> Tensor:
        """Return the rectified last maps: (B, channels, S, S) float32, S ≥ 32 → (B, feature_size, H, W)."""
        return torch.relu(self.features(images))


#: V1: (channels, stride) of the depthwise-separable convolutions.
_MOBILENET_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
#: V2: (expansion, channels, repetitions, stride).
_MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV1(PictureNetwork):
    """Depthwise-separable convolutions; torchvision has none, so the parameters' names are our own.

    Source: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017,
    table 1.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.feature_size = 1024
        layers = [nn.Sequential(*_normalised(channels, 32, 3, 2), nn.ReLU(inplace=True))]
        before = 32
        for width, stride in _MOBILENET_V1:
            depthwise = _normalised(before, before, 3, stride, groups=before)
            pointwise = _normalised(before, width, 1)
            layers.append(nn.Sequential(*depthwise, nn.ReLU(inplace=True), *pointwise, nn.ReLU(inplace=True)))
            before = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(before, classes)
        _initialise_convolutions(self)
        _initialise_dense(self)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; beside a shortcut where the size stays."""

    def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.shortcut = stride == 1 and channels == width
        expand = [nn.Sequential(*_normalised(channels, hidden, 1), nn.ReLU6(inplace=True))] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            nn.Sequential(*_normalised(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6(inplace=True)),
            *_normalised(hidden, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, width, H / stride, W / stride)."""
        found: Tensor = self.conv(x)
        return x + found if self.shortcut else found


class MobileNetV2(PictureNetwork):
    """Inverted residuals; its feature is the edge-map vector of Xu et al., section III-D.

    Source: Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: inverted residuals and linear bottlenecks", CVPR
    2018, table 2.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.feature_size = 1280
        layers: list[nn.Module] = [nn.Sequential(*_normalised(channels, 32, 3, 2), nn.ReLU6(inplace=True))]
        before = 32
        for expansion, width, repetitions, stride in _MOBILENET_V2:
            for repetition in range(repetitions):
                layers.append(InvertedResidual(before, width, stride if repetition == 0 else 1, expansion))
                before = width
        layers.append(nn.Sequential(*_normalised(before, 1280, 1), nn.ReLU6(inplace=True)))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))
        _initialise_convolutions(self)
        _initialise_dense(self)


class InceptionConv(nn.Module):
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


def _shrinking(channels: int, width: int) -> InceptionConv:
    return InceptionConv(channels, width, 3, stride=2, pad=False)


class MixedA(nn.Module):
    """1 × 1, 5 × 5, twice 3 × 3, and pooling, side by side, at 35 × 35."""

    def __init__(self, channels: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = InceptionConv(channels, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = InceptionConv(channels, 48, 1), InceptionConv(48, 64, 5)
        self.branch3x3dbl_1 = InceptionConv(channels, 64, 1)
        self.branch3x3dbl_2, self.branch3x3dbl_3 = InceptionConv(64, 96, 3), InceptionConv(96, 96, 3)
        self.branch_pool = InceptionConv(channels, pooled, 1)

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
        self.branch3x3dbl_1, self.branch3x3dbl_2 = InceptionConv(channels, 64, 1), InceptionConv(64, 96, 3)
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
        self.branch1x1 = InceptionConv(768, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = InceptionConv(768, width, 1), InceptionConv(width, width, row)
        self.branch7x7_3 = InceptionConv(width, 192, column)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = InceptionConv(768, width, 1), InceptionConv(width, width, column)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = InceptionConv(width, width, row), InceptionConv(width, width, column)
        self.branch7x7dbl_5 = InceptionConv(width, 192, row)
        self.branch_pool = InceptionConv(768, 192, 1)

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
        self.branch3x3_1, self.branch3x3_2 = InceptionConv(768, 192, 1), _shrinking(192, 320)
        self.branch7x7x3_1, self.branch7x7x3_2 = InceptionConv(768, 192, 1), InceptionConv(192, 192, (1, 7))
        self.branch7x7x3_3, self.branch7x7x3_4 = InceptionConv(192, 192, (7, 1)), _shrinking(192, 192)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 768, H, W) to (B, 1280, H', W')."""
        sevens = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), sevens, max_pool2d(x, 3, 2)], 1)


class MixedE(nn.Module):
    """3 × 3 convolutions as rows beside columns, at 8 × 8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        row, column = (1, 3), (3, 1)
        self.branch1x1 = InceptionConv(channels, 320, 1)
        self.branch3x3_1 = InceptionConv(channels, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = InceptionConv(384, 384, row), InceptionConv(384, 384, column)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = InceptionConv(channels, 448, 1), InceptionConv(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = InceptionConv(384, 384, row), InceptionConv(384, 384, column)
        self.branch_pool = InceptionConv(channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, 2048, H, W)."""
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        threes = [self.branch3x3_2a(once), self.branch3x3_2b(once)]
        threes += [self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice)]
        return torch.cat([self.branch1x1(x), *threes, self.branch_pool(avg_pool2d(x, 3, 1, 1))], 1)


class InceptionV3(PictureNetwork):
    """Eleven mixed blocks, without the auxiliary classifier; S ≥ 75.

    Source: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception architecture for computer vision",
    CVPR 2016; layer sizes are those of torchvision's weights.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _shrinking(channels, 32)
        self.Conv2d_2a_3x3 = InceptionConv(32, 32, 3, pad=False)
        self.Conv2d_2b_3x3 = InceptionConv(32, 64, 3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = InceptionConv(64, 80, 1)
        self.Conv2d_4a_3x3 = InceptionConv(80, 192, 3, pad=False)
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

    def maps(self, images: Tensor) -> Tensor:
        """Return the last maps: (B, channels, S, S) float32, S ≥ 75 → (B, 2048, H, W)."""
        x = images
        for name, layer in self.named_children():
            if name not in ("dropout", "fc"):
                x = layer(x)
        return x

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores."""
        found: Tensor = self.fc(self.dropout(self.extract(images)))
        return found


class SketchANet(DenseHead):
    """Five convolutions, the first 15 × 15, and three layers that are dense at 225 × 225; S ≥ 81.

    Source: Yu, Yang, Song, Xiang and Hospedales, "Sketch-a-Net that beats humans", BMVC 2015, table 1, for one channel.
    """

    def __init__(self, classes: int, channels: int = 1) -> None:
        super().__init__()
        self.feature_size = 512
        self.features = nn.Sequential(
            *_rectified(channels, 64, 15, stride=3),
            nn.MaxPool2d(3, stride=2),
            *_rectified(64, 128, 5),
            nn.MaxPool2d(3, stride=2),
            *_rectified(128, 256, 3, padding=1),
            *_rectified(256, 256, 3, padding=1),
            *_rectified(256, 256, 3, padding=1),
            nn.MaxPool2d(3, stride=2),
        )
        # Maps of 225 pixels are 7 × 7 here; others are pooled to that.
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            *_rectified(256, 512, 7),
            nn.Dropout(0.5),
            *_rectified(512, 512, 1),
            nn.Dropout(0.5),
            nn.Flatten(1),
            nn.Linear(512, classes),
        )

    def dense_input(self, maps: Tensor) -> Tensor:
        """Return what the sixth layer takes of `maps`: (B, 256, H, W) → (B, 256, 7, 7)."""
        found: Tensor = self.avgpool(maps)
        return found


_WIDTHS = (16, 32, 64, 128)


class SmallNetwork(PictureNetwork):
    """Four 3 × 3 convolutions, each normalised and pooled."""

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


class ThinResNet(PictureNetwork):
    """Two 3 × 3 convolutions and two residual blocks, each followed by pooling, the last one by the mean.

    Args:
        width: Channels of the first convolution; each next part has twice as many.
    """

    def __init__(self, classes: int, channels: int = 3, width: int = 24) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_normalised(channels, width, 3),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            *_normalised(width, 2 * width, 3),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            BasicBlock(2 * width, 4 * width, 1),
            nn.MaxPool2d(2),
            BasicBlock(4 * width, 8 * width, 1),
        )
        self.feature_size = 8 * width
        self.classifier = nn.Linear(self.feature_size, classes)
        _initialise_convolutions(self)
