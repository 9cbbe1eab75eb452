"""How each category is drawn: by hand-made prototypes where a name has one, else by an invented one of its own."""

from __future__ import annotations

from functools import lru_cache

from sketchdata.synth.prototypes.prototype import Prototype


@lru_cache(maxsize=1)
def designed() -> dict[str, Prototype]:
    """Return the prototypes that look like their names, {word: prototype}."""
    from sketchdata.synth.prototypes import figures, household, living, outdoors, things

    return {
        **figures.PROTOTYPES,
        **household.PROTOTYPES,
        **living.PROTOTYPES,
        **outdoors.PROTOTYPES,
        **things.PROTOTYPES,
    }


def find(word: str) -> Prototype:
    """Return a word's prototype: a designed one, or one invented from the name's hash."""
    from sketchdata.synth.prototypes.invented import invent

    return designed().get(word) or invent(word)
