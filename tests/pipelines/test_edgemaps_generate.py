"""Generating photos: the same bytes for the same options, never mistaken for real ones, and the start of the chain."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from sketchdata.edges.dataset import open_edgemaps
from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError
from sketchdata.pipelines import edgemaps_crop, edgemaps_curate, edgemaps_extract, edgemaps_generate
from tests.commands import sketchdata, start, stop
from tests.edge_map_builds import build
from tests.labelled_folders import collect
from tests.trees import tree

IN_PROCESS = EngineOptions(workers=0)
#: In the order of the class table. One has a space.
WORDS = ("aircraft carrier", "house", "star")
PHOTOS = 5


def generate(
    out: Path, *words: str, engine: EngineOptions = IN_PROCESS, **options: Any
) -> edgemaps_generate.GeneratedPhotos:
    """Generate in this process, small photos of all three classes unless some are named."""
    settings = {"photos": PHOTOS, "size": 64, "categories": ",".join(words or WORDS), **options}
    generated = edgemaps_generate.run(edgemaps_generate.Config(out=out, **settings), engine)
    assert generated is not None
    return generated


def photos(out: Path) -> dict[str, bytes]:
    """Return the files that are photos."""
    return {name: content for name, content in tree(out).items() if name.endswith(".jpg")}


@pytest.mark.slow
def test_workers_give_the_same_files_as_none(tmp_path: Path) -> None:
    generate(tmp_path / "one")
    generated = generate(tmp_path / "two", engine=EngineOptions(workers=2))
    made = photos(tmp_path / "two")
    assert made == photos(tmp_path / "one")
    assert sorted(made) == [f"{word}/{index:04}.jpg" for word in WORDS for index in range(PHOTOS)]
    assert len(set(made.values())) == len(made)
    assert generated == edgemaps_generate.GeneratedPhotos(
        classes=3, photos=len(made), bytes=sum(len(content) for content in made.values())
    )


def test_a_class_does_not_depend_on_the_others(tmp_path: Path) -> None:
    generate(tmp_path / "all")
    generate(tmp_path / "one", "star")
    assert photos(tmp_path / "one").items() <= photos(tmp_path / "all").items()
    assert {name.partition("/")[0] for name in photos(tmp_path / "one")} == {"star"}


def test_another_seed_gives_other_photos(tmp_path: Path) -> None:
    generate(tmp_path / "one", "star")
    generate(tmp_path / "two", "star", seed=1)
    assert not set(photos(tmp_path / "one").values()) & set(photos(tmp_path / "two").values())


def test_more_photos_begin_with_the_same_ones_and_fewer_leave_none_behind(tmp_path: Path) -> None:
    generate(tmp_path, "star")
    few = photos(tmp_path)
    generate(tmp_path, "star", photos=8)
    assert few.items() < photos(tmp_path).items()
    assert len(photos(tmp_path)) == 8
    generate(tmp_path, "star")
    assert photos(tmp_path) == few


def test_a_note_says_that_the_photos_are_generated(tmp_path: Path) -> None:
    generate(tmp_path, "star")
    note = (tmp_path / "GENERATED.txt").read_text()
    assert "generated" in note
    assert "show nothing real" in note


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "star").mkdir()
    (tmp_path / "star" / "mine.jpg").write_bytes(b"real, perhaps")
    with pytest.raises(ConfigError, match="not made by"):
        generate(tmp_path)
    assert tree(tmp_path) == {"star/mine.jpg": b"real, perhaps"}


def test_a_wrong_category_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean star"):
        generate(tmp_path / "out", "sttar")
    assert not (tmp_path / "out").exists()


def test_a_second_call_writes_only_what_is_damaged(tmp_path: Path) -> None:
    generate(tmp_path)
    before = photos(tmp_path)
    whole, cut = tmp_path / "house" / "0000.jpg", tmp_path / "star" / "0002.jpg"
    written = whole.stat().st_mtime_ns
    cut.write_bytes(cut.read_bytes()[:100])
    generate(tmp_path)
    assert photos(tmp_path) == before
    assert whole.stat().st_mtime_ns == written


@pytest.mark.slow
def test_killed_it_goes_on_and_ends_with_the_same_photos(tmp_path: Path) -> None:
    generate(tmp_path / "undisturbed", photos=40, size=96)
    options = ["--photos", "40", "--size", "96", "--categories", ",".join(WORDS), "--workers", "1"]
    process = start("edgemaps", "generate", "--out", tmp_path / "out", *options)
    stop(process, signal.SIGKILL, (tmp_path / "out" / "house" / "0005.jpg").exists)
    assert 40 < len(photos(tmp_path / "out")) < 120
    first = (tmp_path / "out" / "aircraft carrier" / "0000.jpg").stat().st_mtime_ns
    sketchdata("edgemaps", "generate", "--out", tmp_path / "out", *options)
    assert photos(tmp_path / "out") == photos(tmp_path / "undisturbed")
    assert (tmp_path / "out" / "aircraft carrier" / "0000.jpg").stat().st_mtime_ns == first
    assert not list((tmp_path / "out").rglob("*.tmp"))


@pytest.mark.slow
def test_the_chain_makes_edge_maps_of_them(tmp_path: Path) -> None:
    many = 16
    generate(tmp_path / "generated", photos=many, size=128)
    collected = collect(tmp_path / "photos", folders=tmp_path / "generated")
    assert collected.counts["photos"]["ok"] == 3 * many
    assert not collected.unmatched
    crops, edges = tmp_path / "crops", tmp_path / "edges"
    edgemaps_crop.run(tmp_path / "photos", edgemaps_crop.Config(out=crops), IN_PROCESS)
    edgemaps_extract.run(crops, edgemaps_extract.Config(out=edges), IN_PROCESS)
    edgemaps_curate.run(edges, edgemaps_curate.Config(), IN_PROCESS)
    manifest = build(edges, tmp_path / "edgemap", no_curation=False)
    made = {word: sum(counts[word] for counts in manifest.counts.values()) for word in WORDS}
    # Of the others, the audit takes the tenth that is messiest.
    assert all(many * 0.7 < count <= many for count in made.values()), made
    maps = open_edgemaps(tmp_path / "edgemap")
    inked = [(batch.images < 255).mean() for batch in maps.batches("train", batch_size=8, seed=0)]
    assert all(0.005 < share < 0.2 for share in inked), inked


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    done = sketchdata(
        "edgemaps", "generate", "--out", tmp_path / "g", "--categories", "star,cat", "--photos", 3, "--workers", 0
    )
    assert "6 generated photos of 2 classes" in done.stdout
    assert "show nothing real" in done.stdout
    assert f"sketchdata edgemaps collect --folders {tmp_path / 'g'}" in done.stdout


@pytest.mark.parametrize(
    ("more", "exit_code", "message"),
    [
        (["--categories", "sttar"], 1, "did you mean star"),
        (["--photos", 0], 2, "--photos"),
        (["--size", 63], 2, "--size"),
        (["--seed", 2**64], 2, "--seed"),
    ],
)
def test_wrong_options_are_refused_in_words(tmp_path: Path, more: list[object], exit_code: int, message: str) -> None:
    failed = sketchdata("edgemaps", "generate", "--out", tmp_path / "g", *more, expect=exit_code)
    assert message in failed.stderr
