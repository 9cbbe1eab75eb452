"""The build of QuickDraw-3.8M: which drawings go where, in which order, and what the options do."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from sketchdata.drawings.sampling import SPLITS
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage import parquet
from sketchdata.storage.manifest import read_manifest
from tests.commands import sketchdata
from tests.quickdraw_builds import (
    CATEGORIES,
    LINES,
    SIZES,
    WANTED,
    build,
    build_command,
    generate,
    key_ids,
    key_ids_in,
    key_ids_of_class,
    labels,
    lines_of,
    plain_rank,
    plain_splitmix64,
    plain_splits,
    source_file,
    write_lines,
)
from tests.servers import BucketServer
from tests.trees import tree, tree_sha256


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("build") / "source")


@pytest.fixture(scope="module")
def built(source: Path) -> Path:
    """The data set that the others are compared with; not to be changed."""
    build(source, source.parent / "out")
    return source.parent / "out"


# ---- which drawings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_each_class_is_split_by_rank_as_in_a_plain_reference(source: Path, tmp_path: Path, seed: int) -> None:
    build(source, tmp_path / "out", seed=seed)
    for word in CATEGORIES:
        assert key_ids_of_class(tmp_path / "out", word) == plain_splits(key_ids_in(lines_of(source, word)), seed)


def test_the_drawings_are_those_of_the_source_lines(source: Path, built: Path) -> None:
    records = {int(r["key_id"]): r for word in CATEGORIES for r in map(json.loads, lines_of(source, word))}
    for split in SPLITS:
        [shard] = (built / "data").glob(f"{split}-*.parquet")
        for drawing in parquet.read_shard(shard).drawings(CATEGORIES):
            record = records[drawing.key_id]
            assert (drawing.word, drawing.recognized) == (record["word"], record["recognized"])
            assert drawing.countrycode == record["countrycode"]
            assert f"{drawing.timestamp:%Y-%m-%d %H:%M:%S}" == record["timestamp"].removesuffix(" UTC").split(".")[0]
            assert [stroke.T.tolist() for stroke in drawing.strokes] == record["drawing"]


def test_another_seed_gives_other_splits(source: Path, built: Path, tmp_path: Path) -> None:
    build(source, tmp_path / "out", seed=1)
    assert set(key_ids(tmp_path / "out", "train")) != set(key_ids(built, "train"))


def test_a_class_has_the_same_key_ids_in_a_build_of_fewer_classes(source: Path, built: Path, tmp_path: Path) -> None:
    build(source, tmp_path / "out", categories="star,cat")
    assert read_manifest(tmp_path / "out").classes == ("cat", "star")
    for word in ("cat", "star"):
        assert key_ids_of_class(tmp_path / "out", word) == key_ids_of_class(built, word)


def test_recognized_only_takes_the_smallest_ranks_of_the_recognized(source: Path, tmp_path: Path) -> None:
    manifest = build(source, tmp_path / "out", recognized_only=True)
    assert manifest.config["recognized_only"] is True
    for word in CATEGORIES:
        recognized = [line for line in lines_of(source, word) if json.loads(line)["recognized"]]
        assert len(recognized) < LINES, "the test needs drawings to pass over"
        assert key_ids_of_class(tmp_path / "out", word) == plain_splits(key_ids_in(recognized))


def test_key_id_lists_follow_the_rows(built: Path) -> None:
    for split in SPLITS:
        listed = (built / "key_ids" / f"{split}.txt").read_text().splitlines()
        assert listed == [str(key_id) for key_id in key_ids(built, split)]


# ---- the order of the rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
def test_every_run_of_c_rows_has_each_class_once(built: Path, split: str) -> None:
    rows = labels(built, split)
    assert len(rows) == SIZES[split] * len(CATEGORIES)
    for start in range(0, len(rows), len(CATEGORIES)):
        assert sorted(rows[start : start + len(CATEGORIES)]) == [0, 1, 2, 3]


def test_rows_stand_by_place_and_then_mixed(built: Path) -> None:
    classes = {word: key_ids_of_class(built, word)["train"] for word in CATEGORIES}
    expected = []
    for place in range(SIZES["train"]):
        row = [classes[word][place] for word in CATEGORIES]
        expected += sorted(row, key=lambda key_id: plain_splitmix64(plain_rank(key_id)))
    assert key_ids(built, "train") == expected


def test_shards_cut_the_same_rows_at_other_places(
    source: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 100,000 rows a shard would need a source of gigabytes; the number is the one thing that is made smaller.
    monkeypatch.setattr("sketchdata.engine.assembly.SHARD_ROWS", 70)
    manifest = build(source, tmp_path / "out")
    assert [shard.records for shard in manifest.shards("train")] == [60, 60, 60, 60, 60, 60]
    assert key_ids(tmp_path / "out", "train") == key_ids(built, "train")
    assert labels(tmp_path / "out", "train") == labels(built, "train")


# ---- the same bytes -------------------------------------------------------------------------------------------------


def test_gzipped_sources_give_the_same_tree(source: Path, built: Path, tmp_path: Path) -> None:
    for word in CATEGORIES:
        packed = source_file(tmp_path / "gz", word, ".ndjson.gz")
        packed.parent.mkdir(parents=True, exist_ok=True)
        packed.write_bytes(gzip.compress(source_file(source, word).read_bytes(), 1))
    build(tmp_path / "gz", tmp_path / "out")
    assert tree_sha256(tmp_path / "out") == tree_sha256(built)


def test_streaming_gives_the_same_tree(source: Path, built: Path, tmp_path: Path) -> None:
    with BucketServer(source) as server:
        build(server.url, tmp_path / "out")
    assert tree_sha256(tmp_path / "out") == tree_sha256(built)


def test_a_binary_source_gives_the_same_drawings_with_whole_seconds(built: Path, tmp_path: Path) -> None:
    build(generate(tmp_path / "bin", format="binary"), tmp_path / "out", input_format="binary")
    for split in SPLITS:
        [one], [other] = ((out / "data").glob(f"{split}-*.parquet") for out in (built, tmp_path / "out"))
        ours, theirs = parquet.read_shard(one), parquet.read_shard(other)
        for column in ("key_id", "label", "countrycode", "recognized", "strokes", "points", "x", "y"):
            assert (getattr(ours, column) == getattr(theirs, column)).all(), column
        assert (ours.timestamp // 1_000_000 * 1_000_000 == theirs.timestamp).all()
        assert (theirs.timestamp % 1_000_000 == 0).all()


@pytest.mark.parametrize("place", ["simplified", "."])
def test_flatter_layouts_of_a_folder_give_the_same_tree(source: Path, built: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "flat" / place).mkdir(parents=True)
    for word in CATEGORIES:
        (tmp_path / "flat" / place / f"{word}.ndjson").symlink_to(source_file(source, word))
    build(tmp_path / "flat", tmp_path / "out")
    assert tree_sha256(tmp_path / "out") == tree_sha256(built)


# ---- too few drawings -----------------------------------------------------------------------------------------------


@pytest.fixture
def short_source(source: Path, tmp_path: Path) -> Path:
    """Cat has 25 drawings and star 60 of the 111 wanted."""
    for word, count in {"aircraft carrier": LINES, "cat": 25, "house": LINES, "star": 60}.items():
        write_lines(tmp_path / "short", word, lines_of(source, word)[:count])
    return tmp_path / "short"


def test_too_few_drawings_names_every_short_category(short_source: Path, tmp_path: Path) -> None:
    failed = sketchdata(*build_command(short_source, tmp_path / "out", "--workers", 0), expect=1)
    assert f"cat: 25 of {WANTED}" in failed.stderr
    assert f"star: 60 of {WANTED}" in failed.stderr
    assert "house" not in failed.stderr
    assert "--scale-to-fit" in failed.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_scale_to_fit_keeps_the_proportions_and_records_the_counts(short_source: Path, tmp_path: Path) -> None:
    manifest = build(short_source, tmp_path / "out", scale_to_fit=True)
    by_class = {word: [manifest.counts[split][word] for split in SPLITS] for word in CATEGORIES}
    assert by_class == {
        "aircraft carrier": [90, 10, 10, 1],
        "cat": [21, 2, 2, 0],
        "house": [90, 10, 10, 1],
        "star": [49, 5, 5, 1],
    }
    assert [len(ids) for ids in key_ids_of_class(tmp_path / "out", "star").values()] == by_class["star"]
    sketchdata("verify", tmp_path / "out")


def test_scale_to_fit_does_not_hide_a_category_without_any_drawing(short_source: Path, tmp_path: Path) -> None:
    write_lines(short_source, "star", [])
    failed = sketchdata(*build_command(short_source, tmp_path / "out", "--scale-to-fit", "--workers", 0), expect=1)
    assert f"star: 0 of {WANTED}" in failed.stderr
    assert "cat:" not in failed.stderr


def test_scale_to_fit_goes_on_from_the_failed_build(short_source: Path, tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match="too few"):
        build(short_source, tmp_path / "out")
    build(short_source, tmp_path / "out", scale_to_fit=True)
    build(short_source, tmp_path / "afresh", scale_to_fit=True)
    assert tree_sha256(tmp_path / "out") == tree_sha256(tmp_path / "afresh")


def test_classes_of_unequal_size_stand_with_each_class_once_while_it_lasts(short_source: Path, tmp_path: Path) -> None:
    manifest = build(short_source, tmp_path / "out", scale_to_fit=True)
    rows, seen = labels(tmp_path / "out", "train"), 0
    for place in range(SIZES["train"]):
        left = [i for i, word in enumerate(CATEGORIES) if manifest.counts["train"][word] > place]
        assert sorted(rows[seen : seen + len(left)]) == left
        seen += len(left)
    assert seen == len(rows)


# ---- options and folders --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "exit_code", "message"),
    [
        (["--categories", "strr"], 1, "there is no category 'strr'; did you mean star"),
        (["--categories", " , "], 1, "names no category"),
        (["--train", 0, "--val", 0, "--gallery", 0, "--query", 0], 1, "splits are all empty"),
        (["--train", -1], 2, "--train"),
        (["--train", 10**20], 2, "--train"),
        (["--seed", 2**64], 2, "--seed"),
        (["--max-bad-fraction", 1.5], 2, "--max-bad-fraction"),
        (["--input-format", "png"], 2, "--input-format"),
        (["--source", "no/such/folder"], 1, "no/such/folder is not a folder"),
        (["--source", "ftp://127.0.0.1/x"], 1, "ftp://127.0.0.1/x"),
        (["--config", "no-such.toml"], 1, "no-such.toml"),
        (["--engine", "dask"], 1, "--scheduler"),
        (["--task-range", "0/3"], 1, "--engine slurm"),
        (["--engine", "slurm", "--task-range", "3/3"], 1, "0 ≤ i < n"),
    ],
)
def test_wrong_options_are_refused_in_words(
    source: Path, tmp_path: Path, more: list[object], exit_code: int, message: str
) -> None:
    failed = sketchdata(*build_command(source, tmp_path / "out", "--workers", 0, *more), expect=exit_code)
    assert message in " ".join(failed.stderr.split())
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_missing_files_are_all_named_at_once(source: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "part", "cat", lines_of(source, "cat"))
    failed = sketchdata(*build_command(tmp_path / "part", tmp_path / "out"), expect=1)
    for word in ("aircraft carrier", "house", "star"):
        assert f"full/simplified/{word}.ndjson" in failed.stderr
    assert "3 of 4 files" in failed.stderr


def test_a_folder_with_other_files_is_refused_and_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    failed = sketchdata(*build_command(source, tmp_path / "out", "--overwrite"), expect=1)
    assert "thesis.tex" in failed.stderr
    assert tree(tmp_path / "out") == {"thesis.tex": b"years of work"}


def test_an_out_that_is_a_file_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    assert "file" in sketchdata(*build_command(source, tmp_path / "out"), expect=2).stderr
    with pytest.raises(ConfigError, match="is not a folder"):
        build(source, tmp_path / "out")


def test_a_second_call_does_nothing(source: Path, tmp_path: Path) -> None:
    build(source, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = sketchdata(*build_command(source, tmp_path / "out", "--workers", 0))
    assert "is finished already" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_a_second_call_needs_no_source(source: Path, tmp_path: Path) -> None:
    first = build(source, tmp_path / "out")
    assert build(tmp_path / "gone", tmp_path / "out") == first


def test_a_finished_data_set_with_other_options_is_refused_and_overwritten_on_demand(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    build(source, out)
    before = tree_sha256(out)
    failed = sketchdata(*build_command(source, out, "--seed", 5), expect=1)
    assert "other options" in failed.stderr
    assert tree_sha256(out) == before
    build(source, out, seed=5, overwrite=True)
    build(source, tmp_path / "afresh", seed=5)
    assert tree_sha256(out) == tree_sha256(tmp_path / "afresh") != before


def test_overwrite_removes_nothing_when_it_is_refused(source: Path, tmp_path: Path) -> None:
    build(source, tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    before = tree(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        build(source, tmp_path / "out", seed=5, overwrite=True)
    assert tree(tmp_path / "out") == before


def test_a_config_file_gives_options_and_a_flag_wins_over_it(source: Path, tmp_path: Path) -> None:
    toml = tmp_path / "build.toml"
    toml.write_text(
        f'source = "{source}"\nout = "{tmp_path / "out"}"\ncategories = "cat,star"\n'
        "train = 9\nval = 2\ngallery = 2\nquery = 1\nseed = 4\nrecognized-only = true\nworkers = 0\n"
    )
    sketchdata("build", "quickdraw-3.8m", "--config", toml, "--seed", 6)
    manifest = read_manifest(tmp_path / "out")
    assert manifest.splits == {"train": 18, "val": 4, "gallery": 4, "query": 2}
    assert (manifest.config["seed"], manifest.config["recognized_only"]) == (6, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian = 9", "sets trian"),
        ('train = "many"', "train = 'many'"),
        ("train = [", "build.toml"),
        ("val = -4", "val"),
    ],
)
def test_a_config_file_with_a_fault_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "build.toml").write_text(text)
    failed = sketchdata("build", "quickdraw-3.8m", "--config", tmp_path / "build.toml", expect=1)
    assert message in failed.stderr


@pytest.mark.slow
def test_relative_paths_are_taken_from_where_the_command_runs(source: Path, built: Path, tmp_path: Path) -> None:
    (tmp_path / "here").symlink_to(source)
    sketchdata(*build_command("here", Path("out"), "--workers", 1), cwd=tmp_path)
    assert tree_sha256(tmp_path / "out") == tree_sha256(built)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(source: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "closed" in sketchdata(*build_command(source, tmp_path / "closed" / "out", "--workers", 0), expect=1).stderr


# ---- what the manifest and the lists beside it say ------------------------------------------------------------------


def test_the_manifest_names_its_sources_by_their_md5_and_lists_every_file(source: Path, built: Path) -> None:
    manifest = read_manifest(built)
    assert [s.path for s in manifest.sources] == [f"full/simplified/{word}.ndjson" for word in CATEGORIES]
    assert all(s.records == LINES and not s.official for s in manifest.sources)
    assert [s.bytes for s in manifest.sources] == [source_file(source, w).stat().st_size for w in CATEGORIES]
    assert {file.path for file in manifest.files} == set(tree(built)) - {"manifest.json"}
    assert manifest.rejects == {}


def test_the_class_table_counts_each_split(built: Path) -> None:
    rows = (built / "classes.csv").read_text().splitlines()
    assert rows[0] == "label,word,train,val,gallery,query"
    assert rows[1:] == [f"{label},{word},90,10,10,1" for label, word in enumerate(CATEGORIES)]


def test_nothing_in_the_tree_tells_where_or_when_it_was_built(source: Path, built: Path) -> None:
    for name, content in tree(built).items():
        assert str(source.parent).encode() not in content, name
