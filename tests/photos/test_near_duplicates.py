"""Near duplicates: every pair of near hashes is found, and what goes nearly equals what stays."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from sketchdata.errors import ConfigError
from sketchdata.photos.image import Photo, hamming, perceptual_hash, resize
from sketchdata.photos.near_duplicates import MOST_BITS, Hashes, Thumbnails, kept_of, near_pairs, thumbnail

RANDOM = np.random.default_rng(20170301)


@st.composite
def clustered(draw: st.DrawFn) -> list[int]:
    """Some hashes, and others that differ from them in a few bits."""
    hashes = draw(st.lists(st.integers(0, 2**64 - 1), min_size=0, max_size=6))
    for _ in range(draw(st.integers(0, 25)) if hashes else 0):
        bits = draw(st.sets(st.integers(0, 63), max_size=MOST_BITS + 2))
        hashes.append(draw(st.sampled_from(hashes)) ^ sum(1 << bit for bit in bits))
    return hashes


def array(hashes: list[int]) -> Hashes:
    return np.array(hashes, np.uint64)


def random_thumbnails(count: int) -> Thumbnails:
    return RANDOM.integers(0, 256, (count, 256), np.uint8)


@pytest.mark.slow
@settings(max_examples=300)
@given(hashes=clustered(), bits=st.integers(0, MOST_BITS))
def test_all_near_pairs_are_found_and_no_others(hashes: list[int], bits: int) -> None:
    distinct = sorted(set(hashes))
    pairs = combinations(range(len(distinct)), 2)
    expected = [[i, j] for i, j in pairs if hamming(distinct[i], distinct[j]) <= bits]
    assert near_pairs(array(distinct), bits).tolist() == expected


def test_planted_pairs_are_found_among_a_hundred_thousand() -> None:
    hashes = np.unique(RANDOM.integers(0, 2**64, 100_000, np.uint64))
    flips = np.array([sum(1 << int(bit) for bit in RANDOM.choice(64, 4, replace=False)) for _ in range(500)], np.uint64)
    planted = hashes[:500] ^ flips
    found = near_pairs(np.concatenate([hashes, planted]), 4)
    assert {(row, len(hashes) + row) for row in range(500)} <= set(map(tuple, found.tolist()))
    # By chance, a pair in 10^13 is so near.
    assert len(found) == 500


@pytest.mark.parametrize("bits", [-1, MOST_BITS + 1])
def test_a_distance_out_of_range_is_refused(bits: int) -> None:
    with pytest.raises(ConfigError, match="0 to 10 bits"):
        near_pairs(array([1, 2]), bits)


# ---- which ones stay -------------------------------------------------------------------------------------------------


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.astype(float), second.astype(float))[0, 1])


def plainly_kept(hashes: list[int], thumbnails: Thumbnails, bits: int) -> list[int]:
    """Return what `kept_of` should, by going through the pictures one by one."""
    kept: list[int] = []
    result = []
    for row, value in enumerate(hashes):
        alike = (
            other
            for other in kept
            if hamming(hashes[other], value) <= bits and correlation(thumbnails[other], thumbnails[row]) >= 0.8
        )
        result.append(next(alike, row))
        if result[-1] == row:
            kept.append(row)
    return result


@pytest.mark.slow
@settings(max_examples=150)
@given(hashes=clustered(), bits=st.integers(0, MOST_BITS), seed=st.integers(0, 2**32))
def test_each_picture_goes_for_the_first_that_stays_and_nearly_equals_it(
    hashes: list[int], bits: int, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    kinds = chance.integers(0, 256, (2, 256)).astype(float)
    noise = chance.normal(0, chance.uniform(10, 70, (len(hashes), 1)), (len(hashes), 256))
    thumbnails = np.clip(kinds[chance.integers(0, 2, len(hashes))] + noise, 0, 255).astype(np.uint8)
    assert kept_of(array(hashes), thumbnails, bits).tolist() == plainly_kept(hashes, thumbnails, bits)


def test_what_is_near_to_one_that_goes_and_not_to_one_that_stays_stays() -> None:
    chain = array([0b0000, 0b0011, 0b1111, 0b111111])
    alike = np.repeat(random_thumbnails(1), 4, axis=0)
    assert kept_of(chain, alike, 2).tolist() == [0, 0, 2, 2]


def test_equal_hashes_of_unlike_pictures_say_nothing() -> None:
    assert kept_of(array([7, 7, 7]), random_thumbnails(3), 4).tolist() == [0, 1, 2]


def test_blank_pictures_do_not_swallow_each_other() -> None:
    blank = np.repeat(np.array([[0], [90], [90], [255]], np.uint8), 256, axis=1)
    assert kept_of(array([0, 0, 0, 0]), blank, 4).tolist() == [0, 1, 2, 3]


def test_ten_thousand_equal_pictures_are_one_group() -> None:
    hashes = np.full(10_000, 5, np.uint64)
    assert not kept_of(hashes, np.repeat(random_thumbnails(1), 10_000, axis=0), 4).any()


def test_no_pictures_are_no_fault() -> None:
    assert len(kept_of(array([]), random_thumbnails(0), 4)) == 0


# ---- on photographs --------------------------------------------------------------------------------------------------

PHOTOS = [data.astronaut(), data.coffee(), data.cat(), data.rocket()]


def recompressed(photo: Photo) -> Photo:
    _, content = cv2.imencode(".jpg", photo, (cv2.IMWRITE_JPEG_QUALITY, 50))
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


def test_copies_of_photos_go_and_the_photos_stay() -> None:
    copies = [recompressed(resize(photo, 240)) for photo in PHOTOS]
    brighter = [np.clip(photo.astype(int) + 25, 0, 255).astype(np.uint8) for photo in PHOTOS]
    pictures = [*PHOTOS, *copies, *brighter]
    thumbnails = np.frombuffer(b"".join(map(thumbnail, pictures)), np.uint8).reshape(-1, 256)
    found = kept_of(array([perceptual_hash(picture) for picture in pictures]), thumbnails, 6)
    assert found.tolist() == [0, 1, 2, 3] * 3


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (16, 16)])
def test_a_thumbnail_has_256_values_whatever_the_shape(shape: tuple[int, int]) -> None:
    assert thumbnail(np.full((*shape, 3), 77, np.uint8)) == bytes([77]) * 256
