"""A closed loop: each user sends the next request when the last one is answered.

A closed loop slows down with the server, so it hides stalls: its percentiles are those of a quiet
service, not those of a busy one. It is bounded in time and count and ends by itself: the last
request is given up ``timeout_s`` after the time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from afterfit.errors import UnavailableError, UsageError
from afterfit.loadtest.answer import BadAnswerError, read_answer

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_STATUS_OK = 200
_FAILED = (OSError, EOFError, TimeoutError, BadAnswerError)


@dataclass
class Samples:
    """What the loop saw: the latency in ms of each answer with status 200.

    ``errors`` counts the requests without such an answer, ``broken`` those of them without any
    (the connection failed, the time was over, or what came was no HTTP).
    """

    latencies_ms: list[float] = field(default_factory=list)
    errors: int = 0
    broken: int = 0
    first_error: str = ""
    duration_s: float = 0.0

    @property
    def requests(self) -> int:
        """The requests that were sent and have ended, well or not."""
        return len(self.latencies_ms) + self.errors

    def fail(self, what: str, *, broken: bool) -> None:
        """Count one request that had no answer with status 200."""
        self.errors += 1
        self.broken += broken
        self.first_error = self.first_error or what


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def drop(self) -> None:
        # Not close(): it would wait for a peer that has stopped reading.
        self.writer.transport.abort()


def run_closed_loop(
    url: str,
    bodies: Sequence[bytes],
    *,
    users: int,
    seconds: float,
    requests: int,
    warmup: int,
    timeout_s: float,
) -> Samples:
    """Return the latencies of POSTing ``bodies`` to ``url`` in turn, from loopback only.

    Ends within about ``2 * (seconds + timeout_s)``: once for the warm-up, once for the
    measurement. Works inside a running event loop, too. Raises UsageError for a server that is
    not on this machine and UnavailableError where nothing listens.
    """
    loop = _Loop(_checked(url), bodies, timeout_s)
    # A thread of its own: a notebook's thread has a running event loop already.
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, loop.run(users, seconds, requests, warmup))
        try:
            return running.result()
        finally:
            # Ctrl-C: the users stop after the request that they are waiting for.
            loop.stopped = True


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        fits = parts.scheme == "http" and (parts.port or 80) > 0
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(
            "a load test needs an http:// URL",
            where=url,
            fix="give a URL such as http://127.0.0.1:8080",
        )
    if parts.hostname not in LOOPBACK:
        raise UsageError(
            "a load test goes to this machine only",
            where=url,
            why="it could harm others",
            fix="serve the version here: afterfit serve NAME@champion",
        )
    return parts


class _Loop:
    def __init__(self, url: SplitResult, bodies: Sequence[bytes], timeout_s: float) -> None:
        self.host, self.port, self.timeout_s = url.hostname or "", url.port or 80, timeout_s
        path = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
        head = f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
        self.requests = [
            f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies
        ]
        self.sent = 0
        self.stopped = False

    async def run(self, users: int, seconds: float, requests: int, warmup: int) -> Samples:
        """Warm up, then let every user loop until time or count is over."""
        (await self._connect()).drop()
        await self._user(Samples(), time.perf_counter() + seconds, warmup)
        samples = Samples()
        self.sent = 0
        started = time.perf_counter()
        deadline = started + seconds
        await asyncio.gather(*(self._user(samples, deadline, requests) for _ in range(users)))
        samples.duration_s = time.perf_counter() - started
        return samples

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(self.timeout_s):
                return _Connection(*await asyncio.open_connection(self.host, self.port))
        except (OSError, TimeoutError) as error:
            raise UnavailableError(
                "no server answers",
                where=f"{self.host}:{self.port}",
                why=str(error) or f"no connection within {self.timeout_s:g} s",
                fix="afterfit serve NAME@champion   # and give the address that it prints",
            ) from None

    async def _user(self, samples: Samples, deadline: float, limit: int) -> None:
        """Send until time or count is over; a broken connection is opened anew."""
        connection: _Connection | None = None
        try:
            while not self.stopped and self.sent < limit and time.perf_counter() < deadline:
                request = self.requests[self.sent % len(self.requests)]
                self.sent += 1
                if connection is None:
                    connection = await self._connect()
                if not await self._one(connection, request, samples):
                    connection.drop()
                    connection = None
        except UnavailableError as error:
            # The server is gone: asking again at once would only count the same thing often.
            samples.fail(f"{error.message}: {error.why}", broken=True)
        finally:
            if connection is not None:
                connection.drop()

    async def _one(self, connection: _Connection, request: bytes, samples: Samples) -> bool:
        """Return whether the connection takes another request."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout_s):
                connection.writer.write(request)
                # A server may answer, and close, before it has read everything.
                with contextlib.suppress(ConnectionError):
                    await connection.writer.drain()
                answer = await read_answer(connection.reader)
        except _FAILED as error:
            samples.fail(_told(error, self.timeout_s), broken=True)
            return False
        if answer.status == _STATUS_OK:
            samples.latencies_ms.append((time.perf_counter() - started) * 1000.0)
        else:
            samples.fail(f"{answer.status}: {answer.body[:200]!r}", broken=False)
        return answer.keep


def _told(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, EOFError):
        return "the connection was closed before the answer was complete"
    return f"{type(error).__name__}: {error}"
