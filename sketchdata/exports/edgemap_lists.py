"""The lists beside a set of edge maps, as rows of CSV with a head: whose the photos are, and what became of classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from sketchdata.manifest import Manifest
from sketchdata.shards.edgemaps import ATTRIBUTION_COLUMNS

#: What a curation does to a map: removes it as noise, drops it by a decision, keeps it by one though it is noise.
CURATED = ("noise", "dropped", "kept")

Rows = list[list[object]]
#: {class: edge maps}
Counts = Mapping[str, int]

_ATTRIBUTION_HEAD = ["photo", "page", "author", "licence", "title", "source", "sha256", "maps"]


def attribution_list(indexes: Iterable[pa.Table]) -> Rows:
    """Return a row a photo of which there are maps, by source and photo, with the number of its maps.

    Args:
        indexes: The splits' indexes.
    """
    columns = list(ATTRIBUTION_COLUMNS)
    photos = pa.concat_tables([index.select(columns) for index in indexes])
    counted = photos.group_by(columns).aggregate([([], "count_all")])
    keys = ["source", "photo", "photo_sha256", *(name for name in columns if name not in ("source", "photo"))]
    counted = counted.sort_by([(name, "ascending") for name in dict.fromkeys(keys)])
    values = [counted.column(name).to_pylist() for name in (*columns, "count_all")]
    return [list(_ATTRIBUTION_HEAD), *([*row] for row in zip(*values, strict=True))]


def class_list(manifest: Manifest) -> Rows:
    """Return a row a class: label, word, and its maps in each split."""
    counts = manifest.counts
    rows = ([label, word, *(counts[split][word] for split in counts)] for label, word in enumerate(manifest.classes))
    return [["label", "word", *counts], *rows]


def curation_list(manifest: Manifest, refused: Counts, curated: Mapping[str, Counts]) -> Rows:
    """Return a row a class: what became of the edge maps that were there.

    Columns: label, word; edge maps `found`; `refused` because they could not be read; removed as `noise`; `dropped` by
    a decision; `kept` by a decision though noise; and the maps in each split. Found are those that were refused,
    removed and dropped, and those in the splits.

    Args:
        manifest: Of the data set.
        refused: {class: edge maps}; classes without any may be absent.
        curated: {one of CURATED: {class: edge maps}}.
    """
    counts, rows = manifest.counts, []
    for label, word in enumerate(manifest.classes):
        bad, left = refused.get(word, 0), [classes[word] for classes in counts.values()]
        gone = {name: curated[name][word] for name in CURATED}
        found = bad + gone["noise"] + gone["dropped"] + sum(left)
        rows.append([label, word, found, bad, *gone.values(), *left])
    return [["label", "word", "found", "refused", *CURATED, *counts], *rows]
