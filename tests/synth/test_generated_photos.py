"""Generated photos: the same for the same numbers, of every class, and with the edges of what they are to show."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from sketchdata.edges.filters import canny
from sketchdata.errors import ConfigError
from sketchdata.photos.image import decode
from sketchdata.storage.catalog import manifest_path, read_classes
from sketchdata.synth.photos import LEAST_SIDE, MOST_SIDE, jpeg, photograph

WORDS = read_classes(manifest_path("quickdraw-categories.txt"))


def edges(word: str, index: int, side: int = 128) -> npt.NDArray[np.bool_]:
    return canny(photograph(word, index, seed=7, side=side)) > 0


def shape_of(word: str, index: int) -> npt.NDArray[np.float64]:
    """Return where a photo's edges are, cut out and vaguely, as a vector of length 1."""
    found = edges(word, index)
    rows, columns = (np.flatnonzero(found.any(axis=axis)) for axis in (1, 0))
    cut = found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    vague = cv2.GaussianBlur(cv2.resize(cut, (32, 32), interpolation=cv2.INTER_AREA), (0, 0), 1.5).astype(np.float64)
    vague -= vague.mean()
    return vague.ravel() / np.linalg.norm(vague)


def test_a_photo_depends_on_word_number_seed_and_side_alone() -> None:
    first = photograph("house", 3, seed=1, side=96)
    photograph("cat", 0, seed=1, side=96)
    assert first.shape == (96, 96, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, photograph("house", 3, seed=1, side=96))
    others = [("house", 4, 1), ("house", 3, 2), ("barn", 3, 1)]
    assert all(not np.array_equal(first, photograph(word, index, seed=seed, side=96)) for word, index, seed in others)


@pytest.mark.parametrize("threads", [1, 3])
def test_it_does_not_depend_on_how_many_threads_opencv_uses(threads: int) -> None:
    usual, before = photograph("cat", 0, seed=1), cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        assert np.array_equal(photograph("cat", 0, seed=1), usual)
    finally:
        cv2.setNumThreads(before)


@pytest.mark.slow
def test_every_category_has_a_photo_with_edges() -> None:
    inked = {word: edges(word, 0, side=LEAST_SIDE).mean() for word in WORDS}
    assert min(inked.values()) > 0.005, min(inked, key=inked.__getitem__)
    assert max(inked.values()) < 0.4, max(inked, key=inked.__getitem__)


@pytest.mark.slow
def test_the_edges_tell_classes_apart() -> None:
    words = ("house", "star", "fish", "umbrella")
    known = np.stack([np.mean([shape_of(word, index) for index in range(12)], axis=0) for word in words])
    hits = [np.argmax(known @ shape_of(word, index)) == at for at, word in enumerate(words) for index in range(12, 24)]
    # By chance it would be 1 in 4.
    assert np.mean(hits) > 0.6


def test_outlines_are_double_in_places_and_there_are_edges_beside_the_subject() -> None:
    # A drawing's circle is one line; of the photos' circles some have an edge on either side of their outline, and the
    # ground has edges too.
    found = [np.count_nonzero(edges("circle", index)) for index in range(12)]
    assert max(found) > 1.5 * min(found)
    corner = [edges("circle", index)[:12, :].any() or edges("circle", index)[-12:, :].any() for index in range(12)]
    assert any(corner)
    assert not all(corner)


def test_the_jpeg_holds_the_photo() -> None:
    photo, file = photograph("cat", 5, seed=2), jpeg("cat", 5, seed=2)
    assert file == jpeg("cat", 5, seed=2)
    assert np.abs(decode(file).astype(int) - photo).mean() < 6


@pytest.mark.parametrize(("index", "side"), [(-1, 256), (0, LEAST_SIDE - 1), (0, MOST_SIDE + 1)])
def test_numbers_out_of_range_are_refused(index: int, side: int) -> None:
    with pytest.raises(ConfigError, match=f"photo {index} of 'cat' with a side of {side}"):
        photograph("cat", index, seed=0, side=side)
