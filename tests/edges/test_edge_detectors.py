"""Edge detectors and the way from strength to a centred picture, on shapes whose edges are known and on photos."""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from sketchdata.edges import EDGE_DETECTORS, centre, detector, line_finder, thin
from sketchdata.edges.filters import LEAST_STEP, canny, sobel
from sketchdata.errors import ConfigError, FormatError
from sketchdata.photos.image import decode, resize
from tests.edge_models import FOREST

Pixels = npt.NDArray[np.uint8]
PHOTOS = {"astronaut": data.astronaut(), "coffee": data.coffee(), "cat": data.cat(), "rocket": data.rocket()}
every_detector = pytest.mark.parametrize("name", EDGE_DETECTORS)


def disc(colour: tuple[int, int, int] = (40, 40, 40), noise: float = 0.0) -> Pixels:
    """Return a disc of radius 50 about (80, 100) on light grey, (160, 200, 3)."""
    photo = np.full((160, 200, 3), 200, np.uint8)
    cv2.circle(photo, (100, 80), 50, colour, -1, cv2.LINE_AA)
    grain = np.random.default_rng(0).normal(0, noise, photo.shape) if noise else 0
    return np.clip(photo + grain, 0, 255).astype(np.uint8)


def distance_from_circle(edges: Pixels) -> npt.NDArray[np.float64]:
    y, x = np.nonzero(edges)
    return np.abs(np.hypot(y - 80, x - 100) - 50)


@every_detector
@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_a_disc_gives_its_whole_outline_and_nothing_else(name: str, noise: float) -> None:
    edges = thin(detector(name)(disc(noise=noise)), weakest=40)
    assert distance_from_circle(edges).max() <= 3
    y, x = np.nonzero(edges)
    directions = np.degrees(np.arctan2(y - 80, x - 100)).astype(int) % 360 // 5
    assert len(np.unique(directions)) == 72


@every_detector
@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_blank_photo_has_no_edges(name: str, level: int) -> None:
    assert not detector(name)(np.full((64, 48, 3), level, np.uint8)).any()


@every_detector
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 3), (37, 53)])
def test_any_size_of_photo_gives_edges_of_that_size(name: str, shape: tuple[int, int]) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    edges = detector(name)(photo)
    assert edges.shape == shape
    assert edges.dtype == np.uint8
    assert thin(edges).shape == shape


@every_detector
@pytest.mark.parametrize("photo", PHOTOS.values(), ids=PHOTOS)
def test_real_photos_become_centred_pictures(name: str, photo: Pixels) -> None:
    edges = thin(detector(name)(resize(photo, 400)))
    assert 0.005 < (edges > 0).mean() < 0.3
    picture = centre(edges)
    assert picture.shape == (224, 224, 3)
    assert max(np.ptp(axis) + 1 for axis in np.nonzero(picture[:, :, 0] < 255)) in (201, 202)


@every_detector
@pytest.mark.parametrize("photo", PHOTOS.values(), ids=PHOTOS)
def test_a_mirrored_and_a_transposed_photo_have_the_mirrored_and_the_transposed_edges(name: str, photo: Pixels) -> None:
    find = detector(name)
    edges = find(photo)
    for other in (find(photo[:, ::-1].copy())[:, ::-1], find(photo.transpose(1, 0, 2).copy()).T):
        # Sums of fractions in another order may round otherwise.
        assert (edges != other).mean() < 0.001


@every_detector
def test_a_grey_photo_has_edges_as_one_in_colour_has(name: str) -> None:
    grey = np.repeat(data.camera()[:, :, None], 3, axis=2)
    assert 0.005 < (line_finder(name, detector(name))(resize(grey, 400)) > 0).mean() < 0.3


@pytest.mark.parametrize("photo", PHOTOS.values(), ids=PHOTOS)
def test_canny_needs_no_thinning(photo: Pixels) -> None:
    edges = canny(photo)
    kept = edges > 0
    blocks = kept[1:, 1:] & kept[1:, :-1] & kept[:-1, 1:] & kept[:-1, :-1]
    assert blocks.sum() <= 0.02 * kept.sum()
    assert np.array_equal(line_finder("canny", canny)(photo), edges)


def test_lines_are_thin_and_as_strong_as_the_threshold_wants() -> None:
    photo = resize(PHOTOS["cat"], 200)
    assert np.array_equal(line_finder("sobel", sobel)(photo), thin(sobel(photo)))
    assert np.array_equal(line_finder("sobel", sobel, 70)(photo), thin(sobel(photo), weakest=70))
    strong = line_finder("canny", canny, 70)(photo)
    assert np.array_equal(strong, np.where(canny(photo) >= 70, canny(photo), 0))
    assert 0 < (strong > 0).sum() < (canny(photo) > 0).sum()


def test_edges_between_colours_of_equal_brightness_are_seen_by_the_gradient_detectors() -> None:
    # These two have the same luminance, so that the grey photo is blank.
    photo = np.full((80, 80, 3), (0, 100, 0), np.uint8)
    photo[:, 40:] = (196, 0, 0)
    assert np.ptp(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)) <= 1
    for find in (canny, sobel):
        assert set(np.nonzero(find(photo) > 90)[1]) >= {39} or set(np.nonzero(find(photo) > 90)[1]) >= {40}


@pytest.mark.parametrize("contrast", [20, 100, 200])
def test_strength_is_the_contrast_in_grey_levels(contrast: int) -> None:
    photo = np.full((60, 60, 3), 20, np.uint8)
    photo[:, 30:] += np.uint8(contrast)
    for find in (canny, sobel):
        assert abs(int(find(photo).max()) - contrast) <= 0.16 * contrast


def test_canny_leaves_out_steps_that_are_noise() -> None:
    photo = np.full((60, 60, 3), 100, np.uint8)
    photo[:, 30:] += np.uint8(LEAST_STEP - 2)
    assert not canny(photo).any()


def test_thinning_leaves_the_crest_of_a_broad_ridge() -> None:
    profile = np.array([0, 40, 90, 160, 230, 160, 90, 40, 0], np.uint8)
    edges = np.zeros((50, 40), np.uint8)
    edges[:, 10:19] = profile
    found = thin(edges)
    assert set(np.nonzero(found[3:-3])[1]) == {14}
    assert (found[3:-3, 14] == 230).all()


def test_thinning_drops_what_is_weak() -> None:
    edges = np.zeros((30, 30), np.uint8)
    edges[10], edges[20] = 12, 13
    assert set(np.nonzero(thin(edges))[0]) == {20}


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), blur=st.floats(0.5, 4))
def test_thinned_edges_are_a_subset_one_pixel_wide(seed: int, blur: float) -> None:
    grain = np.random.default_rng(seed).integers(0, 256, (40, 60)).astype(np.uint8)
    edges = cv2.normalize(cv2.GaussianBlur(grain, (0, 0), blur), None, 0, 255, cv2.NORM_MINMAX)
    found = thin(edges)
    kept = found > 0
    assert (found[kept] == edges[kept]).all()
    # A block of four may remain where lines cross: to take one away would part them.
    blocks = kept[1:, 1:] & kept[1:, :-1] & kept[:-1, 1:] & kept[:-1, :-1]
    assert blocks.sum() <= 0.05 * kept.sum()


@pytest.mark.parametrize("top", [0, 20, 41])
def test_a_plateau_is_thinned_to_one_pixel_at_the_border_too(top: int) -> None:
    edges = np.zeros((50, 80), np.uint8)
    edges[top : top + 9] = 255
    assert ((thin(edges)[:, 10:-10] > 0).sum(axis=0) == 1).all()


@pytest.mark.parametrize(("height", "width"), [(100, 50), (400, 300), (30, 90), (500, 1)])
@pytest.mark.parametrize("ink", ["black", "white"])
def test_the_outline_takes_nine_tenths_and_stands_in_the_middle(height: int, width: int, ink: str) -> None:
    edges = np.zeros((600, 400), np.uint8)
    cv2.rectangle(edges, (20, 70), (20 + width - 1, 70 + height - 1), 255)
    picture = centre(edges, ink=ink)
    assert (picture[..., 0] == picture[..., 2]).all()
    rows, columns = np.nonzero(picture[:, :, 0] != (255 if ink == "black" else 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (200, 201, 202)
    for axis in (rows, columns):
        assert abs((axis.min() + axis.max()) / 2 - 111.5) <= 1


def test_lines_keep_their_strength_when_the_map_is_made_smaller() -> None:
    edges = np.zeros((2000, 2000), np.uint8)
    cv2.circle(edges, (1000, 1000), 900, 180)
    picture = centre(edges, ink="white", channels=1)
    assert picture.shape == (224, 224)
    assert set(np.unique(picture)) == {0, 180}


def test_a_picture_may_be_filled_to_its_border() -> None:
    edges = np.zeros((10, 300), np.uint8)
    edges[5, 7:290] = 255
    assert np.ptp(np.nonzero(centre(edges, size=64, fill=1, channels=1) == 0)[1]) + 1 == 64


def test_a_map_without_edges_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        centre(np.zeros((20, 30), np.uint8))
    assert caught.value.reason == "no edges"


@pytest.mark.parametrize("wrong", [{"size": 0}, {"fill": 0}, {"fill": 1.1}, {"ink": "red"}, {"channels": 4}])
def test_impossible_pictures_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        centre(np.full((5, 5), 255, np.uint8), **wrong)  # type: ignore[arg-type]


def test_ones_own_detector_is_found_as_module_and_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "green_edges.py").write_text(
        "import numpy as np\n\ndef green(photo):\n    return photo[:, :, 1]\n\nfactor = 2\n"
        "def small(photo):\n    return np.zeros((2, 2))\n\ndef broken(photo):\n    return 1 / 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    photo = PHOTOS["coffee"]
    try:
        assert np.array_equal(detector("green_edges:green")(photo), photo[:, :, 1])
        for name, message in [("green_edges:blue", "cannot be imported"), ("green_edges:factor", "a function")]:
            with pytest.raises(ConfigError, match=message):
                detector(name)
        with pytest.raises(ConfigError, match=r"returned \(2, 2\) float64, where an edge map, \(5, 6\) uint8"):
            detector("green_edges:small")(photo[:5, :6])
        with pytest.raises(ConfigError, match="failed on a photo of 6 × 5: ZeroDivisionError"):
            detector("green_edges:broken")(photo[:5, :6])
    finally:
        sys.modules.pop("green_edges", None)


@pytest.mark.parametrize("name", ["kanny", "no_such_module:f", ":f", "sys:", ""])
def test_a_detector_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match="edge detector"):
        detector(name)


def test_structured_edges_says_which_model_it_misses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a file of weights"):
        detector("structured")
    with pytest.raises(ConfigError, match=r"no Structured Edges model at .*absent\.yml\.gz"):
        detector("structured", tmp_path / "absent.yml.gz")


def test_structured_edges_refuses_a_file_with_another_hash(tmp_path: Path) -> None:
    model = tmp_path / "model.yml"
    model.write_bytes(b"%YAML:1.0\n---\n")
    with pytest.raises(ConfigError, match=hashlib.sha256(model.read_bytes()).hexdigest()):
        detector("structured", model, "0" * 64)


@pytest.mark.parametrize("packed", [False, True])
def test_structured_edges_follows_the_forest_of_its_model(tmp_path: Path, packed: bool) -> None:
    model = tmp_path / ("model.yml.gz" if packed else "model.yml")
    model.write_bytes(gzip.compress(FOREST.encode()) if packed else FOREST.encode())
    find = detector("structured", model, hashlib.sha256(model.read_bytes()).hexdigest().upper())
    edges = find(disc())
    assert edges.shape == (160, 200)
    assert edges.dtype == np.uint8
    assert distance_from_circle(edges).max() <= 10
    assert edges[78:83, 148:153].any()
    assert not find(np.full((40, 50, 3), 90, np.uint8)).any()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.yml", b"%YAML:1.0\n---\n"),
        ("model.yml", b"<html>numberOfTrees: 8</html>"),
        ("model.yml.gz", b"no gzip"),
        ("model.yml.gz", gzip.compress(FOREST.encode(), mtime=0)[:60]),
        ("model.yml", FOREST.replace("numberOfTrees: 1", "numberOfTrees: 0").encode()),
    ],
)
def test_structured_edges_refuses_what_is_no_model(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match="model"):
        detector("structured", tmp_path / name)


def test_weights_for_a_detector_that_takes_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes no file of weights"):
        detector("canny", tmp_path / "weights.pth")


@pytest.mark.skipif("SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no real photos")
@every_detector
def test_photos_of_coco_become_centred_pictures(name: str) -> None:
    folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "photos" / "coco128" / "images"
    paths = sorted(folder.rglob("*.jpg"))[:12]
    assert paths
    for path in paths:
        picture = centre(thin(detector(name)(resize(decode(path.read_bytes()), 480))), channels=1)
        assert 0.002 < (picture < 255).mean() < 0.5, path.name
