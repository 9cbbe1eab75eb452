"""The losses of networks that place classes among drawings: EVE's, the relation network's, and that of our recipe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from sketchdata.zero_shot import ZERO_SHOT_METHODS, Recipe, Regression, RelationNetwork
from sketchdata.zero_shot.networks import (
    Encoder,
    Relation,
    embedding_loss,
    generator_of,
    make_optimiser,
    perceptron,
    scales_of,
)
from sketchdata.zero_shot.training_set import TrainingSet, make_training_set
from tests.zero_shot_toys import SEEN, make_toy

TOY = make_toy()
#: Classes unequally often.
KEPT = TOY.of_seen & (np.random.default_rng(1).random(len(TOY.labels)) < TOY.labels / 36 + 0.1)


def data() -> TrainingSet:
    return make_training_set(TOY.features[KEPT], TOY.labels[KEPT], TOY.vectors, SEEN)


def gradients(loss: torch.Tensor, network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(network.parameters()))])


def test_the_loss_on_class_means_is_that_on_drawings_but_for_a_constant() -> None:
    given = data()
    drawings = torch.from_numpy(TOY.features[KEPT]).double()
    vectors, places = torch.from_numpy(given.vectors[given.seen]).double(), torch.from_numpy(given.places)
    means, shares = torch.from_numpy(given.means), torch.from_numpy(given.counts / len(given.rows))
    within = (drawings - means[places]).square().sum(1).mean()
    for seed in range(3):
        network = perceptron([6, 10, 24], generator_of(seed), last_relu=True).double()
        # Eq. 8 as it is written: a mean over drawings.
        of_drawings = (drawings - network(vectors[places])).square().sum(1).mean()
        of_means = embedding_loss(network(vectors), means, shares)
        assert float(of_drawings.detach() - of_means.detach()) == pytest.approx(float(within), rel=1e-10)
        slopes = gradients(of_drawings, network)
        assert gradients(of_means, network).numpy() == pytest.approx(slopes.numpy(), rel=1e-8, abs=1e-10)


def closed_regression(given: TrainingSet, decay: float) -> np.ndarray:
    """Return (S + 1, F), the minimum of Σ (n_c / N) ‖m_c − Wᵀ v_c − b‖² + λ ‖(W, b)‖² of scaled means and vectors."""
    of_features, of_vectors = scales_of(given)
    rows = np.hstack([given.vectors[given.seen] / of_vectors, np.ones((len(given.seen), 1))])
    weighted = rows.T * (given.counts / len(given.rows))
    return np.linalg.solve(weighted @ rows + decay * np.eye(rows.shape[1]), weighted @ given.means / of_features)


def test_the_linear_variant_has_no_slope_at_the_closed_solution() -> None:
    given, decay = data(), 0.05
    solution = torch.from_numpy(closed_regression(given, decay))
    network = perceptron([6, 24], generator_of(0), last_relu=False).double()
    network[0].weight.data, network[0].bias.data = solution[:-1].T, solution[-1]
    of_features, of_vectors = scales_of(given)
    means, shares = torch.from_numpy(given.means / of_features), torch.from_numpy(given.counts / len(given.rows))
    vectors = torch.from_numpy(given.vectors[given.seen] / np.float64(of_vectors))
    loss = embedding_loss(network(vectors), means, shares)
    # The optimiser's part of Eq. 8, as torch takes it.
    group = make_optimiser("rmsprop", network, 0.1, decay).param_groups[0]
    weights = torch.cat([part.flatten() for part in network.parameters()])
    slopes = gradients(loss, network) + group["weight_decay"] * weights.detach()
    assert float(slopes.abs().max()) < 1e-6


def test_the_methods_of_eq_8_have_its_decay_in_the_loss() -> None:
    for name in ("eve", "eve_reversed", "dem", "dem_reversed"):
        learn = ZERO_SHOT_METHODS[name].learn
        assert isinstance(learn, Regression)
        network = perceptron([6, 24], generator_of(0), last_relu=False)
        optimiser = make_optimiser(learn.optimiser, network, learn.rate, 0.05)
        assert not isinstance(optimiser, torch.optim.AdamW)
        assert optimiser.param_groups[0]["weight_decay"] == 0.1


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_steps_lead_to_the_closed_solution(optimiser: str) -> None:
    given, decay = data(), 0.05
    solution, (of_features, of_vectors) = closed_regression(given, decay), scales_of(given)
    expected = (TOY.vectors / of_vectors @ solution[:-1] + solution[-1]) * of_features
    learn = Regression(hidden=0, optimiser=optimiser, rate=3e-3)
    start, end = learn(given, [{"decay": decay, "steps": 1}, {"decay": decay, "steps": 800}])
    assert np.abs(end.prototypes - expected).max() < 0.05 * np.abs(start.prototypes - expected).max()


def test_the_last_layer_is_rectified_where_targets_are_not_negative() -> None:
    given = data()
    positive = replace(given, features=np.abs(given.features))
    assert (given.means.min() < 0, positive.means.min() < 0) == (True, False)
    for learn, material, rectified in (
        (Regression(hidden=8), given, False),
        (Regression(hidden=8), positive, True),
        (Regression(hidden=8, last_relu=False), positive, False),
        (Regression(hidden=8, last_relu=True), given, True),
    ):
        network = learn.network(material, generator_of(0))
        assert isinstance(network[-1], torch.nn.ReLU) == rectified
        sizes = [tuple(part.shape) for part in network.parameters()]
        assert sizes == [(8, 6), (8,), (24, 8), (24,)]


def test_other_units_of_features_and_vectors_change_nothing_but_units() -> None:
    given = data()
    other = replace(given, features=given.features * 64, vectors=given.vectors / 128)
    constants = [{"decay": 1e-4, "steps": 20}]
    (one,), (scaled,) = (list(Regression(hidden=16)(each, constants)) for each in (given, other))
    assert scaled.prototypes == pytest.approx(one.prototypes * 64, rel=1e-3, abs=1e-3)


def test_a_relation_is_that_of_drawing_and_class_in_one_row() -> None:
    relation = Relation(5, 7, generator_of(0))
    drawings, classes = torch.rand(4, 5), torch.rand(3, 5)
    found = relation(drawings, classes)
    for i, drawing in enumerate(drawings):
        for j, embedded in enumerate(classes):
            row = torch.cat([drawing, embedded])
            expected = relation.last(relation.first(row).relu())
            assert float(found[i, j].detach()) == pytest.approx(float(expected.detach()), abs=1e-6)


def test_relations_are_scored_in_blocks_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (recogniser,) = RelationNetwork(hidden=16)(data(), [{"decay": 0.0, "steps": 2}])
    whole = recogniser.scores(TOY.features[:50])
    monkeypatch.setattr("sketchdata.zero_shot.recogniser._CELLS_AT_ONCE", 300)
    assert recogniser.scores(TOY.features[:50]) == pytest.approx(whole, abs=1e-5)


def test_plain_steps_of_the_recipe_are_cross_entropy_of_scaled_cosines() -> None:
    recipe = Recipe(mixed=0, dropout=0, share_hidden=0, scale=7)
    chance = generator_of(0)
    encoder, known = Encoder((6, 8, 24), 0.0, chance), torch.randn(9, 6)
    drawn, places = functional.normalize(torch.randn(5, 24)), torch.tensor([0, 8, 3, 3, 1])
    prototypes = encoder(known)
    assert prototypes.norm(dim=1).tolist() == pytest.approx([1] * 9, abs=1e-5)
    expected = []
    for drawing, own in zip(drawn, places, strict=True):
        cosines = [float(functional.cosine_similarity(drawing, each, dim=0).detach()) for each in prototypes]
        expected.append(np.log(np.exp(7 * np.array(cosines)).sum()) - 7 * cosines[own])
    found = recipe.loss(encoder, known, drawn, places)
    assert float(found.detach()) == pytest.approx(np.mean(expected), rel=1e-5)


def test_some_classes_hide_from_half_of_the_drawings_and_never_from_their_own() -> None:
    places = torch.arange(40) % 20
    hidden = Recipe(share_hidden=0.2).hide(places, 20, generator_of(0))
    assert not hidden[20:].any()
    assert not hidden[torch.arange(40), places].any()
    columns = hidden.any(dim=0)
    assert int(columns.sum()) == 4
    own = columns[places[:20]]
    assert hidden[:20].sum(dim=1).tolist() == [3 if each else 4 for each in own]
    assert not Recipe(share_hidden=0).hide(places, 20, generator_of(0)).any()
    # Two classes at least are left to be told apart.
    assert int(Recipe(share_hidden=1.0).hide(places % 3, 3, generator_of(0)).any(dim=0).sum()) <= 1


def test_numbers_of_vectors_are_left_out_in_training_alone() -> None:
    encoder = Encoder((50, 8, 24), 0.5, generator_of(0))
    vectors = torch.randn(3, 50)
    assert not torch.equal(encoder(vectors), encoder(vectors))
    encoder.eval()
    assert torch.equal(encoder(vectors), encoder(vectors))


def test_members_of_the_recipe_are_averaged() -> None:
    constants = [{"decay": 0.0, "steps": 3}]
    recipe = Recipe(hidden=8, members=3, batch=16)
    (found,) = recipe(data(), constants)
    (alone,) = replace(recipe, members=1)(data(), constants)
    assert np.linalg.norm(alone.prototypes, axis=1) == pytest.approx(1, abs=1e-5)
    members = [next(recipe._prototypes(data(), 0.0, [3], member)) for member in range(3)]
    assert found.prototypes == pytest.approx(np.mean(members, axis=0))
    assert (members[0] == alone.prototypes).all()
    assert np.abs(members[0] - members[1]).max() > 0.01
