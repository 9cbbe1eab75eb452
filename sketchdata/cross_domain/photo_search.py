"""Search of photos by drawings: vectors of drawings for an index, and pictures of its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from sketchdata.cross_domain.dataset import DRAWINGS, open_two_domains
from sketchdata.cross_domain.encoder import read_space
from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.drawings.simplify import simplify
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.formats.codes import pack_bits
from sketchdata.photos.crops import encode
from sketchdata.photos.image import DEFAULT_LIMITS, Photo, decode, resize, sniff
from sketchdata.retrieval.index import Index
from sketchdata.retrieval.vector_index import VectorIndex
from sketchdata.storage import pictures
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file
from sketchdata.storage.parquet import RowGroups, read_row_groups
from sketchdata.training.packed import pack
from sketchdata.training.run_folder import MODEL

#: An index over vectors, or over codes of a network that computes codes.
PhotoIndex = Index | VectorIndex
#: The longest side of a thumbnail in pixels.
THUMBNAIL = 160
_CREDITS = ("title", "author", "licence", "page", "source")
#: Number of thumbnails in memory, of about 6 kB each.
_KEPT = 20_000
_THREADS = 4
#: Reduced sizes at which OpenCV decodes JPEG files, the smallest last.
_REDUCED = ((2, cv2.IMREAD_REDUCED_COLOR_2), (4, cv2.IMREAD_REDUCED_COLOR_4), (8, cv2.IMREAD_REDUCED_COLOR_8))


class DrawingEmbedder:
    """Computes the vectors or codes of drawings for the search of an index over photos; the network is read once.

    Args:
        index: The index.
        run: Folder of the training whose network made its vectors or codes.
        device: Where to compute.

    Raises:
        ConfigError: The index was made by another run.
        SketchDataError: The training is not finished, or damaged.
    """

    def __init__(self, index: PhotoIndex, run: Path, *, device: str = "cpu") -> None:
        layer = index.facts.get("layer")
        self.encoder = read_space(run, None if layer is None else str(layer)).to(device)
        sha256, model = hash_file(run / MODEL, "sha256"), str(index.facts.get("model"))
        codes = isinstance(index, Index)
        width = index.bits if isinstance(index, Index) else index.width
        if (model, width, codes) != (sha256, self.encoder.width, self.encoder.bits > 0):
            held = f"codes of {width:,} bits" if codes else f"vectors of {width:,} values"
            raise ConfigError(
                f"the index holds {held} by another network (sha256 {model[:16]}…) than that of {run} "
                f"({self.encoder.width:,} {'bits' if self.encoder.bits else 'values'}, sha256 {sha256[:16]}…): use "
                "the run that made them, or encode and index the data set again"
            )

    @torch.no_grad()
    def __call__(self, drawings: Sequence[Drawing]) -> npt.NDArray[Any]:
        """Return the vectors of M drawings, (M, D) float32, or their codes, (M, ⌈D / 8⌉) uint8.

        Raw drawings are simplified first.
        """
        # For a single drawing, this memory format takes a quarter less time.
        ink = self.rastered(drawings).contiguous(memory_format=torch.channels_last)
        found: npt.NDArray[np.float32] = self.encoder(ink, DRAWINGS).cpu().numpy()
        return pack_bits(found > 0) if self.encoder.bits else found

    def rastered(self, drawings: Sequence[Drawing]) -> torch.Tensor:
        """Return the network's input of M drawings: (M, 3, S, S) uint8, black on white."""
        names = Words()
        batch = to_batch(drawings, names)
        packed = pack([simplify(batch) if batch.is_raw else batch], tuple(names.names))
        size, width = self.encoder.size, self.encoder.architecture.line_width
        return (255 - packed.raster(torch.arange(len(packed)), size, width)).expand(-1, 3, -1, -1)


@dataclass(frozen=True, kw_only=True)
class FoundPhoto:
    """A photo of a result.

    Attributes:
        thumbnail: A JPEG whose longest side is THUMBNAIL.
        credit: Title, author, licence and source, if the data set has them.
        page: Address of the page that it comes from; None if unknown.
    """

    thumbnail: bytes
    credit: str
    page: str | None


class PhotoStore:
    """The pictures of an index, read on demand from its data set.

    Safe to use from several threads.

    Args:
        index: The index.
        data: The data set.

    Raises:
        ConfigError: The index was made of another data set.
        SketchDataError: The data set is missing or damaged.
    """

    def __init__(self, index: PhotoIndex, data: Path) -> None:
        self.manifest, splits = open_two_domains(data), [str(split) for split in index.facts.get("splits") or ()]
        recorded = index.facts.get("data")
        wanted = str(recorded.get("sha256")) if isinstance(recorded, Mapping) else "?"
        sha256 = hash_file(data / MANIFEST_NAME, "sha256")
        if sha256 != wanted:
            raise ConfigError(
                f"{data} is not the data set that the index was made of (sha256 of its manifest {sha256[:16]}… instead "
                f"of {wanted[:16]}…): give that one with --data, or encode and index this one"
            )
        if any(split.endswith(f"-{DRAWINGS}") for split in splits):
            raise ConfigError(f"the index is over {', '.join(splits)}, and only photos are shown: index photos alone")
        paths = [data / shard.path for split in splits for shard in self.manifest.shards(split)]
        self.groups = RowGroups(paths, ["image"])
        tables = [table for path in paths for table in read_row_groups(path, ["key_id", *_CREDITS])]
        table = pa.concat_tables(tables) if tables else pictures.schema().empty_table()
        key_ids = table.column("key_id").to_numpy()
        order = np.argsort(key_ids, kind="stable")
        if len(key_ids) != len(index) or (key_ids[order] != index.key_ids).any():
            raise SketchDataError(f"{data} does not hold the photos of the index: run `sketchdata verify {data}`")
        self.rows = order
        self.facts = table.select(_CREDITS).combine_chunks()
        #: Returns the JPEG of a row of the index, whose longest side is THUMBNAIL; SketchDataError tells of damage.
        self.thumbnail = lru_cache(_KEPT)(self._thumbnail)

    def photos(self, rows: npt.NDArray[np.int64]) -> list[FoundPhoto]:
        """Return the photos of rows of the index.

        Raises:
            SketchDataError: A photo is damaged.
        """
        with ThreadPoolExecutor(_THREADS) as pool:
            thumbnails = pool.map(self.thumbnail, rows.tolist())
            return [
                FoundPhoto(thumbnail=thumbnail, credit=credit, page=page)
                for thumbnail, (credit, page) in zip(thumbnails, self.credits(rows), strict=True)
            ]

    def credits(self, rows: npt.NDArray[np.int64]) -> list[tuple[str, str | None]]:
        """Return the credit and page of rows of the index, see `FoundPhoto`, without reading photos."""
        found = []
        for facts in self.facts.take(self.rows[rows]).to_pylist():
            # The source of photos from local folders is not informative.
            source = None if facts["source"] == "folders" else facts["source"]
            said = [facts["title"], facts["author"] and f"by {facts['author']}", facts["licence"], source]
            page = facts["page"] or ""
            credit = ", ".join(word for word in said if word)
            found.append((credit, page if page.startswith(("https://", "http://")) else None))
        return found

    def _thumbnail(self, row: int) -> bytes:
        ((_, table),) = self.groups.take(self.rows[row : row + 1], keep=True)
        (image,) = pictures.image_bytes(table)
        try:
            return encode(_reduced(image), "jpeg")
        except FormatError as error:
            raise SketchDataError(f"a photo is damaged, {error}: run `sketchdata verify` on the data set") from error


def _reduced(image: bytes) -> Photo:
    """Decode a picture, a JPEG at a reduced size that is not smaller than a thumbnail."""
    if sniff(image) == "JPEG" and len(image) <= DEFAULT_LIMITS.bytes:
        # The smallest of the file's sizes that is at least that of a thumbnail.
        whole = cv2.imdecode(np.frombuffer(image, np.uint8), _REDUCED[-1][1])
        if whole is not None:
            fits = [flag for factor, flag in _REDUCED if 8 * max(whole.shape[:2]) // factor >= THUMBNAIL]
            if fits:
                found: Any = cv2.imdecode(np.frombuffer(image, np.uint8), fits[-1])
                return resize(np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8), THUMBNAIL)
    photo = decode(image)
    return resize(photo, min(THUMBNAIL, max(photo.shape[:2])))
