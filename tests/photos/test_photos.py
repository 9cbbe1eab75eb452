"""Photographs: what is accepted and what is refused, crops, and hashes that survive recompression."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from sketchdata.errors import FormatError
from sketchdata.photos.image import PhotoLimits, crop, decode, hamming, perceptual_hash, resize

PHOTO = resize(data.astronaut(), 96)[:64]


def encoded(picture: Any, kind: str, **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that declares a size and holds next to nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"IDAT" + zlib.compress(b"\0" * 1000)
    chunks = (
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, rows, b"IEND")
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def reason(content: bytes, **limits: int) -> str:
    with pytest.raises(FormatError) as caught:
        decode(content, PhotoLimits(**limits))
    assert caught.value.detail
    return caught.value.reason


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_give_back_every_pixel(kind: str, options: dict[str, Any]) -> None:
    assert np.array_equal(decode(encoded(PHOTO, kind, **options)), PHOTO)


@pytest.mark.parametrize("kind", ["JPEG", "GIF"])
def test_lossy_formats_give_back_nearly_the_same(kind: str) -> None:
    found = decode(encoded(PHOTO, kind))
    assert found.shape == PHOTO.shape
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - PHOTO).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_taken_with_a_turned_camera_stands_upright(orientation: int) -> None:
    # What a camera stores for each orientation, by the tag's definition: row 0 and column 0 as seen.
    stored = {
        1: PHOTO, 2: PHOTO[:, ::-1], 3: PHOTO[::-1, ::-1], 4: PHOTO[::-1],
        5: PHOTO.swapaxes(0, 1), 6: np.rot90(PHOTO), 7: PHOTO[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(PHOTO, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(encoded(np.ascontiguousarray(stored), "PNG", exif=exif)), PHOTO)


def test_damaged_exif_data_do_no_harm_to_a_photo() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Canon"
    # One byte makes the maker's name the picture's width.
    damaged = exif.tobytes().replace(struct.pack(">HH", 0x010F, 2), struct.pack(">HH", 0x0100, 2))
    assert damaged != exif.tobytes()
    photo = encoded(np.ascontiguousarray(np.rot90(PHOTO)), "PNG", exif=damaged)
    assert np.array_equal(decode(photo), PHOTO)


def test_an_animation_gives_its_first_frame() -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    animated = encoded(red, "GIF", save_all=True, append_images=[blue])
    assert (decode(animated) == (255, 0, 0)).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_becomes_white(mode: str) -> None:
    assert (decode(encoded(Image.new(mode, (4, 4), (0,) * len(mode)), "PNG")) == 255).all()


def test_a_palette_with_a_transparent_colour_becomes_white_there() -> None:
    assert (decode(encoded(Image.new("P", (4, 4), 0), "GIF", transparency=0)) == 255).all()


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    grey = np.array([[0, 256, 0x8000, 0xFFFF]], np.uint16)
    assert decode(encoded(grey, "PNG"))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_cmyk_becomes_rgb() -> None:
    found = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert found[0, 0, 0] > 200
    assert found[0, 0, 1:].max() < 60


@pytest.mark.parametrize(
    ("content", "appearance"),
    [
        (b"", "nothing"),
        (b"\n <!DOCTYPE html><title>404</title>", "an HTML page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "XML or SVG"),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"something else", "b'somethin'"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_it_looks_like(content: bytes, appearance: str) -> None:
    with pytest.raises(FormatError, match=appearance) as caught:
        decode(content)
    assert caught.value.reason == "not a picture"


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 1}, {"restart_marker_rows": 1}],
    ids=str,
)
def test_a_jpeg_without_its_end_marker_is_whole_and_one_without_pixels_is_not(options: dict[str, Any]) -> None:
    content = encoded(PHOTO, "JPEG", **options)
    assert content.endswith(b"\xff\xd9")
    assert np.array_equal(decode(content[:-2]), decode(content))
    assert np.array_equal(decode(content[:-1]), decode(content))
    assert {reason(content[: -2 - missing]) for missing in (*range(1, 40), 200, 1000)} == {"truncated picture"}


def test_limits_on_bytes_and_pixels_are_inclusive() -> None:
    content = encoded(PHOTO, "PNG")
    pixels = PHOTO.shape[0] * PHOTO.shape[1]
    assert decode(content, PhotoLimits(bytes=len(content), pixels=pixels)).shape == PHOTO.shape
    assert reason(content, bytes=len(content) - 1) == "too many bytes"
    assert reason(content, pixels=pixels - 1) == "too many pixels"


@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    # Beyond about 9,500 Pillow warns, beyond about 13,400 it refuses by itself: the reason is the same.
    assert reason(png_header(side, side)) == "too many pixels"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.9])
def test_a_picture_that_ends_early_is_called_truncated(kind: str, share: float) -> None:
    content = encoded(PHOTO, kind)
    assert reason(content[: max(int(len(content) * share), 12)]) == "truncated picture"


def test_a_picture_with_a_wrong_checksum_is_called_damaged() -> None:
    content = bytearray(encoded(PHOTO, "PNG"))
    content[content.index(b"IHDR") + 4] ^= 1
    assert reason(bytes(content)) == "damaged picture"


REFUSALS = [("not a picture",), ("too many pixels",), ("truncated picture",), ("damaged picture",)]


@pytest.mark.slow
@settings(max_examples=150)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP"]),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=6),
)
def test_damage_anywhere_gives_a_picture_or_a_format_error(kind: str, flips: list[tuple[float, int]]) -> None:
    content = bytearray(encoded(PHOTO, kind))
    for place, mask in flips:
        content[int(place * len(content))] ^= mask
    try:
        found = decode(bytes(content), PhotoLimits(pixels=10**6))
        outcome = (str(found.dtype), *found.shape[2:])
    except FormatError as error:
        outcome = (error.reason,)
    assert outcome in [("uint8", 3), *REFUSALS]


def test_a_crop_holds_the_box_and_its_margin() -> None:
    photo = np.arange(100 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 200, 3)
    assert np.array_equal(crop(photo, (50, 20, 90, 60), context=0.1), photo[16:64, 46:94])
    assert np.array_equal(crop(photo, (-10, -10, 40, 500), context=0.5), photo[:, :60])


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 10, 10, 90), "impossible box"),
        ((float("nan"), 0, 50, 50), "impossible box"),
        ((0, 0, float("inf"), 50), "impossible box"),
        ((200, 0, 250, 50), "box outside the photo"),
        ((190, 0, 250, 31), "box too small"),
    ],
)
def test_boxes_that_give_no_picture_are_refused(box: tuple[float, float, float, float], expected: str) -> None:
    with pytest.raises(FormatError) as caught:
        crop(np.zeros((100, 200, 3), np.uint8), box, min_size=32)
    assert caught.value.reason == expected


def test_a_thin_box_is_large_enough_by_its_longer_side() -> None:
    assert crop(np.zeros((100, 200, 3), np.uint8), (0, 0, 100, 2), context=0, min_size=32).shape == (2, 100, 3)


@pytest.mark.parametrize(("shape", "expected"), [((50, 100), (16, 32)), ((20, 10), (32, 16)), ((1, 500), (1, 32))])
def test_resizing_sets_the_longer_side(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resize(np.zeros((*shape, 3), np.uint8), 32).shape == (*expected, 3)


PHOTOS = {"astronaut": data.astronaut(), "coffee": data.coffee(), "cat": data.cat(), "rocket": data.rocket()}


@pytest.mark.parametrize("name", PHOTOS)
def test_the_hash_stays_near_when_a_photo_is_shrunk_recompressed_or_brightened(name: str) -> None:
    photo = PHOTOS[name]
    known = perceptual_hash(photo)
    assert 0 <= known < 2**64
    brighter = np.clip(photo.astype(int) + 20, 0, 255).astype(np.uint8)
    for changed in (resize(photo, 200), decode(encoded(photo, "JPEG", quality=30)), brighter):
        assert hamming(known, perceptual_hash(changed)) <= 6


def test_hashes_of_different_photos_are_far_apart() -> None:
    hashes = [perceptual_hash(photo) for photo in PHOTOS.values()]
    assert min(hamming(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) >= 18


def test_a_blank_photo_has_the_hash_zero_whatever_its_colour() -> None:
    assert {perceptual_hash(np.full((40, 60, 3), level, np.uint8)) for level in (0, 77, 255)} == {0}


def test_the_distance_counts_differing_bits() -> None:
    assert hamming(0, 2**64 - 1) == 64
    assert hamming(0b1010, 0b0110) == 2


@pytest.mark.skipif("SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no real photos")
def test_real_photos_decode_to_the_size_that_their_header_says() -> None:
    folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "photos" / "coco128" / "images"
    paths = sorted(folder.rglob("*.jpg"))[:40]
    assert paths
    for path in paths:
        with Image.open(path) as image:
            assert decode(path.read_bytes()).shape == (image.height, image.width, 3)
