"""The connections of one process, the requests that wait for one, and the log of what became."""

from __future__ import annotations

import asyncio
import errno
import math
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from afterfit.loadtest.engine.check import Checker
from afterfit.loadtest.engine.connection import Connection
from afterfit.loadtest.engine.frames import GIVEN_UP, RECORD, RIGHT

TOGETHER = 4096
"""So many ended requests travel to the parent at once."""
LOOK_S = 0.02
"""How often timeouts are looked for; it is by how much one may be late."""
FLUSH_S = 0.2
GONE_S = 5.0
"""A server that takes no connection for so long, and has none, is gone: the run is over."""
OWN = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.EADDRNOTAVAIL,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EACCES,
        errno.EPERM,
    }
)
"""What ails the generator and not the server."""


@dataclass(frozen=True)
class Plan:
    """Whom to ask and what, and what may be used for it."""

    host: str
    port: int
    server_name: str
    secure: bool
    timeout_s: float
    connections: int
    ahead: int


class Pool:
    """Sends requests on connections that stay open between runs.

    ``tell`` is given packed records; ``ended`` is called after each request with whether it was
    refused a connection, ``over`` where the server is gone.
    """

    def __init__(
        self,
        plan: Plan,
        requests: list[bytes],
        checker: Checker | None,
        tell: Callable[[bytes], None],
    ) -> None:
        self.plan = plan
        self.requests = requests
        self.checker = checker
        self.tell = tell
        self.start = 0.0
        self.offset, self.stride = 0, 1
        self.idle: deque[Connection] = deque()
        self.all: set[Connection] = set()
        self.waiting: deque[tuple[int, float, float]] = deque()
        self.opening: set[asyncio.Task[None]] = set()
        self.ended: Callable[[bool], None] = _nothing
        self.over: Callable[[str], None] = _gone
        self.first_error = self.own_error = ""
        self.own_errors = self.opened = 0
        self._context = ssl.create_default_context() if plan.secure else None
        self._buffer = bytearray(RECORD.size * TOGETHER)
        self._filled = 0
        self._flushed = self._reached = 0.0
        self._refusing = False

    def begin(self, start: float) -> None:
        """Forget the run before; times count from ``start`` (s, monotonic) on."""
        self.start = start
        self.first_error = self.own_error = ""
        self.own_errors = self.opened = 0
        self._reached = self._flushed = time.monotonic()
        if self.checker is not None:
            self.checker.unchecked = 0

    # Requests.

    def send(self, index: int, due: float, lag: float) -> None:
        """Send a request, or have it wait until a connection is free."""
        if self.idle:
            # In turn: connections belong to workers of the server, and each gets its share.
            number = (index * self.stride + self.offset) % len(self.requests)
            self.idle.popleft().ask(index, number, due, lag)
            return
        self.waiting.append((index, due, lag))
        self._open_if_wanted()

    def answered(self, on: Connection, status: int, body: bytes, *, keep: bool) -> None:
        """Take an answer, and give the connection to a request that waits."""
        now = time.monotonic() - self.start
        variant = RIGHT
        if status != 200:
            # Not its body, which may quote the row that was sent: this goes into records.
            self.first_error = self.first_error or f"answered with {status}"
        elif self.checker is not None:
            variant = self.checker.number(on.number, body)
        self._note(on.index, on.due, on.written, now, on.lag, status, variant)
        if keep:
            self._free(on)
        self.ended(False)

    def broken(self, on: Connection, why: str, status: int = 0) -> None:
        """Take note that a request has no answer."""
        if status == 0:
            self.first_error = self.first_error or why
        self._note(on.index, on.due, on.written, math.nan, on.lag, status, RIGHT)
        self.ended(False)

    def _drop_oldest(self, why: str, status: int = 0, *, refused: bool = False) -> None:
        """Give up the request that has waited longest."""
        index, due, lag = self.waiting.popleft()
        if status == 0:
            self.first_error = self.first_error or why
        self._note(index, due, math.nan, math.nan, lag, status, RIGHT)
        self.ended(refused)

    def give_up(self, *, waiting_only: bool) -> None:
        """End what has not ended, as a run that was cut short does."""
        while self.waiting:
            self._drop_oldest("", GIVEN_UP)
        for connection in () if waiting_only else list(self.all):
            if connection.busy:
                connection.busy = False
                connection.drop()
                self.broken(connection, "", GIVEN_UP)

    def look(self) -> None:
        """Give up what has waited too long, and tell the parent what has ended."""
        now = time.monotonic()
        oldest = now - self.start - self.plan.timeout_s
        late = f"no answer within {self.plan.timeout_s:g} s"
        for connection in list(self.all):
            if connection.busy and connection.due < oldest:
                connection.busy = False
                connection.drop()
                self.broken(connection, late)
        while self.waiting and self.waiting[0][1] < oldest:
            self._drop_oldest(f"{late}: no connection was free")
        if self.all:
            self._reached = now
        elif (self.waiting or self._refusing) and now - self._reached > GONE_S:
            self.over(f"the server is gone: no connection for {GONE_S:g} s")
        if now - self._flushed > FLUSH_S:
            self.flush()

    # Connections.

    async def open_ahead(self) -> str:
        """Open the connections that a run begins with; returns what was wrong with the last."""
        for _ in range(self.plan.ahead - len(self.all)):
            self._open()
        before = self.first_error
        self.first_error = ""
        if self.opening:
            await asyncio.wait(self.opening)
        error, self.first_error = self.first_error, before
        return error or self.own_error

    def lost(self, connection: Connection) -> None:
        """Forget a connection; where requests wait, another is opened."""
        self.all.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        self._open_if_wanted()

    def _open_if_wanted(self) -> None:
        """Open a connection where more requests wait than will get one, and it is allowed."""
        open_or_soon = len(self.all) + len(self.opening)
        if len(self.opening) < len(self.waiting) and open_or_soon < self.plan.connections:
            self._open()

    def _open(self) -> None:
        task = asyncio.get_running_loop().create_task(self._connect())
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    async def _connect(self) -> None:
        plan = self.plan
        connection = Connection(self)
        try:
            async with asyncio.timeout(plan.timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    plan.host,
                    plan.port,
                    ssl=self._context,
                    server_hostname=plan.server_name if plan.secure else None,
                )
        except (OSError, TimeoutError) as error:
            self._refused(error)
            return
        self.opened += 1
        if connection.gone:
            self._refused(ConnectionError("closed at once"))
            return
        self._refusing = False
        self.all.add(connection)
        self._free(connection)

    def _refused(self, error: Exception) -> None:
        why = f"no connection: {str(error) or 'no answer in time'}"
        self._refusing = True
        if isinstance(error, OSError) and error.errno in OWN:
            self.own_errors += 1
            self.own_error = self.own_error or str(error)
            # A connection that is open will take what waits.
            if self.all:
                return
        self.first_error = self.first_error or why
        if self.waiting:
            self._drop_oldest(why, refused=True)

    def _free(self, connection: Connection) -> None:
        if self.waiting:
            index, due, lag = self.waiting.popleft()
            number = (index * self.stride + self.offset) % len(self.requests)
            connection.ask(index, number, due, lag)
        else:
            self.idle.append(connection)

    # The log.

    def _note(
        self,
        index: int,
        due: float,
        written: float,
        answered: float,
        lag: float,
        status: int,
        variant: int,
    ) -> None:
        RECORD.pack_into(
            self._buffer, self._filled, index, due, written, answered, lag, status, variant
        )
        self._filled += RECORD.size
        if self._filled == len(self._buffer):
            self.flush()

    def flush(self) -> None:
        """Tell the parent what has ended since the last time."""
        self._flushed = time.monotonic()
        if self._filled:
            self.tell(bytes(memoryview(self._buffer)[: self._filled]))
            self._filled = 0


def _nothing(_refused: bool) -> None:  # noqa: FBT001 - a callback
    pass


def _gone(_why: str) -> None:
    pass
