"""The layers and the loss of zero-shot sketch-image hashing, against their equations in float64 numpy."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS
from sketchdata.cross_domain.encoder import SpaceArchitecture, SpaceEncoder
from sketchdata.cross_domain.hashing_networks import (
    LEAST_LOG_VARIANCE,
    MFB_FACTORS,
    AttentionPooling,
    ConcatFusion,
    FactorisedFusion,
    GraphConvolution,
    HashingBranch,
    KroneckerFusion,
    WordDecoder,
    batch_graph,
    bit_regularisation,
    class_adjacency,
    log_chance,
    stochastic_bits,
)
from sketchdata.cross_domain.sampling import PairBatch, PairOrder
from sketchdata.errors import ConfigError
from sketchdata.trainers.options import ZsihConfig
from sketchdata.trainers.zsih import HashingObjective

B, H, K, M, S, L = 5, 6, 4, 3, 7, 4
Array = npt.NDArray[np.float64]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def array(x: Tensor) -> Array:
    return x.detach().double().numpy()


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def unit_words(seed: int = 3) -> npt.NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(L, S))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


# ---- layers ----------------------------------------------------------------------------------------------------------


def test_attention_pooling_is_the_sum_of_places_by_a_softmax() -> None:
    pooling, maps = AttentionPooling(H).double(), random(B, H, 2, 3)
    x, weight, bias = array(maps).reshape(B, H, 6), array(pooling.score.weight).reshape(H), array(pooling.score.bias)
    scores = np.einsum("bhp,h->bp", x, weight) + bias
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(array(pooling(maps)), np.einsum("bhp,bp->bh", x, shares), rtol=1e-10)


def test_the_kronecker_layer_is_all_products_of_the_two_maps() -> None:
    layer, y, x = KroneckerFusion(H, H + 1, K).double(), random(B, H), random(B, H + 1, seed=1)
    one, other = array(y) @ array(layer.drawing.weight).T, array(x) @ array(layer.photo.weight).T
    expected = np.array([np.maximum(np.kron(a, b), 0) for a, b in zip(one, other, strict=True)])
    found = array(layer(y, x))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)
    assert found.shape == (B, layer.width) == (B, K * K)
    assert (found == 0).any()


def test_the_count_sketch_is_that_of_the_products() -> None:
    layer, y, x = KroneckerFusion(H, H, K, sketch=5).double(), random(B, H), random(B, H, seed=1)
    one, other = array(y) @ array(layer.drawing.weight).T, array(x) @ array(layer.photo.weight).T
    tables = [array(getattr(layer, name)) for name in ("drawing_hash", "photo_hash")]
    places, signs = ([each.argmax(1) for each in map(np.abs, tables)], [each.sum(1) for each in tables])
    expected = np.zeros((B, 5))
    for i, j in itertools.product(range(K), repeat=2):
        expected[:, (places[0][i] + places[1][j]) % 5] += signs[0][i] * signs[1][j] * one[:, i] * other[:, j]
    np.testing.assert_allclose(array(layer(y, x)), np.maximum(expected, 0), rtol=1e-9, atol=1e-12)
    assert {float(abs(sign)) for each in signs for sign in each} == {1.0}
    assert layer.width == 5


def test_concatenation_and_factorised_pooling_are_their_equations() -> None:
    y, x = random(B, H), random(B, H, seed=1)
    plain = ConcatFusion(H, H, K).double()
    both = [array(y) @ array(plain.drawing.weight).T, array(x) @ array(plain.photo.weight).T]
    np.testing.assert_allclose(array(plain(y, x)), np.maximum(np.concatenate(both, 1), 0), rtol=1e-10, atol=1e-14)
    pooled = FactorisedFusion(H, H, K)
    products = (y.float().numpy() @ array(pooled.drawing.weight).T) * (x.float().numpy() @ array(pooled.photo.weight).T)
    sums = products.reshape(B, K, MFB_FACTORS).sum(2)
    roots = np.sign(sums) * np.sqrt(np.abs(sums))
    expected = roots / np.linalg.norm(roots, axis=1, keepdims=True)
    np.testing.assert_allclose(array(pooled(y.float(), x.float())), expected, rtol=1e-4, atol=1e-5)


def test_the_graph_is_normalised_by_the_degrees_of_the_batch() -> None:
    words, labels = unit_words(), torch.tensor([0, 2, 2, 1, 3])
    s = words.astype(np.float64)[labels]
    a = np.array([[np.exp(-((one - other) ** 2).sum() / 0.4) for other in s] for one in s])
    degrees = np.diag(a.sum(1) ** -0.5)
    graph = batch_graph(class_adjacency(words, 0.4), labels)
    np.testing.assert_allclose(array(graph), degrees @ a @ degrees, rtol=1e-5)
    layer, x = GraphConvolution(H, K).double(), random(B, H)
    expected = array(graph) @ array(x) @ array(layer.linear.weight).T
    np.testing.assert_allclose(array(layer(x, graph)), expected, rtol=1e-6)
    np.testing.assert_allclose(array(layer(x, None)), array(x) @ array(layer.linear.weight).T, rtol=1e-10)


def test_a_large_t_joins_all_pairs_and_a_small_one_those_of_a_class() -> None:
    # In 300 dimensions, as those of word vectors, unit vectors are nearly orthogonal.
    rows = np.random.default_rng(0).normal(size=(20, 300))
    words = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    labels = torch.arange(20).repeat_interleave(3)
    same = (labels[:, None] == labels).numpy()
    wide, own, narrow = (array(batch_graph(class_adjacency(words, t), labels)) for t in (1.0, 0.1, 1e-6))
    assert wide[~same].sum() > 2 * wide[same].sum(), "most of what a pair becomes is of other classes"
    np.testing.assert_allclose(narrow, same / 3, atol=1e-7)
    assert 0 < own[~same].max() < 1e-3
    # A batch of one class is the mean of its pairs.
    np.testing.assert_allclose(array(batch_graph(class_adjacency(words, 0.1), torch.zeros(4).long())), 0.25, rtol=1e-6)


def test_the_decoder_is_a_gaussian_with_linear_mean_and_variance() -> None:
    decoder, bits, s = WordDecoder(M, S).double(), (random(B, M) > 0).double(), random(B, S, seed=2)
    mean = array(bits) @ array(decoder.mean.weight).T + array(decoder.mean.bias)
    log_variance = array(bits) @ array(decoder.log_variance.weight).T + array(decoder.log_variance.bias)
    density = np.exp(-((array(s) - mean) ** 2) / 2 / np.exp(log_variance)) / np.sqrt(2 * np.pi * np.exp(log_variance))
    np.testing.assert_allclose(array(decoder(bits, s)), np.log(density).sum(1), rtol=1e-9)
    torch.nn.init.constant_(decoder.log_variance.bias, -1e3)
    assert torch.isfinite(decoder(bits, s)).all()
    assert -2 * np.log(300) > LEAST_LOG_VARIANCE, "lower than the variance of values of unit vectors"


def test_regularised_bits_are_drawn_to_0_and_1_and_apart() -> None:
    b = array(random(B, M).sigmoid())
    signs = 2 * b - 1
    expected = ((b - (b >= 0.5)) ** 2).mean() + ((signs.T @ signs / B - np.eye(M)) ** 2).mean()
    np.testing.assert_allclose(bit_regularisation(torch.from_numpy(b)).item(), expected, rtol=1e-6)
    bits = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)))
    assert bit_regularisation(bits).item() == 0


# ---- stochastic neurons ----------------------------------------------------------------------------------------------


def every_code() -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)


def chances_of(codes: Tensor, b: Tensor) -> Tensor:
    return (codes * b + (1 - codes) * (1 - b)).prod(1)


def test_a_bit_is_1_where_its_chance_reaches_the_threshold() -> None:
    b, thresholds = torch.tensor([[0.2, 0.5, 0.9]]), torch.tensor([[0.3, 0.5, 0.1]])
    assert stochastic_bits(b, thresholds).tolist() == [[0.0, 1.0, 1.0]]
    torch.manual_seed(0)
    many = stochastic_bits(b.expand(20_000, 3))
    torch.testing.assert_close(many.mean(0), b[0], atol=0.02, rtol=0)


def test_the_expected_gradient_of_log_q_is_that_of_the_entropy() -> None:
    # E log q = Σ b log b + (1 − b) log(1 − b), whose derivative by b is log b − log(1 − b).
    z = random(1, 3).requires_grad_()
    total = torch.zeros(1, 3, dtype=torch.float64)
    for code in every_code():
        b = z.sigmoid()
        # These thresholds give the code.
        bits = stochastic_bits(b, torch.where(code > 0, 0.0, 1.0)[None])
        assert torch.equal(bits[0], code)
        (gradient,) = torch.autograd.grad(log_chance(bits, z).sum(), z)
        total += chances_of(code[None], b.detach()) * gradient
    exact = z.sigmoid()
    entropy = (exact * exact.log() + (1 - exact) * (1 - exact).log()).sum()
    torch.testing.assert_close(total, torch.autograd.grad(entropy, z)[0])


def test_the_expected_gradient_of_what_is_linear_or_square_in_bits_is_known_by_enumeration() -> None:
    target, slope = random(3), random(3, seed=4)
    b = torch.tensor([[0.3, 0.6, 0.8]], dtype=torch.float64, requires_grad=True)
    losses: dict[str, Any] = {
        "linear": lambda bits: (bits * slope).sum(),
        "square": lambda bits: (bits - target).square().sum(),
    }
    for name, loss in losses.items():
        total = torch.zeros(1, 3, dtype=torch.float64)
        for code in every_code():
            bits = stochastic_bits(b, torch.where(code > 0, 0.0, 1.0)[None])
            (gradient,) = torch.autograd.grad(loss(bits), b)
            total += chances_of(code[None], b.detach()) * gradient
        # By enumeration as well: the gradient at the bits, 2 (b~ − target), whose mean is 2 (b − target).
        expected = slope[None] if name == "linear" else 2 * (b.detach() - target)
        torch.testing.assert_close(total, expected)
        codes = every_code()
        values = torch.stack([loss(code[None]) for code in codes])
        (exact,) = torch.autograd.grad((chances_of(codes, b) * values).sum(), b)
        if name == "linear":
            torch.testing.assert_close(total, exact)
        else:
            # The estimator is biased where the loss is curved: the exact one is 1 − 2 target.
            torch.testing.assert_close(exact, (1 - 2 * target)[None])
            assert not torch.allclose(total, exact)


# ---- encoders, loss and pairs ----------------------------------------------------------------------------------------


def encoder(backbone: str = "small", size: int = 16, bits: int = 16) -> SpaceEncoder:
    torch.manual_seed(0)
    classes = ("a", "b", "c", "d")
    return SpaceEncoder(SpaceArchitecture(backbone=backbone, size=size, width=bits, classes=classes, branch="hashing"))


def test_encoders_give_values_to_learn_from_and_codes_to_search_by() -> None:
    network, pictures = encoder(), torch.randint(0, 256, (B, 3, 16, 16), dtype=torch.uint8)
    network.eval()
    codes = network(pictures, PHOTOS)
    branch = network.branch(PHOTOS)
    values = branch.values(branch.attended(network.features(pictures, PHOTOS)))
    assert torch.equal(codes, (values >= 0.5).float())
    assert network.bits == 16
    assert set(codes.unique().tolist()) == {0.0, 1.0}
    branch.train()
    assert ((network.project(pictures, PHOTOS) % 1) != 0).any()


def test_alexnet_is_read_before_its_last_pooling_layer_and_its_dense_layers_do_not_learn() -> None:
    branch = HashingBranch("alexnet-torchvision", 16)
    with torch.no_grad():
        assert branch.features(torch.zeros(1, 3, 227, 227)).shape == (1, 256, 13, 13)
    assert branch.attended_width == 256
    assert not any(each.requires_grad for each in branch.trunk.classifier.parameters())


def config(**options: Any) -> ZsihConfig:
    given = {"data": Path("d"), "out": Path("o"), "bits": "16", "kron_width": K, "graph_width": 8, **options}
    return ZsihConfig(**given)


def some_pairs() -> PairBatch:
    pictures = torch.randint(0, 256, (2, B, 3, 16, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return PairBatch(labels=torch.tensor([0, 1, 1, 3, 2]), drawings=pictures[0], photos=pictures[1])


def test_a_standardised_decoder_starts_at_the_mean_and_variance_of_words_of_mean_square_1() -> None:
    words = unit_words()
    objective = HashingObjective(encoder(), words, config())
    scaled = words / np.sqrt(np.square(words).mean())
    assert objective.scale == pytest.approx(1 / np.sqrt(np.square(words).mean()), rel=1e-6)
    decoder: Any = objective.decoder
    np.testing.assert_allclose(array(decoder.mean.bias), scaled.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.exp(array(decoder.log_variance.bias)), scaled.var(0), rtol=1e-4)


@pytest.mark.parametrize("entropy", ["max", "min", "none"])
def test_the_loss_is_equation_7(entropy: str) -> None:
    words, batch, network = unit_words(), some_pairs(), encoder().eval()
    objective = HashingObjective(network, words, config(code_entropy=entropy, standardise=False)).eval()
    torch.manual_seed(11)
    loss, parts = objective(batch)
    h, f = {}, {}
    for domain, pictures in ((DRAWINGS, batch.drawings), (PHOTOS, batch.photos)):
        branch = network.branch(domain)
        attended = branch.attended(network.features(pictures, domain))
        h[domain] = array(attended)
        f[domain] = sigmoid(h[domain] @ array(branch.head.weight).T + array(branch.head.bias))
    fusion: Any = objective.fusion
    one, other = h[DRAWINGS] @ array(fusion.drawing.weight).T, h[PHOTOS] @ array(fusion.photo.weight).T
    h0 = np.maximum(np.einsum("bi,bj->bij", one, other).reshape(B, -1), 0)
    s = words.astype(np.float64)[batch.labels]
    a = np.exp(-((s[:, None] - s[None]) ** 2).sum(2) / 0.1)
    graph = a / np.sqrt(np.outer(a.sum(1), a.sum(1)))
    h1 = np.maximum(graph @ h0 @ array(objective.first.linear.weight).T, 0)
    b = sigmoid(graph @ h1 @ array(objective.second.linear.weight).T)
    torch.manual_seed(11)
    bits = (b >= array(torch.rand(B, 16))).astype(np.float64)
    log_q = (bits * np.log(b) + (1 - bits) * np.log(1 - b)).sum(1)
    decoder: Any = objective.decoder
    mean = bits @ array(decoder.mean.weight).T + array(decoder.mean.bias)
    log_variance = bits @ array(decoder.log_variance.weight).T + array(decoder.log_variance.bias)
    log_p = -0.5 * (np.log(2 * np.pi) + log_variance + (s - mean) ** 2 / np.exp(log_variance)).sum(1)
    gaps = sum(((f[domain] - bits) ** 2).sum(1) for domain in (DRAWINGS, PHOTOS)) / (2 * 16)
    sign = {"max": 1, "min": -1, "none": 0}[entropy]
    np.testing.assert_allclose(loss.item(), (sign * log_q - log_p + gaps).mean(), rtol=1e-4)
    assert ("entropy" in parts) is bool(sign)
    np.testing.assert_allclose(parts["words"].item(), -log_p.mean(), rtol=1e-4)


def test_the_encoders_learn_from_the_codes_and_a_batch_of_one_class_too() -> None:
    objective = HashingObjective(encoder(), unit_words(), config())
    batch = some_pairs()
    for labels in (batch.labels, torch.full((B,), 2)):
        objective.zero_grad()
        loss, _ = objective(PairBatch(labels=labels, drawings=batch.drawings, photos=batch.photos))
        loss.backward()
        learned = [each for each in objective.parameters() if each.requires_grad]
        assert all(each.grad is not None and torch.isfinite(each.grad).all() for each in learned)
        for domain in (DRAWINGS, PHOTOS):
            assert objective.encoder.branch(domain).head.weight.grad.any()


def test_a_count_sketch_is_of_the_kronecker_layer_alone() -> None:
    with pytest.raises(ConfigError, match="--kron-sketch works with --fusion kron"):
        config(fusion="mfb", kron_sketch=9).check()


def test_pairs_are_of_one_class_and_functions_of_seed_epoch_and_step() -> None:
    drawings, photos = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2]), torch.tensor([2, 1, 0, 0, 1, 2, 2])

    def order(**options: int) -> PairOrder:
        return PairOrder(drawings, photos, 3, **{"batch_size": 4, "seed": 5, **options})

    def flat(rows: Any) -> list[list[int]]:
        return [each.tolist() for each in rows]

    whole = [flat(rows) for rows in order().rows(1)]
    assert order().steps == len(whole) == 3
    assert sorted(row for own, _ in whole for row in own) == list(range(9))
    for own, found in whole:
        assert torch.equal(drawings[own], photos[found])
    assert [flat(rows) for rows in order().rows(1, 2)] == whole[2:]
    assert [flat(rows) for rows in order(seed=6).rows(1)] != whole
    assert [flat(rows) for rows in order().rows(2)] != whole
    parts = [[flat(rows) for rows in order(rank=rank, world_size=2).rows(1)] for rank in (0, 1)]
    for rows, one, other in zip(whole, *parts, strict=False):
        assert [each[::2] for each in rows] == one
        assert [each[1::2] for each in rows] == other
    with pytest.raises(ConfigError, match="class 2 has drawings and no photo"):
        PairOrder(drawings, photos[photos < 2], 3, batch_size=4)
