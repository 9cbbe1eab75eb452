"""The networks: picture networks, the recurrent branch, the network that fuses both, and pretrained weights."""

from sketchdata.models.backbones import MODELS, ModelEntry, build
from sketchdata.models.branches import THRESHOLDS, Activation, CosineClassifier, FusionNetwork, RecurrentEncoder
from sketchdata.models.pretrained import load_weights, read_weights

__all__ = [
    "MODELS",
    "THRESHOLDS",
    "Activation",
    "CosineClassifier",
    "FusionNetwork",
    "ModelEntry",
    "RecurrentEncoder",
    "build",
    "load_weights",
    "read_weights",
]
