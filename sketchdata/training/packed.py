"""All drawings of a split as a handful of flat tensors on a device, and batches of bitmaps and sequences made there.

QuickDraw-3.8M's 3.1 million training drawings take less than 400 MB as vectors; as 224 × 224 bitmaps they would take
156 GB. So the vectors stay on the device, and batches are rastered there.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sketchdata.drawings.drawing import MAX_COORDINATE, DrawingBatch, empty_batch, offsets_of
from sketchdata.drawings.raster import DEFAULT_SIZE, paint
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.dataset import open_dataset

# A picture with strokes as channels says when and in which direction each pixel was drawn. While it is drawn, a pixel
# is one integer: the order in its upper byte, so that the latest segment is the largest, the direction below.

#: Ink, order, and the two parts of the direction.
CHANNELS = 4
_INK, _LAST = 255, 255
_MIDDLE, _REACH = 128, 127


def segment_codes(offsets: Tensor, order: Tensor) -> Tensor:
    """Return order and direction of segments as one integer each.

    Args:
        offsets: (K, 2) float32, Δx and Δy; a dot, whose offset is 0, has no direction.
        order: (K,) float32, 0 for the first segment of its drawing, 1 for the last.

    Returns:
        (K,) int32, at least 65,536.
    """
    unit = offsets / offsets.norm(dim=1, keepdim=True).clamp(min=1e-6)
    x, y = (_MIDDLE + _REACH * unit).round().to(torch.int32).unbind(1)
    codes: Tensor = ((1 + order * (_LAST - 1)).round().to(torch.int32) << 16) | (x << 8) | y
    return codes


def stroke_channels(codes: Tensor) -> Tensor:
    """Return codes of segments as channels: (B, 1, S, S) int32, 0 on the background → (B, 4, S, S) uint8."""
    return torch.cat([(codes > 0) * _INK, codes >> 16, (codes >> 8) & 255, codes & 255], 1).to(torch.uint8)


def to_floats(channels: Tensor) -> Tensor:
    """Return channels as networks take them, 0 on the background: (B, 4, S, S) uint8 → float32.

    Ink and order are in 0..1, the parts of the direction in −1..1.
    """
    values = channels.float()
    ink = values[:, :1] / _INK
    return torch.cat([ink, values[:, 1:2] / _LAST, (values[:, 2:] - _MIDDLE) / _REACH * ink], 1)


_CENTRE = MAX_COORDINATE / 2
#: How pixel drawings are resized and moved: interpolated, or each ink pixel by `resize_ink`, with lines as they are or
#: thinned.
RESIZES = BILINEAR, INK, THINNED = "bilinear", "ink", "thinned"


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of a drawing's points before it is rastered, so that lines stay thin; all amounts are uniform.

    Attributes:
        rotate: Largest angle in degrees, to either side.
        stretch: Largest share by which each axis grows or shrinks: 0.1 for 0.9 to 1.1.
        shift: Largest move to either side, as a share of the square's side.
        mirror: Probability of a drawing to be mirrored left to right.
        drop_strokes: Probability of a stroke to be left out; a drawing keeps one at least.
    """

    rotate: float = 8.0
    stretch: float = 0.1
    shift: float = 0.05
    mirror: float = 0.5
    drop_strokes: float = 0.0

    @property
    def resize(self) -> str:
        """How pixel drawings are moved, of RESIZES: by default interpolated."""
        return BILINEAR

    def affine(self, count: int, random: torch.Generator) -> Tensor:
        """Return (B, 2, 3) float32 maps of the 0..255 square, about its centre, drawn on the CPU for any device."""
        amounts = torch.rand(count, 6, generator=random)
        between = 2 * amounts - 1
        angle = between[:, 0] * math.radians(self.rotate)
        stretch = 1 + between[:, 1:3] * self.stretch
        stretch[:, 0] *= torch.where(amounts[:, 3] < self.mirror, -1.0, 1.0)
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        linear = turn * stretch[:, None, :]
        shift = between[:, 4:6] * (self.shift * MAX_COORDINATE)
        moved = _CENTRE + shift - linear.sum(2) * _CENTRE
        return torch.cat([linear, moved[:, :, None]], 2)

    def kept_strokes(self, owner: Tensor, count: int, random: torch.Generator) -> Tensor:
        """Return which strokes stay, (S,) bool; of each drawing one at least.

        Args:
            owner: (S,) int64, the drawing of each stroke, 0..count - 1, rising.
            count: Number of drawings B.
            random: Draws on the CPU.
        """
        amounts = torch.rand(len(owner), generator=random).to(owner.device)
        best = torch.full((count,), -1.0, device=owner.device).scatter_reduce(0, owner, amounts, "amax")
        return (amounts >= self.drop_strokes) | (amounts == best[owner])


def moved(points: Tensor, owner: Tensor, affine: Tensor) -> Tensor:
    """Map points, and bring each drawing that left the square back into it: moved, and shrunk only where it must be.

    Args:
        points: (P, 2) of any type, x and y in 0..255.
        owner: (P,) int64, the drawing of each point.
        affine: (B, 2, 3) float32.

    Returns:
        (P, 2) float32 in 0..255.
    """
    own = affine[owner]
    mapped = (own[:, :, :2] * points.to(torch.float32)[:, None, :]).sum(2) + own[:, :, 2]
    index = owner[:, None].expand(-1, 2)
    bounds = torch.zeros(len(affine), 2, device=mapped.device)
    low = bounds.scatter_reduce(0, index, mapped, "amin", include_self=False)
    high = bounds.scatter_reduce(0, index, mapped, "amax", include_self=False)
    shrink = (MAX_COORDINATE / (high - low).amax(1, keepdim=True).clamp(min=1e-6)).clamp(max=1)
    # Where the drawing begins once shrunk and moved inside, by as little as possible.
    start = (low * shrink + (1 - shrink) * _CENTRE).clamp(min=0)
    start = torch.minimum(start, MAX_COORDINATE - (high - low) * shrink)
    inside = (mapped - low[owner]) * shrink[owner] + start[owner]
    return inside.clamp_(0, MAX_COORDINATE)


# 1-pixel lines of many drawings at once, on any device: every pixel of every segment is computed and scattered.
# Bit-equal to OpenCV's 8-connected line between whole points, and so to the fast raster: order the ends left to right;
# a is the larger of |Δx| and |Δy| and b the smaller; for i = 0..a the coordinate of the larger one moves by i, and that
# of the smaller one by (2·b·i + a − 1) // (2·a).


def draw_segments(ends: Tensor, sketch: Tensor, count: int, size: int) -> Tensor:
    """Draw segments on square bitmaps.

    Args:
        ends: (K, 4) integers x0, y0, x1, y1 in 0..size - 1; equal ends give a single pixel.
        sketch: (K,) integers, the bitmap that each segment belongs to, 0..count - 1.
        count: Number of bitmaps B.
        size: Their side S in pixels.

    Returns:
        (B, S, S) uint8 on the device of `ends`, rows downwards, ink 255 on background 0.
    """
    bitmaps = torch.zeros(count * size * size, dtype=torch.uint8, device=ends.device)
    places, _ = _pixels(ends, sketch, size)
    return bitmaps.index_fill_(0, places, 255).view(count, size, size)


def _pixels(ends: Tensor, sketch: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the places of all pixels in the bitmaps, some repeatedly, and their segments: (M,), (M,) int64."""
    x0, y0, x1, y1 = ends.to(torch.int32).unbind(1)
    leftwards = x1 < x0
    x0, x1 = torch.where(leftwards, x1, x0), torch.where(leftwards, x0, x1)
    y0, y1 = torch.where(leftwards, y1, y0), torch.where(leftwards, y0, y1)
    dx, dy = x1 - x0, y1 - y0
    flat = dx >= dy.abs()
    longer, shorter = torch.where(flat, dx, dy.abs()), torch.where(flat, dy.abs(), dx)
    # Distance in memory to the next pixel along the longer and along the shorter axis.
    down = torch.sign(dy) * size
    along, across = torch.where(flat, 1, down), torch.where(flat, down, 1)
    first = sketch.to(torch.int64) * (size * size) + (y0 * size + x0)

    lengths = longer.to(torch.int64) + 1
    segment = torch.repeat_interleave(lengths)
    starts = lengths.cumsum(0) - lengths
    i = torch.arange(len(segment), device=ends.device, dtype=torch.int32) - starts.to(torch.int32)[segment]
    longer, shorter = longer[segment], shorter[segment]
    # All but the divisor of a single pixel are positive, so cutting off is rounding down.
    minor = torch.div(2 * shorter * i + longer - 1, (2 * longer).clamp_(min=1), rounding_mode="trunc")
    return first[segment] + along[segment] * i + across[segment] * minor, segment


#: Bytes of a column that are packed in memory, and drawings that are gathered at once.
IN_MEMORY, _AT_ONCE = 32 << 20, 10_000
#: Drawings from which the spread of offsets is estimated: the first ones, which are a random sample.
_SCALE_DRAWINGS = 100_000


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedSketches:
    """N drawings with S strokes and P points in all, on one device.

    Attributes:
        points: (P, 2) uint8, x and y.
        strokes: (S,) int16, the points of each stroke.
        sketches: (N + 1,) int32, offsets of each drawing's strokes.
        starts: (N + 1,) int32, offsets of each drawing's points.
        labels: (N,) int16, indices into the class table.
        key_ids: (N,) int64, the bits of the unsigned key_ids.
        classes: The class table.
        scratch: As for `pack`.
    """

    points: Tensor
    strokes: Tensor
    sketches: Tensor
    starts: Tensor
    labels: Tensor
    key_ids: Tensor
    classes: tuple[str, ...]
    scratch: Path | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.points.device

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self._tensors().values())

    def to(self, device: torch.device | str) -> PackedSketches:
        """Return the same drawings on another device."""
        there = {name: tensor.to(device) for name, tensor in self._tensors().items()}
        return PackedSketches(classes=self.classes, scratch=self.scratch, **there)

    def _tensors(self) -> dict[str, Tensor]:
        names = ("points", "strokes", "sketches", "starts", "labels", "key_ids")
        return {name: getattr(self, name) for name in names}

    def raster(
        self,
        indices: Tensor,
        size: int = DEFAULT_SIZE,
        line_width: int = 1,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> Tensor:
        """Draw some of the drawings, by scattering on a GPU and by OpenCV on the CPU.

        Lines of 1 pixel are those of the fast raster, bit for bit; broader ones are these, dilated by a disc of that
        diameter.

        Args:
            indices: (B,) integers, the drawings.
            size: The side S in pixels.
            line_width: Width in pixels.
            augment: How to change them first.
            random: Draws the changes; needed with `augment`, and lives on the CPU.

        Returns:
            (B, 1, S, S) uint8, ink 255 on background 0.

        Raises:
            ConfigError: `augment` without `random`.
        """
        chosen = self._chosen(indices, augment, random)
        draw = _draw_by_opencv if self.device.type == "cpu" else draw_by_scattering
        return _broadened(draw(chosen, _to_pixels(chosen.xy, size), size)[:, None], line_width)

    def stroke_picture(
        self,
        indices: Tensor,
        size: int = DEFAULT_SIZE,
        line_width: int = 1,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> Tensor:
        """Draw some of the drawings, with order and direction; where lines cross, the later one is seen.

        Args are those of `raster`, and so are the lines, on any device.

        Returns:
            (B, 4, S, S) uint8, 0 on the background: ink 255; order, 1 for the first segment, 255 for the last one; the
            x and the y of its direction, a unit vector, as 128 + 127 · value.

        Raises:
            ConfigError: `augment` without `random`.
        """
        chosen = self._chosen(indices, augment, random)
        starts, stops = _segments(chosen)
        owner, pixels, xy = chosen.owner[starts], _to_pixels(chosen.xy, size), chosen.xy.to(torch.float32)
        counts = torch.bincount(owner, minlength=len(indices))
        # A dot's segment comes last in `starts`, but in the middle of its drawing: places are counted over points.
        begun = torch.zeros_like(chosen.owner)
        begun[starts] = 1
        place = (begun.cumsum(0) - 1)[starts] - (counts.cumsum(0) - counts)[owner]
        codes = segment_codes(xy[stops] - xy[starts], place / (counts[owner] - 1).clamp(min=1))
        places, segment = _pixels(torch.cat([pixels[starts], pixels[stops]], 1), owner, size)
        bitmaps = torch.zeros(len(indices) * size * size, dtype=torch.int32, device=self.device)
        bitmaps.scatter_reduce_(0, places, codes[segment], "amax")
        return stroke_channels(_broadened(bitmaps.view(-1, 1, size, size), line_width))

    def sequence(
        self,
        indices: Tensor,
        max_points: int = 128,
        scale: float = 1.0,
        augment: Augmentation | None = None,
        random: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return some of the drawings as the sequences that the recurrent branch reads.

        Row j of a drawing is its point j: the offset from the point before it, 0 for the first one, and the two states
        of the pen, which goes on drawing (1, 0) or ends the stroke there (0, 1). Source: Xu et al., section III-A,
        after Ha and Eck, "A neural representation of sketch drawings" (2018), whose third state, the end, is the length
        here.

        Args:
            indices: (B,) integers, the drawings.
            max_points: What goes beyond is cut off.
            scale: Divisor of the offsets, as `offset_scale` returns it.
            augment: How to change them first.
            random: Draws the changes; needed with `augment`, and lives on the CPU.

        Returns:
            (B, L, 4) float32 Δx, Δy, pen; 0 beyond a drawing's end; L is the longest length. (B,) int64 lengths, at
            least 1, on the CPU, where `pack_padded_sequence` wants them.

        Raises:
            ConfigError: `augment` without `random`.
        """
        chosen = self._chosen(indices, augment, random)
        xy = chosen.xy.to(torch.float32)
        rows = torch.zeros(len(xy), 4, device=xy.device)
        rows[1:, :2] = (xy[1:] - xy[:-1]) / scale
        rows[chosen.first_points, :2] = 0
        rows[:, 2] = 1
        rows[chosen.strokes[1:] - 1, 2:] = torch.tensor([0.0, 1.0], device=xy.device)
        place = torch.arange(len(xy), device=xy.device) - chosen.first_points[chosen.owner]
        lengths = chosen.lengths.clamp(max=max_points)
        inside = place < max_points
        padded = torch.zeros(len(indices), int(lengths.max()), 4, device=xy.device)
        padded[chosen.owner[inside], place[inside]] = rows[inside]
        return padded, lengths.cpu()

    def offset_scale(self) -> float:
        """Return the standard deviation of the offsets Δx, Δy, over the first 100,000 drawings."""
        chosen = self._chosen(torch.arange(min(len(self), _SCALE_DRAWINGS), device=self.device), None, None)
        xy = chosen.xy.to(torch.float32)
        inside = torch.ones(len(xy), dtype=torch.bool, device=xy.device)
        inside[chosen.first_points] = False
        offsets = (xy - xy.roll(1, 0))[inside]
        return float(offsets.std()) if offsets.numel() > 1 else 1.0

    def _chosen(self, indices: Tensor, augment: Augmentation | None, random: torch.Generator | None) -> Chosen:
        indices = indices.to(self.device)
        strokes = self._strokes(indices)
        if augment is None:
            return _gather(self.points, strokes, len(indices))
        if random is None:
            raise ConfigError("an augmentation needs a random generator, so that a run can be repeated")
        affine = augment.affine(len(indices), random).to(self.device)
        if augment.drop_strokes:
            kept = augment.kept_strokes(strokes.sketch, len(indices), random)
            strokes = Strokes(start=strokes.start[kept], length=strokes.length[kept], sketch=strokes.sketch[kept])
        chosen = _gather(self.points, strokes, len(indices))
        return dataclasses.replace(chosen, xy=moved(chosen.xy, chosen.owner, affine))

    def _strokes(self, indices: Tensor) -> Strokes:
        """Find the strokes of some drawings: where a stroke begins follows from the lengths of those before it."""
        first, point = (offsets[indices].to(torch.int64) for offsets in (self.sketches, self.starts))
        rows, sketch = _spread(first, self.sketches[indices + 1] - first)
        length = self.strokes[rows].to(torch.int64)
        ends = (self.starts[indices + 1] - point).cumsum(0)
        within = length.cumsum(0) - length - nn.functional.pad(ends, (1, 0))[sketch]
        return Strokes(start=point[sketch] + within, length=length, sketch=sketch)

    def of_classes(self, words: Sequence[str]) -> PackedSketches:
        """Return the drawings of some classes, which become the class table, on the same device.

        Raises:
            ValueError: The class does not exist.
        """
        if tuple(words) == self.classes:
            return self
        rows, labels = relabelled(self.labels, self.classes, words)
        packing = _Packing(self.scratch)
        for begin in range(0, len(rows), _AT_ONCE):
            some, own = rows[begin : begin + _AT_ONCE], labels[begin : begin + _AT_ONCE]
            strokes = self._strokes(some)
            first, end = self.starts[some].to(torch.int64), self.starts[some + 1].to(torch.int64)
            points, _ = _spread(first, end - first)
            packing.points.add(self.points[points].cpu().numpy())
            packing.strokes.add(strokes.length.cpu().numpy())
            packing.sketches.add_lengths(torch.bincount(strokes.sketch, minlength=len(some)).cpu().numpy())
            packing.starts.add_lengths((end - first).cpu().numpy())
            packing.labels.add(own.cpu().numpy())
            packing.key_ids.add(self.key_ids[some].cpu().numpy())
        return packing.finish(tuple(words)).to(self.device)


def relabelled(labels: Tensor, classes: Sequence[str], words: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Choose the rows of some classes, and number these classes again.

    Args:
        labels: (N,) int16, indices into `classes`.
        classes: The class table.
        words: The classes that stay, in their new order.

    Returns:
        (M,) int64, the rows that stay; (M,) int16, their labels among `words`.

    Raises:
        ValueError: The class does not exist.
    """
    new = torch.full((len(classes),), -1, dtype=torch.int16, device=labels.device)
    new[[tuple(classes).index(word) for word in words]] = torch.arange(
        len(words), dtype=torch.int16, device=labels.device
    )
    found = new[labels.long()]
    rows = torch.nonzero(found >= 0)[:, 0]
    return rows, found[rows]


@dataclass(frozen=True, kw_only=True, eq=False)
class Strokes:
    """The s strokes of a batch.

    Attributes:
        start: (s,) int64, where each begins among all points.
        length: (s,) int64, its points.
        sketch: (s,) int64, its drawing's place in the batch.
    """

    start: Tensor
    length: Tensor
    sketch: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """B drawings of a batch side by side, with s strokes and p points in all.

    Attributes:
        xy: (p, 2) uint8 or float32, 0..255.
        owner: (p,) int64, the drawing of each point.
        strokes: (s + 1,) int64, offsets of each stroke's points.
        sketch_of_stroke: (s,) int64.
        lengths: (B,) int64, each drawing's points.
    """

    xy: Tensor
    owner: Tensor
    strokes: Tensor
    sketch_of_stroke: Tensor
    lengths: Tensor

    @property
    def first_points(self) -> Tensor:
        """(B,) int64, where each drawing begins among the points."""
        return self.lengths.cumsum(0) - self.lengths


def _spread(starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Concatenate ranges: return all positions, (total,), and the range of each."""
    owner = torch.repeat_interleave(lengths)
    place = torch.arange(len(owner), device=owner.device) - (lengths.cumsum(0) - lengths)[owner]
    return starts[owner] + place, owner


def _gather(points: Tensor, strokes: Strokes, count: int) -> Chosen:
    rows, stroke_of_point = _spread(strokes.start, strokes.length)
    owner = strokes.sketch[stroke_of_point]
    return Chosen(
        xy=points[rows],
        owner=owner,
        strokes=nn.functional.pad(strokes.length.cumsum(0), (1, 0)),
        sketch_of_stroke=strokes.sketch,
        lengths=torch.bincount(owner, minlength=count),
    )


def _to_pixels(xy: Tensor, size: int) -> Tensor:
    if xy.dtype == torch.uint8:
        # In whole numbers, since float32 would round some products the other way.
        return (xy.to(torch.int32) * (2 * (size - 1)) + MAX_COORDINATE).div(2 * MAX_COORDINATE, rounding_mode="floor")
    return (xy * ((size - 1) / MAX_COORDINATE) + 0.5).floor().clamp_(0, size - 1).to(torch.int32)


def draw_by_scattering(chosen: Chosen, pixels: Tensor, size: int) -> Tensor:
    """Draw a batch on its own device. (p, 2) int32 pixels → (B, S, S) uint8."""
    starts, stops = _segments(chosen)
    ends = torch.cat([pixels[starts], pixels[stops]], 1)
    return draw_segments(ends, chosen.owner[starts], len(chosen.lengths), size)


def _segments(chosen: Chosen) -> tuple[Tensor, Tensor]:
    """Return the points between which there are lines: (K,), (K,) int64."""
    last = chosen.strokes[1:] - 1
    begins = torch.arange(len(chosen.owner), device=last.device)
    # A stroke's last point ends its last segment and begins none, but for a stroke of one point, which is a dot.
    joined = torch.ones(len(begins), dtype=torch.bool, device=last.device)
    joined[last] = False
    dots = last[chosen.strokes[:-1] == last]
    return torch.cat([begins[joined], dots]), torch.cat([begins[joined] + 1, dots])


def _draw_by_opencv(chosen: Chosen, pixels: Tensor, size: int) -> Tensor:
    # Several times faster on the CPU than scattering.
    counts = torch.bincount(chosen.sketch_of_stroke, minlength=len(chosen.lengths))
    batch = dataclasses.replace(
        empty_batch(),
        key_id=np.zeros(len(counts), np.uint64),
        label=np.zeros(len(counts), np.uint16),
        countrycode=np.zeros(len(counts), "S2"),
        timestamp=np.zeros(len(counts), np.int64),
        recognized=np.zeros(len(counts), np.bool_),
        strokes=offsets_of(counts.numpy()),
        points=chosen.strokes.numpy(),
        x=np.zeros(len(pixels), np.uint8),
        y=np.zeros(len(pixels), np.uint8),
    )
    return torch.from_numpy(paint(batch, pixels.numpy(), np.empty((len(batch), size, size), np.uint8)))


def _broadened(bitmaps: Tensor, line_width: int) -> Tensor:
    """Dilate (B, 1, S, S) integers by a disc of a diameter in pixels."""
    if line_width == 1:
        return bitmaps
    before, after = (line_width - 1) // 2, line_width // 2
    size = bitmaps.shape[-1]
    padded = nn.functional.pad(bitmaps, (before, after, before, after))
    # Twice the distances from the middle of line_width × line_width pixels, so that they are whole.
    twice = range(1 - line_width, line_width, 2)
    shifts = [(i, j) for i, y in enumerate(twice) for j, x in enumerate(twice) if x * x + y * y <= line_width**2]
    found = torch.zeros_like(bitmaps)
    for row, column in shifts:
        torch.maximum(found, padded[..., row : row + size, column : column + size], out=found)
    return found


class _Column:
    """An array that grows: in memory, and when large, in an unnamed file, which is mapped when complete."""

    def __init__(self, dtype: type[np.generic], width: int | None = None, scratch: Path | None = None) -> None:
        self.dtype, self.width, self.scratch = dtype, width, scratch
        self.rows, self._bytes = 0, 0
        self._pieces: list[npt.NDArray[np.generic]] = []
        self._file: IO[bytes] | None = None

    def add(self, values: npt.NDArray[Any]) -> None:
        self._pieces.append(np.ascontiguousarray(values, self.dtype))
        self.rows += len(values)
        self._bytes += self._pieces[-1].nbytes
        if self._bytes > IN_MEMORY:
            self._write()

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self.scratch)  # noqa: SIM115 - it is open until it is mapped
            for piece in self._pieces:
                self._file.write(piece.data)
            self._file.flush()
        except OSError as error:
            place = self.scratch or tempfile.gettempdir()
            raise SketchDataError(f"drawings cannot be packed in {place}: {error.strerror}; make room there") from error
        self._pieces, self._bytes = [], 0

    def tensor(self) -> Tensor:
        shape = (self.rows,) if self.width is None else (self.rows, self.width)
        if self._file is None:
            return torch.from_numpy(np.concatenate([np.empty((0, *shape[1:]), self.dtype), *self._pieces]))
        self._write()
        # Nothing that is written to the array gets into the file.
        mapped: npt.NDArray[Any] = np.memmap(self._file, self.dtype, "c", shape=shape)
        self._file.close()
        return torch.from_numpy(mapped)


class _Offsets(_Column):
    """The offsets of pieces whose lengths are added."""

    def __init__(self, scratch: Path | None) -> None:
        super().__init__(np.int32, scratch=scratch)
        self.total = 0
        self.add(np.zeros(1, np.int32))

    def add_lengths(self, lengths: npt.NDArray[Any]) -> None:
        ends = self.total + np.cumsum(lengths, dtype=np.int64)
        self.total = int(ends[-1]) if len(ends) else self.total
        if self.total > np.iinfo(np.int32).max:
            raise SketchDataError(f"{self.total:,} points or strokes are more than can be packed; take fewer drawings")
        self.add(ends)


class _Packing:
    """Packed drawings in the making."""

    def __init__(self, scratch: Path | None) -> None:
        self.scratch = scratch
        self.points, self.strokes = _Column(np.uint8, 2, scratch), _Column(np.int16, scratch=scratch)
        self.sketches, self.starts = _Offsets(scratch), _Offsets(scratch)
        self.labels, self.key_ids = _Column(np.int16, scratch=scratch), _Column(np.int64, scratch=scratch)

    def finish(self, classes: tuple[str, ...]) -> PackedSketches:
        return PackedSketches(
            points=self.points.tensor(),
            strokes=self.strokes.tensor(),
            sketches=self.sketches.tensor(),
            starts=self.starts.tensor(),
            labels=self.labels.tensor(),
            key_ids=self.key_ids.tensor(),
            classes=classes,
            scratch=self.scratch,
        )


def pack(batches: Iterable[DrawingBatch], classes: tuple[str, ...], scratch: Path | None = None) -> PackedSketches:
    """Pack simplified drawings, on the CPU, batch by batch: what is large goes to the disk at once, and is mapped.

    Args:
        batches: The drawings.
        classes: Their class table.
        scratch: The folder of files without a name, which are deleted with the drawings; None for that of TMPDIR.

    Raises:
        SketchDataError: They are raw, or have more points than 32 bits count, or a stroke more than 16, or the disk is
            full.
    """
    packing = _Packing(scratch)
    for batch in batches:
        if batch.is_raw:
            raise SketchDataError("raw drawings cannot be packed: build the data set without --keep-raw")
        lengths = np.diff(batch.points)
        if (longest := lengths.max(initial=0)) > np.iinfo(np.int16).max:
            raise SketchDataError(f"a stroke of {longest:,} points is longer than can be packed")
        packing.points.add(np.stack([batch.x, batch.y], axis=1))
        packing.strokes.add(lengths)
        packing.sketches.add_lengths(np.diff(batch.strokes))
        packing.starts.add_lengths(np.diff(batch.points[batch.strokes]))
        packing.labels.add(batch.label)
        packing.key_ids.add(batch.key_id.view(np.int64))
    return packing.finish(classes)


def read_packed(directory: Path, split: str, table: Path | None = None, scratch: Path | None = None) -> PackedSketches:
    """Pack a split of a built data set or of tars, in the order of its rows, on the CPU.

    Args:
        directory: Where it is.
        split: Its name.
        table: The class table of tars without a manifest.
        scratch: As for `pack`.

    Raises:
        ConfigError: The split does not exist, or it has no drawings.
        SketchDataError: There is no data set, a shard cannot be read, or its drawings are raw.
    """
    dataset = open_dataset(directory, table)
    packed = pack(dataset.batches(split), dataset.manifest.classes, scratch)
    if not len(packed):
        have = ", ".join(f"{count:,} in {name}" for name, count in dataset.manifest.splits.items() if count)
        refused = ", ".join(f"{count:,} {reason}" for reason, count in dataset.manifest.rejects.items())
        told = f"; refused when it was made: {refused}" if refused else ""
        raise ConfigError(f"{directory} has no drawings in {split}; it has {have or 'none'}{told}")
    return packed
