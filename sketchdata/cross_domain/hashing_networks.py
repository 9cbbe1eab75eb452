"""The networks of zero-shot sketch-image hashing: two encoders of codes, and what teaches them during the training.

Source: Shen, Liu, Shen and Shao, "Zero-shot sketch-image hashing", CVPR 2018, section 2. B pairs of a drawing and a
photo of one class are fused, two graph convolutions spread what pairs of similar words have in common, stochastic
neurons make bits, and a decoder recovers the vector of the class's word from the bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sketchdata.cross_domain.networks import TrunkBranch
from sketchdata.training.networks import DenseHead

#: Products that are summed for each output of multi-modal factorised bilinear pooling. Source: Yu et al., 2017.
MFB_FACTORS = 5
#: log σ² of the decoder is at least this, so that the likelihood of a few known vectors stays finite.
LEAST_LOG_VARIANCE = -12.0
_LEAST_NORM = 1e-12


# ---- the encoders ----------------------------------------------------------------------------------------------------


class AttentionPooling(nn.Module):
    """Sums maps over their places, weighted by a softmax over the places of a 1 × 1 convolution.

    Source: section 3.1; as the attention of Song et al., 2017, without the shortcut connection.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 1, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the attended features: (B, C, H, W) → (B, C)."""
        weights: Tensor = self.score(maps).flatten(1).softmax(1)
        return (maps.flatten(2) * weights[:, None]).sum(2)


class HashingBranch(TrunkBranch):
    """A picture network, attention pooling and a dense layer with a sigmoid: f for photos or g for drawings.

    In training mode the results are values in (0, 1); in evaluation mode they are codes of 0 and 1, equation 9, so that
    the squared Euclidean distance of two codes is their Hamming distance. The input of the dense layer is standardised
    by `mean` and `deviation`, initially 0 and 1.

    Args:
        backbone: Of the table in `training.backbones`; one without maps has no attention.
        bits: M.
        config: Of an image encoder of transformers.

    Raises:
        ConfigError: There is no such backbone.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: str, bits: int, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(backbone, None, 0, config)
        channels = self.trunk.map_channels
        self.gives_maps = channels > 0
        if isinstance(self.trunk, DenseHead):
            # Its dense layers have no part in the codes.
            self.trunk.classifier.requires_grad_(False)
        own = getattr(self.trunk, "features", None)
        #: Whether the maps are those before the last pooling layer, as in the paper.
        self.unpooled = isinstance(own, nn.Sequential) and isinstance(own[-1], nn.MaxPool2d)
        self.pooling = AttentionPooling(channels) if self.gives_maps else None
        self.attended_width: int = channels or self.trunk.feature_size
        self.register_buffer("mean", torch.zeros(self.attended_width))
        self.register_buffer("deviation", torch.ones(self.attended_width))
        self.head = nn.Linear(self.attended_width, bits)

    @property
    def features_kind(self) -> str:
        """What `features` are."""
        return "unpooled maps" if self.unpooled else super().features_kind

    def features(self, images: Tensor) -> Tensor:
        """Return the trunk's maps, before its last pooling layer if it ends with one: (B, 3, S, S) → (B, C, H, W)."""
        if not self.unpooled:
            return super().features(images)
        layers: Any = self.trunk.features
        found: Tensor = layers[:-1](images)
        return found

    def attended(self, features: Tensor) -> Tensor:
        """Return the input of the dense layer, h: `features` → (B, H)."""
        pooled: Tensor = features if self.pooling is None else self.pooling(features)
        return (pooled - self.mean) / self.deviation

    def values(self, attended: Tensor) -> Tensor:
        """Return the sigmoid of the dense layer: (B, H) → (B, M) in (0, 1)."""
        found: Tensor = self.head(attended).float().sigmoid()
        return found

    def project(self, features: Tensor, domain: str) -> Tensor:
        """Return values in training mode and codes in evaluation mode: (B, M) float32."""
        values = self.values(self.attended(features))
        return values if self.training else (values >= 0.5).float()


# ---- fusion ----------------------------------------------------------------------------------------------------------


class KroneckerFusion(nn.Module):
    """ReLU of all products of a value of the drawing and a value of the photo, equation 2.

    With `sketch`, the count sketch of the products takes their place, without computing them: its inner products are
    on average those of the K² values. Source: Pham and Pagh, "Fast and scalable polynomial kernels via explicit feature
    maps", 2013.

    Args:
        drawing: Values of a drawing.
        photo: Values of a photo.
        width: K.
        sketch: Values of the count sketch; None for all K² products.
    """

    drawing_hash: Tensor
    photo_hash: Tensor

    def __init__(self, drawing: int, photo: int, width: int, sketch: int | None = None) -> None:
        super().__init__()
        self.drawing, self.photo = nn.Linear(drawing, width, bias=False), nn.Linear(photo, width, bias=False)
        self.sketch = sketch
        self.width = sketch or width * width
        if sketch:
            for number, name in enumerate(("drawing_hash", "photo_hash")):
                random = torch.Generator().manual_seed(number)
                places = torch.randint(0, sketch, (width,), generator=random)
                signs = torch.randint(0, 2, (width,), generator=random) * 2.0 - 1
                table = torch.zeros(width, sketch)
                table[torch.arange(width), places] = signs
                self.register_buffer(name, table)

    def forward(self, drawings: Tensor, photos: Tensor) -> Tensor:
        """Return the fused values: (B, drawing), (B, photo) → (B, width)."""
        one, other = self.drawing(drawings), self.photo(photos)
        if not self.sketch:
            products: Tensor = (one[:, :, None] * other[:, None]).flatten(1).relu()
            return products
        with torch.autocast(one.device.type, enabled=False):
            first = torch.fft.rfft(one.to(self.drawing_hash.dtype) @ self.drawing_hash)
            second = torch.fft.rfft(other.to(self.photo_hash.dtype) @ self.photo_hash)
            found: Tensor = torch.fft.irfft(first * second, n=self.sketch).relu()
        return found


class ConcatFusion(nn.Module):
    """ReLU of the two maps of the drawing and of the photo, one after the other; Table 3, row 1.

    Args:
        drawing: Values of a drawing.
        photo: Values of a photo.
        width: K, of each.
    """

    def __init__(self, drawing: int, photo: int, width: int) -> None:
        super().__init__()
        self.drawing, self.photo = nn.Linear(drawing, width, bias=False), nn.Linear(photo, width, bias=False)
        self.width = 2 * width

    def forward(self, drawings: Tensor, photos: Tensor) -> Tensor:
        """Return the fused values: (B, drawing), (B, photo) → (B, 2 K)."""
        return torch.cat([self.drawing(drawings), self.photo(photos)], 1).relu()


class FactorisedFusion(nn.Module):
    """Multi-modal factorised bilinear pooling; Table 3, row 2.

    Source: Yu et al., "Multi-modal factorized bilinear pooling with co-attention learning for visual question
    answering", ICCV 2017: sums of MFB_FACTORS products, their signed roots, and length 1; without dropout.

    Args:
        drawing: Values of a drawing.
        photo: Values of a photo.
        width: K.
    """

    def __init__(self, drawing: int, photo: int, width: int) -> None:
        super().__init__()
        self.drawing = nn.Linear(drawing, width * MFB_FACTORS, bias=False)
        self.photo = nn.Linear(photo, width * MFB_FACTORS, bias=False)
        self.width = width

    def forward(self, drawings: Tensor, photos: Tensor) -> Tensor:
        """Return the fused values: (B, drawing), (B, photo) → (B, K)."""
        products = (self.drawing(drawings) * self.photo(photos)).float()
        sums = products.unflatten(1, (self.width, MFB_FACTORS)).sum(2)
        return functional.normalize(sums.sign() * (sums.abs() + _LEAST_NORM).sqrt())


# ---- the graph of words ----------------------------------------------------------------------------------------------


def class_adjacency(words: npt.NDArray[np.floating[Any]], t: float) -> Tensor:
    """Return exp(−‖s_j − s_k‖² / t) of all classes: (L, S) → (L, L) float32, with 1 on the diagonal."""
    exact = words.astype(np.float64)
    squares = np.square(exact[:, None] - exact[None]).sum(2)
    return torch.from_numpy(np.exp(-squares / t)).float()


def batch_graph(adjacency: Tensor, labels: Tensor) -> Tensor:
    """Return D^−½ A D^−½ of B pairs, equation 3: (L, L), (B,) int64 → (B, B)."""
    own = adjacency[labels][:, labels]
    roots = own.sum(1).rsqrt()
    return roots[:, None] * own * roots


class GraphConvolution(nn.Module):
    """Multiplies by a matrix of weights, and adds up over the neighbours, equation 3 before its activation.

    Args:
        inputs: Values of a pair.
        outputs: Values of its result.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x: Tensor, graph: Tensor | None) -> Tensor:
        """Return Â H W, or H W without a graph: (B, inputs), (B, B) → (B, outputs) float32."""
        found: Tensor = self.linear(x)
        return found if graph is None else graph.to(found.dtype) @ found


# ---- bits and words --------------------------------------------------------------------------------------------------


class _Bits(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, chances: Tensor, thresholds: Tensor) -> Tensor:
        return (chances >= thresholds).to(chances.dtype)

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def stochastic_bits(chances: Tensor, thresholds: Tensor | None = None) -> Tensor:
    """Return 1 where a chance is at least its threshold, equation 4; the gradient of a bit is that of its chance.

    Source of the gradient: Dai et al., "Stochastic generative hashing", ICML 2017.

    Args:
        chances: (B, M) in (0, 1).
        thresholds: (B, M); by default uniform in (0, 1), of torch's generator.
    """
    given = torch.rand_like(chances) if thresholds is None else thresholds
    found: Tensor = _Bits.apply(chances, given)  # type: ignore[no-untyped-call]
    return found


def log_chance(bits: Tensor, scores: Tensor) -> Tensor:
    """Return log q of codes, equation 5, where scores are before the sigmoid: (B, M), (B, M) → (B,)."""
    return (bits * functional.logsigmoid(scores) + (1 - bits) * functional.logsigmoid(-scores)).sum(1)


class WordDecoder(nn.Module):
    """The Gaussian likelihood of a word's vector, whose mean and variance are linear in the bits, equation 6.

    Args:
        bits: M.
        width: S.
    """

    def __init__(self, bits: int, width: int) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Linear(bits, width), nn.Linear(bits, width)

    @torch.no_grad()
    def start(self, vectors: Tensor) -> None:
        """Set the biases to the mean and the variance of some vectors, (L, S).

        From biases near 0, the first steps set all bits alike, because that fits mean and variance the fastest.
        """
        self.mean.bias.copy_(vectors.mean(0))
        least = math.exp(LEAST_LOG_VARIANCE)
        self.log_variance.bias.copy_(vectors.var(0, unbiased=False).clamp(min=least).log())

    def forward(self, bits: Tensor, vectors: Tensor) -> Tensor:
        """Return log p(s | b): (B, M), (B, S) → (B,)."""
        mean, log_variance = (layer(bits).to(vectors.dtype) for layer in (self.mean, self.log_variance))
        log_variance = log_variance.clamp(min=LEAST_LOG_VARIANCE)
        squares = (vectors - mean).square() * (-log_variance).exp()
        found: Tensor = -0.5 * (math.log(2 * math.pi) + log_variance + squares).sum(1)
        return found


def bit_regularisation(chances: Tensor) -> Tensor:
    """Return the quantisation error of values and the correlation of their bits; Table 3, row 3.

    The mean of (b − 1[b ≥ .5])², and the mean square of (2b − 1)ᵀ(2b − 1) / B − I. The paper refers to Lin et al.,
    CVPR 2016, and gives neither equations nor weights.

    Args:
        chances: (B, M) in (0, 1).
    """
    signs = 2 * chances - 1
    correlation = signs.T @ signs / len(chances) - torch.eye(chances.shape[1], device=chances.device)
    return (chances - (chances >= 0.5).to(chances.dtype)).square().mean() + correlation.square().mean()
