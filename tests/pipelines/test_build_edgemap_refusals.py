"""What the build of a set of edge maps refuses, in words, and leaves as it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import read_manifest
from tests.audits import flip_a_byte, relist
from tests.commands import sketchdata
from tests.edge_map_builds import build, build_command, curate, decide, stored
from tests.edge_map_sets import EdgeMapSet, make_edge_maps
from tests.trees import tree


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> EdgeMapSet:
    return make_edge_maps(tmp_path_factory.mktemp("edge-maps"), {"apple": 24, "star": 12})


@pytest.fixture
def edges(source: EdgeMapSet, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(source.edges, tmp_path / "edges"))


def shards(edges: Path) -> list[Path]:
    return sorted((edges / "data").glob("*.parquet"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda edges: (edges / "manifest.json").unlink(), "has no manifest.json"),
        (lambda edges: shards(edges)[1].unlink(), "is missing"),
        (lambda edges: flip_a_byte(shards(edges)[1]), "has sha256"),
        (lambda edges: shards(edges)[0].write_bytes(b"PAR1"), "bytes instead of"),
    ],
)
def test_damaged_edge_maps_are_named_and_nothing_is_written(
    damage: Callable[[Path], None], message: str, edges: Path, tmp_path: Path
) -> None:
    damage(edges)
    failed = sketchdata(*build_command(edges, tmp_path / "out", "--workers", 0), expect=1)
    assert message in " ".join(failed.stderr.split())
    assert not (tmp_path / "out").exists()


def test_a_damage_does_not_cost_the_earlier_data_set(edges: Path, tmp_path: Path) -> None:
    build(edges, tmp_path / "out")
    before = tree(tmp_path / "out")
    flip_a_byte(shards(edges)[0])
    with pytest.raises(SketchDataError, match="is damaged"):
        build(edges, tmp_path / "out", seed=5, overwrite=True)
    assert tree(tmp_path / "out") == before


def test_edge_maps_without_an_audit_need_one_or_the_word_to_do_without(edges: Path, tmp_path: Path) -> None:
    line = [word for word in build_command(edges, tmp_path / "out") if word != "--no-curation"]
    failed = " ".join(sketchdata(*line, expect=1).stderr.split())
    assert f"run `sketchdata edgemaps curate {edges}`" in failed
    assert "--no-curation" in failed
    assert not (tmp_path / "out").exists()


def test_an_audit_of_other_edge_maps_is_stale(edges: Path, tmp_path: Path) -> None:
    curate(edges)
    values = orjson.loads((edges / "manifest.json").read_bytes())
    values["config"]["fill"] = 0.8
    (edges / "manifest.json").write_bytes(orjson.dumps(values))
    with pytest.raises(SketchDataError, match="is stale"):
        build(edges, tmp_path / "out", no_curation=False)


def test_a_damaged_audit_is_refused(edges: Path, tmp_path: Path) -> None:
    curate(edges)
    flip_a_byte(edges / "audit" / "messiness.parquet")
    with pytest.raises(SketchDataError, match="is not the file that"):
        build(edges, tmp_path / "out", no_curation=False)


def test_dropping_every_map_leaves_nothing_to_build(edges: Path, tmp_path: Path) -> None:
    curate(edges)
    decide(edges, "drop", *(row["key_id"] for row in stored(edges)))
    said = rf"none would be left: .*{len(stored(edges))} dropped by curators \(the first at key_id \d+"
    with pytest.raises(SketchDataError, match=said):
        build(edges, tmp_path / "out", no_curation=False)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_new_decisions_make_another_data_set(edges: Path, tmp_path: Path) -> None:
    curate(edges)
    build(edges, tmp_path / "out", no_curation=False)
    before = tree(tmp_path / "out")
    decide(edges, "drop", stored(edges)[0]["key_id"])
    with pytest.raises(ConfigError, match="other options"):
        build(edges, tmp_path / "out", no_curation=False)
    assert tree(tmp_path / "out") == before
    build(edges, tmp_path / "out", no_curation=False, overwrite=True)
    build(edges, tmp_path / "fresh", no_curation=False)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_crops_are_no_edge_maps(source: EdgeMapSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="edge maps were expected"):
        build(source.crops, tmp_path / "out")


def test_a_built_set_is_no_folder_of_edge_maps(source: EdgeMapSet, tmp_path: Path) -> None:
    build(source.edges, tmp_path / "out")
    with pytest.raises(SketchDataError, match="no Parquet shards"):
        build(tmp_path / "out", tmp_path / "again")


def test_a_word_that_is_not_its_labels_is_refused(edges: Path, tmp_path: Path) -> None:
    values = orjson.loads((edges / "manifest.json").read_bytes())
    values["classes"][8], values["classes"][9] = values["classes"][9], values["classes"][8]
    (edges / "manifest.json").write_bytes(orjson.dumps(values))
    with pytest.raises(SketchDataError, match="not so in the class table"):
        build(edges, tmp_path / "out")


def test_a_map_that_stands_twice_is_refused(edges: Path, tmp_path: Path) -> None:
    first, second = shards(edges)[:2]
    rows = read_manifest(edges).files
    records = next(file.records for file in rows if file.path.endswith(first.name))
    shutil.copyfile(first, second)
    relist(edges, second.relative_to(edges).as_posix(), records)
    with pytest.raises(SketchDataError, match="twice"):
        build(edges, tmp_path / "out")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["notes.txt", "shards/train-000000.tar", "data/all-00000-of-00001.parquet"])
def test_a_folder_of_something_else_is_refused_and_kept(
    name: str, overwrite: bool, source: EdgeMapSet, tmp_path: Path
) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"someone's")
    with pytest.raises(ConfigError, match="not empty, it holds"):
        build(source.edges, tmp_path / "out", overwrite=overwrite)
    assert tree(tmp_path / "out") == {name: b"someone's"}


def test_another_data_set_is_never_overwritten(source: EdgeMapSet, edges: Path) -> None:
    before = tree(edges)
    with pytest.raises(ConfigError, match="expected: EdgeMap-345C"):
        build(source.edges, edges, overwrite=True)
    with pytest.raises(ConfigError, match="cannot lie in the data set"):
        build(edges, edges / "out")
    assert tree(edges) == before


def test_other_options_need_overwrite(source: EdgeMapSet, tmp_path: Path) -> None:
    build(source.edges, tmp_path / "out")
    with pytest.raises(ConfigError, match="other options"):
        build(source.edges, tmp_path / "out", seed=1)
    build(source.edges, tmp_path / "out", seed=1, overwrite=True)
    build(source.edges, tmp_path / "fresh", seed=1)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--val-share", "1.5"), "--val-share must be a number from 0 to 1"),
        (("--val-share", "a tenth"), "--val-share must be a number from 0 to 1"),
        (("--val-share", "1/0"), "--val-share must be a number from 0 to 1"),
        (("--no-noise",), "give either it or --no-noise"),
    ],
)
def test_options_that_cannot_work_are_explained(
    options: tuple[str, ...], message: str, source: EdgeMapSet, tmp_path: Path
) -> None:
    failed = sketchdata(*build_command(source.edges, tmp_path / "out", *options), expect=1)
    assert message in " ".join(failed.stderr.split())
    assert not (tmp_path / "out").exists()
