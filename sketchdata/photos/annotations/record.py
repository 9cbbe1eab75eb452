"""Common parts of the readers of annotations: the record of an annotation, text tables, and the folder of photos."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

from sketchdata.errors import ConfigError, FormatError
from sketchdata.files import regular
from sketchdata.formats.files import Fault
from sketchdata.photos.image import DAMAGE, DEFAULT_LIMITS, check_tiff, describe, sniff


class Size(NamedTuple):
    """Width and height of an upright photo in pixels."""

    width: int
    height: int


class PixelBox(NamedTuple):
    """A box in pixels of the upright photo: columns x0 to x1 - 1, rows y0 to y1 - 1, counted from 0."""

    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """One annotated object in a photo.

    Attributes:
        photo: The photo's path in its folder, with forward slashes; in URL lists its URL.
        category: The class in the spelling of the source, such as `teddy bear` or `n02084071`.
        box: The bounding box, clipped to the photo if its size is known; None for a whole photo.
        where: The place in the source, such as `dogs/a.xml: object 2`.
        flags: The flags of the source among `group` (a box around many objects), `depiction` (a drawing or toy),
            `inside` (seen from inside), `occluded`, `truncated`, `difficult`; and `turn90`, `turn180` or `turn270` if
            the upright photo must be rotated counter-clockwise.
        page: The web page with the photo.
        author: The author of the photo.
        licence: The name or URL of the licence.
        title: The title of the photo.
    """

    photo: str
    category: str
    box: PixelBox | None
    where: str
    flags: frozenset[str] = frozenset()
    page: str | None = None
    author: str | None = None
    licence: str | None = None
    title: str | None = None


Reading: TypeAlias = Annotation | Fault


def attempt(where: str, read: Callable[[], Annotation]) -> Reading:
    """Return an annotation, or a fault if it is invalid."""
    try:
        return read()
    except FormatError as error:
        return Fault(where=where, reason=error.reason, detail=error.detail)


def pixel_box(edges: tuple[float, float, float, float], size: Size | None) -> PixelBox:
    """Round edges to the nearest pixel border and clip them to the photo.

    Args:
        edges: Left, top, right and bottom in pixels; 0 is the photo's border.
        size: The size of the photo; None if it is not known yet: then only left and top are clipped.

    Raises:
        FormatError: An edge is not a finite number, or the clipped box is empty.
    """
    if not all(map(math.isfinite, edges)):
        raise FormatError("box not finite", f"{edges}")
    x0, y0, x1, y1 = (math.floor(edge + 0.5) for edge in edges)
    if x1 <= x0 or y1 <= y0:
        raise FormatError("box without area", f"left, top, right, bottom are {edges}")
    box = PixelBox(max(x0, 0), max(y0, 0), x1, y1)
    if size is not None:
        box = PixelBox(box.x0, box.y0, min(x1, size.width), min(y1, size.height))
    if box.x1 <= box.x0 or box.y1 <= box.y0:
        frame = "the photo" if size is None else f"{size.width}×{size.height}"
        raise FormatError("box outside the photo", f"left, top, right, bottom are {edges}, of {frame}")
    return box


def parse_number(value: object) -> float:
    """Return a number, or the value of a numeric string; anything else raises a FormatError."""
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise FormatError("not a number", f"{value!r:.60}")


def is_true(value: object) -> bool:
    """Return whether a flag is set: true, 1, or a string for these; -1, which means unknown, is not."""
    return str(value).strip().lower() in ("1", "1.0", "true", "yes")


# Text files, and tables with a header line.

#: {column in lower case: text}.
TableRow = dict[str, str]


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Read a file into memory.

    Raises:
        FormatError: The file cannot be read, or has more than `most` bytes.
    """
    try:
        if most is not None and path.stat().st_size > most:
            raise FormatError("file too large", f"{path} has more than {most:,} bytes")
        return regular(path).read_bytes()
    except OSError as error:
        raise FormatError("unreadable file", f"{path}: {error.strerror}") from error


def read_text(path: Path, most: int | None = None) -> str:
    """Read a file of UTF-8 text, with or without a byte order mark, into memory.

    Raises:
        FormatError: The file cannot be read, is not UTF-8, or has more than `most` bytes.
    """
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError("unreadable file", f"{path}: {error}") from error


def require_columns(names: Sequence[str], needed: Sequence[Sequence[str]], path: Path) -> None:
    """Raise a FormatError unless one column of each group exists, ignoring case."""
    have = {name.strip().lower() for name in names}
    missing = [" or ".join(group) for group in needed if not have & {name.lower() for name in group}]
    if missing:
        found = ", ".join(names)[:200] or "none"
        raise FormatError("missing columns", f"{path} has no column {', no '.join(missing)}; it has {found}")


def read_table(path: Path, *, needed: Sequence[Sequence[str]], delimiter: str = ",") -> Iterator[tuple[int, TableRow]]:
    """Yield each row's line number and {column in lower case: text}; short rows lack the last columns.

    Args:
        path: The file, in UTF-8.
        needed: Groups of columns, as for `require_columns`.
        delimiter: The delimiter of columns.

    Raises:
        FormatError: The file cannot be read, a needed column is missing, or quotes are unbalanced.
    """
    try:
        with regular(path).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, delimiter=delimiter, strict=True)
            require_columns(rows.fieldnames or (), needed, path)
            for row in rows:
                yield (
                    rows.line_num,
                    {name.strip().lower(): text for name, text in row.items() if name and text is not None},
                )
    except csv.Error as error:
        raise FormatError("broken table", f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise FormatError("not UTF-8", f"{path}: {error}") from error
    except OSError as error:
        raise FormatError("unreadable file", f"{path}: {error.strerror}") from error


# The folder of the annotated photos.

PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".avif", ".tif", ".tiff"}
)
#: Suffixes of photos, regardless of the content.
_OTHER_SUFFIXES = frozenset({".heic", ".heif", ".jxl", ".jp2", ".pjpeg", ".pjp", ".dib"})
#: Suffixes of annotations, which are not reported as skipped files.
_COMPANIONS = frozenset(
    {".cache", ".csv", ".data", ".html", ".json", ".jsonl", ".mat", ".md", ".names", ".parquet", ".py", ".tsv", ".txt"}
    | {".xml", ".yaml", ".yml"}
)
_KINDS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "AVIF", "TIFF")
_START_BYTES = 512


class StoredSize(NamedTuple):
    """Width and height of a stored photo, and its EXIF orientation, 1 to 8."""

    width: int
    height: int
    orientation: int

    @property
    def upright(self) -> Size:
        """The size of the upright photo."""
        turned = self.orientation > 4
        return Size(self.height, self.width) if turned else Size(self.width, self.height)

    def to_upright(self, box: PixelBox) -> PixelBox:
        """Convert a box of the stored pixels to the upright photo."""
        (x0, y0, x1, y1), width, height = box, self.width, self.height
        if self.orientation in (2, 3, 7, 8):
            x0, x1 = width - x1, width - x0
        if self.orientation in (3, 4, 6, 7):
            y0, y1 = height - y1, height - y0
        return PixelBox(y0, x0, y1, x1) if self.orientation > 4 else PixelBox(x0, y0, x1, y1)


def is_picture(path: Path, suffixes: frozenset[str] = PHOTO_SUFFIXES) -> bool:
    """Return whether a file is a picture by its suffix or its first bytes."""
    if path.suffix.lower() in suffixes:
        return True
    try:
        with regular(path).open("rb") as file:
            return sniff(file.read(_START_BYTES)) is not None
    except OSError:
        return False


class PhotoFolder:
    """The photos below a folder, listed once.

    A file is a photo by its suffix or else by its first bytes. Only listed files are found, so that no annotation can
    refer to a file elsewhere.

    Attributes:
        root: The folder.
        passed_over: One fault per other file that is neither hidden nor an annotation.

    Raises:
        ConfigError: The path is not a folder, or there are no files below it but annotations.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.passed_over: list[Fault] = []
        self._names: set[str] = set()
        self._by_stem: dict[str, list[str]] = {}
        self._by_last: dict[str, list[str]] = {}
        self._sizes: dict[str, StoredSize] = {}
        for path in sorted(root.rglob("*")):
            name, suffix = path.relative_to(root), path.suffix.lower()
            if suffix in _COMPANIONS or any(part.startswith(".") for part in name.parts) or not path.is_file():
                continue
            if suffix in PHOTO_SUFFIXES or self._is_photo(path, name.as_posix()):
                stem = _stem(name.as_posix())
                self._names.add(name.as_posix())
                self._by_stem.setdefault(stem, []).append(name.as_posix())
                self._by_last.setdefault(PurePosixPath(stem).name, []).append(name.as_posix())
        if not self._names and not self.passed_over:
            raise ConfigError(f"{root} is not a folder with photos ({', '.join(sorted(PHOTO_SUFFIXES))})")

    def _is_photo(self, path: Path, name: str) -> bool:
        try:
            with regular(path).open("rb") as file:
                start = file.read(_START_BYTES)
        except OSError as error:
            self.passed_over.append(Fault(where=name, reason="unreadable file", detail=f"{error.strerror}"))
            return False
        if sniff(start) is None:
            self.passed_over.append(Fault(where=name, reason="not a photo", detail=describe(start)))
            return False
        return True

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        """Yield the photos' paths in the folder, sorted."""
        return iter(sorted(self._names))

    def stems(self) -> Collection[str]:
        """Return the photos' file names, without folder and suffix."""
        return self._by_last.keys()

    def find(self, *names: str) -> str:
        """Return the path in the folder of the first name that matches a photo.

        A name is a path or a file name, with or without a suffix: annotations may omit it (ImageNet), have that of
        another format, or contain folders of another machine (VOC).

        Raises:
            FormatError: No name matches a photo, or one matches several.
        """
        tidy = [name.strip().replace("\\", "/") for name in names]
        for name in tidy:
            if name in self._names:
                return name
        stems = [_stem(name) for name in tidy]
        for index, keys in ((self._by_stem, stems), (self._by_last, [PurePosixPath(stem).name for stem in stems])):
            for key in keys:
                if len(found := index.get(key, ())) > 1:
                    raise FormatError("photo not clear", f"{key} may be any of {', '.join(found[:3])} in {self.root}")
                if found:
                    return found[0]
        raise FormatError("photo missing", f"{self.root} has no {' and no '.join(tidy)}"[:300])

    def size(self, photo: str) -> Size:
        """Return the size of a photo after applying its EXIF orientation, from its header.

        Raises:
            FormatError: The file is not a readable photo.
        """
        return self.stored_size(photo).upright

    def stored_size(self, photo: str) -> StoredSize:
        """Return the stored size of a photo, from its header.

        Raises:
            FormatError: The file is not a readable photo.
        """
        if photo not in self._sizes:
            self._sizes[photo] = _read_size(self.root / photo)
        return self._sizes[photo]


def _stem(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in PHOTO_SUFFIXES | _OTHER_SUFFIXES else str(path)


def _read_size(path: Path) -> StoredSize:
    from PIL import ExifTags, Image

    try:
        with warnings.catch_warnings(), regular(path).open("rb") as file:
            # Warnings about large photos, which are checked when decoding, and about harmless errors in tags.
            warnings.simplefilter("ignore")
            is_tiff = sniff(file.read(_START_BYTES)) == "TIFF"
            file.seek(0)
            if is_tiff:
                check_tiff(file.read(DEFAULT_LIMITS.bytes))
            with Image.open(file, formats=_KINDS) as image:
                orientation = image.getexif().get(ExifTags.Base.Orientation)
                width, height = image.size
    except (*DAMAGE, Image.DecompressionBombError, FormatError) as error:
        raise FormatError("photo not readable", f"{path}: {error}") from error
    if is_tiff and orientation in range(5, 9):
        # For this format, Pillow returns the size of the upright picture.
        width, height = height, width
    return StoredSize(width, height, orientation if orientation in range(1, 9) else 1)
