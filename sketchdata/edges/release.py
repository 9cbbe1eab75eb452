"""What a set of edge maps for training consists of: its plan and split, its lists, its card."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sketchdata.curation.audit_folder import map_table
from sketchdata.curation.plan import CURATION_FILE, Curation
from sketchdata.drawings.sampling import mix_classes, ranks
from sketchdata.edges import dataset
from sketchdata.edges.dataset import (
    ATTRIBUTION_COLUMNS,
    ATTRIBUTION_FILE,
    DEFAULT_SIDE,
    SPLITS,
    TARS_FOLDER,
    VAL,
    tars_of,
)
from sketchdata.errors import SketchDataError
from sketchdata.storage import pictures
from sketchdata.storage.cards import picture_card_head, reject_rows, size_category
from sketchdata.storage.manifest import Manifest, hash_file, replacing

# The card of a set of edge maps in Parquet shards, as `sketchdata edgemaps extract` leaves them.


def edges_card(manifest: Manifest) -> str:
    """Return the README of a set of edge maps: Markdown with the front matter that `datasets` reads."""
    config = manifest.config
    weights = f" with the weights of sha256\n`{config['weights_sha256']}`" if config["weights_sha256"] else ""
    ground = {"black": "white", "white": "black"}[config["ink"]]
    channels = "three equal channels" if config["channels"] == 3 else "one channel"
    return f"""{picture_card_head(manifest, "edge maps")}
**Edges** are those of the detector `{config["detector"]}`{weights}, thinned to lines one pixel wide. Their bounding box
was scaled so that its longer side takes {config["fill"]:g} of the picture, and centred: PNGs of {config["size"]} ×
{config["size"]} pixels with {channels}, {config["ink"]} ink on {ground}; the stronger the edge, the more ink.

**Rows** stand by class, then by `key_id`, which is that of the crop. **Columns**: `key_id` uint64, `word`, `label`
uint16 (the row of the class table in `manifest.json`), `image`, `width`, `height`; `photo`, `photo_sha256`, `source`,
`page`, `author`, `licence`, `title`, `fetched` of the photo; `x0`, `y0`, `x1`, `y1`, the annotated box in pixels of the
upright photo, or null; `category`, the source's own class; `phash` of the crop.

**Licences** are those of the photos: see `licence`, `author` and `page` of each row before you share one. The weights
of a detector may be limited in use, too.

**Refused**: {sum(manifest.rejects.values()):,} crops, listed in `rejects.jsonl`.

| reason | crops |
|---|--:|
{reject_rows(manifest)}
"""


# The lists beside a set of edge maps, as rows of CSV with a head: whose the photos are, and what became of classes.

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


# Which edge map stands where in a data set: what a curation removes, what falls into which split, and the order.
# The plan lies in an Arrow file, so that tasks on any machine can each carry out a part of it.

#: Name of the audit's score among the scores; the others are its measures.
SCORE = "messiness"

_READ = ["key_id", "label", "photo_sha256"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What decides where an edge map stands.

    Attributes:
        seed: Of the split and of the order of rows.
        share: Of the photos that val gets.
        curation: What is removed; None when every map is taken.
    """

    seed: int
    share: Fraction
    curation: Curation | None


@dataclass(frozen=True, kw_only=True)
class EdgeMapPlan:
    """The plan of a data set.

    Attributes:
        stored: The plan as an Arrow file: `shard` and `row` of each map, in the order of the data set, and its scores.
        sha256: Of that file.
        paths: The Arrow files of edge maps that `shard` counts.
        counts: {split: {class: maps}}.
        curated: {one of CURATED: {class: maps}}.
        scores: Names of the scores that some map has.
        complete: Names of those that every map has.
    """

    stored: Path
    sha256: str
    paths: tuple[Path, ...]
    counts: dict[str, dict[str, int]]
    curated: dict[str, dict[str, int]]
    scores: tuple[str, ...]
    complete: tuple[str, ...]


def lay_out(paths: Sequence[Path], stored: Path, classes: Sequence[str], choice: Choice) -> EdgeMapPlan:
    """Decide about every edge map, and write down which stand where.

    Args:
        paths: Arrow files of edge maps.
        stored: Where the plan goes.
        classes: The class table.
        choice: What decides.

    Raises:
        SketchDataError: A key_id stands twice, the audit lacks one, or nothing would be left.
    """
    tables = [map_table(path).select(_READ) for path in paths]
    whole = pa.concat_tables(tables)
    key_id, label = whole.column("key_id").to_numpy(), whole.column("label").to_numpy()
    if repeated := pictures.repeated(key_id):
        raise SketchDataError(f"the edge maps have key_id {repeated[0]} twice: extract them again")
    curated, scores = _curated(key_id, choice.curation)
    stays = ~(curated["noise"] | curated["dropped"])
    if not stays.any():
        raise SketchDataError(f"of {len(key_id):,} edge maps that could be read, none would be left")
    in_val = dataset.falls_into_val(whole.column("photo_sha256").to_pylist(), choice.seed, choice.share)
    chosen = {split: np.flatnonzero(stays & (in_val == (split == VAL))) for split in SPLITS}
    order = np.concatenate(
        [rows[mix_classes(label[rows], ranks(key_id[rows], choice.seed))] for rows in chosen.values()]
    )
    told = {name: values[order] for name, values in scores.items() if not np.isnan(values[order]).all()}
    store(stored, {**{name: place[order] for name, place in _places(tables).items()}, **told})
    return EdgeMapPlan(
        stored=stored,
        sha256=hash_file(stored, "sha256"),
        paths=tuple(paths),
        counts={split: _count(label[rows], classes) for split, rows in chosen.items()},
        curated={name: _count(label[mask], classes) for name, mask in curated.items()},
        scores=tuple(told),
        complete=tuple(name for name, values in told.items() if not np.isnan(values).any()),
    )


def _curated(
    key_id: npt.NDArray[np.uint64], curation: Curation | None
) -> tuple[dict[str, npt.NDArray[np.bool_]], dict[str, npt.NDArray[np.float32]]]:
    """Return what the curation did, {name: (N,) bool}, and what the audit measured of N maps, {name: (N,)}."""
    if curation is None:
        return dict.fromkeys(CURATED, np.zeros(len(key_id), np.bool_)), {}
    rows = curation.audit.rows_of(key_id)
    found = {SCORE: curation.audit.score, **curation.audit.measures}
    scores = {name: values[rows].astype(np.float32) for name, values in found.items()}
    return {name: getattr(curation, name)[rows] for name in CURATED}, scores


def _places(tables: Sequence[pa.Table]) -> dict[str, npt.NDArray[np.int64]]:
    """Return in which file and where in it each map lies: two columns (N,)."""
    sizes = [table.num_rows for table in tables]
    row = np.concatenate([np.empty(0, np.int64), *map(np.arange, sizes)])
    return {"shard": np.repeat(np.arange(len(sizes)), sizes), "row": row}


def _count(label: npt.NDArray[np.uint16], classes: Sequence[str]) -> dict[str, int]:
    return dict(zip(classes, np.bincount(label, minlength=len(classes)).tolist(), strict=True))


def store(path: Path, columns: Mapping[str, Any]) -> Path:
    """Write columns as an Arrow file, to be mapped by `map_table`, whole or not at all; return its path."""
    table = pa.table(dict(columns))
    with replacing(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return path


# The card of a set of edge maps: what is in the folder, where it is from, how it was split, what limits its use.

_WIDTH = 120
_BSDS = "trained on BSDS500, which is for non-commercial research and education"
#: What limits the use of maps that a detector's weights made; a detector that is not named here has no weights.
_WEIGHTS = {
    "learned": f"were {_BSDS}",
    "pidinet": f"were published for research only, and {_BSDS}",
    "structured": f"were {_BSDS}; see also the licence of the model file",
    "tin": f"are under the MIT licence, and were {_BSDS}",
}


def edgemap_card(manifest: Manifest) -> str:
    """Return the card: Markdown with the front matter by which `datasets` finds the splits."""
    filled = [split for split in manifest.counts if tars_of(manifest, split)]
    paragraphs = [
        *_contents(manifest),
        *_loading(manifest, filled[0]),
        *_making(manifest),
        *_limits(manifest),
        "`manifest.json` lists every file with its sha256; `sketchdata verify` checks them.",
    ]
    blocks = [_front_matter(manifest, filled), f"# {manifest.name}", *(_wrapped(text) for text in paragraphs)]
    return "\n\n".join(blocks) + "\n"


def _wrapped(text: str) -> str:
    """Wrap prose; tables, lists and code stay as they are."""
    if text.startswith(("|", "-", "```")):
        return text
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _front_matter(manifest: Manifest, splits: Sequence[str]) -> str:
    lines = ["license: other", "license_name: per-photo", f"license_link: {ATTRIBUTION_FILE}"]
    lines += [f"pretty_name: {manifest.name}"]
    lines += ["size_categories:", f"  - {size_category(sum(manifest.splits.values()))}"]
    lines += ["task_categories:", "  - image-classification", "tags:", "  - webdataset", "  - edge-maps", "  - sketch"]
    lines += ["configs:", "  - config_name: default", "    data_files:"]
    lines += [f"      - split: {split}\n        path: {TARS_FOLDER}/{split}-*.tar" for split in splits]
    return "\n".join(["---", *lines, "---"])


def _contents(manifest: Manifest) -> list[str]:
    photos = next(file.records for file in manifest.files if file.path == ATTRIBUTION_FILE)
    side, parent = manifest.config["edges"].get("size", DEFAULT_SIDE), manifest.parent
    origin = "" if parent is None else f" from {parent.name} (sha256 of its manifest: `{parent.sha256}`)"
    present = {word for classes in manifest.counts.values() for word, maps in classes.items() if maps}
    rows = ["| split | edge maps | classes | tars |", "|---|--:|--:|--:|"]
    for split, maps in manifest.splits.items():
        classes = sum(1 for count in manifest.counts[split].values() if count)
        rows.append(f"| {split} | {maps:,} | {classes:,} | {len(tars_of(manifest, split)):,} |")
    return [
        f"{sum(manifest.splits.values()):,} edge maps of {side} × {side} pixels from {photos:,} photos, of "
        f"{len(present):,} of the {len(manifest.classes):,} classes of "
        "[Quick, Draw!](https://github.com/googlecreativelab/quickdraw-dataset), written by "
        f"{manifest.tool}{origin}. They stand for pictures where free-hand sketches are compared with such; labels are "
        "those of the sketches' class table.",
        "\n".join(rows),
    ]


def _loading(manifest: Manifest, split: str) -> list[str]:
    edges = manifest.config["edges"]
    ink = "white edges on black" if edges.get("ink") == "white" else "black edges on white"
    channels = "grey" if edges.get("channels") == 1 else "red, green and blue of equal values"
    scores = ", and the audit's `scores`" if manifest.config["curation"] else ""
    address = f"{TARS_FOLDER}/{split}-{{000000..{len(tars_of(manifest, split)) - 1:06d}}}.tar"
    return [
        "Each tar holds a contiguous part of its split. Of each map there is:",
        f"- `{{key_id}}.png`: 8 bits, {ink}, {channels}\n"
        "- `{key_id}.json`: `word`, `label`, where it is from (`photo`, `page`, `author`, `licence`, `title`,\n"
        "  `source`, `category`, `photo_sha256`, `phash`, `fetched`), the annotated `box` in the photo, "
        f"`detector`{scores}",
        "`index/{split}.parquet` has the same in columns, a row a map in the order of the tars, with `tar`, `offset` "
        "and `bytes` of each PNG, so that any map can be read by itself.",
        "```python\nimport webdataset\n"
        f'samples = webdataset.WebDataset("{address}", shardshuffle=False).decode("l8")\n```',
        "```python\nfrom sketchdata.edges.dataset import open_edgemaps\n"
        f'for batch in open_edgemaps(".").batches("{split}", batch_size=256, seed=0):\n'
        "    print(batch.images.shape, batch.labels)\n```",
    ]


def _making(manifest: Manifest) -> list[str]:
    config, edges, curation = manifest.config, manifest.config["edges"], manifest.config["curation"]
    if curation is None:
        curated = "Not at all: every map that the detector made is here."
    else:
        noise = "what the messiness audit flags, unless a curator kept it, and " if curation["noise"] else ""
        curated = (
            f"Removed were {noise}what a curator dropped (sha256 of the decisions: `{curation['decisions']}`). "
            f"`{CURATION_FILE}` counts it by class."
        )
    return [
        f"**Edges** by the detector `{edges['detector']}`, the object in the middle of the frame; `manifest.json` has "
        "all of the options, under `config`, `edges`.",
        f"**Curated.** {curated}",
        "**Split** by photo, so that no photo has maps in both: val has those with `rank(photo) < "
        f"{config['val_share']} · 2^64`, where `rank(photo) = splitmix64(h XOR splitmix64(seed))`, h is the first 8 "
        f"bytes of the sha256 of the photo's file, big-endian, and seed is {config['seed']}. The share is met in "
        "expectation. More photos move none from one split to the other.",
        "**Order.** Maps stand by their place in the class, by `rank(key_id)`: the first maps of a split hold one of "
        "each class that has any, the next ones a second one, and so on. So every prefix is a random sample, with "
        "classes as equal as they can be.",
    ]


def _limits(manifest: Manifest) -> list[str]:
    detector = str(manifest.config["edges"]["detector"])
    weights = f" The weights of the detector `{detector}` {_WEIGHTS[detector]}." if detector in _WEIGHTS else ""
    return [
        f"**Licences.** Each photo has its own: `{ATTRIBUTION_FILE}` names author, licence and page of every photo of "
        "which there is a map, as far as the source told them, and so does each sample. An empty field means that it "
        "is not known, not that there is no owner. A map is derived from its photo; whoever passes maps on must see to "
        f"each photo's terms.{weights}",
        "**Known limits.** Maps are made by a program, not drawn: they have texture, background and broken lines where "
        "a person would draw an outline. Scores find many of the messy ones, not all, and labels are those of the "
        "photos' annotations or search words, which are wrong at times. Classes have unequal numbers of maps "
        "(`classes.csv`).",
        f"**Refused while building**: {sum(manifest.rejects.values()):,} maps that were no whole pictures, listed in "
        "`rejects.jsonl`.",
        "**To cite**: Xu et al., *On Learning Semantic Representations for Million-Scale Free-Hand Sketches*, whose "
        "EdgeMap-345C this follows in classes, size and share of val; photos and maps are others. The paper's edges "
        "are those of the toolbox of Zitnick and Dollár, *Edge Boxes: Locating Object Proposals from Edges*, ECCV "
        "2014, whose detector is that of Dollár and Zitnick, *Structured Forests for Fast Edge Detection*, ICCV 2013.",
    ]
