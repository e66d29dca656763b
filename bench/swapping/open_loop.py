"""An open-loop HTTP client: requests leave when they are due, whatever became of earlier ones.

A latency counts from the moment that a request was due, so a server that stands still is seen by
every request that should have been sent meanwhile. Without a rate each connection sends its next
request after its answer, which measures capacity.

    python open_loop.py '{"port": 8080, "path": "/", "body": "{}", "rate": 1e3, "seconds": 5}'

One JSON object comes out: arrays of one item a request, times in seconds of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import uvloop

SPIN_SECONDS = 0.01
VERSION = b'"model_version":"'


@dataclass
class Log:
    """What became of each request, and of each connection that ended without one."""

    due: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    version: list[int] = field(default_factory=list)
    port: list[int] = field(default_factory=list)
    idle_closed: list[float] = field(default_factory=list)
    refused_connections: int = 0

    def add(self, due: float, sent: float, status: int, version: int, port: int) -> None:
        """Note a request that has come to its end; status 0 is one without an answer."""
        self.due.append(due)
        self.sent.append(sent)
        self.done.append(time.monotonic())
        self.status.append(status)
        self.version.append(version)
        self.port.append(port)


class Connection(asyncio.Protocol):
    """One kept connection with at most one request on it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.transport: Any = None
        self.port = 0
        self.due = self.sent = 0.0
        self.busy = False
        self.closing = False
        self.data = b""

    def connection_made(self, transport: Any) -> None:
        """Be ready for the next request."""
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = sock.getsockname()[1]
        self.client.ready(self)

    def ask(self, due: float) -> None:
        """Send the next of the prepared requests."""
        self.due, self.sent, self.busy = due, time.monotonic(), True
        self.transport.write(self.client.request())

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer."""
        self.data += data
        head, gap, body = self.data.partition(b"\r\n\r\n")
        if not gap:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self.data = b""
        place = body.find(VERSION)
        version = int(body[place + len(VERSION) :].partition(b'"')[0]) if place >= 0 else 0
        self.busy = False
        self.client.log.add(self.due, self.sent, int(head[9:12]), version, self.port)
        if b"connection: close" in head.lower():
            self.closing = True
            self.transport.close()
        else:
            self.client.ready(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note a request that is lost with its connection, and open another."""
        if self.busy:
            self.client.log.add(self.due, self.sent, 0, 0, self.port)
        elif not self.closing:
            self.client.log.idle_closed.append(time.monotonic())
        self.client.lost(self)


class Client:
    """The connections, and the requests that wait for one."""

    def __init__(self, told: dict[str, Any]) -> None:
        bodies = told.get("bodies") or [told["body"]]
        head = f"POST {told['path']} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        self.requests = [
            f"{head}content-length: {len(body.encode())}\r\n\r\n{body}".encode() for body in bodies
        ]
        self.port = int(told["port"])
        self.rate = float(told.get("rate") or 0.0)
        self.count = int(told.get("connections") or 32)
        self.log = Log()
        self.idle: deque[Connection] = deque()
        self.waiting: deque[float] = deque()
        self.turn = 0
        self.stopped = False
        self.tasks: set[asyncio.Task[None]] = set()

    def request(self) -> bytes:
        """Return the next request."""
        self.turn = (self.turn + 1) % len(self.requests)
        return self.requests[self.turn]

    def ready(self, connection: Connection) -> None:
        """Give a connection that is free what waits, or keep it."""
        if self.waiting:
            connection.ask(self.waiting.popleft())
        elif not self.rate and not self.stopped:
            connection.ask(time.monotonic())
        else:
            self.idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """Open another connection in its place."""
        if connection in self.idle:
            self.idle.remove(connection)
        if not self.stopped:
            task = asyncio.ensure_future(self.connect())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def connect(self) -> None:
        """Open one connection, trying again while nobody listens."""
        loop = asyncio.get_running_loop()
        while not self.stopped:
            try:
                await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.port)
            except OSError:
                self.log.refused_connections += 1
                await asyncio.sleep(0.02)
            else:
                return

    async def run(self, seconds: float, seed: int) -> Log:
        """Return the log after so many seconds, and after the last answers."""
        await asyncio.gather(*(self.connect() for _ in range(self.count)))
        until = time.monotonic() + seconds
        if self.rate:
            await self._send(until, random.Random(seed))  # noqa: S311 - moments, no secrets
        else:
            for connection in list(self.idle):
                self.idle.popleft()
                connection.ask(time.monotonic())
            await asyncio.sleep(seconds)
        self.stopped = True
        await asyncio.sleep(0.5)
        return self.log

    async def _send(self, until: float, chance: random.Random) -> None:
        """Send at random moments, so many a second on average, until ``until``."""
        due = time.monotonic()
        while due < until:
            now = time.monotonic()
            while due <= now:
                if self.idle:
                    self.idle.popleft().ask(due)
                else:
                    self.waiting.append(due)
                due += chance.expovariate(self.rate)
            # Timers have a resolution of 1 ms: for less than that it turns round and round.
            await asyncio.sleep(0.005 if due - time.monotonic() > SPIN_SECONDS else 0)


def main() -> None:
    """Run what the first argument tells, and print the log."""
    told = json.loads(sys.argv[1])
    if told.get("core") is not None:
        os.sched_setaffinity(0, {int(told["core"])})
    client = Client(told)
    log = uvloop.run(client.run(float(told["seconds"]), int(told.get("seed", 0))))
    unsent = len(client.waiting)
    json.dump({**log.__dict__, "unsent": unsent}, sys.stdout)


if __name__ == "__main__":
    main()
