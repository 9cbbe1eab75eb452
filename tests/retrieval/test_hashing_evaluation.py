"""Evaluation of binary codes: its numbers against loops over the codes, classes never seen, and its pages."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest

from sketchdata.display.charts import Curve
from sketchdata.errors import ConfigError
from sketchdata.formats.codes import Codes, pack_bits
from sketchdata.pipelines import quickdraw, synth
from sketchdata.retrieval.code_evaluation import PAPER_GALLERY, class_spread, curves_csv, search_cost, unseen_classes
from sketchdata.retrieval.evaluation import (
    CURVE_FILE,
    CURVE_TABLE_FILE,
    JSON_FILE,
    TABLE_FILE,
    evaluate,
    evaluate_run,
)
from sketchdata.trainers import hashing, recognition
from sketchdata.training.bitmaps import read_split
from sketchdata.training.encoder import embed, encode, read_encoder
from sketchdata.training.run_folder import read_record
from tests.bitmap_folders import bitmap_folder
from tests.builds import IN_PROCESS
from tests.pictures import words_of
from tests.trainings import loop, network

CLASSES = ("cat", "fish", "house", "star", "sun")
BITS = 16
EPOCHS = {"cnn_epochs": 2, "rnn_epochs": 0, "fusion_epochs": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of five classes, so that two can be held out and more than two learned."""
    folder, categories = tmp_path_factory.mktemp("five"), ",".join(CLASSES)
    synth.run(synth.Config(out=folder / "source", drawings=80, categories=categories), IN_PROCESS)
    sizes = {"train": 30, "val": 8, "gallery": 14, "query": 5}
    quickdraw.run(
        quickdraw.Config(source=str(folder / "source"), out=folder / "built", categories=categories, **sizes),
        IN_PROCESS,
    )
    return folder / "built"


def trained_run(data: Path, out: Path, **others: Any) -> Path:
    """Train a small network of codes on pictures, and return its folder."""
    config = hashing.Config(data=data, out=out, bits=str(BITS), loss="cel", **EPOCHS, **others)
    hashing.run(config, network(branch="cnn"), loop(learning_rate=0.005, save_minutes=10.0))
    return out


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training that held two classes out."""
    return trained_run(data, tmp_path_factory.mktemp("run"), unseen=2)


@pytest.fixture(scope="module")
def found(run: Path) -> dict[str, Any]:
    return evaluate_run(run, None, "gallery", device="cpu", batch_size=7)


def brute_force(query: Codes, gallery: Codes, k: int) -> dict[str, float]:
    """Count by loops over single drawings what is expected of ties in random order, and what the extremes give."""
    bits = [np.unpackbits(codes.packed, axis=1, bitorder="little")[:, : codes.bits] for codes in (query, gallery)]
    sums = dict.fromkeys(("expected", "pessimistic", "optimistic", "precision", "chance"), 0.0)
    for code, label in zip(bits[0], query.labels, strict=True):
        distance, relevant = (bits[1] != code).sum(1), gallery.labels == label
        sums["chance"] += float(relevant.mean())
        sums["expected"] += expected_precision(distance, relevant)
        for name, sign in (("pessimistic", 1), ("optimistic", -1)):
            order = np.lexsort((sign * relevant, distance))
            sums[name] += strict_precision(relevant[order])
        for own in np.unique(distance):
            group = relevant[distance == own]
            taken = min(max(k - int((distance < own).sum()), 0), len(group))
            sums["precision"] += taken * float(group.mean()) / k
    return {name: total / len(query) for name, total in sums.items()}


def strict_precision(relevant: npt.NDArray[np.bool_]) -> float:
    hits = np.flatnonzero(relevant)
    return float(np.mean([(rank + 1) / (place + 1) for rank, place in enumerate(hits)]))


def expected_precision(distance: npt.NDArray[Any], relevant: npt.NDArray[np.bool_]) -> float:
    """Average over the places that each relevant drawing may take within its group of ties."""
    total = 0.0
    for own in distance[relevant]:
        group, before = relevant[distance == own], relevant[distance < own]
        others = (group.sum() - 1) / max(len(group) - 1, 1)
        at = [(before.sum() + 1 + place * others) / (len(before) + place + 1) for place in range(len(group))]
        total += float(np.mean(at))
    return total / int(relevant.sum())


def codes_of_split(run: Path, data: Path, split: str, words: tuple[str, ...]) -> Codes:
    return encode(read_encoder(run), read_split(data, split).of_classes(words))


@pytest.mark.slow
@pytest.mark.parametrize("part", ["retrieval", "zero_shot"])
def test_the_numbers_are_those_of_loops_over_the_codes(part: str, found: dict[str, Any], run: Path, data: Path) -> None:
    record = read_record(run)
    words = tuple(record["classes"] if part == "retrieval" else record["unseen"])
    query, gallery = (codes_of_split(run, data, split, words) for split in ("query", "gallery"))
    values = found[part]
    expected = brute_force(query, gallery, values["k"])
    assert (values["bits"], values["queries"], values["gallery"]) == (BITS, 5 * len(words), 14 * len(words))
    assert values["chance"] == pytest.approx(expected["chance"]) == pytest.approx(1 / len(words))
    for bound in ("expected", "pessimistic", "optimistic"):
        assert values["map"][bound] == pytest.approx(expected[bound])
    assert values["precision_at_k"]["expected"] == pytest.approx(expected["precision"])
    assert set(values["classes"]) == set(words)


@pytest.mark.slow
def test_zero_shot_is_of_the_classes_that_were_held_out(found: dict[str, Any], run: Path, data: Path) -> None:
    record = read_record(run)
    assert len(record["unseen"]) == 2
    assert found["zero_shot"]["unseen"] == record["unseen"]
    assert not set(record["unseen"]) & set(found["retrieval"]["classes"])
    asked = evaluate_run(run, data, "gallery", device="cpu", batch_size=64, unseen=2)
    assert {**asked["zero_shot"], "seconds": 0} == {**found["zero_shot"], "seconds": 0}


@pytest.mark.slow
def test_more_unseen_classes_than_there_are_is_an_error_that_says_how_to_train(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"did not learn 2 of the 5 classes .* train with --unseen 3"):
        evaluate_run(run, None, "gallery", device="cpu", batch_size=64, unseen=3)


def test_unseen_classes_are_chosen_as_trainings_hold_them_out() -> None:
    table = tuple(f"class {number}" for number in range(12))
    held = unseen_classes(table[:2], table, (), 6)
    assert len(held) == 6
    assert not set(held) & set(table[:2])
    assert set(unseen_classes(table[:2], table, (), 4)) < set(held)
    assert unseen_classes(table[:2], table, (), 10) == table[2:]
    assert unseen_classes(table, table, (), None) == ()
    # A training that held one class out tells nothing: in a gallery of one class everything is right.
    assert unseen_classes(table[1:], table, table[:1], None) == ()


@pytest.mark.slow
def test_the_spread_is_that_of_the_gallery_s_numbers(found: dict[str, Any], run: Path, data: Path) -> None:
    packed = read_split(data, "gallery").of_classes(read_record(run)["classes"])
    d1, d2 = class_spread(embed(read_encoder(run), packed), packed.labels.numpy())
    assert found["spread"]["d1"] == pytest.approx(d1, rel=1e-4)
    assert found["spread"]["ratio"] == pytest.approx(d1 / d2, rel=1e-4)
    assert found["spread"]["activation"] == "sigmoid"


def test_the_spread_counts_classes_alike_and_each_pair_of_means() -> None:
    random = np.random.default_rng(5)
    labels = np.array([0, 0, 0, 0, 2, 2, 3])
    numbers = random.normal(size=(7, 4)).astype(np.float32)
    groups = [numbers[labels == label].astype(np.float64) for label in (0, 2, 3)]
    means = [group.mean(0) for group in groups]
    within = [np.mean([np.sum((one - mean) ** 2) for one in group]) for group, mean in zip(groups, means, strict=True)]
    between = [np.sum((means[i] - means[j]) ** 2) for i in range(3) for j in range(i)]
    assert class_spread(numbers, labels) == pytest.approx((np.mean(within), np.mean(between)))
    with pytest.raises(ValueError, match="needs two of them, and there are 1"):
        class_spread(numbers[:4], labels[:4])


@pytest.mark.slow
def test_known_numbers_are_recognised_as_the_drawings_are(run: Path, data: Path) -> None:
    trained = read_encoder(run)
    packed = read_split(data, "gallery").of_classes(trained.classes)
    numbers = embed(trained, packed)
    known, asked = (evaluate(trained, packed, embeddings=own, batch_size=9) for own in (numbers, None))
    assert known["confused"] == asked["confused"]
    assert known["classes"] == asked["classes"]
    assert known["ece"] == pytest.approx(asked["ece"], rel=1e-5)


@pytest.mark.slow
def test_the_command_writes_its_pages_and_prints_json(run: Path) -> None:
    command = [sys.executable, "-m", "sketchdata", "evaluate", str(run), "--split", "val", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    values = orjson.loads(done.stdout)
    assert values == orjson.loads((run / JSON_FILE).read_bytes())
    assert (values["split"], values["drawings"]) == ("val", 24)
    assert {"retrieval", "zero_shot", "spread", "cost"} <= set(values)
    page = (run / TABLE_FILE).read_text(encoding="utf-8")
    whole = values["retrieval"]["map"]
    cells = " | ".join(f"{whole[side]:.4f}" for side in ("expected", "pessimistic", "optimistic"))
    for text in (
        f"| **mAP** | {cells} |",
        "and a precision of 0.3333.",
        "and a precision of 0.5000.",
        values["retrieval"]["definition"],
        f"The classes: {', '.join(values['zero_shot']['unseen'])}.",
        "## Cost of a search",
        "## Recognition of val",
    ):
        assert text in page
    assert "16, the paper's | 345,000 | 0.089 |" in page


@pytest.mark.slow
def test_the_curve_s_table_and_picture_have_a_point_for_each_distance(found: dict[str, Any], run: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((run / CURVE_TABLE_FILE).read_text(encoding="utf-8"))))
    names = list(dict.fromkeys(row["classes"] for row in rows))
    assert names == ["3 learned classes", "2 unseen classes"]
    for name, part in zip(names, ("retrieval", "zero_shot"), strict=True):
        own = [row for row in rows if row["classes"] == name]
        assert [int(row["distance"]) for row in own] == found[part]["curve"]["distance"]
        assert [float(row["recall"]) for row in own] == found[part]["curve"]["recall"]
        assert [float(row["precision"]) for row in own] == found[part]["curve"]["precision"]
        assert float(own[-1]["recall"]) == pytest.approx(1)
        assert float(own[-1]["precision"]) == pytest.approx(found[part]["chance"])
    assert {*names, "recall", "precision"} <= set(words_of((run / CURVE_FILE).read_bytes()))


def test_a_curve_s_table_has_a_line_for_each_distance() -> None:
    curves = {"a < b & c": Curve(distance=[1, 2], recall=[0.25, 1.0], precision=[1.0, 0.5], chance=0.5)}
    assert curves_csv(curves) == "classes,distance,recall,precision\na < b & c,1,0.25,1.0\na < b & c,2,1.0,0.5\n"


def some_codes(count: int) -> Codes:
    bits = np.random.default_rng(3).random((count, BITS)) < 0.5
    labels = np.arange(count) % 2
    return Codes(
        bits=BITS,
        packed=pack_bits(bits),
        labels=labels.astype(np.uint16),
        key_ids=np.arange(count, dtype=np.uint64),
        classes=("cat", "star"),
    )


@pytest.mark.parametrize(("size", "found"), [(None, 1000), (PAPER_GALLERY, PAPER_GALLERY), (300, 300)])
def test_the_cost_of_a_search_is_measured_in_a_gallery_of_any_size(size: int | None, found: int) -> None:
    values = search_cost(some_codes(3), some_codes(1000), size=size)
    assert (values["gallery"], values["queries"], values["k"]) == (found, 3, 200)
    assert 0 < values["seconds"] <= values["slowest_seconds"]
    assert values["codes_bytes"] == 2 * found
    assert values["codes_bytes"] < values["search_bytes"] < values["peak_bytes"]


@pytest.mark.slow
def test_bitmaps_are_found_as_drawings_are(tmp_path: Path) -> None:
    out = trained_run(bitmap_folder(tmp_path / "bitmaps", count=300), tmp_path / "run")
    values = evaluate_run(out, None, "gallery", device="cpu", batch_size=64)
    assert values["retrieval"]["gallery"] == values["drawings"] == values["cost"][0]["gallery"]
    assert values["retrieval"]["map"]["pessimistic"] <= values["retrieval"]["map"]["expected"]
    assert "zero_shot" not in values


@pytest.mark.slow
def test_a_network_without_codes_has_no_retrieval(data: Path, tmp_path: Path) -> None:
    config = recognition.Config(data=data, out=tmp_path, width=8, loss="cel", **EPOCHS, center_epochs=0)
    recognition.run(config, network(branch="cnn"), loop(learning_rate=0.005, save_minutes=10.0))
    values = evaluate_run(tmp_path, None, "gallery", device="cpu", batch_size=64)
    assert not {"retrieval", "zero_shot", "spread", "cost"} & set(values)
    assert not (tmp_path / CURVE_FILE).exists()
    with pytest.raises(ConfigError, match="which a training of recognition does not: leave it out"):
        evaluate_run(tmp_path, None, "gallery", device="cpu", batch_size=64, unseen=2)


@pytest.mark.slow
def test_data_of_other_classes_is_refused(run: Path, tmp_path: Path) -> None:
    other = bitmap_folder(tmp_path / "bitmaps")
    with pytest.raises(ConfigError, match=r"knows 3 classes, and 3 of them .* are not among the 3 of .*: use the data"):
        evaluate_run(run, other, "gallery", device="cpu", batch_size=64)
