"""What the page's server refuses before it looks at a request: other sites' pages must neither read nor write here.

A page of another site can make the browser send requests to the loopback interface. It cannot choose the Host header of
its own name's request (DNS rebinding: its name resolves to 127.0.0.1), nor the Origin header.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
