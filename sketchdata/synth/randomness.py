"""Random numbers that are the same everywhere: seeded by a hash, and made of `Generator.random` alone.

The uniform doubles of numpy's PCG64 have been the same bits since numpy 1.17. Its normal and other distributions may
change between versions, and the last bit of a sine differs between processors, so neither is used for drawings.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_SINE_STEPS = 1024
_SINE: Floats = np.round(np.sin(2 * np.pi * np.arange(_SINE_STEPS) / _SINE_STEPS), 9)


def stream(*identity: str | int) -> np.random.Generator:
    """Return the generator that belongs to a name such as ("strokes", seed, word, 3), on every machine."""
    return np.random.Generator(np.random.PCG64(stable_hash(*identity)))


def stable_hash(*identity: str | int) -> int:
    """Hash a name to 128 bits; unlike `hash`, the same in every process."""
    encoded = "\x00".join(str(part) for part in identity).encode()
    return int.from_bytes(hashlib.sha256(encoded).digest()[:16], "little")


def bell(rng: np.random.Generator, *shape: int) -> Floats:
    """Draw from a bell of mean 0, standard deviation 1 and range ±3: a sum of three uniforms."""
    a, b, c = rng.random((3, *shape))
    bell_shaped: Floats = 2 * (a + b + c) - 3
    return bell_shaped


def between(rng: np.random.Generator, low: float, high: float, size: int) -> Floats:
    """Draw uniformly from [low, high)."""
    uniform: Floats = low + (high - low) * rng.random(size)
    return uniform


def below(rng: np.random.Generator, limits: Indices | int, size: int) -> Indices:
    """Draw whole numbers from [0, limit)."""
    return np.floor(rng.random(size) * limits).astype(np.int64)


def sine(turns: Floats) -> Floats:
    """Look up sin(2π · turns), to a 1024th of a turn."""
    values: Floats = _SINE[(turns * _SINE_STEPS).astype(np.int64) & (_SINE_STEPS - 1)]
    return values


def cosine(turns: Floats) -> Floats:
    """Look up cos(2π · turns), to a 1024th of a turn."""
    return sine(turns + 0.25)
