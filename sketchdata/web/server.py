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
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import orjson
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

#: Of the body of a request: 60,000 ids and a reason.
MOST_BYTES = 2 << 20
MOST_PICTURES = 200

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware that answers 403, 413 or 415 to what the page itself would never send.

    A page of another site can make the browser send requests to the loopback interface, and must neither read nor write
    here. It cannot choose the Host header of its own name's request (DNS rebinding: its name resolves to 127.0.0.1),
    nor the Origin header.

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
        if method in ("GET", "HEAD"):
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

    A name that another site made resolve here is none of these.
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


class Verdicts:
    """The log of one data set's decisions on items, followed as it grows. Safe to use from threads."""

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
        """Return the state of the items with decisions after an offset, and the offset of the next call.

        Raises:
            SketchDataError: The log cannot be read, or has no such offset, as when it was replaced.
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
            # A log that was copied here may have decisions on items that the data set no longer has.
            if label >= 0:
                state: dict[str, Any] = {"id": str(id), "label": label, "verdict": None}
                if (own := standing.get(id)) is not None:
                    state |= {"verdict": own.verdict, "who": own.who, "reason": own.reason}
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
    """What a page sends: one verdict on some items, their ids as text, since JavaScript's numbers hold 53 bits."""

    ids: list[str] = Field(min_length=1)
    verdict: str
    reason: str = ""


def create_app(exhibit: Exhibit, who: str, host: str) -> FastAPI:
    """Return the curation page of an audit, an application to be served at the root of an address.

    Args:
        exhibit: The audit; the log of decisions lies beside it.
        who: The curator's name in the log.
        host: The name or address that it is served on.

    Raises:
        SketchDataError: The log of decisions cannot be read, or `who` cannot be written there.
    """
    Decision(who=who, key_id=0, verdict="keep")
    verdicts = Verdicts(exhibit.audit.directory / AUDIT_FOLDER / DECISIONS_FILE, exhibit.items)
    verdicts.since(0)
    data = views.overview(exhibit.audit, exhibit.items)
    files, import_map = pages.read_assets(), orjson.dumps({"imports": {"sketchdata/": "./static/"}}).decode()
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    # FastAPI's own documentation pages load scripts from elsewhere.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for kind in (SketchDataError, OSError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _refuse)
    app.add_middleware(Guard, host=host, policy=policy, nouns=exhibit.items.subject.nouns)
    index = pages.page(
        title=f"Curation of {data['name']}",
        head='<link rel="stylesheet" href="static/style.css">\n<link rel="icon" href="data:,">',
        import_map=import_map,
        body='<script type="module" src="static/curation.js"></script>',
    )

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(index)

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        # Looked up in what was read at the start, so that no name can lead to another file.
        if name not in files:
            raise HTTPException(404, f"there is no file {name!r}")
        return Response(files[name], media_type="text/css" if name.endswith(".css") else "text/javascript")

    @app.get("/api/overview")
    def overview() -> JSONResponse:
        return JSONResponse(data)

    _add_classes(app, exhibit)
    _add_decisions(app, verdicts, who)
    return app


def _refuse(_: Request, error: Exception) -> JSONResponse:
    status, text = 500 if isinstance(error, OSError) else 422, str(error)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        text = f"{first['loc'][-1]}: {first['msg']}"
    elif isinstance(error, HTTPException):
        status, text = error.status_code, str(error.detail)
    return JSONResponse({"error": text}, status_code=status)


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
        verdicts.save(ids, who=who, verdict=verdict.verdict, reason=verdict.reason)
        return JSONResponse({"saved": len(ids)})


def serve(
    directory: Path, exhibit: Callable[[Path], Exhibit], *, host: str, port: int, who: str, open_browser: bool
) -> None:
    """Serve the curation page of an audited data set, read by `exhibit`, until Ctrl-C; port 0 is any free one.

    Raises:
        ConfigError: The server cannot listen on the address.
        SketchDataError: The data set, its audit or its decisions cannot be read.
    """
    try:
        host.encode("idna")  # for which create_server would leave its socket open
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot listen on {host}, port {port}: {error}; choose another --port or --host") from error
    with listener:
        console.print(f"Reading {directory} …")
        app = create_app(exhibit(directory), who, host)
        name, taken = listener.getsockname()[:2]
        address = f"http://{f'[{name}]' if ':' in name else name}:{taken}/"
        console.print(f"Curate as {who} at {address} (Ctrl-C ends)", soft_wrap=True, highlight=False)
        if host not in ("127.0.0.1", "localhost", "::1"):
            console.print(f"Everyone who can reach this machine can decide as {who}: there is no password")
        if open_browser:
            webbrowser.open(address)
        settings = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=2)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(settings).run(sockets=[listener])
