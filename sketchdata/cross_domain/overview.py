"""The README of a data set of two domains, and a page of its drawings beside its photos."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

from sketchdata.cross_domain.layouts import (
    DOMAINS,
    DRAWINGS,
    DRAWN_SIDE,
    DRAWN_WIDTH,
    GROUPS,
    IMAGENET,
    PHOTOS,
    UNSEEN,
    VECTORS,
    class_split,
    classes_of,
    group_classes,
)
from sketchdata.drawings.raster import raster
from sketchdata.edges.dataset import stored_pictures
from sketchdata.photos.image import Photo
from sketchdata.storage import parquet, pictures
from sketchdata.storage.cards import features, fill, reject_rows, size_category
from sketchdata.storage.catalog import choose_classes
from sketchdata.storage.dataset import Dataset
from sketchdata.storage.manifest import Manifest

#: Drawings, and as many photos, in a row of a contact sheet.
SIDE_BY_SIDE = 4


def sbir_card(manifest: Manifest) -> str:
    """Return the README of a data set of two domains: Markdown with the front matter that `datasets` reads."""
    config, counts = manifest.config, manifest.splits
    patterns = "".join(
        f"  - config_name: {domain}\n    data_files:\n"
        + "".join(
            f"      - split: {group}\n        path: data/{group}-{domain}-*.parquet\n"
            for group in GROUPS
            if counts[f"{group}-{domain}"]
        )
        for domain in DOMAINS
    )
    rows = "\n".join(
        f"| {group} | {len(classes):,} | " + " | ".join(f"{counts[f'{group}-{domain}']:,}" for domain in DOMAINS) + " |"
        for group, classes in group_classes(manifest).items()
    )
    is_drawn = config[DRAWINGS] == VECTORS
    columns = {DRAWINGS: parquet.schema() if is_drawn else pictures.schema(), PHOTOS: pictures.schema()}
    infos = "".join(
        f"  - config_name: {domain}\n    features:\n"
        + textwrap.indent(features(columns[domain], manifest.classes), "  ")
        for domain in DOMAINS
    )
    values = {
        "name": manifest.name,
        "tool": manifest.tool,
        "size_category": size_category(sum(counts.values())),
        "features": f"dataset_info:\n{infos}",
        "configs": f"configs:\n{patterns}",
        "classes": f"{len(manifest.classes):,}",
        "layout": config["layout"],
        "rows": rows,
        "kind": "strokes: `drawing` is a list of strokes, each a list of points {x, y} in 0..255"
        if is_drawn
        else "encoded pictures, as the photos are",
        "longest_side": config["longest_side"],
        "overlap": f"{len(config[IMAGENET]):,}",
        "unseen_overlap": f"{len(set(config[IMAGENET]) & set(config[UNSEEN])):,} of {len(config[UNSEEN]):,}",
        "reject_rows": reject_rows(manifest),
    }
    return fill("sbir", values)


def side_by_side(
    directory: Path, manifest: Manifest, group: str, count: int, word: str | None
) -> tuple[list[Photo], list[str]]:
    """Return drawings beside photos, SIDE_BY_SIDE of each in a row and at least one row per class, with captions.

    If a class has too few pictures, white ones without a caption fill its rows.

    Args:
        directory: The data set.
        manifest: Its manifest.
        group: The group of classes.
        count: Pictures in all, at most.
        word: A class; None for as many as there is room for.

    Raises:
        ConfigError: The group or the class does not exist.
        SketchDataError: A file is missing or damaged.
    """
    rows = max(count // (2 * SIDE_BY_SIDE), 1)
    chosen = choose_classes(classes_of(class_split(manifest), group), word)[:rows]
    shown: list[Photo] = []
    titles: list[str] = []
    white = np.full((DRAWN_SIDE, DRAWN_SIDE, 3), 255, np.uint8)
    for name in chosen:
        most = rows * SIDE_BY_SIDE if word else SIDE_BY_SIDE
        both = [_first(directory, manifest, f"{group}-{domain}", most, name) for domain in DOMAINS]
        for start in range(0, max(map(len, both)), SIDE_BY_SIDE):
            for own in both:
                part = own[start : start + SIDE_BY_SIDE]
                missing = SIDE_BY_SIDE - len(part)
                shown += [*part, *[white] * missing]
                titles += [name] * len(part) + [""] * missing
    return shown, titles


def _first(directory: Path, manifest: Manifest, split: str, count: int, word: str) -> list[Photo]:
    if split.endswith(DRAWINGS) and manifest.config[DRAWINGS] == VECTORS:
        batch = Dataset(directory=directory, manifest=manifest).first(split, count, word)
        ink = raster(batch, size=DRAWN_SIDE, line_width=DRAWN_WIDTH)
        return [np.repeat(255 - drawn[:, :, None], 3, axis=2) for drawn in ink]
    return stored_pictures(directory, manifest, split, count, manifest.classes.index(word)).pictures
