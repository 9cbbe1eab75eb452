"""The card of a set of edge maps: what is in the folder, where it is from, how it was split, what limits its use."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from sketchdata.card import size_category
from sketchdata.curation import CURATION_FILE
from sketchdata.manifest import Manifest
from sketchdata.shards.edgemaps import ATTRIBUTION_FILE, DEFAULT_SIDE, TARS_FOLDER, tars_of

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
        "```python\nfrom sketchdata.edgemaps import open_edgemaps\n"
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
