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
from PIL import Image, ImageCms
from skimage import data

from sketchdata.errors import FormatError
from sketchdata.photos.annotations.record import PhotoFolder
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


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
        *(("TIFF", {"compression": each}) for each in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")),
        ("TIFF", {"big_tiff": True}),
    ],
)
def test_lossless_formats_give_back_every_pixel(kind: str, options: dict[str, Any]) -> None:
    assert np.array_equal(decode(encoded(PHOTO, kind, **options)), PHOTO)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "AVIF"])
def test_lossy_formats_give_back_nearly_the_same(kind: str) -> None:
    found = decode(encoded(PHOTO, kind))
    assert found.shape == PHOTO.shape
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - PHOTO).mean() < 12


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_taken_with_a_turned_camera_stands_upright(orientation: int, kind: str, tmp_path: Path) -> None:
    # What a camera stores for each orientation, by the tag's definition: row 0 and column 0 as seen.
    stored = {
        1: PHOTO, 2: PHOTO[:, ::-1], 3: PHOTO[::-1, ::-1], 4: PHOTO[::-1],
        5: PHOTO.swapaxes(0, 1), 6: np.rot90(PHOTO), 7: PHOTO[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(PHOTO, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(np.ascontiguousarray(stored), kind, exif=exif, quality=100)
    found = decode(content)
    assert found.shape == PHOTO.shape
    assert np.abs(found.astype(int) - PHOTO).mean() < (3 if kind == "AVIF" else 1e-9)
    (tmp_path / "a").write_bytes(content)
    size = PhotoFolder(tmp_path).stored_size("a")
    assert size.upright == (PHOTO.shape[1], PHOTO.shape[0])
    assert size.orientation == orientation


def test_damaged_exif_data_do_no_harm_to_a_photo() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Canon"
    # One byte makes the maker's name the picture's width.
    damaged = exif.tobytes().replace(struct.pack(">HH", 0x010F, 2), struct.pack(">HH", 0x0100, 2))
    assert damaged != exif.tobytes()
    photo = encoded(np.ascontiguousarray(np.rot90(PHOTO)), "PNG", exif=damaged)
    assert np.array_equal(decode(photo), PHOTO)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "AVIF", "TIFF"])
def test_of_frames_and_pages_the_first_counts(kind: str) -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    found = decode(encoded(red, kind, save_all=True, append_images=[blue, blue]))
    assert np.abs(found.astype(int) - (255, 0, 0)).max() < 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "AVIF"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_becomes_white(mode: str, kind: str) -> None:
    picture = Image.new(mode, (4, 4), (0,) * len(mode))
    assert (decode(encoded(picture.convert("RGBA") if kind == "AVIF" else picture, kind)) == 255).all()


def test_a_palette_with_a_transparent_colour_becomes_white_there() -> None:
    assert (decode(encoded(Image.new("P", (4, 4), 0), "GIF", transparency=0)) == 255).all()


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    grey = np.array([[0, 256, 0x8000, 0xFFFF]], np.uint16)
    assert decode(encoded(grey, "PNG"))[0, :, 0].tolist() == [0, 1, 128, 255]


def tiff(
    pixels: Any, bits: int, photometric: int = 1, sample_format: int = 1, order: str = "<", **others: Any
) -> bytes:
    """Return an uncompressed TIFF of one strip, (H, W) or (H, W, C), with other tags, {`tag_254`: value}."""
    height, width, samples = (*pixels.shape, 1)[:3]
    content = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: samples, 278: height}
    tags |= {279: len(content), 339: sample_format} | {int(name[4:]): value for name, value in others.items()}
    entries = [struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(tags.items())]
    page = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(f"{order}I", 8 + len(content)) + content + page


@pytest.mark.parametrize("order", ["<", ">"])
def test_grey_of_a_tiff_is_scaled_by_its_depth(order: str) -> None:
    def row(values: Any, bits: int, **tags: Any) -> list[int]:
        found: list[int] = decode(tiff(values[None], bits, order=order, **tags))[0, :, 1].tolist()
        return found

    assert row(np.array([0, 256, 0x8000, 0xFFFF], np.uint16), 16) == [0, 1, 128, 255]
    assert row(np.array([-5, 0, 0x4000, 0x7FFF], np.int16), 16, sample_format=2) == [0, 0, 128, 255]
    assert row(np.array([0, 0x80000000 - 1, -1], np.int32), 32, sample_format=2) == [0, 255, 0]
    assert row(np.array([0.0, 0.5, 1.0, np.nan], np.float32), 32, sample_format=3) == [0, 127, 255, 0]
    assert row(np.array([0.0, 51.0, 255.0], np.float32), 32, sample_format=3) == [0, 51, 255]
    if order == "<":
        assert row(np.array([0, 1 << 31, (1 << 32) - 1], np.uint32), 32) == [0, 128, 255]
        assert row(np.array([0, 0xFFFF], np.uint16), 16, photometric=0) == [255, 0]
        # Two pixels of 12 bits in three bytes.
        packed = bytearray(tiff(np.array([0xFF, 0xF8, 0x00], np.uint8)[None], 12))
        packed[packed.index(struct.pack("<HHII", 256, 4, 1, 3)) + 8] = 2
        assert decode(bytes(packed))[0, :, 0].tolist() == [255, 128]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "YCbCr", "CMYK", "LAB"])
def test_a_tiff_of_any_colours_is_read(mode: str) -> None:
    picture = Image.fromarray(PHOTO)
    if mode == "LAB":
        profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
        picture = ImageCms.profileToProfile(picture, *profiles, outputMode="LAB") or picture
    else:
        picture = picture.convert(mode)
    found = decode(encoded(picture, "TIFF")).astype(int)
    expected = np.asarray(Image.fromarray(PHOTO) if mode == "LAB" else picture.convert("RGB"))
    assert np.abs(found - expected).mean() < 2.5


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind: str) -> None:
    found = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind))
    assert found[0, 0, 0] > 200
    assert found[0, 0, 1:].max() < 60


@pytest.mark.parametrize(
    ("content", "appearance"),
    [
        (b"", "nothing"),
        (b"\n <!DOCTYPE html><title>404</title>", "an HTML page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "XML or SVG"),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"II*\0\x10\0\0\0CR\2\0", "a raw photo"),
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


@pytest.mark.slow
def test_a_bomb_of_a_tiff_or_avif_is_refused_before_it_takes_memory() -> None:
    grey = np.zeros((2, 2), np.uint8)
    assert reason(tiff(grey, 8, tag_256=60_000, tag_257=60_000)) == "too many pixels"
    assert reason(tiff(grey, 8, tag_322=1 << 16, tag_323=1 << 16)) == "too many pixels"
    assert reason(encoded(np.zeros((3000, 4000), np.uint8), "AVIF"), pixels=10**6) == "too many pixels"
    # Many tags that all hold the whole file, and strips that all lie over each other.
    content = bytearray(tiff(grey, 8))
    tags = b"".join(struct.pack("<HHII", 1000 + tag, 1, 1 << 20, 0) for tag in range(50_000))
    page = len(content)
    content[4:8] = struct.pack("<I", page)
    content += struct.pack("<H", 50_000) + tags + bytes(1 << 20)
    assert reason(bytes(content)) == "truncated picture"
    strips, rows = 60_000, 900
    numbers = np.full(strips, 8, np.uint32).tobytes()
    content = bytearray(tiff(np.zeros((rows, rows), np.uint8), 8, tag_278=rows - 1))
    for tag in (273, 279):
        place = content.index(struct.pack("<HHI", tag, 4, 1))
        content[place + 4 : place + 12] = struct.pack("<II", strips, len(content))
        content += numbers
    assert reason(bytes(content)) == "damaged picture"


def test_the_preview_of_a_raw_photo_is_no_photo() -> None:
    grey = np.zeros((2, 2), np.uint8)
    for tags in ({"tag_254": 1}, {"tag_50706": 1}):
        assert reason(tiff(grey, 8, **tags)) == "not a picture"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "TIFF"])
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
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "TIFF"]),
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
