"""The cards of exports: README files that say what is in the folder and how to load it."""

from __future__ import annotations

from sketchdata.manifest import Manifest


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
