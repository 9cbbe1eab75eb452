"""Google's official 28 × 28 bitmaps as a data set for the picture branch, beside the built data sets of drawings.

Bitmaps are a folder of `{class}.npy`, a folder that has such a folder as `full/numpy_bitmap` (as `sketchdata download
quickdraw --format numpy_bitmap` and `sketchdata export bitmaps` write it), or an `.npz` of one array per class. Each
array is (N, 784) uint8, ink up to 255 on background 0.

Bitmaps carry no key_id, so their own bytes decide the split: equal bitmaps are never in two splits, whatever their
class. The splits are not those of the drawings from which the bitmaps were made.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib import format as npy_format
from torch import Tensor
from torch.nn import functional

from sketchdata.drawings.drawing import MAX_COORDINATE
from sketchdata.drawings.resize import resize_ink
from sketchdata.drawings.sampling import PROPORTIONS, Ranks, in_split, splitmix64
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.files import regular
from sketchdata.formats.npy import SIDE
from sketchdata.storage.catalog import FORMATS
from sketchdata.storage.dataset import check_needed, open_dataset
from sketchdata.storage.manifest import hash_file
from sketchdata.training.packed import BILINEAR, THINNED, Augmentation, PackedSketches, read_packed, relabelled

_OFFICIAL_FOLDER, _SUFFIX = FORMATS["numpy_bitmap"]
_ARCHIVE = ".npz"
_PIXELS = SIDE * SIDE
#: Bitmaps that are hashed at a time: their words stay in the processor's cache.
_AT_ONCE = 2048
#: Set apart from other uses of the same hash; any number would do, but it must never change.
_KEY = np.uint64(0x6269746D61707331)
_READ_ERRORS = (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)

_Bitmaps: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedBitmaps:
    """N bitmaps on one device, with the methods of `PackedSketches`.

    Attributes:
        images: (N, S, S) uint8, ink up to 255 on background 0; S is 28 of the official ones.
        labels: (N,) int16, indices into the class table.
        classes: The class table.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.images.device

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return self.images.nbytes + self.labels.nbytes

    def to(self, device: torch.device | str) -> PackedBitmaps:
        """Return the same bitmaps on another device."""
        return PackedBitmaps(images=self.images.to(device), labels=self.labels.to(device), classes=self.classes)

    def raster(
        self,
        indices: Tensor,
        size: int = SIDE,
        line_width: int = 1,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> Tensor:
        """Return some of the bitmaps, interpolated linearly to another size.

        Args:
            indices: (B,) integers, the bitmaps.
            size: The side S in pixels; that of `images` leaves the pixels as they are.
            line_width: 1, since bitmaps have their lines already.
            augment: How to change them; what leaves the square is cut off.
            random: Draws the changes; needed with `augment`, and lives on the CPU.

        Returns:
            (B, 1, S, S) uint8, ink up to 255 on background 0.

        Raises:
            ConfigError: Another `line_width`, `augment` without `random`, or one that leaves out strokes.
        """
        if line_width != 1:
            raise ConfigError(f"the lines of bitmaps cannot be widened: use --line-width 1, not {line_width}")
        chosen = self.images[indices.to(self.device)][:, None]
        side = chosen.shape[-1]
        if augment is None and size == side:
            return chosen
        if augment is not None and augment.resize != BILINEAR:
            if random is None:
                raise ConfigError("an augmentation needs a random generator, so that a run can be repeated")
            maps = augment.affine(len(indices), random).numpy()
            moved = resize_ink(chosen[:, 0].cpu().numpy(), size, thinned=augment.resize == THINNED, affine=maps)
            return torch.from_numpy(moved)[:, None].to(self.device)
        pixels = chosen.to(torch.float32)
        if size != side:
            pixels = functional.interpolate(pixels, (size, size), mode="bilinear", antialias=size < side)
        if augment is not None:
            if random is None:
                raise ConfigError("an augmentation needs a random generator, so that a run can be repeated")
            if augment.drop_strokes:
                raise ConfigError("bitmaps have no strokes to leave out: use an augmentation without drop_strokes")
            pixels = moved_pixels(pixels, augment.affine(len(indices), random))
        return pixels.round_().clamp_(0, 255).to(torch.uint8)

    def of_classes(self, words: Sequence[str]) -> PackedBitmaps:
        """Return the bitmaps of some classes, which become the class table.

        Raises:
            ValueError: The class does not exist.
        """
        rows, labels = relabelled(self.labels, self.classes, words)
        return PackedBitmaps(images=self.images[rows], labels=labels, classes=tuple(words))

    def stroke_picture(self, *_: Any) -> Tensor:
        """Raise ConfigError, as bitmaps have no strokes."""
        raise ConfigError("bitmaps do not say when a pixel was drawn: use --channels ink")

    def sequence(self, *_: Any) -> tuple[Tensor, Tensor]:
        """Raise ConfigError, as bitmaps have no points."""
        raise ConfigError("bitmaps have no points for the point branch: use --branch cnn")

    def offset_scale(self) -> float:
        """Return 1, as bitmaps have no offsets."""
        return 1.0


#: A split in memory that gives batches.
PackedSplit: TypeAlias = PackedSketches | PackedBitmaps


class DrawingSplit(Protocol):
    """N drawings that give batches, with the methods of `PackedSketches`, wherever they come from."""

    @property
    def labels(self) -> Tensor: ...  # noqa: D102 - as of PackedSketches
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def device(self) -> torch.device: ...  # noqa: D102
    def __len__(self) -> int: ...
    def to(self, device: torch.device | str) -> DrawingSplit: ...  # noqa: D102
    def raster(  # noqa: D102
        self,
        indices: Tensor,
        size: int,
        line_width: int,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> Tensor: ...
    def stroke_picture(  # noqa: D102
        self,
        indices: Tensor,
        size: int,
        line_width: int,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> Tensor: ...
    def sequence(  # noqa: D102
        self,
        indices: Tensor,
        max_points: int,
        scale: float,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]: ...


def moved_pixels(pixels: Tensor, affine: Tensor, *, beyond: str = "zeros") -> Tensor:
    """Move pictures by maps of the 0..255 square that spans them, interpolating linearly.

    Args:
        pixels: (B, C, S, S) float32.
        affine: (B, 2, 3) float32 on the CPU, as `Augmentation.affine` gives it.
        beyond: What comes into the square from outside: `zeros`, `border` or `reflection`.

    Returns:
        (B, C, S, S) float32.
    """
    # torch's square is -1..1, and its map goes from new pixels to old ones.
    linear, unit = affine[:, :, :2], MAX_COORDINATE / 2
    shift = linear.sum(2, keepdim=True) + affine[:, :, 2:] / unit - 1
    back = torch.linalg.inv(linear)
    grid = functional.affine_grid(torch.cat([back, -back @ shift], 2), list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid.to(pixels.device), padding_mode=beyond, align_corners=False)


def read_bitmaps(place: Path, split: str) -> PackedBitmaps:
    """Read a split of bitmaps, on the CPU: class by class, in the order of the files.

    The share of each split is met in expectation: 9,000 of 11,100 are `train`, and so on.

    Raises:
        ConfigError: The split does not exist or has no bitmap, or there is no array.
        SketchDataError: A file cannot be read, or holds something else than (N, 784) uint8.
    """
    if split not in PROPORTIONS:
        raise ConfigError(f"{place} has no split {split!r}: bitmaps are split into {', '.join(PROPORTIONS)}")
    classes = classes_of(place)
    chosen = [_in_split(bitmaps, split) for bitmaps in _read_arrays(place, classes)]
    counts = torch.tensor([len(own) for own in chosen])
    if not counts.sum():
        raise ConfigError(f"{place} has too few bitmaps: by their hashes, none of them is in {split}")
    return PackedBitmaps(
        images=torch.from_numpy(np.concatenate(chosen).reshape(-1, SIDE, SIDE)),
        labels=torch.arange(len(classes), dtype=torch.int16).repeat_interleave(counts),
        classes=classes,
    )


def split_ranks(bitmaps: _Bitmaps) -> Ranks:
    """Hash bitmaps by all of their bytes, splitmix64 over their 98 little-endian words. (B, 784) → (B,) uint64."""
    words = np.ascontiguousarray(bitmaps).view("<u8")
    state: Ranks = np.full(len(words), _KEY, np.uint64)
    for column in words.T:
        state = splitmix64(state ^ column)
    return state


def _in_split(bitmaps: _Bitmaps, split: str) -> _Bitmaps:
    pieces: list[_Bitmaps] = [np.empty((0, _PIXELS), np.uint8)]
    for start in range(0, len(bitmaps), _AT_ONCE):
        piece = bitmaps[start : start + _AT_ONCE]
        pieces.append(piece[in_split(split_ranks(piece), split)])
    return np.concatenate(pieces)


def classes_of(place: Path) -> tuple[str, ...]:
    """Return the class table of bitmaps: the names of their arrays, sorted.

    Raises:
        ConfigError: There are none.
        SketchDataError: The archive cannot be read.
    """
    if _is_archive(place):
        with _open_archive(place) as archive:
            names = archive.namelist()
    else:
        names = [path.name for path in _files(place)]
    if not names or not all(name.endswith(_SUFFIX) for name in names):
        raise ConfigError(
            f"{place} should have a {_SUFFIX} for each class, named after it, and has {names[:3] or 'none'}"
        )
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names))


def _read_arrays(place: Path, classes: tuple[str, ...]) -> Iterator[_Bitmaps]:
    if _is_archive(place):
        with _open_archive(place) as archive:
            yield from (_checked(place, name, partial(_read_member, archive, name)) for name in classes)
    else:
        files = {path.stem: path for path in _files(place)}
        yield from (_checked(files[name], name, partial(npy_format.open_memmap, files[name], "r")) for name in classes)


def _checked(path: Path, name: str, read: Callable[[], npt.NDArray[Any]]) -> _Bitmaps:
    expected = f"{path}: the class {name!r} should be an array of (N, {_PIXELS}) uint8"
    try:
        array = read()
    except _READ_ERRORS as error:
        raise SketchDataError(f"{expected}, and cannot be read: {error}") from error
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != _PIXELS:
        raise SketchDataError(f"{expected}, and is {array.dtype} of shape {array.shape}")
    return array


def _read_member(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    with archive.open(name + _SUFFIX) as file:
        array: npt.NDArray[Any] = npy_format.read_array(file, allow_pickle=False)  # type: ignore[no-untyped-call]
        return array


def _is_archive(place: Path) -> bool:
    return place.suffix == _ARCHIVE and not place.is_dir()


def _files(place: Path) -> list[Path]:
    return sorted(place.glob(f"*{_SUFFIX}")) or sorted((place / _OFFICIAL_FOLDER).glob(f"*{_SUFFIX}"))


def _open_archive(place: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(regular(place))
    except _READ_ERRORS as error:
        raise SketchDataError(f"{place} should be an archive of arrays, and cannot be read: {error}") from error


def fingerprint(place: Path) -> str:
    """Return the sha256 of the archive, or of the names and hashes of all files."""
    if _is_archive(place):
        return hash_file(place, "sha256")
    lines = [f"{hash_file(path, 'sha256')}  {path.name}\n" for path in _files(place)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def holds_bitmaps(data: Path) -> bool:
    """Return whether `--data` names bitmaps; otherwise it names a built data set."""
    return _is_archive(data) or bool(_files(data))


def read_split(data: Path, split: str, table: Path | None = None, scratch: Path | None = None) -> PackedSplit:
    """Pack a split of bitmaps, of a built data set or of tars, on the CPU.

    Args:
        data: Where it is.
        split: Its name.
        table: The class table of tars without a manifest.
        scratch: As for `pack`.

    Raises:
        ConfigError: The split does not exist, or nothing is in it.
        SketchDataError: There is no data set, or a file cannot be read.
    """
    return read_bitmaps(data, split) if holds_bitmaps(data) else read_packed(data, split, table, scratch)


def identity(data: Path, table: Path | None = None) -> tuple[tuple[str, ...], str]:
    """Return the class table of a data set, and a sha256 that changes when it does.

    Raises:
        ConfigError: A class `table` is given, and the data has one of its own.
        SketchDataError: There is no data set.
    """
    if holds_bitmaps(data):
        check_needed(data, table)
        return classes_of(data), fingerprint(data)
    dataset = open_dataset(data, table)
    return dataset.manifest.classes, dataset.fingerprint()
