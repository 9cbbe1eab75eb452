"""Bytes that a server sent: judged, and kept under the name of their hash."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from sketchdata.collection.store import VERDICTS, StoredPhoto, examine_photo
from sketchdata.crawl.faults import PhotoError
from sketchdata.errors import FormatError
from sketchdata.photos import PhotoLimits


def keep_photo(body: bytes, folder: Path, parts: Path, limits: PhotoLimits) -> StoredPhoto:
    """Put a photo into a collection, once for all who have the same bytes.

    Args:
        body: The file's bytes.
        folder: The collection.
        parts: A folder on the same disk, for files that are being written.
        limits: What the photo may cost.

    Raises:
        PhotoError: It is not let in.
    """
    try:
        photo = examine_photo(body, limits)
    except FormatError as error:
        status, reason = VERDICTS[error.reason]
        raise PhotoError(status, reason, error.detail) from error
    if not (folder / photo.path).exists():
        _write(body, folder / photo.path, parts / secrets.token_hex(8))
    return photo


def _write(body: bytes, path: Path, part: Path) -> None:
    """Write a file that is whole, even after a power cut, as soon as it has its name."""
    with part.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    path.parent.mkdir(parents=True, exist_ok=True)
    part.replace(path)
