"""The photos of a collection on disk: each under the hash of its bytes, so that equal ones are there once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sketchdata.photos.collection.tables import FAILED, PHOTOS_FOLDER, REFUSED
from sketchdata.photos.image import PhotoLimits, decode, perceptual_hash, sniff
from sketchdata.storage.manifest import replacing

_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif"}
#: What `photos.decode` finds wrong, as a collection calls it: (status, error).
VERDICTS = {
    "too many bytes": (REFUSED, "too many bytes"),
    "too many pixels": (REFUSED, "too many pixels"),
    "not a picture": (REFUSED, "not a photo"),
    "truncated picture": (FAILED, "truncated photo"),
    "damaged picture": (FAILED, "damaged photo"),
}


@dataclass(frozen=True, kw_only=True)
class StoredPhoto:
    """A photo on disk; the fields are columns of photos.parquet."""

    sha256: str
    phash: int
    bytes: int
    width: int
    height: int
    format: str
    path: str


def photo_path(sha256: str, kind: str) -> str:
    """Return where a photo of a format, such as JPEG, is within its collection."""
    return f"{PHOTOS_FOLDER}/{sha256[:2]}/{sha256}{_SUFFIXES[kind]}"


def examine_photo(body: bytes, limits: PhotoLimits) -> StoredPhoto:
    """Decode a photo, and say what a collection has to know of it and where it belongs.

    Args:
        body: The file's bytes.
        limits: What the photo may cost.

    Raises:
        FormatError: It is not let in; the reason is one of VERDICTS.
    """
    photo = decode(body, limits)
    kind = sniff(body) or ""
    sha256 = hashlib.sha256(body).hexdigest()
    height, width = photo.shape[:2]
    return StoredPhoto(
        sha256=sha256,
        phash=perceptual_hash(photo),
        bytes=len(body),
        width=width,
        height=height,
        format=kind,
        path=photo_path(sha256, kind),
    )


def store_photo(body: bytes, folder: Path, limits: PhotoLimits) -> StoredPhoto:
    """Put a photo into a collection, once for all who have the same bytes.

    Raises:
        FormatError: It is not let in, see `examine_photo`.
    """
    stored = examine_photo(body, limits)
    if not _is_there(folder / stored.path, len(body)):
        with replacing(folder / stored.path) as file:
            file.write(body)
    return stored


def _is_there(path: Path, size: int) -> bool:
    """Tell whether a photo is stored already; after a power cut a file may have its name and not yet its bytes."""
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def remove_others(folder: Path, paths: set[str]) -> None:
    """Remove the files among a collection's photos that its table does not list, which unfinished runs left.

    Args:
        folder: The collection.
        paths: Of the photos that stay, within the collection.
    """
    for path in sorted((folder / PHOTOS_FOLDER).glob("*/*")):
        if path.relative_to(folder).as_posix() not in paths:
            path.unlink()
    for place in sorted((folder / PHOTOS_FOLDER).glob("*")):
        if not any(place.iterdir()):
            place.rmdir()
