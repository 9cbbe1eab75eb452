"""Drawings that are probably of another class: confident learning on out-of-fold probabilities.

A small network is trained on some folds of the data set and gives the probabilities of the classes for the drawings of
the remaining one, so that no drawing is judged by a network that saw its label. Confident learning then finds the
labels that the probabilities contradict. All of it is numpy.

Source: Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70, 2021.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import DrawingBatch
from sketchdata.drawings.raster import fit
from sketchdata.drawings.sampling import ranks
from sketchdata.storage.manifest import replacing

Probabilities = npt.NDArray[np.floating]
Labels = npt.NDArray[np.integer]
Column = npt.NDArray[np.float64]

#: Features are the ink of a drawing by place and direction: a grid of cells, and directions in steps of 45°.
_GRID, _DIRECTIONS = 12, 4
FEATURES = _GRID * _GRID * _DIRECTIONS
#: Lines are cut into pieces of at most this length, in the 0..255 square.
_PIECE = 8.0
_HIDDEN = 256
_BATCH, _RATE, _DECAY, _DROPOUT = 128, 2e-3, 1e-3, 0.5
_BETAS, _EPSILON = (0.9, 0.999), 1e-8
#: Probabilities are computed for so many drawings at a time.
_CHUNK = 4096


# ---- out-of-fold probabilities ---------------------------------------------------------------------------------------


def folds_of(key_id: npt.NDArray[np.uint64], folds: int, seed: int) -> npt.NDArray[np.uint8]:
    """Return the fold of each drawing by a keyed hash of its key_id: (N,) uint8, 0..folds − 1."""
    found: npt.NDArray[np.uint8] = (ranks(key_id, seed) % np.uint64(folds)).astype(np.uint8)
    return found


def line_features(batch: DrawingBatch) -> npt.NDArray[np.uint8]:
    """Return the features of N drawings: (N, FEATURES) uint8, the ink by cell of a grid and direction of the line.

    Each piece of a line adds its length to the four nearest cells and the two nearest directions, linearly. The square
    root of a drawing's features is scaled to the unit length, and 1 is stored as 255. Drawings are centred first.

    Raises:
        FormatError: A raw coordinate is not a finite number.
    """
    points, count = fit(batch), len(batch)
    bounds = batch.points[batch.strokes]
    found = np.zeros(count * FEATURES)
    if len(points):
        owner = np.repeat(np.arange(count), np.diff(bounds))
        inked = np.flatnonzero(np.diff(bounds))
        low, high = (each.reduceat(points, bounds[inked]) for each in (np.minimum, np.maximum))
        shift = np.zeros((count, 2))
        shift[inked] = (255 - low - high) / 2
        points = points + shift[owner]
        ends = np.ones(len(points), np.bool_)
        ends[batch.points[:-1][np.diff(batch.points) > 0]] = False
        second = np.flatnonzero(ends)
        second = second[second > 0]
        step = points[second] - points[second - 1]
        length = np.hypot(step[:, 0], step[:, 1])
        pieces = np.maximum(np.ceil(length / _PIECE), 1).astype(np.int64)
        number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        share = (number + 0.5) / np.repeat(pieces, pieces)
        places = np.repeat(points[second - 1], pieces, axis=0) + share[:, None] * np.repeat(step, pieces, axis=0)
        angle = np.repeat(np.arctan2(step[:, 1], step[:, 0]) % np.pi * (_DIRECTIONS / np.pi), pieces)
        weight, base = np.repeat(length / pieces, pieces), np.repeat(owner[second], pieces) * FEATURES
        cells = np.clip(places * (_GRID / 256) - 0.5, 0, _GRID - 1)
        corner = np.minimum(cells.astype(np.int64), _GRID - 2)
        part, turn = cells - corner, angle - np.floor(angle)
        for down in (0, 1):
            rows = np.abs(1 - down - part[:, 1])
            for right in (0, 1):
                columns = np.abs(1 - right - part[:, 0])
                place = (corner[:, 1] + down) * _GRID + corner[:, 0] + right
                for more in (0, 1):
                    direction = (angle.astype(np.int64) + more) % _DIRECTIONS
                    amount = weight * rows * columns * np.abs(1 - more - turn)
                    found += np.bincount(base + place * _DIRECTIONS + direction, amount, minlength=len(found))
    roots = np.sqrt(found.reshape(count, FEATURES))
    roots /= np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-12)
    stored: npt.NDArray[np.uint8] = np.rint(255 * roots).astype(np.uint8)
    return stored


@dataclass(frozen=True, kw_only=True)
class Recogniser:
    """A network of one hidden layer on `line_features`, for C classes.

    Attributes:
        weights: [(FEATURES, 256), (256,), (256, C), (C,)] float32: weights and offsets of both layers.
    """

    weights: list[npt.NDArray[np.float32]]

    def probabilities(self, features: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the probabilities of the classes: (N, FEATURES) uint8 → (N, C) float32."""
        first, offset, second, last = self.weights
        parts = [
            _softmax(np.maximum(_scaled(features[start : start + _CHUNK]) @ first + offset, 0) @ second + last)
            for start in range(0, len(features), _CHUNK)
        ]
        return np.concatenate([np.empty((0, len(last)), np.float32), *parts])

    def write(self, path: Path) -> None:
        """Write the weights as an .npz file, whole or not at all."""
        with replacing(path) as file:
            np.savez(file, *self.weights)

    @classmethod
    def read(cls, path: Path) -> Recogniser:
        """Read what `write` wrote."""
        with np.load(path) as file:
            return cls(weights=[file[name] for name in file.files])


def train_recogniser(
    features: npt.NDArray[np.uint8], label: Labels, classes: int, *, epochs: int, seed: int
) -> Recogniser:
    """Train a recogniser by Adam on the cross-entropy, with dropout and a falling rate.

    Args:
        features: (N, FEATURES) uint8.
        label: (N,) indices of classes.
        classes: Number of classes C.
        epochs: Passes over the drawings.
        seed: Of the first weights, the order and the dropout.
    """
    random = np.random.default_rng(seed)
    weights = [
        _normal(random, (FEATURES, _HIDDEN), (2 / FEATURES) ** 0.5),
        np.zeros(_HIDDEN, np.float32),
        _normal(random, (_HIDDEN, classes), 0.01),
        np.zeros(classes, np.float32),
    ]
    moments = [[np.zeros_like(each) for each in weights] for _ in _BETAS]
    steps = epochs * -(-len(label) // _BATCH)
    for step, rows in enumerate(_batches(random, len(label), epochs)):
        gradients = _gradients(weights, _scaled(features[rows]), label[rows], random)
        rate = _RATE * (1 - step / steps)
        for place, gradient in enumerate(gradients):
            for moment, beta, power in zip(moments, _BETAS, (gradient, gradient * gradient), strict=True):
                moment[place] *= beta
                moment[place] += (1 - beta) * power
            first, second = (moment[place] / (1 - b ** (step + 1)) for moment, b in zip(moments, _BETAS, strict=True))
            decay = _DECAY * weights[place] if weights[place].ndim == 2 else 0
            weights[place] -= (rate * (first / (np.sqrt(second) + _EPSILON) + decay)).astype(np.float32)
    return Recogniser(weights=weights)


def _gradients(
    weights: list[npt.NDArray[np.float32]], inputs: npt.NDArray[np.float32], label: Labels, random: np.random.Generator
) -> list[npt.NDArray[np.float32]]:
    first, offset, second, last = weights
    kept = (random.random((len(inputs), _HIDDEN), np.float32) >= _DROPOUT).astype(np.float32) / (1 - _DROPOUT)
    hidden = np.maximum(inputs @ first + offset, 0) * kept
    error = _softmax(hidden @ second + last)
    error[np.arange(len(label)), label] -= 1
    error /= len(label)
    back = (error @ second.T) * kept * (hidden > 0)
    return [inputs.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)]


def _batches(random: np.random.Generator, count: int, epochs: int) -> Iterator[npt.NDArray[np.int64]]:
    for _ in range(epochs):
        order = random.permutation(count)
        yield from (order[start : start + _BATCH] for start in range(0, count, _BATCH))


def _normal(random: np.random.Generator, shape: tuple[int, int], scale: float) -> npt.NDArray[np.float32]:
    return (scale * random.standard_normal(shape)).astype(np.float32)


def _scaled(features: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    # Features of unit length are small: the square root of their number brings them to about 1.
    return features.astype(np.float32) * np.float32(FEATURES**0.5 / 255)


def _softmax(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: npt.NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return found


# ---- confident learning ----------------------------------------------------------------------------------------------


def self_confidence(probabilities: Probabilities, label: Labels) -> Column:
    """Return the probability of each drawing's own label: (N, C), (N,) → (N,) float64."""
    found: Column = probabilities[np.arange(len(label)), label].astype(np.float64)
    return found


def class_thresholds(confidence: Column, label: Labels, classes: int) -> Column:
    """Return each class's threshold t_j, the mean self-confidence of its drawings (Eq. 2): (C,) float64.

    The threshold of a class without drawings is infinite, so that no drawing is confidently of it.
    """
    count = np.bincount(label, minlength=classes)
    total = np.bincount(label, confidence, minlength=classes)
    found: Column = np.where(count, total / np.maximum(count, 1), np.inf)
    return found


def confident_class(probabilities: Probabilities, thresholds: Column) -> npt.NDArray[np.int64]:
    """Return the most probable of the classes whose threshold a drawing reaches (Eq. 1), −1 without one: (N,) int64."""
    # The tolerance is cleanlab's.
    reached = probabilities >= thresholds - 1e-6
    best = np.where(reached, probabilities, -1).argmax(axis=1)
    found: npt.NDArray[np.int64] = np.where(reached.any(axis=1), best, -1)
    return found


def normalised_margin(probabilities: Probabilities, label: Labels) -> Column:
    """Return (p_label − the highest p of the other classes + 1) / 2: (N,) float64; a wrong label has a low one."""
    others = probabilities.astype(np.float64)
    others[np.arange(len(label)), label] = -1
    margin: Column = (self_confidence(probabilities, label) - others.max(axis=1) + 1) / 2
    return margin


def confident_joint(label: Labels, confident: Labels, classes: int) -> npt.NDArray[np.int64]:
    """Count drawings by their label and their confident class (Eq. 1): (C, C) int64; drawings without one are left out.

    The diagonal is at least 1, as in cleanlab, so that each class has a count to calibrate.
    """
    known = confident >= 0
    cells = np.bincount(label[known].astype(np.int64) * classes + confident[known], minlength=classes * classes)
    joint: npt.NDArray[np.int64] = cells.reshape(classes, classes)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    return joint


def calibrated_joint(joint: npt.NDArray[np.int64], label: Labels) -> Column:
    """Return the estimated joint distribution of given and true labels, scaled to N drawings (Eq. 3): (C, C) float64.

    The rows are scaled to the number of drawings with each label.
    """
    count = np.bincount(label, minlength=len(joint))
    scaled = joint / joint.sum(axis=1, keepdims=True) * count[:, None]
    found: Column = scaled / max(scaled.sum(), 1) * count.sum()
    return found
