"""The trainer of recognition: it learns, survives being stopped, shares the work, and says what does not fit."""

from __future__ import annotations

import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch

from sketchdata.curation.audit import read_audit
from sketchdata.curation.plan import normal_rows
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.pipelines.audit import EntropyConfig, audit_entropy
from sketchdata.retrieval.evaluation import evaluate_run
from sketchdata.storage.manifest import MANIFEST_NAME
from sketchdata.storage.tensors import read_tensors
from sketchdata.trainers.recognition import Config, run
from sketchdata.training.distributed import DistributedContext
from sketchdata.training.encoder import read_encoder, view_of
from sketchdata.training.experiment import new_encoder, read_experiment
from sketchdata.training.packed import read_packed
from sketchdata.training.run_folder import METRICS, MODEL, REPORT, STAGES, RunFolder
from tests.builds import IN_PROCESS
from tests.exports import tars
from tests.trainings import CLASSES, EPOCHS, generated_dataset, loop, network, start, stop_in


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated_dataset(tmp_path_factory.mktemp("recognition"))


def config(data: Path, out: Path, **others: Any) -> Config:
    return Config(data=data, out=out, **{**EPOCHS, "width": 8, **others})


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training that nobody stopped."""
    out = tmp_path_factory.mktemp("undisturbed")
    run(config(data, out), network(), loop())
    return out


def same_network(one: Path, other: Path) -> bool:
    return (one / MODEL).read_bytes() == (other / MODEL).read_bytes()


# ---- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_small_network_learns_generated_drawings_in_seconds(data: Path, tmp_path: Path) -> None:
    report = run(
        config(data, tmp_path, cnn_learning_rate=0.01, cnn_epochs=5, rnn_epochs=1, fusion_epochs=3, center_epochs=1),
        network(size=32, max_points=16),
        loop(batch_size=8, save_minutes=9.0),
    )
    accuracy = {stage["stage"]: stage["accuracy"] for stage in report["stages"]}
    assert list(accuracy) == ["cnn", "rnn", "fusion", "centers"]
    assert accuracy["cnn"] > 0.7
    assert accuracy["centers"] > 0.8


@pytest.mark.slow
def test_a_network_whose_classifier_never_learns_is_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = dict.fromkeys(("cnn_epochs", "rnn_epochs", "fusion_epochs"), 0)
    for name, others in {
        "cel": {"loss": "cel"},
        "no epochs": {"center_epochs": 0},
        "centres": {"center_epochs": 1},
    }.items():
        run(config(data, tmp_path / name, **none, **others), network(), loop())
        assert ("leaves the classifier of the network untrained" in capsys.readouterr().err) == (name != "centres")


@pytest.mark.slow
@pytest.mark.parametrize("loose", [False, True])
def test_tars_give_the_same_network_as_the_data_set_that_they_were_exported_from(
    data: Path, undisturbed: Path, tmp_path: Path, loose: bool
) -> None:
    tars(data, tmp_path / "tars", shard_rows=50, png=16)
    if loose:
        (tmp_path / "tars" / MANIFEST_NAME).unlink()
    process = start("recognition", tmp_path / "tars", tmp_path / "run", width=8)
    said = stop_in(process, tmp_path / "run", "rnn", signal.SIGINT)
    assert "continue with --resume" in said
    run(config(tmp_path / "tars", tmp_path / "run"), network(), loop(resume=True))
    assert same_network(tmp_path / "run", undisturbed)
    values = evaluate_run(tmp_path / "run", None, "val", device="cpu", batch_size=50)
    assert values["drawings"] == 36


def test_tars_that_lack_drawings_are_refused(data: Path, tmp_path: Path) -> None:
    tars(data, tmp_path / "tars", shard_rows=50)
    few, many = tmp_path / "tars" / "val-000000.tar", tmp_path / "tars" / "train-000000.tar"
    few.write_bytes(many.read_bytes())
    with pytest.raises(SketchDataError, match=r"val-000000\.tar has 40 drawings where its manifest says 36"):
        read_packed(tmp_path / "tars", "val")
    few.unlink()
    with pytest.raises(SketchDataError, match=r"val-000000\.tar cannot be read"):
        read_packed(tmp_path / "tars", "val")


@pytest.mark.slow
def test_the_report_says_how_the_network_came_about(undisturbed: Path) -> None:
    report = orjson.loads((undisturbed / REPORT).read_bytes())
    assert report["options"]["backbone"] == "small"
    assert report["drawings"] == 3 * 40
    assert report["processes"] == 1
    assert [stage["epochs"] for stage in report["stages"]] == [2, 2, 2, 2]
    assert sorted(path.name for path in undisturbed.iterdir()) == [
        "checkpoints",
        METRICS,
        MODEL,
        "run.json",
        STAGES,
        REPORT,
    ]
    assert not list((undisturbed / "checkpoints").iterdir())


@pytest.mark.slow
def test_the_network_comes_back_as_it_was_validated(data: Path, undisturbed: Path) -> None:
    trained, val = read_encoder(undisturbed), read_packed(data, "val")
    with torch.no_grad():
        batch = trained.view.batch(val, torch.arange(len(val)))
        code, scores = trained(batch)
    assert trained.classes == CLASSES
    assert code.shape == (36, trained.width) == (36, 8)
    report = orjson.loads((undisturbed / REPORT).read_bytes())
    accuracy = float((scores.argmax(1) == batch.labels).float().mean())
    assert accuracy == pytest.approx(report["stages"][-1]["accuracy"])


@pytest.mark.slow
def test_a_finished_training_is_not_done_again(data: Path, undisturbed: Path) -> None:
    before = (undisturbed / MODEL).stat().st_mtime_ns
    report = run(config(data, undisturbed), network(), loop())
    assert report == orjson.loads((undisturbed / REPORT).read_bytes())
    assert (undisturbed / MODEL).stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("branch", "loss", "stages"),
    [
        ("cnn", "cel", ["cnn", "fusion"]),
        ("rnn", "cel+scl", ["rnn", "fusion", "centers"]),
        ("cr", "cel+cl", ["cnn", "rnn", "fusion", "centers"]),
    ],
)
def test_each_branch_and_loss_is_trained(branch: str, loss: str, stages: list[str], data: Path, tmp_path: Path) -> None:
    epochs = dict.fromkeys(EPOCHS, 1)
    changed = {**epochs, "loss": loss, "augment": True}
    report = run(config(data, tmp_path, **changed), network(branch=branch), loop(batch_size=64))
    assert [stage["stage"] for stage in report["stages"]] == stages
    assert all(0 <= stage["accuracy"] <= 1 for stage in report["stages"])
    encoder = read_encoder(tmp_path)
    assert (encoder.fusion.picture is None, encoder.fusion.points is None) == (branch == "rnn", branch == "cnn")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # torch's own
def test_a_compiled_network_learns_the_same(data: Path, tmp_path: Path) -> None:
    epochs = {"cnn_epochs": 1, "fusion_epochs": 0, "loss": "cel"}
    for name in ("plain", "compiled"):
        wanted = config(data, tmp_path / name, **epochs)
        run(wanted, network(branch="cnn"), loop(compile=name == "compiled", batch_size=40))
    plain, compiled = (read_tensors(tmp_path / name / MODEL)[0] for name in ("plain", "compiled"))
    assert plain.keys() == compiled.keys()
    for name, values in plain.items():
        torch.testing.assert_close(values, compiled[name], rtol=1e-3, atol=1e-4)


# ---- the drawings that give the centres ------------------------------------------------------------------------------


def test_the_audit_and_its_absence_find_the_same_drawings_normal(tmp_path: Path) -> None:
    data = generated_dataset(tmp_path)
    found = normal_rows(data)
    audit_entropy(data, EntropyConfig(), IN_PROCESS)
    assert read_audit(data).noise.any()
    np.testing.assert_array_equal(normal_rows(data), found)
    assert 0.8 * len(found) < np.count_nonzero(found) < len(found)


@pytest.mark.slow
def test_the_centres_are_the_mean_codes_of_normal_drawings(data: Path, undisturbed: Path) -> None:
    experiment = read_experiment(
        RunFolder(path=undisturbed, context=DistributedContext(device=torch.device("cpu"))),
        config(data, undisturbed),
        network(),
        loop(),
        (8, "sigmoid"),
    )
    encoder = new_encoder(experiment)
    tensors, _ = read_tensors(undisturbed / STAGES / "fusion.safetensors")
    prefix = "network.encoder."
    encoder.load_state_dict({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})
    rows = torch.from_numpy(normal_rows(data))
    with torch.no_grad():
        everything = view_of(network(), experiment.architecture.scale).batch(experiment.train, torch.arange(len(rows)))
        f, _ = encoder.eval()(everything)
    expected = [f[rows & (everything.labels == label)].double().mean(0) for label in range(3)]
    found, _ = read_tensors(undisturbed / STAGES / "class-centers.safetensors")
    torch.testing.assert_close(found["class-centers"], torch.stack(expected).float(), rtol=1e-4, atol=1e-6)


# ---- stopped, and gone on --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_saves_exits_130_and_the_training_goes_on_to_the_same_network(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    process = start("recognition", data, tmp_path, width=8)
    said = stop_in(process, tmp_path, "rnn", signal.SIGINT)
    assert process.returncode == 130
    assert "stopped in stage rnn after step" in said
    assert "Traceback" not in said
    run(config(data, tmp_path), network(), loop(resume=True))
    assert same_network(tmp_path, undisturbed)


@pytest.mark.slow
def test_a_full_disk_is_named_and_what_was_finished_is_kept(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    sizes = [(undisturbed / STAGES / f"{name}.safetensors").stat().st_size for name in ("cnn", "fusion")]
    # Weights and AdamW's two memories of each: what the first stage writes has room, what the third one writes has not.
    most = 3 * sum(sizes) // 2

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    process = start("recognition", data, tmp_path, width=8, preexec_fn=limit)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1, said
    assert "fusion-00000001.safetensors" in said
    assert "cannot be written: File too large" in said
    assert "continue with --resume" in said
    assert "Traceback" not in said
    assert sorted(path.name for path in (tmp_path / STAGES).iterdir()) == ["cnn.safetensors", "rnn.safetensors"]
    run(config(data, tmp_path), network(), loop(resume=True))
    assert same_network(tmp_path, undisturbed)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(data: Path, tmp_path: Path) -> None:
    # Without normalisation over a batch, two halves' gradients are the whole batch's but for rounding.
    options: dict[str, Any] = {"branch": "rnn", "loss": "cel", "width": 8, "rnn_epochs": 2, "fusion_epochs": 1}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    process = start("recognition", data, tmp_path / "two", launcher=launcher, **options)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    whole = config(data, tmp_path / "one", loss="cel", rnn_epochs=2, fusion_epochs=1)
    run(whole, network(branch="rnn"), loop())
    one, two = (read_tensors(tmp_path / name / MODEL)[0] for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(torch.allclose(one[name], two[name], atol=1e-3) for name in one)
    assert orjson.loads((tmp_path / "two" / REPORT).read_bytes())["processes"] == 2


# ---- what does not fit -----------------------------------------------------------------------------------------------


def test_a_training_that_diverges_says_so(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match=r"diverged in stage cnn by step \d+: .*smaller --learning-rate"):
        run(config(data, tmp_path, cnn_learning_rate=1e30), network(), loop(learning_rate=1e30, optimizer="rmsprop"))


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"backbone": "alexnet", "size": 32}, "--backbone alexnet needs pictures of --size 63 at least, not 32"),
        ({"backbone": "resnet19"}, "there is no model 'resnet19'"),
    ],
)
def test_a_network_that_cannot_be_is_refused(others: dict[str, Any], message: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run(config(data, tmp_path), network(**others), loop())


@pytest.mark.slow
def test_a_data_set_of_other_classes_is_refused(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    manifest = orjson.loads((data / MANIFEST_NAME).read_bytes())
    manifest["classes"] = ["cat", "house", "stars"]
    manifest["counts"] = {
        split: {word.replace("star", "stars"): count for word, count in own.items()}
        for split, own in manifest["counts"].items()
    }
    (tmp_path / MANIFEST_NAME).write_bytes(orjson.dumps(manifest))
    with pytest.raises(ConfigError, match=r"another class table, 3 classes .*house, star.*house, stars"):
        run(config(tmp_path, undisturbed), network(), loop(resume=True))
