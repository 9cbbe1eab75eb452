"""What a page shows: an audit, its rows as items, and where their pictures come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sketchdata.audit_store import Audit, read_audit
from sketchdata.web.edge_maps import EdgeMapPictures, audited_edge_maps, find_crops
from sketchdata.web.items import Items, audited_drawings
from sketchdata.web.pictures import DrawingPictures, Pictures


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """An audit with its items and their pictures; both pages are made from it."""

    audit: Audit
    items: Items
    pictures: Pictures


def exhibit_drawings(directory: Path) -> Exhibit:
    """Return the drawings that `sketchdata audit entropy` scored.

    Raises:
        SketchDataError: There is no finished audit of this data set, or a shard cannot be read.
    """
    audit = read_audit(directory)
    return Exhibit(audit=audit, items=audited_drawings(audit), pictures=DrawingPictures(audit))


def exhibit_edge_maps(directory: Path, photos: Path | None = None) -> Exhibit:
    """Return the edge maps that `sketchdata edgemaps curate` scored, each with the photo that it was made from.

    Args:
        directory: The edge maps.
        photos: The crops that they were made from. Default: a folder beside them, if it is there; otherwise the edge
            maps are shown alone.

    Raises:
        SketchDataError: There is no finished audit of the edge maps, or a shard cannot be read.
        ConfigError: `photos` holds other crops than those.
    """
    audit = read_audit(directory, "messiness")
    crops = find_crops(directory, audit.manifest, photos)
    return Exhibit(audit=audit, items=audited_edge_maps(audit), pictures=EdgeMapPictures(audit, crops))
