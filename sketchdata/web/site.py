"""A page that is served on the loopback interface: what may be asked of it, its files, and its address."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import socket
import webbrowser
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import orjson
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.web import pages

#: Of the body of a request: 60,000 ids and a reason, or a picture.
MOST_BYTES = 2 << 20

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
        remedy: What to do about a request that is too large, in a few words.
    """

    def __init__(self, app: ASGIApp, *, host: str, policy: str, remedy: str) -> None:
        self.app = app
        self.host = host.lower()
        self.remedy = remedy
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
            return 403, "this server answers its own page alone"
        if headers.get("content-type", "").partition(";")[0] != "application/json":
            return 415, "JSON is expected"
        length = headers.get("content-length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            return 413, f"at most {MOST_BYTES:,} bytes are taken at once: {self.remedy}"
        return None


def is_own_host(header: str, host: str) -> bool:
    """Return whether a Host header names this server: by any address, as localhost, or by the name given to it.

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


def make_site(*, title: str, module: str, styles: Sequence[str], host: str, remedy: str) -> FastAPI:
    """Return an application with one page at the root of an address; the caller adds what the page asks for.

    Args:
        title: Title of the page.
        module: The script that it starts with, such as `curation.js`.
        styles: Its style sheets.
        host: The name or address that it is served on.
        remedy: What to do about a request that is too large, in a few words.
    """
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
    app.add_middleware(Guard, host=host, policy=policy, remedy=remedy)
    links = "\n".join(f'<link rel="stylesheet" href="static/{name}">' for name in styles)
    index = pages.page(
        title=title,
        head=f'{links}\n<link rel="icon" href="data:,">',
        import_map=import_map,
        body=f'<script type="module" src="static/{module}"></script>',
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

    return app


def _refuse(_: Request, error: Exception) -> JSONResponse:
    status, text = 500 if isinstance(error, OSError) else 422, str(error)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        text = f"{first['loc'][-1]}: {first['msg']}"
    elif isinstance(error, HTTPException):
        status, text = error.status_code, str(error.detail)
    return JSONResponse({"error": text}, status_code=status)


def serve_site(
    make: Callable[[], FastAPI], *, host: str, port: int, announce: Callable[[str], None], open_browser: bool
) -> None:
    """Serve an application until Ctrl-C; port 0 is any free one.

    Args:
        make: Makes it, once the address is known to be free.
        host: Where to listen.
        port: Where to listen.
        announce: Is given the address when the application is ready.
        open_browser: Whether to show the page in a browser.

    Raises:
        ConfigError: The server cannot listen on the address.
    """
    try:
        host.encode("idna")  # for which create_server would leave its socket open
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot listen on {host}, port {port}: {error}; choose another --port or --host") from error
    with listener:
        app = make()
        name, taken = listener.getsockname()[:2]
        address = f"http://{f'[{name}]' if ':' in name else name}:{taken}/"
        announce(address)
        if open_browser:
            webbrowser.open(address)
        settings = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=2)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(settings).run(sockets=[listener])
