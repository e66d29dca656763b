"""An HTTP/1.1 server on asyncio protocols and the httptools parser: what serving needs, no more.

One client is one ``Connection``. Requests that arrive together are answered in order. Limits hold
before memory is spent: header and body bytes, seconds, connections. What a handler raises becomes
a 500 without its text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate

from afterfit.runtime.away import Away
from afterfit.runtime.connection import Connection
from afterfit.runtime.heads import Head, HeadMemo
from afterfit.runtime.messages import Handler, HttpLimits, Reply, Request, Response, json_response

__all__ = ["HttpLimits", "Reply", "Request", "Response", "Server", "json_response"]

Observer = Callable[[int], None]


class Server:
    """Connections that share a handler and limits; made once a process.

    ``refused`` is called with the status of each answer that no handler saw (400, 408, 413, 429,
    431, 503), so that they are counted too. ``observe`` is called with each request and its answer,
    ``left`` with the number of connections after one of them has ended. ``away`` may refuse a
    request by its head alone, unobserved; it is asked from one 429 on until it refuses none.
    """

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits | None = None,
        refused: Observer = lambda _: None,
        observe: Callable[[Request, Response], None] | None = None,
        left: Observer = lambda _: None,
        away: Callable[[Head], Away | None] | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits or HttpLimits()
        self.refused = refused
        self.observe = observe
        self.left = left
        self.away = away
        self.hurried = False
        self.connections: set[Connection] = set()
        self.closing = False
        self.empty = asyncio.Event()
        self.heads = HeadMemo()
        self._date = (0, "")
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    def connection(self) -> Connection:
        """Return a new protocol object: the factory of a connection."""
        return Connection(self)

    def date(self) -> str:
        """Return the Date header line, made anew each second."""
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, f"date: {formatdate(now, usegmt=True)}\r\n")
        return self._date[1]

    async def close(self, grace_seconds: float = 25.0) -> int:
        """Finish what is in flight, close what is idle; return how many had to be cut off."""
        self.closing = True
        for connection in list(self.connections):
            connection.close_when_idle()
        if self.connections:
            self.empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.empty.wait(), grace_seconds)
        left = list(self.connections)
        for connection in left:
            connection.abort()
        self._sweeper.cancel()
        return len(left)

    def forget(self, connection: Connection) -> None:
        """Take note that a connection is gone."""
        self.connections.discard(connection)
        self.left(len(self.connections))
        if not self.connections:
            self.empty.set()

    async def _sweep(self) -> None:
        # One timer for all connections costs less than one for each request.
        interval = min(1.0, self.limits.request_seconds / 4, self.limits.idle_seconds / 4)
        while True:
            await asyncio.sleep(interval)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.check_time(now)
