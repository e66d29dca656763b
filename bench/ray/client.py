"""Asks one server over and over: CONNECTIONS kept connections, each with one request at a time.

Prints requests, seconds, p50 and p99 in µs, and its own CPU seconds as JSON; any answer but a whole
200 ends it with code 1. Run by run.py on a core of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path


class Asker(asyncio.Protocol):
    """One connection; the next request goes when the answer is whole."""

    def __init__(self, message: bytes, spent: list[int]) -> None:
        self.message = message
        self.spent = spent
        self.got = b""
        self.whole = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        """Send the request."""
        self.sent = time.perf_counter_ns()
        self.transport.write(self.message)

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and ask again."""
        self.got += data
        if not self.whole:
            head, found, _ = self.got.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"not a 200: {head[:200]!r}")
            length = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
            self.whole = len(head) + 4 + int(length)
        if len(self.got) >= self.whole:
            self.spent.append(time.perf_counter_ns() - self.sent)
            self.got, self.whole = b"", 0
            self.ask()


async def load(port: int, message: bytes, connections: int, seconds: float) -> list[int]:
    """Nanoseconds of each answered request."""
    loop, spent = asyncio.get_running_loop(), list[int]()
    made = [
        await loop.create_connection(lambda: Asker(message, spent), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    for transport, _ in made:
        transport.abort()
    return spent


def main() -> None:
    """Load and print what was seen."""
    port, connections, seconds, body = sys.argv[1:5]
    data = Path(body).read_bytes()
    head = "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    message = f"{head}content-length: {len(data)}\r\n\r\n".encode() + data
    began, cpu = time.perf_counter(), time.process_time()
    spent = sorted(asyncio.run(load(int(port), message, int(connections), float(seconds))))
    told = {
        "requests": len(spent),
        "seconds": time.perf_counter() - began,
        "p50_us": spent[len(spent) // 2] / 1000,
        "p99_us": spent[len(spent) * 99 // 100] / 1000,
        "client_cpu_s": time.process_time() - cpu,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
