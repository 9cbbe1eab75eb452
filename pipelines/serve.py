"""Serve the draw-to-search page of an index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sketchdata.config import option
from sketchdata.errors import ConfigError, needs_extra
from sketchdata.retrieval.index import open_index
from sketchdata.retrieval.vector_index import is_vector_index, open_vector_index
from sketchdata.storage.manifest import read_manifest

if TYPE_CHECKING:
    from sketchdata.web.finder import Finder


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: network, address, and content of the page."""

    run: Path = option(
        help="Folder of the training whose network made the index.",
        record=False,
        type=click.Path(file_okay=False, path_type=Path),
    )
    port: int = option(8766, help="Port; 0 is any free one.", record=False, type=click.IntRange(0, 65535))
    browser: bool = option(
        True, help="Show the page in a browser.", record=False, param_decls=["--browser/--no-browser"]
    )
    k: int = option(
        24, help="Number of results to show.", record=False, param_decls=["-k"], type=click.IntRange(1, 200)
    )
    data: Path | None = option(
        None,
        help="Data set that the index was made from, for pictures of the results. Default: the training's data set.",
        record=False,
        type=click.Path(file_okay=False, path_type=Path),
    )
    device: str = option("cpu", help="Device that encodes drawings: auto, cpu, cuda, cuda:1.", record=False)


def run(directory: Path, config: Config, announce: Callable[[dict[str, Any]], None]) -> None:
    """Serve the page until Ctrl-C; `announce` is called with `address`, `nouns` and `count` when it is ready.

    Raises:
        ConfigError: The extra `web` is not installed, the port is in use, or index, run and data set do not fit.
        SketchDataError: One of them is missing or damaged.
    """
    with needs_extra("the draw-to-search page", "web"):
        from sketchdata.web.search_server import serve
    serve(
        lambda: open_finder(directory, config),
        k=config.k,
        port=config.port,
        announce=announce,
        open_browser=config.browser,
    )


def open_finder(directory: Path, config: Config) -> Finder:
    """Read the index, the network and the data of the page.

    Raises:
        ConfigError: They do not fit each other, or torch is not installed.
        SketchDataError: One of them is missing or damaged.
    """
    with needs_extra("encoding drawings", "train"):
        from sketchdata.training.distributed import device_of
        from sketchdata.training.run_folder import read_record
        from sketchdata.web.finder import DrawingFinder, PhotoFinder
    device, data = str(device_of(config.device)), config.data
    if data is None:
        recorded = read_record(config.run).get("data")
        if recorded is None or not Path(recorded).is_dir():
            raise ConfigError("give the data set that the index was made from with --data: its pictures are shown")
        data = Path(recorded)
    if is_vector_index(read_manifest(directory)):
        return PhotoFinder(open_vector_index(directory), config.run, data, device=device)
    index = open_index(directory)
    return (PhotoFinder if index.of_photos else DrawingFinder)(index, config.run, data, device=device)
