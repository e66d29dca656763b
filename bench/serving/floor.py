"""What reading a request and writing an answer cost here, with nothing in between.

    python bench/serving/floor.py [--seconds 5] [--connections 32]

A handler that parses nothing, knows no model and always answers the same bytes, on asyncio.Protocol
and uvloop on one core, with ``wrk`` on another. Its CPU time a request is what no HTTP server on
this event loop can go below, whatever its model; the time of the kernel is told apart. The result
is bench/serving/results/floor.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import sys
import tempfile
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path

import load
import machine

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "floor.json"
BODY = b'{"model_name":"bench","outputs":[{"name":"probabilities","shape":[1,2],"datatype":"FP64",'
BODY += b'"data":[0.25,0.75]}]}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
ANSWER = HEAD % len(BODY) + BODY
TICK = 1 / os.sysconf("SC_CLK_TCK")


def serve(listener: socket.socket, core: int, ready: Event) -> None:
    """Answer on one core until the process is ended."""
    import asyncio

    import uvloop

    class Constant(asyncio.Protocol):
        """Takes each read for one request, as wrk sends them one at a time."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, _: bytes) -> None:
            self.transport.write(ANSWER)  # type: ignore[attr-defined]  # of a stream

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Constant, sock=listener)
        ready.set()
        await server.serve_forever()

    os.sched_setaffinity(0, {core})
    uvloop.run(main())


def cpu_seconds(pid: int) -> tuple[float, float]:
    """User and system CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) * TICK, int(fields[12]) * TICK


def main() -> int:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=serve, args=(listener, cores[0], ready), daemon=True)
    process.start()
    ready.wait(20)
    row = [round(0.1234567 * (index + 1), 7) for index in range(30)]
    tensor = {"name": "input", "shape": [1, 30], "datatype": "FP64", "data": row}
    with tempfile.TemporaryDirectory(prefix="afterfit-floor-") as name:
        bodies = Path(name) / "bodies.jsonl"
        bodies.write_text(json.dumps({"inputs": [tensor]}) + "\n")
        wrk = load.Wrk(Path(name), cores[-1], 0)
        url = f"http://127.0.0.1:{port}/"
        wrk.run(url, bodies, arguments.connections, 1)
        before = cpu_seconds(process.pid or 0)
        seen = wrk.run(url, bodies, arguments.connections, arguments.seconds)
        user, system = (b - a for a, b in zip(before, cpu_seconds(process.pid or 0), strict=True))
    process.terminate()
    process.join(5)
    found = {
        "machine": machine.describe(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "connections": arguments.connections,
        "requests": seen.requests,
        "requests_per_second": round(seen.requests_per_second),
        "cpu_us_a_request": round(1e6 * (user + system) / seen.requests, 2),
        "of_that_in_the_kernel_us": round(1e6 * system / seen.requests, 2),
        "load_average_afterwards": machine.load_average(),
    }
    RESULT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
