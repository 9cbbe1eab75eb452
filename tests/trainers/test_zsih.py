"""Trainings of zero-shot sketch-image hashing: every ablation, repeatable to the bit, blind to unseen classes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from click.testing import CliRunner

from sketchdata.cli.recognise import evaluate
from sketchdata.cli.train import zsih as command
from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS, SEEN, UNSEEN, VALIDATION, read_group
from sketchdata.cross_domain.encoder import embed, read_space
from sketchdata.cross_domain.experiment import mean_average_precision
from sketchdata.cross_domain.options import PairTraining
from sketchdata.cross_domain.report import JSON_FILE, TABLE_FILE
from sketchdata.cross_domain.sampling import PairBatch
from sketchdata.errors import ConfigError, InterruptedRunError
from sketchdata.formats.codes import Codes, pack_bits
from sketchdata.retrieval.scores import score_codes
from sketchdata.trainers import zsih
from sketchdata.trainers.options import ZsihConfig
from sketchdata.training.backbones import build
from sketchdata.training.run_folder import METRICS, MODEL, REPORT, read_lines
from tests.trainings import flags
from tests.two_domains import make_two_domains, write_random_words

GROUPS = {"seen": ("cat", "house", "star"), "validation": ("airplane", "fish"), "unseen": ("apple", "ice cream")}
NETWORK: dict[str, Any] = {
    "backbone": "small", "size": 16, "bits": "16", "epochs": 2, "kron_width": 4, "graph_width": 8
}  # fmt: skip
LOOP: dict[str, Any] = {"batch_size": 8, "device": "cpu", "save_minutes": 0.0, "log_every": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("zsih") / "data"
    make_two_domains(out, GROUPS, drawings=6, photos=3)
    return out


@pytest.fixture(scope="module")
def words(data: Path) -> Path:
    return write_random_words(data.parent / "words.parquet", GROUPS)


@pytest.fixture(scope="module")
def weights(data: Path) -> Path:
    torch.manual_seed(5)
    path = data.parent / "small.pth"
    torch.save(build("small", classes=4, channels=3).state_dict(), path)
    return path


def train(data: Path, out: Path, **options: Any) -> dict[str, Any]:
    """Train in this process; options may be of the network or of the loop."""
    loop = {name: value for name, value in options.items() if name in PairTraining.__dataclass_fields__}
    own = {name: value for name, value in options.items() if name not in loop}
    return zsih.run(ZsihConfig(data=data, out=out, **{**NETWORK, **own}), PairTraining(**{**LOOP, **loop}))


def model(out: Path) -> bytes:
    return (out / MODEL).read_bytes()


#: {options: parts of the loss beside those of the two encoders}, of the paper's Table 3 and of the count sketch.
ROWS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "whole": ({}, {"entropy", "words"}),
    "concat": ({"fusion": "concat"}, {"entropy", "words"}),
    "mfb": ({"fusion": "mfb"}, {"entropy", "words"}),
    "regularised": ({"neurons": "regularised"}, {"regularisation", "words"}),
    "classifier": ({"decoder": "classifier"}, {"entropy", "classes"}),
    "no graph": ({"graph": "off"}, {"entropy", "words"}),
    "word fusion": ({"graph": "words"}, {"entropy", "words"}),
    "t = 1": ({"temperature": 1.0}, {"entropy", "words"}),
    "t = 1e-6": ({"temperature": 1e-6}, {"entropy", "words"}),
    "author's sign": ({"code_entropy": "min"}, {"entropy", "words"}),
    "sketched": ({"kron_sketch": 7}, {"entropy", "words"}),
}


@pytest.mark.parametrize("row", ROWS)
def test_the_rows_of_table_3_are_options(row: str, data: Path, words: Path, weights: Path, tmp_path: Path) -> None:
    options, parts = ROWS[row]
    report = train(data, tmp_path, words=words, weights=str(weights), trunk="frozen", **options)
    assert report == orjson.loads((tmp_path / REPORT).read_bytes())
    first = read_lines(tmp_path / METRICS)[0]
    named = {"entropy", "words", "classes", "regularisation", DRAWINGS, PHOTOS}
    assert first.keys() & named == parts | {DRAWINGS, PHOTOS}
    assert first["loss"] == pytest.approx(sum(first[name] for name in named & first.keys()), rel=1e-5)
    encoder = read_space(tmp_path)
    assert (encoder.bits, encoder.classes) == (16, GROUPS["seen"])
    group = read_group(data, VALIDATION, size=16)
    codes = [embed(encoder, getattr(group, name), name) for name in (DRAWINGS, PHOTOS)]
    assert {float(bit) for each in codes for bit in np.unique(each)} <= {0.0, 1.0}
    found, chance = mean_average_precision(codes[0], codes[1], group)
    assert found == pytest.approx(report["stages"][0]["map"], abs=0.05), "features are kept in half precision"
    assert (report["method"], report["validation"]["chance"]) == ("zsih", chance)


def test_codes_are_evaluated_by_their_hamming_distance(data: Path, words: Path, tmp_path: Path) -> None:
    train(data, tmp_path, words=words)
    done = CliRunner().invoke(evaluate, [str(tmp_path), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = orjson.loads((tmp_path / JSON_FILE).read_bytes())
    encoder, group = read_space(tmp_path), read_group(data, UNSEEN, size=16)

    def codes(domain: str) -> Codes:
        pictures = getattr(group, domain)
        return Codes(
            bits=16,
            packed=pack_bits(embed(encoder, pictures, domain) > 0),
            labels=pictures.labels.numpy().astype(np.uint16),
            key_ids=np.arange(len(pictures), dtype=np.uint64),
            classes=group.classes,
        )

    own = score_codes(codes(DRAWINGS), codes(PHOTOS), k=200, precision_at=(1, 100)).values()
    for bound in ("expected", "pessimistic", "optimistic"):
        assert found["retrieval"]["map"][bound] == pytest.approx(own["map"][bound])
        assert found["retrieval"]["precision_at"]["100"][bound] == pytest.approx(own["precision_at"]["100"][bound])
    assert found["retrieval"]["chance"] == pytest.approx(own["chance"])
    assert "by the Hamming distance of 16 bits" in (tmp_path / TABLE_FILE).read_text()
    refused = CliRunner().invoke(evaluate, [str(tmp_path), "--bits", "8"])
    assert isinstance(refused.exception, ConfigError)
    assert "itself gives codes of 16 bits" in str(refused.exception)


@pytest.mark.slow
def test_inputs_of_dense_layers_are_standardised_by_the_seen_pictures_unless_refused(
    data: Path, words: Path, weights: Path, tmp_path: Path
) -> None:
    frozen = {"words": words, "weights": str(weights), "trunk": "frozen", "epochs": 1}
    for name, options in (("scaled", {}), ("plain", {"standardise": False})):
        # At a rate near 0 the attention stays as it was when the mean was taken.
        rates = {"learning_rate": 1e-12, "trunk_learning_rate": 1e-12}
        train(data, tmp_path / name, **frozen, **rates, **options)
        encoder = read_space(tmp_path / name)
        group = read_group(data, SEEN, size=16)
        for domain, pictures in ((DRAWINGS, group.drawings), (PHOTOS, group.photos)):
            branch = encoder.branch(domain).eval()
            images = pictures.pictures(torch.arange(len(pictures)), 16)
            with torch.no_grad():
                found = branch.attended(encoder.features(images, domain))
            if options:
                assert (branch.mean == 0).all()
                assert (branch.deviation == 1).all()
            else:
                assert found.mean(0).abs().max() < 0.1
                assert found.std(0).median().item() == pytest.approx(0.1, rel=0.3)


def test_the_same_seed_gives_the_same_bytes(data: Path, words: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        train(data, tmp_path / name, words=words, augment=True, seed=seed)
    assert model(tmp_path / "one") == model(tmp_path / "two") != model(tmp_path / "three")


def test_ctrl_c_stops_after_a_step_and_resume_ends_the_same(
    data: Path, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(data, tmp_path / "plain", words=words)
    forward = zsih.HashingObjective.forward
    steps: list[int] = []

    def pressed(self: Any, given: PairBatch) -> Any:
        steps.append(len(given.labels))
        if len(steps) == 2:
            signal.raise_signal(signal.SIGINT)
        return forward(self, given)

    monkeypatch.setattr(zsih.HashingObjective, "forward", pressed)
    with pytest.raises(InterruptedRunError, match="continue with --resume"):
        train(data, tmp_path / "stopped", words=words)
    assert len(steps) == 2
    train(data, tmp_path / "stopped", words=words, resume=True)
    assert model(tmp_path / "stopped") == model(tmp_path / "plain")


@pytest.mark.slow
def test_unseen_drawings_photos_and_words_make_no_difference(data: Path, words: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "plain", words=words)
    # Files of unseen classes are not there, and neither is the vector of one; that of the other has changed.
    manifest = make_two_domains(tmp_path / "gone", GROUPS, drawings=6, photos=3)
    for split in (f"unseen-{DRAWINGS}", f"unseen-{PHOTOS}"):
        for shard in manifest.shards(split):
            (tmp_path / "gone" / shard.path).unlink()
    changed = write_random_words(tmp_path / "changed.parquet", GROUPS, apple=-3.0, **{"ice cream": 0})
    train(tmp_path / "gone", tmp_path / "two", words=changed)
    assert model(tmp_path / "two") == model(tmp_path / "plain")
    # Words of seen classes make one.
    train(data, tmp_path / "three", words=write_random_words(tmp_path / "seen.parquet", GROUPS, cat=-1.0))
    assert model(tmp_path / "three") != model(tmp_path / "plain")


def test_a_class_without_a_word_is_named_with_the_remedy(data: Path, tmp_path: Path) -> None:
    path = write_random_words(tmp_path / "w.parquet", GROUPS, house=0)
    with pytest.raises(ConfigError, match=r"no vector of house: .*synonym"):
        train(data, tmp_path / "run", words=path)
    with pytest.raises(ConfigError, match="use --graph off with --decoder classifier"):
        train(data, tmp_path / "run")
    train(data, tmp_path / "run", graph="off", decoder="classifier", epochs=1)


def test_the_command_trains_and_prints_its_report(data: Path, words: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path / "run"), *flags(**NETWORK, **LOOP, words=words)]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "12 drawings that search 6 photos of 2 validation classes (chance 0.6450)" in done.output
    done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    assert orjson.loads(done.stdout) == orjson.loads((tmp_path / "run" / REPORT).read_bytes())


def test_the_preset_is_the_paper_s(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}

    def kept(config: ZsihConfig, training: PairTraining, _split: object) -> dict[str, Any]:
        found.update(vars(config) | vars(training))
        return {}

    monkeypatch.setattr(zsih, "run", kept)
    arguments = ["--data", str(data), "--out", "o", "--preset", "paper", "--json"]
    assert CliRunner().invoke(command, arguments).exception is None
    expected = {"backbone": "alexnet-torchvision", "size": 227, "kron_width": 256, "graph_width": 1024}
    expected |= {"optimizer": "adam", "batch_size": 250, "temperature": 0.1, "code_entropy": "max", "graph": "on"}
    assert {name: found[name] for name in expected} == expected
