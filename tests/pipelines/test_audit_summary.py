"""The summary's numbers are those that pandas gets from the drawings themselves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from sketchdata.curation.audit import read_record
from sketchdata.engine import EngineOptions
from sketchdata.errors import TasksFailedError
from sketchdata.pipelines import verify
from sketchdata.pipelines.audit import SUMMARY_COLUMNS, audit_summary
from tests.audits import audit_files, build_in_shards, data_sha256, flip_a_byte, rows_of
from tests.builds import small_dataset
from tests.commands import sketchdata
from tests.quickdraw_builds import CATEGORIES, IN_PROCESS, build, generate, lines_of, write_lines


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_in_shards(tmp_path_factory.mktemp("summary"))


@pytest.fixture
def dataset(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "out")


@pytest.fixture(scope="module")
def audited(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = shutil.copytree(built, tmp_path_factory.mktemp("audited") / "out")
    run(copy)
    return copy


def run(directory: Path, engine: EngineOptions = IN_PROCESS) -> None:
    assert audit_summary(directory, engine) is not None


def plain(directory: Path) -> pd.DataFrame:
    """Return the drawings' numbers, one row per drawing, the splits together once more as `all`."""
    rows = [
        (
            drawing.word,
            split,
            len(drawing.strokes),
            sum(map(len, drawing.strokes)),
            drawing.countrycode or "",
            recognized,
        )
        for split, batch in rows_of(directory)
        for drawing, recognized in zip(batch.drawings(CATEGORIES), batch.recognized.tolist(), strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["word", "split", "strokes", "points", "country", "recognized"])
    return pd.concat([frame, frame.assign(split="all")])


def summary(directory: Path) -> pd.DataFrame:
    return pd.read_csv(directory / "audit/summary.csv", keep_default_na=False, index_col=["word", "split"])


def test_every_class_and_split_has_its_numbers(audited: Path) -> None:
    found, expected = summary(audited), plain(audited).groupby(["word", "split"])
    assert list(found.reset_index()["word"].unique()) == list(CATEGORIES)
    assert len(found) == 4 * 5 == expected.ngroups
    assert tuple(pd.read_csv(audited / "audit/summary.csv").columns) == SUMMARY_COLUMNS
    for name, rows in expected:
        row = found.loc[name]
        assert row["drawings"] == len(rows)
        assert row["recognized"] == pytest.approx(rows["recognized"].mean())
        for measure in ("strokes", "points"):
            values = rows[measure]
            told = [row[f"{measure}_{kind}"] for kind in ("mean", "median", "max")]
            assert told == pytest.approx([values.mean(), values.median(), values.max()])
        countries = rows["country"][rows["country"] != ""].value_counts()
        assert (row["countries"], row["no_country"]) == (len(countries), len(rows) - countries.sum())
        assert row["top_country"] == min(countries.index[countries == countries.max()])
        assert row["top_country_share"] == pytest.approx(countries.max() / len(rows))


def test_the_record_has_the_totals_of_splits_and_classes(audited: Path) -> None:
    counts, frame = read_record(audited, "summary").counts, plain(audited)
    assert {split: found["drawings"] for split, found in counts["splits"].items()} == {
        **{"train": 360, "val": 40, "gallery": 40, "query": 4, "all": 444}
    }
    train = frame[frame["split"] == "train"]
    assert counts["splits"]["train"]["points_median"] == train["points"].median()
    assert list(counts["classes"]) == list(CATEGORIES)
    stars = frame[(frame["split"] == "all") & (frame["word"] == "star")]
    assert counts["classes"]["star"]["strokes_mean"] == pytest.approx(stars["strokes"].mean())


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_bytes(audited: Path, dataset: Path) -> None:
    run(dataset, EngineOptions(workers=2))
    assert audit_files(dataset) == audit_files(audited)
    assert sorted(audit_files(dataset)) == ["summary.csv", "summary.json"]


def test_an_audit_changes_nothing_of_the_data_and_verify_still_passes(built: Path, audited: Path) -> None:
    assert data_sha256(audited) == data_sha256(built)
    assert verify.run(audited).faults == []


def test_a_class_without_drawings_in_a_split_has_empty_fields(tmp_path: Path) -> None:
    source = generate(tmp_path / "source")
    write_lines(source, "cat", lines_of(source, "cat")[:30])
    build(source, tmp_path / "out", scale_to_fit=True)
    run(tmp_path / "out")
    row = summary(tmp_path / "out").loc[("cat", "query")]
    assert (row["drawings"], row["recognized"], row["points_mean"], row["top_country"]) == (0, "", "", "")


def test_raw_drawings_are_summed_up(tmp_path: Path) -> None:
    small_dataset(tmp_path, input_format="raw", keep_raw=True)
    run(tmp_path / "dataset")
    assert read_record(tmp_path / "dataset", "summary").counts["splits"]["all"]["drawings"] == 102


def test_a_damaged_shard_is_named(dataset: Path) -> None:
    damaged = next((dataset / "data").glob("query-*"))
    flip_a_byte(damaged)
    with pytest.raises(TasksFailedError, match=f"{damaged.name} is damaged"):
        run(dataset)


def test_the_command_prints_splits_classes_or_json(audited: Path) -> None:
    shown = sketchdata("audit", "summary", audited).stdout
    assert "train" in shown
    assert "aircraft carrier" not in shown
    listed = sketchdata("audit", "summary", audited, "--classes").stdout
    assert all(word in listed for word in CATEGORIES)
    told = json.loads(sketchdata("audit", "summary", audited, "--json").stdout)
    assert (told["kind"], told["splits"]["all"]["drawings"]) == ("summary", 444)
