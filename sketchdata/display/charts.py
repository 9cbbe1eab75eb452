"""Charts with matplotlib: precision-recall curves, reliability, embeddings, histograms, recognised drawings.

Each function returns a `matplotlib.figure.Figure`, which `save` writes as SVG or PNG with reproducible bytes. A figure
has a pale background, so that it is legible on light and dark pages. Names are never parsed as formulas; a character
that the font lacks is shown as a box.
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
#: Maximum number of drawings in one recognition figure.
MAX_PANELS = 12

_PAGE, _INK, FAINT, GRID = "#f7f6f2", "#1f2933", "#5a6570", "#d9dbd8"
_SEEN, _UNSEEN, _UNSEEN_FILL, _RIGHT, _WRONG = "#2f6690", "#b3541e", "#fdeee4", "#1b7a43", "#a3262a"
#: Paul Tol's muted scheme, safe for colour-blind readers, with a grey as the tenth colour; markers differ, too.
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
#: With 72 dpi, a point is one pixel of the layout and one unit of the SVG.
_STYLE = {
    "figure.dpi": 72,
    "figure.facecolor": _PAGE,
    "figure.constrained_layout.h_pad": 0.15,
    "figure.constrained_layout.w_pad": 0.15,
    "axes.facecolor": _PAGE,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": _INK,
    "axes.titlesize": 11,
    "axes.axisbelow": True,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": GRID,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "sketchdata",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
}


@contextmanager
def chart_style() -> Iterator[None]:
    """Draw in the style of all charts; also a decorator."""
    from matplotlib import style

    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # About characters that the font lacks, and (before matplotlib 3.11) scripts that need shaping.
        warnings.filterwarnings("ignore", "Glyph .* missing from|Matplotlib currently does not support", UserWarning)
        yield


@chart_style()
def save(figure: Figure, path: Path) -> None:
    """Write a figure as self-contained SVG or as PNG, by the suffix of the file.

    Raises:
        ConfigError: The suffix is neither .svg nor .png.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        found = suffix or "a file without suffix"
        raise ConfigError(f"{path}: a picture is written as {' or '.join(SUFFIXES)}, not as {found}")
    about = {"Title": printable(str(figure.get_label()))}
    hidden = {"Date": None, "Creator": None} if suffix == ".svg" else {"Software": None}
    with replacing(path) as file:
        figure.savefig(file, format=suffix[1:], dpi=200, metadata={**about, **hidden})


def new_figure(title: str, size: tuple[float, float], **options: Any) -> Figure:
    """Return an empty figure of a size in inches, with the title in its metadata."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, **options)
    figure.set_label(title)
    return figure


# ---- measures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Precision and recall of the items within each Hamming distance of a query.

    Attributes:
        distance: The distances, ascending.
        recall: Recall within each distance.
        precision: Precision within each distance.
        chance: The precision of a random order.
    """

    distance: Sequence[int]
    recall: Sequence[float]
    precision: Sequence[float]
    chance: float


@chart_style()
def precision_recall(curves: Mapping[str, Curve], title: str) -> Figure:
    """Plot precision over recall of named runs; thin dashes show the precision of a random order."""
    figure = new_figure(title, (7, 5 + 0.22 * math.ceil(len(curves) / 2)), layout="constrained")
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
    # Every second line is a curve; matplotlib omits names that start with an underscore from legends.
    names = [f" {printable(name, 45)}" for name in curves]
    figure.legend(axes.lines[::2], names, loc="outside lower center", ncols=2)
    return figure


@chart_style()
def precision_recall_panels(panels: Mapping[str, Mapping[str, Curve]], title: str) -> Figure:
    """Plot precision over recall of many runs in named panels; a run has the same colour and marker in all panels.

    Thin dashes show the precision of a random order.
    """
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(title, (4.6 * columns, 3.8 * rows + 0.22 * math.ceil(len(names) / 2)), layout="constrained")
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
            axes.axhline(chance, linewidth=0.8, color=FAINT, dashes=(4, 4))
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.set_title(printable(panel, 60))
        axes.grid()
    figure.suptitle(printable(title, 80), fontsize=11)
    handles = [lines[name] for name in names]
    figure.legend(handles, [f" {printable(name, 45)}" for name in names], loc="outside lower center", ncols=2)
    return figure


@chart_style()
def reliability_diagram(bins: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Plot accuracy over confidence: one bar per bin, paler with fewer drawings; the diagonal is perfect calibration.

    Args:
        bins: `from`, `to`, `drawings`, `accuracy` and mean `confidence` of each non-empty bin.
        title: Above the diagram.
    """
    figure = new_figure(title, (5, 5), layout="constrained")
    axes = figure.add_subplot(aspect="equal", xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    axes.set_title(printable(title, 60))
    total, most = sum(each["drawings"] for each in bins), len(bins)
    for each in bins:
        alpha = 0.25 + 0.75 * min(1.0, most * each["drawings"] / total)
        width = each["to"] - each["from"]
        axes.bar(each["from"], each["accuracy"], width, align="edge", color=_SEEN, alpha=alpha, edgecolor=_PAGE)
    axes.plot((0, 1), (0, 1), color=_UNSEEN, linestyle="--")
    # Bars with accuracy 0 have no height, but still get a marker.
    sure, right = [each["confidence"] for each in bins], [each["accuracy"] for each in bins]
    axes.plot(sure, right, "o", markersize=4, color=_INK, clip_on=False)
    return figure


@chart_style()
def histogram(values: Mapping[str, npt.NDArray[Any]], title: str, label: str, bins: int = 40) -> Figure:
    """Plot the distributions of one or more named sets of values, as outlines over common bins.

    Args:
        values: (N,) finite numbers by name.
        title: Title above the chart.
        label: Name of the values, with their unit.
        bins: Number of bins between the smallest and the largest value.
    """
    figure = new_figure(title, (7, 4.2), layout="constrained")
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
    """A class in the plane.

    Attributes:
        word: Its name.
        hit: The share of its drawings that are recognised.
        drawings: (n, 2), positions of the drawings, n ≥ 1.
        prototype: (2,), position of the class's prototype.
    """

    word: str
    hit: float
    drawings: npt.NDArray[np.float64]
    prototype: npt.NDArray[np.float64]


@chart_style()
def embeddings(clouds: Sequence[Cloud], title: str, caption: str) -> Figure:
    """Plot classes in the plane: small markers for drawings, large ones with a name for prototypes.

    A line connects each prototype with the mean of its class's drawings. Both axes have the same scale.
    """
    lines = textwrap.wrap(printable(caption), 125)
    width, height, side = 9.4, 6.9 + 0.18 * len(lines), 6.2
    figure = new_figure(title, (width, height))
    figure.text(0.25 / width, 1 - 0.33 / height, printable(title, 80), size=13)
    figure.text(0.25 / width, 0.15 / height, "\n".join(lines), size=8.5, color=FAINT, linespacing=1.4)
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
    """Write names beside prototypes, and move them apart if they would overlap."""
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
        # Positions to try, the nearest first: the distance from the marker to the label, and the direction.
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
    """A class predicted for a drawing.

    Attributes:
        rank: From 1.
        word: Its name.
        score: Its score as text.
        share: The length of its bar, 0..1.
        unseen: Whether the class had no training drawings.
        own: Whether it is the true class, if known.
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
        name: The drawing's name.
        strokes: (n, 2 or more) points each, x to the right and y down.
        said: One or two lines about the drawing: its class, and whether it was recognised.
        right: Whether it was recognised; None if that is unknown.
        bars: The most probable class first.
    """

    name: str
    strokes: Sequence[npt.NDArray[Any]]
    said: str
    right: bool | None
    bars: Sequence[Bar]


@chart_style()
def recognition(panels: Sequence[Panel], title: str, lines: Sequence[str], *, unseen: bool) -> Figure:
    """Show each drawing beside bars of its most probable classes: filled for seen classes, hollow for unseen ones.

    Args:
        panels: 1 to 12.
        title: Title above the bars.
        lines: Text below the last panel: the method, and the meaning of bars and scores.
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
    figure = new_figure("; ".join(firsts), (9, sum(heights) + foot))
    parts = figure.subfigures(len(panels) + 1, 1, height_ratios=[*heights, foot], squeeze=False)[:, 0]
    for part, panel, height in zip(parts, panels, heights, strict=False):
        _panel(part, panel, title, height)
    last, own = parts[-1], any(bar.own for panel in panels for bar in panel.bars)
    last.add_artist(Line2D((0.28 / 9, 1 - 0.28 / 9), (0.98, 0.98), color=GRID, linewidth=1))
    if unseen:
        swatches = (Patch(facecolor=_SEEN), Patch(facecolor=_UNSEEN_FILL, edgecolor=_UNSEEN))
        names = ("seen class", "unseen class: no drawing of it was learned from")
        last.legend(swatches, names, loc="upper left", bbox_to_anchor=(0.2 / 9, 0.98), ncols=2)
    below = [*["✓: the drawing's own class"] * own, *(printable(line, 124) for line in lines)]
    last.text(0.28 / 9, 1 - (0.15 + 0.3 * unseen) / foot, "\n".join(below), va="top", color=FAINT, linespacing=1.5)
    return figure


def _panel(part: SubFigure, panel: Panel, title: str, height: float) -> None:
    drawn = part.add_axes((0.28 / 9, 1 - 2.95 / height, 2.5 / 9, 2.5 / height), xticks=[], yticks=[], facecolor="white")
    drawn.set_title(printable(panel.name, 30), loc="left", weight="bold")
    points = np.concatenate(panel.strokes)[:, :2].astype(np.float64)
    middle, reach = (points.min(axis=0) + points.max(axis=0)) / 2, max(float(np.ptp(points, axis=0).max()), 1.0) * 0.58
    drawn.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] + reach, middle[1] - reach))
    for stroke in panel.strokes:
        # Markers as wide as the line round its joints and show strokes of one point.
        drawn.plot(*stroke[:, :2].T, "o-", color=_INK, linewidth=2, markersize=2, markeredgewidth=0)
    colour = {True: _RIGHT, False: _WRONG, None: FAINT}[panel.right]
    sign = {True: "✓ ", False: "✗ ", None: ""}[panel.right]
    for place, line in enumerate(panel.said.splitlines()):
        text = sign * (place == 0) + printable(line, 36)
        drawn.text(0, -0.08 - 0.075 * place, text, transform=drawn.transAxes, color=FAINT if place else colour)
    if not (bars := panel.bars):
        return
    high = 0.25 * len(bars)
    axes = part.add_axes((5.5 / 9, 1 - (0.45 + high) / height, 2.5 / 9, high / height), frameon=False, xticks=[])
    axes.set(xlim=(0, 1), ylim=(len(bars) - 0.5, -0.5))
    axes.barh(range(len(bars)), 1, 0.62, color=GRID, alpha=0.5)
    for place, bar in enumerate(bars):
        fill, edge = (_UNSEEN_FILL, _UNSEEN) if bar.unseen else (_SEEN, _SEEN)
        if bar.share > 0:
            axes.barh(place, bar.share, 0.62, color=fill, edgecolor=edge)
        axes.text(1.28, place, printable(bar.score), ha="right", va="center", color=FAINT)
    names = [f"{'✓  ' * bar.own}{bar.rank}  {printable(bar.word, 24)}" for bar in bars]
    axes.set_yticks(range(len(bars)), names)
    axes.tick_params(length=0)
    for label, bar in zip(axes.get_yticklabels(), bars, strict=True):
        label.set(color=_UNSEEN if bar.unseen else _INK, weight="bold" if bar.own else "normal")
    axes.set_title(printable(title, 45), loc="left", weight="bold")
