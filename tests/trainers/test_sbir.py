"""Trainings of a space of drawings and photos: all methods, repeatable to the bit, blind to unseen classes."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner

from sketchdata.classes.splits import ClassSplit
from sketchdata.classes.vectors import write_vectors
from sketchdata.cli.train import sbir as command
from sketchdata.cross_domain import experiment
from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS, SEEN, VALIDATION, read_group
from sketchdata.cross_domain.encoder import SpaceArchitecture, SpaceEncoder, embed, read_space
from sketchdata.cross_domain.experiment import CACHE, LivePictures, mean_average_precision, read_words, set_centres
from sketchdata.cross_domain.options import SpaceTraining
from sketchdata.cross_domain.sampling import TripletBatch
from sketchdata.errors import ConfigError, InterruptedRunError, SketchDataError
from sketchdata.retrieval.metrics import chance_of_map
from sketchdata.retrieval.scores import nearness, score_values
from sketchdata.storage.tensors import write_tensors
from sketchdata.trainers import doodle2search, sbir_baselines, sketchspace
from sketchdata.trainers.options import SBIR_METHODS, SbirConfig
from sketchdata.training.backbones import build
from sketchdata.training.run_folder import METRICS, MODEL, REPORT, read_lines
from tests.trainings import flags, kill_in
from tests.two_domains import make_two_domains, write_random_words

GROUPS = {"seen": ("cat", "house", "star"), "validation": ("airplane", "fish"), "unseen": ("apple", "ice cream")}
NETWORK: dict[str, Any] = {"backbone": "small", "size": 16, "width": 8, "epochs": 2}
LOOP: dict[str, Any] = {"batch_size": 8, "device": "cpu", "save_minutes": 0.0, "log_every": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sbir") / "data"
    make_two_domains(out, GROUPS, drawings=6, photos=3)
    return out


@pytest.fixture(scope="module")
def words(data: Path) -> Path:
    return write_random_words(data.parent / "words.parquet", GROUPS)


@pytest.fixture(scope="module")
def weights(data: Path) -> Path:
    """Return a file of weights that has a classifier of four classes."""
    torch.manual_seed(5)
    path = data.parent / "small.pth"
    torch.save(build("small", classes=4, channels=3).state_dict(), path)
    return path


def train(data: Path, out: Path, method: str = "doodle2search", **options: Any) -> dict[str, Any]:
    """Train in this process; options may be of the network or of the loop."""
    loop = {name: value for name, value in options.items() if name in SpaceTraining.__dataclass_fields__}
    own = {name: value for name, value in options.items() if name not in loop}
    # The shipped network is slow to find edges.
    config = SbirConfig(data=data, out=out, method=method, **{**NETWORK, "edge_detector": "canny", **own})
    run = {"doodle2search": doodle2search.run, "sketchspace": sketchspace.run}.get(method, sbir_baselines.run)
    return run(config, SpaceTraining(**{**LOOP, **loop}))


def model(out: Path) -> bytes:
    return (out / MODEL).read_bytes()


# ---- every method ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SBIR_METHODS)
@pytest.mark.parametrize("trunk", ["trained", "frozen"])
def test_every_method_writes_a_space(
    method: str, trunk: str, data: Path, words: Path, weights: Path, tmp_path: Path
) -> None:
    report = train(data, tmp_path, method, words=words, weights=str(weights), trunk=trunk, augment=True)
    assert report == orjson.loads((tmp_path / REPORT).read_bytes())
    encoder = read_space(tmp_path)
    assert encoder.classes == GROUPS["seen"]
    group = read_group(data, VALIDATION, size=16)
    drawings, photos = (embed(encoder, getattr(group, name), name) for name in (DRAWINGS, PHOTOS))
    assert drawings.shape == (12, encoder.width)
    of_features = dict.fromkeys(("frozen", "centred", "sketchspace"), 128)
    assert encoder.width == (of_features | {"devise": 5}).get(method, 8)
    if method == "dsh":
        assert set(np.unique(drawings)) | set(np.unique(photos)) <= {0, 1}
    found, chance = mean_average_precision(drawings, photos, group)
    [stage] = report["stages"]
    assert found == pytest.approx(stage["map"], abs=0.02), "features are kept in half precision"
    assert report["validation"] == {"classes": 2, "drawings": 12, "photos": 6, "chance": chance}
    assert (report["drawings"], report["photos"], report["method"]) == (18, 9, method)
    assert not (tmp_path / CACHE).exists()


def test_the_map_is_that_of_an_evaluation() -> None:
    random = np.random.default_rng(0)
    labels = torch.from_numpy(random.integers(0, 3, 20))

    class Labelled:
        def __init__(self, own: torch.Tensor) -> None:
            self.labels = own

    group: Any = dataclasses.make_dataclass("Group", [DRAWINGS, PHOTOS])(Labelled(labels[:8]), Labelled(labels[8:]))
    drawings, photos = random.normal(size=(8, 4)).astype("f4"), random.normal(size=(12, 4)).astype("f4")
    found = score_values(
        nearness(drawings, photos), labels[:8].numpy(), labels[8:].numpy(), classes=("a", "b", "c"), k=5, resamples=2
    )
    own = mean_average_precision(drawings, photos, group)
    assert own == pytest.approx((found.mean("map", "expected"), chance_of_map(float(np.nanmean(found.chance)), 12)))


@pytest.mark.slow
def test_a_frozen_picture_network_keeps_its_weights_and_reads_each_picture_once(
    data: Path, words: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    features = SpaceEncoder.features

    def counted(self: SpaceEncoder, pictures: torch.Tensor, domain: str) -> torch.Tensor:
        read.append(len(pictures))
        return features(self, pictures, domain)

    monkeypatch.setattr(SpaceEncoder, "features", counted)
    train(data, tmp_path / "run", words=words, weights=str(weights), trunk="frozen", epochs=3, cache=tmp_path / "kept")
    assert sum(read) == (18 + 9) + (12 + 6)
    own, given = read_space(tmp_path / "run"), torch.load(weights)
    for branch in (own.drawing, own.photo):
        for name, value in branch.trunk.state_dict().items():
            assert name.startswith("classifier") or torch.equal(value, given[name])
    assert not torch.equal(own.drawing.head.weight, own.photo.head.weight)
    # Another training on the same pictures finds them read.
    read.clear()
    train(data, tmp_path / "other", words=words, weights=str(weights), trunk="frozen", cache=tmp_path / "kept", seed=1)
    assert not read
    train(data, tmp_path / "mirrored", words=words, weights=str(weights), trunk="frozen", augment=True)
    assert sum(read) == 2 * (18 + 9) + (12 + 6)


def test_kept_features_are_those_of_the_pictures_and_of_their_mirror_images(data: Path, tmp_path: Path) -> None:
    encoder = SpaceEncoder(SpaceArchitecture(backbone="small", size=16, width=4, classes=("a",), attention=3)).eval()
    photos = read_group(data, SEEN, size=16).photos
    context = experiment.DistributedContext(device=torch.device("cpu"))
    kept = experiment.keep_features(tmp_path / "f.npy", encoder, photos, PHOTOS, mirrored=True, context=context)
    assert (len(kept), kept.features.shape) == (9, (18, 128, 1, 1))
    rows = torch.tensor([4, 0, 7])
    images = photos.pictures(rows, 16)
    with torch.no_grad():
        plain, mirrored = encoder.features(images, PHOTOS), encoder.features(images.flip(3), PHOTOS)
    torch.testing.assert_close(kept.read(rows), plain, rtol=1e-3, atol=1e-3)
    many = kept.read(torch.zeros(40, dtype=torch.int64), 1, 2)
    first, second = (encoder.features(photos.pictures(torch.tensor([0]), 16).flip(f), PHOTOS) for f in ([], [3]))
    of_mirror = [torch.allclose(each, second[0], rtol=1e-3, atol=1e-3) for each in many]
    assert 5 < sum(of_mirror) < 35
    torch.testing.assert_close(many[~torch.tensor(of_mirror)][0], first[0], rtol=1e-3, atol=1e-3)
    assert mirrored.shape == plain.shape


def test_centres_are_the_means_of_the_seen_pictures_of_each_domain(data: Path, weights: Path, tmp_path: Path) -> None:
    for method in ("frozen", "centred"):
        train(data, tmp_path / method, method, weights=str(weights))
    plain, centred = (read_space(tmp_path / method) for method in ("frozen", "centred"))
    seen = read_group(data, SEEN, size=16)
    for domain in (DRAWINGS, PHOTOS):
        pictures = getattr(seen, domain)
        raw = plain.project(pictures.pictures(torch.arange(len(pictures)), 16), domain)
        torch.testing.assert_close(centred.centre(domain), raw.mean(0), rtol=1e-4, atol=1e-5)
        assert not plain.centre(domain).any()
        whole = torch.from_numpy(embed(centred, pictures, domain))
        torch.testing.assert_close(whole.norm(dim=1), torch.ones(len(whole)))
    # By the test set itself, for comparisons alone.
    others = read_group(data, "unseen", size=16)
    set_centres(plain, *(LivePictures(pictures=each, size=16) for each in (others.drawings, others.photos)))
    assert not torch.allclose(plain.photo_centre, centred.photo_centre)


# ---- what is learned -------------------------------------------------------------------------------------------------


def batch(epoch: int, step: int = 0) -> TripletBatch:
    random = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 256, (3, 4, 3, 16, 16), generator=random, dtype=torch.uint8)
    y = torch.tensor([0, 1, 2, 1])
    return TripletBatch(
        epoch=epoch,
        step=step,
        labels=y,
        other_labels=(y + 1) % 3,
        anchors=pictures[0],
        positives=pictures[1],
        negatives=pictures[2],
    )


def gradients(given: TripletBatch, **options: Any) -> dict[str, torch.Tensor]:
    """Return the gradients of the encoders, on one batch and without dropout."""
    torch.manual_seed(0)
    encoder = SpaceEncoder(SpaceArchitecture(backbone="small", size=16, width=8, classes=GROUPS["seen"], attention=3))
    config = SbirConfig(data=Path("d"), out=Path("o"), **{**NETWORK, **options})
    objective = doodle2search.DoodleObjective(encoder, torch.randn(3, 5), config).eval()
    objective(given)[0].backward()
    return {name: each.grad for name, each in encoder.named_parameters() if each.grad is not None}


def test_until_the_reversal_begins_the_encoders_are_as_without_the_domain_loss() -> None:
    early, late = ({"semantic_weight": 0.0, "domain_weight": weight} for weight in (3.0, 0.0))
    for epoch, untouched in ((0, True), (5, True), (6, False), (30, False)):
        own, without = gradients(batch(epoch), **early), gradients(batch(epoch), **late)
        assert own.keys() == without.keys()
        assert all(torch.equal(own[name], without[name]) for name in own) is untouched, epoch


def test_the_reversal_rises_by_the_epoch_or_by_the_step_within_it() -> None:
    by_epoch, by_batch = ({"domain_ramp": name} for name in ("epoch", "batch"))

    def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
        return all(torch.equal(one[name], other[name]) for name in one)

    assert same(gradients(batch(9, 0), **by_epoch), gradients(batch(0, 9), **by_batch))
    assert not same(gradients(batch(9, 0), **by_epoch), gradients(batch(9, 0), **by_batch))


@pytest.mark.parametrize(
    ("attention", "domain", "semantic"),
    [(False, 0.0, 0.0), (True, 0.0, 0.0), (True, 1.0, 0.0), (True, 0.0, 1.0), (True, 1.0, 1.0)],
)
def test_the_rows_of_table_3_are_options(
    attention: bool, domain: float, semantic: float, data: Path, words: Path, tmp_path: Path
) -> None:
    options = {"attention": attention, "domain_weight": domain, "semantic_weight": semantic, "epochs": 1}
    train(data, tmp_path, words=words, log_every=1, **options)
    parts = {"triplet"} | ({"domain"} if domain else set()) | ({"semantic"} if semantic else set())
    first = read_lines(tmp_path / METRICS)[0]
    assert first.keys() & {"triplet", "domain", "semantic"} == parts
    assert first["loss"] == pytest.approx(sum(first[name] for name in parts), rel=1e-5)
    assert (read_space(tmp_path).drawing.attention is not None) is attention


@pytest.mark.slow
def test_the_paper_s_optimiser_ends_when_it_loses_patience(data: Path, words: Path, tmp_path: Path) -> None:
    options = {"optimizer": "sgd", "weight_decay": 5e-4, "constant_rate": True, "warm_up": 0, "clip": 1e6}
    rates = {"learning_rate": 1e-4, "trunk_learning_rate": 1e-4}
    report = train(data, tmp_path, "triplet", epochs=30, patience=2, log_every=1, trunk="trained", **options, **rates)
    lines = read_lines(tmp_path / METRICS)
    assert len([line for line in lines if "epoch" in line]) == report["stages"][0]["best_epoch"] + 2 < 30
    assert {line["learning_rate"] for line in lines if "learning_rate" in line} == {1e-4}


@pytest.mark.slow
def test_the_best_epoch_of_the_validation_classes_is_kept(data: Path, words: Path, tmp_path: Path) -> None:
    report = train(data, tmp_path, words=words, epochs=5)
    epochs = [line["map"] for line in read_lines(tmp_path / METRICS) if "epoch" in line]
    [stage] = report["stages"]
    assert (len(epochs), stage["map"], stage["best_epoch"]) == (5, max(epochs), epochs.index(max(epochs)) + 1)


def test_another_split_of_the_classes_can_be_learned(data: Path, words: Path, tmp_path: Path) -> None:
    split = ClassSplit(
        seen=("apple", "ice cream", "cat", "star"), validation=("cat", "star"), unseen=("house", "fish", "airplane")
    )
    config = SbirConfig(data=data, out=tmp_path, words=words, **NETWORK)
    report = doodle2search.run(config, SpaceTraining(**LOOP), split)
    assert (read_space(tmp_path).classes, report["classes"]) == (("apple", "ice cream"), 2)


# ---- the same to the bit ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(data: Path, words: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        train(data, tmp_path / name, words=words, augment=True, seed=seed)
    assert model(tmp_path / "one") == model(tmp_path / "two") != model(tmp_path / "three")


@pytest.mark.slow
@pytest.mark.parametrize(("trunk", "optimizer"), [("trained", "sgd"), ("frozen", "adamw")])
def test_a_training_that_was_killed_ends_with_the_same_bytes(
    trunk: str, optimizer: str, data: Path, words: Path, weights: Path, tmp_path: Path
) -> None:
    own = {**NETWORK, "epochs": 6, "words": words, "augment": True, "trunk": trunk, "weights": str(weights)}
    plain, killed = (SbirConfig(data=data, out=tmp_path / name, **own) for name in ("plain", "killed"))
    loop = SpaceTraining(**LOOP, optimizer=optimizer)
    doodle2search.run(plain, loop)
    assert kill_in(killed.out, "doodle2search", doodle2search.run, killed, loop) == -signal.SIGKILL
    assert not (killed.out / REPORT).exists()
    with pytest.raises(ConfigError, match="holds a training that was stopped: use --resume"):
        doodle2search.run(killed, loop)
    doodle2search.run(killed, dataclasses.replace(loop, resume=True))
    assert model(killed.out) == model(plain.out)
    logs = [[{**line, "seconds": 0} for line in read_lines(each.out / METRICS)] for each in (plain, killed)]
    assert logs[0] == logs[1]


def test_ctrl_c_stops_after_a_step_and_resume_ends_the_same(
    data: Path, words: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(data, tmp_path / "plain", "sake", weights=str(weights))
    forward = sbir_baselines.PreservingObjective.forward
    steps: list[int] = []

    def pressed(self: Any, given: TripletBatch) -> Any:
        steps.append(given.step)
        if len(steps) == 2:
            signal.raise_signal(signal.SIGINT)
        return forward(self, given)

    monkeypatch.setattr(sbir_baselines.PreservingObjective, "forward", pressed)
    with pytest.raises(InterruptedRunError, match="continue with --resume"):
        train(data, tmp_path / "stopped", "sake", weights=str(weights))
    assert len(steps) == 2
    train(data, tmp_path / "stopped", "sake", weights=str(weights), resume=True)
    assert model(tmp_path / "stopped") == model(tmp_path / "plain")


# ---- losses of the baselines -----------------------------------------------------------------------------------------


def embeddings(objective: Any, given: TripletBatch) -> tuple[Any, Any]:
    """Return the embeddings of all pictures of a batch, (3 B, D), and their classes, for losses written in numpy."""
    with torch.no_grad():
        found = torch.cat(objective.embed(given)).double().numpy()
    return found, torch.cat([given.labels, given.labels, given.other_labels]).numpy()


def small_encoder(**options: Any) -> SpaceEncoder:
    torch.manual_seed(0)
    return SpaceEncoder(SpaceArchitecture(**{"backbone": "small", "size": 16, "classes": GROUPS["seen"], **options}))


def test_softmax_is_the_cross_entropy_of_all_three_pictures() -> None:
    objective = sbir_baselines.MarginObjective(small_encoder(width=8), None, 1.0, 3).eval()
    loss, parts = objective(batch(0))
    x, y = embeddings(objective, batch(0))
    assert objective.classifier is not None
    weight, bias = (each.detach().double().numpy() for each in objective.classifier.parameters())
    scores = x @ weight.T + bias
    expected = (np.log(np.exp(scores).sum(1)) - scores[np.arange(len(y)), y]).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert list(parts) == ["classes"]


def test_devise_is_the_hinge_loss_over_the_words_of_other_classes() -> None:
    words = torch.nn.functional.normalize(torch.randn(3, 5, generator=torch.Generator().manual_seed(2)), dim=1)
    objective = sbir_baselines.WordObjective(small_encoder(width=5, normalise=True), words, 0.3).eval()
    x, y = embeddings(objective, batch(0))
    expected = 0.0
    for vector, own in zip(x, y, strict=True):
        for other in set(range(3)) - {own}:
            expected += max(0.0, 0.3 - vector @ words[own].numpy() + vector @ words[other].numpy())
    assert objective(batch(0))[0].item() == pytest.approx(expected / len(y), rel=1e-5)


def test_dsh_takes_signs_to_words_and_draws_values_to_signs() -> None:
    words = torch.randn(3, 5, generator=torch.Generator().manual_seed(2))
    objective = sbir_baselines.FactorObjective(small_encoder(width=16, branch="hashing"), words)
    objective.train()
    for module in objective.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    values, y = embeddings(objective, batch(0))
    u = 2 * values - 1
    weight, bias = (each.detach().double().numpy() for each in objective.factors.map.parameters())
    errors = words.numpy()[y] - (np.where(u >= 0, 1, -1) @ weight.T + bias)
    loss, parts = objective(batch(0))
    assert float(parts["factors"]) == pytest.approx((errors**2).sum(1).mean(), rel=1e-4)
    loss.backward()
    grads = {name: each.grad for name, each in objective.encoder.named_parameters() if each.requires_grad}
    heads = [grad for name, grad in grads.items() if "head.weight" in name]
    assert len(heads) == 2
    assert all(grad is not None and grad.abs().max() > 0 for grad in heads)


@pytest.mark.parametrize("method", ["devise", "dsh"])
def test_methods_of_words_need_words(method: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"--method {method} needs --words"):
        train(data, tmp_path / "run", method)


# ---- leaks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        "centred",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("doodle2search", "gn-triplet", "sketchspace")),
    ],
)
def test_unseen_drawings_photos_and_words_make_no_difference(
    method: str, data: Path, words: Path, weights: Path, tmp_path: Path
) -> None:
    train(data, tmp_path / "plain", method, words=words, weights=str(weights))
    expected = model(tmp_path / "plain")
    # Other unseen classes, with other drawings and photos, and another class table.
    others = {**GROUPS, "unseen": ("bicycle", "umbrella", "zebra")}
    make_two_domains(tmp_path / "others", others, drawings=6, photos=3)
    names = write_random_words(tmp_path / "others.parquet", others)
    train(tmp_path / "others", tmp_path / "one", method, words=names, weights=str(weights))
    assert model(tmp_path / "one") == expected
    # Files of unseen classes are not even there.
    manifest = make_two_domains(tmp_path / "gone", GROUPS, drawings=6, photos=3)
    for split in (f"unseen-{DRAWINGS}", f"unseen-{PHOTOS}"):
        for shard in manifest.shards(split):
            (tmp_path / "gone" / shard.path).unlink()
    changed = write_random_words(tmp_path / "changed.parquet", GROUPS, apple=-3.0, **{"ice cream": 0})
    train(tmp_path / "gone", tmp_path / "two", method, words=changed, weights=str(weights))
    assert model(tmp_path / "two") == expected


@pytest.mark.slow
def test_seen_drawings_photos_and_words_make_a_difference(data: Path, words: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "plain", words=words)
    expected = model(tmp_path / "plain")
    train(data, tmp_path / "word", words=write_random_words(tmp_path / "w.parquet", GROUPS, cat=-1.0))
    assert model(tmp_path / "word") != expected
    for domain in (DRAWINGS, PHOTOS):
        manifest = make_two_domains(tmp_path / domain, GROUPS, drawings=6, photos=3)
        [shard] = manifest.shards(f"seen-{domain}")
        path = tmp_path / domain / shard.path
        table = pq.read_table(path)
        # The first row takes the place of the second one of the same class.
        column = table.schema.get_field_index("drawing" if domain == DRAWINGS else "image")
        rows = [0, 0, *range(2, len(table))]
        changed = table.set_column(column, table.schema.field(column), table.column(column).take(rows))
        pq.write_table(changed, path)
        train(tmp_path / domain, tmp_path / f"run-{domain}", words=words)
        assert model(tmp_path / f"run-{domain}") != expected


# ---- words -----------------------------------------------------------------------------------------------------------


def test_words_have_length_one_unless_they_are_to_stay_as_stored(tmp_path: Path) -> None:
    path = write_random_words(tmp_path / "w.parquet", GROUPS, cat=3.0)
    unit, stored = (read_words(path, GROUPS["seen"], unit=unit) for unit in (True, False))
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(stored / np.linalg.norm(stored, axis=1, keepdims=True), unit, rtol=1e-6)
    assert np.linalg.norm(stored[0]) > 2


def test_classes_that_share_a_vector_are_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = sorted(word for own in GROUPS.values() for word in own)
    vectors = np.eye(len(names), dtype=np.float32)
    vectors[names.index("star")] = 2 * vectors[names.index("cat")]
    write_vectors(tmp_path / "w.parquet", names, vectors, np.ones(len(names), np.int64), {})
    report = train(data, tmp_path / "run", words=tmp_path / "w.parquet", epochs=1)
    assert report["shared_vectors"] == [["cat", "star"]]
    assert "classes that share a word's vector: cat = star" in capsys.readouterr().err


# ---- what does not fit -----------------------------------------------------------------------------------------------


def test_without_words_the_semantic_loss_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"give --words VECTORS.* or use --semantic-weight 0"):
        train(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train(data, tmp_path / "run", semantic_weight=0.0, epochs=1)


def test_a_class_without_a_word_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no vector of house: make it with `sketchdata import vectors"):
        train(data, tmp_path / "run", words=write_random_words(tmp_path / "w.parquet", GROUPS, house=0))
    path = write_random_words(tmp_path / "zero.parquet", GROUPS, house=1e-60)
    with pytest.raises(ConfigError, match="a vector of zeros for house"):
        train(data, tmp_path / "run", words=path)


def test_a_frozen_network_and_made_ones_need_weights(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--trunk frozen needs --weights"):
        train(data, tmp_path / "run", "triplet", trunk="frozen")
    for method in ("sake", "frozen", "centred", "sketchspace"):
        with pytest.raises(ConfigError, match=f"--method {method} needs --weights"):
            train(data, tmp_path / "run", method)


def test_weights_without_a_classifier_cannot_teach(data: Path, tmp_path: Path) -> None:
    state = build("small", classes=4, channels=3).state_dict()
    torch.save({name: value for name, value in state.items() if "classifier" not in name}, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="has no classifier"):
        train(data, tmp_path / "run", "sake", weights=str(tmp_path / "w.pth"))


def test_one_class_and_few_validation_classes_are_refused(data: Path, words: Path, tmp_path: Path) -> None:
    make_two_domains(tmp_path / "few", {**GROUPS, "validation": ("fish",)}, drawings=2, photos=2)
    with pytest.raises(ConfigError, match="has 1 validation classes, and at least 2 are needed"):
        train(tmp_path / "few", tmp_path / "run", "triplet")
    make_two_domains(tmp_path / "one", {**GROUPS, "seen": ("cat",)}, drawings=2, photos=2)
    with pytest.raises(ConfigError, match="leaves 1: a training needs at least 2"):
        train(tmp_path / "one", tmp_path / "run", "triplet")


def test_a_class_without_photos_is_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_photos(*given: Any, **options: Any) -> Any:
        found = read_group(*given, **options)
        rest = found.photos.of_classes(["star", "cat"])
        photos = dataclasses.replace(rest, labels=rest.labels * 2, classes=found.classes)
        return dataclasses.replace(found, photos=photos) if given[1] == SEEN else found

    monkeypatch.setattr(experiment, "read_group", without_photos)
    with pytest.raises(ConfigError, match="no photos of the seen classes house: build it without"):
        train(data, tmp_path / "run", "triplet")


def test_another_data_set_and_another_run_s_folder_are_refused(data: Path, words: Path, tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match="manifest"):
        train(tmp_path, tmp_path / "run", "triplet")
    train(data, tmp_path / "run", "triplet", epochs=1)
    with pytest.raises(ConfigError, match="holds a training with --method triplet"):
        train(data, tmp_path / "run", "siamese", epochs=1)
    with pytest.raises(ConfigError, match="other seen and unseen classes, or other class vectors"):
        train(data, tmp_path / "run", "triplet", epochs=1, words=words)
    (tmp_path / "other").mkdir()
    write_tensors(tmp_path / "other" / MODEL, {"a": torch.zeros(1)}, {})
    with pytest.raises(SketchDataError, match=r"other"):
        train(data, tmp_path / "other", "triplet")
    with pytest.raises(ConfigError, match="there is no training in"):
        train(data, tmp_path / "new", "triplet", resume=True)


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_trains_and_prints_its_report(data: Path, words: Path, tmp_path: Path) -> None:
    options = {**NETWORK, **LOOP, "words": words, "method": "doodle2search"}
    arguments = ["--data", str(data), "--out", str(tmp_path / "run"), "--no-attention", *flags(**options)]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "12 drawings that search 6 photos of 2 validation classes (chance 0.6450)" in done.output
    assert "18 drawings and 9 photos of 3 classes" in done.output
    assert read_space(tmp_path / "run").drawing.attention is None
    done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    assert orjson.loads(done.stdout) == orjson.loads((tmp_path / "run" / REPORT).read_bytes())


def test_the_preset_is_the_paper_s(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}

    def kept(config: SbirConfig, training: SpaceTraining, _split: object) -> dict[str, Any]:
        found.update(vars(config) | vars(training))
        return {}

    monkeypatch.setattr(doodle2search, "run", kept)
    arguments = ["--data", str(data), "--out", "o", "--preset", "paper", "--json"]
    assert CliRunner().invoke(command, arguments).exception is None
    expected = {"backbone": "vgg16", "optimizer": "sgd", "learning_rate": 1e-4, "trunk_learning_rate": 1e-4}
    expected |= {"weight_decay": 5e-4, "batch_size": 20, "epochs": 40, "patience": 20, "trunk": "trained"}
    assert {name: found[name] for name in expected} == expected


def test_the_command_learns_another_split_of_the_classes(data: Path, weights: Path, tmp_path: Path) -> None:
    own = {"data": data, "out": tmp_path / "run", "method": "frozen", "weights": weights, "backbone": "small"}
    own |= {"size": 16, "device": "cpu", "split_seed": 1, "validation_share": 0.4}
    found = CliRunner().invoke(command, flags(**own, seen=5), catch_exceptions=False)
    assert found.exit_code == 0, found.output
    split = orjson.loads((tmp_path / "run" / "run.json").read_bytes())["zero_shot"]
    assert (len(split["seen"]), len(split["validation"]), len(split["unseen"])) == (5, 2, 2)
    assert set(read_space(tmp_path / "run").classes) == set(split["seen"]) - set(split["validation"])
