"""One kept connection: at most one request on it, and its answer read by httptools."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, Protocol

import httptools

MOST_BYTES = 64 << 20
"""The largest answer that is read."""
MOST_HEAD = 1 << 16
_LENGTH = re.compile(rb"\r\n(content-length|transfer-encoding):", re.IGNORECASE)
_FINAL = 200
CLOSED = "the connection was closed before the answer was complete"


class Owner(Protocol):
    """What connections belong to."""

    start: float
    requests: list[bytes]

    def answered(self, on: Connection, status: int, body: bytes, *, keep: bool) -> None:
        """Take the answer to the request on a connection."""
        ...

    def broken(self, on: Connection, why: str) -> None:
        """Take note that the request on a connection has no answer."""
        ...

    def lost(self, connection: Connection) -> None:
        """Take note that a connection is gone."""
        ...


class Connection(asyncio.Protocol):
    """A connection, and the request that is on it while ``busy``."""

    __slots__ = (
        "busy",
        "due",
        "ended",
        "gone",
        "head",
        "index",
        "keep",
        "lag",
        "number",
        "owner",
        "parser",
        "parts",
        "received",
        "status",
        "transport",
        "written",
    )

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.transport: Any = None
        self.busy = self.gone = self.keep = False
        self.status = 0
        self.index = self.number = 0
        self.due = self.written = self.lag = 0.0
        self.parser = httptools.HttpResponseParser(self)
        self._clear()

    def _clear(self) -> None:
        self.head = b""
        self.parts: list[bytes] = []
        self.received = 0
        self.ended = 0

    def ask(self, index: int, number: int, due: float, lag: float) -> None:
        """Send request ``number``, the ``index``-th of the run."""
        self.index, self.number, self.due, self.lag = index, number, due, lag
        self.busy = True
        self.written = time.monotonic() - self.owner.start
        self.transport.write(self.owner.requests[number])

    def drop(self) -> None:
        """Close it at once, whatever the other side does."""
        self.gone = True
        self.transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: Any) -> None:
        """Keep where to write."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer."""
        if self.gone:
            return
        if not self.busy:
            # Nobody asked: what comes next could be taken for the answer to another request.
            self.drop()
            return
        if not self.received:
            self.head = data
        self.received += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self.ended:
                self._fail(f"no HTTP: {error}: {self.head[:60]!r}")
                return
            self.ended += 1
        if self.ended:
            self._finish()
        elif self.received > (MOST_BYTES if self.parts else MOST_HEAD):
            self._fail("the answer is too large, or its header has no end")

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection, which some servers mean as the end of the answer."""
        self.gone = True
        if self.busy:
            whole = self.received and b"\r\n\r\n" in self.head and not _LENGTH.search(self.head)
            if whole and exc is None:
                self.busy = False
                status = self.parser.get_status_code()
                self.owner.answered(self, status, b"".join(self.parts), keep=False)
            else:
                self.busy = False
                self.owner.broken(self, f"{CLOSED}: {exc}" if exc else CLOSED)
        self.owner.lost(self)

    # What httptools calls.

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        if not self.ended:
            self.parts.append(body)

    def on_message_complete(self) -> None:
        """Count an answer that is complete; those of 1xx are no answers."""
        if self.ended:
            # Nobody asked for this one.
            self.ended += 1
            return
        self.status = self.parser.get_status_code()
        if self.status >= _FINAL:
            self.ended = 1
            # Asked here: afterwards the parser has forgotten.
            self.keep = self.parser.should_keep_alive()
        else:
            self.received, self.parts = 0, []

    def _finish(self) -> None:
        """Hand over the one answer; bytes behind it make the connection unfit for another."""
        status, keep = self.status, self.ended == 1 and self.keep
        body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        self.busy = False
        self._clear()
        if not keep:
            self.drop()
        self.owner.answered(self, status, body, keep=keep)

    def _fail(self, why: str) -> None:
        self.busy = False
        self.drop()
        self.owner.broken(self, why)
