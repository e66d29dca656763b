"""A closed loop: each user sends the next request when the last one is answered.

A closed loop slows down with the server, so it hides stalls: its percentiles are those of a quiet
service, not those of a busy one. It is bounded in time and count and ends by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from afterfit.errors import UnavailableError, UsageError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_STATUS_OK = 200


@dataclass
class Samples:
    """What the loop saw: a latency in ms for each answer, ``errors`` that were not 200.

    ``broken`` counts the errors without any answer: connections that failed.
    """

    latencies_ms: list[float] = field(default_factory=list)
    errors: int = 0
    broken: int = 0
    first_error: str = ""
    duration_s: float = 0.0


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

    Works inside a running event loop, too. Raises UsageError for a server that is not on this
    machine and UnavailableError where nothing answers.
    """
    parts = urlsplit(url)
    if parts.hostname not in LOOPBACK:
        raise UsageError(
            "a load test goes to this machine only", where=url, why="it could harm others"
        )
    loop = _Loop(parts.hostname or "", parts.port or 80, parts.path, bodies, timeout_s)
    # A thread of its own: a notebook's thread has a running event loop already.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, loop.run(users, seconds, requests, warmup)).result()


class _Loop:
    def __init__(
        self, host: str, port: int, path: str, bodies: Sequence[bytes], timeout_s: float
    ) -> None:
        self.host, self.port, self.timeout_s = host, port, timeout_s
        head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        self.requests = [
            f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies
        ]
        self.sent = 0

    async def run(self, users: int, seconds: float, requests: int, warmup: int) -> Samples:
        """Warm up, then let every user loop until time or count is over."""
        await self._user(Samples(), time.perf_counter() + seconds, warmup)
        samples = Samples()
        self.sent = 0
        started = time.perf_counter()
        deadline = started + seconds
        await asyncio.gather(*(self._user(samples, deadline, requests) for _ in range(users)))
        samples.duration_s = time.perf_counter() - started
        return samples

    async def _user(self, samples: Samples, deadline: float, limit: int) -> None:
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port)
        except OSError as error:
            raise UnavailableError(
                "no server answers", where=f"{self.host}:{self.port}", why=str(error)
            ) from None
        try:
            while self.sent < limit and time.perf_counter() < deadline:
                request = self.requests[self.sent % len(self.requests)]
                self.sent += 1
                await self._one(reader, writer, request, samples)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            samples.errors += 1
            samples.broken += 1
            samples.first_error = samples.first_error or f"{type(error).__name__}: {error}"
        finally:
            writer.close()

    async def _one(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: bytes,
        samples: Samples,
    ) -> None:
        started = time.perf_counter()
        writer.write(request)
        async with asyncio.timeout(self.timeout_s):
            status, body = await _read_response(reader)
        samples.latencies_ms.append((time.perf_counter() - started) * 1000.0)
        if status != _STATUS_OK:
            samples.errors += 1
            samples.first_error = samples.first_error or f"{status}: {body[:200]!r}"


async def _read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, await reader.readexactly(length)
