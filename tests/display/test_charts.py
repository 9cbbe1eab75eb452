"""Charts: what they show, in both formats, with the same bytes each time, and with names that stay names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from PIL import Image

from sketchdata.display.charts import (
    Bar,
    Cloud,
    Curve,
    Panel,
    embeddings,
    histogram,
    precision_recall,
    precision_recall_panels,
    recognition,
    reliability_diagram,
    save,
)
from sketchdata.errors import ConfigError
from sketchdata.names import printable
from tests.pictures import words_of

EVIL = r"<b>$x$&</b> \frac -- $\frac"
#: Letters that the font has and that it lacks, of left-to-right and of right-to-left scripts.
SCRIPTS = ("кошка", "قطة", "猫 고양이", "बिल्ली", "แมว", "🐈", "_star", "$", "\x00\x1b[31m\ud800")
SEEN, UNSEEN, RIGHT, WRONG, INK = "#2f6690", "#b3541e", "#1b7a43", "#a3262a", "#1f2933"

STROKES = (np.array([[0, 0], [255, 100]], np.uint8), np.array([[7, 7]], np.uint8))
BARS = (
    Bar(rank=1, word="star", score="0.9", share=1.0, unseen=True, own=False),
    Bar(rank=2, word="cat", score="0.4", share=0.5, unseen=False, own=True),
    Bar(rank=3, word="house", score="-0.1", share=-0.2, unseen=False, own=False),
)
PANEL = Panel(name="a.svg", strokes=STROKES, said="not recognised: cat\nnumber 2 of 3", right=False, bars=BARS)
LINES = ("by a method", "bars are long")


def curves(names: list[str]) -> dict[str, Curve]:
    curve = Curve(distance=[0, 1, 2], recall=[0.1, 0.25, 1.0], precision=[1.0, 0.75, 0.5], chance=0.5)
    return dict.fromkeys(names, curve)


def clouds(words: list[str], apart: float = 3.0) -> list[Cloud]:
    random = np.random.default_rng(0)
    middles = apart * random.normal(size=(len(words), 2))
    return [
        Cloud(word=word, hit=0.5, drawings=middle + random.normal(size=(8, 2)), prototype=middle)
        for word, middle in zip(words, middles, strict=True)
    ]


BINS = [
    {"from": 0.25, "to": 0.5, "drawings": 30, "confidence": 0.4, "accuracy": 0.0},
    {"from": 0.5, "to": 0.75, "drawings": 10, "confidence": 0.6, "accuracy": 0.8},
]

#: Every kind of chart, of names and a title.
CHARTS: dict[str, Callable[[list[str], str], Figure]] = {
    "precision_recall": lambda names, title: precision_recall(curves(names), title),
    "precision_recall_panels": lambda names, title: precision_recall_panels({names[0]: curves(names)}, title),
    "reliability": lambda _, title: reliability_diagram(BINS, title),
    "histogram": lambda names, title: histogram({name: np.arange(5) for name in names}, title, "bits"),
    "embeddings": lambda names, title: embeddings(clouds(names), title, f"about {title}"),
    "recognition": lambda names, title: recognition(
        [
            replace(PANEL, name=name, said=name, bars=[replace(bar, word=name, score=name) for bar in BARS])
            for name in names
        ],
        title,
        [title],
        unseen=True,
    ),
}
every_chart = pytest.mark.parametrize("kind", CHARTS)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def written(figure: Figure, path: Path) -> bytes:
    save(figure, path)
    return path.read_bytes()


# ---- all of them -----------------------------------------------------------------------------------------------------


@every_chart
def test_names_are_shown_as_they_are_written(kind: str, tmp_path: Path) -> None:
    content = written(CHARTS[kind]([EVIL, "cat"], EVIL), tmp_path / "a.svg")
    assert any("<b>$x$&</b> \\frac" in line for line in words_of(content))
    root = ElementTree.fromstring(content)
    assert next(root.iter("{http://www.w3.org/2000/svg}title")).text
    assert not [each for each in root.iter() if each.tag.endswith(("}b", "}script", "}image", "}a"))]
    assert b"url(http" not in content


@pytest.mark.slow
@every_chart
def test_names_of_every_script_are_drawn_without_a_warning(kind: str, tmp_path: Path) -> None:
    figure = CHARTS[kind](list(SCRIPTS), "猫 $ \x00")
    assert written(figure, tmp_path / "a.svg").startswith(b"<?xml")
    save(figure, tmp_path / "a.PNG")
    with Image.open(tmp_path / "a.PNG") as image:
        assert image.format == "PNG"


SAVE_ALL = """
import sys
from pathlib import Path
from tests.display.test_charts import CHARTS, save
for kind, draw in CHARTS.items():
    for suffix in (".svg", ".png"):
        save(draw(["cat", "猫", "_x"], "title"), Path(sys.argv[1]) / (kind + suffix))
assert "matplotlib.pyplot" not in sys.modules
"""


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "0"}
    subprocess.run([sys.executable, "-c", SAVE_ALL, str(tmp_path)], env=environment, check=True, timeout=300)
    for kind, draw in CHARTS.items():
        for suffix in (".svg", ".png"):
            here = written(draw(["cat", "猫", "_x"], "title"), tmp_path / f"here{suffix}")
            assert here == (tmp_path / (kind + suffix)).read_bytes(), kind


def test_a_user_s_settings_are_neither_used_nor_changed(tmp_path: Path) -> None:
    plain = written(CHARTS["histogram"](["cat"], "t"), tmp_path / "a.svg")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.fonttype": "none"}):
        assert written(CHARTS["histogram"](["cat"], "t"), tmp_path / "b.svg") == plain
        assert matplotlib.rcParams["font.size"] == 30
    assert "matplotlib.pyplot" not in sys.modules


def luminance(colour: str) -> float:
    channels = [int(to_hex(colour)[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@every_chart
def test_text_stands_out_from_a_background_of_the_chart_s_own(kind: str, tmp_path: Path) -> None:
    figure = CHARTS[kind](["cat", "star"], "title")
    save(figure, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        corner = image.convert("RGBA").getpixel((0, 0))
    assert isinstance(corner, tuple)
    assert corner[3] == 255
    page = luminance("#{:02x}{:02x}{:02x}".format(*corner[:3]))
    shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    # WCAG 2.1, 1.4.3: 4.5 to 1.
    assert [text.get_text() for text in shown if (page + 0.05) / (luminance(str(text.get_color())) + 0.05) < 4.5] == []


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"written as \.svg or \.png, not as \.jpg"):
        save(reliability_diagram(BINS, "t"), tmp_path / "a.jpg")
    with pytest.raises(ConfigError, match="not as a file without suffix"):
        save(reliability_diagram(BINS, "t"), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_long_names_are_cut() -> None:
    assert printable("a b", 3) == "a b"
    assert printable("abcdef", 4) == "abc…"
    assert printable("ab cdef", 4) == "ab…"
    assert printable("a\nb\x07") == "a\ufffdb\ufffd"


# ---- measures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 13])
def test_each_run_has_a_curve_and_its_name(count: int) -> None:
    names = [f"_run {place}" for place in range(count)]
    figure = precision_recall(curves(names), "all")
    lines = figure.axes[0].lines
    for line, chance in zip(lines[::2], lines[1::2], strict=True):
        assert np.asarray(line.get_xydata()).tolist() == [[0.1, 1.0], [0.25, 0.75], [1.0, 0.5]]
        assert set(np.asarray(chance.get_ydata()).tolist()) == {0.5}
    assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines[::2]}) == count
    assert [text.get_text().strip() for text in figure.legends[0].get_texts()] == names
    assert {"all", "recall", "precision"} <= set(texts(figure))


def test_all_methods_and_lengths_are_in_one_picture_and_a_method_looks_alike_in_every_panel() -> None:
    names = [f"method {place}" for place in range(13)]
    panels = {"16 bits": curves(names), "32 bits": curves(names[4:]), "64 bits": curves(["ours", *names[:2]])}
    figure = precision_recall_panels(panels, "all")
    assert [axes.get_title() for axes in figure.axes] == list(panels)
    assert [text.get_text().strip() for text in figure.legends[0].get_texts()] == [*names, "ours"]

    def looks(place: int, count: int) -> list[tuple[object, ...]]:
        lines = figure.axes[place].lines
        assert len(lines) == count + 1
        assert np.asarray(lines[0].get_xydata()).tolist() == [[0.1, 1.0], [0.25, 0.75], [1.0, 0.5]]
        return [(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines[:-1]]

    first, second, third = looks(0, 13), looks(1, 9), looks(2, 3)
    assert len(set(first)) == 13
    assert second == first[4:]
    assert third[1:] == first[:2]
    assert third[0] not in first


def test_a_bar_of_reliability_is_as_high_as_the_accuracy_and_paler_of_fewer_drawings() -> None:
    (axes,) = reliability_diagram(BINS, "t").axes
    few, many = axes.patches[1], axes.patches[0]
    assert few.get_bbox().bounds == pytest.approx((0.5, 0, 0.25, 0.8))
    assert many.get_bbox().bounds == pytest.approx((0.25, 0, 0.25, 0))
    assert (few.get_alpha() or 0) < (many.get_alpha() or 0)
    assert np.asarray(axes.lines[1].get_xydata()).tolist() == [[0.4, 0.0], [0.6, 0.8]]


def test_histograms_share_their_bins_and_count_every_value() -> None:
    values = {"a": np.array([0, 1, 1, 2.0]), "b": np.array([5, 10.0])}
    counts = [patch.get_data().values.tolist() for patch in histogram(values, "t", "bits", bins=5).axes[0].patches]
    assert counts == [[3, 1, 0, 0, 0], [0, 0, 1, 0, 1]]
    assert {"number", "bits", "t"} <= set(texts(histogram({"a": np.ones(3)}, "t", "bits")))


# ---- embeddings ------------------------------------------------------------------------------------------------------


def test_drawings_and_prototypes_lie_where_they_are_and_both_axes_have_one_scale() -> None:
    shown = clouds(["cat", "fish", "sun"])
    (axes,) = embeddings(shown, "t", "c").axes
    for cloud, drawn, way, mark in zip(shown, axes.lines[::3], axes.lines[1::3], axes.lines[2::3], strict=True):
        assert np.array_equal(drawn.get_xydata(), cloud.drawings)
        assert np.array_equal(way.get_xydata(), [cloud.prototype, cloud.drawings.mean(axis=0)])
        assert np.array_equal(mark.get_xydata(), cloud.prototype[None])
        assert axes.viewLim.contains(*cloud.prototype)
    assert axes.viewLim.width == pytest.approx(axes.viewLim.height)
    assert axes.bbox.width == pytest.approx(axes.bbox.height)


@pytest.mark.parametrize("apart", [0.02, 3.0])
def test_labels_lie_inside_and_not_on_one_another(apart: float) -> None:
    words = [f"class number {place}" for place in range(10)]
    figure = embeddings(clouds(words, apart), "t", "c")
    labels: Any = figure.findobj(Annotation)
    assert [label.get_text() for label in labels] == words
    canvas: Any = FigureCanvasAgg(figure)
    boxes = [Text.get_window_extent(label, canvas.get_renderer()) for label in labels]
    for place, box in enumerate(boxes):
        assert figure.axes[0].bbox.containsx(box.x0)
        assert figure.axes[0].bbox.containsx(box.x1)
        assert figure.axes[0].bbox.containsy(box.y0)
        assert figure.axes[0].bbox.containsy(box.y1)
        assert box.count_overlaps(boxes[:place]) == 0
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [f"0.500  {word}" for word in words]


def test_drawings_that_all_lie_in_one_place_can_be_drawn(tmp_path: Path) -> None:
    cloud = Cloud(word="cat", hit=0.0, drawings=np.ones((1, 2)), prototype=np.ones(2))
    assert b"nan" not in written(embeddings([cloud], "t", "c"), tmp_path / "a.svg").lower()


# ---- recognition -----------------------------------------------------------------------------------------------------


def recognised(*panels: Panel, unseen: bool = True) -> Figure:
    return recognition(panels, "Most likely of 3 classes", LINES, unseen=unseen)


def test_a_panel_shows_the_drawing_its_classes_and_their_bars() -> None:
    figure = recognised(PANEL)
    for text in ("a.svg", "✗ not recognised: cat", "number 2 of 3", "Most likely of 3 classes", "0.9", "1  star"):
        assert text in texts(figure)
    drawn, bars = figure.subfigs[0].axes
    assert [np.asarray(line.get_xydata()).tolist() for line in drawn.lines] == [each.tolist() for each in STROKES]
    # y goes down, and a stroke of one point shows as its mark.
    assert drawn.get_ylim()[0] > drawn.get_ylim()[1]
    assert drawn.lines[1].get_marker() == "o"
    # After the empty ones, those of some length: a bar of no length is none.
    star, cat = bars.patches[3:]
    assert star.get_width() == 2 * cat.get_width()
    assert to_hex(star.get_edgecolor()) == UNSEEN
    assert to_hex(star.get_facecolor()) != UNSEEN
    assert to_hex(cat.get_facecolor()) == SEEN
    looks = {text.get_text(): (text.get_color(), text.get_weight()) for text in bars.get_yticklabels()}
    assert looks == {"1  star": (UNSEEN, "normal"), "✓  2  cat": (INK, "bold"), "3  house": (INK, "normal")}


def test_marks_tell_what_was_recognised_only_where_it_is_known() -> None:
    unknown = replace(PANEL, right=None, bars=[replace(bar, own=False) for bar in BARS])

    def colours(panel: Panel) -> set[Any]:
        return {text.get_color() for text in recognised(panel).findobj(Text)}

    assert WRONG in colours(PANEL)
    assert RIGHT in colours(replace(PANEL, right=True))
    assert not {RIGHT, WRONG} & colours(unknown)
    assert "own class" in "".join(texts(recognised(PANEL)))
    assert "own class" not in "".join(texts(recognised(unknown)))
    assert "unseen" in "".join(texts(recognised(PANEL)))
    assert "unseen" not in "".join(texts(recognised(PANEL, unseen=False)))


@pytest.mark.slow
def test_a_picture_grows_with_its_bars_and_panels() -> None:
    def height(count: int, bars: int) -> float:
        panel = replace(PANEL, bars=[replace(BARS[0], rank=rank) for rank in range(1, bars + 1)])
        return float(recognised(*[panel] * count).get_size_inches()[1])

    assert height(1, 0) == height(1, 10) < height(1, 40)
    assert height(3, 10) - height(2, 10) == pytest.approx(height(2, 10) - height(1, 10))
    with pytest.raises(ConfigError, match="12 drawings at most, and these are 13"):
        recognised(*[PANEL] * 13)


def test_a_drawing_of_one_place_is_drawn_in_the_middle() -> None:
    figure = recognised(replace(PANEL, strokes=(np.array([[200, 3]], np.uint8),)))
    axes = figure.subfigs[0].axes[0]
    assert np.mean(axes.get_xlim()) == pytest.approx(200)
    assert np.mean(axes.get_ylim()) == pytest.approx(3)
