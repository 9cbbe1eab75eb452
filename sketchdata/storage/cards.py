"""The cards of data sets: README files from `templates/` that describe the content of a folder and how to load it.

Cards of drawings have YAML front matter, with which `datasets` and the Hugging Face Hub find the splits.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from sketchdata.formats.deephash import FILES, PARTS
from sketchdata.storage import parquet
from sketchdata.storage.manifest import Manifest
from sketchdata.storage.pictures import UNDIVIDED, schema

#: Prefix of source paths that do not have the layout of the official bucket.
OWN_FILES = "./"

_QUICKDRAW = "[Quick, Draw!](https://github.com/googlecreativelab/quickdraw-dataset) by Google (CC BY 4.0)"
_SPLIT_USE = {
    "train": "training",
    "val": "validation, and choosing of hyper-parameters",
    "gallery": "the drawings that are searched (retrieval), or the test set (recognition)",
    "query": "the drawings to search with",
}


def _card(
    template: str,
    manifest: Manifest,
    row: str = "| {split} | {count:,} |",
    cells: Mapping[str, object] | None = None,
    **values: object,
) -> str:
    """Fill in a template; `row` is a row of its table of splits, and `cells` has the values of its {cell} fields."""
    parent = manifest.parent
    made_from = "" if parent is None else f", exported from\n{parent.name} (sha256 of its manifest: `{parent.sha256}`)"
    own = _is_own(manifest)
    common = {
        "license": "unknown" if own else "cc-by-4.0",
        "origin": "files of its builder's own" if own else _QUICKDRAW,
        "name": manifest.name,
        "tool": manifest.tool,
        "total": f"{sum(manifest.splits.values()):,}",
        "classes": len(manifest.classes),
        "made_from": made_from,
        "rows": "\n".join(
            row.format(split=split, count=count, cell=(cells or {}).get(split, ""))
            for split, count in manifest.splits.items()
        ),
    }
    return fill(template, common | values)


def fill(template: str, values: Mapping[str, object]) -> str:
    """Return a text of `templates/` with its $names filled in."""
    text = (Path(__file__).parent / "templates" / f"{template}.md").read_text(encoding="utf-8")
    return string.Template(text).substitute(values)


def _configs(patterns: Mapping[str, str]) -> str:
    """Return the part of the front matter with the files of each split."""
    files = [f"      - split: {split}\n        path: {pattern}\n" for split, pattern in patterns.items()]
    return "".join(["configs:\n  - config_name: default\n    data_files:\n", *files]) if files else ""


def features(schema: pa.Schema, classes: Sequence[str]) -> str:
    """Return the columns of Parquet shards as YAML, as `datasets` declares them; `label` is a ClassLabel.

    Args:
        schema: The columns.
        classes: The class table.

    Returns:
        A list below the key `features`, indented by four blanks.
    """
    return "".join(f"    - name: {column.name}\n{_feature(column, classes, 6)}" for column in schema)


def _feature(column: pa.Field, classes: Sequence[str], indent: int) -> str:
    blank, kind = " " * indent, column.type
    if column.name == "label":
        return f"{blank}dtype:\n{blank}  class_label:\n{blank}    names:\n{class_names(classes, indent + 6)}"
    if column.name == "image":
        return f"{blank}dtype: image\n"
    if pa.types.is_list(kind):
        return f"{blank}list:\n{_feature(kind.value_field, classes, indent + 2)}"
    if pa.types.is_struct(kind):
        inner = (f"{blank}  - name: {field.name}\n{_feature(field, classes, indent + 4)}" for field in kind)
        return f"{blank}struct:\n{''.join(inner)}"
    if pa.types.is_dictionary(kind):
        return f"{blank}dtype: string\n"
    # Where pyarrow's own name of a type is not that of `datasets`.
    name = {pa.float32(): "float32", pa.date32(): "date32"}.get(kind, str(kind))
    return f"{blank}dtype: {name}\n"


def class_names(classes: Sequence[str], indent: int) -> str:
    """Return the class table as YAML, one line per class, as `datasets` declares a ClassLabel."""
    # JSON strings are YAML strings, whatever they contain.
    return "".join(f"{' ' * indent}'{number}': {json.dumps(word)}\n" for number, word in enumerate(classes))


def _number(manifest: Manifest) -> str:
    """Return the `datasets` type of coordinates."""
    return "float64" if manifest.is_raw else "int64"


def _is_own(manifest: Manifest) -> bool:
    return any(source.path.startswith(OWN_FILES) for source in manifest.sources)


def dataset_card(manifest: Manifest) -> str:
    """Return the card of a built data set of drawings."""
    patterns = {split: f"data/{split}-*.parquet" for split in manifest.splits if manifest.shards(split)}
    common: dict[str, object] = {
        "features": features(parquet.schema(raw=manifest.is_raw), manifest.classes),
        "configs": _configs(patterns),
        "size_category": size_category(sum(manifest.splits.values())),
        "sources": len(manifest.sources),
        "seed": manifest.config["seed"],
        "rejects": sum(manifest.rejects.values()),
    }
    row = "| {split} | {count:,} | {cell} |"
    if _is_own(manifest):
        return _card("drawings", manifest, row, _SPLIT_USE, **common)
    official = sum(source.official for source in manifest.sources)
    return _card(
        "quickdraw",
        manifest,
        row,
        _SPLIT_USE,
        official=official,
        others="" if official == len(manifest.sources) else "; the others are of another origin, perhaps generated",
        recognized="Only drawings that the game recognized were taken."
        if manifest.config["recognized_only"]
        else "Drawings were taken whether the game recognized them or not; the column `recognized` says which.",
        points="{x, y} in pixels and t in milliseconds" if manifest.is_raw else "{x, y} in 0..255",
        **common,
    )


def picture_card_head(manifest: Manifest, pictures: str) -> str:
    """Return the start of the card of a set of crops or edge maps: front matter, title, and sources.

    `manifest` has one undivided split; `pictures` is the plural noun for the pictures.
    """
    counts, parent = manifest.counts[UNDIVIDED].values(), manifest.parent
    return _card(
        "pictures",
        manifest,
        size_category=size_category(sum(counts)),
        features=features(schema(), manifest.classes),
        pictures=pictures,
        filled=sum(map(bool, counts)),
        origin="photos" if parent is None else f"{parent.name} (sha256 of its manifest: `{parent.sha256}`)",
    )


def reject_rows(manifest: Manifest) -> str:
    """Return the rows of a card's table of rejects."""
    return "\n".join(f"| {reason} | {count:,} |" for reason, count in manifest.rejects.items()) or "| none | 0 |"


def size_category(rows: int) -> str:
    """Return the Hugging Face Hub's name for a number of rows."""
    for limit, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if rows < limit:
            return name
    return "1M<n<10M"


def webdataset_card(manifest: Manifest) -> str:
    """Return the card of an export to tars."""
    config, first = manifest.config, next(iter(manifest.splits))
    tars = {split: sum(f.path.startswith(f"{split}-") for f in manifest.files) for split in manifest.splits}
    ink = "white ink on black" if config["white_on_black"] else "black ink on white"
    size, width = config["png"], config["line_width"]
    return _card(
        "webdataset",
        manifest,
        "| {split} | {count:,} | {cell:,} |",
        tars,
        configs=_configs({split: f"{split}-*.tar" for split in tars}),
        png=f"\n- `{{key_id}}.png`: {size} × {size} pixels, 8-bit grey, {ink}, lines {width} px wide" if size else "",
        class_names=class_names(manifest.classes, 12),
        number=_number(manifest),
        png_feature="    - name: png\n      dtype: image\n" if size else "",
        shards=f"{first}-{{000000..{tars[first] - 1:06d}}}.tar",
    )


def ndjson_card(manifest: Manifest) -> str:
    """Return the card of an export to official text; it has front matter for one folder per split only."""
    merged, suffix = manifest.config["merge"], ".ndjson.gz" if manifest.config["gzip"] else ".ndjson"
    layout = (
        f"`full/…/{{category}}{suffix}` holds a category's drawings of all these splits, laid out like the official\n"
        "bucket: `sketchdata build quickdraw-3.8m --source` reads this folder."
        if merged
        else f"`{{split}}/{{category}}{suffix}` holds a category's drawings of a split."
    )
    patterns = {} if merged else {split: f"{split}/*{suffix}" for split in manifest.splits}
    # Without declared columns, a file that starts with unknown countries would have a column of nulls.
    columns = dict.fromkeys(("word", "countrycode", "timestamp", "key_id"), "string") | {"recognized": "bool"}
    fields = "".join(f"    - name: {name}\n      dtype: {kind}\n" for name, kind in columns.items())
    lists = f"    - name: drawing\n      list:\n        list:\n          list: {_number(manifest)}\n"
    features = f"dataset_info:\n  features:\n{fields}{lists}" if patterns else ""
    return _card("ndjson", manifest, configs=_configs(patterns), layout=layout, features=features)


def bitmaps_card(manifest: Manifest) -> str:
    """Return the card of an export to bitmaps."""
    config = manifest.config
    lines = f"{'smooth' if config['antialias'] else '8-connected'} lines {config['line_width']} px wide"
    return _card(
        "bitmaps",
        manifest,
        size=config["size"],
        pixels=config["size"] ** 2,
        how="drawn by cairo\nas the official bitmaps are"
        if config["raster"] == "official"
        else f"drawn by OpenCV\nwith {lines}; they are not the official bitmaps",
        splits=", then ".join(manifest.splits),
        first=manifest.classes[0],
    )


def lists_card(manifest: Manifest) -> str:
    """Return the card of an export to the lists of HashNet."""
    return _card("lists", manifest, "| {split} | `{cell}` | {count:,} |", FILES)


def deephash_card(manifest: Manifest) -> str:
    """Return the card of an export of codes to DeepHash's arrays."""
    return _card("deephash", manifest, "| {split} | `{cell}_*.npy` | {count:,} |", PARTS, bits=manifest.config["bits"])
