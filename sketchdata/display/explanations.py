"""Pictures that explain a network: strokes coloured by their weight, maps side by side, filters, inverted features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sketchdata.display.charts import FAINT, GRID, chart_style, new_figure
from sketchdata.names import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: From against the class over none to for it; readers who see no red or green can tell the ends.
_COLOURS = "coolwarm"
_NEUTRAL, _EDGE = "#b9bcbb", "#6f7674"


@chart_style()
def weighed_strokes(
    strokes: Sequence[npt.NDArray[Any]], weights: npt.NDArray[np.float64], title: str, lines: Sequence[str]
) -> Figure:
    """Draw strokes coloured and broadened by their weight: red for the class, blue against it.

    Args:
        strokes: (n, 2 or more) points each, x to the right and y down.
        weights: (S,) of the strokes.
        title: Above the drawing.
        lines: Below it.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    foot = 0.35 + 0.2 * len(lines)
    figure = new_figure(title, (6.2, 5.4 + foot))
    height = 5.4 + foot
    axes = figure.add_axes((0.3 / 6.2, (foot + 0.1) / height, 4.7 / 6.2, 4.7 / height), facecolor="white")
    axes.set(xticks=[], yticks=[])
    axes.set_title(printable(title, 60), loc="left", weight="bold")
    for spine in axes.spines.values():
        spine.set_color(GRID)
    points = np.concatenate(list(strokes))[:, :2].astype(np.float64)
    middle, reach = (points.min(axis=0) + points.max(axis=0)) / 2, max(float(np.ptp(points, axis=0).max()), 1.0) * 0.58
    axes.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] + reach, middle[1] - reach))
    most = max(float(np.abs(weights).max(initial=0)), 1e-12)
    norm, colours = Normalize(-most, most), colormaps[_COLOURS]
    # The weightiest last, on top.
    for place in np.argsort(np.abs(weights), kind="stable").tolist():
        share = abs(float(weights[place])) / most
        colour = colours(norm(weights[place])) if share > 0.05 else _NEUTRAL
        x, y = strokes[place][:, :2].T
        # Pale colours are told from the paper by an edge.
        for own, wider in ((_EDGE, 1.0), (colour, 0.0)):
            width = 1.5 + 4 * share + wider
            axes.plot(x, y, "o-", color=own, linewidth=width, markersize=width, markeredgewidth=0)
    # Each stroke's place in the drawing, where the first one begins.
    for place, stroke in enumerate(strokes[:40], 1):
        axes.annotate(
            str(place),
            (float(stroke[0, 0]), float(stroke[0, 1])),
            (2, 2),
            textcoords="offset points",
            fontsize=7,
            color=FAINT,
        )
    scale = figure.add_axes((5.3 / 6.2, (foot + 0.5) / height, 0.15 / 6.2, 3.9 / height))
    figure.colorbar(ScalarMappable(norm, colours), cax=scale)
    scale.tick_params(labelsize=8)
    scale.set_title("for", fontsize=8.5, color=FAINT)
    scale.set_xlabel("against", fontsize=8.5, color=FAINT)
    text = "\n".join(printable(line, 100) for line in lines)
    figure.text(0.3 / 6.2, (foot - 0.05) / height, text, va="top", color=FAINT, linespacing=1.5)
    return figure


@chart_style()
def map_grid(
    inputs: Mapping[str, npt.NDArray[np.float32]], layers: Mapping[str, npt.NDArray[np.float32]], title: str
) -> Figure:
    """Draw each picture above its maps: a row for each layer, the same maps in the same columns.

    Args:
        inputs: {name: (S, S, 3) in 0..1}.
        layers: {layer: (B, count, H, W) in 0..1}, of the B pictures in the order of `inputs`.
        title: Of the figure.
    """
    count, rows = max(own.shape[1] for own in layers.values()), len(layers) + 1
    figure = new_figure(title, (0.8 + 0.72 * (count + 0.4) * len(inputs), 0.55 + 0.78 * rows))
    width, height = figure.get_size_inches()
    for number, (name, picture) in enumerate(inputs.items()):
        left = 0.75 + number * 0.72 * (count + 0.4)
        for row, own in enumerate([picture, *layers.values()]):
            shown = [own] if not row else list(own[number])
            for column, each in enumerate(shown):
                side = 0.7
                bottom = height - 0.4 - 0.78 * (row + 1)
                axes = figure.add_axes(
                    (
                        (left + 0.72 * column) / width,
                        bottom / height,
                        side / width,
                        side / height,
                    )
                )
                axes.set_axis_off()
                axes.imshow(each, cmap=None if not row else "magma", vmin=0, vmax=1, interpolation="nearest")
        figure.text((left + 0.8) / width, 1 - 0.75 / height, printable(name, 14 * count // 2), va="center")
    for row, name in enumerate(layers, 1):
        place = (height - 0.4 - 0.78 * (row + 0.5)) / height
        figure.text(0.06 / width, place, name.replace(" of ", "\nof "), va="center", fontsize=7.5, color=FAINT)
    figure.text(0.06 / width, 1 - 0.22 / height, printable(title, 100), weight="bold", va="center")
    return figure


@chart_style()
def filter_grid(groups: Mapping[str, npt.NDArray[np.float32]], title: str) -> Figure:
    """Draw the filters of a layer, those of each group in a square of their own.

    Args:
        groups: {name: (K, h, w) or (K, h, w, 3) in 0..1}.
        title: Of the figure.
    """
    figure = new_figure(title, (4.4 * len(groups), 4.9), layout="constrained")
    figure.suptitle(printable(title, 90), x=0.01, ha="left", weight="bold", fontsize=11)
    for axes, (name, filters) in zip(np.atleast_1d(figure.subplots(1, len(groups))), groups.items(), strict=True):
        count, high, wide = filters.shape[:3]
        columns = math.ceil(math.sqrt(count))
        rows = math.ceil(count / columns)
        sheet = np.ones((rows * (high + 1) + 1, columns * (wide + 1) + 1, 3), np.float32)
        for place in range(count):
            top, left = 1 + place // columns * (high + 1), 1 + place % columns * (wide + 1)
            own = filters[place]
            sheet[top : top + high, left : left + wide] = own if own.ndim == 3 else own[:, :, None]
        axes.imshow(sheet, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(printable(f"{name}: {count} of {wide} × {high}", 40), loc="left", fontsize=9.5, color=FAINT)
    return figure


@chart_style()
def picture_rows(rows: Mapping[str, Mapping[str, npt.NDArray[np.float32]]], title: str) -> Figure:
    """Draw rows of named pictures, (S, S, 3) in 0..1: {row: {column: picture}}, the same columns in each."""
    columns = list(next(iter(rows.values())))
    figure = new_figure(title, (0.3 + 1.25 * len(columns), 0.6 + 1.5 * len(rows)), layout="constrained")
    figure.suptitle(printable(title, 20 * len(columns)), x=0.01, ha="left", weight="bold", fontsize=11)
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for axes_row, (name, own) in zip(grid, rows.items(), strict=True):
        for axes, (column, picture) in zip(axes_row, own.items(), strict=True):
            axes.imshow(picture, vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_title(column, fontsize=8, color=FAINT)
        axes_row[0].set_ylabel(printable(name, 16), fontsize=8)
    return figure
