"""What becomes of one photo's annotations: a crop of each, or the reason why there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sketchdata.errors import FormatError
from sketchdata.near_duplicates import thumbnail
from sketchdata.photos import DEFAULT_LIMITS, Photo, PhotoLimits, crop, decode, perceptual_hash, resize
from sketchdata.saliency import salient_box
from sketchdata.shards.pictures import Box, picture_id

#: {name: suffix, parameters for OpenCV}. JPEG keeps colours at full resolution: detectors look at edges of colour too.
ENCODINGS: dict[str, tuple[str, tuple[int, ...]]] = {
    "jpeg": (
        ".jpg",
        (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ),
    "png": (".png", ()),
}
NO_BOX = ("whole", "saliency", "skip")

#: One annotation with the columns of its photo, as `annotations_of` has them.
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class CropRules:
    """How a photo is cropped.

    Attributes:
        context: The margin on each side of a box, as a share of its width or height.
        min_size: The least length in pixels of a box's longer side.
        longest_side: Larger crops are shrunk to it, in pixels.
        format: A key of ENCODINGS.
        no_box: Of NO_BOX: what is done about an annotation without a box.
        skip_flags: Annotations with one of these are left out.
    """

    context: float
    min_size: int
    longest_side: int
    format: str
    no_box: str
    skip_flags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A crop, and what is needed to find its duplicates.

    Attributes:
        annotation: What it was made from.
        key_id: Of `picture_id`.
        box: The annotated box, clipped to the photo; None without one.
        image: The encoded picture.
        width: In pixels.
        height: In pixels.
        phash: Of `perceptual_hash`.
        thumbnail: Of `near_duplicates.thumbnail`.
        area: Of the crop in pixels of the photo, before it was shrunk.
    """

    annotation: Row
    key_id: int
    box: Box | None
    image: bytes
    width: int
    height: int
    phash: int
    thumbnail: bytes
    area: int


@dataclass(frozen=True, kw_only=True)
class Reject:
    """An annotation without a crop: why, in words fit for a table of counts, and what was found."""

    annotation: Row
    reason: str
    detail: str = ""

    def line(self) -> dict[str, Any]:
        """Return what the list of rejects says."""
        told = {name: self.annotation[name] for name in ("photo", "word", "category", "where")}
        return {**told, "box": _stated_box(self.annotation), "reason": self.reason, "detail": self.detail}


def crop_photo(data: bytes, annotations: Sequence[Row], rules: CropRules) -> Iterator[Crop | Reject]:
    """Yield what becomes of each annotation of one photo. It is decoded once, and only if anything can be cropped.

    Args:
        data: The photo's file.
        annotations: All of them, also when the photo was found under several names.
        rules: How to crop.
    """
    boxed = {row["word"] for row in annotations if _stated_box(row) is not None}
    wanted = []
    for row in annotations:
        refusal = _refusal(row, rules, boxed)
        if refusal is None:
            wanted.append(row)
        else:
            yield refusal
    if not wanted:
        return
    try:
        photo = decode(data, _limits(data, wanted[0]))
    except FormatError as error:
        yield from (Reject(annotation=row, reason=error.reason, detail=error.detail) for row in wanted)
        return
    for row in wanted:
        try:
            yield _crop(photo, row, rules)
        except FormatError as error:
            yield Reject(annotation=row, reason=error.reason, detail=error.detail)


def _stated_box(row: Row) -> Box | None:
    return None if row["x0"] is None else (row["x0"], row["y0"], row["x1"], row["y1"])


def _refusal(row: Row, rules: CropRules, boxed: set[str]) -> Reject | None:
    """Return why an annotation is left out before its photo is looked at; None when it is not."""
    flags = [flag for flag in rules.skip_flags if flag in (row["flags"] or ())]
    if flags:
        return Reject(annotation=row, reason=f"flagged {flags[0]}")
    if _stated_box(row) is not None:
        return None
    if rules.no_box == "skip":
        return Reject(annotation=row, reason="no box")
    # The whole photo would show once more what the box shows, or what the box was left out for.
    return Reject(annotation=row, reason="boxed already") if row["word"] in boxed else None


def _limits(data: bytes, row: Row) -> PhotoLimits:
    # What was let in when it was collected, perhaps with other limits, is let in here.
    pixels = (row["width"] or 0) * (row["height"] or 0)
    return PhotoLimits(bytes=max(len(data), DEFAULT_LIMITS.bytes), pixels=max(pixels, DEFAULT_LIMITS.pixels))


def _crop(photo: Photo, row: Row, rules: CropRules) -> Crop:
    """Crop one annotation.

    Raises:
        FormatError: Its box lies outside the photo, or is too small.
    """
    box, part = _stated_box(row), _part(photo, row, rules)
    if box is not None:
        # Boxes of lists of addresses were written down by people who knew the photo's size; we did not until now.
        box = max(box[0], 0), max(box[1], 0), min(box[2], photo.shape[1]), min(box[3], photo.shape[0])
    height, width = part.shape[:2]
    picture = resize(part, rules.longest_side) if max(height, width) > rules.longest_side else part
    return Crop(
        annotation=row,
        key_id=picture_id(row["sha256"], box, row["word"]),
        box=box,
        image=encode(picture, rules.format),
        width=picture.shape[1],
        height=picture.shape[0],
        phash=perceptual_hash(picture),
        thumbnail=thumbnail(picture),
        area=height * width,
    )


def _part(photo: Photo, row: Row, rules: CropRules) -> Photo:
    """Return what shall be seen of a photo, (h, w, 3) uint8."""
    box, context = _stated_box(row), rules.context
    if box is None:
        salient = salient_box(photo) if rules.no_box == "saliency" else None
        if salient is None:
            box, context = (0, 0, photo.shape[1], photo.shape[0]), 0.0
        else:
            box = salient
    return crop(photo, box, context=context, min_size=rules.min_size)


def encode(picture: Photo, format: str) -> bytes:
    """Encode (H, W, 3) uint8 RGB as ENCODINGS says; the same pixels give the same bytes.

    Raises:
        FormatError: OpenCV cannot.
    """
    suffix, parameters = ENCODINGS[format]
    encoded, content = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), parameters)
    if not encoded:
        raise FormatError("not encodable", f"{picture.shape[1]} × {picture.shape[0]} pixels as {format}")
    return bytes(content.tobytes())


def content_hash(image: bytes) -> np.uint64:
    """Return 64 bits of a hash of an encoded picture: equal for equal ones."""
    return np.uint64(int.from_bytes(hashlib.sha256(image).digest()[:8], "big"))
