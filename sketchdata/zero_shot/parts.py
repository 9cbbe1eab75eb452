"""Parts of a recogniser as arrays and plain values, by kind, and parts of these again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from sketchdata.errors import ConfigError
from sketchdata.zero_shot.comparison import Comparison, Measure, RelationComparison
from sketchdata.zero_shot.embeddings import AnyEmbedding, CombinationEmbedding, Embedding, PerceptronEmbedding

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
_KIND = "kind"
_EMBEDDINGS: dict[str, type[AnyEmbedding]] = {
    "linear": Embedding,
    "perceptron": PerceptronEmbedding,
    "combination": CombinationEmbedding,
}
_COMPARISONS: dict[str, type[RelationComparison]] = {"relation": RelationComparison}


def take_apart(embed: AnyEmbedding, compare: Comparison) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays of a recogniser's two ways, by names that begin with `embed.` and `compare.`, and the rest."""
    arrays, of_embed = _taken_apart(embed, "embed", _EMBEDDINGS)
    if isinstance(compare, str):
        return arrays, {"embed": of_embed, "compare": {_KIND: compare}}
    others, of_compare = _taken_apart(compare, "compare", _COMPARISONS)
    return arrays | others, {"embed": of_embed, "compare": of_compare}


def put_together(arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]) -> tuple[AnyEmbedding, Comparison]:
    """Return the two ways of which `take_apart` gave these; whether the arrays fit one another is not looked at.

    Raises:
        ConfigError: A kind is not known, or there are other arrays and values than those of its kind.
    """
    embed = _put_together(arrays, facts.get("embed"), "embed", _EMBEDDINGS)
    compare = facts.get("compare")
    if isinstance(compare, Mapping) and compare.get(_KIND) in get_args(Measure):
        return embed, compare[_KIND]
    return embed, _put_together(arrays, compare, "compare", _COMPARISONS)


def _taken_apart(part: Any, name: str, kinds: Mapping[str, type[Any]]) -> tuple[Arrays, dict[str, Any]]:
    arrays, facts = Arrays(), {_KIND: next(kind for kind, own in kinds.items() if type(part) is own)}
    for own in dataclasses.fields(part):
        value = getattr(part, own.name)
        if isinstance(value, tuple):
            arrays |= {f"{name}.{own.name}.{place}": each for place, each in enumerate(value)}
        elif isinstance(value, np.ndarray):
            arrays[f"{name}.{own.name}"] = value
        elif value is not None:
            facts[own.name] = value
    return arrays, facts


def _put_together(arrays: Mapping[str, npt.NDArray[Any]], facts: Any, name: str, kinds: Mapping[str, type[Any]]) -> Any:
    kind = facts.get(_KIND) if isinstance(facts, Mapping) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise ConfigError(f"these arrays are not of a recogniser: ways to {name} are {', '.join(kinds)}, not {kind!r}")
    values: dict[str, Any] = {key: value for key, value in facts.items() if key != _KIND}
    layers: dict[str, list[npt.NDArray[Any]]] = {}
    for key in sorted(key for key in arrays if key.startswith(f"{name}.")):
        field, _, place = key.removeprefix(f"{name}.").partition(".")
        if place:
            layers.setdefault(field, []).append(arrays[key])
        else:
            values[field] = arrays[key]
    try:
        return kinds[kind](**values, **{field: tuple(each) for field, each in layers.items()})
    except TypeError as error:
        raise ConfigError(f"these arrays are not of a recogniser: {error}") from error
