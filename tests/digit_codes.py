"""Handwritten digits, and how well codes find those of the same class: for the tests of shallow hashing."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from sketchdata.retrieval.shallow_hashing import SHALLOW_HASHERS

QUERIES = 500
Digits = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


@functools.cache
def digits(seed: int = 0) -> tuple[Digits, Digits]:
    """Return 500 queries and 1,297 others to search among and learn from, each as (N, 64) float32 and (N,) labels."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    query, gallery = order[:QUERIES], order[QUERIES:]
    pixels = pixels.astype(np.float32)
    return (pixels[query], labels[query]), (pixels[gallery], labels[gallery])


def hamming(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the distances between all codes of one set and all of another: (M, D) and (N, D) → (M, N)."""
    return (one[:, None] != other[None]).sum(axis=2)


def mean_average_precision(
    distances: npt.NDArray[np.int64], same: npt.NDArray[np.bool_], bits: int
) -> npt.NDArray[np.float64]:
    """Return the average precision of each query, equal distances being one threshold: (M, N) and (M, N) → (M,)."""
    found = np.stack([np.bincount(row, minlength=bits + 1) for row in distances])
    hits = np.stack([np.bincount(row[own], minlength=bits + 1) for row, own in zip(distances, same, strict=True)])
    recalled, seen = hits.cumsum(axis=1), found.cumsum(axis=1)
    return (hits * recalled / np.maximum(seen, 1)).sum(axis=1) / recalled[:, -1]


def quality(codes_of: Any, seed: int = 0) -> float:
    """Return the mAP on the digits of what maps features to (N, D) bool."""
    (query, own), (gallery, other) = digits(seed)
    query_codes, gallery_codes = codes_of(query), codes_of(gallery)
    distances = hamming(query_codes, gallery_codes)
    return float(mean_average_precision(distances, own[:, None] == other[None], query_codes.shape[1]).mean())


@functools.cache
def quality_of(name: str, bits: int, seed: int) -> float:
    """Return the mAP on the digits of a method, fitted to those that are searched among."""
    gallery, labels = digits(seed)[1]
    return quality(SHALLOW_HASHERS[name].fit(gallery, labels, bits, seed).encode, seed)
