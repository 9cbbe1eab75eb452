"""Convert crops to edge maps: detect edges, thin them to lines one pixel wide, centre them, draw ink on paper.

One stage: `extract_shard` makes a shard of edge maps from a shard of crops, with the same key_ids and provenance. Crops
without an edge map are counted, and listed with key_id and reason.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import click
import cv2
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from sketchdata import __version__
from sketchdata.config import FOLDER, option, recorded
from sketchdata.edges import Detector, centre, detector, detector_names, line_finder
from sketchdata.engine import EngineOptions, Task, TaskResult, run_final
from sketchdata.engine.output_folder import OutputFolder, publish
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.formats.files import FaultCounts
from sketchdata.names import names_in
from sketchdata.photos.image import decode
from sketchdata.progress import console, one_opencv_thread
from sketchdata.storage import pictures
from sketchdata.storage.cards import fill, picture_card_head, reject_rows
from sketchdata.storage.dataset import open_parent
from sketchdata.storage.fetch import download
from sketchdata.storage.manifest import AUDIT_FOLDER, SCHEMA_VERSION, Manifest, file_entry, hash_file

NAME = "edgemap-edges"
REJECTS_FILE = "rejects.jsonl"
#: zlib level; for lines on paper, higher levels take longer and save little.
_PNG_LEVEL = 3


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: detection, drawing, and output folder."""

    out: Path = option(help="Folder of the edge maps.", record=False, type=FOLDER)
    detector: str = option(
        "canny", help=f"One of {', '.join(detector_names())}, or your own as module:function.", metavar="NAME"
    )
    weights: str | None = option(
        None,
        help="File of weights, for structured, tin and pidinet, or your own for learned; or its address, with "
        "--weights-sha256: it is fetched once.",
        record=False,
        metavar="FILE|URL",
    )
    weights_sha256: str | None = option(
        None, help="Expected sha256 of the weights; not needed for published weights of tin and pidinet.", metavar="HEX"
    )
    scales: str = option(
        "1", help="Comma-separated scales of the photo; the network's outputs are averaged.", metavar="A,B,…"
    )
    device: str = option("cpu", help="Device of the network: cpu, cuda, cuda:1.", metavar="DEVICE")
    size: int = option(224, help="Side of an edge map in pixels.", type=click.IntRange(8, 4096))
    fill: float = option(
        0.9, help="Length of the edges' longer side, as a share of --size.", type=click.FloatRange(0, 1, min_open=True)
    )
    ink: str = option(
        "black", help="Colour of the edges: black on white, or white on black.", type=click.Choice(["black", "white"])
    )
    channels: int = option(
        3, help="Channels of an edge map: 3, all equal, or 1.", type=click.IntRange(1, 3), metavar="1|3"
    )
    threshold: int | None = option(
        None,
        help="Minimum strength of an edge that is drawn, 1 to 255. Default: 13 (5 %); canny has two of its own.",
        type=click.IntRange(1, 255),
    )
    overwrite: bool = option(False, help="Replace other edge maps in the folder.", record=False)

    def scale_values(self) -> tuple[float, ...]:
        """Return the scales as numbers.

        Raises:
            ConfigError: A value is invalid.
        """
        try:
            return tuple(map(float, names_in(self.scales) or ("",)))
        except ValueError as error:
            raise ConfigError(f"--scales must be numbers, such as 0.5,1,2, and not {self.scales!r}") from error


def run(directory: Path, config: Config, engine: EngineOptions) -> Manifest | None:
    """Extract edge maps from an output of `sketchdata edgemaps crop`; None in an unfinished share of a job array.

    Raises:
        SketchDataError: Crops are missing or damaged, no crop has edges, or tasks failed.
        ConfigError: The detector is not available, options contradict each other, or the folder is not empty.
    """
    if config.channels not in (1, 3):
        raise ConfigError(f"--channels must be 1 or 3, not {config.channels}")
    # Workers on other machines can have other working directories.
    directory = directory.absolute()
    parent = open_parent(directory, None, config.out)
    if tuple(parent.manifest.counts) != (pictures.UNDIVIDED,) or "detector" in parent.manifest.config:
        raise ConfigError(
            f"{directory} holds {parent.manifest.name}, and crops of photos were expected: give the folder that "
            "`sketchdata edgemaps crop` made"
        )
    weights = local_weights(config)
    # The hash of the file at the beginning of the run, whether or not the user gave one.
    sha256 = None if weights is None else hash_file(weights, "sha256")
    plan = Manifest(
        name=NAME,
        config={**recorded(config), "weights_sha256": sha256},
        classes=parent.manifest.classes,
        counts={},
        rejects={},
        sources=parent.manifest.sources,
        files=(),
        parent=parent.entry,
    )
    names = frozenset({"data", REJECTS_FILE})
    folder = OutputFolder(out=config.out.absolute(), plan=plan, names=names, noun="set of edge maps")

    def check() -> None:
        detector(config.detector, weights, config.weights_sha256, scales=config.scale_values(), device=config.device)
        if config.overwrite and (folder.out / AUDIT_FOLDER).exists():
            raise ConfigError(
                f"{folder.out / AUDIT_FOLDER} holds the curation of the edge maps that are there: move it away first, "
                "or choose another --out"
            )

    if (finished := folder.begin(overwrite=config.overwrite, check=check)) is not None:
        return finished
    settings = {
        "detector": {
            "name": config.detector,
            "weights": None if weights is None else str(weights),
            "sha256": sha256,
            "scales": config.scale_values(),
            "device": config.device,
            "threshold": config.threshold,
        },
        "picture": {name: plan.config[name] for name in ("size", "fill", "ink", "channels")},
        "classes": list(plan.classes),
        "facts": {"name": NAME, "version": SCHEMA_VERSION, "tool": __version__},
    }
    tasks = [
        Task(
            id=shard.path,
            output=folder.out / shard.path,
            inputs={shard.path: shard.sha256},
            config={
                **settings,
                "shard": str(parent.directory / shard.path),
                "sha256": shard.sha256,
                "written": str(folder.work / shard.path),
            },
            markers=folder.work / "done",
        )
        for shard in parent.manifest.shards(pictures.UNDIVIDED)
    ]
    if (results := run_final(extract_shard, tasks, engine, title="Extracting edges")) is None:
        return None
    return _finish(folder, results)


def local_weights(config: Config) -> Path | None:
    """Return the weights file, fetched into the user's cache if it is given by an address.

    Raises:
        ConfigError: The address has no hash, the file does not exist, or its hash differs.
        FetchError: It cannot be fetched.
    """
    if config.weights is None:
        if config.weights_sha256 is not None:
            raise ConfigError("--weights-sha256 is the hash of --weights, which is not given")
        return None
    if not config.weights.startswith(("https://", "http://")):
        path = Path(config.weights).absolute()
        if not path.is_file():
            raise ConfigError(f"--weights {path}: the file does not exist")
        return path
    if config.weights_sha256 is None:
        raise ConfigError(f"--weights {config.weights} is an address: say with --weights-sha256 which file is expected")
    # Stored under its hash, independent of the server. Source: XDG Base Directory Specification 0.8.
    url, sha256, given = config.weights, config.weights_sha256.lower(), os.environ.get("XDG_CACHE_HOME", "")
    name = PurePosixPath(urlsplit(url).path).name or "weights"
    cache = Path(given) if given.startswith("/") else Path.home() / ".cache"
    path = cache / "sketchdata" / "weights" / sha256 / name
    if not path.is_file():
        console.print(f"fetching {name} to {path.parent}", soft_wrap=True, highlight=False)
        download(url, path)
    if (found := hash_file(path, "sha256")) != sha256:
        path.unlink()
        raise ConfigError(f"{url} has sha256 {found} where {sha256} was expected, so it was thrown away")
    return path


def extract_shard(task: Task) -> TaskResult:
    """Extract the edge maps of a shard of crops, in the order of its rows; crops without edges are listed."""
    find = _line_finder(**task.config["detector"])
    tables, rejects = [pictures.schema().empty_table()], []
    with one_opencv_thread():
        for crops in pictures.read_shard(Path(task.config["shard"]), task.config["sha256"]):
            made: dict[int, bytes] = {}
            for row, content in enumerate(pictures.image_bytes(crops)):
                try:
                    made[row] = png(centre(find(decode(content)), **task.config["picture"]))
                except FormatError as error:
                    told = {name: str(crops.column(name)[row]) for name in ("key_id", "word")}
                    rejects.append({**told, "reason": error.reason, "detail": error.detail})
            kept = crops.take(pa.array(list(made), pa.int64()))
            columns = {name: kept.column(name) for name in kept.column_names}
            side = np.full(len(made), task.config["picture"]["size"], np.uint16)
            columns |= {"image": list(made.values()), "width": side, "height": side}
            tables.append(pictures.to_table(columns, task.config["classes"]))
    table, written = pa.concat_tables(tables), Path(task.config["written"])
    pictures.write_shard(written, table, task.config["facts"])
    publish(written, task.output)
    return TaskResult(
        task_id=task.id,
        files=(file_entry(task.output, task.output.parent, table.num_rows),),
        counts=dict(Counter(table.column("word").to_pylist())),
        rejects=dict(Counter(reject["reason"] for reject in rejects)),
        facts={"rejects": rejects},
    )


@lru_cache(maxsize=1)
def _line_finder(
    *, name: str, weights: str | None, sha256: str | None, scales: Sequence[float], device: str, threshold: int | None
) -> Detector:
    # Loaded once per worker, since some take seconds to load.
    find = detector(name, None if weights is None else Path(weights), sha256, scales=scales, device=device)
    return line_finder(name, find, threshold)


def png(edges: npt.NDArray[np.uint8]) -> bytes:
    """Encode (H, W) uint8, or (H, W, 3) uint8 with equal channels, as PNG."""
    encoded, content = cv2.imencode(".png", edges, (cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL))
    if not encoded:
        raise SketchDataError(f"OpenCV cannot encode an edge map of {edges.shape} as PNG")
    return content.tobytes()


def _finish(folder: OutputFolder, results: Sequence[TaskResult]) -> Manifest:
    listed = [reject for result in results for reject in result.facts["rejects"]]
    lines = b"".join(orjson.dumps(reject, option=orjson.OPT_APPEND_NEWLINE) for reject in listed)
    rejects = folder.put(REJECTS_FILE, lines, len(listed))
    reasons = dict(sorted(Counter(reject["reason"] for reject in listed).items()))
    found = sum((Counter(result.counts) for result in results), Counter[str]())
    if not found:
        told = FaultCounts.of_lines(listed)
        raise SketchDataError(f"no crop gives an edge map: {told}; {folder.out / REJECTS_FILE} lists them")
    counts = {pictures.UNDIVIDED: {word: found[word] for word in folder.plan.classes}}
    shards = [dataclasses.replace(file, path=result.task_id) for result in results for file in result.files]
    return folder.finish([*shards, rejects], _card, counts=counts, rejects=reasons)


def _card(manifest: Manifest) -> str:
    config = manifest.config
    weights = f" with the weights of sha256\n`{config['weights_sha256']}`" if config["weights_sha256"] else ""
    values = {
        "head": picture_card_head(manifest, "edge maps"),
        "weights": weights,
        "fill": f"{config['fill']:g}",
        "channels": "three equal channels" if config["channels"] == 3 else "one channel",
        "ground": {"black": "white", "white": "black"}[config["ink"]],
        "rejected": f"{sum(manifest.rejects.values()):,}",
        "reject_rows": reject_rows(manifest),
    }
    return fill("edges", {**config, **values})
