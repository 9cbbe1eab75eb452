"""Compare edge detectors on BSDS500, by the boundary benchmark: how well each finds what people draw, and how fast.

One stage: `score_photo` makes a detector's edge map of a photo and counts its pixels against the drawings of it. The
counts stay in the folder, so that a run that was stopped goes on, and a further detector costs no more than itself.
Then, here: the scores over all photos, the detectors' rates on one core, and a table of both.
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

from sketchdata import edges
from sketchdata.config import option
from sketchdata.edges import (
    EDGE_DETECTORS,
    NETWORKS,
    THIN_DETECTORS,
    WEIGHTED_DETECTORS,
    Detector,
    boundaries,
    detector,
    line_finder,
)
from sketchdata.edges.boundaries import TOLERANCE, Counts, agreement, evaluate, summarise
from sketchdata.edges.boundaries.bsds import SPLITS, DrawnPhoto, drawn_photos, read_drawings, read_file, read_map
from sketchdata.edges.boundaries.matching import Mask, Strength, ridges
from sketchdata.edges.boundaries.scores import HUMAN, OTHERS, PUBLISHED, Comparison, Line, markdown
from sketchdata.engine import EngineOptions, Task, TaskResult
from sketchdata.engine import run as run_stage
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.names import names_in
from sketchdata.photos.image import Photo, decode
from sketchdata.progress import one_opencv_thread, task_bar
from sketchdata.storage.manifest import file_entry, hash_file, leftovers, replacing
from sketchdata.version import __version__

RESULTS_FILE, TABLE_FILE = "edge-detectors.json", "edge-detectors.md"
DEFAULT_DETECTORS = "canny,sobel,xdog,tin,pidinet,learned"
#: People, whose drawings are compared with each other: the row that shows how far one can get.
PEOPLE = "people"
#: At which the published figures of networks were taken, where that is not 1: as TIN's own test.py does.
PUBLISHED_SCALES = {"tin": (0.5, 1.0, 1.5)}

_COUNTS = "counts"
_MAP_SUFFIXES = (".png", ".npy")
#: Modules of sketchdata.edges beside a detector's own.
_SHARED_BY_DETECTORS = ("gradient", "networks")
#: Packages that decide the figures.
_PACKAGES = ("numpy", "scipy", "scikit-image", "opencv-contrib-python-headless", "torch")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared, on which photos, and where the results go."""

    bsds: Path = option(
        help="Folder of BSDS500: images/ and groundTruth/.", type=click.Path(file_okay=False, path_type=Path)
    )
    out: Path = option(
        Path("edgemaps-bench"),
        help="Folder of the results; what was counted before is kept and taken from there.",
        type=click.Path(file_okay=False, path_type=Path),
    )
    split: str = option("test", help="Whose photos: published figures are of test.", type=click.Choice(SPLITS))
    detectors: str | None = option(
        None,
        help=f"Comma-separated names, or one's own as module:function. Default: {DEFAULT_DETECTORS}; "
        "with --predictions, none.",
        metavar="A,B,…",
    )
    weights: tuple[str, ...] = option(
        (),
        help="File of a detector's weights; may be given again, for the same one too.",
        metavar="NAME=FILE",
        multiple=True,
    )
    scales: tuple[str, ...] = option(
        (),
        help="Scales that a network averages over. Default: those of its paper.",
        metavar="NAME=A,B,…",
        multiple=True,
    )
    predictions: tuple[str, ...] = option(
        (),
        help="Folder of edge maps that another program made, PHOTO.png or PHOTO.npy; white is an edge.",
        metavar="[NAME=]DIR",
        multiple=True,
    )
    thin: bool = option(False, help="The maps of --predictions are thin already: no non-maximum suppression.")
    limit: int | None = option(None, help="Take the first photos only.", type=click.IntRange(1))
    # Twice the default changes ODS by less than 0.001, and takes twice the time.
    thresholds: int = option(33, help="Thresholds; the official code takes 99.", type=click.IntRange(1, 254))
    timed: int = option(5, help="Photos on which rates are measured; 0 for none.", type=click.IntRange(0))


def run(config: Config, engine: EngineOptions) -> Comparison | None:
    """Compare the detectors and write the results; None in an unfinished share of a job array.

    Raises:
        ConfigError: The folder is not BSDS500's, or a detector, a file of weights or a folder of maps cannot be used.
        TasksFailedError: Photos, drawings or maps are damaged or of another size; each is named.
    """
    photos = drawn_photos(config.bsds.absolute(), config.split)[: config.limit]
    rows = _rows(config, photos)
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


# ---- what is compared ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table to be: people, a detector, or a folder of edge maps.

    Attributes:
        name: Different for every row.
        detector: The detector's name; None for people and for maps.
        weights: Its file of weights.
        sha256: That file's hash.
        scales: At which a network sees a photo.
        maps: The folder of maps that another program made.
        thin: Whether its edges are one pixel wide by themselves.
        needs: What is missing, so that it cannot be measured.
    """

    name: str
    detector: str | None = None
    weights: str | None = None
    sha256: str | None = None
    scales: tuple[float, ...] = (1.0,)
    maps: str | None = None
    thin: bool = False
    needs: str = ""


def _rows(config: Config, photos: Sequence[DrawnPhoto]) -> list[Row]:
    """Return the rows in the table's order.

    Raises:
        ConfigError: Options contradict each other, or a detector or a map cannot be had.
    """
    chosen = config.detectors if config.detectors is not None else "" if config.predictions else DEFAULT_DETECTORS
    names = list(names_in(chosen))
    weights, scales = _by_name("--weights", config.weights, names), _by_name("--scales", config.scales, names)
    rows = [Row(name=PEOPLE)]
    for name in names:
        seen_at = _scales(scales[name][-1]) if name in scales else PUBLISHED_SCALES.get(name, (1.0,))
        rows += [_detector_row(name, file, seen_at) for file in weights.get(name, [None])]
    rows += [_map_row(text, photos, thin=config.thin) for text in config.predictions]
    twice = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
    if twice:
        raise ConfigError(f"two lines of the table would be named {twice[0]}: rename a file or a folder")
    return rows


def _by_name(flag: str, texts: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of an option NAME=VALUE that may be given again.

    Raises:
        ConfigError: One is not of that form, or names none of the detectors.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (sign and value):
            raise ConfigError(f"{flag} must be NAME=…, such as tin=…, and not {text!r}")
        if name not in names:
            raise ConfigError(f"{flag} {text} is for {name}, which is not among the detectors: {', '.join(names)}")
        found.setdefault(name, []).append(value)
    return found


def _scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, names_in(text) or ("",)))
    except ValueError as error:
        raise ConfigError(f"--scales must be numbers, such as tin=0.5,1,1.5, and not {text!r}") from error


def _detector_row(name: str, file: str | None, scales: tuple[float, ...]) -> Row:
    """Return the row of a detector that can be had, or of one that lacks what a user can add.

    Raises:
        ConfigError: It cannot be had.
    """
    if name in NETWORKS and importlib.util.find_spec("torch") is None:
        return Row(name=name, needs="needs pip install 'sketchdata[train]'")
    if name in WEIGHTED_DETECTORS and file is None:
        return Row(name=name, needs=f"needs --weights {name}=FILE")
    weights = None if file is None else Path(file).absolute()
    if weights is not None and not weights.is_file():
        raise ConfigError(f"--weights {name}={file}: there is no such file")
    row = Row(
        name=name if weights is None else f"{name} {weights.stem}",
        detector=name,
        weights=None if weights is None else str(weights),
        sha256=None if weights is None else hash_file(weights, "sha256"),
        scales=scales,
        thin=name in THIN_DETECTORS,
    )
    _finder(row)
    return row


def _map_row(text: str, photos: Sequence[DrawnPhoto], *, thin: bool) -> Row:
    """Return the row of a folder of maps, [NAME=]DIR.

    Raises:
        ConfigError: There is no such folder, or it lacks maps.
    """
    name, sign, place = text.partition("=")
    folder = Path(place if sign else text).absolute()
    missing = [photo.name for photo in photos if _map_file(folder, photo.name) is None]
    if missing:
        raise ConfigError(
            f"--predictions {folder} lacks the maps of {len(missing):,} of {len(photos):,} photos: "
            f"expected {missing[0]}.png or {missing[0]}.npy, among others"
        )
    return Row(name=name if sign else folder.name, maps=str(folder), thin=thin)


def _map_file(folder: Path, name: str) -> Path | None:
    return next((path for suffix in _MAP_SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)


@functools.lru_cache(maxsize=4)
def _finder(row: Row) -> Detector:
    """Return a row's detector: made once in each process."""
    assert row.detector is not None, "people and maps have none"  # noqa: S101
    weights = None if row.weights is None else Path(row.weights)
    return detector(row.detector, weights, row.sha256, scales=row.scales)


# ---- the stage: one photo by one detector ----------------------------------------------------------------------------


def _tasks(config: Config, rows: Sequence[Row], photos: Sequence[DrawnPhoto]) -> list[Task]:
    """Return a task for each photo and each row that can be measured."""
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


def _output(config: Config, row: Row, photo: DrawnPhoto) -> Path:
    return config.out.absolute() / _COUNTS / re.sub(r"[^\w.-]", "_", row.name) / f"{photo.name}.json"


def _code(row: Row) -> dict[str, str]:
    """Return the hashes of the code that decides a row's counts: detectors are changed while they are compared."""
    files = sorted(Path(boundaries.__path__[0]).glob("*.py"))
    if row.detector:
        own = {row.detector, *_SHARED_BY_DETECTORS}
        files += [path for path in sorted(Path(edges.__path__[0]).iterdir()) if path.stem in own and path.is_file()]
    if row.detector and ":" in row.detector:
        module = importlib.util.find_spec(row.detector.partition(":")[0])
        files += [Path(module.origin)] if module and module.origin else []
    return {f"{path.parent.name}/{path.name}": hash_file(path, "sha256") for path in files}


def score_photo(task: Task) -> TaskResult:
    """Count the pixels of one edge map against the drawings of its photo, at each threshold."""
    row = Row(**{**task.config["row"], "scales": tuple(task.config["row"]["scales"])})
    drawings = read_file(Path(task.config["drawings"]), read_drawings)
    counts = agreement(drawings) if row.name == PEOPLE else _evaluated(_strength(task, row), drawings, task)
    with replacing(task.output) as file:
        file.write(orjson.dumps(counts, option=orjson.OPT_SERIALIZE_NUMPY))
    entry = file_entry(task.output, task.output.parent, len(counts.thresholds))
    return TaskResult(task_id=task.id, files=(entry,), counts={"drawings": len(drawings)}, facts={"row": row.name})


def _strength(task: Task, row: Row) -> Strength:
    if task.config["map"] is None:
        strength = _finder(row)(read_file(Path(task.config["photo"]), decode))
    else:
        strength = read_file(Path(task.config["map"]), read_map)
    return strength if row.thin else ridges(strength)


def _evaluated(strength: Strength, drawings: Sequence[Mask], task: Task) -> Counts:
    if strength.shape != drawings[0].shape:
        found, expected = (f"{shape[1]} × {shape[0]}" for shape in (strength.shape, drawings[0].shape))
        raise SketchDataError(
            f"the edge map is {found}, where the drawings in {task.config['drawings']} are {expected}"
        )
    return evaluate(strength, drawings, task.config["thresholds"])


# ---- the table -------------------------------------------------------------------------------------------------------


def _compare(config: Config, rows: Sequence[Row], photos: Sequence[DrawnPhoto], drawings: int) -> Comparison:
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
        machine=_machine(),
        versions=_versions(),
        lines=(*lines, *(Line(name=other.name, published=other) for other in OTHERS)),
    )


def _line(config: Config, row: Row, photos: Sequence[DrawnPhoto]) -> Line:
    key = row.name if row.weights is None else Path(row.weights).stem
    published = HUMAN if row.name == PEOPLE else None if row.maps else PUBLISHED.get(key)
    if row.needs:
        return Line(name=row.name, needs=row.needs, published=published)
    counts = [_read_counts(_output(config, row, photo)) for photo in photos]
    return Line(
        name=row.name,
        scores=summarise(counts),
        rate=_rate(row, photos[: config.timed]) if row.detector and config.timed else None,
        parameters=_parameters(row),
        scales=row.scales,
        weights_sha256=row.sha256,
        published=published,
    )


def _read_counts(path: Path) -> Counts:
    return Counts(**{name: np.array(values) for name, values in orjson.loads(path.read_bytes()).items()})


def _rate(row: Row, photos: Sequence[DrawnPhoto]) -> float:
    """Return photos a second of one core, by the processor's time: other programs may be at work beside this one."""
    assert row.detector is not None, "people and maps have none"  # noqa: S101
    # Thinned as edge maps of a data set are.
    find, pixels = line_finder(row.detector, _finder(row)), [read_file(photo.photo, decode) for photo in photos]
    with one_opencv_thread():
        # The first call also allocates and initialises.
        find(pixels[0])
        seconds = [_seconds(find, photo) for photo in pixels]
    return 1 / statistics.median(seconds)


def _seconds(find: Detector, photo: Photo) -> float:
    started = time.process_time()
    find(photo)
    return time.process_time() - started


def _parameters(row: Row) -> int | None:
    """Return how many numbers a detector has learned; None where it does not tell."""
    if row.detector in EDGE_DETECTORS:
        return 0
    if row.detector not in NETWORKS:
        return None
    if row.weights:
        # As they were learned: PiDiNet's become larger ones when they are loaded.
        state = importlib.import_module("sketchdata.edges.networks").load_state(Path(row.weights), row.sha256, {})
        return int(sum(values.numel() for values in state.values()))
    module = importlib.import_module(f"sketchdata.edges.{row.detector}")
    return int(sum(values.numel() for values in module.load_network(module.WEIGHTS).parameters()))


def _machine() -> str:
    """Return the name of the processor, and how many cores this process may use."""
    names = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.+)$", names.read_text() if names.is_file() else "", re.MULTILINE)
    return f"{models[0] if models else platform.machine()} ({len(os.sched_getaffinity(0))} cores)"


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
