"""From numbers to binary codes: the threshold of each activation, heads that come back whole, and codes of `val`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from sketchdata.errors import ConfigError
from sketchdata.formats.codes import unpack_bits
from sketchdata.retrieval.code_evaluation import CodeValidation, answers, class_means
from sketchdata.training.backbones import build
from sketchdata.training.bitmaps import PackedBitmaps, PackedSplit
from sketchdata.training.encoder import (
    Activation,
    Architecture,
    CosineClassifier,
    FusionNetwork,
    SketchEncoder,
    codes_of,
    embed,
    encode,
    read_encoder,
    write_encoder,
)
from sketchdata.training.options import NetworkOptions
from sketchdata.training.packed import PackedSketches, pack
from tests.batches import batch_of
from tests.bitmap_folders import generated_bitmaps

CLASSES = ("bar", "corner", "dot")
ACTIVATIONS: tuple[Activation, ...] = ("sigmoid", "relu", "identity", "cosine")


def drawings(count: int = 30, seed: int = 0) -> PackedSketches:
    """Pack bars, corners and dots, a class after the other, of places of their own."""
    random = np.random.default_rng(seed)
    kinds = []
    for number in range(count):
        x, y = random.integers(0, 120, 2).tolist()
        corner = [[(x, y), (x, y + 100), (x + 100, y + 100)]]
        kinds.append([[[(x, y), (x + 100, y)]], corner, [[(x, y)]]][number % 3])
    return pack([batch_of(*kinds, labels=[number % 3 for number in range(count)])], CLASSES)


def trained(activation: Activation, *, seed: int = 0, width: int = 16) -> SketchEncoder:
    """Return a network with the first weights of a seed, whose averages know some drawings."""
    options = NetworkOptions(branch="cnn", backbone="small", size=16, channels="strokes")
    architecture = Architecture(network=options, width=width, activation=activation, scale=1.0, classes=CLASSES)
    torch.manual_seed(seed)
    encoder = SketchEncoder(architecture).train()
    packed = drawings()
    with torch.no_grad():
        encoder(encoder.view.batch(packed, torch.arange(len(packed))))
    return encoder.eval()


def written(folder: Path, activation: Activation) -> tuple[SketchEncoder, SketchEncoder]:
    """Write a network into a folder and read it again; return both."""
    one = trained(activation)
    if isinstance(one.fusion.classifier, CosineClassifier):
        one.fusion.classifier.scale.fill_(3.5)
    write_encoder(folder, one)
    return one, read_encoder(folder)


# ---- heads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_network_comes_back_with_its_numbers_scores_and_threshold(activation: Activation, tmp_path: Path) -> None:
    one, again = written(tmp_path, activation)
    batch = one.view.batch(drawings(), torch.arange(30))
    assert again.view == one.view
    with torch.no_grad():
        for before, after in zip(one(batch), again(batch), strict=True):
            assert torch.equal(before, after)
    assert again.threshold == {"sigmoid": 0.5}.get(activation, 0.0)


def test_the_scale_of_cosines_comes_back_with_the_weights(tmp_path: Path) -> None:
    _, again = written(tmp_path, "cosine")
    assert float(again.fusion.classifier.scale) == 3.5
    assert [name for name, _ in again.fusion.classifier.named_parameters()] == ["weight"]


@pytest.mark.parametrize(("width", "scale"), [(4, 8.0), (16, 8.0), (64, 16.0), (100, 20.0)])
def test_cosines_are_scaled_by_twice_the_root_of_the_width(width: int, scale: float) -> None:
    torch.manual_seed(0)
    head = CosineClassifier(width, 5)
    u = torch.randn(7, width, generator=torch.Generator().manual_seed(1))
    found = head(u).detach().numpy()
    for own, row in zip(found, u.numpy(), strict=True):
        for score, direction in zip(own, head.weight.detach().numpy(), strict=True):
            cosine = row @ direction / (np.linalg.norm(row) * np.linalg.norm(direction))
            assert score == pytest.approx(scale * cosine, abs=1e-4)
    torch.testing.assert_close(head(9 * u), head(u))
    assert float(CosineClassifier(width, 5, scale=2.0).scale) == 2.0


def cosine_network() -> FusionNetwork:
    torch.manual_seed(0)
    return FusionNetwork(build("small", 1, 1), None, width=8, classes=3, activation="cosine")


def test_each_bit_is_1_in_about_half_of_a_batch() -> None:
    network = cosine_network().train()
    numbers, _ = network(torch.rand(64, 1, 16, 16, generator=torch.Generator().manual_seed(1)), None, None)
    torch.testing.assert_close(numbers.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(numbers.var(0, unbiased=False), torch.ones(8), atol=0.01, rtol=0)
    assert network.fuse.bias is None


def test_a_last_batch_of_one_drawing_is_normalised_as_those_before_it() -> None:
    network = cosine_network().train()
    random = torch.Generator().manual_seed(1)
    network(torch.rand(64, 1, 16, 16, generator=random), None, None)
    features = torch.rand(1, network.feature_size, generator=random)
    before = {name: value.clone() for name, value in network.norm.state_dict().items()}
    found = network.embed(features)
    expected = (network.fuse(features) - before["running_mean"]) / (before["running_var"] + 1e-5).sqrt()
    torch.testing.assert_close(found, expected)
    assert all(torch.equal(before[name], value) for name, value in network.norm.state_dict().items())
    found.sum().backward()
    assert network.fuse.weight.grad is not None
    assert network.fuse.weight.grad.abs().sum() > 0


# ---- codes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["sigmoid", "identity", "cosine"])
def test_a_bit_is_1_where_a_number_reaches_the_threshold(activation: Activation) -> None:
    one, packed = trained(activation), drawings()
    with torch.no_grad():
        f, _ = one(one.view.batch(packed, torch.arange(len(packed))))
    codes = encode(one, packed, batch_size=7)
    np.testing.assert_array_equal(unpack_bits(codes.packed, 16), f.numpy() >= one.threshold)
    assert 0.1 < (f.numpy() >= one.threshold).mean() < 0.9
    np.testing.assert_allclose(embed(one, packed, batch_size=4), f.numpy(), atol=1e-6)
    assert (codes.bits, codes.classes) == (16, CLASSES)
    np.testing.assert_array_equal(codes.labels, packed.labels.numpy())
    np.testing.assert_array_equal(codes.key_ids, packed.key_ids.numpy().view(np.uint64))


def test_a_number_at_the_threshold_is_a_1_and_large_key_ids_stay_whole() -> None:
    batch = batch_of([[(1, 1)]], [[(2, 2)]])
    batch.key_id[:] = [2**64 - 1, 2**63]
    packed = pack([batch], ("a",))
    numbers = np.array([[0.5, 0.4999, 1.0], [0.0, -0.0, 0.5]], np.float32)
    codes = codes_of(numbers, 0.5, packed)
    assert unpack_bits(codes.packed, 3).tolist() == [[True, False, True], [False, False, True]]
    assert unpack_bits(codes_of(numbers, 0.0, packed).packed, 3).all()
    assert codes.key_ids.tolist() == [2**64 - 1, 2**63]


def test_the_classes_are_those_of_the_drawings_which_the_network_need_not_know() -> None:
    one = trained("sigmoid")
    packed = drawings()
    others = PackedSketches(**packed._tensors(), classes=("x", "y", "z"))
    assert encode(one, others).classes == ("x", "y", "z")
    np.testing.assert_array_equal(encode(one, others).packed, encode(one, packed).packed)


def test_a_bitmap_goes_by_the_number_of_its_row() -> None:
    options = NetworkOptions(branch="cnn", backbone="small", size=28)
    torch.manual_seed(0)
    encoder = SketchEncoder(
        Architecture(network=options, width=8, classes=("bar",), activation="identity", scale=1.0)
    ).eval()
    packed = PackedBitmaps(
        images=torch.from_numpy(generated_bitmaps(5).reshape(-1, 28, 28)),
        labels=torch.zeros(5, dtype=torch.int16),
        classes=("bar",),
    )
    assert encode(encoder, packed).key_ids.tolist() == [0, 1, 2, 3, 4]


# ---- codes of val ----------------------------------------------------------------------------------------------------


def bits_of(one: SketchEncoder, packed: PackedSplit) -> npt.NDArray[np.bool_]:
    return unpack_bits(encode(one, packed).packed, one.width)


def expected_precision(
    asked: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_], own: npt.NDArray[np.bool_]
) -> float:
    """Give the average precision of a ranking, the mean over 3,000 random orders of its ties."""
    random = np.random.default_rng(0)
    apart = (others != asked).sum(axis=1)
    found = []
    for _ in range(3000):
        hits = own[np.lexsort((random.random(len(own)), apart))]
        ranks = np.flatnonzero(hits) + 1
        found.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return float(np.mean(found))


def test_every_fifth_drawing_of_val_asks_and_the_others_answer() -> None:
    one, packed = trained("cosine"), drawings(25)
    found = CodeValidation(packed, one, one.view, one.threshold)()
    bits, labels = bits_of(one, packed), packed.labels.numpy()
    asks = np.arange(25) % 5 == 0
    each = [
        expected_precision(bits[row], bits[~asks], labels[~asks] == labels[row])
        for row in np.flatnonzero(asks).tolist()
    ]
    assert found["map"] == pytest.approx(np.mean(each), abs=0.02)
    with torch.no_grad():
        _, scores = one(one.view.batch(packed, torch.arange(25)))
    assert found["accuracy"] == pytest.approx((scores.argmax(1).numpy() == labels).mean())
    assert set(found) == {"map", "accuracy"}


def test_too_few_drawings_to_find_one_another_are_told_at_once() -> None:
    one = trained("cosine")
    with pytest.raises(ConfigError, match="val has too few drawings, 3, to choose an epoch"):
        CodeValidation(drawings(3), one, one.view, one.threshold)
    CodeValidation(drawings(4), one, one.view, one.threshold)


def test_codes_that_tell_the_classes_are_worth_1() -> None:
    packed = drawings(25)

    class Perfect(torch.nn.Module):
        def forward(self, batch: object) -> tuple[torch.Tensor, torch.Tensor]:
            wanted = torch.nn.functional.one_hot(batch.labels, 3).float()  # type: ignore[attr-defined]
            return wanted.repeat_interleave(4, 1), wanted

    view = trained("sigmoid").view
    assert CodeValidation(packed, Perfect(), view, 0.5)() == {"map": 1.0, "accuracy": 1.0}  # type: ignore[arg-type]


def test_class_means_are_those_of_each_class_s_drawings() -> None:
    one, packed = trained("identity"), drawings(20)
    numbers = embed(one, packed)
    labels = packed.labels.numpy()
    expected = np.stack([numbers[labels == label].mean(axis=0) for label in range(3)])
    one.train()
    found = class_means(packed, one, one.view)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert not one.training


def test_answers_come_in_the_order_of_the_drawings_however_many() -> None:
    one, packed = trained("sigmoid"), drawings(600)
    with torch.no_grad():
        parts = list(answers(packed, one, one.view))
        f, scores = one(one.view.batch(packed, torch.arange(600)))
    assert [len(labels) for _, _, labels in parts] == [512, 88]
    numbers, found, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    assert torch.equal(labels, packed.labels.long())
    torch.testing.assert_close(numbers, f, atol=1e-5, rtol=0)
    torch.testing.assert_close(found, scores, atol=1e-5, rtol=0)
