"""Charts drawn by matplotlib: precision-recall curves, reliability, embeddings, histograms, recognised drawings.

Each function returns a `matplotlib.figure.Figure`, which `save` writes as SVG or PNG with the same bytes each time. A
figure has a pale background of its own, so that it can be read on light and on dark pages. Names are shown as they are
written, never as formulas; a character that the font lacks shows as a box.
"""

from __future__ import annotations

import itertools
import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.names import printable
from sketchdata.storage.manifest import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

SUFFIXES = (".svg", ".png")
#: Drawings in one recognition picture, one below the other.
MAX_PANELS = 12

_PAGE, _INK, _FAINT, _GRID = "#f7f6f2", "#1f2933", "#5a6570", "#d9dbd8"
_SEEN, _UNSEEN, _UNSEEN_FILL, _RIGHT, _WRONG = "#2f6690", "#b3541e", "#fdeee4", "#1b7a43", "#a3262a"
#: Paul Tol's muted scheme, which colour-blind readers can distinguish, with a grey for the tenth; marks help besides.
_COLOURS = (
    "#332288",
    "#cc6677",
    "#117733",
    "#88ccee",
    "#aa4499",
    "#999933",
    "#882255",
    "#44aa99",
    "#ddcc77",
    "#555555",
)
_MARKS = "os^Dv"
#: A point is a pixel while a figure is laid out, and an SVG's unit.
_STYLE = {
    "figure.dpi": 72,
    "figure.facecolor": _PAGE,
    "figure.constrained_layout.h_pad": 0.15,
    "figure.constrained_layout.w_pad": 0.15,
    "axes.facecolor": _PAGE,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.titlesize": 11,
    "axes.axisbelow": True,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": _GRID,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "sketchdata",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
}


@contextmanager
def _style() -> Iterator[None]:
    from matplotlib import style

    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # Of letters that the font lacks, and (before matplotlib 3.11) of scripts that it does not shape.
        warnings.filterwarnings("ignore", "Glyph .* missing from|Matplotlib currently does not support", UserWarning)
        yield


@_style()
def save(figure: Figure, path: Path) -> None:
    """Write a figure, as SVG that loads nothing from elsewhere or as PNG, by the suffix of the file.

    Raises:
        ConfigError: It is another suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        found = suffix or "a file without suffix"
        raise ConfigError(f"{path}: a picture is written as {' or '.join(SUFFIXES)}, not as {found}")
    about = {"Title": printable(str(figure.get_label()))}
    hidden = {"Date": None, "Creator": None} if suffix == ".svg" else {"Software": None}
    with replacing(path) as file:
        figure.savefig(file, format=suffix[1:], dpi=200, metadata={**about, **hidden})


def _figure(title: str, size: tuple[float, float], **options: Any) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, **options)
    figure.set_label(title)
    return figure


# ---- measures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Precision and recall of what lies within each Hamming distance of a query.

    Attributes:
        distance: The distances, rising.
        recall: Within each of them.
        precision: Within each of them.
        chance: The precision of a random order.
    """

    distance: Sequence[int]
    recall: Sequence[float]
    precision: Sequence[float]
    chance: float


@_style()
def precision_recall(curves: Mapping[str, Curve], title: str) -> Figure:
    """Draw precision over recall of any number of runs by their names; thin dashes show a random order's precision."""
    figure = _figure(title, (7, 5 + 0.22 * math.ceil(len(curves) / 2)), layout="constrained")
    axes = figure.add_subplot()
    for place, curve in enumerate(curves.values()):
        look: dict[str, Any] = {
            "color": _COLOURS[place % len(_COLOURS)],
            "linestyle": ("-", "--", ":")[place // len(_COLOURS) % 3],
        }
        axes.plot(curve.recall, curve.precision, marker=_MARKS[place % len(_MARKS)], markersize=3.5, **look)
        axes.axhline(curve.chance, linewidth=0.8, color=look["color"], dashes=(4, 4))
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.set_title(printable(title, 80))
    axes.grid()
    # Every second line is a curve; matplotlib leaves names out of legends that begin with an underscore.
    names = [f" {printable(name, 45)}" for name in curves]
    figure.legend(axes.lines[::2], names, loc="outside lower center", ncols=2)
    return figure


@_style()
def precision_recall_panels(panels: Mapping[str, Mapping[str, Curve]], title: str) -> Figure:
    """Draw precision over recall of many runs in panels by name; a run's name has one colour and mark in all of them.

    Thin dashes show a random order's precision.
    """
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = _figure(title, (4.6 * columns, 3.8 * rows + 0.22 * math.ceil(len(names) / 2)), layout="constrained")
    lines = {}
    for place, (panel, curves) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, columns, place)
        for name, curve in curves.items():
            number = names.index(name)
            look: dict[str, Any] = {
                "color": _COLOURS[number % len(_COLOURS)],
                "linestyle": ("-", "--", ":")[number // len(_COLOURS) % 3],
                "marker": _MARKS[number % len(_MARKS)],
            }
            (lines[name],) = axes.plot(curve.recall, curve.precision, markersize=3, **look)
        for chance in {curve.chance for curve in curves.values()}:
            axes.axhline(chance, linewidth=0.8, color=_FAINT, dashes=(4, 4))
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.set_title(printable(panel, 60))
        axes.grid()
    figure.suptitle(printable(title, 80), fontsize=11)
    handles = [lines[name] for name in names]
    figure.legend(handles, [f" {printable(name, 45)}" for name in names], loc="outside lower center", ncols=2)
    return figure


@_style()
def reliability_diagram(bins: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Draw accuracy over confidence: a bar for each bin, paler the fewer drawings it has; the diagonal is perfect.

    Args:
        bins: `from`, `to`, `drawings`, `accuracy` and mean `confidence` of each bin that has drawings.
        title: Above the diagram.
    """
    figure = _figure(title, (5, 5), layout="constrained")
    axes = figure.add_subplot(aspect="equal", xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    axes.set_title(printable(title, 60))
    total, most = sum(each["drawings"] for each in bins), len(bins)
    for each in bins:
        alpha = 0.25 + 0.75 * min(1.0, most * each["drawings"] / total)
        width = each["to"] - each["from"]
        axes.bar(each["from"], each["accuracy"], width, align="edge", color=_SEEN, alpha=alpha, edgecolor=_PAGE)
    axes.plot((0, 1), (0, 1), color=_UNSEEN, linestyle="--")
    # Bars of no accuracy have no height, and a mark all the same.
    sure, right = [each["confidence"] for each in bins], [each["accuracy"] for each in bins]
    axes.plot(sure, right, "o", markersize=4, color=_INK, clip_on=False)
    return figure


@_style()
def histogram(values: Mapping[str, npt.NDArray[Any]], title: str, label: str, bins: int = 40) -> Figure:
    """Draw how the values of one or more named sets are distributed, as outlines over bins that all of them share.

    Args:
        values: (N,) finite numbers by name.
        title: Above the chart.
        label: What the values are, with their unit.
        bins: Bins between the least and the greatest of all values.
    """
    figure = _figure(title, (7, 4.2), layout="constrained")
    axes = figure.add_subplot(xlabel=printable(label), ylabel="number")
    axes.set_title(printable(title, 80))
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins)
    for place, each in enumerate(values.values()):
        counts, _ = np.histogram(each, edges)
        axes.stairs(counts, edges, fill=len(values) == 1, color=_COLOURS[place % len(_COLOURS)], linewidth=1.5)
    if len(values) > 1:
        axes.legend(axes.patches, [f" {printable(name, 45)}" for name in values])
    axes.grid(axis="y")
    return figure


# ---- embeddings ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Cloud:
    """A class on a plane.

    Attributes:
        word: Its name.
        hit: The share of its drawings that are recognised.
        drawings: (n, 2), where drawings lie, one at least.
        prototype: (2,), where drawings of the class were expected.
    """

    word: str
    hit: float
    drawings: npt.NDArray[np.float64]
    prototype: npt.NDArray[np.float64]


@_style()
def embeddings(clouds: Sequence[Cloud], title: str, caption: str) -> Figure:
    """Draw classes on a plane: small marks for drawings, large ones with a name for prototypes.

    A line goes from each prototype to the mean of its class's drawings. Both axes have the same scale.
    """
    lines = textwrap.wrap(printable(caption), 125)
    width, height, side = 9.4, 6.9 + 0.18 * len(lines), 6.2
    figure = _figure(title, (width, height))
    figure.text(0.25 / width, 1 - 0.33 / height, printable(title, 80), size=13)
    figure.text(0.25 / width, 0.15 / height, "\n".join(lines), size=8.5, color=_FAINT, linespacing=1.4)
    axes = figure.add_axes((0.25 / width, 1 - (0.5 + side) / height, side / width, side / height), xticks=[], yticks=[])
    every = np.concatenate([rows for cloud in clouds for rows in (cloud.drawings, cloud.prototype[None])])
    middle, reach = (every.min(axis=0) + every.max(axis=0)) / 2, float(np.ptp(every, axis=0).max()) * 0.53 or 1.0
    axes.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach))
    for place, cloud in enumerate(clouds):
        colour, mark = _COLOURS[place % len(_COLOURS)], _MARKS[place % len(_MARKS)]
        axes.plot(*cloud.drawings.T, mark, color=colour, markersize=4.5, markeredgewidth=0, alpha=0.65, zorder=2)
        axes.plot(*np.stack([cloud.prototype, cloud.drawings.mean(axis=0)]).T, color=colour, zorder=2.1)
        axes.plot(*cloud.prototype[:, None], mark, color=colour, markersize=12, markeredgecolor=_INK, zorder=2.2)
    names = [f"{cloud.hit:.3f}  {printable(cloud.word, 22)}" for cloud in clouds]
    about = {"title": "ZSL hit@1 of each class", "alignment": "left"}
    axes.legend(axes.lines[2::3], names, loc="upper left", bbox_to_anchor=(1.01, 1.01), markerscale=0.6, **about)
    _name_prototypes(figure, clouds)
    return figure


def _name_prototypes(figure: Figure, clouds: Sequence[Cloud]) -> None:
    """Write names beside prototypes, moved away from one another where they would overlap."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    canvas: Any = FigureCanvasAgg(figure)
    (axes,) = figure.axes
    way = {"arrowstyle": "-", "linewidth": 0.6, "color": _INK, "shrinkA": 0, "shrinkB": 6}
    look: dict[str, Any] = {"ha": "center", "va": "center", "weight": "bold", "textcoords": "offset points"}
    look |= {"path_effects": [withStroke(linewidth=3, foreground=_PAGE)], "arrowprops": way}
    marks = axes.transData.transform([cloud.prototype for cloud in clouds])
    taken = [Bbox.from_bounds(x - 7, y - 7, 14, 14) for x, y in marks]
    middle, reach = axes.bbox.get_points().mean(axis=0), axes.bbox.width / 2
    for cloud in clouds:
        label = axes.annotate(printable(cloud.word, 22), cloud.prototype.tolist(), xytext=(0, 0), **look)
        size = label.get_window_extent(canvas.get_renderer())
        # Places to try, the nearest first: from the mark to the label's edge, and in which direction.
        places = itertools.product(range(10, 150, 14), np.radians((0, 180, 270, 90, 315, 45, 225, 135)))
        moves = [(np.cos(a) * (far + size.width / 2), np.sin(a) * (far + size.height / 2)) for far, a in places]
        boxes = [size.translated(*move) for move in moves]
        cost = [
            box.count_overlaps(taken) + 100 * bool(np.any(np.abs(box.get_points() - middle) > reach)) for box in boxes
        ]
        best = int(np.argmin(cost))
        label.set_position(moves[best])
        taken.append(boxes[best])


# ---- recognition -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A class that a drawing may be of.

    Attributes:
        rank: From 1.
        word: Its name.
        score: As people are to read it.
        share: The length of its bar, 0 to 1.
        unseen: Whether no drawing of it was learned from.
        own: Whether the drawing is of it, if known.
    """

    rank: int
    word: str
    score: str
    share: float
    unseen: bool
    own: bool


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A drawing beside its most probable classes.

    Attributes:
        name: What the drawing is called.
        strokes: (n, 2 or more) points each, x to the right and y down.
        said: What is known of it: its class, and whether that was recognised; in a line or two.
        right: Whether it was; None if that is unknown.
        bars: The most probable class first.
    """

    name: str
    strokes: Sequence[npt.NDArray[Any]]
    said: str
    right: bool | None
    bars: Sequence[Bar]


@_style()
def recognition(panels: Sequence[Panel], title: str, lines: Sequence[str], *, unseen: bool) -> Figure:
    """Draw each drawing beside bars of its most probable classes: full ones of seen classes, hollow ones of unseen.

    Args:
        panels: 1 to 12.
        title: Above the bars.
        lines: Below the last panel: by which method, and what bars and scores are.
        unseen: Whether there are unseen classes among the candidates.

    Raises:
        ConfigError: There are more than 12 panels.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if len(panels) > MAX_PANELS:
        raise ConfigError(
            f"a picture shows {MAX_PANELS} drawings at most, and these are {len(panels):,}: name fewer, as in "
            "FILE.ndjson#3"
        )
    heights = [max(3.6, 0.8 + 0.25 * len(panel.bars)) for panel in panels]
    foot = 0.6 + 0.2 * len(lines) + 0.3 * unseen
    firsts = (f"{panel.name}: {panel.bars[0].word if panel.bars else 'nothing'}" for panel in panels)
    figure = _figure("; ".join(firsts), (9, sum(heights) + foot))
    parts = figure.subfigures(len(panels) + 1, 1, height_ratios=[*heights, foot], squeeze=False)[:, 0]
    for part, panel, height in zip(parts, panels, heights, strict=False):
        _panel(part, panel, title, height)
    last, own = parts[-1], any(bar.own for panel in panels for bar in panel.bars)
    last.add_artist(Line2D((0.28 / 9, 1 - 0.28 / 9), (0.98, 0.98), color=_GRID, linewidth=1))
    if unseen:
        swatches = (Patch(facecolor=_SEEN), Patch(facecolor=_UNSEEN_FILL, edgecolor=_UNSEEN))
        names = ("seen class", "unseen class: no drawing of it was learned from")
        last.legend(swatches, names, loc="upper left", bbox_to_anchor=(0.2 / 9, 0.98), ncols=2)
    below = [*["✓: the drawing's own class"] * own, *(printable(line, 124) for line in lines)]
    last.text(0.28 / 9, 1 - (0.15 + 0.3 * unseen) / foot, "\n".join(below), va="top", color=_FAINT, linespacing=1.5)
    return figure


def _panel(part: SubFigure, panel: Panel, title: str, height: float) -> None:
    drawn = part.add_axes((0.28 / 9, 1 - 2.95 / height, 2.5 / 9, 2.5 / height), xticks=[], yticks=[], facecolor="white")
    drawn.set_title(printable(panel.name, 30), loc="left", weight="bold")
    points = np.concatenate(panel.strokes)[:, :2].astype(np.float64)
    middle, reach = (points.min(axis=0) + points.max(axis=0)) / 2, max(float(np.ptp(points, axis=0).max()), 1.0) * 0.58
    drawn.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] + reach, middle[1] - reach))
    for stroke in panel.strokes:
        # Marks as wide as the line round its joints, and show a stroke of a single point.
        drawn.plot(*stroke[:, :2].T, "o-", color=_INK, linewidth=2, markersize=2, markeredgewidth=0)
    colour = {True: _RIGHT, False: _WRONG, None: _FAINT}[panel.right]
    sign = {True: "✓ ", False: "✗ ", None: ""}[panel.right]
    for place, line in enumerate(panel.said.splitlines()):
        text = sign * (place == 0) + printable(line, 36)
        drawn.text(0, -0.08 - 0.075 * place, text, transform=drawn.transAxes, color=_FAINT if place else colour)
    if not (bars := panel.bars):
        return
    high = 0.25 * len(bars)
    axes = part.add_axes((5.5 / 9, 1 - (0.45 + high) / height, 2.5 / 9, high / height), frameon=False, xticks=[])
    axes.set(xlim=(0, 1), ylim=(len(bars) - 0.5, -0.5))
    axes.barh(range(len(bars)), 1, 0.62, color=_GRID, alpha=0.5)
    for place, bar in enumerate(bars):
        fill, edge = (_UNSEEN_FILL, _UNSEEN) if bar.unseen else (_SEEN, _SEEN)
        if bar.share > 0:
            axes.barh(place, bar.share, 0.62, color=fill, edgecolor=edge)
        axes.text(1.28, place, printable(bar.score), ha="right", va="center", color=_FAINT)
    names = [f"{'✓  ' * bar.own}{bar.rank}  {printable(bar.word, 24)}" for bar in bars]
    axes.set_yticks(range(len(bars)), names)
    axes.tick_params(length=0)
    for label, bar in zip(axes.get_yticklabels(), bars, strict=True):
        label.set(color=_UNSEEN if bar.unseen else _INK, weight="bold" if bar.own else "normal")
    axes.set_title(printable(title, 45), loc="left", weight="bold")
