"""What is let through to the page's server: requests of the page itself, of a bounded size.

::

    request -> Host and Origin are this server's? -> body below the limit? -> the page's own routes

A page of another site can send requests to a server on this machine. It cannot choose their Host (DNS
rebinding would show there), nor hide its Origin.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Scope = dict[str, Any]

MOST_BYTES = 8_000_000  # of a body: a photo of a telephone
HEADERS = [
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """ASGI middleware that answers requests from elsewhere, and bodies that are too large, with 4xx.

    Parameters
    ----------
    app : ASGI application
    hosts : iterable of str
        The names, with port, under which this server may be addressed.
    most_bytes : int
        The largest body.
    """

    def __init__(self, app: Any, hosts: Iterable[str], most_bytes: int = MOST_BYTES) -> None:
        self.app = app
        self.hosts = frozenset(hosts)
        self.most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close"})
            else:
                await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        problem = self._problem(headers, _is_visit(scope, headers))
        if problem:
            await _answer(send, *problem)
            return
        body = await self._body(receive)
        if body is None:
            await _answer(send, 413, f"body: expected at most {self.most_bytes} bytes")
            return
        await self.app(scope, _whole(body, receive), _with_headers(send))

    def _problem(self, headers: dict[bytes, bytes], is_visit: bool) -> tuple[int, str] | None:
        """Return the status and the reason to refuse a request for its headers."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if host not in self.hosts:
            return 421, "Host: expected the address that this server was started with"
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() != f"http://{host}":
            return 403, "Origin: expected this page's own"
        if not is_visit and headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
            return 403, "Sec-Fetch-Site: expected a request of this page"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            return 400, "Content-Length: expected a number"
        if int(length) > self.most_bytes:
            return 413, f"body: expected at most {self.most_bytes} bytes"
        return None

    async def _body(self, receive: Any) -> bytes | None:
        """Return the whole body, or None as soon as it is too large, whatever its header said."""
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":  # the client has gone
                return b""
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.most_bytes:
                return None
            if not message.get("more_body"):
                return b"".join(parts)


def _is_visit(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Return whether a reader opens the page, perhaps by a link on another site; that site reads nothing."""
    kind = headers.get(b"sec-fetch-mode"), headers.get(b"sec-fetch-dest")
    return scope["method"] == "GET" and scope["path"] == "/" and kind == (b"navigate", b"document")


def _whole(body: bytes, receive: Any) -> Any:
    """Return a `receive` that gives a body which was read already, and then what comes."""
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Any) -> Any:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
        await send(message)

    return sending


async def _answer(send: Any, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
