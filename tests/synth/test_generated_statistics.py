import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sketchdata.drawings.drawing import DrawingBatch, concatenate
from sketchdata.formats import ndjson
from sketchdata.storage.catalog import manifest_path, read_classes
from sketchdata.synth import generate

WORDS = read_classes(manifest_path("quickdraw-categories.txt"))
PERCENTILES = (25, 50, 75, 95)


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


@pytest.fixture(scope="module")
def generated() -> DrawingBatch:
    return concatenate([generate(word, 300, seed=1, label=label) for label, word in enumerate(WORDS)])


def counts(batch: DrawingBatch, name: str) -> npt.NDArray[np.int64]:
    if name == "strokes":
        return np.diff(batch.strokes)
    if name == "points":
        return np.diff(batch.points[batch.strokes])
    words = (WORDS[label] for label in batch.label.tolist())
    return np.array([len(ndjson.dump(batch.slice(i, i + 1), word)) for i, word in enumerate(words)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["points", "strokes", "line_bytes"])
def test_the_mix_of_all_categories_is_near_the_real_one(real, generated, name):
    expected, found = counts(real, name), counts(generated, name)
    assert found.mean() == pytest.approx(expected.mean(), rel=0.10)
    # Strokes are small whole numbers, where one more is a quarter.
    tolerances = {q: 0.26 if (q, name) == (50, "strokes") else 0.15 for q in PERCENTILES}
    off = {q: np.percentile(found, q) / np.percentile(expected, q) - 1 for q in PERCENTILES}
    assert {q: value for q, value in off.items() if abs(value) > tolerances[q]} == {}


@pytest.mark.slow
def test_as_many_are_recognised_as_of_the_real_ones(real, generated):
    assert abs(generated.recognized.mean() - real.recognized.mean()) < 0.015
