"""How data sets of two domains lie on disk: ours, and the published ones that `sketchdata build sbir` reads.

    sketchy             256x256/sketch/tx_000000000000/CLASS/WNID_N-K.png, the K-th drawing of the photo WNID_N.jpg in
                        EXTEND_image_sketchy/CLASS or 256x256/photo/tx_000000000000/CLASS
    tu-berlin           png/CLASS/N.png, or svg/CLASS/N.svg, and ImageResized/CLASS/NAME.JPEG, whose folders are spelled
                        without blanks, and six of them wrongly
    quickdraw-extended  QuickDraw_sketches_final/CLASS/KEY_ID.png and QuickDraw_images_final/CLASS/NAME.jpg; by the
                        key_ids the drawings are found again in the official files, as strokes
    sake                the lists of SAKE and ZSE-SBIR (`classes.lists`), whose paths begin in one folder a domain
    folders             CLASS/FILE in both domains

Sources: README of sketchy.eye.gatech.edu; download_datasets.sh of github.com/sounakdey/doodle2search and of
github.com/AnjanDutta/sem-pcyc; the lists of github.com/buptLinfy/ZSE-SBIR.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sketchdata.classes.lists import ClassLists
from sketchdata.classes.spellings import find, plain
from sketchdata.classes.splits import ClassSplit, SplitOptions
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.catalog import manifest_path
from sketchdata.storage.manifest import Manifest, read_manifest

GROUPS = SEEN, VALIDATION, UNSEEN = "seen", "validation", "unseen"
DOMAINS = DRAWINGS, PHOTOS = "drawings", "photos"
#: What drawings are stored as: strokes, or pixels of encoded pictures.
VECTORS, PIXELS = "vectors", "pixels"
#: Side of drawings that are strokes among others that are pixels, and the width of their lines.
DRAWN_SIDE, DRAWN_WIDTH = 256, 3
#: Key of a manifest's config: the classes that ImageNet's 1,000 have, too.
IMAGENET = "imagenet"

SKETCHY, TU_BERLIN, QUICKDRAW_EXTENDED, SAKE, FOLDERS = LAYOUTS = (
    "sketchy",
    "tu-berlin",
    "quickdraw-extended",
    "sake",
    "folders",
)

#: Where the folders of classes may be, below what a user gives; the first that exists counts.
_PLACES: Mapping[tuple[str, str], Sequence[str]] = {
    (SKETCHY, DRAWINGS): (
        "256x256/sketch/tx_000000000000",
        "sketch/tx_000000000000",
        "tx_000000000000",
        "256x256/sketch/tx_000000000000_ready",
    ),
    (SKETCHY, PHOTOS): (
        "EXTEND_image_sketchy",
        "256x256/EXTEND_image_sketchy",
        "extended_photo",
        "EXTEND_image_sketchy_ready",
        "256x256/photo/tx_000000000000",
        "photo/tx_000000000000",
        "tx_000000000000",
    ),
    (TU_BERLIN, DRAWINGS): ("png", "png_ready", "svg", "sketches"),
    (TU_BERLIN, PHOTOS): ("ImageResized", "ImageResized_ready", "images"),
    (QUICKDRAW_EXTENDED, DRAWINGS): ("full/simplified", "QuickDraw_sketches_final", "sketches"),
    (QUICKDRAW_EXTENDED, PHOTOS): ("QuickDraw_images_final", "images"),
}
#: Folders of TU-Berlin's photos whose plain name is not that of the drawings' folder.
_TU_BERLIN_FOLDERS = {
    "chandeler": "chandelier",
    "diamod": "diamond",
    "griaffe": "giraffe",
    "mouse": "mouse (animal)",
    "pipe": "pipe (for smoking)",
    "spacesshuttle": "space shuttle",
    "spidar": "spider",
    "tromobone": "trombone",
    "wristwatching": "wrist-watch",
}
#: Classes of the official files whose drawings QuickDraw-Extended has in another class: its list of `cake`, the only
#: one of 5,262 drawings instead of 3,001, has all 25 birthday cakes of a sample of these files.
MERGED = {"birthday cake": "cake"}
_SKETCHY_DRAWING = re.compile(r"(n\d+_\d+)-\d+")


# ---- ours ------------------------------------------------------------------------------------------------------------


def is_two_domains(manifest: Manifest) -> bool:
    """Tell whether a data set has drawings and photos."""
    # Vectors of all of its splits have the same counts.
    splits = {f"{group}-{domain}" for group in GROUPS for domain in DOMAINS}
    return DRAWINGS in manifest.config and splits <= set(manifest.counts)


def open_two_domains(directory: Path) -> Manifest:
    """Return the manifest of a data set of two domains.

    Raises:
        SketchDataError: There is none, or it is another data set.
    """
    manifest = read_manifest(directory)
    if not is_two_domains(manifest):
        raise SketchDataError(
            f"{directory} holds {manifest.name}, and a data set of drawings and photos was expected: give the folder "
            "that `sketchdata build sbir` made"
        )
    return manifest


def class_split(manifest: Manifest) -> ClassSplit:
    """Return the split of the classes with which a data set was built; `seen` has the validation classes, too."""
    validation, unseen = (tuple(manifest.config[name]) for name in (VALIDATION, UNSEEN))
    others = tuple(word for word in manifest.classes if word not in set(unseen))
    return ClassSplit(seen=others, validation=validation, unseen=unseen)


def other_split(manifest: Manifest, options: SplitOptions) -> ClassSplit | None:
    """Return the split of the classes that options ask for; None where they leave the data set's own.

    Raises:
        ConfigError: Both ways of choosing are given, a file cannot be read, or the split is refused.
    """
    if options.seen is None and not options.class_split:
        return None
    return options.choose(manifest.classes, manifest_path("splits"))[0]


def classes_of(split: ClassSplit, group: str) -> tuple[str, ...]:
    """Return the classes of a group; the groups have none in common.

    Raises:
        ConfigError: There is no such group.
    """
    if group not in GROUPS:
        raise ConfigError(f"there is no group {group!r} of classes; there are {', '.join(GROUPS)}")
    return {SEEN: split.learned, VALIDATION: split.validation, UNSEEN: split.unseen}[group]


def group_classes(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """Return the classes of each group."""
    split = class_split(manifest)
    return {group: classes_of(split, group) for group in GROUPS}


def imagenet_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that ImageNet's 1,000 have, too, or have a kind of, by our lists in `manifests/`.

    They know the 345 of QuickDraw, Sketchy's 125 and TU-Berlin's 250, in any spelling; other names are not flagged.
    """
    known = _synsets()
    return tuple(word for word in classes if find(word, known))


def imagenet_labels(classes: Sequence[str]) -> list[int | None]:
    """Return the label, 0 to 999, that a classifier of ImageNet's 1,000 classes has for each class; None for none.

    The classes are those of `imagenet_classes`.
    """
    with manifest_path("imagenet-1k.csv").open(encoding="utf-8", newline="") as file:
        labels = {row["wnid"]: label for label, row in enumerate(csv.DictReader(file))}
    known = _synsets()
    return [labels.get(find(word, known) or "") for word in classes]


def _synsets() -> dict[str, str]:
    known: dict[str, str] = {}
    for name in ("imagenet-overlap.csv", "edgemap-345c.csv"):
        with manifest_path(name).open(encoding="utf-8", newline="") as file:
            known |= {plain(row["word"]): row["wnid"] for row in csv.DictReader(file)}
    return known


# ---- published -------------------------------------------------------------------------------------------------------


def root_of(layout: str, domain: str, directory: Path) -> Path:
    """Return the folder that has a folder for each class: what a user gives, or where it lies below that.

    Raises:
        ConfigError: There is no such folder.
    """
    if not directory.is_dir():
        raise ConfigError(f"--{domain} {directory} is not a folder: give the one that holds the {domain}")
    places = (directory / place for place in _PLACES.get((layout, domain), ()))
    return next((place for place in places if place.is_dir()), directory)


def class_name(layout: str, folder: str) -> str:
    """Return the class that a folder of photos is of.

    >>> class_name("tu-berlin", "griaffe"), class_name("folders", "griaffe")
    ('giraffe', 'griaffe')
    """
    return _TU_BERLIN_FOLDERS.get(folder.lower(), folder) if layout == TU_BERLIN else folder


def class_files(root: Path) -> dict[str, list[str]]:
    """Return the files below each folder of a root, {folder's name: paths below the root}, both sorted.

    Hidden files and folders do not count.

    Raises:
        ConfigError: A name is not UTF-8.
    """
    found = {}
    for entry in sorted(os.scandir(root), key=lambda each: each.name):
        if entry.is_dir() and not entry.name.startswith("."):
            found[entry.name] = sorted(_files(root, entry.name))
    return found


def _files(root: Path, folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(root / folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                path = (Path(place) / name).relative_to(root).as_posix()
                try:
                    path.encode()
                except UnicodeEncodeError as error:
                    raise ConfigError(f"the name of {path!r} is not UTF-8: rename it") from error
                yield path


def listed_files(lists: ClassLists, domain: str) -> dict[str, list[str]]:
    """Return the pictures of a domain that lists name, {class: paths}, each path once, in the order of the lists.

    Raises:
        ConfigError: No list is of this domain.
    """
    found: dict[str, dict[str, None]] = {}
    for name, group in lists.table().groupby("list", sort=True):
        if str(name).startswith(("sketch", "png")) == (domain == DRAWINGS):
            for path, word in zip(group["path"], group["word"], strict=True):
                found.setdefault(word, {})[path.replace("\\", "/")] = None
    if not found:
        raise ConfigError(
            f"--lists has no list of {domain}: expected names such as "
            + ("sketch_zero.txt or png_ready_filelist_train.txt" if domain == DRAWINGS else "all_photo_zero.txt")
        )
    return {word: list(paths) for word, paths in found.items()}


def listed_key_ids(lists: ClassLists) -> dict[str, list[int]]:
    """Return the key_ids of the drawings that lists name, {class: key_ids}.

    Raises:
        ConfigError: No list is of drawings, or a path is not named after a key_id.
    """
    return {word: key_ids_of(paths) for word, paths in listed_files(lists, DRAWINGS).items()}


def key_ids_of(paths: Sequence[str]) -> list[int]:
    """Return the key_ids after which files are named.

    Raises:
        ConfigError: A file is not.
    """
    stems = [path.rpartition("/")[2].partition(".")[0] for path in paths]
    if wrong := [stem for stem in stems if not (stem.isascii() and stem.isdecimal() and int(stem) < 2**64)]:
        raise ConfigError(f"QuickDraw-Extended's drawings are named after their key_id, not {wrong[0]!r}")
    return [int(stem) for stem in stems]


def photo_stem(drawing: str) -> str | None:
    """Return the name of the photo, without suffix, that a drawing of Sketchy was made after; None for other names.

    >>> photo_stem("airplane/n02691156_10151-1.png")
    'n02691156_10151'
    """
    found = _SKETCHY_DRAWING.fullmatch(drawing.rpartition("/")[2].rpartition(".")[0])
    return found[1] if found else None
