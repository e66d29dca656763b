"""Whether a search finds the limit of a real server of known capacity, over sockets in real time.

    python bench/load_search_real.py [--runs 2]

The server answers each request a fixed time after a free one of its workers has taken it, first
come, first served, so its limit is that of M/D/c. It is computed from a long run in virtual time,
with the time that the way there and back takes on this machine taken off the objective. The result
is written to bench/results/load_search_real.json.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import multiprocessing
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.loadtest.arrivals import Poisson
from afterfit.loadtest.generator import Generator, Means
from afterfit.loadtest.search import SearchConfig, find_rate
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.steps import Runs
from afterfit.loadtest.target import target_of_bodies
from afterfit.loadtest.virtual import Service, VirtualServer
from afterfit.store.environment import current_environment

RESULT = Path(__file__).parent / "results" / "load_search_real.json"
WORKERS, SERVICE_MS = 4, 10.0
SLO = Slo(0.99, 50.0)
NEAR = 0.05
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Queue(asyncio.Protocol):
    """Answers when one of the workers would have, counted in time and not in timers."""

    free: list[float] = [0.0] * WORKERS

    def connection_made(self, transport: Any) -> None:
        """Keep where to write."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take one request for each head that came."""
        loop = asyncio.get_running_loop()
        for _ in range(data.count(b"POST ")):
            begun = max(loop.time(), heapq.heappop(Queue.free))
            done = begun + SERVICE_MS / 1e3
            heapq.heappush(Queue.free, done)
            loop.call_at(done, self.transport.write, ANSWER)


def serve(listener: socket.socket) -> None:
    """Serve until the process is ended."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Queue, sock=listener)
        await server.serve_forever()

    asyncio.run(run())


def truth(way_ms: float) -> float:
    """Return the greatest rate (requests/s) that keeps the objective, by a run of ten hours."""
    server = VirtualServer(Service(SERVICE_MS, "deterministic"), workers=WORKERS)
    low, high = 0.5, 1.0
    capacity = WORKERS / SERVICE_MS * 1e3
    for _ in range(12):
        middle = (low + high) / 2
        shot = server.fire(Poisson(capacity * middle), 36_000.0 / WORKERS, 1)
        kept = float(np.mean(shot.missed(SLO.limit_ms - way_ms))) <= SLO.allowed
        low, high = (middle, high) if kept else (low, middle)
    return capacity * low


def main() -> None:
    """Search the limit of a real server, and hold what is found against the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    process = multiprocessing.get_context("fork").Process(target=serve, args=(listener,))
    process.start()
    found = []
    before = os.getloadavg()
    try:
        target = target_of_bodies(url, "/", [b"{}"])
        with Generator(target, Means(connections=512), limit_ms=SLO.limit_ms) as generator:
            quiet = generator.fire(Poisson(20.0), 5.0, 0)
            way_ms = float(np.median(quiet.latency_ms)) - SERVICE_MS
            limit = truth(way_ms)
            for seed in range(parser.parse_args().runs):
                begun = time.monotonic()
                runs = Runs(generator, Poisson, SLO, seed=seed, budget_s=240.0)
                search = find_rate(runs, SearchConfig())
                metric = search.metric
                rate = None if metric is None else metric.value
                found.append(
                    {
                        "seed": seed,
                        "rate_rps": rate,
                        "low": None if metric is None else metric.low,
                        "high": None if metric is None else metric.high,
                        "of_truth": None if rate is None else rate / limit,
                        "within_5_percent": rate is not None and abs(rate / limit - 1) <= NEAR,
                        "ended": search.ended,
                        "invalid_runs": sum(s.verdict == "invalid" for s in runs.steps),
                        "runs": len(runs.steps),
                        "seconds": time.monotonic() - begun,
                    }
                )
                print(json.dumps(found[-1]), flush=True)
    finally:
        process.terminate()
        process.join()
    env = current_environment()
    result = {
        "machine": {"cpu": env.cpu, "cores": env.cores, "load_average": [*before]},
        "workers": WORKERS,
        "service_ms": SERVICE_MS,
        "objective": str(SLO),
        "way_ms": way_ms,
        "truth_rps": limit,
        "searches": found,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
