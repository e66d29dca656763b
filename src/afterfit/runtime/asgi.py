"""The server's handler as an ASGI 3 application, for an engine that brings an HTTP server along.

It answers as ``http.Server`` does: the same limits of the body, the same compression and headers.
Source: asgi.readthedocs.io, "HTTP & WebSocket ASGI message format" 2.5 and "Lifespan protocol" 2.0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from afterfit.runtime.compress import LEAST_BYTES, compressed, inflate
from afterfit.runtime.due import failed
from afterfit.runtime.messages import (
    Handler,
    HttpLimits,
    Reply,
    Request,
    Response,
    json_response,
)

__all__ = ["AsgiApp"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AsgiApp:
    """An ASGI application of a handler.

    ``refused`` is called with the status of each answer that no handler saw (400, 413, 415).
    """

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits | None = None,
        refused: Callable[[int], None] = lambda _: None,
        observe: Callable[[Request, Response], None] | None = None,
    ) -> None:
        self.handler = handler
        self.most = (limits or HttpLimits()).body_bytes
        self.refused = refused
        self.observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; of WebSockets none is taken."""
        kind = scope["type"]
        if kind == "http":
            await self._answer(scope, receive, send)
        elif kind == "lifespan":
            await _live(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _read(scope, receive, self.most)
        except _GoneError:
            return
        request = _request(scope, body or b"")
        too_large = (413, f"the body is larger than {self.most} bytes")
        refusal = too_large if body is None else inflate(request, self.most)
        if refusal is None:
            response = await self._call(request)
        else:
            self.refused(refusal[0])
            response = json_response(refusal[0], {"error": refusal[1]})
        if len(response.body) >= LEAST_BYTES:
            response = compressed(request, response)
        if self.observe is not None:
            self.observe(request, response)
        await _write(send, request, response)

    async def _call(self, request: Request) -> Response:
        try:
            result = self.handler(request)
            if isinstance(result, Response):
                return result
            if isinstance(result, Reply):
                return await _replied(result)
            return await result
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, the client gets a 500
            return failed(request, error)


class _GoneError(Exception):
    """The client went before its request was whole."""


async def _read(scope: Scope, receive: Receive, most: int) -> bytes | None:
    """Return the body of a request, or None for one of more than ``most`` bytes."""
    declared = dict(scope["headers"]).get(b"content-length", b"")
    if declared.isdigit() and int(declared[:20]) > most:
        return None
    pieces, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > most:
            return None
        more = message.get("more_body", False)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _replied(reply: Reply) -> Response:
    """Return what a reply is set to; one whose client is gone is abandoned."""
    if reply.response is None:
        there = asyncio.get_running_loop().create_future()
        reply.notify = lambda: None if there.done() else there.set_result(None)
        try:
            await there
        except asyncio.CancelledError:
            reply.abandon()
            raise
    assert reply.response is not None  # noqa: S101 - it notifies when it is set
    return reply.response


def _request(scope: Scope, body: bytes) -> Request:
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.lower(), value)
    raw = scope.get("raw_path")
    path = raw.decode("ascii", "replace") if raw else quote(scope["path"])
    root = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    query = scope.get("query_string", b"").decode("ascii", "replace")
    return Request(scope["method"], path.partition("?")[0], headers, body, query)


async def _write(send: Send, request: Request, response: Response) -> None:
    status, body, content_type, extra = response
    told = (("content-type", content_type), *extra, ("x-request-id", request.id),
            ("content-length", str(len(body))))  # fmt: skip
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    shown = b"" if request.method == "HEAD" else body
    await send({"type": "http.response.body", "body": shown, "more_body": False})


async def _live(receive: Receive, send: Send) -> None:
    """Take part in starting and ending; the models are loaded before and closed after."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
