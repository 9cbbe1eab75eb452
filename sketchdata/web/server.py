"""The curation page's server: shows an audit, appends decisions, and serves nothing from elsewhere."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sketchdata.curation.decisions import DECISIONS_FILE, Decision, DecisionLog, in_force, parse_key_id
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.progress import console
from sketchdata.storage.manifest import AUDIT_FOLDER
from sketchdata.web import pages, views
from sketchdata.web.exhibit import Exhibit
from sketchdata.web.items import Items, pack
from sketchdata.web.pictures import Pictures

# What the page's server refuses before it looks at a request: other sites' pages must neither read nor write here.
# A page of another site can make the browser send requests to the loopback interface. It cannot choose the Host header
# of
# its own name's request (DNS rebinding: its name resolves to 127.0.0.1), nor the Origin header.

#: Of the body of a request: 60,000 ids and a reason.
MOST_BYTES = 2 << 20

_READING = ("GET", "HEAD")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware that answers 403, 413 or 415 to what the page itself would never send.

    Args:
        app: The application behind it.
        host: The name or address that the server was told to listen on.
        policy: The Content-Security-Policy of all answers.
        nouns: What the page is about.
    """

    def __init__(self, app: ASGIApp, *, host: str, policy: str, nouns: str) -> None:
        self.app = app
        self.host = host.lower()
        self.nouns = nouns
        self.headers = {**_HEADERS, "Content-Security-Policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do so."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is None:
            await self.app(scope, receive, send_guarded)
        else:
            status, reason = refusal
            await JSONResponse({"error": reason}, status_code=status)(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not is_own_host(host, self.host):
            return 403, f"this server does not go by the name {host!r}: open it by its address"
        if method in _READING:
            return None
        if headers.get("origin") != f"http://{host}":
            return 403, "decisions are taken on this server's own page alone"
        if headers.get("content-type", "").partition(";")[0] != "application/json":
            return 415, "JSON is expected"
        length = headers.get("content-length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            return 413, f"at most {MOST_BYTES:,} bytes are taken at once: select fewer {self.nouns}"
        return None


def is_own_host(header: str, host: str) -> bool:
    """Tell whether a Host header names this server: by any address, as localhost, or by the name given to it.

    A name that resolves here by somebody else's doing is neither.
    """
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    if name in ("localhost", host):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


# The decisions of a log as the page needs them: what is in force on which item, and what has changed.


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


MOST_PICTURES = 200

_TYPES = {".css": "text/css", ".js": "text/javascript"}
_BODY = '<script type="module" src="static/curation.js"></script>'
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class Curation:
    """What the page is about: nothing in it knows what the items are.

    Attributes:
        overview: What `views.overview` says of the data set and its classes.
        items: The items, a class a group.
        pictures: Where their pictures come from.
        verdicts: The decisions on them.
        who: Whose decisions this server's pages take.
    """

    overview: dict[str, Any]
    items: Items
    pictures: Pictures
    verdicts: Verdicts
    who: str


class Verdict(BaseModel):
    """What a page sends: one verdict on some items, their ids as text, since JavaScript's numbers hold 53 bits."""

    ids: list[str] = Field(min_length=1)
    verdict: str
    reason: str = ""


def open_curation(exhibit: Exhibit, who: str) -> Curation:
    """Put an audit and the decisions beside it together for their curation page.

    Raises:
        SketchDataError: The log of decisions cannot be read, or nobody is named.
    """
    Decision(who=who, key_id=0, verdict="keep")  # a name that no decision can bear is told now
    verdicts = Verdicts(exhibit.audit.directory / AUDIT_FOLDER / DECISIONS_FILE, exhibit.items)
    verdicts.since(0)
    return Curation(
        overview=views.overview(exhibit.audit, exhibit.items),
        items=exhibit.items,
        pictures=exhibit.pictures,
        verdicts=verdicts,
        who=who,
    )


def create_app(curation: Curation, host: str) -> FastAPI:
    """Return the application, to be served at the root of an address.

    Args:
        curation: What the page is about.
        host: The name or address that it is served on.
    """
    files, import_map = pages.read_assets(), pages.served_import_map("./static/")
    # FastAPI's own documentation pages load scripts from elsewhere.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for kind, refuse in _REFUSALS.items():
        app.add_exception_handler(kind, refuse)
    app.add_middleware(Guard, host=host, policy=_policy(import_map), nouns=curation.items.subject.nouns)
    title = f"Curation of {curation.overview['name']}"
    head = '<link rel="stylesheet" href="static/style.css">\n<link rel="icon" href="data:,">'
    index = pages.page(title=title, head=head, import_map=import_map, body=_BODY)

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(index)

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        # Looked up in what was read at the start, so that no name can lead to another file.
        if name not in files:
            raise HTTPException(404, f"there is no file {name!r}")
        return Response(files[name], media_type=_TYPES[Path(name).suffix])

    _add_reading(app, curation)
    _add_deciding(app, curation)
    return app


def _policy(import_map: str) -> str:
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    allowed = f"script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _refuse(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=500 if isinstance(error, OSError) else 422)


def _refuse_values(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": ["request"], "msg": str(error)}
    return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, status_code=422)


def _refuse_with_status(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": str(getattr(error, "detail", error))}, status_code=status)


_REFUSALS = {
    SketchDataError: _refuse,
    OSError: _refuse,
    RequestValidationError: _refuse_values,
    HTTPException: _refuse_with_status,
}


def _add_reading(app: FastAPI, curation: Curation) -> None:
    items = curation.items

    def group(label: int) -> slice:
        if not 0 <= label < len(items.offsets) - 1:
            raise HTTPException(404, f"there is no class {label}")
        return items.group(label)

    @app.get("/api/overview")
    def overview() -> JSONResponse:
        return JSONResponse(curation.overview)

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
        return JSONResponse(curation.pictures.read([int(items.row[rows.start + each]) for each in wanted]))


def _add_deciding(app: FastAPI, curation: Curation) -> None:
    @app.get("/api/decisions")
    def decisions(after: Annotated[int, Query(ge=0)] = 0) -> JSONResponse:
        try:
            found, offset = curation.verdicts.since(after)
        except SketchDataError as error:
            raise HTTPException(409, str(error)) from error
        return JSONResponse({"decisions": found, "offset": offset})

    @app.post("/api/decisions")
    def decide(verdict: Verdict) -> JSONResponse:
        ids = [parse_key_id(text) for text in verdict.ids]
        curation.verdicts.save(ids, who=curation.who, verdict=verdict.verdict, reason=verdict.reason)
        return JSONResponse({"saved": len(ids)})


def serve(
    directory: Path, exhibit: Callable[[Path], Exhibit], *, host: str, port: int, who: str, open_browser: bool
) -> None:
    """Serve the curation page until Ctrl-C.

    Args:
        directory: The audited data set.
        exhibit: Reads it.
        host: Address to listen on.
        port: 0 takes a free one.
        who: Whose decisions they are.
        open_browser: Show the page in a browser.

    Raises:
        ConfigError: The address cannot be had.
        SketchDataError: The data set, its audit or its decisions cannot be read.
    """
    with _listen(host, port) as listener:
        console.print(f"Reading {directory} …")
        app = create_app(open_curation(exhibit(directory), who), host)
        name, taken = listener.getsockname()[:2]
        address = f"http://{f'[{name}]' if ':' in name else name}:{taken}/"
        console.print(f"Curate as {who} at {address} (Ctrl-C ends)", soft_wrap=True, highlight=False)
        if host not in _LOOPBACK:
            console.print(f"Whoever reaches this machine can decide as {who}: there is no password")
        if open_browser:
            webbrowser.open(address)
        settings = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=2)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(settings).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}, port {port}: {error}; choose another --port or --host") from error
