"""HTTP requests and responses, as handlers see them."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, NamedTuple, Protocol

import msgspec

__all__ = [
    "Handler",
    "HttpLimits",
    "Reply",
    "Request",
    "Response",
    "json_response",
    "request_id",
]

JSON = "application/json"
_ID_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")
_numbers = count()


class _Own:
    """64 random bits of this process; a fork draws its own."""

    prefix = ""

    @classmethod
    def draw(cls) -> None:
        """Draw them anew."""
        cls.prefix = os.urandom(8).hex() + "-"


_Own.draw()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Own.draw)


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes and seconds that one client may take, and how many clients there may be."""

    header_bytes: int = 32 << 10
    body_bytes: int = 16 << 20
    request_seconds: float = 20.0
    idle_seconds: float = 75.0
    write_seconds: float = 30.0
    connections: int = 2048


class Grant(Protocol):
    """The key that let a request in."""

    id: str
    name: str

    def charge(self, rows: int, now: float) -> None:
        """Take the rows of the request from what the key may use."""
        ...


class Request:
    """One whole request; header names are lower-case; ``received`` is perf_counter seconds."""

    __slots__ = ("_id", "body", "grant", "headers", "method", "path", "query", "received")

    def __init__(
        self, method: str, path: str, headers: dict[bytes, bytes], body: bytes, query: str = ""
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.received = time.perf_counter()
        self.grant: Grant | None = None
        self._id = ""

    @property
    def id(self) -> str:
        """The client's id, or one that no other request of any worker has."""
        if not self._id:
            self._id = request_id(self.headers.get(b"x-request-id", b""))
        return self._id


class Response(NamedTuple):
    """What a handler answers; ``headers`` are beside content type, length, date and request id."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Reply:
    """A response that comes later; ``set`` it once.

    ``abandoned`` tells that the client is gone, so that nobody needs to work for it any more.
    Cheaper than a future: whoever waits is called at once, not by a later turn of the loop.
    """

    __slots__ = ("abandoned", "notify", "response")

    def __init__(self) -> None:
        self.response: Response | None = None
        self.notify: Callable[[], None] | None = None
        self.abandoned = False

    def set(self, response: Response) -> None:
        """Give the response to whoever waits."""
        self.response = response
        if self.notify is not None:
            self.notify()

    def abandon(self) -> None:
        """Take note that nobody waits any more."""
        self.notify = None
        self.abandoned = True


Handler = Callable[[Request], Response | Reply | Awaitable[Response]]


def json_response(status: int, value: Any, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return a response of compact JSON; msgspec writes NaN and infinities as null."""
    return Response(status, msgspec.json.encode(value), JSON, headers)


def request_id(given: bytes) -> str:
    """Return the client's id with only letters, digits and ``-_.:``, cut at 128, or a new one."""
    if given:
        kept = bytes(c for c in given[:128] if c in _ID_CHARACTERS)
        if kept:
            return kept.decode()
    return f"{_Own.prefix}{next(_numbers):x}"
