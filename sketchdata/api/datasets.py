"""Data sets and drawings as Python objects, and functions that work on them; `sketchdata` re-exports the names."""

from __future__ import annotations

import base64
import html
import operator
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast, overload

import numpy as np
import numpy.typing as npt

from sketchdata.curation.entropy import drawing_entropies, entropies
from sketchdata.display.contact_sheet import contact_sheet, encode_png
from sketchdata.drawings.drawing import Drawing, DrawingBatch, Words, concatenate, empty_batch, to_batch
from sketchdata.drawings.raster import DEFAULT_SIZE, Bitmaps, raster
from sketchdata.drawings.simplify import simplify as simplify_batch
from sketchdata.edges.dataset import noun_of
from sketchdata.errors import ConfigError, SketchDataError, needs_extra
from sketchdata.formats.files import (
    GZIP_SUFFIX,
    Portion,
    Writer,
    format_of,
    open_file,
    packed_by_name,
    read_svg_folder,
    unpacked_blocks,
    write_svg_folder,
)
from sketchdata.storage import parquet
from sketchdata.storage.dataset import Dataset, open_dataset
from sketchdata.storage.manifest import replacing
from sketchdata.storage.parquet import RowGroups

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from sketchdata.training.loader import DrawingImages, PackedLoader

AnyPath: TypeAlias = "str | PathLike[str]"

#: Maximum size of the cache of decoded row groups, in bytes; the train split of QuickDraw-3.8M takes 0.5 GB.
_KEPT_BYTES = 1 << 30
#: Number of drawings that are processed at a time when rows are not in file order.
_AT_ONCE = 4096
#: Number of drawings on the contact sheet that notebooks show.
_SHOWN = 24


class DrawingDataset(Sequence[Drawing]):
    """The drawings of a split, as a sequence that reads rows on demand; `sketchdata.load` opens one.

    Rows are read from the memory-mapped Parquet shards one row group (20,000 drawings) at a time, and decoded row
    groups are cached as flat arrays, up to 1 GiB. A slice is another DrawingDataset and reads nothing. Notebooks show a
    contact sheet.

    Attributes:
        directory: The data set's folder.
        split: The split's name.
        classes: The class table: a label is an index into it.

    Example:
        >>> train = sketchdata.load("data/quickdraw-3.8m", "train")
        >>> len(train), train[0].word, train[-1].strokes[0].shape
        (3105000, 'cat', (12, 2))
        >>> sample = train[:34500]  # rows are shuffled: about 100 drawings per class
    """

    def __init__(self, dataset: Dataset, split: str, groups: RowGroups, rows: range) -> None:
        self.directory = dataset.directory
        self.split = split
        self.classes: tuple[str, ...] = dataset.manifest.classes
        self._dataset, self._groups, self._rows = dataset, groups, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, row: int) -> Drawing: ...

    @overload
    def __getitem__(self, row: slice) -> DrawingDataset: ...

    def __getitem__(self, row: int | slice) -> Drawing | DrawingDataset:
        if isinstance(row, slice):
            return DrawingDataset(self._dataset, self.split, self._groups, self._rows[row])
        (drawing,) = self.take([row]).drawings(self.classes)
        return drawing

    def __iter__(self) -> Iterator[Drawing]:
        for batch in self.batches():
            yield from batch.drawings(self.classes)

    def take(self, rows: Sequence[int] | npt.NDArray[np.integer[Any]]) -> DrawingBatch:
        """Return the drawings at some rows as flat arrays, in the order of `rows`.

        Args:
            rows: (B,) integers, −len..len − 1.

        Raises:
            IndexError: The row does not exist.
            SketchDataError: A shard is missing or cannot be read.
        """
        asked = np.array([operator.index(row) for row in rows], np.int64)
        wrong = asked[(asked < -len(self)) | (asked >= len(self))]
        if len(wrong):
            raise IndexError(f"row {wrong[0]} of {len(self):,} drawings in {self.split} of {self.directory}")
        places = self._rows.start + self._rows.step * (asked % max(len(self), 1))
        order, batches = list[int](), [empty_batch(raw=self._dataset.manifest.is_raw)]
        for found, table in self._groups.take(places, keep=True):
            order += found
            batches.append(parquet.from_table(table))
        return concatenate(batches).take(np.argsort(order)) if order else batches[0]

    def batches(self) -> Iterator[DrawingBatch]:
        """Yield all drawings as flat arrays, in order, thousands at a time; nothing is cached.

        Raises:
            SketchDataError: A shard is missing or cannot be read.
        """
        if self._rows.step > 0:
            rows = np.arange(self._rows.start, self._rows.stop, self._rows.step)
            for _, table in self._groups.take(rows, keep=False):
                yield parquet.from_table(table)
            return
        for start in range(0, len(self), _AT_ONCE):
            yield self.take(range(start, min(start + _AT_ONCE, len(self))))

    def to_pandas(self, *, strokes: bool = True) -> pd.DataFrame:
        """Return a table with one row per drawing.

        Args:
            strokes: Whether to include the column `strokes`: per row a tuple of (n, 2) arrays, (n, 3) for raw drawings.
            A few million of these Python objects fill the memory: slice first, or omit the column.

        Returns:
            Columns `key_id` uint64, `word` categorical over the class table, `label` uint16, `countrycode` object (None
            where unknown), `timestamp` datetime64[us, UTC], `recognized` bool, and `strokes`.

        Example:
            >>> table = sketchdata.load("data/quickdraw-3.8m", "query").to_pandas(strokes=False)
            >>> table.groupby("word", observed=True).recognized.mean()
        """
        import pandas as pd

        batches = [empty_batch(raw=self._dataset.manifest.is_raw), *self.batches()]
        whole = concatenate(batches)
        table: pd.DataFrame = pd.DataFrame(
            {
                "key_id": whole.key_id,
                "word": pd.Categorical(np.array(self.classes, object)[whole.label], categories=list(self.classes)),
                "label": whole.label,
                "countrycode": pd.Series([c.decode("ascii") or None for c in whole.countrycode.tolist()], dtype=object),
                "timestamp": pd.to_datetime(whole.timestamp, unit="us", utc=True).as_unit("us"),
                "recognized": whole.recognized,
            }
        )
        if strokes:
            table["strokes"] = pd.Series([d.strokes for d in whole.drawings(self.classes)], dtype=object)
        return table

    def to_torch(
        self,
        size: int = DEFAULT_SIZE,
        *,
        line_width: int = 1,
        dtype: torch.dtype | None = None,
        transform: Callable[[torch.Tensor], Any] | None = None,
    ) -> DrawingImages:
        """Return a map-style `torch.utils.data.Dataset` of (image, label).

        The data set can be pickled, so a DataLoader may use workers; each worker opens the shards itself. All drawings
        of a batch are rasterized in one call.

        Args:
            size: The side S in pixels, 1..4096.
            line_width: Width in pixels, 1..64.
            dtype: torch.float32 (the default), ink 1 on background 0; or torch.uint8, ink 255.
            transform: Function applied to each image.

        Returns:
            Items are (1, S, S) images and () int64 labels.

        Raises:
            ConfigError: torch is not installed, or an option is out of its range.

        Example:
            >>> images = sketchdata.load("data/quickdraw-3.8m", "train").to_torch(size=64)
            >>> loader = torch.utils.data.DataLoader(images, batch_size=256, shuffle=True, num_workers=4)
        """
        with needs_extra("drawing pictures as tensors", "train"):
            from sketchdata.training.loader import DrawingImages

        return DrawingImages(self, size=size, line_width=line_width, dtype=dtype, transform=transform)

    def loader(
        self,
        batch_size: int = 256,
        *,
        device: str = "auto",
        size: int | None = DEFAULT_SIZE,
        max_points: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
    ) -> PackedLoader:
        """Copy the drawings to a device as vectors and return a loader that rasterizes batches there.

        A drawing takes about 125 bytes. This is much faster than a DataLoader, on a GPU by orders of magnitude: per
        batch, only row numbers are copied.

        Args:
            batch_size: Drawings per batch; the last batch of an epoch may have fewer.
            device: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`.
            size: The side S of the images in pixels; None omits the images.
            max_points: Maximum length of the point sequences; None omits the sequences.
            shuffle: Whether to shuffle the drawings in each epoch.
            seed: Seed of the shuffling.

        Returns:
            A loader whose `batches(epoch)` yields batches with `labels` (B,) int64, `raster` (B, 1, S, S) uint8, ink
            255, and `sequence` (B, L, 4) float32 with `lengths` (B,).

        Raises:
            ConfigError: torch is not installed, the device does not exist, or the split has no drawings.
            SketchDataError: A shard cannot be read, or the drawings are raw.

        Example:
            >>> loader = sketchdata.load("data/quickdraw-3.8m", "train").loader(512, size=64)
            >>> for batch in loader.batches(epoch=0):
            ...     scores = network(batch.raster.float() / 255)
        """
        with needs_extra("drawing pictures as tensors", "train"):
            from sketchdata.training.distributed import device_of
            from sketchdata.training.loader import Order, PackedLoader, View
            from sketchdata.training.packed import pack
        if batch_size < 1:
            raise ConfigError(f"a batch has 1 drawing or more, not {batch_size}")
        if not len(self):
            raise ConfigError(f"there are no drawings to load in {self!r}")
        packed = pack(self.batches(), self.classes).to(device_of(device))
        order = Order(count=len(self), batch_size=batch_size, seed=seed, shuffle=shuffle)
        return PackedLoader(packed=packed, order=order, view=View(size=size, max_points=max_points))

    def __repr__(self) -> str:
        facts = f"{len(self):,} drawings of {len(self.classes):,} classes"
        return f"<DrawingDataset {str(self.directory)!r}, {self.split}: {facts}>"

    def _repr_html_(self) -> str:
        title = f"<p>{html.escape(repr(self))}</p>"
        if not len(self):
            return title
        sheet = contact_sheet(self[:_SHOWN].take(range(min(len(self), _SHOWN))), self.classes, columns=8, cell=96)
        picture = base64.b64encode(encode_png(sheet)).decode("ascii")
        return f'{title}<img alt="contact sheet" src="data:image/png;base64,{picture}">'


#: Several drawings: a list, a data set or a slice of one.
Drawings: TypeAlias = Sequence[Drawing]


def load(path: AnyPath, split: str = "train") -> DrawingDataset:
    """Open a split of a data set that `sketchdata build` made; only the shards' footers are read.

    Args:
        path: The data set's folder.
        split: `train`, `val`, `gallery` or `query`, or another split of the data set.

    Raises:
        ConfigError: The split does not exist, or the folder holds something other than drawings.
        SketchDataError: It is not a finished data set, or a shard is missing or damaged.

    Example:
        >>> train = sketchdata.load("data/quickdraw-3.8m", "train")
        >>> train.to_pandas(strokes=False).word.value_counts()
    """
    dataset = open_dataset(Path(path))
    manifest = dataset.manifest
    if noun_of(manifest) != "drawings" or not any(map(manifest.shards, manifest.counts)):
        raise ConfigError(
            f"{path} holds {manifest.name}, which is not a data set of drawings in Parquet shards: give the folder of "
            "a `sketchdata build quickdraw-3.8m`"
        )
    if split not in manifest.counts:
        raise ConfigError(f"there is no split {split!r}; {path} has {', '.join(manifest.counts)}")
    shards = [dataset.directory / shard.path for shard in manifest.shards(split)]
    missing = [shard for shard in shards if not shard.is_file()]
    if missing:
        raise SketchDataError(f"{missing[0]} is missing, and the manifest lists it: build the data set again")
    groups = RowGroups(shards, most_bytes=_KEPT_BYTES)
    return DrawingDataset(dataset, split, groups, range(int(groups.starts[-1])))


def rasterize(
    drawings: Drawing | Drawings, size: int = DEFAULT_SIZE, *, line_width: int = 1, antialias: bool = False
) -> Bitmaps:
    """Rasterize one or several drawings, see `sketchdata.drawings.raster.raster`.

    Args:
        drawings: One drawing, or N drawings, simplified or raw.
        size: The side S in pixels, 1..4096.
        line_width: Width in pixels, 1..64.
        antialias: Whether lines are antialiased; otherwise pixels are 0 or 255.

    Returns:
        (S, S) uint8 for one drawing, (N, S, S) for several; the first row is the top one, ink is 255 and background 0.

    Raises:
        ConfigError: `size` or `line_width` is out of its range.
        FormatError: A raw coordinate is not a finite number, or some drawings are raw and others are not.

    Example:
        >>> sketchdata.rasterize(train[:100], size=28).shape
        (100, 28, 28)
    """
    if isinstance(drawings, Drawing):
        return drawings.image(size, line_width=line_width, antialias=antialias)
    batches = [empty_batch(), *_batches(drawings, Words())]
    return np.concatenate([raster(b, size=size, line_width=line_width, antialias=antialias) for b in batches])


@overload
def simplify(drawings: Drawing) -> Drawing: ...


@overload
def simplify(drawings: Drawings) -> list[Drawing]: ...


def simplify(drawings: Drawing | Drawings) -> Drawing | list[Drawing]:
    """Simplify raw drawings as the official code does, see `sketchdata.drawings.simplify.simplify`.

    Args:
        drawings: One or several drawings. Simplified ones are returned unchanged.

    Returns:
        The same drawings without times; x and y are uint8 and the larger side is 255.

    Raises:
        FormatError: A coordinate is not a finite number, or a drawing or stroke is empty or exceeds the maximum length.

    Example:
        >>> simple = sketchdata.simplify(sketchdata.read("raw/cat.ndjson"))
    """
    if not isinstance(drawings, Drawing):
        return [simplify(drawing) for drawing in drawings]
    if not (drawings.strokes and drawings.strokes[0].shape[1] == 3):
        return drawings
    words = Words()
    (simple,) = simplify_batch(to_batch([drawings], words)).drawings(words.names)
    return simple


def read(path: AnyPath, *, word: str | None = None) -> list[Drawing]:
    """Read the drawings of a file, whose suffix gives the format, or of a folder of SVG files.

    Args:
        path: `.ndjson` (simplified or raw), `.bin`, `.npz` (sketch-rnn) or `.svg`, compressed as `.gz` or not; or a
            folder of `.svg` files.
        word: Their category. `.bin` and `.npz` do not store it: the default is the file's name. In the other formats, a
        drawing of another category is an error.

    Returns:
        All drawings, as Python objects; for files of millions use `sketchdata build` and `load`, or `convert`.

    Raises:
        ConfigError: The file does not exist, or its format cannot be read.
        SketchDataError: A record is damaged; the message says which.

    Example:
        >>> cats = sketchdata.read("cat.ndjson")
        >>> sketchdata.write("cat.npz", cats[:1000])
    """
    place, words = Path(path), Words()
    if place.is_dir():
        return _all_drawings(place, read_svg_folder(place, words, word), words)
    reading = format_of(str(place))
    if reading.read is None:
        raise ConfigError(f"{place}: bitmaps cannot be turned back into strokes, so .{reading.name} is only written")
    if word is None and not reading.names_word:
        word = place.name.partition(".")[0].removeprefix("sketchrnn_")
    with open_file(place) as file:
        return _all_drawings(place, reading.read(unpacked_blocks(file, str(place)), words, word), words)


def _all_drawings(place: Path, portions: Iterator[Portion], words: Words) -> list[Drawing]:
    drawings = list[Drawing]()
    for portion in portions:
        for fault in portion.faults:
            detail = f" ({fault.detail})" if fault.detail else ""
            raise SketchDataError(
                f"{place}, {fault.where}: {fault.reason}{detail}; `sketchdata convert` can leave bad records out"
            )
        drawings += portion.batch.drawings(words.names)
    return drawings


def write(path: AnyPath, drawings: Drawing | Drawings, *, overwrite: bool = False) -> None:
    """Write drawings to a file, whose suffix gives the format, or as SVG files to a folder.

    The file is written whole or not at all.

    Args:
        path: `.ndjson` or `.ndjson.gz`, `.bin`, `.npz` (sketch-rnn), `.svg` (one drawing), `.npy` (28×28 bitmaps by the
            fast raster); or a folder, which exists or whose name has no suffix or ends in /, for one file
            `{key_id}.svg` per drawing.
        drawings: One or several drawings, all simplified or all raw.
        overwrite: Whether a file may be replaced.

    Raises:
        ConfigError: The file exists, or its suffix is not known.
        FormatError: The format cannot hold the drawings (several in one `.svg`, for example), or some are raw and
        others are not.

    Example:
        >>> sketchdata.write("cats/", sketchdata.read("cat.ndjson")[:10])
    """
    place, words = Path(path), Words()
    many = [drawings] if isinstance(drawings, Drawing) else drawings
    if place.is_dir() or str(path).endswith("/") or not place.suffix:
        if place.is_file():
            raise ConfigError(f"{place} is a file: name a folder, or a file with a suffix")
        write_svg_folder(place, iter(many), overwrite=overwrite)
        return
    writing = format_of(str(place))
    if place.suffix == GZIP_SUFFIX and writing.name != "ndjson":
        raise ConfigError(f"{place}: only .ndjson is written as {GZIP_SUFFIX}")
    if place.exists() and not overwrite:
        raise ConfigError(f"{place} exists: choose another name, or overwrite=True")
    with replacing(place) as file, packed_by_name(file, place.name) as packed:
        cast(Writer, writing.write)(_batches(many, words), words, packed)


@overload
def entropy(drawings: Drawing, *, size: int = ..., line_width: int = ...) -> float: ...


@overload
def entropy(
    drawings: Drawings | npt.NDArray[Any], *, size: int = ..., line_width: int = ...
) -> npt.NDArray[np.float64]: ...


def entropy(
    drawings: Drawing | Drawings | npt.NDArray[Any], *, size: int = DEFAULT_SIZE, line_width: int = 1
) -> float | npt.NDArray[np.float64]:
    """Return the image entropy of drawings or bitmaps, in bits per pixel.

    Source: Xu et al., On Learning Semantic Representations for Million-Scale Free-Hand Sketches, Eq. 4.

    Args:
        drawings: One or several drawings, or bitmaps (…, H, W), in which ink is every value but 0.
        size: Side of the raster in pixels, for drawings.
        line_width: Width in pixels, for drawings.

    Returns:
        A float for one drawing, (N,) float64 for several, (…,) float64 for bitmaps; 0..1.

    Raises:
        ConfigError: An option is out of its range, or an array does not hold bitmaps.

    Example:
        >>> values = sketchdata.entropy(train[:1000])
        >>> low, high = numpy.percentile(values, [5, 95])
    """
    if isinstance(drawings, np.ndarray):
        if drawings.ndim < 2 or not drawings.shape[-1] * drawings.shape[-2]:
            raise ConfigError(f"bitmaps are an array (…, H, W), not of shape {drawings.shape}")
        ink = np.count_nonzero(drawings, axis=(-2, -1))
        pixels = drawings.shape[-1] * drawings.shape[-2]
        return entropies(np.atleast_1d(ink), pixels=pixels).reshape(np.shape(ink))
    many = [drawings] if isinstance(drawings, Drawing) else drawings
    found = [drawing_entropies(batch, size=size, line_width=line_width) for batch in _batches(many, Words())]
    values = np.concatenate([np.empty(0), *found])
    return float(values[0]) if isinstance(drawings, Drawing) else values


def _batches(drawings: Drawings, words: Words) -> Iterator[DrawingBatch]:
    if isinstance(drawings, DrawingDataset):
        for word in drawings.classes:
            words.label(word)
        yield from drawings.batches()
        return
    for start in range(0, len(drawings), _AT_ONCE):
        yield to_batch(drawings[start : start + _AT_ONCE], words)
