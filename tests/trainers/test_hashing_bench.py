"""The comparison of hashing methods: its numbers are those of its runs, and nothing is done twice, even if killed."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from click.testing import CliRunner

from sketchdata.classes.splits import draw_classes
from sketchdata.cli import bench as command
from sketchdata.errors import ConfigError
from sketchdata.formats.codes import Codes, pack_bits
from sketchdata.pipelines import quickdraw, synth
from sketchdata.retrieval.code_evaluation import class_spread
from sketchdata.retrieval.scores import score_codes
from sketchdata.retrieval.shallow_hashing import SHALLOW_HASHERS, hog_features
from sketchdata.trainers import hashing_bench
from sketchdata.trainers.hashing_bench import Config, run
from sketchdata.training.bitmaps import read_split
from sketchdata.training.encoder import codes_of, embed, encode, read_encoder
from tests.bitmap_folders import bitmap_folder
from tests.builds import IN_PROCESS
from tests.pictures import words_of
from tests.trainings import LOOP, NETWORK, flags, kill_in, loop, network

CLASSES = ("cat", "fish", "house", "star")
ROWS = (
    "dsh-pair-16",
    "dlbhc-16",
    "cr-scl-16",
    "sketchcode-16",
    "lsh-deep-16",
    "sdh-hog-16",
    "recognise-cnn",
    "unseen-dlbhc-16",
)
TRAINED = ("dsh-pair-16", "dlbhc-16", "cr-scl-16", "sketchcode-16")
ONE = {"cnn_epochs": 1, "rnn_epochs": 1, "fusion_epochs": 1, "center_epochs": 1, "code_epochs": 1}
TINY: dict[str, Any] = {
    **ONE,
    "bits": "16",
    "fixed_bits": "16",
    "unseen": 2,
    "baseline_epochs": 1,
    "seeds": 1,
    "recipe_backbone": "small",
    "recipe_proxy_epochs": 1,
    "recipe_code_epochs": 5,
    "width": 16,
}
QUICK = {"batch_size": 32, "save_minutes": 9.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of four classes, so that two can be held out."""
    folder, categories = tmp_path_factory.mktemp("bench"), ",".join(CLASSES)
    synth.run(synth.Config(out=folder / "source", drawings=60, categories=categories), IN_PROCESS)
    sizes = {"train": 25, "val": 10, "gallery": 8, "query": 4}
    options = {"source": str(folder / "source"), "out": folder / "built", "categories": categories}
    quickdraw.run(quickdraw.Config(**options, **sizes), IN_PROCESS)
    return folder / "built"


def config(data: Path, out: Path, **others: Any) -> Config:
    return Config(data=data, out=out, **{"rows": ",".join(ROWS), **TINY, **others})


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a whole comparison."""
    out = tmp_path_factory.mktemp("done") / "bench"
    run(config(data, out), network(), loop(**QUICK))
    return out


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    results = orjson.loads((out / "hashing.json").read_bytes())
    return {row["name"]: row for row in results["rows"]}


def times(out: Path) -> dict[str, int]:
    """Give when each file that costs something was written."""
    whole = (path for name in ("runs", "rows", "features") for path in (out / name).rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in whole}


def without_clock(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a row's values what another run of the same makes otherwise."""
    kept = {name: value for name, value in values.items() if name not in ("seconds", "cost", "seeds")}
    if "retrieval" in kept:
        kept["retrieval"] = {name: value for name, value in kept["retrieval"].items() if name != "seconds"}
    return kept


def assert_measures(row: dict[str, Any], query: Codes, gallery: Codes) -> None:
    expected = score_codes(query, gallery).values()
    assert {name: expected[name] for name in row["retrieval"] if name != "seconds"} == {
        name: value for name, value in row["retrieval"].items() if name != "seconds"
    }


# ---- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_rows_stand_in_their_own_order_in_files_and_results(done: Path) -> None:
    assert tuple(rows_of(done)) == ROWS
    assert sorted(path.stem for path in (done / "rows").iterdir()) == sorted(ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_a_trained_row_is_what_its_network_s_codes_are_worth(name: str, data: Path, done: Path) -> None:
    row, trained = rows_of(done)[name], read_encoder(done / "runs" / name)
    query, gallery = (read_split(data, split) for split in ("query", "gallery"))
    assert_measures(row, encode(trained, query), encode(trained, gallery))
    with torch.no_grad():
        numbers, scores = trained(trained.view.batch(gallery, torch.arange(len(gallery))))
    assert row["accuracy"] == pytest.approx(float((scores.argmax(1) == gallery.labels).float().mean()))
    d1, d2 = class_spread(numbers.numpy(), gallery.labels.numpy())
    assert row["spread"] == pytest.approx({"d1": d1, "d2": d2, "ratio": d1 / d2}, rel=1e-4)
    report = orjson.loads((done / "runs" / name / "training.json").read_bytes())
    assert (row["parameters"], row["model"]) == (report["parameters"], report["sha256"])


@pytest.mark.slow
def test_the_papers_rows_and_the_baselines_learn_for_equally_many_epochs(
    data: Path, done: Path, tmp_path: Path
) -> None:
    def stages(out: Path, name: str) -> list[tuple[str, int]]:
        report = orjson.loads((out / "runs" / name / "training.json").read_bytes())
        return [(stage["stage"], stage["epochs"]) for stage in report["stages"] if stage["stage"] not in ("cnn", "rnn")]

    # One of fusion, of centres and of codes each; cross entropy alone is the centre loss of weight 0.
    assert stages(done, "dlbhc-16") == [("fusion", 1), ("centers", 2)] == stages(done, "cr-scl-16")
    record = orjson.loads((done / "runs" / "dlbhc-16" / "run.json").read_bytes())["options"]
    assert (record["loss"], record["center_weight"]) == ("cel+cl", 0.0)
    out = tmp_path / "bench"
    few = config(data, out, rows="csq,cr-scl-ql,cr-cl", baseline_epochs=None)
    results = run(few, network(), loop(**QUICK))
    assert stages(out, "cr-scl-ql-16") == [("fusion", 1), ("centers", 1), ("codes", 1)]
    assert stages(out, "csq-16") == [("codes", 3)]
    assert {row["epochs"] for row in results["rows"]} == {3}


@pytest.mark.slow
def test_every_seed_is_a_training_of_its_own_and_the_first_stands_for_the_row(
    data: Path, done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench"
    results = run(config(data, out, rows="dlbhc,lsh-hog", seeds=2), network(), loop(**QUICK))
    # The branches that rows share have no code layer to train.
    assert "untrained" not in capsys.readouterr().err
    for row in results["rows"]:
        first, second = row["seeds"]
        assert row["retrieval"] == first["retrieval"]
        assert (first["options"]["seed"], second["options"]["seed"]) == (0, 1)
        assert first["retrieval"]["map"] != second["retrieval"]["map"]
        alone = rows_of(done).get(row["name"])
        assert alone is None or without_clock(orjson.loads(orjson.dumps(first))) == without_clock(
            {name: alone[name] for name in first}
        )
    models = [
        orjson.loads((folder / "runs" / "dlbhc-16" / "run.json").read_bytes()) for folder in (out, out / "seeds/1")
    ]
    assert [record["options"]["seed"] for record in models] == [0, 1]
    assert " ± " in (out / "hashing.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_zero_shot_rows_look_for_unseen_classes_among_unseen_classes(data: Path, done: Path) -> None:
    row, trained = rows_of(done)["unseen-dlbhc-16"], read_encoder(done / "runs" / "unseen-dlbhc-16")
    words = draw_classes(CLASSES, 2)
    assert set(trained.classes) == set(CLASSES) - set(words)
    query, gallery = (read_split(data, split).of_classes(words) for split in ("query", "gallery"))
    assert_measures(row, encode(trained, query), encode(trained, gallery))
    assert row["retrieval"]["chance"] == 0.5
    assert "accuracy" not in row


@pytest.mark.slow
def test_shallow_rows_are_fitted_on_features_of_train(data: Path, done: Path) -> None:
    packed = {split: read_split(data, split) for split in ("train", "gallery", "query")}
    trained = read_encoder(done / "runs" / "features")
    deep = {split: embed(trained, own) for split, own in packed.items()}
    assert deep["train"].shape == (100, 256)
    hog = {split: hog_features(own.raster(torch.arange(len(own)), 56)[:, 0].numpy()) for split, own in packed.items()}
    for name, method, features in (("lsh-deep-16", "lsh", deep), ("sdh-hog-16", "sdh", hog)):
        labels = packed["train"].labels.numpy() if SHALLOW_HASHERS[method].supervised else None
        hasher = SHALLOW_HASHERS[method].fit(features["train"], labels, 16, 0)
        query, gallery = (
            codes_with(hasher.encode(features[split]), codes_of(deep[split][:, :16], 0.5, packed[split]))
            for split in ("query", "gallery")
        )
        row = rows_of(done)[name]
        assert_measures(row, query, gallery)
        assert (row["fitted_on"], row["features"]) == (100, features["train"].shape[1])


@pytest.mark.slow
@pytest.mark.parametrize("row", ["sdh-hog", "sdh-deep"])
def test_of_train_no_more_drawings_are_described_than_are_learned_from(
    row: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing_bench, "MOST_ROWS", 40)
    run(config(data, tmp_path / "bench", rows=row), network(), loop(**QUICK))
    (path,) = (tmp_path / "bench" / "features").glob("*-train*.npy")
    found, train, rows = np.load(path), read_split(data, "train"), torch.arange(40) * 100 // 40
    if row == "sdh-hog":
        expected = hog_features(train.raster(rows, 56)[:, 0].numpy())
    else:
        expected = embed(read_encoder(tmp_path / "bench" / "runs" / "features"), train)[rows.numpy()]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    result = rows_of(tmp_path / "bench")[f"{row}-16"]
    assert result["fitted_on"] == 40
    hasher = SHALLOW_HASHERS["sdh"].fit(found, train.labels.numpy()[rows.numpy()], 16, 0)
    kept = [np.load(next(path.parent.glob(f"*-{split}*.npy"))) for split in ("query", "gallery")]
    blank = (
        codes_of(np.zeros((len(own), 16), np.float32), 0.5, own)
        for own in (read_split(data, split) for split in ("query", "gallery"))
    )
    query, gallery = (codes_with(hasher.encode(each), own) for each, own in zip(kept, blank, strict=True))
    # Labels that did not belong to the drawings would give other codes.
    assert_measures(result, query, gallery)


def codes_with(bits: np.ndarray, of: Codes) -> Codes:
    return Codes(bits=bits.shape[1], packed=pack_bits(bits), labels=of.labels, key_ids=of.key_ids, classes=of.classes)


@pytest.mark.slow
def test_a_recognition_row_is_the_share_of_the_gallery_that_is_recognised(data: Path, done: Path) -> None:
    trained, gallery = read_encoder(done / "runs" / "recognise-cnn"), read_split(data, "gallery")
    with torch.no_grad():
        _, scores = trained(trained.view.batch(gallery, torch.arange(len(gallery))))
    row = rows_of(done)["recognise-cnn"]
    assert row["accuracy"] == pytest.approx(float((scores.argmax(1) == gallery.labels).float().mean()))
    assert "retrieval" not in row
    assert trained.width == 16


@pytest.mark.slow
def test_seconds_are_those_of_the_own_stages_and_of_shared_ones_that_were_needed(done: Path) -> None:
    def seconds(run: str) -> dict[str, float]:
        lines = [orjson.loads(line) for line in (done / "runs" / run / "metrics.jsonl").read_bytes().splitlines()]
        return {line["stage"]: line["seconds"] for line in lines}

    shared, rows = seconds("branches"), rows_of(done)
    assert set(shared) == {"cnn", "rnn"}
    dlbhc = shared["cnn"] + seconds("fusion-cnn-16")["fusion"] + seconds("dlbhc-16")["centers"]
    assert rows["dlbhc-16"]["seconds"] == pytest.approx(dlbhc, abs=0.051)
    centers = shared["cnn"] + shared["rnn"] + seconds("fusion-cr-16")["fusion"] + seconds("cr-scl-16")["centers"]
    assert rows["cr-scl-16"]["seconds"] == pytest.approx(centers, abs=0.051)
    assert rows["dsh-pair-16"]["seconds"] == pytest.approx(shared["cnn"] + seconds("dsh-pair-16")["codes"], abs=0.051)
    assert rows["sketchcode-16"]["seconds"] == pytest.approx(sum(seconds("sketchcode-16").values()), abs=0.051)


@pytest.mark.slow
def test_the_page_tells_chance_definition_bounds_and_what_was_published(done: Path) -> None:
    text, rows = (done / "hashing.md").read_text(encoding="utf-8"), rows_of(done)
    found = rows["dlbhc-16"]["retrieval"]
    assert f"A random order has a mean average precision of 0.3240. {found['definition']}" in text
    (line,) = (line for line in text.splitlines() if line.startswith("| DLBHC | 16 | ") and "0.5453" in line)
    bounds = f"{found['map']['pessimistic']:.4f} – {found['map']['optimistic']:.4f}"
    assert f"| {found['map']['expected']:.4f} | {bounds} |" in line
    # What Xu et al. say in Tables II and III of 16 bits.
    assert "0.5142" in line
    assert "| 0.6016 | 0.5928 |" in text
    assert "| 0.5078 | 4.2581 | 0.126 |" in text
    assert "| 16, the paper's | 345,000 | 0.089 | | | 612 |" in text
    names = {"16 bits", "recall", "precision", "DLBHC", "CR + CEL + SCL", "sketchcode, ours", "LSH, deep features"}
    assert names <= set(words_of((done / "precision-recall.svg").read_bytes()))
    assert "| SDH, HOG | 16 |" in text
    assert "| 0.0160 |" in text
    assert "| 0.3327 |" in text


# ---- going on --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_second_call_computes_nothing_again(data: Path, done: Path) -> None:
    before, results = times(done), orjson.loads((done / "hashing.json").read_bytes())
    again = run(config(data, done), network(), loop(**QUICK))
    assert times(done) == before
    assert orjson.loads(orjson.dumps(again)) == results


@pytest.mark.slow
def test_fewer_rows_are_taken_from_what_is_there_and_the_table_has_these_alone(data: Path, done: Path) -> None:
    before, kept = times(done), rows_of(done)
    results = run(config(data, done, rows="dlbhc,lsh-deep"), network(), loop(**QUICK))
    assert {row["name"]: orjson.loads(orjson.dumps(row)) for row in results["rows"]} == {
        name: kept[name] for name in ("dlbhc-16", "lsh-deep-16")
    }
    assert times(done) == before
    run(config(data, done), network(), loop(**QUICK))


@pytest.mark.slow
def test_a_comparison_that_was_killed_goes_on_and_ends_the_same(data: Path, done: Path, tmp_path: Path) -> None:
    out, few = tmp_path / "bench", config(data, tmp_path / "bench", rows="dlbhc,sketchcode,lsh-hog")
    # With a checkpoint after every step, so that there is one to wait for.
    often = loop(**{**QUICK, "save_minutes": 0.0})
    assert kill_in(out / "runs" / "sketchcode-16", "codes", run, few, network(), often) == -signal.SIGKILL
    assert not (out / "rows" / "sketchcode-16.json").exists()
    before = times(out)
    assert "rows/dlbhc-16.json" in before
    # What was measured before the kill is in the table already.
    assert list(rows_of(out)) == ["dlbhc-16"]
    run(few, network(), loop(**QUICK))
    after, whole = times(out), rows_of(done)
    untouched = [name for name in before if "dlbhc" in name or "branches" in name]
    assert [after[name] for name in untouched] == [before[name] for name in untouched]
    for name in ("dlbhc-16", "sketchcode-16"):
        assert without_clock(rows_of(out)[name]) == without_clock(whole[name])
    assert "lsh-hog-16" in rows_of(out)


@pytest.mark.slow
@pytest.mark.parametrize("row", ["dlbhc", "lsh-deep"])
def test_options_that_change_a_row_are_refused(row: str, data: Path, done: Path) -> None:
    with pytest.raises(ConfigError, match="holds a training with --cnn-epochs 1: use that, or another --out"):
        run(config(data, done, rows=row, cnn_epochs=2), network(), loop(**QUICK))
    assert rows_of(done)["dlbhc-16"]["options"]["cnn_epochs"] == 1


@pytest.mark.slow
def test_under_options_that_do_not_change_a_row_it_is_measured_again_and_not_trained(data: Path, done: Path) -> None:
    before, kept = times(done), rows_of(done)["dlbhc-16"]
    for epochs in (3, TINY["recipe_proxy_epochs"]):
        results = run(config(data, done, rows="dlbhc", recipe_proxy_epochs=epochs), network(), loop(**QUICK))
        (row,) = orjson.loads(orjson.dumps(results["rows"]))
        assert row["options"]["recipe_proxy_epochs"] == epochs
        assert without_clock({**row, "options": kept["options"]}) == without_clock(kept)
    assert {name for name, time in times(done).items() if time != before[name]} == {"rows/dlbhc-16.json"}
    run(config(data, done), network(), loop(**QUICK))


# ---- what there cannot be --------------------------------------------------------------------------------------------


def test_too_few_classes_for_zero_shot_rows_are_told_before_anything_is_trained(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--unseen 3 leaves too few of 4 classes"):
        run(config(data, tmp_path / "bench", unseen=3), network(), loop(**QUICK))
    assert not (tmp_path / "bench").exists()


@pytest.mark.slow
def test_rows_without_their_vectors_are_left_out_with_a_word(
    data: Path, done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = config(data, done, rows="dlbhc,dsh-sketch,unseen-dsh-sketch", vectors=data / "no-words.npy")
    results = run(few, network(), loop(**QUICK))
    assert [row["name"] for row in results["rows"]] == ["dlbhc-16"]
    said = capsys.readouterr().err
    for name in ("dsh-sketch-16", "unseen-dsh-sketch-16"):
        assert f"{name} is left out: it needs --vectors and --vector-words" in said


@pytest.mark.slow
def test_bitmaps_have_the_rows_that_ink_is_enough_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = bitmap_folder(tmp_path / "data")
    wanted = "csq,dlbhc,cr-scl-ql,sketchcode,sketchcode-ink,lsh-deep,recognise-cnn,recognise-cel"
    changed = {"rows": wanted, "unseen": 0, "recipe_code_epochs": 0}
    results = run(config(place, tmp_path / "bench", **changed), network(size=28), loop(batch_size=64, save_minutes=9.0))
    assert [row["name"] for row in results["rows"]] == [
        "csq-16", "dlbhc-16", "sketchcode-16", "lsh-deep-16", "recognise-cnn"
    ]  # fmt: skip
    said = capsys.readouterr().err
    for name in ("cr-scl-ql-16", "sketchcode-ink-16", "recognise-cel"):
        assert f"{name} is left out: bitmaps have no points and no strokes" in said
    rows = {row["name"]: row for row in results["rows"]}
    assert rows["csq-16"]["retrieval"]["queries"] == len(read_split(place, "query"))
    trained = read_encoder(tmp_path / "bench" / "runs" / "sketchcode-16")
    assert trained.view.channels == "ink"
    gallery = read_split(place, "gallery")
    assert_measures(rows["sketchcode-16"], encode(trained, read_split(place, "query")), encode(trained, gallery))


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_names_its_rows() -> None:
    said = CliRunner().invoke(command.hashing, ["--list-rows"], catch_exceptions=False)
    assert said.exit_code == 0
    lines = said.output.splitlines()
    assert "dlbhc                    DLBHC (table II)" in lines
    assert "sketchcode-ink           without stroke channels" in lines
    assert any(line.startswith("unseen-cr-scl-ql ") and "(table VII)" in line for line in lines)


@pytest.mark.slow
def test_the_command_prints_what_is_in_the_folder(data: Path, done: Path) -> None:
    options = {**TINY, **NETWORK, **LOOP, **QUICK, "data": data, "out": done, "rows": ",".join(ROWS)}
    before = times(done)
    said = CliRunner().invoke(command.hashing, flags(**options), catch_exceptions=False)
    assert said.exit_code == 0
    rows = rows_of(done)
    assert f"dlbhc-16: mAP {rows['dlbhc-16']['retrieval']['map']['expected']:.4f}" in said.stdout
    assert f"recognise-cnn: top-1 {rows['recognise-cnn']['accuracy']:.4f}" in said.stdout
    said = CliRunner().invoke(command.hashing, [*flags(**options), "--json"], catch_exceptions=False)
    assert json.loads(said.stdout) == orjson.loads((done / "hashing.json").read_bytes())
    assert times(done) == before
