"""`train dsf`: it learns from the drawings of its folds, resumes to the same bits, and its layers find photos."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sketchdata.api.recogniser import Recogniser
from sketchdata.cross_domain.dataset import PIXELS, PhotoPictures
from sketchdata.cross_domain.encoder import read_space
from sketchdata.cross_domain.mixed_evaluation import evaluate_mixed
from sketchdata.cross_domain.mixing import (
    DrawingViews,
    EdgeMaps,
    MixedBatch,
    MixedLoader,
    MixedObjective,
    Source,
    binarised,
    cut_patches,
    fold_of,
    parse_fold,
    read_mixed,
)
from sketchdata.cross_domain.options import MixOptions
from sketchdata.errors import ConfigError, InterruptedRunError
from sketchdata.pipelines import encode, index
from sketchdata.retrieval.vector_folder import open_vectors
from sketchdata.trainers.deep_sketch_feature import Config, run
from sketchdata.training.loader import Order
from sketchdata.training.networks import AlexNet, SketchANet, SmallNetwork
from sketchdata.training.options import TrainingOptions
from tests.commands import sketchdata
from tests.spaces import make_space_run
from tests.trainings import generated_dataset
from tests.two_domains import make_two_domains

TRAINING = TrainingOptions(batch_size=16, device="cpu", learning_rate=1e-2, save_minutes=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dsf") / "data"
    make_two_domains(folder, drawings=24, photos=6)
    return folder


def config(data: Path, out: Path, **options: object) -> Config:
    own: dict[str, object] = {
        "mix": "s+i+e",
        "backbone": "small",
        "size": 24,
        "epochs": 2,
        "fold": "1/3",
        "edge_detector": "canny",
        "trunk_learning_rate": 1e-2,
    }
    return Config(data=data, out=out, **{**own, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mixed"
    run(config(data, out, epochs=12, fold_photos=True), TRAINING)
    return out


def test_folds_are_those_of_the_key_ids_and_drawings_are_in_one_part(data: Path) -> None:
    everything = [read_mixed(data, MixOptions(fold=f"{k}/3"), size=24, line_width=1) for k in (1, 2, 3)]
    held = [set(each.drawings.key_ids[each.held].tolist()) for each in everything]
    assert set.union(*held) == set(everything[0].drawings.key_ids.tolist())
    assert sum(map(len, held)) == 6 * 24
    assert all(20 < len(each) < 80 for each in held)
    for each in everything:
        parts = torch.cat([each.learned, each.validation, each.held])
        assert sorted(parts.tolist()) == list(range(6 * 24))
        assert len(each.learned_photos) == 36
    # A picture's fold depends on no other picture.
    ids = everything[0].drawings.key_ids
    assert (fold_of(ids, 3)[5:9] == fold_of(ids[5:9], 3)).all()
    alone = read_mixed(data, MixOptions(fold="2/3", fold_photos=True), size=24, line_width=1)
    assert len(alone.held_photos) > 0
    assert sorted([*alone.learned_photos.tolist(), *alone.held_photos.tolist()]) == list(range(36))


@pytest.mark.parametrize("fold", ["0/3", "4/3", "1/1", "1", "a/b", "1/3/3", "²/3"])
def test_what_is_no_fold_is_refused(fold: str) -> None:
    with pytest.raises(ConfigError, match="fold"):
        parse_fold(fold)


def test_patches_are_nine_places_and_their_mirror_images() -> None:
    pictures = torch.arange(36, dtype=torch.uint8).view(1, 1, 6, 6).expand(400, 1, 6, 6)
    found = cut_patches(pictures, 4, torch.Generator().manual_seed(1))
    assert found.shape == (400, 1, 4, 4)
    corners = {(int(patch[0, 0, 0]), int(patch[0, 0, -1])) for patch in found}
    upright = {(6 * top + left, 6 * top + left + 3) for top in (0, 1, 2) for left in (0, 1, 2)}
    assert corners == upright | {(last, first) for first, last in upright}


def test_an_edge_map_is_ink_from_a_share_of_its_maximum_on() -> None:
    strength = np.array([[0, 100, 179], [180, 200, 90]], np.uint8)
    assert binarised(strength, 0.9).tolist() == [[0, 0, 0], [255, 255, 0]]
    assert not binarised(np.zeros((2, 2), np.uint8), 0.9).any()
    maps = EdgeMaps(bits=np.packbits(np.eye(9, dtype=bool).reshape(1, -1), axis=1), whole=9, size=9, patches=False)
    assert maps.read(torch.tensor([0])).tolist() == [[(255 - 255 * np.eye(9, dtype=int)).tolist()] * 3]


class Numbered:
    """Pictures whose value is their row."""

    def read(self, rows: torch.Tensor, *place: int) -> torch.Tensor:
        return rows.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)

    def __len__(self) -> int:
        return 20


def test_an_epoch_has_each_picture_as_often_as_its_source_says() -> None:
    rows = {"drawings": torch.tensor([3, 5, 8, 9]), "photos": torch.tensor([1, 2])}
    times = {"drawings": 1, "photos": 3}
    sources = [
        Source(name=name, inputs=Numbered(), rows=own, labels=own * 2, times=times[name]) for name, own in rows.items()
    ]
    loader = MixedLoader(sources=sources, order=Order(count=10, batch_size=4, seed=2))
    batches = list(loader.batches(3))
    found = [
        (int(domain), int(picture[0, 0, 0]), int(label))
        for batch in batches
        for domain, picture, label in zip(batch.domains, batch.pictures, batch.labels, strict=True)
    ]
    expected = [(0, row, 2 * row) for row in (3, 5, 8, 9)] + [(1, row, 2 * row) for row in (1, 2)] * 3
    assert sorted(found) == sorted(expected)
    (again,) = list(loader.batches(3, 2))
    assert torch.equal(again.labels, batches[2].labels)
    assert [batch.labels.tolist() for batch in loader.batches(4)] != [batch.labels.tolist() for batch in batches]


def test_upright_drawings_are_those_of_the_raster_and_views_turn_them(data: Path) -> None:
    drawings, rows = read_mixed(data, MixOptions(), size=24, line_width=1).drawings, torch.arange(30)
    inputs = DrawingViews(pictures=drawings, size=24, views=18, resize="ink")
    assert torch.equal(inputs.read(rows), drawings.pictures(rows, 24))
    turned = inputs.read(rows, 1, 2)
    assert torch.equal(turned, inputs.read(rows, 1, 2))
    assert 20 < int((turned != inputs.read(rows)).flatten(1).any(1).sum()) <= 30


def test_pixels_are_resized_without_interpolation_where_that_is_asked_for(tmp_path: Path) -> None:
    make_two_domains(tmp_path / "pixels", drawings=2, photos=1, kind=PIXELS)
    drawings = read_mixed(tmp_path / "pixels", MixOptions(), size=24, line_width=1).drawings
    assert isinstance(drawings, PhotoPictures)
    found = {
        how: DrawingViews(pictures=drawings, size=24, views=1, resize=how).read(torch.arange(12))
        for how in ("ink", "thinned", "bilinear")
    }
    assert set(found["ink"].unique().tolist()) <= {0, 255}
    assert len(found["bilinear"].unique()) > 2
    assert torch.equal(found["bilinear"], drawings.pictures(torch.arange(12), 24))
    # Thinning takes ink away and adds none.
    assert int((found["thinned"] == 0).sum()) < int((found["ink"] == 0).sum())


@pytest.mark.slow
def test_layers_before_the_scores_are_those_of_the_forward_pass() -> None:
    torch.manual_seed(0)
    for network, widths in (
        (AlexNet(5, dense=12).eval(), [12, 12]),
        (SketchANet(5, channels=3).eval(), [512, 512]),
        (SmallNetwork(5).eval(), [64, 128]),
    ):
        images = torch.rand(2, 3, 81, 81)
        with torch.no_grad():
            layers = network.last_layers(images)
            assert [each.shape[1] for each in layers] == widths
            torch.testing.assert_close(layers[-1], network.extract(images))
            assert all((each >= 0).all() for each in layers)


@pytest.mark.slow
def test_it_learns_all_domains_and_leaves_out_its_fold(data: Path, finished: Path) -> None:
    report = run(config(data, finished, epochs=12, fold_photos=True), TRAINING)
    mixed = read_mixed(data, MixOptions(fold="1/3", fold_photos=True), size=24, line_width=1)
    assert (report["drawings"], report["photos"], report["edges"]) == (
        len(mixed.learned),
        len(mixed.learned_photos),
        len(mixed.learned_photos),
    )
    one = evaluate_mixed(finished, None, device="cpu")
    assert one["drawings"] == len(mixed.held)
    assert one["top1"] > 0.5 > one["top1_chance"] * 2
    voted = evaluate_mixed(finished, None, device="cpu", views=18)
    assert voted["one_view"]["top1"] == one["top1"]
    assert (finished / "evaluation.md").read_text().count("fc6") == 2
    layers = voted["layers"]
    assert layers["photos"] == len(mixed.held_photos)
    assert all(0 < own["chance"] < own["map"] <= 1 for own in layers["by_layer"].values())
    # A recogniser takes files of drawings.
    recogniser = Recogniser.load(finished, device="cpu")
    drawing = mixed.drawings.pictures(mixed.held[:1], 128)[0].permute(1, 2, 0).numpy()
    ((word, probability), *_) = recogniser.predict(np.ascontiguousarray(drawing), views=18)
    assert word in recogniser.classes
    assert 0 < probability <= 1


@pytest.mark.slow
def test_layers_become_vectors_of_length_one_that_are_searched(data: Path, finished: Path, tmp_path: Path) -> None:
    widths = {}
    for layer in ("fc6", "fc7", "fc6+fc7"):
        out = tmp_path / layer
        encode.run(finished, data, encode.Config(out=out, splits="all", layer=layer, device="cpu"))
        vectors = open_vectors(out).read("unseen-photos")
        widths[layer] = vectors.rows.shape[1]
        np.testing.assert_allclose(np.linalg.norm(vectors.rows, axis=1), 1, rtol=1e-5)
    assert widths["fc6+fc7"] == widths["fc6"] + widths["fc7"]
    index.run(tmp_path / "fc6", index.Config(out=tmp_path / "index", split="seen-photos,unseen-photos"))
    drawing = tmp_path / "star.svg"
    drawing.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><path d="M9 90 50 9 90 90Z" fill="none" stroke="black"/></svg>'
    )
    found = json.loads(sketchdata("search", tmp_path / "index", "--run", finished, "--json", drawing).stdout)
    assert found
    with pytest.raises(ConfigError, match="--layer is for networks of `sketchdata train dsf`"):
        read_space(make_space_run(tmp_path / "other", data), "fc6")


@pytest.mark.slow
def test_a_stopped_training_ends_with_the_same_bits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(config(data, tmp_path / "whole"), TRAINING)
    forward, steps = MixedObjective.forward, list[int]()

    def pressed(self: Any, given: MixedBatch) -> Any:
        steps.append(len(given.labels))
        if len(steps) == 5:
            signal.raise_signal(signal.SIGINT)
        return forward(self, given)

    monkeypatch.setattr(MixedObjective, "forward", pressed)
    with pytest.raises(InterruptedRunError, match="continue with --resume"):
        run(config(data, tmp_path / "stopped"), TRAINING)
    with pytest.raises(ConfigError, match="use --resume"):
        run(config(data, tmp_path / "stopped"), TRAINING)
    report = run(config(data, tmp_path / "stopped"), dataclasses.replace(TRAINING, resume=True))
    assert report["sha256"] == whole["sha256"]


def test_a_class_without_drawings_and_data_without_photos_are_told(tmp_path: Path) -> None:
    drawings = generated_dataset(tmp_path, train=12)
    with pytest.raises(ConfigError, match="--mix s\\+e needs photos"):
        run(config(drawings, tmp_path / "out", mix="s+e"), TRAINING)
    make_two_domains(tmp_path / "few", drawings=2, photos=1)
    with pytest.raises(ConfigError, match="leaves no drawing to learn"):
        run(config(tmp_path / "few", tmp_path / "few-run", mix="s"), TRAINING)


@pytest.mark.slow
def test_drawings_alone_are_learned_by_their_splits_and_by_the_command(tmp_path: Path) -> None:
    drawings = generated_dataset(tmp_path, train=12)
    out = tmp_path / "run"
    words = ["--mix", "s", "--backbone", "small", "--size", "16", "--epochs", "1", "--batch-size", "16", "--json"]
    done = sketchdata("train", "dsf", "--data", drawings, "--out", out, *words)
    report = json.loads(done.stdout)
    assert (report["drawings"], report["validation_drawings"], report["held_drawings"]) == (36, 36, 48)
    assert "top-1" in sketchdata("evaluate", out, "--views", "2").stdout
    told = sketchdata("evaluate", out, "--split", "gallery", expect=1)
    assert "--split is not for" in told.stderr
    told = sketchdata("train", "dsf", "--data", drawings, "--out", tmp_path / "x", "--views", "3", expect=1)
    assert "--views is one of" in told.stderr
