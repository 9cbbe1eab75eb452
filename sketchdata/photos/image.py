"""Operations on photos: decoding within limits, cropping, resizing, perceptual hashing."""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError, features

from sketchdata.drawings.drawing import Drawing
from sketchdata.errors import FormatError
from sketchdata.formats import tracing

#: (H, W, 3) uint8 RGB.
Photo = npt.NDArray[np.uint8]

#: {EXIF orientation: transform to upright}. Source: CIPA DC-008 (Exif 2.32), tag Orientation. `ImageOps.exif_transpose`
#: also rewrites the EXIF data, which fails if they are damaged, even if the picture is intact.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: End markers, near the end of a complete file.
_ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND", "GIF": b";"}
_TAIL_BYTES = 64
#: First bytes of unsupported pictures, and of files that are often found instead of pictures; a space is any byte.
_OTHER_STARTS = (
    ("HEIC", (b"    ftyphei", b"    ftyphev", b"    ftypmif1", b"    ftypmsf1")),
    ("a raw photo", (b"II*\0    CR",)),
    ("JPEG XL", (b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    ("JPEG 2000", (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")),
    ("Photoshop's format", (b"8BPS",)),
    ("an icon", (b"\0\0\1\0",)),
    ("a PDF", (b"%PDF",)),
    ("a video", (b"    ftyp", b"RIFF    AVI ", b"\x1a\x45\xdf\xa3")),
    ("a ZIP archive", (b"PK\3\4",)),
    ("an HTML page", (b"<!doctype html", b"<html", b"<head", b"<body")),
    ("XML or SVG", (b"<?xml", b"<svg")),
)
#: First bytes of TIFF and BigTIFF; size of a value by its type; and the tags that are checked before Pillow. Source:
#: Adobe's TIFF 6.0; DNG 1.4 for its version.
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SUBFILE, _BITS, _PHOTOMETRIC, _SAMPLE_FORMAT, _DNG_VERSION = 254, 258, 262, 339, 50706
_TILE_SIDES, _STRIPS, _TILES = (322, 323), (273, 279), (324, 325)
_WHITE_IS_ZERO, _SIGNED = 0, 2
#: Maximum number of strips, tiles or tags of a TIFF; Pillow needs about 300 bytes for each.
_MOST_PARTS = 100_000
#: Two kinds of bytes before a JPEG's end marker, data and restart markers with data: they change no pixel if all pixels
#: are there, and some pixels otherwise.
_OTHER_TAIL = b"\xaa" * 64 + b"".join(bytes([0xFF, 0xD0 + number]) + b"\xaa" * 64 for number in range(8))
#: Exceptions of Pillow's readers on damaged files, by format.
DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)
_WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
_HASH_SIDE = 8
_HASHED_SIDE = 32


@dataclass(frozen=True, kw_only=True)
class PhotoLimits:
    """Limits of decoded photos: size of the file in bytes, and pixels by its header (Pillow's limit is 178,956,970)."""

    bytes: int = 20 << 20
    pixels: int = 50_000_000


DEFAULT_LIMITS = PhotoLimits()


def sniff(data: bytes) -> str | None:
    """Return the format by the first bytes: JPEG, PNG, WEBP, BMP, GIF, AVIF or TIFF; None for anything else."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        # The major brand, and the compatible brands after its version.
        end = min(int.from_bytes(data[:4], "big"), len(data))
        brands = {data[place : place + 4] for place in (8, *range(16, end, 4))}
        return "AVIF" if brands & {b"avif", b"avis"} else None
    if data.startswith(_TIFF_STARTS):
        return None if data[8:10] == b"CR" else "TIFF"
    return "BMP" if data.startswith(b"BM") else None


def decode(data: bytes, limits: PhotoLimits = DEFAULT_LIMITS, *, ground: str = "white") -> Photo:
    """Decode a JPEG, PNG, WebP, BMP, GIF, AVIF or TIFF, by content and not by name, to (H, W, 3) uint8 RGB.

    A JPEG may lack its end marker. The EXIF orientation is applied, transparent pixels are composited on the colour
    `ground`, grey of more than 8 bits is scaled, and the first frame or page is decoded. Limits are checked by the
    file's length and header, before pixels are decoded.

    Raises:
        FormatError: `too many bytes`, `not a picture`, `too many pixels`, `truncated picture` or `damaged picture`.
    """
    if len(data) > limits.bytes:
        raise FormatError("too many bytes", f"{len(data):,} where at most {limits.bytes:,} are accepted")
    kind = sniff(data)
    if kind is None:
        raise FormatError(
            "not a picture", f"{describe(data)} where JPEG, PNG, WebP, BMP, GIF, AVIF or TIFF was expected"
        )
    if kind == "AVIF" and not features.check("avif"):
        raise FormatError("not a picture", "AVIF, which this build of Pillow does not read")
    try:
        # Pillow warns of large pictures, which the limits reject, and of harmless errors in tags.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode_within(data, kind, limits, ground)
    except Image.DecompressionBombError as error:
        raise FormatError("too many pixels", str(error)) from error
    except DAMAGE as error:
        if kind == "JPEG" and (photo := _decode_without_end(data, limits)) is not None:
            return photo
        if kind == "WEBP":
            short = len(data) < 12 or int.from_bytes(data[4:8], "little") + 8 > len(data)
        elif kind == "AVIF":
            short = _ends_within_a_box(data)
        else:
            short = "truncated" in str(error).lower() or _ENDINGS.get(kind, b"") not in data[-_TAIL_BYTES:]
        reason = "truncated picture" if short else "damaged picture"
        unknown = isinstance(error, UnidentifiedImageError)
        detail = "damaged, or of pixels or a compression that are not read" if unknown else str(error)
        raise FormatError(reason, f"{kind} of {len(data):,} bytes: {detail}") from error


def describe(data: bytes) -> str:
    """Describe a file that `decode` does not support by its first bytes: `HEIC`, `an HTML page` and so on."""
    text = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for name, starts in _OTHER_STARTS:
        for start in starts:
            masked = bytes(32 if mask == 32 else byte for byte, mask in zip(data, start, strict=False))
            if masked == start or text.startswith(start):
                return name
    return f"bytes that begin with {data[:8]!r}" if text else "nothing"


def _decode_without_end(data: bytes, limits: PhotoLimits) -> Photo | None:
    """Decode a JPEG that lacks only its end marker; None if pixels are missing, too.

    libjpeg fills missing pixels from the bytes that follow, so two different endings must give the same pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ends = (_ENDINGS["JPEG"], _OTHER_TAIL + _ENDINGS["JPEG"])
            # Half of an end marker is removed.
            whole = data.removesuffix(b"\xff")
            first, second = (_decode_within(whole + end, "JPEG", limits) for end in ends)
    except DAMAGE:
        return None
    return first if np.array_equal(first, second) else None


def trace_picture(data: bytes, word: str = "", limits: PhotoLimits = DEFAULT_LIMITS) -> Drawing:
    """Trace a picture of a drawing, in any format of `decode`, see `tracing.trace`.

    Raises:
        FormatError: As for `decode` and `trace`.
    """
    try:
        return tracing.trace(decode(data, limits), word)
    except FormatError as error:
        if error.reason != "empty drawing":
            raise
    # White ink on transparency is visible on black.
    return tracing.trace(decode(data, limits, ground="black"), word)


def _decode_within(data: bytes, kind: str, limits: PhotoLimits, ground: str = "white") -> Photo:
    if kind == "TIFF":
        check_tiff(data, limits)
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        if image.width * image.height > limits.pixels:
            found = f"{image.width:,} × {image.height:,}"
            raise FormatError("too many pixels", f"{found} where at most {limits.pixels:,} in all are accepted")
        # Each colour plane has its own strips.
        parts = image.tile if kind == "TIFF" else []
        if sum((x1 - x0) * (y1 - y0) for _, (x0, y0, x1, y1), *_ in parts) > 8 * image.width * image.height:
            raise ValueError("its strips overlap")
        image.load()
        # For a TIFF, Pillow has already applied the orientation.
        turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        return _rgb(image if turn is None else image.transpose(turn), ground)


def check_tiff(data: bytes, limits: PhotoLimits = DEFAULT_LIMITS) -> None:
    """Check the tags of a TIFF's first page before Pillow allocates the memory that they declare.

    Raises:
        FormatError: The first page is a preview, or has tiles of too many pixels.
        ValueError: Tags or pixels are beyond the end of the file, or too many.
    """
    tags = _tiff_tags(data)
    first = {tag: int(values[0]) for tag, values in tags.items() if len(values)}
    if first.get(_SUBFILE, 0) & 1 or _DNG_VERSION in tags:
        raise FormatError("not a picture", "a TIFF that begins with a preview, as raw photos do")
    if math.prod(first.get(side, 1) for side in _TILE_SIDES) > limits.pixels:
        raise FormatError("too many pixels", f"tiles of more than the {limits.pixels:,} that are accepted in all")
    for starts, lengths in (_STRIPS, _TILES):
        if starts in tags and lengths in tags:
            count = min(len(tags[starts]), len(tags[lengths]))
            if count > _MOST_PARTS:
                raise ValueError(f"{count:,} strips or tiles, more than {_MOST_PARTS:,}")
            ends = tags[starts][:count].astype(np.float64) + tags[lengths][:count]
            if ends.max(initial=0) > len(data):
                raise ValueError("truncated, as some of its pixels lie beyond its end")


def _tiff_tags(data: bytes) -> dict[int, npt.NDArray[np.unsignedinteger[Any]]]:
    order, wide = ("<" if data.startswith(b"II") else ">"), 43 in data[2:4]

    def numbers(place: int, size: int, count: int) -> npt.NDArray[np.unsignedinteger[Any]]:
        if place + size * count > len(data):
            raise ValueError("truncated, as a part of it lies beyond its end")
        return np.frombuffer(data, f"{order}u{size}", count, place)

    def number(place: int, size: int) -> int:
        return int(numbers(place, size, 1)[0])

    width, counted = (8, 8) if wide else (4, 2)
    page = number(8 if wide else 4, width)
    tags = dict[int, npt.NDArray[np.unsignedinteger[Any]]]()
    stated = 0
    for entry in range(min(number(page, counted), _MOST_PARTS)):
        place = page + counted + entry * (4 + 2 * width)
        tag, size = number(place, 2), _TIFF_BYTES.get(number(place + 2, 2), 0)
        count, place = number(place + 4, width), place + 4 + width
        stated += size * count
        if stated > 2 * len(data):
            raise ValueError("truncated, or its tags hold more than it does")
        if size and tag in (_SUBFILE, _DNG_VERSION, *_TILE_SIDES, *_STRIPS, *_TILES):
            tags[tag] = numbers(place if size * count <= width else number(place, width), size, count)
    return tags


def _ends_within_a_box(data: bytes) -> bool:
    place = 0
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        size = int.from_bytes(data[place + 8 : place + 16], "big") if size == 1 else size
        # Size 0 means that the last box extends to the end.
        place += size or len(data) - place
    return place != len(data)


def _rgb(image: Image.Image, ground: str) -> Photo:
    if image.mode.startswith(("I", "F")):
        # Pillow would clip to 255 instead of scaling.
        values, tags = np.asarray(image), getattr(image, "tag_v2", {})
        if image.mode == "F":
            values = np.nan_to_num(values, posinf=0, neginf=0)
            grey = (np.clip(values, 0, None) * (255 / max(float(values.max(initial=0)), 1))).astype(np.uint8)
        else:
            signed = tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED
            bits = tags.get(_BITS, (16,))[0] - signed
            values = values if signed or values.dtype != np.int32 else values.view(np.uint32)
            grey = (np.clip(values, 0, 2**bits - 1) >> (bits - 8)).astype(np.uint8)
        grey = 255 - grey if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else grey
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, ground), image)
    return np.array(image.convert("RGB"))


def crop(photo: Photo, box: tuple[float, float, float, float], *, context: float = 0.1, min_size: int = 32) -> Photo:
    """Cut out an annotated box with a margin.

    Args:
        photo: (H, W, 3) uint8.
        box: The object; it is clipped to the photo.
        context: The margin on each side, as a share of the box's width or height; it is clipped to the photo.
        min_size: The minimum length in pixels of the box's longer side. The shorter side has no minimum: snakes and
            pencils are thin.

    Returns:
        (h, w, 3) uint8, a copy.

    Raises:
        FormatError: `impossible box` (not finite, or empty), `box outside the photo` or `box too small`.
    """
    left, top, right, bottom = box
    if not all(map(math.isfinite, box)) or right <= left or bottom <= top:
        raise FormatError("impossible box", f"{box} where left < right and top < bottom were expected")
    height, width = photo.shape[:2]
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if right <= left or bottom <= top:
        raise FormatError("box outside the photo", f"{box} on a photo of {width} × {height}")
    if max(right - left, bottom - top) < min_size:
        raise FormatError("box too small", f"{right - left:g} × {bottom - top:g} where {min_size} is the least")
    wide, high = context * (right - left), context * (bottom - top)
    rows = slice(max(math.floor(top - high), 0), min(math.ceil(bottom + high), height))
    columns = slice(max(math.floor(left - wide), 0), min(math.ceil(right + wide), width))
    return photo[rows, columns].copy()


def resize(photo: Photo, longer: int) -> Photo:
    """Scale (H, W, 3) uint8 so that the longer side has `longer` pixels; the shorter side has at least one."""
    height, width = photo.shape[:2]
    scale = longer / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    # Area averaging has no aliasing, but is blocky when enlarging.
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8)


def perceptual_hash(photo: Photo) -> int:
    """Return a 64-bit hash that changes little under scaling, recompression and slight changes of colour.

    Source: pHash's DCT hash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010): grey,
    averaged to 32 × 32; the 8 × 8 lowest frequencies of its DCT without the first row and column; a bit is set if its
    frequency is above their median, the lowest frequency as the highest bit.
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float64)
    small = cv2.resize(grey, (_HASHED_SIDE, _HASHED_SIDE), interpolation=cv2.INTER_AREA)
    # Rounded, since the zeros of an empty picture are noise of either sign.
    low = np.asarray(cv2.dct(small), np.float64)[1 : _HASH_SIDE + 1, 1 : _HASH_SIDE + 1].round(3)
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def hamming(first: int, second: int) -> int:
    """Return the number of bits in which two hashes differ: 0..64."""
    return (first ^ second).bit_count()
