"""TIN and PiDiNet: the networks as their papers define them, their weights checked, and what they find."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from sketchdata.edges import centre, detector, line_finder, pidinet, thin, tin
from sketchdata.errors import ConfigError, FormatError
from sketchdata.photos.image import resize
from tests.edge_models import sha256_of

Pixels = npt.NDArray[np.uint8]
State = dict[str, torch.Tensor]
needs_real_data = pytest.mark.skipif(
    "SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no published weights"
)
REAL = Path(os.environ.get("SKETCHDATA_REAL_DATA", "")) / "edge_weights"
PUBLISHED = {
    "TIN1": ("tin", REAL / "tin" / "TIN1.pth"),
    "TIN2": ("tin", REAL / "tin" / "TIN2.pth"),
    "PiDiNet-tiny": ("pidinet", REAL / "pidinet" / "table5_pidinet-tiny.pth"),
    "PiDiNet-tiny-l": ("pidinet", REAL / "pidinet" / "table5_pidinet-tiny-l.pth"),
}
every_published = pytest.mark.parametrize("published", PUBLISHED)
NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
    "TIN1": lambda: tin.TIN(stages=1),
    "TIN2": lambda: tin.TIN(stages=2),
    "PiDiNet-tiny": lambda: pidinet.PiDiNet(20, dilated=8),
    "PiDiNet-tiny-l": lambda: pidinet.PiDiNet(20, dilated=None),
}
every_network = pytest.mark.parametrize("variant", NETWORKS)


def name_of(variant: str) -> str:
    return PUBLISHED[variant][0]


def random_weights(variant: str, path: Path, prefix: str = "") -> Path:
    """Write weights as the authors did: of pixel differences, not of the convolutions that they become."""
    torch.manual_seed(0)
    state: State = {}
    for name, value in NETWORKS[variant]().state_dict().items():
        differences = value.shape[2:] == (5, 5)
        state[prefix + name] = torch.randn(*value.shape[:2], 3, 3) / 8 if differences else value
    torch.save({"epoch": 7, "state_dict": state} if prefix else state, path)
    return path


# ---- pixel differences -----------------------------------------------------------------------------------------------

#: The neighbours of a pixel, clockwise from the upper left: (dy, dx).
RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def by_definition(photo: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], kind: str) -> float:
    """Return Σ w · difference about the middle of a (5, 5) patch, for (3, 3) weights."""

    def pixel(dy: int, dx: int) -> float:
        return float(photo[2 + dy, 2 + dx])

    total = 0.0
    for place, (dy, dx) in enumerate(RING):
        after = RING[(place + 1) % len(RING)]
        difference = {
            "cd": pixel(dy, dx) - pixel(0, 0),
            "ad": pixel(dy, dx) - pixel(*after),
            "rd": pixel(2 * dy, 2 * dx) - pixel(dy, dx),
            "cv": pixel(dy, dx),
        }[kind]
        total += float(weight[1 + dy, 1 + dx]) * difference
    return total + (float(weight[1, 1]) * pixel(0, 0) if kind == "cv" else 0)


@pytest.mark.parametrize("kind", ["cd", "ad", "rd", "cv"])
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_convolution_over_pixel_differences_is_the_plain_one_that_replaces_it(
    kind: pidinet.Difference, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    photo = chance.normal(size=(5, 5))
    if kind == "rd":
        # Stored as eight weights by rows, after one that is not used.
        stored = chance.normal(size=9)
        weight = np.zeros((3, 3))
        weight.ravel()[[0, 1, 2, 3, 5, 6, 7, 8]] = stored[1:]
    else:
        weight = chance.normal(size=(3, 3))
        stored = weight.ravel()
    plain = pidinet.plain_kernel(torch.from_numpy(stored.reshape(1, 1, 3, 3)), kind)
    patch = photo if kind == "rd" else photo[1:4, 1:4]
    assert float((plain[0, 0].numpy() * patch).sum()) == pytest.approx(by_definition(photo, weight, kind), abs=1e-9)


def test_layers_take_turns_through_central_angular_radial_and_plain() -> None:
    assert list(pidinet.DIFFERENCES.values()) == ["cd", "ad", "rd", "cv"] * 4
    assert [pidinet.DIFFERENCES[layer] for layer in ("init_block", "block1_3.conv1", "block4_4.conv1")] == [
        "cd",
        "cv",
        "cv",
    ]


def moved(features: torch.Tensor, dy: int, dx: int) -> torch.Tensor:
    """Return for each pixel the one at (dy, dx) from it, 0 beyond the border: (1, C, H, W)."""
    height, width = features.shape[2:]
    wide = torch.nn.functional.pad(features, (2, 2, 2, 2))
    return wide[:, :, 2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width]


def layer_by_definition(features: torch.Tensor, weight: torch.Tensor, kind: str, groups: int) -> torch.Tensor:
    """Return a layer's output from its differences, one map for each neighbour: (1, C, H, W) → (1, O, H, W)."""
    if kind == "cv":
        return torch.nn.functional.conv2d(features, weight, padding=1, groups=groups)
    flat, total = weight.flatten(2), torch.zeros(())
    # By rows, the middle left out; radial differences have their eight weights after one that is not used.
    stored = [3 * (1 + dy) + 1 + dx for dy, dx in RING]
    stored = [place + (place < 4) for place in stored] if kind == "rd" else stored
    for number, (dy, dx) in enumerate(RING):
        after = RING[(number + 1) % len(RING)]
        one, other = {"cd": ((dy, dx), (0, 0)), "ad": ((dy, dx), after), "rd": ((2 * dy, 2 * dx), (dy, dx))}[kind]
        weights = flat[:, :, stored[number], None, None]
        difference = moved(features, *one) - moved(features, *other)
        total = total + torch.nn.functional.conv2d(difference, weights, groups=groups)
    return total


@pytest.mark.slow
def test_every_layer_that_is_loaded_gives_what_its_differences_give(tmp_path: Path) -> None:
    weights = random_weights("PiDiNet-tiny-l", tmp_path / "weights.pth")
    stored, network = torch.load(weights, weights_only=True), pidinet.load_network(weights, sha256_of(weights))
    for layer, kind in pidinet.DIFFERENCES.items():
        loaded, weight = network.get_submodule(layer), stored[f"{layer}.weight"]
        groups = 1 if layer == "init_block" else len(weight)
        features = torch.randn(1, weight.shape[1] * groups, 9, 11)
        expected = layer_by_definition(features, weight, kind, groups)
        torch.testing.assert_close(loaded(features), expected, atol=1e-5, rtol=1e-5)


# ---- weights ---------------------------------------------------------------------------------------------------------


@every_network
def test_the_file_tells_which_network_it_is_of(variant: str, tmp_path: Path) -> None:
    weights = random_weights(variant, tmp_path / "weights.pth", prefix="module." if "PiDi" in variant else "")
    module = tin if name_of(variant) == "tin" else pidinet
    network = module.load_network(weights, sha256_of(weights))
    assert [*network.state_dict()] == [*NETWORKS[variant]().state_dict()]
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_networks_have_as_many_parameters_as_the_papers_say() -> None:
    counts = {name: sum(each.numel() for each in network().parameters()) for name, network in NETWORKS.items()}
    assert (counts["TIN1"], counts["TIN2"]) == (86_569, 244_229)
    # The paper counts 3 × 3 weights for radial differences, where the plain convolution has 5 × 5.
    radial = 16 * (20 + 40 + 80 + 80)
    assert (counts["PiDiNet-tiny"] - radial, counts["PiDiNet-tiny-l"] - radial) == (84_477, 73_369)


@every_network
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 2), (37, 53)])
def test_any_size_of_photo_gives_edges_of_that_size(variant: str, shape: tuple[int, int], tmp_path: Path) -> None:
    weights = random_weights(variant, tmp_path / "weights.pth")
    photo = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    edges = detector(name_of(variant), weights, sha256_of(weights), scales=(0.5, 1))(photo)
    assert edges.shape == shape
    assert edges.dtype == np.uint8


@pytest.mark.slow
def test_several_scales_are_averaged(tmp_path: Path) -> None:
    weights = random_weights("TIN1", tmp_path / "weights.pth")
    photo, found = data.cat()[:90, :120], {}
    for scales in ((0.5,), (1.0,), (2.0,), (0.5, 1.0, 2.0)):
        found[scales] = detector("tin", weights, sha256_of(weights), scales=scales)(photo).astype(float)
    mean = (found[0.5,] + found[1.0,] + found[2.0,]) / 3
    assert np.abs(found[0.5, 1.0, 2.0] - mean).max() <= 1


@pytest.mark.slow
def test_the_same_edges_come_in_any_number_of_threads_and_none_is_taken_away(tmp_path: Path) -> None:
    weights = random_weights("PiDiNet-tiny", tmp_path / "weights.pth")
    find, photo, before, found = (
        detector("pidinet", weights, sha256_of(weights)),
        data.cat(),
        torch.get_num_threads(),
        [],
    )
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            found.append(find(photo))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*found)


class Bomb:
    """Asks, when it is unpickled, for a file to be made."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("packed", [False, True])
def test_weights_that_bring_code_are_refused_and_nothing_of_it_runs(tmp_path: Path, packed: bool) -> None:
    weights, mark = tmp_path / "weights.pth", tmp_path / "it ran"
    if packed:
        torch.save({"state_dict": Bomb(mark)}, weights)
    else:
        weights.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ConfigError, match="contains code, which is refused"):
        detector("tin", weights, sha256_of(weights))
    assert not mark.exists()


def broken_weights(fault: str, tmp_path: Path) -> Path:
    weights = random_weights("PiDiNet-tiny-l" if fault == "other network" else "TIN1", tmp_path / "weights.pth")
    if fault == "truncated":
        weights.write_bytes(weights.read_bytes()[:20_000])
    elif fault == "empty":
        weights.write_bytes(b"")
    elif fault == "text":
        weights.write_bytes(b"<html>404</html>")
    elif fault in ("nan", "fewer", "wider", "list"):
        state = torch.load(weights, weights_only=True)
        if fault == "nan":
            state["conv1_1.bias"][3] = torch.nan
        elif fault == "fewer":
            del state["conv1_1.bias"]
        elif fault == "wider":
            state["conv1_1.bias"] = torch.zeros(17)
        torch.save(list(state.values()) if fault == "list" else state, weights)
    return weights


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("truncated", "cannot be read as weights|damaged"),
        ("empty", "cannot be read as weights"),
        ("text", "cannot be read as weights|damaged"),
        ("other network", "another network than TIN"),
        ("fewer", "another network than TIN"),
        ("wider", "another network than TIN"),
        ("nan", r"not finite, in conv1_1\.bias"),
        ("list", "holds list, where a state dict"),
    ],
)
def test_what_is_no_weights_of_the_network_is_named(tmp_path: Path, fault: str, message: str) -> None:
    weights = broken_weights(fault, tmp_path)
    with pytest.raises(ConfigError, match=message) as caught:
        detector("tin", weights, sha256_of(weights))
    assert str(weights) in str(caught.value)


def test_weights_that_nobody_knows_want_their_hash(tmp_path: Path) -> None:
    weights = random_weights("TIN1", tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=rf"(?s){sha256_of(weights)}.*TIN1\.pth, TIN2\.pth.*--weights-sha256"):
        detector("tin", weights)
    with pytest.raises(ConfigError, match=r"where 0{64} was expected"):
        detector("tin", weights, "0" * 64)
    assert detector("tin", weights, sha256_of(weights).upper())(data.cat()[:20, :20]).shape == (20, 20)


def test_missing_weights_and_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a file of weights"):
        detector("pidinet")
    with pytest.raises(ConfigError, match=r"no weights at .*absent\.pth; the published files are table5_pidinet-tiny"):
        detector("pidinet", tmp_path / "absent.pth")


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0), (9.0,), (float("nan"),)])
def test_impossible_scales_are_refused(tmp_path: Path, scales: tuple[float, ...]) -> None:
    weights = random_weights("TIN1", tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match="scales above 0"):
        detector("tin", weights, sha256_of(weights), scales=scales)


@pytest.mark.parametrize("device", ["abacus", "meta:x", *([] if torch.cuda.is_available() else ["cuda"])])
def test_a_device_that_is_not_there_is_named(tmp_path: Path, device: str) -> None:
    weights = random_weights("TIN1", tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=f"the device {device} cannot be used"):
        detector("tin", weights, sha256_of(weights), device=device)


@pytest.mark.parametrize("settings_", [{"scales": (0.5, 1)}, {"device": "cuda"}])
def test_scales_and_devices_are_for_networks(settings_: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="are for networks"):
        detector("canny", **settings_)  # type: ignore[arg-type]


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from pathlib import Path
from sketchdata.edges import detector
from sketchdata.errors import ConfigError
assert detector("canny")
try:
    detector("tin", Path("TIN1.pth"))
except ConfigError as error:
    print(error)
"""


def test_without_torch_the_others_work_and_networks_say_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True)
    assert "pip install 'sketchdata[train]'" in done.stdout


def test_detectors_are_listed_and_made_without_importing_torch() -> None:
    code = "import sys, sketchdata.edges as e; e.detector('canny'), e.detector_names(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# ---- what the published weights find ---------------------------------------------------------------------------------


def disc() -> Pixels:
    """Return a dark disc of radius 50 about (80, 100) on light grey, (160, 200, 3)."""
    photo = np.full((160, 200, 3), 200, np.uint8)
    cv2.circle(photo, (100, 80), 50, (40, 60, 90), -1, cv2.LINE_AA)
    return photo


@needs_real_data
@every_published
def test_a_disc_gives_its_whole_outline_and_nothing_else(published: str) -> None:
    name, weights = PUBLISHED[published]
    edges = thin(detector(name, weights)(disc()), weakest=100)
    y, x = np.nonzero(edges)
    # The outline of a disc so strong is found some pixels beside itself, too.
    distance = np.abs(np.hypot(y - 80, x - 100) - 50)
    assert np.percentile(distance, 90) <= 4
    assert distance.max() <= 6
    assert len(np.unique(np.degrees(np.arctan2(y - 80, x - 100)).astype(int) % 360 // 5)) == 72


@pytest.mark.slow
@needs_real_data
@every_published
@pytest.mark.parametrize("photo", [data.astronaut(), data.coffee(), data.chelsea()], ids=["astronaut", "coffee", "cat"])
def test_real_photos_become_centred_pictures(published: str, photo: Pixels) -> None:
    name, weights = PUBLISHED[published]
    edges = line_finder(name, detector(name, weights))(resize(photo, 200))
    assert 0.005 < (edges > 0).mean() < 0.3
    assert centre(edges).shape == (224, 224, 3)


@needs_real_data
@every_published
@pytest.mark.parametrize("level", [120, 200, 255])
def test_a_blank_photo_has_no_edges_not_even_at_its_border(published: str, level: int) -> None:
    name, weights = PUBLISHED[published]
    edges = line_finder(name, detector(name, weights))(np.full((64, 90, 3), level, np.uint8))
    with pytest.raises(FormatError, match="no edges"):
        centre(edges)


@pytest.mark.slow
@needs_real_data
@every_published
def test_grey_photos_and_mirrored_ones_give_much_the_same_edges(published: str) -> None:
    name, weights = PUBLISHED[published]
    find, photo = detector(name, weights), resize(data.chelsea(), 200)
    grey = np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    found, of_mirrored, of_grey = find(photo), find(photo[:, ::-1].copy())[:, ::-1], find(grey)
    assert np.corrcoef(found.ravel(), of_mirrored.ravel())[0, 1] > 0.9
    assert np.corrcoef(found.ravel(), of_grey.ravel())[0, 1] > 0.8


@needs_real_data
def test_the_published_files_are_those_whose_hashes_are_known() -> None:
    known = {**tin.PUBLISHED, **pidinet.PUBLISHED}
    assert {known[sha256_of(path)] for _, path in PUBLISHED.values()} == {path.name for _, path in PUBLISHED.values()}
