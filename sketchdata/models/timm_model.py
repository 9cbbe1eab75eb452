"""A model of timm, with the names that this package goes by."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class TimmModel(nn.Module):
    """Wrap a classifier of timm.

    Args:
        model: What `timm.create_model` returned.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.feature_size = int(model.head_hidden_size)

    def extract(self, images: Tensor) -> Tensor:
        """Return what the classifier sees: (B, channels, S, S) float32 → (B, feature_size)."""
        found: Tensor = self.model.forward_head(self.model.forward_features(images), pre_logits=True)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return scores: (B, channels, S, S) float32 → (B, L)."""
        found: Tensor = self.model(images)
        return found
