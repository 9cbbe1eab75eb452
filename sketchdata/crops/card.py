"""The card of a set of crops."""

from __future__ import annotations

from sketchdata.card import picture_card_head, reject_rows
from sketchdata.manifest import Manifest

_NO_BOX = {
    "whole": "Photos without a box are there as a whole.",
    "saliency": "Photos without a box are cropped to what stands out of them (geodesic saliency).",
    "skip": "Photos without a box were left out.",
}


def crops_card(manifest: Manifest) -> str:
    """Return the README of a set of crops: Markdown with the front matter that `datasets` reads."""
    config = manifest.config
    near = (
        "Of equal crops one stayed"
        if config["near"] is None
        else f"Of equal crops, and of those whose 64-bit perceptual hashes differ in at most {config['near']} bits and "
        "whose\nthumbnails correlate, one stayed"
    )
    return f"""{picture_card_head(manifest, "crops")}
**Crops.** Each annotated box, with a margin of {config["context"]:g} of its width and height on each side, shrunk to at
most {config["longest_side"]} pixels along the longer side, as {config["format"].upper()}. Boxes whose longer side has
fewer than {config["min_size"]} pixels were left out, and so were those flagged as {config["skip_flags"]}.
{_NO_BOX[config["no_box"]]}

**Rows** stand by class, then by `key_id`. **Columns**: `key_id` uint64, `word`, `label` uint16 (the row of the class
table in `manifest.json`), `image`, `width`, `height`; `photo`, `photo_sha256`, `source`, `page`, `author`, `licence`,
`title`, `fetched` of the photo; `x0`, `y0`, `x1`, `y1`, the annotated box in pixels of the upright photo, or null;
`category`, the source's own class; `phash` of the crop.

**Licences** are those of the photos: see `licence`, `author` and `page` of each row before you share one.

**Duplicates.** {near}: one with an annotated box rather than a whole photo,
then the larger one, then that of the smallest key_id. `duplicates.csv` lists what went.

**Refused**: {sum(manifest.rejects.values()):,} annotations, listed in `rejects.jsonl`.

| reason | annotations |
|---|--:|
{reject_rows(manifest)}
"""
