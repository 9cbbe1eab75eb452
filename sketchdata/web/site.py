"""A server of one page: its files, its address, and checks that requests come from the page."""

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

#: Limit of a request's body: enough for 60,000 ids and a reason, or a picture.
MOST_BYTES = 2 << 20

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware that answers 403, 413 or 415 to requests that the page itself never sends.

    A page of another site can make the browser send requests to the loopback interface; it must neither read nor write
    here. Such a page cannot change the Origin header, nor the Host header, which is the name of its site even if that
    name resolves to 127.0.0.1 (DNS rebinding).

    Args:
        app: The application.
        host: Name or address that the server listens on.
        policy: Content-Security-Policy of all answers.
        remedy: Advice in the error for a request that is too large.
    """

    def __init__(self, app: ASGIApp, *, host: str, policy: str, remedy: str) -> None:
        self.app = app
        self.host = host.lower()
        self.remedy = remedy
        self.headers = {**_HEADERS, "Content-Security-Policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it to the application."""
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
            return 403, f"this server has another name than {host!r}: open the page by its address"
        if method in ("GET", "HEAD"):
            return None
        if headers.get("origin") != f"http://{host}":
            return 403, "this server answers requests of its own page only"
        if headers.get("content-type", "").partition(";")[0] != "application/json":
            return 415, "expected JSON"
        length = headers.get("content-length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            return 413, f"a request has at most {MOST_BYTES:,} bytes: {self.remedy}"
        return None


def is_own_host(header: str, host: str) -> bool:
    """Return whether a Host header is an address, localhost, or `host`, and not the name of another site."""
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
    """Return an application with one page at the root of an address; the caller adds the routes that the page requests.

    Args:
        title: Title of the page.
        module: Its main script, such as `curation.js`.
        styles: Its style sheets.
        host: Name or address that the server listens on.
        remedy: Advice in the error for a request that is too large.
    """
    files, import_map = pages.read_assets(), orjson.dumps({"imports": {"sketchdata/": "./static/"}}).decode()
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    # FastAPI's documentation pages load scripts from other sites.
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
        # The files were read at the start, so that no name can give access to another file.
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
    """Serve an application until Ctrl-C; port 0 is any free port.

    Args:
        make: Makes the application; called after the port is bound.
        host: Name or address to listen on.
        port: Port to listen on.
        announce: Called with the address when the application is ready.
        open_browser: Whether to open the page in a browser.

    Raises:
        ConfigError: The server cannot listen on the address.
    """
    try:
        host.encode("idna")  # create_server leaves its socket open if this fails
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
