"""A folder of photos that annotations speak of: finds each by the name they use, and tells its size."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from sketchdata.annotations.record import Size
from sketchdata.errors import ConfigError, FormatError
from sketchdata.photos import DAMAGE

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})

_KINDS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
#: EXIF's tag of the orientation, and its values with width and height exchanged.
_ORIENTATION, _TURNED = 0x0112, frozenset({5, 6, 7, 8})


class PhotoFolder:
    """The photos below a folder, listed once.

    What is found is always one of the listed files, so that no annotation can name a file elsewhere.

    Raises:
        ConfigError: It is not a folder, or there is no photo below it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: set[str] = set()
        self._by_stem: dict[str, list[str]] = {}
        self._by_last: dict[str, list[str]] = {}
        self._sizes: dict[str, Size] = {}
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file():
                self._add(path.relative_to(root).as_posix())
        if not self._names:
            raise ConfigError(f"{root} is no folder with photos ({', '.join(sorted(PHOTO_SUFFIXES))})")

    def _add(self, name: str) -> None:
        stem = _stem(name)
        self._names.add(name)
        self._by_stem.setdefault(stem, []).append(name)
        self._by_last.setdefault(PurePosixPath(stem).name, []).append(name)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        """Yield the photos' paths within the folder, sorted."""
        return iter(sorted(self._names))

    def stems(self) -> Collection[str]:
        """Return the photos' file names without folder and suffix."""
        return self._by_last.keys()

    def find(self, *names: str) -> str:
        """Return the path within the folder of the first name that has a photo.

        A name is a path or a file name, with any of the suffixes or without one, as annotations leave it out
        (ImageNet), keep it through a change of format, or put it behind another machine's folders (VOC).

        Raises:
            FormatError: None has a photo, or one fits several photos.
        """
        tidy = [name.strip().replace("\\", "/") for name in names]
        for name in tidy:
            if name in self._names:
                return name
        for index, keys in ((self._by_stem, map(_stem, tidy)), (self._by_last, map(_last, tidy))):
            for key in keys:
                if len(found := index.get(key, ())) > 1:
                    raise FormatError("photo not clear", f"{key} may be any of {', '.join(found[:3])} in {self.root}")
                if found:
                    return found[0]
        raise FormatError("photo missing", f"{self.root} has no {' and no '.join(tidy)}"[:300])

    def size(self, photo: str) -> Size:
        """Return the size of a photo of this folder, upright as EXIF tells, reading no more than its header.

        Raises:
            FormatError: It cannot be read as a photo.
        """
        if photo not in self._sizes:
            self._sizes[photo] = _read_size(self.root / photo)
        return self._sizes[photo]


def _stem(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in PHOTO_SUFFIXES else str(path)


def _last(name: str) -> str:
    return PurePosixPath(_stem(name)).name


def _read_size(path: Path) -> Size:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Of large and of oddly tagged photos: decoding judges the former, the latter do no harm.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_KINDS) as image:
                width, height = image.size
                turned = image.getexif().get(_ORIENTATION) in _TURNED
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise FormatError("photo not readable", f"{path}: {error}") from error
    return Size(height, width) if turned else Size(width, height)
