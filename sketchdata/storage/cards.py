"""The cards of exports: README files that say what is in the folder and how to load it."""

from __future__ import annotations

from sketchdata.formats.deephash import FILES, PARTS
from sketchdata.storage.manifest import Manifest
from sketchdata.storage.pictures import UNDIVIDED

# The data-set card: a README with the front matter that `datasets` and the Hugging Face Hub read.

_SPLIT_USE = {
    "train": "training",
    "val": "validation, and choosing of hyper-parameters",
    "gallery": "the drawings that are searched (retrieval), or the test set (recognition)",
    "query": "the drawings to search with",
}


def quickdraw_card(manifest: Manifest) -> str:
    """Return the card of a data set built from Quick, Draw! files: Markdown with YAML front matter."""
    official = sum(source.official for source in manifest.sources)
    config = manifest.config
    rows = "\n".join(
        f"| {split} | {count:,} | {_SPLIT_USE.get(split, '')} |" for split, count in manifest.splits.items()
    )
    files = "\n".join(
        f"      - split: {split}\n        path: data/{split}-*.parquet"
        for split in manifest.splits
        if manifest.shards(split)
    )
    strangers = "" if official == len(manifest.sources) else "; the others are of another origin, perhaps generated"
    recognized = (
        "Only drawings that the game recognized were taken."
        if config["recognized_only"]
        else "Drawings were taken whether the game recognized them or not; the column `recognized` tells."
    )
    points = "{x, y} in pixels and t in milliseconds" if manifest.is_raw else "{x, y} in 0..255"
    return f"""---
license: cc-by-4.0
pretty_name: {manifest.name}
size_categories:
  - {size_category(sum(manifest.splits.values()))}
task_categories:
  - image-classification
configs:
  - config_name: default
    data_files:
{files}
---

# {manifest.name}

{sum(manifest.splits.values()):,} free-hand drawings of {len(manifest.classes)} classes, from
[Quick, Draw!](https://github.com/googlecreativelab/quickdraw-dataset) by Google (CC BY 4.0), split and sharded by
{manifest.tool}. Of the {len(manifest.sources)} source files {official} are the published ones by size and md5
(`manifest.json`, `sources`){strangers}.

| split | drawings | for |
|---|--:|---|
{rows}

**Split.** By keyed hash: `rank(key_id) = splitmix64(key_id XOR splitmix64(seed))` with seed {config["seed"]}. A class's
drawings with the smallest ranks are taken: the first of them for train, then val, gallery and query. `key_ids/` lists
them. {recognized}

**Rows** stand by their place in the class: the first {len(manifest.classes)} rows of a split hold one drawing of each
class that has any, the next rows a second one, and so on. So every prefix is a random sample with equal classes.

**Columns**: `key_id` uint64, `word`, `label` uint16 (the row of `classes.csv`), `countrycode`, `timestamp` (UTC),
`recognized`, `drawing`: a list of strokes, each a list of points {points}.

**Refused while building**: {sum(manifest.rejects.values())} records, listed in `rejects.jsonl`.

**Known limits.** The game told people what to draw and gave them 20 seconds: many drawings are unfinished, and some are
scribbles, words or something else entirely. Drawers are self-selected, and nearly half of them were in the United
States.
"""


def picture_card_head(manifest: Manifest, pictures: str) -> str:
    """Return how the card of a set of pictures of photos begins: front matter, title, and where they are from.

    Args:
        manifest: Of a set with one undivided split.
        pictures: What they are, in the plural.
    """
    counts, parent = manifest.counts[UNDIVIDED], manifest.parent
    total, filled = sum(counts.values()), sum(map(bool, counts.values()))
    # The split's name is that of the Hub for data without splits: `all` has another meaning there.
    return f"""---
license: other
license_name: per-photo
pretty_name: {manifest.name}
size_categories:
  - {size_category(total)}
configs:
  - config_name: default
    data_files:
      - split: train
        path: data/{UNDIVIDED}-*.parquet
---

# {manifest.name}

{total:,} {pictures} of {filled} of {len(manifest.classes)} classes, made by {manifest.tool} from
{"photos" if parent is None else f"{parent.name} (sha256 of its manifest: `{parent.sha256}`)"}.
"""


def reject_rows(manifest: Manifest) -> str:
    """Return the rows of a card's table of what was refused."""
    return "\n".join(f"| {reason} | {count:,} |" for reason, count in manifest.rejects.items()) or "| none | 0 |"


def size_category(rows: int) -> str:
    """Return the Hugging Face Hub's name for a number of rows."""
    for limit, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if rows < limit:
            return name
    return "1M<n<10M"


def webdataset_card(manifest: Manifest) -> str:
    """Return the card of tar shards: Markdown with the front matter by which `datasets` finds the splits."""
    config, first = manifest.config, next(iter(manifest.splits))
    tars = {split: [f.path for f in manifest.files if f.path.startswith(f"{split}-")] for split in manifest.splits}
    rows = "\n".join(f"| {split} | {count:,} | {len(tars[split]):,} |" for split, count in manifest.splits.items())
    shards = f"{first}-{{000000..{len(tars[first]) - 1:06d}}}.tar"
    ink = "white ink on black" if config["white_on_black"] else "black ink on white"
    size, width = config["png"], config["line_width"]
    png = f"\n- `{{key_id}}.png`: {size} × {size} pixels, 8-bit grey, {ink}, lines {width} px wide" if size else ""
    return f"""{_front_matter(manifest, {split: f"{split}-*.tar" for split in tars})}
# {manifest.name}

{_origin(manifest)}

| split | drawings | tars |
|---|--:|--:|
{rows}

Each tar holds a contiguous part of its split, in the order of the data set's rows, in which classes are mixed. Of each
drawing there is:

- `{{key_id}}.json`: `word`, `label`, `countrycode`, `timestamp`, `recognized`, `key_id` and `drawing`, a list of
  strokes, each `[[x…], [y…]]`, with a third list, t in milliseconds, when the drawings are raw{png}

```python
import webdataset
samples = webdataset.WebDataset("{shards}", shardshuffle=False).decode()
```

`manifest.json` lists every file with its sha256; `sketchdata verify` checks them.
"""


def ndjson_card(manifest: Manifest) -> str:
    """Return the card of an export to official text: Markdown, with front matter when there is a folder a split."""
    merged, suffix = manifest.config["merge"], ".ndjson.gz" if manifest.config["gzip"] else ".ndjson"
    patterns = {} if merged else {split: f"{split}/*{suffix}" for split in manifest.splits}
    rows = "\n".join(f"| {split} | {count:,} |" for split, count in manifest.splits.items())
    layout = (
        f"`full/…/{{category}}{suffix}` holds a category's drawings of all these splits, laid out like the official\n"
        "bucket: `sketchdata build quickdraw-3.8m --source` reads this folder."
        if merged
        else f"`{{split}}/{{category}}{suffix}` holds a category's drawings of a split."
    )
    return f"""{_front_matter(manifest, patterns)}
# {manifest.name}

{_origin(manifest)}

| split | drawings |
|---|--:|
{rows}

{layout} Each line is one drawing as the official files write it: `word`,
`countrycode`, `timestamp`, `recognized`, `key_id`, `drawing`. Lines stand in the order of the data set's rows.

`manifest.json` lists every file with its sha256; `sketchdata verify` checks them.
"""


def bitmaps_card(manifest: Manifest) -> str:
    """Return the card of an export to bitmaps: Markdown."""
    config, size = manifest.config, manifest.config["size"]
    rows = "\n".join(f"| {split} | {count:,} |" for split, count in manifest.splits.items())
    lines = f"{'smooth' if config['antialias'] else '8-connected'} lines {config['line_width']} px wide"
    how = (
        "drawn by cairo\nas the official bitmaps are"
        if config["raster"] == "official"
        else f"drawn by OpenCV\nwith {lines}; they are not the official bitmaps"
    )
    return f"""{_front_matter(manifest, {})}
# {manifest.name}

{_origin(manifest)}

| split | drawings |
|---|--:|
{rows}

`full/numpy_bitmap/{{category}}.npy` holds a category's drawings as uint8 of shape (N, {size * size}), laid out like the
official bucket. A row is a picture of {size} × {size} pixels, ink 255 on background 0, {how}.

A category's rows are those of {", then ".join(manifest.splits)}, each in the order of the data set's
rows. Row i is line i of what `sketchdata export ndjson --merge` writes of the same splits; `counts` in `manifest.json`
says where a split ends.

```python
import numpy
bitmaps = numpy.load("full/numpy_bitmap/{manifest.classes[0]}.npy", mmap_mode="r").reshape(-1, {size}, {size})
```

`manifest.json` lists every file with its sha256; `sketchdata verify` checks them.
"""


def _front_matter(manifest: Manifest, patterns: dict[str, str]) -> str:
    lines = ["---", "license: cc-by-4.0", f"pretty_name: {manifest.name}"]
    if patterns:
        lines += ["configs:", "  - config_name: default", "    data_files:"]
        lines += [f"      - split: {split}\n        path: {pattern}" for split, pattern in patterns.items()]
    return "\n".join([*lines, "---", ""])


def _origin(manifest: Manifest) -> str:
    parent = manifest.parent
    made_from = "" if parent is None else f", exported from\n{parent.name} (sha256 of its manifest: `{parent.sha256}`)"
    return (
        f"{sum(manifest.splits.values()):,} free-hand drawings of {len(manifest.classes)} classes, from\n"
        "[Quick, Draw!](https://github.com/googlecreativelab/quickdraw-dataset) by Google (CC BY 4.0), written by\n"
        f"{manifest.tool}{made_from}."
    )


# The cards of what other hashing programs read: lists of pictures, and arrays of codes.


def lists_card(manifest: Manifest) -> str:
    """Return the card of an export to lists: Markdown."""
    parent = manifest.parent
    made_from = "" if parent is None else f", exported from\n{parent.name} (sha256 of its manifest: `{parent.sha256}`)"
    rows = "\n".join(f"| {split} | `{FILES[split]}` | {count:,} |" for split, count in manifest.splits.items())
    return f"""---
license: cc-by-4.0
pretty_name: {manifest.name}
---

# {manifest.name}

{sum(manifest.splits.values()):,} free-hand drawings of {len(manifest.classes)} classes, from
[Quick, Draw!](https://github.com/googlecreativelab/quickdraw-dataset) by Google (CC BY 4.0), written by
{manifest.tool}{made_from}.

| split | list | pictures |
|---|---|--:|
{rows}

A line is `{{class}}/{{key_id}}.png` and a column a class: 1 in its own, 0 elsewhere. Columns stand in the order of
`classes` in `manifest.json`. Class names have `_` for blanks, since those who read such lists split lines at them.
Lines stand in the order of the data set's rows. The pictures themselves are not here.

`manifest.json` lists every file with its sha256; `sketchdata verify` checks them.
"""


def deephash_card(manifest: Manifest) -> str:
    """Return the card of an export of codes to DeepHash's arrays: Markdown."""
    parent = manifest.parent
    made_from = "" if parent is None else f", exported from\n{parent.name} (sha256 of its manifest: `{parent.sha256}`)"
    rows = "\n".join(f"| {split} | `{PARTS[split]}_*.npy` | {count:,} |" for split, count in manifest.splits.items())
    return f"""# {manifest.name}

Binary codes of {manifest.config["bits"]} bits, written by {manifest.tool}{made_from}.

| split | arrays | codes |
|---|---|--:|
{rows}

As DeepHash-pytorch keeps them: `*_binary.npy` is (N, {manifest.config["bits"]}) float32, 1 and −1; `*_label.npy` is
(N, {len(manifest.classes)}) int8, 1 in the column of the class. `*_key_id.npy`, (N,) uint64, is ours. `classes.txt`
names the classes, in the order of the columns.

`manifest.json` lists every file with its sha256; `sketchdata verify` checks them.
"""
