"""The data-set card: a README with the front matter that `datasets` and the Hugging Face Hub read."""

from __future__ import annotations

from sketchdata.manifest import Manifest
from sketchdata.shards.pictures import UNDIVIDED

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
