"""Compare edge detectors on BSDS500 by the boundary benchmark: accuracy against human drawings, and speed.

One stage, `score_photo`, makes the edge map of a photo by a detector and matches its pixels with the human drawings.
The counts stay in the folder, so that an interrupted run resumes, and another detector costs only its own time. Then
the scores over all photos and the speed of each detector on one core are put into a table.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import orjson

from sketchdata import __version__, edges
from sketchdata.config import FOLDER, option
from sketchdata.edges import (
    EDGE_DETECTORS,
    NETWORKS,
    THIN_DETECTORS,
    WEIGHTED_DETECTORS,
    Detector,
    detector,
    line_finder,
)
from sketchdata.edges.boundaries import TOLERANCE, Counts, Scores, agreement, evaluate, ridges, summarise
from sketchdata.edges.bsds import SPLITS, DrawnPhoto, drawn_photos, read_drawings, read_file, read_map
from sketchdata.engine import EngineOptions, Task, TaskResult
from sketchdata.engine import run as run_stage
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.names import names_in
from sketchdata.photos.image import decode
from sketchdata.progress import one_opencv_thread, task_bar
from sketchdata.storage.manifest import file_entry, hash_file, leftovers, replacing

RESULTS_FILE, TABLE_FILE = "edge-detectors.json", "edge-detectors.md"
DEFAULT_DETECTORS = "canny,sobel,xdog,tin,pidinet,learned"
#: Human drawings compared with each other, as an upper bound.
PEOPLE = "people"
#: Scales of the published figures of networks, if not 1: as in TIN's own test.py.
PUBLISHED_SCALES = {"tin": (0.5, 1.0, 1.5)}

_COUNTS = "counts"
_MAP_SUFFIXES = (".png", ".npy")
#: Modules of sketchdata.edges that affect the counts of a detector, besides its own.
_SHARED_MODULES = ("boundaries", "bsds", "filters", "networks")
#: Packages that affect the figures.
_PACKAGES = ("numpy", "scipy", "scikit-image", "opencv-contrib-python-headless", "torch")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options of the comparison: detectors, photos, and output folder."""

    bsds: Path = option(help="Folder of BSDS500: images/ and groundTruth/.", type=FOLDER)
    out: Path = option(
        Path("edgemaps-bench"), help="Folder of the results; counts that are there are reused.", type=FOLDER
    )
    split: str = option("test", help="Split to evaluate on; published figures are of test.", type=click.Choice(SPLITS))
    detectors: str | None = option(
        None,
        help=f"Comma-separated names, or your own as module:function. Default: {DEFAULT_DETECTORS}; "
        "with --predictions, none.",
        metavar="A,B,…",
    )
    weights: tuple[str, ...] = option(
        (), help="File of a detector's weights; repeatable, also for one detector.", metavar="NAME=FILE", multiple=True
    )
    scales: tuple[str, ...] = option(
        (),
        help="Scales over which a network averages. Default: those of its paper.",
        metavar="NAME=A,B,…",
        multiple=True,
    )
    predictions: tuple[str, ...] = option(
        (),
        help="Folder of edge maps that another program made, PHOTO.png or PHOTO.npy; white is an edge.",
        metavar="[NAME=]DIR",
        multiple=True,
    )
    thin: bool = option(False, help="Skip non-maximum suppression: the maps of --predictions are thin.")
    limit: int | None = option(None, help="Use only the first photos, this many.", type=click.IntRange(1))
    # Twice the default changes ODS by less than 0.001 and takes twice the time.
    thresholds: int = option(33, help="Number of thresholds; the official code uses 99.", type=click.IntRange(1, 254))
    timed: int = option(5, help="Number of photos on which speed is measured; 0 for none.", type=click.IntRange(0))


def run(config: Config, engine: EngineOptions) -> Comparison | None:
    """Compare the detectors and write the results; None in an unfinished share of a job array.

    Raises:
        ConfigError: The folder is not BSDS500's, or a detector, a file of weights or a folder of maps cannot be used.
        TasksFailedError: Photos, drawings or maps are damaged or of another size; each is named.
    """
    photos = drawn_photos(config.bsds.absolute(), config.split)[: config.limit]
    rows = _contenders(config, photos)
    tasks = _tasks(config, rows, photos)
    results = run_stage(score_photo, tasks, engine, title="Scoring edge maps")
    if results is None:
        return None
    for path in [path for folder in {task.output.parent for task in tasks} for path in leftovers(folder)]:
        path.unlink(missing_ok=True)
    drawings = sum(result.counts["drawings"] for result in results if result.facts["row"] == PEOPLE)
    comparison = _compare(config, rows, photos, drawings)
    with replacing(config.out / TABLE_FILE) as file:
        file.write(markdown(comparison).encode("utf-8"))
    with replacing(config.out / RESULTS_FILE) as file:
        file.write(orjson.dumps(comparison, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return comparison


# ---- contenders ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A row of the table: humans, a detector, or a folder of edge maps.

    Attributes:
        name: Unique name in the table.
        detector: Name of the detector; None for humans and folders of maps.
        weights: File of weights.
        sha256: Hash of that file.
        scales: Scales at which a network reads a photo.
        maps: Folder of maps by another program.
        thin: Whether its edges are one pixel wide already.
        needs: Missing requirement, because of which it is not measured.
    """

    name: str
    detector: str | None = None
    weights: str | None = None
    sha256: str | None = None
    scales: tuple[float, ...] = (1.0,)
    maps: str | None = None
    thin: bool = False
    needs: str = ""


def _contenders(config: Config, photos: Sequence[DrawnPhoto]) -> list[Contender]:
    """Return the contenders in the order of the table."""
    chosen = config.detectors if config.detectors is not None else "" if config.predictions else DEFAULT_DETECTORS
    names = list(names_in(chosen))
    weights, scales = _by_name("--weights", config.weights, names), _by_name("--scales", config.scales, names)
    found = [Contender(name=PEOPLE)]
    for name in names:
        seen_at: tuple[float, ...] = PUBLISHED_SCALES.get(name, (1.0,))
        if name in scales:
            text = scales[name][-1]
            try:
                seen_at = tuple(map(float, names_in(text) or ("",)))
            except ValueError as error:
                raise ConfigError(f"--scales must be numbers, such as tin=0.5,1,1.5, and not {text!r}") from error
        found += [_contending_detector(name, file, seen_at) for file in weights.get(name, [None])]
    found += [_contending_maps(text, photos, thin=config.thin) for text in config.predictions]
    twice = [name for name, count in Counter(each.name for each in found).items() if count > 1]
    if twice:
        raise ConfigError(f"two lines of the table would be named {twice[0]}: rename a file or a folder")
    return found


def _by_name(flag: str, texts: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of a repeatable option NAME=VALUE."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (sign and value):
            raise ConfigError(f"{flag} must be NAME=…, such as tin=…, and not {text!r}")
        if name not in names:
            raise ConfigError(f"{flag} {text} is for {name}, which is not among the detectors: {', '.join(names)}")
        found.setdefault(name, []).append(value)
    return found


def _contending_detector(name: str, file: str | None, scales: tuple[float, ...]) -> Contender:
    """Return an available detector, or one with the requirement that a user can add."""
    if name in NETWORKS and importlib.util.find_spec("torch") is None:
        return Contender(name=name, needs="needs pip install 'sketchdata[train]'")
    if name in WEIGHTED_DETECTORS and file is None:
        return Contender(name=name, needs=f"needs --weights {name}=FILE")
    weights = None if file is None else Path(file).absolute()
    if weights is not None and not weights.is_file():
        raise ConfigError(f"--weights {name}={file}: the file does not exist")
    found = Contender(
        name=name if weights is None else f"{name} {weights.stem}",
        detector=name,
        weights=None if weights is None else str(weights),
        sha256=None if weights is None else hash_file(weights, "sha256"),
        scales=scales,
        thin=name in THIN_DETECTORS,
    )
    _finder(found)
    return found


def _contending_maps(text: str, photos: Sequence[DrawnPhoto], *, thin: bool) -> Contender:
    name, sign, place = text.partition("=")
    folder = Path(place if sign else text).absolute()
    missing = [photo.name for photo in photos if _map_file(folder, photo.name) is None]
    if missing:
        raise ConfigError(
            f"--predictions {folder} lacks the maps of {len(missing):,} of {len(photos):,} photos: "
            f"expected {missing[0]}.png or {missing[0]}.npy, among others"
        )
    return Contender(name=name if sign else folder.name, maps=str(folder), thin=thin)


def _map_file(folder: Path, name: str) -> Path | None:
    return next((path for suffix in _MAP_SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)


@functools.lru_cache(maxsize=4)
def _finder(row: Contender) -> Detector:
    assert row.detector is not None, "people and maps have none"  # noqa: S101
    weights = None if row.weights is None else Path(row.weights)
    return detector(row.detector, weights, row.sha256, scales=row.scales)


# ---- the stage: one photo by one detector ----------------------------------------------------------------------------


def _tasks(config: Config, rows: Sequence[Contender], photos: Sequence[DrawnPhoto]) -> list[Task]:
    tasks, code = [], {row.name: _code(row) for row in rows}
    for photo in photos:
        files = {"photo": photo.photo, "drawings": photo.drawings}
        hashes = {name: hash_file(path, "sha256") for name, path in files.items()}
        for row in (row for row in rows if not row.needs):
            found = None if row.maps is None else _map_file(Path(row.maps), photo.name)
            tasks.append(
                Task(
                    id=f"{row.name}/{photo.name}",
                    output=_output(config, row, photo),
                    inputs=hashes | code[row.name] | ({} if found is None else {"map": hash_file(found, "sha256")}),
                    config={
                        "row": dataclasses.asdict(row),
                        "thresholds": config.thresholds,
                        "map": None if found is None else str(found),
                        **{name: str(path) for name, path in files.items()},
                    },
                )
            )
    return tasks


def _output(config: Config, row: Contender, photo: DrawnPhoto) -> Path:
    return config.out.absolute() / _COUNTS / re.sub(r"[^\w.-]", "_", row.name) / f"{photo.name}.json"


def _code(row: Contender) -> dict[str, str]:
    """Return the hashes of the code that affects a contender's counts: changed detectors are measured again."""
    own = {*_SHARED_MODULES, row.detector}
    files = [path for path in sorted(Path(edges.__path__[0]).iterdir()) if path.stem in own and path.suffix != ".md"]
    if row.detector and ":" in row.detector:
        module = importlib.util.find_spec(row.detector.partition(":")[0])
        files += [Path(module.origin)] if module and module.origin else []
    return {path.name: hash_file(path, "sha256") for path in files}


def score_photo(task: Task) -> TaskResult:
    """Count the pixels of one edge map against the drawings of its photo, at each threshold."""
    settings = task.config
    row = Contender(**{**settings["row"], "scales": tuple(settings["row"]["scales"])})
    drawings = read_file(Path(settings["drawings"]), read_drawings)
    if row.name == PEOPLE:
        counts = agreement(drawings)
    else:
        if settings["map"] is None:
            strength = _finder(row)(read_file(Path(settings["photo"]), decode))
        else:
            strength = read_file(Path(settings["map"]), read_map)
        if strength.shape != drawings[0].shape:
            found, expected = (f"{shape[1]} × {shape[0]}" for shape in (strength.shape, drawings[0].shape))
            raise SketchDataError(
                f"the edge map is {found}, where the drawings in {settings['drawings']} are {expected}"
            )
        counts = evaluate(strength if row.thin else ridges(strength), drawings, settings["thresholds"])
    with replacing(task.output) as file:
        file.write(orjson.dumps(counts, option=orjson.OPT_SERIALIZE_NUMPY))
    entry = file_entry(task.output, task.output.parent, len(counts.thresholds))
    return TaskResult(task_id=task.id, files=(entry,), counts={"drawings": len(drawings)}, facts={"row": row.name})


# ---- the table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PublishedScores:
    """Figures of a paper on the 200 test photos of BSDS500; None if not given."""

    name: str
    ods: float
    ois: float | None = None
    ap: float | None = None
    source: str


#: Figures of human drawings, each against the others.
HUMAN = PublishedScores(name="people", ods=0.803, ois=0.803, source="Arbeláez et al., PAMI 2011, as in HED's table 4")
#: {detector, or stem of its weights file if there are several: figures}.
PUBLISHED = {
    "canny": PublishedScores(name="Canny", ods=0.60, ois=0.63, ap=0.58, source="Arbeláez et al., PAMI 2011"),
    "structured": PublishedScores(
        name="Structured Edges", ods=0.746, ois=0.767, ap=0.803, source="Dollár and Zitnick, PAMI 2015, SE+MS+SH"
    ),
    "TIN1": PublishedScores(name="TIN1", ods=0.749, source="Wibisono and Hang, ICIP 2020"),
    "TIN2": PublishedScores(name="TIN2, three scales", ods=0.772, source="Wibisono and Hang, ICIP 2020"),
    "table5_pidinet-tiny": PublishedScores(name="PiDiNet-tiny", ods=0.789, ois=0.806, source="Su et al., ICCV 2021"),
    "table5_pidinet-tiny-l": PublishedScores(
        name="PiDiNet-tiny-l", ods=0.787, ois=0.804, source="Su et al., ICCV 2021"
    ),
}
#: Published detectors that are not in the package.
OTHERS = (PublishedScores(name="HED", ods=0.788, ois=0.808, ap=0.840, source="Xie and Tu, IJCV 2017"),)

TITLES = ("detector", "ODS", "OIS", "AP", "photos/s", "parameters", "published")
_NONE = "–"


@dataclass(frozen=True, kw_only=True)
class BenchLine:
    """The results of one detector.

    Attributes:
        name: The detector, with its weights file if it has one.
        scores: None if not measured.
        rate: Photos per second on one core, from pixels to thin edges.
        parameters: Number of parameters; 0 for a detector without training, None if unknown.
        scales: Scales at which a network read the photos.
        weights_sha256: Hash of the weights file.
        needs: Missing requirement.
        published: Figures reported by its authors or others.
    """

    name: str
    scores: Scores | None = None
    rate: float | None = None
    parameters: int | None = None
    scales: tuple[float, ...] = (1.0,)
    weights_sha256: str | None = None
    needs: str = ""
    published: PublishedScores | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All rows, and the facts needed to compare them with other results."""

    data: str
    split: str
    photos: int
    drawings: int
    thresholds: int
    tolerance: float
    tool: str
    machine: str
    versions: dict[str, str]
    lines: tuple[BenchLine, ...]


def cells(line: BenchLine) -> list[str]:
    """Return a row as text, one cell for each of TITLES."""
    name = f"{line.name} ({line.needs})" if line.needs else line.name
    return [
        name if line.scales == (1.0,) else f"{name}, scales {', '.join(f'{scale:g}' for scale in line.scales)}",
        *([_NONE] * 3 if line.scores is None else map(_share, (line.scores.ods, line.scores.ois, line.scores.ap))),
        _NONE if line.rate is None else f"{line.rate:,.3g}" if line.rate < 100 else f"{line.rate:,.0f}",
        _NONE if line.parameters is None else f"{line.parameters:,}",
        _share(None if line.published is None else line.published.ods),
    ]


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def markdown(comparison: Comparison) -> str:
    """Return the comparison as a Markdown table, followed by data and machine."""
    rows = [TITLES, ["---", *["--:"] * (len(TITLES) - 1)], *map(cells, comparison.lines)]
    versions = ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
    lines = [
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"{comparison.data}, {comparison.photos:,} photos of {comparison.split}, {comparison.drawings:,} drawings; "
        f"{comparison.thresholds} thresholds; pixels match within {comparison.tolerance:g} of the diagonal.",
        f"Photos/s are of one core of {comparison.machine}, from pixels to thin edges. {comparison.tool}, {versions}.",
        "Published ODS:",
        "",
        *(f"- {line.published.name}: {line.published.source}" for line in comparison.lines if line.published),
    ]
    return "\n".join([*lines, ""])


def _compare(config: Config, rows: Sequence[Contender], photos: Sequence[DrawnPhoto], drawings: int) -> Comparison:
    machine_info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    models = re.findall(r"^model name\s*: (.+)$", machine_info, re.MULTILINE)
    versions = {"Python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    with task_bar() as bar:
        lines = [_line(config, row, photos) for row in bar.track(rows, description="Measuring rates")]
    return Comparison(
        data="BSDS500",
        split=config.split,
        photos=len(photos),
        drawings=drawings,
        thresholds=config.thresholds,
        tolerance=TOLERANCE,
        tool=f"sketchdata {__version__}",
        machine=f"{models[0] if models else platform.machine()} ({len(os.sched_getaffinity(0))} cores)",
        versions=versions,
        lines=(*lines, *(BenchLine(name=other.name, published=other) for other in OTHERS)),
    )


def _line(config: Config, row: Contender, photos: Sequence[DrawnPhoto]) -> BenchLine:
    key = row.name if row.weights is None else Path(row.weights).stem
    published = HUMAN if row.name == PEOPLE else None if row.maps else PUBLISHED.get(key)
    if row.needs:
        return BenchLine(name=row.name, needs=row.needs, published=published)
    stored = [orjson.loads(_output(config, row, photo).read_bytes()) for photo in photos]
    counts = [Counts(**{name: np.array(values) for name, values in each.items()}) for each in stored]
    return BenchLine(
        name=row.name,
        scores=summarise(counts),
        rate=_rate(row, photos[: config.timed]) if row.detector and config.timed else None,
        parameters=_parameters(row),
        scales=row.scales,
        weights_sha256=row.sha256,
        published=published,
    )


def _rate(row: Contender, photos: Sequence[DrawnPhoto]) -> float:
    """Return photos per second of one core by CPU time, since other programs may be running."""
    assert row.detector is not None, "people and maps have none"  # noqa: S101
    # Thinned like the edge maps of a data set.
    find, pixels = line_finder(row.detector, _finder(row)), [read_file(photo.photo, decode) for photo in photos]
    seconds = []
    with one_opencv_thread():
        # The first call also allocates and initialises.
        find(pixels[0])
        for photo in pixels:
            started = time.process_time()
            find(photo)
            seconds.append(time.process_time() - started)
    return 1 / statistics.median(seconds)


def _parameters(row: Contender) -> int | None:
    if row.detector in EDGE_DETECTORS:
        return 0
    if row.detector not in NETWORKS:
        return None
    if row.weights:
        # Counted as trained: PiDiNet's convolutions are converted to larger ones on loading.
        state = importlib.import_module("sketchdata.edges.networks").load_state(Path(row.weights), row.sha256, {})
        return int(sum(values.numel() for values in state.values()))
    module = importlib.import_module(f"sketchdata.edges.{row.detector}")
    return int(sum(values.numel() for values in module.load_network(module.WEIGHTS).parameters()))
