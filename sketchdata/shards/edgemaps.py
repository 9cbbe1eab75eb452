"""The layout of a finished set of edge maps: WebDataset tars, and an index by which each map can be read by itself.

    shards/{split}-000000.tar   {key_id}.png and {key_id}.json of each map
    index/{split}.parquet       one row a map, in the order of the tars: provenance, scores, where the PNG lies
    ATTRIBUTION.csv             one row a photo that maps were made of

An index's columns are those of the pictures (`shards.pictures`) without the picture, then one float32 column a score,
then `tar` (its path within the data set), `offset` and `bytes` of the PNG in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.errors import FormatError, SketchDataError
from sketchdata.manifest import FileEntry, Manifest, check_listed, replacing
from sketchdata.photos import Photo, decode, sniff
from sketchdata.sampling import below_share, ranks
from sketchdata.shards import pictures
from sketchdata.shards.parquet import METADATA_KEY

NAME = "edgemap-345c"
SPLITS = TRAIN, VAL = "train", "val"
TARS_FOLDER, INDEX_FOLDER = "shards", "index"
ATTRIBUTION_FILE = "ATTRIBUTION.csv"
#: What is told of a photo, in the order of ATTRIBUTION.csv; `maps` follows.
ATTRIBUTION_COLUMNS = ("photo", "page", "author", "licence", "title", "source", "photo_sha256")
#: A side in pixels, where the edge maps' own options do not say. Source: the paper's 224 × 224 × 3.
DEFAULT_SIDE = 224

_PICTURE_COLUMNS = ("image", "width", "height")
_PLACE = (
    pa.field("tar", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    pa.field("offset", pa.uint64(), nullable=False),
    pa.field("bytes", pa.uint32(), nullable=False),
)
_DICTIONARY_COLUMNS = ["word", "label", "category", "source", "author", "licence", "fetched", "tar"]
_ROW_GROUP_ROWS = 20_000
_TEXTS = ("category", "source", "photo", "page", "author", "licence", "title", "photo_sha256")

Mask = npt.NDArray[np.bool_]


def tar_name(split: str, number: int) -> str:
    """Return a tar's path within the data set."""
    return f"{TARS_FOLDER}/{split}-{number:06d}.tar"


def tars_of(manifest: Manifest, split: str) -> list[FileEntry]:
    """Return a split's tars, in order."""
    return [file for file in manifest.files if file.path.startswith(f"{TARS_FOLDER}/{split}-")]


def index_name(split: str) -> str:
    """Return the path of a split's index within the data set."""
    return f"{INDEX_FOLDER}/{split}.parquet"


def decode_map(png: bytes, side: int) -> Photo:
    """Decode an edge map to (side, side, 3) uint8.

    Raises:
        FormatError: `not a PNG`, `another size`, or a reason of `photos.decode`.
    """
    if (kind := sniff(png)) != "PNG":
        raise FormatError("not a PNG", f"{kind or 'no picture'} of {len(png):,} bytes")
    found = decode(png)
    if found.shape[:2] != (side, side):
        height, width = found.shape[:2]
        raise FormatError("another size", f"{width} × {height} where {side} × {side} was expected")
    return found


# ---- the split -------------------------------------------------------------------------------------------------------


def falls_into_val(photo_sha256: Sequence[str], seed: int, share: Fraction) -> Mask:
    """Tell which pictures belong to val: those of which the photo's rank lies below the share. (N,) bool.

    The photo alone decides, so all crops of one photo fall into one split, and photos that are added move nobody.

    Args:
        photo_sha256: (N,) hexadecimal; the first 8 bytes are what is ranked (`sampling.ranks`).
        seed: Of the ranks.
        share: Of the photos that val gets, in expectation.

    Raises:
        SketchDataError: A hash is not one.
    """
    return below_share(ranks(_photo_ids(photo_sha256), seed), share)


def _photo_ids(photo_sha256: Sequence[str]) -> npt.NDArray[np.uint64]:
    try:
        return np.array([int(sha256[:16], 16) for sha256 in photo_sha256], np.uint64)
    except (ValueError, OverflowError) as error:
        raise SketchDataError(f"a photo's sha256 is none, so its split cannot be told: {error}") from error


# ---- a sample's JSON -------------------------------------------------------------------------------------------------


def sample(row: Mapping[str, Any], scores: Mapping[str, float], detector: str) -> bytes:
    """Return a map's JSON.

    Every sample has the same keys with values of the same types, since `datasets` takes the types from the first five:
    an unknown text is empty, 64-bit numbers are texts as in the official files, and the box is `left,top,right,bottom`
    in pixels of the upright photo, or `whole`.

    Args:
        row: A row of pictures, without the picture.
        scores: The audit's numbers, the same names in every sample.
        detector: What found the edges.
    """
    box = [row[edge] for edge in ("x0", "y0", "x1", "y1")]
    content = {
        "key_id": str(row["key_id"]),
        "word": row["word"],
        "label": row["label"],
        "detector": detector,
        "box": "whole" if None in box else ",".join(map(str, box)),
        "phash": f"{row['phash']:016x}",
        **{name: row[name] or "" for name in _TEXTS},
        "fetched": "" if row["fetched"] is None else row["fetched"].isoformat(),
        "scores": dict(scores),
    }
    return orjson.dumps(content)


# ---- the index -------------------------------------------------------------------------------------------------------


def index_schema(scores: Iterable[str]) -> pa.Schema:
    """Return the columns of an index whose maps have these scores."""
    provenance = [field for field in pictures.schema() if field.name not in _PICTURE_COLUMNS]
    return pa.schema([*provenance, *(pa.field(name, pa.float32()) for name in scores), *_PLACE])


def provenance_columns() -> list[str]:
    """Return the names of the columns that an index has in common with the pictures it was made of."""
    return [name for name in pictures.schema().names if name not in _PICTURE_COLUMNS]


def score_columns(schema: pa.Schema) -> list[str]:
    """Return the names of an index's scores."""
    known = set(index_schema(()).names)
    return [name for name in schema.names if name not in known]


def write_index(path: Path, table: pa.Table, facts: Mapping[str, Any]) -> None:
    """Write an index, whole or not at all; the same rows give the same bytes."""
    metadata = {METADATA_KEY: orjson.dumps(dict(facts), option=orjson.OPT_SORT_KEYS)}
    with replacing(path) as file:
        pq.write_table(
            # In one piece, since the pieces' number would show in the file.
            table.unify_dictionaries().combine_chunks().replace_schema_metadata(metadata),
            file,
            row_group_size=_ROW_GROUP_ROWS,
            compression="zstd",
            use_dictionary=_DICTIONARY_COLUMNS,
            write_statistics=["key_id", "label"],
        )


def read_index(path: Path, sha256: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """Read an index, some columns of it.

    Args:
        path: The file.
        sha256: Of the file, if it shall be checked before anything is read.
        columns: Names; None for all.

    Raises:
        SketchDataError: It is missing, damaged, or has other columns.
    """
    check_listed(path, sha256, "build the data set again")
    try:
        schema = pq.read_schema(path)
        if schema.remove_metadata() != index_schema(score_columns(schema)):
            raise SketchDataError(f"{path} is not an index of edge maps of this version: it has other columns")
        table: pa.Table = pq.read_table(path, columns=columns, partitioning=None)
        return table
    except (pa.ArrowException, OSError) as error:
        raise SketchDataError(f"{path} cannot be read as Parquet: {error}") from error
