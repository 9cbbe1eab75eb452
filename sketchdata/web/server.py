"""The server of the curation page: it shows an audit and appends decisions to a log."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from sketchdata.curation.decisions import DECISIONS_FILE, Decision, DecisionLog, in_force, parse_key_id
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.progress import console
from sketchdata.storage.manifest import AUDIT_FOLDER
from sketchdata.web import views
from sketchdata.web.exhibit import Exhibit
from sketchdata.web.items import Items, pack
from sketchdata.web.site import make_site, serve_site

MOST_PICTURES = 200


class Verdicts:
    """The log of the decisions on a data set's items, which other processes may extend. Safe to use from threads."""

    def __init__(self, path: Path, items: Items, words: Sequence[str] = ()) -> None:
        self.log = DecisionLog(path)
        self._by_id: dict[int, list[Decision]] = {}
        self._offset = 0
        self._lock = threading.Lock()
        self._order = np.argsort(items.id)
        self._ids = items.id[self._order]
        self._offsets = items.offsets
        self._noun, self._nouns, self._words = items.subject.noun, items.subject.nouns, frozenset(words)

    def save(self, ids: Sequence[int], *, who: str, verdict: str, reason: str, word: str | None = None) -> None:
        """Append one decision per item, and return when they are on disk.

        Raises:
            FormatError: The verdict is unknown or the reason too long.
            ConfigError: There is no item with one of the ids, or the items cannot get the class `word`.
            OSError: The log could not be written.
        """
        unknown = [each for each, label in zip(ids, self._labels(ids), strict=True) if label < 0]
        if unknown:
            raise ConfigError(f"the data set has no {self._noun} {unknown[0]}: load the page again")
        if word is not None and word not in self._words:
            raise ConfigError(f"{self._nouns} cannot be relabelled to {word!r}, which is not one of their classes")
        batch = secrets.token_hex(8) if len(ids) > 1 else None
        self.log.append(
            [Decision(who=who, key_id=id, verdict=verdict, reason=reason, batch=batch, word=word) for id in ids]
        )

    def since(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Return the state of the items with decisions after an offset, and the offset for the next call.

        Raises:
            SketchDataError: The log cannot be read, or is shorter than the offset because it was replaced.
        """
        recent, end = self.log.read_from(offset)
        changed = list(dict.fromkeys(decision.key_id for decision in recent))
        with self._lock:
            decisions, self._offset = self.log.read_from(self._offset)
            for decision in decisions:
                self._by_id.setdefault(decision.key_id, []).append(decision)
            standing = in_force(each for id in changed for each in self._by_id.get(id, ()))
        states = list[dict[str, Any]]()
        for id, label in zip(changed, self._labels(changed), strict=True):
            # A log that was copied from another folder may have decisions on items that this data set does not have.
            if label >= 0:
                state: dict[str, Any] = {"id": str(id), "label": label, "verdict": None}
                if (own := standing.get(id)) is not None:
                    state |= {"verdict": own.verdict, "who": own.who, "reason": own.reason, "word": own.word}
                states.append(state)
        return states, end

    def _labels(self, ids: Sequence[int]) -> list[int]:
        wanted = np.array(ids, np.uint64)
        place = np.searchsorted(self._ids, wanted)
        known = place < len(self._ids)
        known[known] = self._ids[place[known]] == wanted[known]
        labels: npt.NDArray[np.int64] = np.full(len(wanted), -1, np.int64)
        labels[known] = np.searchsorted(self._offsets, self._order[place[known]], side="right") - 1
        found: list[int] = labels.tolist()
        return found


class Verdict(BaseModel):
    """A request of the page: one verdict on some items. Ids are strings, since JavaScript's numbers have 53 bits."""

    ids: list[str] = Field(min_length=1)
    verdict: str
    reason: str = ""
    word: str | None = None


def create_app(exhibit: Exhibit, who: str, host: str) -> FastAPI:
    """Return the application of the curation page; it is served at the root of an address.

    Args:
        exhibit: The audit; the log of decisions is in the same folder.
        who: The curator's name in the log.
        host: Name or address that the server listens on.

    Raises:
        SketchDataError: The log of decisions cannot be read, or `who` cannot be written there.
    """
    Decision(who=who, key_id=0, verdict="keep")
    words = exhibit.audit.classes if exhibit.items.subject.relabels else ()
    verdicts = Verdicts(exhibit.audit.directory / AUDIT_FOLDER / DECISIONS_FILE, exhibit.items, words)
    verdicts.since(0)
    data = views.overview(exhibit.audit, exhibit.items)
    app = make_site(
        title=f"Curation of {data['name']}",
        module="curation.js",
        styles=["style.css"],
        host=host,
        remedy=f"select fewer {exhibit.items.subject.nouns}",
    )

    @app.get("/api/overview")
    def overview() -> JSONResponse:
        return JSONResponse(data)

    _add_classes(app, exhibit)
    _add_decisions(app, verdicts, who)
    return app


def _add_classes(app: FastAPI, exhibit: Exhibit) -> None:
    items = exhibit.items

    def group(label: int) -> slice:
        if not 0 <= label < len(items.offsets) - 1:
            raise HTTPException(404, f"there is no class {label}")
        return items.group(label)

    @app.get("/api/classes/{label}/items")
    def class_items(label: int) -> Response:
        group(label)
        return Response(pack(items, label), media_type="application/octet-stream")

    @app.get("/api/classes/{label}/pictures")
    def class_pictures(label: int, positions: Annotated[str, Query(pattern=r"^\d{1,9}(,\d{1,9})*$")]) -> JSONResponse:
        rows, wanted = group(label), [int(position) for position in positions.split(",")]
        if len(wanted) > MOST_PICTURES or max(wanted) >= rows.stop - rows.start:
            nouns = items.subject.nouns
            raise HTTPException(422, f"at most {MOST_PICTURES} positions of the class's {nouns} are expected")
        return JSONResponse(exhibit.pictures.read([int(items.row[rows.start + each]) for each in wanted]))


def _add_decisions(app: FastAPI, verdicts: Verdicts, who: str) -> None:
    @app.get("/api/decisions")
    def decisions(after: Annotated[int, Query(ge=0)] = 0) -> JSONResponse:
        try:
            found, offset = verdicts.since(after)
        except SketchDataError as error:
            raise HTTPException(409, str(error)) from error
        return JSONResponse({"decisions": found, "offset": offset})

    @app.post("/api/decisions")
    def decide(verdict: Verdict) -> JSONResponse:
        ids = [parse_key_id(text) for text in verdict.ids]
        verdicts.save(ids, who=who, verdict=verdict.verdict, reason=verdict.reason, word=verdict.word)
        return JSONResponse({"saved": len(ids)})


def serve(
    directory: Path, exhibit: Callable[[Path], Exhibit], *, host: str, port: int, who: str, open_browser: bool
) -> None:
    """Serve the curation page of an audited data set, read by `exhibit`, until Ctrl-C; port 0 is any free one.

    Raises:
        ConfigError: The server cannot listen on the address.
        SketchDataError: The data set, its audit or its decisions cannot be read.
    """

    def make() -> FastAPI:
        console.print(f"Reading {directory} …")
        return create_app(exhibit(directory), who, host)

    def announce(address: str) -> None:
        console.print(f"Curate as {who} at {address} (Ctrl-C ends)", soft_wrap=True, highlight=False)
        if host not in ("127.0.0.1", "localhost", "::1"):
            console.print(f"Everyone who can reach this machine can decide as {who}: there is no password")

    serve_site(make, host=host, port=port, announce=announce, open_browser=open_browser)
