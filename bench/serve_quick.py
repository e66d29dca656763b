"""What serving costs: one row through /predict and infer, beside the bare HTTP handler.

One kept connection, one request at a time, so the numbers are latencies and not capacity. The
bare handler is the same HTTP layer in the same kind of process, answering fixed bytes.

    python bench/serve_quick.py [REQUESTS]
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.runtime.bundles import people_bundle  # noqa: E402

from afterfit.serve.config import ServeConfig  # noqa: E402 - after the path is set
from afterfit.serve.run import ServedBundle, start_server  # noqa: E402

ROW = b'{"rows":[{"age":39.5,"hours":40,"job":"nurse"}]}'
INFER = (
    b'{"inputs":[{"name":"age","datatype":"FP64","shape":[1],"data":[39.5]},'
    b'{"name":"hours","datatype":"INT64","shape":[1],"data":[40]},'
    b'{"name":"job","datatype":"BYTES","shape":[1],"data":["nurse"]}]}'
)
BARE = """
import asyncio, sys
from afterfit.runtime.http import Response, Server
from afterfit.runtime.worker import run_loop

async def main():
    answer = Response(200, b'{"label":"no","probabilities":{"no":0.5,"yes":0.5}}')
    server = Server(lambda request: answer)
    listener = await asyncio.get_running_loop().create_server(server.connection, "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

run_loop(main())
"""


def latencies(port: int, path: str, body: bytes, requests: int) -> np.ndarray:
    """Microseconds of each request on one kept connection, from send to the whole answer."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    message = head + body
    spent = np.empty(requests)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(requests):
            started = time.perf_counter_ns()
            connection.sendall(message)
            answer = connection.recv(65536)
            spent[number] = (time.perf_counter_ns() - started) / 1000
            if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(b"}"):
                raise SystemExit(f"not a whole 200: {answer[:200]!r}")
    return spent[requests // 10 :]


def summary(spent: np.ndarray) -> dict[str, Any]:
    """Quantiles in microseconds; the interval of the median is the order-statistics one, 95 %."""
    ordered = np.sort(spent)
    n = len(ordered)
    half = 1.96 * np.sqrt(n) / 2
    low, high = ordered[int(n / 2 - half)], ordered[int(n / 2 + half)]
    p50, p90, p99 = np.quantile(ordered, [0.5, 0.9, 0.99])
    numbers = {"p50_us": p50, "p50_low_us": low, "p50_high_us": high, "p90_us": p90, "p99_us": p99}
    return {"n": n, **{name: round(float(value), 1) for name, value in numbers.items()}}


def measure(requests: int) -> dict[str, Any]:
    """The summaries of the bare handler and of the two routes, without and with events."""
    results = {}
    with subprocess.Popen(
        [sys.executable, "-c", BARE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ) as bare:
        assert bare.stdout is not None  # noqa: S101 - it is a pipe
        assert bare.stdin is not None  # noqa: S101 - as above
        results["bare"] = summary(latencies(int(bare.stdout.readline()), "/", ROW, requests))
        bare.stdin.close()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        bundle = ServedBundle(1, people_bundle(base / "bundle"), base / "bundle")
        for name, events in (("no events", ""), ("events", str(base / "events"))):
            config = ServeConfig(port=0, events=events)
            with start_server({"churn": bundle}, config, base / f"state {name}") as server:
                port = int(server.url.rsplit(":", 1)[1])
                for path, body in (("/predict", ROW), ("/v2/models/churn/infer", INFER)):
                    spent = latencies(port, path, body, requests)
                    results[f"{path}, {name}"] = summary(spent)
    return results


def main() -> None:
    """Measure, print a table and write bench/results/serve_quick.json."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    results = measure(requests)
    for name, one in results.items():
        median = f"{one['p50_us']:7.0f} us ({one['p50_low_us']:.0f} to {one['p50_high_us']:.0f})"
        print(f"{name:38} p50 {median}  p99 {one['p99_us']:7.0f} us  n = {one['n']}")
    machine = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "packages": {name: version(name) for name in ("httptools", "uvloop", "onnxruntime")},
    }
    path = ROOT / "bench" / "results" / "serve_quick.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
