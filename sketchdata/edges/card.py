"""The card of a set of edge maps in Parquet shards, as `sketchdata edgemaps extract` leaves them."""

from __future__ import annotations

from sketchdata.card import picture_card_head, reject_rows
from sketchdata.manifest import Manifest


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
