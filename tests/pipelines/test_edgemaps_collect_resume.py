"""Collecting may be stopped at any moment, in any way, and the same command resumes to the same collection."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sketchdata.photos.collection import read_collection
from tests.commands import stop
from tests.labelled_folders import EPOCH, command, run, url_list, voc_folder
from tests.photo_servers import PhotoServer
from tests.photos.photo_apis import ApiServer, openverse, openverse_photo
from tests.trees import tree

pytest.importorskip("scrapy")

#: Of photos of about 2,000 bytes, so that the crawl takes a second or two.
_BYTES_A_SECOND = 8_000


@pytest.fixture(scope="module")
def server() -> Iterator[PhotoServer]:
    with PhotoServer() as running:
        for number in range(12):
            running.answer(f"/{number}.jpg", rate=_BYTES_A_SECOND)
        running.answer("/gone.jpg", status=404)
        running.answer("/wish.jpg", headers=(("X-Robots-Tag", "noai"),))
        yield running


@pytest.fixture(scope="module")
def api(server: PhotoServer) -> Iterator[ApiServer]:
    found = [openverse_photo(number, url=server.url(f"/found-{number}.jpg")) for number in range(4)]
    with ApiServer(openverse(found)) as running:
        yield running


@pytest.fixture(scope="module")
def sources(server: PhotoServer, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The options of a collection from a folder, a list and a search."""
    folder = tmp_path_factory.mktemp("sources")
    names = [*(f"/{number}.jpg" for number in range(12)), "/gone.jpg", "/wish.jpg"]
    listed = url_list(folder / "list.csv", server, names)
    local = voc_folder(folder / "raccoons", photos=16)
    search = ["--openverse", "--categories", "cat,raccoon"]
    return ["--voc", local, "--urls", listed, *search, "--workers", 0, "--fetch-retries", 0]


def start(out: Path, sources: list[object], api: ApiServer) -> subprocess.Popen[str]:
    """Start the command as the leader of its own process group, as a shell does."""
    return subprocess.Popen(
        command("--out", out, *sources),
        env={**os.environ, **EPOCH, "OPENVERSE_API": api.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def listed(out: Path) -> dict[str, bytes]:
    """Return the manifest, what it lists and the photos: all that a collection is, without what a retry would need."""
    collection = read_collection(out)
    names = {entry.path for entry in collection.manifest.files} | {"manifest.json"}
    paths = {path for path in collection.photos.column("path").to_pylist() if path is not None}
    return {name: content for name, content in tree(out).items() if name in names | paths}


def files_of_photos(out: Path) -> set[str]:
    return {name for name in tree(out) if name.startswith("photos/")}


@pytest.fixture(scope="module")
def undisturbed(sources: list[object], api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The collection."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    done = run("--out", out, *sources, OPENVERSE_API=api.url)
    assert done.returncode == 0, done.stderr
    counts = read_collection(out).manifest.counts["all"]
    assert (counts["raccoon"], counts["cat"]) == (16 + 4, 14 + 4)
    return listed(out)


@pytest.mark.slow
def test_killed_midway_it_ends_with_the_same_collection(
    sources: list[object], api: ApiServer, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(out, sources, api)
    stop(process, signal.SIGKILL, (out / ".collect/outcomes.jsonl").exists)
    assert process.returncode == -signal.SIGKILL
    done = run("--out", out, *sources, OPENVERSE_API=api.url)
    assert done.returncode == 0, done.stderr
    assert listed(out) == undisturbed
    assert files_of_photos(out) == {name for name in undisturbed if name.startswith("photos/")}


@pytest.mark.slow
@pytest.mark.parametrize("moment", [".collect/import", ".collect/outcomes.jsonl"])
def test_ctrl_c_exits_130_in_words_and_the_same_command_goes_on(
    sources: list[object], api: ApiServer, undisturbed: dict[str, bytes], tmp_path: Path, moment: str
) -> None:
    out = tmp_path / "out"
    process = start(out, sources, api)
    printed = stop(process, signal.SIGINT, (out / moment).exists)
    assert process.returncode == 130, printed
    assert not (out / "manifest.json").exists()
    assert run("--out", out, *sources, OPENVERSE_API=api.url).returncode == 0
    assert listed(out) == undisturbed


@pytest.mark.slow
def test_nothing_outlives_a_killed_command(sources: list[object], api: ApiServer, tmp_path: Path) -> None:
    process = start(tmp_path / "out", sources, api)
    while process.poll() is None and not (tmp_path / "out" / ".collect" / "outcomes.jsonl").exists():
        time.sleep(0.005)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()  # the command alone, not its group
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
