"""Tests of output folders: who may claim one, what overwriting removes, and what a finished one is left with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sketchdata.engine.output_folder import OutputFolder, claim_folder
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import MANIFEST_NAME, Manifest, read_manifest
from tests.trees import tree

PLAN = Manifest(name="made", config={"seed": 1}, classes=("cat",), counts={}, rejects={}, sources=(), files=())


def folder(out: Path, **changes: object) -> OutputFolder:
    plan = dataclasses.replace(PLAN, config={"seed": 1, **changes})
    return OutputFolder(out=out, plan=plan, names=frozenset({"data"}), noun="made thing")


def lenient(out: Path, **limits: int) -> OutputFolder:
    return dataclasses.replace(folder(out), limits=limits)


def make(made: OutputFolder, *, overwrite: bool = False, content: bytes = b"x") -> Manifest | None:
    if made.begin(overwrite=overwrite) is not None:
        return None
    return made.finish(
        [made.put("data/shard", content, 1)], lambda manifest: f"# {manifest.name}\n", counts={"all": {"cat": 1}}
    )


def test_a_finished_folder_has_files_card_and_manifest_and_nothing_else(tmp_path: Path) -> None:
    made = make(folder(tmp_path))
    assert sorted(tree(tmp_path)) == ["README.md", "data/shard", MANIFEST_NAME]
    assert read_manifest(tmp_path) == made
    assert made is not None
    assert [file.path for file in made.files] == ["README.md", "data/shard"]
    assert made.counts == {"all": {"cat": 1}}


def test_a_finished_one_is_not_made_again_and_another_says_what_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(folder(tmp_path))
    assert make(folder(tmp_path)) is None
    assert "is finished already" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(ConfigError, match=r"holds made, made with other options \(seed 1 instead of 2\): choose"):
        make(folder(tmp_path, seed=2))
    with pytest.raises(ConfigError, match=r"with other options \(sizes\), by another version"):
        make(dataclasses.replace(f := folder(tmp_path, sizes=[1]), plan=dataclasses.replace(f.plan, tool="later")))


def test_overwriting_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    made = folder(tmp_path)
    made.begin(overwrite=False)
    made.finish([made.put("data/old", b"x", 1)], lambda manifest: "")
    make(folder(tmp_path, seed=2), overwrite=True)
    assert sorted(tree(tmp_path)) == ["README.md", "data/shard", MANIFEST_NAME]


@pytest.mark.parametrize("limits", [None, {}])
def test_overwriting_removes_nothing_when_it_is_refused(tmp_path: Path, limits: dict[str, int] | None) -> None:
    make(folder(tmp_path))
    before = tree(tmp_path)
    other = dataclasses.replace(folder(tmp_path, seed=2), limits=limits)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match=r"is not empty, it holds thesis\.tex: choose another --out"):
        other.claim(overwrite=True)
    (tmp_path / "thesis.tex").unlink()
    stranger = dataclasses.replace(read_manifest(tmp_path), name="stranger")
    stranger.write(tmp_path)
    with pytest.raises(ConfigError, match=r"holds stranger .expected: made thing"):
        other.claim(overwrite=True)
    PLAN.write(tmp_path)
    with pytest.raises(ConfigError, match="cannot be had"):
        other.begin(overwrite=True, check=refuse)
    assert {**tree(tmp_path), MANIFEST_NAME: before[MANIFEST_NAME]} == before


def refuse() -> None:
    raise ConfigError("it cannot be had")


def test_an_unfinished_one_goes_on_with_the_same_options_alone(tmp_path: Path) -> None:
    begun = folder(tmp_path)
    begun.claim(overwrite=False)
    begun.put("data/kept", b"x", 1)
    for overwrite in (False, True):
        folder(tmp_path).claim(overwrite=overwrite)
        assert (tmp_path / "data" / "kept").exists()
    with pytest.raises(ConfigError, match=r"unfinished made thing made with other options \(seed 1 instead of 2\)"):
        folder(tmp_path, seed=2).claim(overwrite=False)
    folder(tmp_path, seed=2).claim(overwrite=True)
    assert not (tmp_path / "data").exists()


def test_a_removal_that_was_cut_off_is_finished_by_overwriting_again(tmp_path: Path) -> None:
    make(folder(tmp_path))
    cut = folder(tmp_path)
    cut._write_note(None, ["README.md", "data"])
    (tmp_path / MANIFEST_NAME).unlink()
    with pytest.raises(ConfigError, match="half removed: repeat the command"):
        make(folder(tmp_path, seed=2))
    make(folder(tmp_path, seed=2), overwrite=True, content=b"y")
    assert (tmp_path / "data" / "shard").read_bytes() == b"y"


def test_limits_alone_decide_whether_an_unfinished_one_goes_on(tmp_path: Path) -> None:
    lenient(tmp_path, size=1).claim(overwrite=False)
    (tmp_path / "data").mkdir()
    dataclasses.replace(folder(tmp_path, seed=2), limits={"size": 1}).claim(overwrite=False)
    with pytest.raises(ConfigError, match=r"made with other options \(size 1 instead of 2\)"):
        lenient(tmp_path, size=2).claim(overwrite=False)
    assert (tmp_path / "data").exists()
    lenient(tmp_path, size=2).claim(overwrite=True)


def test_files_of_an_earlier_try_are_taken_over_only_where_limits_are_given(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(ConfigError, match="is not empty, it holds data"):
        folder(tmp_path).claim(overwrite=False)
    lenient(tmp_path).claim(overwrite=False)


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    (tmp_path / ".export").mkdir()
    (tmp_path / ".export" / "begun.json").write_text("{")
    with pytest.raises(
        SketchDataError, match=r"begun\.json: expected JSON, found .*remove the folder of this unfinished made thing"
    ):
        folder(tmp_path).claim(overwrite=True)


def test_what_is_swept_is_what_is_not_listed(tmp_path: Path) -> None:
    made = lenient(tmp_path)
    made.claim(overwrite=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "old").write_bytes(b"x")
    (tmp_path / ".data.0123abcd.tmp").write_bytes(b"x")
    made.finish([made.put("data/new", b"x", 1)], lambda manifest: "", sweep=["data"])
    assert sorted(tree(tmp_path)) == ["README.md", "data/new", MANIFEST_NAME]


def test_a_folder_is_free_when_it_is_absent_empty_or_holds_our_own(tmp_path: Path) -> None:
    claim_folder(tmp_path / "absent", own=())
    claim_folder(tmp_path, own=())
    (tmp_path / "data").mkdir()
    claim_folder(tmp_path, own={"data"})
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty, it holds file: choose another --out"):
        claim_folder(tmp_path, own={"data"})
    with pytest.raises(ConfigError, match="file is not a folder: choose another --out"):
        claim_folder(tmp_path / "file", own=())
