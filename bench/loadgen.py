"""What the generator of load can do: requests/s, requests per CPU-second, and how late it is.

    python bench/loadgen.py [--seconds 4] [--rounds 3] [--locust PATH_OF_LOCUST]

A raw server of uvloop answers fixed bytes on one core; each generator has the other core, one
after the other, in rounds. wrk and hey are used where they are installed, Locust where its path is
given (bench/loadgen_peers/locust.txt says which). CPU time is that of the generator's own
processes, which is steadier than the wall clock on a shared machine. The result is written to
bench/results/loadgen.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httptools
import numpy as np

from afterfit.loadtest.arrivals import Closed, Poisson
from afterfit.loadtest.generator import Generator, Means
from afterfit.loadtest.shot import Shot
from afterfit.loadtest.target import target_of_bodies

HERE = Path(__file__).parent
RESULT = HERE / "results" / "loadgen.json"
sys.path.insert(0, str(HERE / "serving"))
import machine  # noqa: E402 - beside the benchmarks of serving

SERVER_CORE, CLIENT_CORE = 0, 1
CONNECTIONS = 32
RATES = (1_000, 10_000, 20_000, 30_000)
BODY = json.dumps({"rows": [{"age": 41.0, "income": 52_000.0, "city": "Lyon", "tenure": 7}]})
SERVER = """
import asyncio, uvloop
ANSWER = (b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 15\\r\\n\\r\\n"
          b'{"value": 1.25}')
class Fixed(asyncio.Protocol):
    def connection_made(self, transport):
        self.write = transport.write
    def data_received(self, data):
        self.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(Fixed, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
uvloop.run(main())
"""
WRK = f"""
wrk.method = "POST"
wrk.body = '{BODY}'
wrk.headers["Content-Type"] = "application/json"
"""


@contextmanager
def raw_server() -> Iterator[str]:
    """Yield the URL of a server that answers fixed bytes, on a core of its own."""
    command = [shutil.which("taskset") or "taskset", "-c", str(SERVER_CORE)]
    command += [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - asked for
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def ours(url: str, seconds: int) -> dict[str, dict[str, Any]]:
    """Return what our generator did, at each rate and in a closed loop."""
    target = target_of_bodies(url, "/predict", [BODY.encode()])
    means = Means(connections=CONNECTIONS, ahead=CONNECTIONS, cores=(CLIENT_CORE,))
    found: dict[str, dict[str, Any]] = {}
    with Generator(target, means) as generator:
        for rate in RATES:
            found[f"open {rate}/s"] = told(generator.fire(Poisson(rate), seconds, rate))
        found["closed"] = told(generator.fire(Closed(CONNECTIONS), seconds, 0))
    return found


def told(shot: Shot) -> dict[str, Any]:
    """Return the numbers of a run."""
    took = shot.seen["seconds"]
    lag = np.sort(shot.lag) * 1e3
    return {
        "requests_per_s": len(shot) / took,
        "requests_per_cpu_s": len(shot) / (shot.seen["generator_cpu"] * took),
        "lag_p50_ms": float(lag[len(lag) // 2]),
        "lag_p99_ms": float(lag[int(len(lag) * 0.99)]),
        "errors": int((~shot.good).sum()),
        "latency_p99_ms": float(np.quantile(shot.latency_ms, 0.99)),
    }


def peer(command: list[str], count: Callable[[str], int], **variables: str) -> dict[str, Any]:
    """Return what another generator did; its CPU time is that of its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    done = subprocess.run(
        [shutil.which("taskset") or "taskset", "-c", str(CLIENT_CORE), *command],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | variables,
    )
    took = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    requests = count(done.stdout + done.stderr)
    return {"requests_per_s": requests / took, "requests_per_cpu_s": requests / spent}


def peers(url: str, seconds: int, locust: str) -> dict[str, dict[str, Any]]:
    """Return what the others did, each in a closed loop of as many connections."""
    found = {}
    if shutil.which("wrk"):
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(WRK)
            script.flush()
            words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script.name, url]
            found["wrk"] = peer(words, lambda text: number(r"(\d+) requests in", text))
    if shutil.which("hey"):
        words = ["hey", "-z", f"{seconds}s", "-c", str(CONNECTIONS), "-m", "POST"]
        words += ["-T", "application/json", "-d", BODY, f"{url}/predict"]
        found["hey"] = peer(words, lambda text: number(r"\[200\]\s+(\d+) responses", text))
    if locust:
        words = [locust, "-f", str(HERE / "loadgen_peers" / "locustfile.py"), "--headless"]
        words += ["-u", str(CONNECTIONS), "-r", str(CONNECTIONS), "-t", f"{seconds}s"]
        words += ["-H", url, "--only-summary"]
        total = r"Aggregated\s+(\d+)"
        found["locust"] = peer(words, lambda text: number(total, text), BENCH_BODY=BODY)
    return found


def number(pattern: str, text: str) -> int:
    """Return the number that a pattern finds."""
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"no {pattern} in {text[-2000:]}")
    return int(match[1])


def parsing() -> dict[str, float]:
    """Return CPU time (us) of reading one answer: httptools, and a minimal parser of our own."""
    answer = (
        b"HTTP/1.1 200 OK\r\nserver: x\r\ndate: Thu, 26 Nov 2026 23:57:57 GMT\r\n"
        b"content-type: application/json\r\ncontent-length: 15\r\n\r\n" + b'{"value": 1.25}'
    )
    length = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
    close = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)

    class Parsed:
        def __init__(self) -> None:
            self.parser = httptools.HttpResponseParser(self)

        def on_body(self, body: bytes) -> None:
            self.body = body

        def on_message_complete(self) -> None:
            self.status = self.parser.get_status_code()
            self.keep = self.parser.should_keep_alive()

    def minimal(data: bytes) -> tuple[int, bytes]:
        end = data.find(b"\r\n\r\n")
        match = length.search(data, 0, end + 2)
        if match is None or int(match[1]) != len(data) - end - 4 or close.search(data, 0, end):
            raise ValueError(data)
        return int(data[9:12]), data[end + 4 :]

    found = {}
    for name, read in (("httptools", Parsed().parser.feed_data), ("minimal", minimal)):
        started = time.process_time()
        for _ in range(100_000):
            read(answer)
        found[name] = (time.process_time() - started) * 10
    return found


def medians(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the median of each number of each generator, with the least and the most."""
    found: dict[str, dict[str, Any]] = {}
    for name in rounds[0]:
        found[name] = {}
        for each in rounds[0][name]:
            values = sorted(float(part[name][each]) for part in rounds)
            middle = statistics.median(values)
            found[name][each] = {"median": middle, "low": values[0], "high": values[-1]}
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--locust", default="")
    asked = parser.parse_args()
    begun = machine.describe()
    with raw_server() as url:
        rounds = [
            ours(url, asked.seconds) | peers(url, asked.seconds, asked.locust)
            for _ in range(asked.rounds)
        ]
    found = medians(rounds)
    base = found["closed"]["requests_per_cpu_s"]["median"]
    ratios = {
        name: base / found[name]["requests_per_cpu_s"]["median"]
        for name in ("wrk", "hey", "locust")
        if name in found
    }
    result = {
        "arguments": {"seconds": asked.seconds, "rounds": asked.rounds, "connections": CONNECTIONS},
        "machine": begun | {"load_average_after": machine.load_average()},
        "results": found,
        "requests_per_cpu_s_of_ours_over": ratios,
        "parsing_us": parsing(),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    for name, each in found.items():
        lag = f"  lag p99 {each['lag_p99_ms']['median']:.3f} ms" if "lag_p99_ms" in each else ""
        print(
            f"{name:14} {each['requests_per_s']['median']:9.0f}/s  "
            f"{each['requests_per_cpu_s']['median']:9.0f} per CPU-s{lag}"
        )
    print("per CPU-second, ours over:", {name: round(each, 2) for name, each in ratios.items()})


if __name__ == "__main__":
    main()
