"""Recognisers that are kept: all methods come back, the same bytes every time, and damage is told in words."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.tensors import read_tensors, write_tensors
from sketchdata.zero_shot import ZERO_SHOT_METHODS, ZeroShotRecogniser, restore_recogniser
from sketchdata.zero_shot.networks import ConvexCombination, Relation, generator_of, layers_of, perceptron
from sketchdata.zero_shot.recogniser import (
    KeptRecogniser,
    PerceptronEmbedding,
    choose_recogniser,
    read_recognisers,
    recogniser_path,
    write_recogniser,
)
from tests.zero_shot_toys import CLASSES, SEEN, make_toy, small

TOY = make_toy(drawings=6)
NAMES = tuple(f"class {place}" for place in range(CLASSES))
VALIDATION = SEEN[::4]


def kept(method: str = "sae", source: str = "words", **changes: Any) -> KeptRecogniser:
    recogniser = small(method).fit(*TOY.seen())
    return KeptRecogniser(
        source=source,
        method=method,
        classes=NAMES,
        recogniser=replace(recogniser, **changes) if changes else recogniser,
    )


@pytest.mark.parametrize("name", ZERO_SHOT_METHODS)
def test_every_method_comes_back_from_its_file_as_it_was(name: str, tmp_path: Path) -> None:
    fitted = small(name).fit(*TOY.seen(), VALIDATION)
    one = KeptRecogniser(source="words", method=name, classes=NAMES, recogniser=fitted)
    path = write_recogniser(tmp_path, one)
    assert path == recogniser_path(tmp_path, "words", name) == tmp_path / "recognisers" / f"words.{name}.safetensors"
    first = path.read_bytes()
    (again,) = read_recognisers(tmp_path)
    assert (again.name, again.classes) == (f"words.{name}", NAMES)
    found = again.recogniser
    assert (found.gamma, found.constants) == (fitted.gamma, fitted.constants)
    assert found.validation_hit == fitted.validation_hit
    for calibrated in (False, True):
        scores = (each.scores(TOY.features, calibrated=calibrated) for each in (found, fitted))
        np.testing.assert_array_equal(*scores)
    np.testing.assert_array_equal(found.embedded(TOY.features), fitted.embedded(TOY.features))
    write_recogniser(tmp_path, again)
    assert path.read_bytes() == first


def test_the_hit_of_validation_classes_is_that_of_the_constants_chosen() -> None:
    from sketchdata.zero_shot.method import hold_out
    from sketchdata.zero_shot.training_set import make_training_set

    method = small("sae")
    found = method.fit(*TOY.seen(), VALIDATION)
    known, validation_set = hold_out(make_training_set(*TOY.seen()), VALIDATION)
    hits = {each.constants["ridge"]: validation_set.hit(each) for each in method.learn(known, method.grid)}
    assert found.validation_hit == max(hits.values()) == hits[found.constants["ridge"]]
    assert method.fit(*TOY.seen()).validation_hit is None


@pytest.mark.parametrize("last_relu", [False, True])
def test_a_perceptron_of_arrays_is_that_of_torch(last_relu: bool) -> None:
    network = perceptron([24, 32, 6], generator_of(0), last_relu=last_relu)
    weights, biases = layers_of(network)
    embed = PerceptronEmbedding(weights=weights, biases=biases, last_relu=last_relu, scale=3.0)
    with torch.no_grad():
        expected = network(torch.from_numpy(TOY.features / 3)).numpy()
    assert embed(TOY.features.astype(np.float64)) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    # Later steps of the network do not reach what was taken from it.
    with torch.no_grad():
        network[0].weight.zero_()
    assert np.abs(weights[0]).max() > 0


def test_a_relation_of_arrays_is_that_of_torch() -> None:
    relation = Relation(24, 5000, generator_of(0))
    classes = np.random.default_rng(0).normal(size=(7, 24))
    compare = relation.to_classes(classes, 2.0)
    with torch.no_grad():
        expected = relation(torch.from_numpy(TOY.features / 2), torch.from_numpy(classes.astype(np.float32))).numpy()
    assert compare(TOY.features.astype(np.float64)) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert compare(np.zeros((0, 24))).shape == (0, 7)


def test_the_classifier_of_conse_gives_its_own_probabilities() -> None:
    from sketchdata.zero_shot.training_set import make_training_set

    (found,) = ConvexCombination(steps=20)(make_training_set(*TOY.seen()), [{"top": 1}])
    # Of one class alone, the combination is that class's vector.
    nearest = found.embedded(TOY.features)
    known = found.prototypes[SEEN].astype(np.float32)
    assert {row.tobytes() for row in nearest} <= {row.tobytes() for row in known}


def test_recognisers_come_by_source_and_method(tmp_path: Path) -> None:
    for source, method in (("b", "sae"), ("a+b", "sae"), ("a", "sae"), ("a", "eszsl"), ("a.300d", "sae")):
        write_recogniser(tmp_path, kept(method, source))
    found = [(one.source, one.method) for one in read_recognisers(tmp_path)]
    assert found == [("a", "eszsl"), ("a", "sae"), ("a+b", "sae"), ("a.300d", "sae"), ("b", "sae")]


def test_the_best_on_validation_classes_is_chosen() -> None:
    hits = {("a", "eve"): 0.2, ("a", "sae"): None, ("b", "eve"): 0.5, ("b", "sae"): 0.5}
    recogniser = kept().recogniser
    every = [
        KeptRecogniser(source=source, method=method, classes=NAMES, recogniser=replace(recogniser, validation_hit=hit))
        for (source, method), hit in hits.items()
    ]
    assert choose_recogniser(every).name == "b.eve"
    assert choose_recogniser(every, source="a").name == "a.eve"
    assert choose_recogniser(every, method="sae").name == "b.sae"
    assert choose_recogniser(every, "a", "sae").name == "a.sae"
    with pytest.raises(ConfigError, match="no recogniser of vectors c; there are: a by eve, a by sae, b by eve"):
        choose_recogniser(every, source="c")
    with pytest.raises(ConfigError, match="no recogniser of vectors a method dem; there are"):
        choose_recogniser(every, "a", "dem")
    with pytest.raises(ConfigError, match="no recogniser of any kind; there are: none"):
        choose_recogniser([])


@pytest.mark.parametrize("source", ["", "../up", "a/b", ".hidden", "a b", "ä", "a\n", "x" * 101])
def test_names_that_no_file_should_have_are_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a safe name: name the file of vectors by letters"):
        write_recogniser(tmp_path, kept(source=source))
    assert not list(tmp_path.rglob("*"))


def test_classes_that_are_not_one_a_prototype_are_refused(tmp_path: Path) -> None:
    for classes in (NAMES[1:], (*NAMES[1:], NAMES[1])):
        with pytest.raises(ConfigError, match="do not fit 36 prototypes"):
            write_recogniser(tmp_path, replace(kept(), classes=classes))


def test_a_folder_without_recognisers_is_told(tmp_path: Path) -> None:
    with pytest.raises(SketchDataError, match=r"has no recognisers .* `sketchdata train zsl` writes them"):
        read_recognisers(tmp_path)


def edited(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Callable[[Path], None]:
    """Return what writes a file again with its tensors and facts changed."""

    def edit(path: Path) -> None:
        tensors, facts = read_tensors(path)
        change(tensors, facts)
        write_tensors(path, tensors, facts)

    return edit


@pytest.mark.parametrize(
    ("method", "damage", "message"),
    [
        ("sae", lambda path: path.write_bytes(path.read_bytes()[:-100]), "is not a whole safetensors file"),
        ("sae", lambda path: path.write_bytes(b""), "is not a whole safetensors file"),
        ("sae", lambda path: path.write_bytes(pickle.dumps({"prototypes": 1})), "is not a whole safetensors file"),
        (
            "sae",
            lambda path: path.rename(path.with_name("other.sae.safetensors")),
            "holds the recogniser words.sae: name it",
        ),
        ("sae", edited(lambda t, f: f.pop("classes")), "classes: expected a value, found none"),
        ("sae", edited(lambda t, f: f.update(classes=3)), "classes: expected `array`, found `int`"),
        ("sae", edited(lambda t, f: f["classes"].pop()), "do not fit 36 prototypes"),
        ("sae", edited(lambda t, f: f.pop("recognisers")), "recognisers: expected a value, found none"),
        ("sae", edited(lambda t, f: f["recognisers"].pop("gamma")), "recognisers.gamma: expected a value, found none"),
        ("sae", edited(lambda t, f: f["recognisers"].update(width=0)), "a width of 0"),
        ("sae", edited(lambda t, f: f["recognisers"].update(width=1 << 60)), "features of a width of"),
        ("sae", edited(lambda t, f: f["recognisers"].update(width=5)), "do not fit one another"),
        ("sae", edited(lambda t, f: f["recognisers"].update(embed={"kind": "pickle"})), "not 'pickle'"),
        ("sae", edited(lambda t, f: f["recognisers"].update(compare=None)), "kinds of compare"),
        ("sae", edited(lambda t, f: f["recognisers"]["embed"].update(more=1)), "unexpected keyword"),
        ("sae", edited(lambda t, f: t.pop("prototypes")), r"it has \(L, D\) prototypes"),
        ("sae", edited(lambda t, f: t.update(seen=torch.tensor([40]))), "different places in 0..35"),
        ("sae", edited(lambda t, f: t["prototypes"].fill_(float("nan"))), "numbers that are not finite"),
        ("conse", edited(lambda t, f: t.pop("embed.offset")), "missing 1 required"),
        ("eve_reversed", edited(lambda t, f: t.pop("embed.biases.0")), "do not fit one another"),
        ("relation", edited(lambda t, f: t.update({"compare.last": t["compare.last"][:3]})), "do not fit one another"),
        ("relation", edited(lambda t, f: f["recognisers"]["compare"].update(scale=0)), "not finite numbers"),
    ],
)
def test_a_damaged_or_foreign_file_is_told(
    method: str, damage: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    path = write_recogniser(tmp_path, kept(method))
    damage(path)
    with pytest.raises(SketchDataError, match=message):
        read_recognisers(tmp_path)


def test_what_is_no_recogniser_at_all_is_refused() -> None:
    arrays, facts = kept().recogniser.record()
    assert isinstance(restore_recogniser(arrays, facts), ZeroShotRecogniser)
    for given in ({}, {"prototypes": np.zeros(3), "seen": arrays["seen"]}, {**arrays, "seen": np.array([0.5])}):
        with pytest.raises(ConfigError, match="do not belong to a recogniser"):
            restore_recogniser(given, facts)
