import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sketchdata.drawings.drawing import DrawingBatch, concatenate
from sketchdata.formats import ndjson
from sketchdata.storage.catalog import manifest_path, read_classes
from sketchdata.synth import generate
from sketchdata.synth.statistics import statistics, summary

WORDS = read_classes(manifest_path("quickdraw-categories.txt"))


def test_bytes_are_those_of_the_written_lines():
    batch = generate("The Eiffel Tower", 500, seed=2)
    lines = ndjson.dump(batch, "The Eiffel Tower").splitlines(keepends=True)
    assert statistics(batch, ["The Eiffel Tower"]).line_bytes.tolist() == [len(line) for line in lines]


def test_bytes_are_right_for_unusual_metadata():
    batch = replace(
        generate('"owl"', 4, seed=2),
        key_id=np.array([0, 9, 10, 2**64 - 1], np.uint64),
        countrycode=np.array([b"", b"US", b"", b"A"], "S2"),
        timestamp=np.array([0, 1, 100_000, 1_000_000], np.int64),
    )
    lines = ndjson.dump(batch, '"owl"').splitlines(keepends=True)
    assert statistics(batch, ['"owl"']).line_bytes.tolist() == [len(line) for line in lines]


def test_points_and_strokes_are_counted():
    batch = generate("cat", 50, seed=1)
    counted = statistics(batch, ["cat"])
    drawings = list(batch.drawings(["cat"]))
    assert counted.strokes.tolist() == [len(d.strokes) for d in drawings]
    assert counted.points.tolist() == [sum(map(len, d.strokes)) for d in drawings]


def test_a_summary_has_mean_and_percentiles():
    assert summary(np.arange(101)) == {"mean": 50, "p5": 5, "p25": 25, "p50": 50, "p75": 75, "p95": 95}


@pytest.fixture(scope="module")
def real() -> DrawingBatch:
    root = os.environ.get("SKETCHDATA_REAL_DATA")
    if not root:
        pytest.skip("SKETCHDATA_REAL_DATA names no directory with real drawings")
    folder = Path(root) / "quickdraw/full/simplified"
    batches = []
    for label, word in enumerate(WORDS):
        lines = (folder / f"{word}.ndjson").read_bytes().splitlines()
        batches.append(ndjson.parse(lines, word=word, label=label).batch)
    return concatenate(batches)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["points", "strokes", "line_bytes"])
def test_the_mix_of_all_categories_is_near_the_real_one(real, name):
    generated = concatenate([generate(word, 300, seed=1, label=label) for label, word in enumerate(WORDS)])
    expected = summary(getattr(statistics(real, WORDS), name))
    found = summary(getattr(statistics(generated, WORDS), name))
    # Strokes are small whole numbers, where one more is a quarter.
    tolerances = {"mean": 0.10, "p25": 0.15, "p50": 0.26 if name == "strokes" else 0.15, "p75": 0.15, "p95": 0.15}
    off = {key: found[key] / expected[key] - 1 for key in tolerances}
    assert {key: value for key, value in off.items() if abs(value) > tolerances[key]} == {}


@pytest.mark.slow
def test_as_many_are_recognised_as_of_the_real_ones(real):
    generated = concatenate([generate(word, 300, seed=1, label=label) for label, word in enumerate(WORDS)])
    assert abs(generated.recognized.mean() - real.recognized.mean()) < 0.015


def test_bytes_are_those_of_the_real_lines(real):
    word = WORDS[int(real.label[0])]
    rows = np.flatnonzero(real.label == real.label[0])
    lines = (Path(os.environ["SKETCHDATA_REAL_DATA"]) / f"quickdraw/full/simplified/{word}.ndjson").read_bytes()
    lengths = [len(line) for line in lines.splitlines(keepends=True)]
    assert statistics(real.take(rows), WORDS).line_bytes.tolist() == lengths
