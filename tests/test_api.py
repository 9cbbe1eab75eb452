"""The package's public names: data sets as sequences, drawings in and out of files, recognition and search."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sketchdata
from sketchdata.drawings.drawing import Drawing
from sketchdata.drawings.raster import raster
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.pipelines import recognise, search
from sketchdata.storage.parquet import RowGroups
from sketchdata.trainers import recognition
from tests.builds import CATEGORIES, SIZES, official_line, small_dataset
from tests.retrievals import Place, make_place
from tests.test_documentation import fences
from tests.trainings import CLASSES, EPOCHS, generated_dataset, loop, network

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set."""
    place = tmp_path_factory.mktemp("api")
    small_dataset(place)
    return place / "dataset"


@pytest.fixture
def train(folder: Path) -> sketchdata.DrawingDataset:
    return sketchdata.load(folder, "train")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A file of raw drawings."""
    path = tmp_path / "cat.ndjson"
    path.write_bytes(b"".join(official_line("cat", number, raw=True) for number in range(5)))
    return path


def same(one: Drawing, other: Drawing) -> bool:
    facts = [(d.key_id, d.word, d.recognized, d.countrycode, d.timestamp, len(d.strokes)) for d in (one, other)]
    return facts[0] == facts[1] and all(map(np.array_equal, one.strokes, other.strokes))


def key_ids(drawings: Any) -> list[int]:
    return [drawing.key_id for drawing in drawings]


# ---- the package -----------------------------------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, sketchdata; dir(sketchdata); print([m for m in sys.modules if m in {'numpy', 'torch', 'cv2'}])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


@pytest.mark.slow
def test_torch_is_imported_by_what_needs_it_alone(folder: Path) -> None:
    code = "import sys, sketchdata; train = sketchdata.load(sys.argv[1]); sketchdata.entropy(train); sketchdata.Index; "
    code += "sketchdata.Recogniser; print('torch' in sys.modules); train.to_torch(); print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code, folder], text=True) == "False\nTrue\n"


def test_every_public_name_is_there_and_documented_and_others_are_not() -> None:
    assert dir(sketchdata) == sorted(sketchdata.__all__)
    for name in set(sketchdata.__all__) - {"__version__"}:
        assert getattr(sketchdata, name).__name__ == name
        assert getattr(sketchdata, name).__doc__
    with pytest.raises(AttributeError, match="nonsense"):
        sketchdata.nonsense  # noqa: B018


# ---- data sets -------------------------------------------------------------------------------------------------------


def test_a_split_is_a_sequence_of_drawings_in_the_order_of_its_rows(train: sketchdata.DrawingDataset) -> None:
    assert len(train) == len(CATEGORIES) * SIZES["train"]
    assert train.classes == CATEGORIES
    every = list(train)
    assert [train[row].key_id for row in range(len(train))] == key_ids(every)
    assert same(train[-1], every[-1])
    assert same(train[np.int64(3)], every[3])
    assert all(stroke.dtype == np.uint8 and stroke.shape[1] == 2 for stroke in train[0].strokes)


@pytest.mark.parametrize("rows", [slice(5, 40, 7), slice(None, None, -1), slice(-3, None), slice(40, 5, -9), slice(0)])
def test_a_slice_is_a_data_set_of_these_rows(train: sketchdata.DrawingDataset, rows: slice) -> None:
    wanted = key_ids(list(train)[rows])
    assert isinstance(train[rows], sketchdata.DrawingDataset)
    assert len(train[rows]) == len(wanted)
    assert key_ids(train[rows]) == wanted
    assert [train[rows][row].key_id for row in range(len(wanted))] == wanted
    assert train[rows].to_pandas().key_id.tolist() == wanted
    assert key_ids(train[rows][::-1][1:]) == wanted[::-1][1:]


@pytest.mark.parametrize("row", [60, -61])
def test_a_row_beyond_the_last_is_an_index_error(train: sketchdata.DrawingDataset, row: int) -> None:
    with pytest.raises(IndexError, match=f"row {row} of 60 drawings in train"):
        train[row]
    with pytest.raises(IndexError):
        train[:0][0]


def test_row_access_decodes_the_row_group_asked_for_and_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sketchdata.storage.parquet.ROW_GROUP_ROWS", 10)
    small_dataset(folder.parent / "groups")
    whole = sketchdata.load(folder.parent / "groups" / "dataset", "train")
    load, loaded = RowGroups._load, list[int]()

    def recorded(groups: RowGroups, group: int) -> Any:
        loaded.append(group)
        return load(groups, group)

    monkeypatch.setattr(RowGroups, "_load", recorded)
    first = [whole[25], whole[29], whole[25]]
    assert loaded == [2]
    every = key_ids(whole)
    assert key_ids(first) == [every[25], every[29], every[25]]
    assert loaded == [2, *range(6)]


@pytest.mark.parametrize(
    ("path", "split", "said"),
    [
        ("dataset", "test", "there is no split 'test'; .* has train, val, gallery, query"),
        ("nowhere", "train", "nowhere is not a finished data set: it does not exist"),
        ("source", "train", "source is not a finished data set: it has no manifest.json"),
    ],
)
def test_what_cannot_be_opened_is_told(folder: Path, path: str, split: str, said: str) -> None:
    with pytest.raises(SketchDataError, match=said):
        sketchdata.load(folder.parent / path, split)


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    small_dataset(tmp_path)
    shard = next((tmp_path / "dataset" / "data").glob("val-*"))
    shard.unlink()
    with pytest.raises(SketchDataError, match=f"{shard.name} is missing"):
        sketchdata.load(tmp_path / "dataset", "val")


def test_a_notebook_shows_drawings(train: sketchdata.DrawingDataset) -> None:
    assert repr(train).endswith("train: 60 drawings of 3 classes>")
    assert 'src="data:image/png;base64,iVBOR' in train._repr_html_()
    assert "img" not in train[:0]._repr_html_()
    assert train[0]._repr_svg_().startswith("<svg ")


def test_a_table_has_a_row_a_drawing(train: sketchdata.DrawingDataset) -> None:
    table = train.to_pandas()
    assert list(table) == ["key_id", "word", "label", "countrycode", "timestamp", "recognized", "strokes"]
    for row, drawing in enumerate(train):
        facts = table.iloc[row]
        assert (facts.key_id, facts.word, facts.countrycode) == (drawing.key_id, drawing.word, drawing.countrycode)
        assert (facts.timestamp.to_pydatetime(), facts.recognized) == (drawing.timestamp, drawing.recognized)
        assert all(map(np.array_equal, facts.strokes, drawing.strokes))
    assert table.word.cat.categories.tolist() == list(CATEGORIES)
    assert "strokes" not in train.to_pandas(strokes=False)


def test_a_raw_data_set_keeps_its_times(tmp_path: Path) -> None:
    small_dataset(tmp_path, input_format="raw", keep_raw=True)
    train = sketchdata.load(tmp_path / "dataset", "train")
    assert train[0].strokes[0].shape[1] == 3
    assert sketchdata.rasterize(train, 32).shape == (60, 32, 32)
    assert all(stroke.shape[1] == 2 for stroke in sketchdata.simplify(train[0]).strokes)
    with pytest.raises(SketchDataError, match="raw"):
        train.loader(device="cpu")


def test_the_first_lines_of_the_readme_run(
    train: sketchdata.DrawingDataset, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "quickdraw-3.8m").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    blocks = [block for language, block in fences(README[: README.index("\n## Train\n")]) if language == "python"]
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert names["bitmaps"].shape == (60, 224, 224)
    assert names["table"].key_id.tolist() == key_ids(train)
    assert len(sketchdata.read("some.npz")) == 60


# ---- tensors ---------------------------------------------------------------------------------------------------------


def test_torch_gets_images_and_labels(train: sketchdata.DrawingDataset) -> None:
    images = train.to_torch(size=32)
    image, label = images[-1]
    assert (image.shape, image.dtype, label.dtype, label.shape) == ((1, 32, 32), torch.float32, torch.int64, ())
    assert torch.equal(image[0], torch.from_numpy(train[-1].image(32)).float() / 255)
    assert train.classes[label] == train[-1].word
    assert train.to_torch(size=32, dtype=torch.uint8)[0][0].max() == 255
    assert train.to_torch(size=32, transform=torch.sum)[0][0] == images[0][0].sum()
    with pytest.raises(IndexError):
        images[60]
    for wrong in ({"size": 0}, {"line_width": 0}, {"dtype": torch.int32}):
        with pytest.raises(ConfigError):
            train.to_torch(**wrong)


@pytest.mark.slow
def test_workers_of_a_dataloader_read_for_themselves(train: sketchdata.DrawingDataset) -> None:
    images = train.to_torch(size=16)
    assert images[0][0].sum() > 0
    copy = pickle.loads(pickle.dumps(images))
    assert torch.equal(copy[7][0], images[7][0])
    assert len(pickle.dumps(images)) < 20_000
    loader = torch.utils.data.DataLoader(images, batch_size=25, num_workers=1, multiprocessing_context="spawn")
    batches = list(loader)
    assert [len(labels) for _, labels in batches] == [25, 25, 10]
    assert torch.equal(torch.cat([pictures for pictures, _ in batches]), torch.stack([image for image, _ in images]))


def test_a_device_loader_draws_the_same_pictures(train: sketchdata.DrawingDataset) -> None:
    loader = train[10:].loader(20, device="cpu", size=32, max_points=64, shuffle=False)
    batches = list(loader.batches(epoch=0))
    assert [len(batch.labels) for batch in batches] == [20, 20, 10]
    assert np.array_equal(torch.cat([b.raster for b in batches])[:, 0].numpy(), sketchdata.rasterize(train[10:], 32))
    assert batches[0].sequence.shape[2] == 4
    with pytest.raises(ConfigError):
        train[:0].loader(device="cpu")


@pytest.mark.slow
def test_the_training_loop_of_the_readme_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    generated_dataset(tmp_path).rename(tmp_path / "data" / "quickdraw-3.8m")
    monkeypatch.chdir(tmp_path)
    section = README[README.index("\n## Train\n") :]
    language, block = fences(section)[0]
    assert language == "python"
    assert "to_torch" in block
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(block, names)
    images, labels = zip(*sketchdata.load("data/quickdraw-3.8m", "val").to_torch(size=28), strict=True)
    with torch.no_grad():
        right = names["network"](torch.stack(images)).argmax(1) == torch.stack(labels)
    assert right.float().mean() > 0.6  # chance is a third


# ---- functions -------------------------------------------------------------------------------------------------------


def test_rasters_are_those_of_the_library(train: sketchdata.DrawingDataset) -> None:
    (batch,) = train.batches()
    assert np.array_equal(sketchdata.rasterize(train, 40), raster(batch, size=40))
    assert np.array_equal(sketchdata.rasterize(list(train), 40, line_width=3), raster(batch, size=40, line_width=3))
    assert np.array_equal(sketchdata.rasterize(train[5], 40), raster(batch, size=40)[5])
    assert sketchdata.rasterize([], 40).shape == (0, 40, 40)
    with pytest.raises(ConfigError):
        sketchdata.rasterize(train, 0)


def test_entropy_of_drawings_is_that_of_their_bitmaps(train: sketchdata.DrawingDataset) -> None:
    values = sketchdata.entropy(train)
    assert values.shape == (60,)
    assert np.array_equal(values, sketchdata.entropy(sketchdata.rasterize(train)))
    assert np.array_equal(values, sketchdata.entropy(list(train)))
    one = sketchdata.entropy(train[4])
    assert isinstance(one, float)
    assert one == values[4] == sketchdata.entropy(train[4].image())
    assert sketchdata.entropy(np.array([[0, 1], [0, 1]])) == 1
    with pytest.raises(ConfigError):
        sketchdata.entropy(np.zeros(4))


def test_raw_drawings_are_simplified_and_simple_ones_stay(raw: Path) -> None:
    drawings = sketchdata.read(raw)
    simple = sketchdata.simplify(drawings)
    assert all(stroke.dtype == np.uint8 for drawing in simple for stroke in drawing.strokes)
    assert all(map(same, sketchdata.simplify(simple), simple))
    with pytest.raises(FormatError, match="raw and simplified"):
        sketchdata.rasterize([drawings[0], simple[0]])


@pytest.mark.parametrize("name", ["a.ndjson", "a.ndjson.gz", "a.svg/", "folder"])
@pytest.mark.parametrize("is_raw", [False, True])
def test_what_is_written_is_read_again(
    train: sketchdata.DrawingDataset, raw: Path, tmp_path: Path, name: str, is_raw: bool
) -> None:
    drawings = sketchdata.read(raw) if is_raw else list(train)
    sketchdata.write(f"{tmp_path}/{name}", drawings)
    found = sketchdata.read(tmp_path / name)
    assert all(map(same, sorted(found, key=lambda d: d.key_id), sorted(drawings, key=lambda d: d.key_id)))
    assert len(found) == len(drawings)


@pytest.mark.parametrize("name", ["cat.bin", "cat.npz"])
def test_formats_without_words_take_the_name_of_the_file(
    train: sketchdata.DrawingDataset, tmp_path: Path, name: str
) -> None:
    sketchdata.write(tmp_path / name, train)
    found = sketchdata.read(tmp_path / name)
    assert {drawing.word for drawing in found} == {"cat"}
    assert [[len(s) for s in d.strokes] for d in found] == [[len(s) for s in d.strokes] for d in train]
    assert sketchdata.read(tmp_path / name, word="dog")[0].word == "dog"


def test_one_drawing_is_an_svg_file_and_bitmaps_are_written(train: sketchdata.DrawingDataset, tmp_path: Path) -> None:
    sketchdata.write(tmp_path / "one.svg", train[3])
    assert (tmp_path / "one.svg").read_text() == train[3].svg()
    assert same(sketchdata.read(tmp_path / "one.svg")[0], train[3])
    sketchdata.write(tmp_path / "a.npy", train)
    assert np.load(tmp_path / "a.npy").shape == (60, 784)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.txt", "unknown format"),
        ("a.bin.gz", "only .ndjson is written as .gz"),
        ("there.ndjson", "exists: choose another name, or overwrite=True"),
        ("two.svg", "more than one drawing"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(
    train: sketchdata.DrawingDataset, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "there.ndjson").touch()
    with pytest.raises(SketchDataError, match=said):
        sketchdata.write(tmp_path / name, train)
    assert [path.name for path in tmp_path.iterdir()] == ["there.ndjson"]
    assert not (tmp_path / "there.ndjson").stat().st_size


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.ndjson").write_bytes(official_line("cat", 1) + b"{}\n")
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ConfigError, match="does not exist"):
        sketchdata.read(tmp_path / "no.ndjson")
    with pytest.raises(ConfigError, match="only written"):
        sketchdata.read(tmp_path / "a.npy")
    with pytest.raises(SketchDataError, match=r"bad\.ndjson, byte \d+: "):
        sketchdata.read(tmp_path / "bad.ndjson")
    with pytest.raises(ConfigError, match=r"holds no \.svg files"):
        sketchdata.read(tmp_path)


# ---- networks --------------------------------------------------------------------------------------------------------


def nearly(prediction: list[tuple[str, float]]) -> list[tuple[str, Any]]:
    """Allow for what the number of drawings in a batch does to the last digits."""
    return [(word, pytest.approx(share)) for word, share in prediction]


@pytest.mark.slow
def test_a_recogniser_predicts_what_the_command_says(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    data, run = generated_dataset(tmp_path), tmp_path / "run"
    recognition.run(recognition.Config(data=data, out=run, width=16, **EPOCHS), network(branch="cnn"), loop())
    recogniser = sketchdata.Recogniser.load(run, device="cpu")
    drawings = list(sketchdata.load(data, "query"))
    found = recogniser.predict(drawings)
    assert [sorted(word for word, _ in one) for one in found] == [list(CLASSES)] * len(drawings)
    for one in found:
        shares = [share for _, share in one]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1)
    sketchdata.write(tmp_path / "all.ndjson", drawings)
    told = recognise.run(run, [str(tmp_path / "all.ndjson")], recognise.Config(device="cpu")).answers
    assert [[(g.word, g.score) for g in answer.guesses] for answer in told] == found
    assert recogniser.predict(f"{tmp_path}/all.ndjson#3", top=2) == nearly(found[2][:2])
    assert recogniser.predict(drawings[2]) == nearly(found[2])
    sketchdata.write(tmp_path / "a.svg", drawings[2])
    assert recogniser.predict(tmp_path / "a.svg") == nearly(found[2])
    picture = drawings[2].image(256, line_width=3)
    assert recogniser.predict(picture) == recogniser.predict(np.stack([255 - picture] * 3, axis=2))
    assert recogniser.predict([]) == []
    with pytest.raises(ConfigError, match="holds 12 drawings"):
        recogniser.predict(tmp_path / "all.ndjson")
    with pytest.raises(ConfigError, match="a picture of a drawing is"):
        recogniser.predict(picture.astype(np.float32))
    with pytest.raises(ConfigError, match="--among"):
        sketchdata.Recogniser.load(run, among="unseen")
    with pytest.raises(SketchDataError):
        sketchdata.Recogniser.load(data)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("index"))


def test_an_index_finds_what_the_command_finds(place: Place, tmp_path: Path) -> None:
    index = sketchdata.Index.load(place.index)
    drawing = sketchdata.load(place.data, "query")[0]
    near = index.search(drawing, 7, run=place.run)
    sketchdata.write(tmp_path / "a.svg", drawing)
    (told,) = search.run(place.index, [str(tmp_path / "a.svg")], search.Config(run=place.run, k=7)).answers
    assert list(zip(near.key_ids.tolist(), near.words, near.distances.tolist(), strict=True)) == [
        (result.key_id, result.word, result.distance) for result in told.results
    ]
    codes = index.encode([drawing], place.run)
    assert index.search(codes, 7)[0].key_ids.tolist() == near.key_ids.tolist()
    assert len(near) == 7
    with pytest.raises(ConfigError, match="needs the network"):
        index.search(drawing)
    with pytest.raises(ConfigError, match="the query has"):
        index.search(codes[0], 3)


def test_codes_are_scored(place: Place) -> None:
    from sketchdata.retrieval.code_folder import read_codes

    gallery = read_codes(place.codes, "gallery")
    found = sketchdata.score_codes(gallery, gallery, k=5, resamples=10)
    assert 1 / 3 < found.mean("map", "expected") <= 1
