"""The folders of photos with labels that a user names as sources of a collection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sketchdata.annotations.layouts import (
    LabelledPhotos,
    open_coco,
    open_folders,
    open_imagenet,
    open_open_images,
    open_voc,
    open_yolo,
)
from sketchdata.collection.gathering import Origin
from sketchdata.errors import ConfigError
from sketchdata.manifest import hash_file

_OPENERS: dict[str, Callable[[Path], LabelledPhotos]] = {
    "imagenet": open_imagenet,
    "folders": open_folders,
    "voc": open_voc,
    "yolo": open_yolo,
    "open_images": open_open_images,
}
#: Open Images' tables are of millions of photos, of which hardly anybody has all.
_UNLISTED = {"open_images": ("photo missing",)}


@dataclass(frozen=True, kw_only=True)
class LocalSource:
    """A folder of photos with labels, to be opened when its turn comes.

    Attributes:
        origin: What it is and how it is called; its photos' ids begin with that name.
        root: The folder.
        open: Opens it.
    """

    origin: Origin
    root: Path
    open: Callable[[], LabelledPhotos]

    def locator(self, photos: Path) -> Callable[[str], tuple[str, Path]]:
        """Return what gives the id and the file of a photo by its path within the folder `photos` of this source."""
        inner = photos.relative_to(self.root).as_posix()
        start = self.origin.name if inner == "." else f"{self.origin.name}/{inner}"
        return lambda photo: (f"{start}/{photo}", photos / photo)


def local_sources(folders: Mapping[str, Sequence[Path]], coco: Sequence[str]) -> Iterator[LocalSource]:
    """Yield the local sources, each under a name of its own: its folder's, numbered where two are the same.

    Args:
        folders: {kind of source: folders}.
        coco: COCO's files and folders as `JSON=DIR`.

    Raises:
        ConfigError: A text is not of that form, or its file cannot be read.
    """
    named: Counter[str] = Counter()
    for kind, roots in folders.items():
        for root in roots:
            origin = Origin(source=kind, name=_name(root, named), unlisted=_UNLISTED.get(kind, ()))
            yield LocalSource(origin=origin, root=root, open=partial(_OPENERS[kind], root))
    for text in coco:
        path, _, folder = text.partition("=")
        if not (path and folder):
            raise ConfigError(f"--coco {text}: expected JSON=DIR, such as instances_val2017.json=val2017")
        root = Path(folder)
        origin = Origin(source="coco", name=_name(root, named), sha256=hash_of_list(Path(path)))
        yield LocalSource(origin=origin, root=root, open=partial(open_coco, Path(path), root))


def _name(root: Path, named: Counter[str]) -> str:
    name = root.resolve().name or "photos"
    named[name] += 1
    return name if named[name] == 1 else f"{name}-{named[name]}"


def hash_of_list(path: Path) -> str:
    """Return the sha256 of a file that the user named.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return hash_file(path, "sha256")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
