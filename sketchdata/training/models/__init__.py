"""The networks: picture networks, the recurrent branch, the network that fuses both, and pretrained weights."""

from sketchdata.training.models.backbones import MODELS, TRANSFORMERS, ModelEntry, build
from sketchdata.training.models.branches import (
    THRESHOLDS,
    Activation,
    CosineClassifier,
    FusionNetwork,
    RecurrentEncoder,
)
from sketchdata.training.models.pretrained import (
    hash_weights,
    load_pretrained,
    load_weights,
    read_weights,
    transformers_config,
    weights_path,
)

__all__ = [
    "MODELS",
    "THRESHOLDS",
    "TRANSFORMERS",
    "Activation",
    "CosineClassifier",
    "FusionNetwork",
    "ModelEntry",
    "RecurrentEncoder",
    "build",
    "hash_weights",
    "load_pretrained",
    "load_weights",
    "read_weights",
    "transformers_config",
    "weights_path",
]
