"""Evaluation of a run that holds a space: what is written, read back, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS, UNSEEN, read_group
from sketchdata.cross_domain.encoder import embed, read_space
from sketchdata.cross_domain.evaluation import SpaceMeasures, measure_space
from sketchdata.cross_domain.report import evaluate_space
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import hash_file
from tests.commands import sketchdata
from tests.spaces import make_space_run
from tests.two_domains import GROUP_CLASSES, make_two_domains


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sbir") / "data"
    make_two_domains(folder, drawings=6, photos=4)
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_space_run(tmp_path_factory.mktemp("runs") / "run", data)


def test_the_values_are_those_of_the_network_on_unseen_classes_alone(data: Path, run: Path) -> None:
    values = json.loads(sketchdata("evaluate", run, "--json", "--examples", 2, "--device", "cpu").stdout)
    pictures = read_group(data, UNSEEN, size=16)
    encoder = read_space(run)
    drawings, photos = embed(encoder, pictures.drawings, DRAWINGS), embed(encoder, pictures.photos, PHOTOS)
    found = []
    for vector, label in zip(drawings, pictures.drawings.labels.numpy(), strict=True):
        order = np.argsort(np.square(photos - vector).sum(axis=1), kind="stable")
        ranks = np.flatnonzero(pictures.photos.labels.numpy()[order] == label) + 1
        found.append((np.arange(1, len(ranks) + 1) / ranks).mean())
    assert values["retrieval"]["map"]["expected"] == pytest.approx(np.mean(found), abs=1e-6)
    assert values["retrieval"]["chance"] == 0.5
    assert set(values["retrieval"]["classes"]) == set(GROUP_CLASSES["unseen"]) == set(values["unseen"])
    assert (values["retrieval"]["queries"], values["retrieval"]["gallery"]) == (12, 8)
    assert json.loads((run / "evaluation.json").read_text()) == values
    assert "generalised" not in values


def test_the_pages_have_measures_forms_codes_failures_and_pictures(run: Path) -> None:
    out = sketchdata("evaluate", run, "--generalised", "--bits", 4, "--examples", 2, "--device", "cpu").stdout
    assert "generalised, sem-pcyc" in out
    assert "4 bits: mAP" in out
    page = (run / "evaluation.md").read_text()
    for part in ("| mAP@all |", "P@min(100, R)", "## Generalised", "| ocean |", "## Codes of 4 bits", "## Failures"):
        assert part in page
    assert "A random order has a mAP of 0.6227 and a precision of 0.5000" in page
    rows = list(csv.DictReader((run / "precision-recall.csv").read_text().splitlines()))
    assert {row["curve"] for row in rows} == {"drawings → photos", "codes of 4 bits"}
    assert float(rows[-1]["recall"]) == 1
    sheet = cv2.imread(str(run / "nearest.png"))
    green, red = (np.all(sheet == colour[::-1], axis=2).sum() for colour in ((27, 122, 67), (163, 38, 42)))
    assert green > red > 0, "8 of the 16 shown are of the class; a dashed frame has half of a solid one"
    html = (run / "nearest.html").read_text()
    assert (html.count('class="result hit"'), html.count('class="result miss"')) == (8, 8)
    assert html.count("data:image/jpeg") == 16
    assert html.count("data:image/png") == 2
    assert "Nearest photos" in html
    assert (run / "precision-recall.svg").read_text().startswith("<?xml")


def test_photos_search_drawings(run: Path) -> None:
    values = json.loads(sketchdata("evaluate", run, "--queries", "photos", "--json", "--device", "cpu").stdout)
    assert (values["queries"], values["gallery"]) == ("photos", "drawings")
    assert (values["retrieval"]["queries"], values["retrieval"]["gallery"]) == (8, 12)
    assert "Nearest drawings" in (run / "nearest.html").read_text()


def test_a_second_evaluation_writes_the_same_bytes(run: Path) -> None:
    names = ("nearest.png", "nearest.html", "precision-recall.csv", "precision-recall.svg")
    sketchdata("evaluate", run, "--device", "cpu")
    first = [(run / name).read_bytes() for name in names]
    sketchdata("evaluate", run, "--device", "cpu")
    assert [(run / name).read_bytes() for name in names] == first


def test_refusals(data: Path, run: Path, tmp_path: Path) -> None:
    measures = SpaceMeasures()
    other = make_space_run(tmp_path / "other", data, (*GROUP_CLASSES["seen"], "apple"))
    with pytest.raises(ConfigError, match="was trained on apple, which are among the 2 unseen classes"):
        evaluate_space(other, None, measures)
    chosen = make_space_run(tmp_path / "chosen", data, zero_shot={"validation": ["ice cream"]})
    with pytest.raises(
        ConfigError, match="has ice cream among its unseen classes, but the network's epoch was chosen on them"
    ):
        evaluate_space(chosen, None, measures)
    single = tmp_path / "single"
    make_two_domains(single, GROUP_CLASSES | {"unseen": ("apple",)}, drawings=2, photos=2)
    with pytest.raises(ConfigError, match="only one unseen class, apple, so every result would be right"):
        evaluate_space(run, single, measures)
    empty = tmp_path / "empty"
    make_two_domains(empty, drawings=2, photos=0)
    with pytest.raises(ConfigError, match="no photos of its unseen classes"):
        evaluate_space(run, empty, measures)
    with pytest.raises(SketchDataError):
        evaluate_space(run, tmp_path / "nowhere", measures)


def test_the_split_of_the_run_wins_on_the_data_that_it_learned_from(data: Path, tmp_path: Path) -> None:
    split = {"seen": ["star", "apple", "ice cream"], "validation": ["apple"], "unseen": ["house", "cat"]}
    manifest = hash_file(data / "manifest.json", "sha256")
    run = make_space_run(tmp_path / "run", data, ("star", "ice cream"), zero_shot=split, manifest=manifest)
    values, _ = evaluate_space(run, None, SpaceMeasures(generalised=True))
    assert values["unseen"] == ["house", "cat"]
    assert values["generalised"]["all-seen"]["gallery"] == 8 + 8, "photos of validation classes are not there"
    other = tmp_path / "other"
    make_two_domains(other, drawings=3, photos=2)
    with pytest.raises(ConfigError, match="apple among its unseen classes, but the network's epoch was chosen on them"):
        evaluate_space(run, other, SpaceMeasures())


def test_a_network_that_diverged_is_told(data: Path, run: Path) -> None:
    encoder = read_space(run)
    with torch.no_grad():
        encoder.photo_centre[0] = torch.nan
    with pytest.raises(SketchDataError, match="8 of 8 vectors of photos have values that are not finite"):
        measure_space(encoder, read_group(data, UNSEEN, size=16), None, SpaceMeasures())
