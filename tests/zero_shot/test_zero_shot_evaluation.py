"""Evaluation of zero-shot trainings: its numbers against counts by loops, its pages, and the command."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from matplotlib.text import Text

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.pipelines import quickdraw, synth
from sketchdata.retrieval.evaluation import JSON_FILE, TABLE_FILE
from sketchdata.training.bitmaps import read_split
from sketchdata.training.encoder import Architecture, SketchEncoder, embed, read_encoder, write_encoder
from sketchdata.zero_shot import ZeroShotRecogniser
from sketchdata.zero_shot.evaluation import (
    MOST_CLASSES,
    PICTURE_FILE,
    ClassTable,
    EvaluationSet,
    chance_of_hubness,
    draw_embeddings,
    evaluate_zero_shot,
    measure_recogniser,
    principal_plane,
    spread_by_accuracy,
    zero_shot_markdown,
)
from sketchdata.zero_shot.measures import hubness
from sketchdata.zero_shot.recogniser import Embedding, KeptRecogniser, read_recognisers, write_recogniser
from tests.bitmap_folders import bitmap_folder, generated_bitmaps
from tests.builds import IN_PROCESS
from tests.pictures import words_of
from tests.trainings import network
from tests.zero_shot_toys import CLASSES, SEEN, UNSEEN, Toy, make_toy, small

WORDS = ("aircraft carrier", "cat", "fish", "house", "moon", "star", "sun")
UNSEEN_WORDS = ("cat", "moon", "star")
SEEN_WORDS = tuple(word for word in WORDS if word not in UNSEEN_WORDS)
VALIDATION = ("house", "sun")
METHODS = ("eszsl", "eve", "sae_reversed")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of classes to be seen and unseen."""
    folder, categories = tmp_path_factory.mktemp("seven"), ",".join(WORDS)
    synth.run(synth.Config(out=folder / "source", drawings=60, categories=categories), IN_PROCESS)
    sizes = {"train": 16, "val": 12, "gallery": 2, "query": 2}
    quickdraw.run(
        quickdraw.Config(source=str(folder / "source"), out=folder / "built", categories=categories, **sizes),
        IN_PROCESS,
    )
    return folder / "built"


def make_run(out: Path, data: Path) -> Path:
    """Write a run folder: a network that nobody trained, and recognisers that learned from its features."""
    torch.manual_seed(3)
    learned = tuple(word for word in SEEN_WORDS if word not in VALIDATION)
    architecture = Architecture(network=network(branch="cnn"), width=24, activation="relu", scale=20.0, classes=learned)
    encoder = SketchEncoder(architecture)
    torch.nn.init.normal_(encoder.fusion.fuse.weight, std=1)
    out.mkdir(parents=True, exist_ok=True)
    write_encoder(out, encoder)
    classes = {"classes": WORDS, "seen": SEEN_WORDS, "validation": VALIDATION, "unseen": UNSEEN_WORDS}
    record = {
        "trainer": "zsl",
        "options": {},
        "classes": learned,
        "manifest": "",
        "data": str(data),
        "zero_shot": {**classes, "vectors": {"words": ""}, "left_out": ["sea turtle"]},
    }
    (out / "run.json").write_bytes(orjson.dumps(record))
    (out / "training.json").write_bytes(b"{}")
    _fit(out, data)
    return out


def _fit(out: Path, data: Path) -> None:
    packed = read_split(data, "train").of_classes(WORDS)
    features, labels = embed(read_encoder(out), packed), packed.labels.numpy().astype(np.int64)
    seen, validation = (np.flatnonzero(np.isin(WORDS, words)) for words in (SEEN_WORDS, VALIDATION))
    own = np.isin(labels, seen)
    vectors = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype(np.float32)
    for method in METHODS:
        found = small(method).fit(features[own], labels[own], vectors, seen, validation)
        write_recogniser(out, KeptRecogniser(source="words", method=method, classes=WORDS, recogniser=found))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"), data)


@pytest.fixture(scope="module")
def found(run: Path) -> dict[str, Any]:
    return evaluate_zero_shot(run, None, device="cpu", batch_size=7)


# ---- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_number_is_that_of_a_loop_over_drawings(run: Path, data: Path, found: dict[str, Any]) -> None:
    packed = read_split(data, "val").of_classes(WORDS)
    features, truth = embed(read_encoder(run), packed), [WORDS[label] for label in packed.labels.tolist()]
    assert set(found["recognisers"]) == {f"words.{method}" for method in METHODS}
    for kept in read_recognisers(run):
        own, scores = found["recognisers"][kept.name], kept.recogniser.scores(features)
        assert own["drawings"] == {"unseen": 36, "seen": 48}
        assert own["gamma"] == kept.recogniser.gamma
        assert own["validation_hit"] == kept.recogniser.validation_hit
        guesses = {
            "zsl": [best(row, UNSEEN_WORDS, 0) for row in scores],
            "gzsl": [best(row, WORDS, 0) for row in scores],
            "calibrated": [best(row, WORDS, own["gamma"]) for row in scores],
        }
        unseen = [place for place, word in enumerate(truth) if word in UNSEEN_WORDS]
        for part, guessed in guesses.items():
            right = [guessed[place] == truth[place] for place in unseen]
            assert own[part]["hit@1"] == pytest.approx(sum(right) / 36)
            assert own[part]["chance"]["hit@1"] == pytest.approx(1 / (3 if part == "zsl" else 7))
            for word, about in own["by_class"].items():
                places = [place for place in unseen if truth[place] == word]
                assert about["drawings"] == len(places) == 12
                assert about[part] == pytest.approx(sum(guessed[place] == word for place in places) / 12)
        for name, part in (("harmonic", "gzsl"), ("harmonic_calibrated", "calibrated")):
            shares = [share_right(guesses[part], truth, words) for words in (UNSEEN_WORDS, SEEN_WORDS)]
            assert [own[name]["unseen"], own[name]["seen"]] == pytest.approx(shares)
        check_confusions(own, guesses["zsl"], truth)


def best(row: np.ndarray, words: tuple[str, ...], gamma: float) -> str:
    """Return the class with the highest score among some, γ being taken off those of seen classes."""
    return max(words, key=lambda word: float(row[WORDS.index(word)]) - (gamma if word in SEEN_WORDS else 0))


def share_right(guessed: list[str], truth: list[str], words: tuple[str, ...]) -> float:
    shares = []
    for word in words:
        own = [guess == word for guess, right in zip(guessed, truth, strict=True) if right == word]
        shares.append(sum(own) / len(own))
    return sum(shares) / len(shares)


def check_confusions(own: dict[str, Any], guessed: list[str], truth: list[str]) -> None:
    pairs = list(zip(truth, guessed, strict=True))
    for pair in own["confusions"]:
        assert pair["class"] != pair["predicted"]
        assert pair["drawings"] == pairs.count((pair["class"], pair["predicted"]))
        assert pair["share"] == pytest.approx(pair["drawings"] / 12)
    for word, about in own["by_class"].items():
        counts = {other: pairs.count((word, other)) for other in UNSEEN_WORDS if other != word}
        if about["predicted"] is None:
            assert not any(counts.values())
        else:
            assert counts[about["predicted"]] == max(counts.values()) == round(about["share"] * 12)
    for hub in own["hubs"]["unseen"]:
        assert hub["predicted"] == sum(guess == hub["class"] for right, guess in pairs if right in UNSEEN_WORDS)
        assert hub["predicted"] > hub["drawings"] == 12


def test_the_chosen_recogniser_is_the_best_on_validation_classes_and_not_here(found: dict[str, Any]) -> None:
    hits = {name: own["validation_hit"] for name, own in found["recognisers"].items()}
    assert hits[found["chosen"]] == max(hits.values())


def test_choice_ignores_what_the_evaluated_split_says(data: Path, tmp_path: Path) -> None:
    out = make_run(tmp_path / "run", data)
    for kept, hit in zip(read_recognisers(out), (0.1, 0.9, 0.5), strict=True):
        write_recogniser(out, replace(kept, recogniser=replace(kept.recogniser, validation_hit=hit)))
    values = evaluate_zero_shot(out, None, device="cpu", batch_size=64)
    assert values["chosen"] == "words.eve"
    assert "| **words.eve** (chosen) | 0.9000 |" in (out / TABLE_FILE).read_text(encoding="utf-8")


def test_bitmaps_can_be_recognised_as_well(run: Path, tmp_path: Path) -> None:
    place = bitmap_folder(
        tmp_path / "bitmaps", **{word: generated_bitmaps(200, "bar", own) for own, word in enumerate(WORDS)}
    )
    values = evaluate_zero_shot(run, place, "val", device="cpu", batch_size=64)
    assert values["split"] == "val"
    assert values["drawings"]["unseen"] == len(read_split(place, "val").of_classes(UNSEEN_WORDS))


# ---- a toy whose right prototypes are known --------------------------------------------------------------------------


def asked_of(toy: Toy, names: tuple[str, ...] | None = None) -> EvaluationSet:
    words = names or tuple(f"class {place:02}" for place in range(CLASSES))
    table = ClassTable(
        classes=words,
        seen=tuple(words[place] for place in SEEN),
        validation=(),
        unseen=tuple(words[place] for place in UNSEEN),
        left_out=(),
    )
    return EvaluationSet(features=toy.features, labels=toy.labels, table=table)


def kept_of(prototypes: np.ndarray, asked: EvaluationSet, compare: Any = "distance") -> KeptRecogniser:
    recogniser = ZeroShotRecogniser(
        embed=Embedding(), prototypes=prototypes, compare=compare, seen=SEEN, width=prototypes.shape[1]
    )
    return KeptRecogniser(source="toy", method="eve", classes=asked.table.classes, recogniser=recogniser)


def page_of(values: dict[str, Any], asked: EvaluationSet) -> str:
    table = asked.table
    classes = {name: list(getattr(table, name)) for name in ("seen", "validation", "unseen", "left_out")}
    about = {"split": "gallery", "drawings": values["drawings"], "classes": classes, "chosen": "toy.eve"}
    return zero_shot_markdown({**about, "recognisers": {"toy.eve": values}}, PICTURE_FILE)


def test_known_prototypes_recognise_what_lies_around_them() -> None:
    toy = make_toy()
    asked = asked_of(toy)
    kept = kept_of(toy.means, asked)
    values = measure_recogniser(kept, asked)
    assert values["zsl"]["hit@1"] > 0.95
    assert values["harmonic"]["harmonic"] > 0.9
    assert values["below_chance"] == []
    assert "below chance" not in page_of(values, asked)
    figure, about = draw_embeddings(kept, asked, values["by_class"])
    assert sorted(about["classes"]) == sorted(asked.table.unseen)
    assert about["drawings"] == 8 * 20
    assert 0 < about["variance"] < 1
    shown = " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())
    assert f"hold {about['variance']:.1%} of their variance" in shown


def test_the_plane_holds_the_share_of_variance_that_it_says() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 6)) * [5, 3, 1, 1, 1, 0.5] + 7
    plane = principal_plane(rows)
    covariance = np.cov(rows.T)
    values = np.sort(np.linalg.eigvalsh(covariance))[::-1]
    assert plane.share == pytest.approx(values[:2].sum() / values.sum())
    assert plane.project(rows).var(axis=0, ddof=1) == pytest.approx(values[:2])
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2), abs=1e-12)
    assert np.array_equal(principal_plane(rows).axes, plane.axes)


@pytest.mark.parametrize("rows", [np.ones((1, 3)), np.ones((4, 3)), np.arange(4.0)[:, None]])
def test_drawings_that_do_not_vary_in_two_directions_have_a_plane(rows: np.ndarray) -> None:
    assert np.isfinite(principal_plane(rows).project(rows)).all()


def test_classes_are_chosen_evenly_from_the_best_to_the_worst() -> None:
    hits = {f"c{place:02}": place / 40 for place in range(41)}
    assert spread_by_accuracy(hits, 5) == ["c40", "c30", "c20", "c10", "c00"]
    assert spread_by_accuracy({"b": 0.5, "a": 0.5, "c": 1.0}) == ["c", "b", "a"]
    assert len(spread_by_accuracy(hits)) == MOST_CLASSES


def test_prototypes_of_the_wrong_classes_are_warned_of() -> None:
    toy = make_toy()
    asked = asked_of(toy)
    prototypes = toy.means.copy()
    prototypes[UNSEEN] = toy.means[np.roll(UNSEEN, 1)]
    values = measure_recogniser(kept_of(prototypes, asked), asked)
    below = {each["measure"]: each for each in values["below_chance"]}
    assert values["zsl"]["hit@1"] < 0.05
    assert below["ZSL hit@1"] == {"measure": "ZSL hit@1", "value": values["zsl"]["hit@1"], "chance": 0.125}
    page = page_of(values, asked)
    assert "**Warning: below chance.**" in page
    assert f"- toy.eve: ZSL hit@1 {values['zsl']['hit@1']:.4f}, chance 0.1250" in page
    assert "γ makes up for that" in page


def test_a_class_that_all_are_taken_for_is_named_a_hub() -> None:
    toy = make_toy()
    asked = asked_of(toy)
    prototypes = np.full_like(toy.means, 1e3)
    prototypes[UNSEEN[2]] = 0
    values = measure_recogniser(kept_of(prototypes, asked), asked)
    hub = {"class": "class 08", "drawings": 20, "predicted": 160, "seen": False}
    assert values["hubs"] == {"unseen": [hub], "all": [hub]}
    assert "| class 08 | 20 | 160 | unseen |" in page_of(values, asked)


def test_names_cannot_break_out_of_tables_and_pictures() -> None:
    toy = make_toy()
    odd = {0: "a | b", 4: "c\nd", 8: "<img src=x>", 12: "**e**", 16: "`f`", 20: "[g](h) & i"}
    asked = asked_of(toy, tuple(odd.get(place, f"class {place}") for place in range(CLASSES)))
    kept = kept_of(toy.means, asked)
    values = measure_recogniser(kept, asked)
    rows = [line for line in page_of(values, asked).splitlines() if " | 20 | " in line]
    shown = {line.removeprefix("| ").split(" | 20 | ")[0] for line in rows}
    assert shown >= {r"a \| b", "c d", r"\<img src=x\>", r"\*\*e\*\*", r"\`f\`", r"\[g\](h) \& i"}
    texts = {text.get_text() for text in draw_embeddings(kept, asked, values["by_class"])[0].findobj(Text)}
    assert {"a | b", "c\ufffdd", "<img src=x>", "**e**", "[g](h) & i"} <= texts


@pytest.mark.parametrize("k", [1, 10])
def test_chance_of_hubness_is_what_random_orders_give(k: int) -> None:
    random = np.random.default_rng(0)
    found = [hubness(random.random((60, 400)), k) for _ in range(20)]
    assert chance_of_hubness(k, 400, 60) == pytest.approx(np.mean(found), rel=0.1)


# ---- pages and the command -------------------------------------------------------------------------------------------


def sketchdata(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sketchdata", "evaluate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_command_prints_what_it_wrote(run: Path, found: dict[str, Any]) -> None:
    done = sketchdata(run, "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    values = orjson.loads(done.stdout)
    assert values == orjson.loads((run / JSON_FILE).read_bytes())
    assert values["recognisers"].keys() == found["recognisers"].keys()
    page = (run / TABLE_FILE).read_text(encoding="utf-8")
    assert "36 drawings of 3 unseen classes and 48 of 4 seen ones" in page
    assert "Left out of the experiment: sea turtle." in page
    assert "| *chance* | 0.5000 | 0.3333 |" in page
    assert page.count("(chosen)") == 1
    assert all(f"words.{method}" in page for method in METHODS)
    shown = words_of((run / PICTURE_FILE).read_bytes())
    assert {line.partition("  ")[2] for line in shown} >= set(UNSEEN_WORDS)
    assert f"Embeddings of {found['chosen']}" in shown


@pytest.mark.slow
def test_the_command_shows_the_chosen_recogniser_beside_chance(run: Path, found: dict[str, Any]) -> None:
    done = sketchdata(run, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    own = found["recognisers"][found["chosen"]]
    assert f"{found['chosen']}, chosen from 3 by validation classes" in done.stdout
    assert f"ZSL hit@1 {own['zsl']['hit@1']:.4f} (chance 0.3333)" in done.stdout
    sides = " ".join(f"{side[0].upper()} {own['harmonic'][side]:.4f}" for side in ("unseen", "seen", "harmonic"))
    assert f"GZSL {sides} (chance 0.1429 each)" in done.stdout
    assert f"see {run / TABLE_FILE}" in done.stdout


@pytest.mark.slow
def test_classes_to_be_unseen_are_those_of_the_run(run: Path) -> None:
    done = sketchdata(run, "--unseen", "2")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "which has unseen classes of its own" in " ".join(done.stderr.split())


def test_runs_that_are_not_whole_or_not_their_own_are_refused(data: Path, tmp_path: Path) -> None:
    out = make_run(tmp_path / "run", data)
    first = read_recognisers(out)[0]
    write_recogniser(out, replace(first, source="other", classes=WORDS[::-1]))
    with pytest.raises(SketchDataError, match=r"the recogniser other\.eszsl in .* belongs to another run"):
        evaluate_zero_shot(out, None, device="cpu", batch_size=64)
    (out / "training.json").unlink()
    with pytest.raises(SketchDataError, match="its training did not finish"):
        evaluate_zero_shot(out, None, device="cpu", batch_size=64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zero_shot": None}, "is not a run of `sketchdata train zsl`"),
        ({"zero_shot": {"classes": WORDS}}, "zero_shot.seen: expected a value, found none"),
        (
            {"zero_shot": {"classes": WORDS, "seen": WORDS, "validation": [], "unseen": [], "left_out": []}},
            "seen and unseen classes of its record are not its classes",
        ),
    ],
)
def test_records_without_the_classes_of_the_experiment_are_refused(
    run: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    record = orjson.loads((run / "run.json").read_bytes()) | change
    (tmp_path / "run.json").write_bytes(orjson.dumps(record))
    (tmp_path / "training.json").write_bytes(b"{}")
    with pytest.raises(SketchDataError, match=message):
        evaluate_zero_shot(tmp_path, None, device="cpu", batch_size=64)


def test_data_without_a_class_of_the_run_or_without_the_split_is_refused(run: Path, tmp_path: Path) -> None:
    place = bitmap_folder(tmp_path / "bitmaps", **dict.fromkeys(WORDS[:-1], generated_bitmaps(100)))
    with pytest.raises(ConfigError, match=r"1 of them \(sun\) are not among the 6"):
        evaluate_zero_shot(run, place, device="cpu", batch_size=64)
    with pytest.raises(ConfigError, match="there is no split 'galery'"):
        evaluate_zero_shot(run, None, "galery", device="cpu", batch_size=64)
