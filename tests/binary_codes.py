"""Codes for the tests of retrieval: clustered by class, with a part of them in a wrong cluster."""

from __future__ import annotations

import numpy as np

from sketchdata.formats.codes import Codes, pack_bits


def clustered_codes(count: int, *, bits: int, classes: int = 4, noise: float = 0.1, seed: int = 0) -> Codes:
    """Return codes near the centre of their class or, one in five, of another one; the centres are the same always."""
    centres = np.random.default_rng(99).random((classes, bits)) < 0.5
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    sources = np.where(random.random(count) < 0.2, random.integers(0, classes, count), labels)
    return Codes(
        bits=bits,
        packed=pack_bits(centres[sources] ^ (random.random((count, bits)) < noise)),
        labels=labels.astype(np.uint16),
        key_ids=np.arange(count, dtype=np.uint64),
        classes=tuple(f"class {i}" for i in range(classes)),
    )
