"""HTTP requests and responses, as handlers see them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from afterfit.core.event import new_id

__all__ = ["Handler", "HttpLimits", "Request", "Response", "json_response", "request_id"]

JSON = "application/json"
_ID_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes and seconds that one client may take, and how many clients there may be."""

    header_bytes: int = 32 << 10
    body_bytes: int = 16 << 20
    request_seconds: float = 20.0
    idle_seconds: float = 75.0
    write_seconds: float = 30.0
    connections: int = 2048


class Request:
    """One whole request; header names are lower-case; ``received`` is perf_counter seconds."""

    __slots__ = ("body", "headers", "id", "method", "path", "received")

    def __init__(self, method: str, path: str, headers: dict[bytes, bytes], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.received = time.perf_counter()
        self.id = request_id(headers.get(b"x-request-id", b""))


class Response(NamedTuple):
    """What a handler answers; ``headers`` are beside content type, length, date and request id."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Response | Awaitable[Response]]


def json_response(status: int, value: Any, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return a response of compact JSON; msgspec writes NaN and infinities as null."""
    return Response(status, msgspec.json.encode(value), JSON, headers)


def request_id(given: bytes) -> str:
    """Return the client's id with only letters, digits and ``-_.:``, cut at 128, or a new one."""
    kept = bytes(c for c in given[:128] if c in _ID_CHARACTERS)
    return kept.decode() if kept else new_id()
