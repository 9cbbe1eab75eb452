"""`sketchdata explain`: the weights of strokes as a table, as JSON and as pictures, for runs of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sketchdata.api.recogniser import Recogniser
from sketchdata.cross_domain.encoder import SpaceArchitecture, SpaceEncoder, write_space
from sketchdata.drawings.drawing import Drawing
from sketchdata.errors import ConfigError
from sketchdata.storage.tensors import write_tensors
from sketchdata.training.encoder import Architecture, SketchEncoder, kept_weights, write_encoder
from sketchdata.training.run_folder import RECORD, REPORT, write_json
from tests.commands import sketchdata
from tests.trainings import network

CLASSES = ("cat", "dog", "<sun>")
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" fill="none" stroke="black">'
    '<path d="M9 90 50 9 90 90"/><path d="M9 9H90V50"/></svg>'
)


def finish(folder: Path, trainer: str) -> Path:
    write_json(folder / RECORD, {"trainer": trainer, "options": {}, "classes": list(CLASSES), "manifest": "0" * 64})
    write_json(folder / REPORT, {"stages": []})
    return folder


def classifier(folder: Path, **options: Any) -> Path:
    torch.manual_seed(0)
    folder.mkdir()
    own = network(**{"branch": "cnn", **options})
    encoder = SketchEncoder(Architecture(network=own, width=8, activation="sigmoid", scale=9.0, classes=CLASSES))
    write_encoder(folder, encoder)
    return finish(folder, "recognition")


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / "mixed"
    folder.mkdir()
    encoder = SpaceEncoder(
        SpaceArchitecture(
            backbone="small",
            size=16,
            width=192,
            classes=CLASSES,
            shared=True,
            branch="classifier",
            head=False,
            normalise=True,
            settings={"layer": "fc6+fc7", "resize": "ink"},
        )
    )
    write_space(folder, encoder)
    trunk = encoder.branch("drawings").trunk.state_dict()
    write_tensors(kept_weights(folder), {name: value + 1 for name, value in trunk.items()}, {})
    return finish(folder, "dsf")


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    path = tmp_path / "tent.svg"
    path.write_text(_SVG)
    return path


@pytest.mark.slow
def test_weights_come_as_a_table_as_json_and_as_pictures_of_the_same_bytes(tmp_path: Path, drawing: Path) -> None:
    run = classifier(tmp_path / "run")
    done = sketchdata("explain", run, drawing, "--out", tmp_path / "a.svg")
    assert "tent.svg: " in done.stdout
    assert "of blank paper" in done.stdout
    found = json.loads(sketchdata("explain", run, drawing, "--json", "--out", tmp_path / "b.svg").stdout)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert [each["points"] for each in found["strokes"]] == [3, 3]
    total = sum(each["weight"] for each in found["strokes"])
    assert total == pytest.approx(found["score"] - found["blank"], abs=0.05)
    other = json.loads(sketchdata("explain", run, drawing, "--json", "--class", "<sun>", "--by", "removal").stdout)
    assert (other["class"], other["blank"]) == ("<sun>", None)
    sketchdata("explain", run, drawing, "--out", tmp_path / "c.png")
    assert size_of(tmp_path / "c.png")[0] > 500


def test_removal_is_what_the_score_falls_by(tmp_path: Path, drawing: Path) -> None:
    recogniser = Recogniser.load(classifier(tmp_path / "run", branch="cr"), device="cpu")
    found = recogniser.explain(drawing, word="dog", by="removal")
    a, b = np.array([[9, 90], [50, 9], [90, 90]], np.uint8), np.array([[9, 9], [90, 9]], np.uint8)
    both = Drawing(key_id=0, word="", strokes=(a, b))
    own = recogniser.explain(both, word="dog", by="removal")
    values = np.log(recogniser.scores([both, Drawing(key_id=0, word="", strokes=(b,))]))
    above = values[:, 1] - values.mean(1)
    assert own.weights[0] == pytest.approx(above[0] - above[1], abs=1e-6)
    assert own.score == pytest.approx(above[0], abs=1e-6)
    single = recogniser.explain(Drawing(key_id=0, word="", strokes=(b,)), word="dog", by="removal")
    assert single.weights.tolist() == [single.score]
    assert len(found.weights) == 2


@pytest.mark.slow
def test_maps_filters_and_inverted_features_of_a_drawing_and_a_photo(
    tmp_path: Path, mixed: Path, drawing: Path
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)).save(photo)
    paths = {name: tmp_path / f"{name}.png" for name in ("maps", "filters", "invert")}
    flags = [word for name, path in paths.items() for word in (f"--{name}", path)]
    done = sketchdata("explain", mixed, drawing, "--photo", photo, *flags, "--steps", "2", "--map-count", "3")
    sizes = {name: size_of(path) for name, path in paths.items()}
    assert all(f"{path}: " in done.stderr for path in paths.values())
    assert sizes["filters"][0] > 2 * 800, "the pretrained filters are beside the trained ones"
    one = sketchdata("explain", mixed, drawing, "--maps", tmp_path / "one.svg", "--map-count", "3")
    assert "one.svg" in one.stderr
    # A photo of one pixel is a photo.
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(photo)
    sketchdata("explain", mixed, drawing, "--photo", photo, "--maps", tmp_path / "pixel.png", "--map-count", "1")


@pytest.mark.parametrize(
    ("options", "told", "code"),
    [
        (("--out", "a.jpg"), "a.jpg should end with .svg or .png", 1),
        (("--photo", "p.png"), "--photo is shown in --maps and --invert", 1),
        (("--photo", "p.png", "--maps", "m.png"), "--photo is for networks of drawings and photos", 1),
        (("--class", "house"), "house", 1),
        (("--by", "magic"), "magic", 2),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path, drawing: Path, options: tuple[str, ...], told: str, code: int
) -> None:
    run = classifier(tmp_path / "run")
    done = sketchdata("explain", run, drawing, *options, expect=code, cwd=tmp_path)
    assert told in done.stderr
    assert not list(tmp_path.glob("*.png"))


def test_runs_without_pictures_and_files_of_several_drawings_are_told(tmp_path: Path, drawing: Path) -> None:
    points = classifier(tmp_path / "points", branch="rnn")
    assert "weight" in sketchdata("explain", points, drawing).stdout
    done = sketchdata("explain", points, drawing, "--filters", tmp_path / "f.png", expect=1)
    assert "points alone" in done.stderr
    strokes = classifier(tmp_path / "strokes", channels="strokes")
    assert "weight" in sketchdata("explain", strokes, drawing).stdout
    assert "--channels strokes" in sketchdata("explain", strokes, drawing, "--maps", "m.png", expect=1).stderr
    several = tmp_path / "two.ndjson"
    line = {"word": "cat", "key_id": "5", "drawing": [[[0, 255], [0, 9]]], "recognized": True}
    line |= {"countrycode": "ZZ", "timestamp": "2017-01-01 00:00:00.00000 UTC"}
    several.write_text("".join(json.dumps(line | {"key_id": str(each)}) + "\n" for each in (5, 6)))
    assert "holds 2 drawings: name a line of it" in sketchdata("explain", points, several, expect=1).stderr
    assert "two.ndjson#2" in sketchdata("explain", points, f"{several}#2").stdout
    recogniser = Recogniser.load(points, device="cpu")
    with pytest.raises(ConfigError, match="weighed by gradient or removal"):
        recogniser.explain(drawing, by="magic")
