"""Searches of the draw-to-search page: the items of an index that are nearest to a drawing, with their pictures."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sketchdata.cross_domain.photo_search import DrawingEmbedder, PhotoIndex, PhotoStore
from sketchdata.drawings.drawing import Drawing, concatenate
from sketchdata.errors import ConfigError
from sketchdata.retrieval.code_folder import ROW_NUMBERS
from sketchdata.retrieval.index import Index
from sketchdata.storage.dataset import open_dataset
from sketchdata.web.exhibit import encode_strokes

#: Path of an item's picture on the server, without the item's id.
PICTURES = "api/pictures"
#: A result as JSON: `id`, `word`, `distance`, `kind` and `data` of its picture (see `pictures.js`); photos also have
#: `credit` and `page`.
Found = Mapping[str, Any]


class Finder(Protocol):
    """An index that is loaded and searched by drawings.

    Attributes:
        nouns: Plural noun of its items, such as `drawings`.
        count: Number of items.
        facts: Description for users: {name: text}.
    """

    nouns: str
    count: int
    facts: Mapping[str, str]

    def find(self, drawing: Drawing, k: int) -> list[Found]:
        """Return the k nearest items of a simplified drawing, nearest first."""

    def picture(self, key_id: int) -> bytes | None:
        """Return the JPEG of an item whose `data` is an address; None if the index has no such item.

        Raises:
            SketchDataError: The picture is damaged.
        """


def votes(found: Sequence[Found], top: int = 3) -> list[tuple[str, float]]:
    """Return the `top` most frequent classes of results and their shares; equally frequent ones, nearest first."""
    counts = Counter(each["word"] for each in found)
    return [(word, count / len(found)) for word, count in counts.most_common(top)]


class DrawingFinder:
    """Finds drawings by their binary codes.

    All drawings of the index's split are kept in memory, about 100 bytes each.

    Args:
        index: The index.
        run: Folder of the training whose network made its codes.
        data: The data set that they are of.
        device: Where to compute codes.

    Raises:
        ConfigError: The run or the data set is not that of the index, or torch is not installed.
        SketchDataError: One of them is missing or damaged.
    """

    nouns = "drawings"

    def __init__(self, index: Index, run: Path, data: Path, *, device: str = "cpu") -> None:
        if index.facts.get("ids") == ROW_NUMBERS:
            raise ConfigError("the index is of bitmaps, which have no key_ids to look up drawings")
        self.index, self.count = index, len(index)
        self.encode = index.encoder(run, device=device)
        dataset, split = open_dataset(data), str(index.facts.get("split"))
        self.drawings = concatenate(list(dataset.batches(split)))
        order = np.argsort(self.drawings.key_id, kind="stable")
        places = np.searchsorted(self.drawings.key_id[order], index.key_ids)
        self.rows = order[np.minimum(places, len(order) - 1)]
        missing = np.flatnonzero(self.drawings.key_id[self.rows] != index.key_ids)
        if len(missing):
            raise ConfigError(
                f"{len(missing):,} of {len(index):,} drawings are not in {split} of {data}, key_id "
                f"{index.key_ids[missing[0]]} among them: give the data set that the codes were made from with --data"
            )
        self.facts: Mapping[str, str] = {
            "Index": f"{len(index):,} codes of {index.bits} bits ({index.kind})",
            "Drawings": f"{dataset.manifest.name}, {split}",
            "Network": str(index.facts["model"]),
        }

    def find(self, drawing: Drawing, k: int) -> list[Found]:
        """See `Finder`."""
        (near,) = self.index.search(self.encode([drawing]), k)
        pictures = encode_strokes(self.drawings.take(self.rows[near.rows]))
        return [
            {
                "id": str(key_id),
                "word": word,
                "distance": distance,
                "kind": "strokes",
                "data": base64.b64encode(picture).decode("ascii"),
            }
            for key_id, word, distance, picture in zip(
                near.key_ids.tolist(), near.words, near.distances.tolist(), pictures, strict=True
            )
        ]

    def picture(self, key_id: int) -> bytes | None:
        """Return None: the results of `find` contain the drawings."""
        return None


class PhotoFinder:
    """Finds photos by the vectors, or codes, of a space of drawings and photos.

    Args:
        index: The index.
        run: Folder of the training whose network made its vectors.
        data: The data set that they are of.
        device: Where to compute vectors.

    Raises:
        ConfigError: The run or the data set is not that of the index, or torch is not installed.
        SketchDataError: One of them is missing or damaged.
    """

    nouns = "photos"

    def __init__(self, index: PhotoIndex, run: Path, data: Path, *, device: str = "cpu") -> None:
        self.index, self.count = index, len(index)
        self.embed, self.store = DrawingEmbedder(index, run, device=device), PhotoStore(index, data)
        codes = index if isinstance(index, Index) else index.codes
        kept = f"codes of {codes.bits} bits" if codes is not None else f"vectors of {self.embed.encoder.width:,} values"
        self.facts: Mapping[str, str] = {
            "Index": f"{len(index):,} {kept} ({index.kind})",
            "Photos": f"{self.store.manifest.name}, {', '.join(index.facts['splits'])}",
            "Network": str(index.facts["model"]),
        }

    def find(self, drawing: Drawing, k: int) -> list[Found]:
        """See `Finder`."""
        (near,) = self.index.search(self.embed([drawing]), k)
        return [
            {
                "id": str(key_id),
                "word": word,
                "distance": distance if isinstance(distance, int) else round(distance, 3),
                "kind": "image",
                # The page requests photos one by one, so that results do not wait for photos to be decoded.
                "data": f"{PICTURES}/{key_id}",
                "credit": credit,
                "page": page,
            }
            for key_id, word, distance, (credit, page) in zip(
                near.key_ids.tolist(), near.words, near.distances.tolist(), self.store.credits(near.rows), strict=True
            )
        ]

    def picture(self, key_id: int) -> bytes | None:
        """See `Finder`."""
        row = self.index.row_of(key_id)
        return None if row is None else self.store.thumbnail(row)
