"""The training of zero-shot recognition: its stages, its choices, its folder, and what it refuses."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from sketchdata.classes.splits import SplitOptions
from sketchdata.errors import ConfigError
from sketchdata.trainers import zsl
from sketchdata.training.bitmaps import read_split
from sketchdata.training.encoder import embed, read_encoder
from sketchdata.training.packed import read_packed
from sketchdata.training.run_folder import MODEL, read_json, read_record
from sketchdata.zero_shot import ZERO_SHOT_METHODS, chosen_methods
from sketchdata.zero_shot.networks import Regression
from sketchdata.zero_shot.recogniser import read_recognisers
from tests.commands import sketchdata
from tests.trainings import LOOP, NETWORK, flags, kill_in, loop, network
from tests.zero_shot_trainings import CLASSES, EPOCHS, SPLIT, SPLITS, built, config, generated_drawings, vectors_file

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zsl")
    built(generated_drawings(folder / "source"), folder / "data")
    vectors_file(folder / "edges.parquet")
    vectors_file(folder / "words.parquet", 4, seed=1)
    return folder


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    """Return the folder of a training with all methods and two sources of vectors."""
    options = config(
        place / "data", place / "run", place / "edges.parquet", place / "words.parquet", methods="sae,eve,eszsl"
    )
    zsl.run(options, SPLITS, network(), loop())
    return place / "run"


def test_the_network_learns_seen_classes_but_those_for_choices(trained: Path) -> None:
    record = read_record(trained)
    assert tuple(record["classes"]) == SPLIT.learned == read_encoder(trained).classes
    assert record["zero_shot"]["seen"] == list(SPLIT.seen)
    assert record["zero_shot"]["validation"] == list(SPLIT.validation)
    assert record["zero_shot"]["unseen"] == list(SPLIT.unseen)
    assert record["zero_shot"]["classes"] == list(CLASSES)


def test_features_come_from_relus_of_the_fusion_layer(place: Path, trained: Path) -> None:
    found = embed(read_encoder(trained), read_split(place / "data", "query"))
    assert found.shape[1] == 16
    assert found.min() == 0
    assert found.max() > 0


def test_each_method_learns_from_each_source_and_from_all_side_by_side(trained: Path) -> None:
    kept = read_recognisers(trained)
    assert {(one.source, one.method) for one in kept} == {
        (source, method) for source in ("edges", "words", "edges+words") for method in ("eve", "sae", "eszsl")
    }
    for one in kept:
        assert one.classes == CLASSES
        assert [CLASSES[place] for place in one.recogniser.seen] == list(SPLIT.seen)
        assert one.recogniser.width == 16
        assert one.recogniser.validation_hit is not None
        assert 0 <= one.recogniser.validation_hit <= 1


def test_the_report_says_how_well_validation_classes_were_told_apart(trained: Path, place: Path) -> None:
    options = config(place / "data", trained, place / "edges.parquet", place / "words.parquet", methods="sae,eve,eszsl")
    report = zsl.run(options, SPLITS, network(), loop())
    assert report["chance_of_validation"] == 1 / len(SPLIT.validation)
    assert [stage["stage"] for stage in report["stages"]] == ["cnn", "rnn", "fusion"]
    by_name = {(found["source"], found["method"]): found for found in report["recognisers"]}
    for kept in read_recognisers(trained):
        assert by_name[kept.source, kept.method]["validation_hit"] == kept.recogniser.validation_hit


def test_a_fit_that_is_there_is_kept_and_one_that_is_missing_made_again_to_the_byte(place: Path, trained: Path) -> None:
    files = sorted((trained / "recognisers").iterdir())
    before = {path: path.read_bytes() for path in files}
    (trained / "training.json").unlink()
    lost = trained / "recognisers" / "edges.eve.safetensors"
    lost.unlink()
    options = config(place / "data", trained, place / "edges.parquet", place / "words.parquet", methods="sae,eve,eszsl")
    zsl.run(options, SPLITS, network(), loop(resume=True))
    assert {path: path.read_bytes() for path in files} == before


def test_recipe_is_one_more_method(place: Path, tmp_path: Path) -> None:
    assert list(chosen_methods(config(place, tmp_path, recipe=True), "adamw")) == ["eve", "recipe"]
    assert list(chosen_methods(config(place, tmp_path, methods="all"), "adamw")) == list(ZERO_SHOT_METHODS)


def test_rmsprop_is_for_the_papers_method_as_well(place: Path, tmp_path: Path) -> None:
    methods = chosen_methods(config(place, tmp_path, methods="all"), "rmsprop")
    for name in ("eve", "eve_reversed"):
        learn = methods[name].learn
        assert isinstance(learn, Regression)
        assert learn.optimiser == "rmsprop"
    assert methods["dem"] == ZERO_SHOT_METHODS["dem"]


def test_without_validation_classes_all_seen_ones_are_learned_and_nothing_is_chosen(
    place: Path, tmp_path: Path
) -> None:
    options = config(place / "data", tmp_path / "run", place / "edges.parquet", methods="sae")
    report = zsl.run(options, replace(SPLITS, validation_share=0.0), network(branch="cnn"), loop())
    assert report["classes"] == 7
    assert report["chance_of_validation"] is None
    (kept,) = read_recognisers(tmp_path / "run")
    assert kept.recogniser.validation_hit is None
    assert kept.recogniser.gamma == 0
    assert dict(kept.recogniser.constants) == dict(ZERO_SHOT_METHODS["sae"].constants)


def test_branches_are_taken_over_from_a_training_on_the_same_classes(
    place: Path, trained: Path, tmp_path: Path
) -> None:
    options = config(
        place / "data", tmp_path / "run", place / "edges.parquet", methods="sae", width=8, pretrained=trained
    )
    report = zsl.run(options, SPLITS, network(), loop())
    assert set(report["pretrained"]) == {"cnn", "rnn"}
    other = config(place / "data", tmp_path / "other", place / "edges.parquet", methods="sae", pretrained=trained)
    with pytest.raises(ConfigError, match="another --data"):
        zsl.run(other, replace(SPLITS, split_seed=1), network(), loop())


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_other_unseen_classes_or_vectors_in_the_same_folder_are_refused(place: Path, trained: Path) -> None:
    edges, words = place / "edges.parquet", place / "words.parquet"
    same = config(place / "data", trained, edges, words, methods="sae,eve,eszsl")
    with pytest.raises(ConfigError, match="--split-seed 0"):
        zsl.run(same, replace(SPLITS, split_seed=5), network(), loop())
    with pytest.raises(ConfigError, match="other class vectors"):
        zsl.run(replace(same, vectors=(edges,)), SPLITS, network(), loop())


def test_classes_without_a_vector_are_listed_or_left_out(place: Path, tmp_path: Path) -> None:
    few = vectors_file(tmp_path / "few.parquet", words=tuple(word for word in CLASSES if word not in ("cat", "moon")))
    options = config(place / "data", tmp_path / "run", few, methods="sae")
    with pytest.raises(ConfigError, match=r"cat \(few\), moon \(few\); leave .* --allow-missing"):
        zsl.run(options, SplitOptions(seen=5, validation_share=0.4), network(), loop())
    assert not (tmp_path / "run").exists()
    report = zsl.run(
        replace(options, allow_missing=True), SplitOptions(seen=5, validation_share=0.4), network(branch="cnn"), loop()
    )
    assert read_record(tmp_path / "run")["zero_shot"]["left_out"] == ["cat", "moon"]
    assert report["zero_shot"] == {"seen": 5, "validation": 2, "unseen": 3}


@pytest.mark.parametrize(
    ("methods", "message"),
    [("eve,magic", "there is no magic; there are all, eve"), (" , ", "--methods names none")],
)
def test_a_method_that_there_is_not_is_refused(place: Path, tmp_path: Path, methods: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        zsl.run(config(place / "data", tmp_path / "run", methods=methods), SPLITS, network(), loop())
    assert not (tmp_path / "run").exists()


def test_one_validation_class_is_refused(place: Path, tmp_path: Path) -> None:
    options = config(place / "data", tmp_path / "run", place / "edges.parquet")
    with pytest.raises(ConfigError, match=r"gives one of \d seen classes for validation"):
        zsl.run(options, SplitOptions(seen=7, validation_share=0.1), network(), loop())


# ---- stopped, and from the command line ------------------------------------------------------------------------------


def test_a_killed_training_ends_as_one_that_was_not(place: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    options = config(place / "data", out, place / "edges.parquet", place / "words.parquet", methods="sae,eve,eszsl")
    assert kill_in(out, "rnn", zsl.run, options, SPLITS, network(), loop()) == -signal.SIGKILL
    zsl.run(options, SPLITS, network(), loop(resume=True))
    assert (out / MODEL).read_bytes() == (trained / MODEL).read_bytes()
    for path in sorted((trained / "recognisers").iterdir()):
        assert (out / "recognisers" / path.name).read_bytes() == path.read_bytes()


def test_the_commands_train_evaluate_and_recognise(place: Path, trained: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "run", str(place / "data")
    own = {**NETWORK, **LOOP, **EPOCHS, "branch": "cnn", "width": 16, "drawings": 20, "seen": 7}
    said = sketchdata(
        *("train", "zsl", "--data", data, "--vectors", str(place / "edges.parquet"), "--out", str(out)),
        *("--methods", "sae", "--validation-share", "0.3", *flags(**own)),
    ).stdout
    (kept,) = read_recognisers(out)
    assert f"sae, from edges: hit@1 {kept.recogniser.validation_hit:.4f} of validation classes (chance 0.5000)" in said
    assert "ZSL hit@1" in sketchdata("evaluate", out).stdout
    evaluation = read_json(out / "evaluation.json")
    assert evaluation["drawings"] == {"unseen": 24, "seen": 56}
    key_id = str(read_packed(place / "data", "query").of_classes(SPLIT.unseen).key_ids[0].item())
    answer = orjson.loads(sketchdata("recognise", out, key_id, "--json").stdout)
    assert key_id in orjson.dumps(answer).decode()
    assert {word for word in SPLIT.unseen if f'"{word}"' in orjson.dumps(answer).decode()} == set(SPLIT.unseen)
