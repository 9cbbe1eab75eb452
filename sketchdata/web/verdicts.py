"""The decisions of a log as the page needs them: what is in force on which item, and what has changed."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchdata.decisions import Decision, DecisionLog, in_force
from sketchdata.errors import ConfigError
from sketchdata.web.items import Items


class Verdicts:
    """The log of one data set's decisions, followed as it grows, whoever appends to it. Safe to use from threads.

    Args:
        path: The log.
        items: What can be decided on.
    """

    def __init__(self, path: Path, items: Items) -> None:
        self.log = DecisionLog(path)
        self._by_id: dict[int, list[Decision]] = {}
        self._offset = 0
        self._lock = threading.Lock()
        self._order = np.argsort(items.id)
        self._ids = items.id[self._order]
        self._offsets = items.offsets
        self._noun = items.subject.noun

    def save(self, ids: Sequence[int], *, who: str, verdict: str, reason: str) -> None:
        """Append one decision an item, and return when they are durable.

        Raises:
            FormatError: The verdict is unknown or the reason too long.
            ConfigError: An id is of no item.
            OSError: They could not be written.
        """
        unknown = [each for each, label in zip(ids, self._labels(ids), strict=True) if label < 0]
        if unknown:
            raise ConfigError(f"the data set has no {self._noun} {unknown[0]}: load the page again")
        batch = secrets.token_hex(8) if len(ids) > 1 else None
        self.log.append([Decision(who=who, key_id=id, verdict=verdict, reason=reason, batch=batch) for id in ids])

    def since(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Return how the items stand on which somebody decided after an offset, and the offset to ask with next time.

        Raises:
            SketchDataError: The log cannot be read, or has no such offset, as when it was replaced.
        """
        recent, end = self.log.read_from(offset)
        changed = list(dict.fromkeys(decision.key_id for decision in recent))
        with self._lock:
            self._catch_up()
            standing = in_force(each for id in changed for each in self._by_id.get(id, ()))
        labels = self._labels(changed)
        states = [_state(id, label, standing.get(id)) for id, label in zip(changed, labels, strict=True)]
        # A decision on what the data set no longer has, from a log that was copied here, concerns nobody.
        return [state for state in states if state["label"] >= 0], end

    def _catch_up(self) -> None:
        decisions, self._offset = self.log.read_from(self._offset)
        for decision in decisions:
            self._by_id.setdefault(decision.key_id, []).append(decision)

    def _labels(self, ids: Sequence[int]) -> list[int]:
        """Return each id's group, −1 where there is no such item."""
        wanted = np.array(ids, np.uint64)
        place = np.searchsorted(self._ids, wanted)
        known = place < len(self._ids)
        known[known] = self._ids[place[known]] == wanted[known]
        labels: npt.NDArray[np.int64] = np.full(len(wanted), -1, np.int64)
        labels[known] = np.searchsorted(self._offsets, self._order[place[known]], side="right") - 1
        found: list[int] = labels.tolist()
        return found


def _state(id: int, label: int, decision: Decision | None) -> dict[str, Any]:
    state: dict[str, Any] = {"id": str(id), "label": label, "verdict": None}
    if decision is None:
        return state
    return state | {"verdict": decision.verdict, "who": decision.who, "reason": decision.reason}
