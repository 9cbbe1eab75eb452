"""A build may be stopped at any moment, in any way, and the same command resumes from there to the same bytes."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from sketchdata.errors import SketchDataError
from sketchdata.storage.catalog import manifest_path, read_classes
from tests.commands import sketchdata, sketchdata_process, start, stop
from tests.quickdraw_builds import build, build_command, generate, source_file
from tests.trees import tree, tree_sha256

#: Appears when the first category is selected.
FIRST_MARKER = ".build/select/aircraft carrier.arrow.done.json"


@pytest.fixture(scope="module")
def many() -> list[str]:
    """Enough categories that a build can be stopped midway."""
    return list(read_classes(manifest_path("quickdraw-categories.txt"))[:16])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, many: list[str]) -> Path:
    return generate(tmp_path_factory.mktemp("resume") / "source", many, drawings=400)


@pytest.fixture(scope="module")
def undisturbed(source: Path, many: list[str]) -> str:
    """The tree's hash."""
    build(source, source.parent / "out", categories=",".join(many))
    return tree_sha256(source.parent / "out")


@pytest.mark.slow
def test_killed_midway_it_ends_with_the_same_tree(
    source: Path, many: list[str], undisturbed: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = build_command(source, out, "--workers", 2, categories=many)
    process = start(*command)
    stop(process, signal.SIGKILL, (out / FIRST_MARKER).exists)
    assert process.returncode == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    sketchdata_process(*command)
    assert tree_sha256(out) == undisturbed


@pytest.mark.slow
def test_the_killed_commands_workers_do_not_outlive_it(source: Path, many: list[str], tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    process = start(*build_command(source, tmp_path / "out", "--workers", 2, categories=many))
    while not (tmp_path / "out" / FIRST_MARKER).exists():
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()  # the command alone, not its group
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


@pytest.mark.slow
@pytest.mark.parametrize("moment", [".build", FIRST_MARKER, "data/train-00000-of-00001.parquet"])
def test_ctrl_c_says_so_in_words_and_the_same_command_goes_on(
    source: Path, many: list[str], undisturbed: str, tmp_path: Path, moment: str
) -> None:
    out = tmp_path / "out"
    process = start(*build_command(source, out, "--workers", 2, categories=many))
    printed = stop(process, signal.SIGINT, (out / moment).exists)
    if process.returncode != 0:  # it may have come to its end just before
        assert process.returncode == 130
        assert "the same command resumes" in printed
        assert not (out / "manifest.json").exists()
    else:
        assert moment.startswith("data/")
    sketchdata(*build_command(source, out, "--workers", 2, categories=many))
    assert tree_sha256(out) == undisturbed


def test_finished_categories_are_not_read_again(source: Path, many: list[str], tmp_path: Path) -> None:
    words = many[:4]
    lines = source_file(source, words[3]).read_bytes().splitlines(keepends=True)
    moved = tmp_path / "source"
    shutil.copytree(source, moved)
    source_file(moved, words[3]).write_bytes(b"".join(lines[:50]))
    with pytest.raises(SketchDataError, match="too few"):
        build(moved, tmp_path / "out", categories=",".join(words))
    markers = sorted((tmp_path / "out" / ".build" / "select").glob("*.arrow"))
    before = {path.name: path.stat().st_mtime_ns for path in markers}
    assert len(before) == 4
    with pytest.raises(SketchDataError, match="too few"):
        build(moved, tmp_path / "out", categories=",".join(words))
    assert {path.name: path.stat().st_mtime_ns for path in markers} == before
    source_file(moved, words[3]).write_bytes(b"".join(lines))
    build(moved, tmp_path / "out", categories=",".join(words))
    build(source, tmp_path / "afresh", categories=",".join(words))
    assert tree_sha256(tmp_path / "out") == tree_sha256(tmp_path / "afresh")


@pytest.mark.parametrize(
    "leftover",
    [
        ".manifest.json.4711.tmp",
        ".rejects.jsonl.4711.tmp",
        ".README.md.4711.tmp",
        "rejects.jsonl",
        "data/.train-00000-of-00001.parquet.4711.tmp",
        "data/train-00001-of-00002.parquet",
        "key_ids/.val.txt.4711.tmp",
        ".build/select/.cat.arrow.4711.tmp",
        ".build/select/cat.arrow",
        ".build/select/cat.arrow.done.json",
    ],
)
def test_whatever_a_kill_leaves_is_gone_in_the_end(
    source: Path, many: list[str], tmp_path: Path, leftover: str
) -> None:
    words = ",".join(many[:2])
    build(source, tmp_path / "afresh", categories=words)
    path = tmp_path / "out" / leftover
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half-writ")
    build(source, tmp_path / "out", categories=words)
    assert tree(tmp_path / "out") == tree(tmp_path / "afresh")


def test_a_damaged_intermediate_file_is_made_again(source: Path, many: list[str], tmp_path: Path) -> None:
    words = ",".join(many[:2])
    build(source, tmp_path / "afresh", categories=words)
    with pytest.raises(SketchDataError, match="too few"):
        build(source, tmp_path / "out", categories=words, train=1000)
    [arrow, *_] = (tmp_path / "out" / ".build" / "select").glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:1000])
    build(source, tmp_path / "out", categories=words)
    assert tree(tmp_path / "out") == tree(tmp_path / "afresh")


def test_options_may_change_after_an_unfinished_build(source: Path, many: list[str], tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match="too few"):
        build(source, tmp_path / "out", categories=",".join(many[:3]), train=1000, seed=3)
    build(source, tmp_path / "out", categories=",".join(many[1:4]))
    build(source, tmp_path / "afresh", categories=",".join(many[1:4]))
    assert tree_sha256(tmp_path / "out") == tree_sha256(tmp_path / "afresh")


def test_a_source_file_that_changed_is_read_again(source: Path, many: list[str], tmp_path: Path) -> None:
    words = many[:2]
    moved = tmp_path / "source"
    shutil.copytree(source, moved)
    with pytest.raises(SketchDataError, match="too few"):
        build(moved, tmp_path / "out", categories=",".join(words), train=1000)
    lines = source_file(moved, words[0]).read_bytes().splitlines(keepends=True)
    source_file(moved, words[0]).write_bytes(b"".join(lines[50:]))
    build(moved, tmp_path / "out", categories=",".join(words))
    build(moved, tmp_path / "afresh", categories=",".join(words))
    assert tree_sha256(tmp_path / "out") == tree_sha256(tmp_path / "afresh")
