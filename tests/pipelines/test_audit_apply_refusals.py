"""What cannot be curated is refused in words, and nothing is lost over it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sketchdata.curation.decisions import DECISIONS_FILE
from sketchdata.drawings.sampling import SPLITS
from sketchdata.errors import ConfigError, SketchDataError
from tests.audits import flip_a_byte
from tests.commands import sketchdata
from tests.curations import (
    apply,
    audited,
    dataset,
    decide,
    short_shards,
    source_of,
)
from tests.quickdraw_builds import key_ids, lines_of, write_lines
from tests.servers import closed_port
from tests.trees import tree

__all__ = ["audited", "dataset", "short_shards"]


def test_a_data_set_without_an_audit_is_refused(dataset: Path, tmp_path: Path) -> None:
    shutil.rmtree(dataset / "audit")
    with pytest.raises(SketchDataError, match=r"has no finished entropy audit.*run `sketchdata audit entropy"):
        apply(dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_audit_of_another_data_set_is_refused(dataset: Path, tmp_path: Path) -> None:
    manifest = dataset / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    with pytest.raises(SketchDataError, match="is stale"):
        apply(dataset, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": "train,test"}, "there is no split test in --splits; .* has train, val, gallery, query"),
        ({"splits": " , "}, "there is no name in --splits"),
        ({"source": "somewhere"}, "--source is for --refill"),
        ({"no_noise": True}, "--no-noise applies decisions alone, and there are none"),
        ({"refill": True, "source": "/nowhere/at/all"}, "is not a folder"),
    ],
)
def test_options_that_cannot_work_are_refused(
    audited: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        apply(audited, tmp_path / "out", **options)


@pytest.mark.slow
def test_an_unreachable_server_is_an_error_that_names_it(audited: Path, tmp_path: Path) -> None:
    failed = sketchdata(
        *("audit", "apply", audited, "--out", tmp_path / "out", "--refill", "--source", closed_port(), "--workers", 0),
        expect=1,
    )
    assert "error: " in failed.stderr
    assert "127.0.0.1" in failed.stderr


def test_a_source_with_other_content_is_refused(audited: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(source_of(audited), tmp_path / "source"))
    write_lines(source, "cat", lines_of(source, "cat")[:-1])
    with pytest.raises(SketchDataError, match=r"cat\.ndjson has md5 .*give the --source of the build"):
        apply(audited, tmp_path / "out", refill=True, source=str(source))
    (source / "full" / "simplified" / "cat.ndjson").unlink()
    with pytest.raises(ConfigError, match="1 of 4 files are not at"):
        apply(audited, tmp_path / "out", refill=True, source=str(source))


@pytest.mark.parametrize("damage", [flip_a_byte, Path.unlink])
def test_a_broken_shard_of_the_parent_is_named_and_nothing_is_finished(
    dataset: Path, tmp_path: Path, damage: object
) -> None:
    assert callable(damage)
    damage(dataset / "data" / "train-00001-of-00004.parquet")
    with pytest.raises(SketchDataError, match=r"train-00001-of-00004.parquet is (damaged|missing)"):
        apply(dataset, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_log_with_a_junk_line_is_refused(dataset: Path, tmp_path: Path) -> None:
    decide(dataset, "drop", 1)
    with (dataset / "audit" / DECISIONS_FILE).open("ab") as file:
        file.write(b"drop 17\n")
    with pytest.raises(SketchDataError, match=r"decisions.jsonl, line 2 is not a decision"):
        apply(dataset, tmp_path / "out")


def test_decisions_about_unknown_drawings_are_counted_and_change_nothing(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(dataset, tmp_path / "plain")
    decide(dataset, "drop", 1, 2)
    decide(dataset, "keep", 3)
    apply(dataset, tmp_path / "out")
    assert "3 decisions are about drawings that are not in" in " ".join(capsys.readouterr().err.split())
    one, other = (tree(tmp_path / name) for name in ("plain", "out"))
    assert {name for name in one if one[name] != other[name]} == {"manifest.json", "README.md"}


def test_dropping_everything_is_refused(dataset: Path, tmp_path: Path) -> None:
    decide(dataset, "drop", *(key_id for split in SPLITS for key_id in key_ids(dataset, split)))
    with pytest.raises(SketchDataError, match=r"all 444 drawings of .* would be removed, .*444 dropped by curat"):
        apply(dataset, tmp_path / "out")


def test_the_parent_is_left_alone_and_never_written_into(dataset: Path, tmp_path: Path) -> None:
    before = tree(dataset)
    for out in (dataset, dataset / "audit" / "curated"):
        with pytest.raises(ConfigError, match=r"cannot lie in the one|made with other options"):
            apply(dataset, out)
        with pytest.raises(ConfigError, match="cannot lie in the one"):
            apply(dataset, out, overwrite=True)
    apply(dataset, tmp_path / "out")
    assert tree(dataset) == before


def test_a_folder_with_something_else_is_refused(audited: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("x", encoding="ascii")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"it holds thesis.tex"):
            apply(audited, out, overwrite=overwrite)
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_an_export_does_not_overwrite_a_curated_data_set(audited: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    apply(audited, out)
    before = tree(out)
    failed = sketchdata("export", "webdataset", audited, "--out", out, "--overwrite", "--workers", 0, expect=1)
    assert "expected: export" in failed.stderr
    assert tree(out) == before
