"""What a change, a killed worker and a stop cost those who are asking meanwhile.

One command measures capacity, then offers 60 % of it in an open loop (``swapping/open_loop.py``):

* swap and roll-back, several times each: failed requests, and p99 from 1 s before to 1 s after the
  commit beside the steady p99 (one worker, on a core of its own);
* a shadow: p99 with and without one, in pairs;
* SIGKILL of one of two workers: failed requests beside those that it had in flight;
* SIGTERM: requests that were accepted and not answered.

    python bench/swap.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.runtime.bundles import write_bundle  # noqa: E402

from afterfit.core.bundle import GraphOutput, TensorInput, Variant  # noqa: E402 - as above
from afterfit.core.signature import Column, Signature  # noqa: E402
from afterfit.runtime.endpoint import ModelRoute  # noqa: E402
from afterfit.serve.config import ServeConfig  # noqa: E402
from afterfit.serve.run import (  # noqa: E402
    ServedBundle,
    ServerHandle,
    link_bundle,
    start_server,
)

COLUMNS = tuple(f"f{index}" for index in range(30))
SHARE = 0.6
WINDOW = 1.0
STEADY_SECONDS = 8.0
CLIENT_CORE = os.cpu_count() - 1 if (os.cpu_count() or 1) > 1 else None  # type: ignore[operator]
SERVER_CORE = 0 if CLIENT_CORE is not None else None


@dataclass
class Load:
    """What an open-loop client saw; times in seconds of the monotonic clock."""

    due: np.ndarray
    sent: np.ndarray
    done: np.ndarray
    status: np.ndarray
    version: np.ndarray
    port: np.ndarray
    idle_closed: list[float]
    unsent: int

    @property
    def failed(self) -> int:
        """Requests without a 200."""
        return int((self.status != 200).sum())

    def p99(self, start: float, stop: float) -> tuple[float, int]:
        """The 99th percentile in ms of what was due between two moments, and how many those are."""
        inside = (self.due >= start) & (self.due < stop)
        if not inside.any():
            return float("nan"), 0
        spent = self.done[inside] - self.due[inside]
        return 1000 * float(np.quantile(spent, 0.99)), int(inside.sum())


class Client:
    """A client in a process of its own, beside the bench."""

    def __init__(
        self, server: ServerHandle, seconds: float, rate: float = 0.0, **more: Any
    ) -> None:
        told = {
            "port": int(server.url.rsplit(":", 1)[1]),
            "path": "/v2/models/bench/infer",
            "bodies": BODIES,
            "rate": rate,
            "seconds": seconds,
            "core": CLIENT_CORE,
            **more,
        }
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "bench" / "swapping" / "open_loop.py"), json.dumps(told)],
            stdout=subprocess.PIPE,
        )
        self._out = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.started = time.monotonic()

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        self._out = self.process.stdout.read()

    def result(self) -> Load:
        """What it saw, when it has ended."""
        self._reader.join()
        self.process.wait()
        told = json.loads(self._out)
        names = ("due", "sent", "done", "status", "version", "port")
        arrays = {name: np.array(told[name]) for name in names}
        return Load(**arrays, idle_closed=told["idle_closed"], unsent=told["unsent"])


def _bodies() -> list[str]:
    rng = np.random.default_rng(1)
    return [
        json.dumps(
            {
                "inputs": [
                    {
                        "name": "input",
                        "datatype": "FP64",
                        "shape": [1, 30],
                        "data": rng.normal(size=30).round(4).tolist(),
                    }
                ]
            }
        )
        for _ in range(64)
    ]


BODIES = _bodies()


def make_bundles(folder: Path, count: int = 2) -> list[ServedBundle]:
    """Versions of GradientBoosting-200 on 30 floats, each with another seed."""
    from skl2onnx import to_onnx
    from sklearn.datasets import make_classification
    from sklearn.ensemble import GradientBoostingClassifier

    X, y = make_classification(3000, n_features=30, n_informative=12, random_state=0)
    signature = Signature(
        task="binary",
        columns=tuple(Column(name=name, kind="number") for name in COLUMNS),
        classes=(0, 1),
        positive=1,
    )
    variant = Variant(
        name="onnx",
        runtime="onnx",
        framework="onnx",
        file="model/model.onnx",
        inputs=(TensorInput(name="X", columns=COLUMNS, dtype="float32"),),
        output=GraphOutput(name="probabilities", form="matrix"),
    )
    frame = {name: X[:400, index] for index, name in enumerate(COLUMNS)}
    made = []
    for number in range(1, count + 1):
        model = GradientBoostingClassifier(n_estimators=200, random_state=number, subsample=0.9)
        model.fit(X, y)
        options = {id(model): {"zipmap": False}}
        graph = to_onnx(model, X[:1].astype(np.float32), options=options).SerializeToString()
        path = folder / f"bundle{number}"
        digest = write_bundle(path, signature, variant, graph, frame)
        made.append(ServedBundle(number, digest, path))
    return made


def started(bundles: Sequence[ServedBundle], folder: Path, workers: int) -> ServerHandle:
    """A server of version 1 with events, validation, metrics and batching on."""
    config = ServeConfig(port=0, workers=workers, events=str(folder / "events"), name="bench")
    server = start_server({"bench": bundles[0]}, config, folder / "state")
    for bundle in bundles:
        link_bundle(server.bundles, bundle.digest, bundle.folder)
    if workers == 1 and SERVER_CORE is not None:
        for worker in server.admin.status().workers:
            pin(worker.pid, SERVER_CORE)
    return server


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process on one core."""
    for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names are all there is to see
        os.sched_setaffinity(int(task), {core})


def capacity(server: ServerHandle) -> float:
    """Requests/s that 32 connections get through which always ask: the median of three runs."""
    runs = []
    for _ in range(3):
        load = Client(server, 3.0).result()
        inside = load.done[(load.done > load.done.min() + 0.5)]
        runs.append(len(inside) / (inside.max() - inside.min()))
    return statistics.median(runs)


def swaps(bundles: Sequence[ServedBundle], folder: Path, rounds: int) -> dict[str, Any]:
    """Swap to version 2 and back under load, several times."""
    with started(bundles, folder, 1) as server:
        limit = capacity(server)
        rate = SHARE * limit
        seconds = STEADY_SECONDS + rounds * 2 * 5.0
        client = Client(server, seconds + 1.0, rate, seed=1)
        time.sleep(STEADY_SECONDS + 1.0)
        moments = []
        for number in range(2 * rounds):
            bundle = bundles[(number + 1) % 2]
            begun = time.monotonic()
            server.replace("bench", bundle)
            moments.append((begun, time.monotonic(), bundle.version))
            time.sleep(max(0.0, 5.0 - (time.monotonic() - begun)))
        load = client.result()
    return {"capacity_rps": round(limit), "offered_rps": round(rate), **judged(load, moments)}


def judged(load: Load, moments: Sequence[tuple[float, float, int]]) -> dict[str, Any]:
    """The p99 of steady windows of the same length, and of each change."""
    first = load.due.min() + 1.0
    steady = [load.p99(at, at + 2 * WINDOW)[0] for at in np.arange(first, moments[0][0] - 2.5, 2.0)]
    base = statistics.median(steady)
    changes = []
    for begun, ended, number in moments:
        fresh = (load.version == number) & (load.done > begun)
        commit = float(load.done[fresh].min()) if fresh.any() else ended
        window, n = load.p99(commit - WINDOW, commit + WINDOW)
        whole, whole_n = load.p99(begun, ended + WINDOW)
        changes.append(
            {
                "to_version": number,
                "prepare_to_commit_s": round(ended - begun, 3),
                "p99_ms": round(window, 3),
                "ratio": round(window / base, 3),
                "n": n,
                "whole_p99_ms": round(whole, 3),
                "whole_n": whole_n,
            }
        )
    return {
        "requests": len(load.status),
        "failed": load.failed,
        "unsent": load.unsent,
        "steady_p99_ms": {"median": round(base, 3), "windows": [round(v, 3) for v in steady]},
        "changes": changes,
        "ratio_median": round(statistics.median(c["ratio"] for c in changes), 3),
        "ratio_worst": max(c["ratio"] for c in changes),
    }


def shadow(bundles: Sequence[ServedBundle], folder: Path, rounds: int) -> dict[str, Any]:
    """The p99 with and without a shadow, in pairs of 5 s in turn."""
    with started(bundles, folder, 1) as server:
        rate = SHARE * capacity(server)
        numbers = {bundle.digest: bundle.version for bundle in bundles}
        pairs = []
        for number in range(rounds):
            found = {}
            for shadows in ((), (bundles[1].digest,)) if number % 2 else ((bundles[1].digest,), ()):
                route = ModelRoute(primary=bundles[0].digest, versions=numbers, shadow=shadows)
                now = server.admin.get()
                server.admin.put(type(now)(name=now.name, generation=now.generation,
                                           models={"bench": route}))  # fmt: skip
                time.sleep(1.0)
                load = Client(server, 6.0, rate, seed=number).result()
                at = load.due.min() + 1.0
                spent = 1000 * (load.done - load.due)[load.due > at]
                found["with" if shadows else "without"] = {
                    "p50_ms": round(float(np.quantile(spent, 0.5)), 3),
                    "p99_ms": round(float(np.quantile(spent, 0.99)), 3),
                    "n": len(spent),
                    "failed": load.failed,
                }
                if shadows:
                    total = server.admin.status().models["bench"].pairs[0].total
                    found["copied_rows"] = total.rows
                    found["dropped_rows"] = total.dropped
            pairs.append(found)
    ratios = [pair["with"]["p99_ms"] / pair["without"]["p99_ms"] for pair in pairs]
    return {
        "offered_rps": round(rate),
        "pairs": pairs,
        "p99_ratio_median": round(statistics.median(ratios), 3),
        "p99_ratios": [round(ratio, 3) for ratio in ratios],
    }


def ports_of(pid: int) -> set[int]:
    """The clients' ports of the connections that a process holds."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:  # it was closed meanwhile
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    ports = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        parts = line.split()
        if parts[9] in inodes:
            ports.add(int(parts[2].rpartition(":")[2], 16))
    return ports


def killed(bundles: Sequence[ServedBundle], folder: Path, rounds: int) -> dict[str, Any]:
    """SIGKILL one of two workers under load."""
    found = []
    with started(bundles, folder, 2) as server:
        rate = SHARE * capacity(server)
        for number in range(rounds):
            client = Client(server, 7.0, rate, seed=number, connections=64)
            time.sleep(3.0)
            worker = server.admin.status().workers[0]
            ports = np.array(sorted(ports_of(worker.pid)))
            at = time.monotonic()
            os.kill(worker.pid, signal.SIGKILL)
            load = client.result()
            found.append(_losses(load, ports, at))
            wait(lambda: sum(w.ready for w in server.admin.status().workers) == 2)
    return {"offered_rps": round(rate), "rounds": found}


def _losses(load: Load, ports: np.ndarray, at: float) -> dict[str, Any]:
    its = np.isin(load.port, ports)
    failed = load.status != 200
    # The process ends a moment after the signal was sent: its first loss tells when.
    ended = float(load.done[failed].min()) if failed.any() else at
    in_flight = its & (load.sent <= ended) & (load.done >= ended)
    return {
        "requests": len(load.status),
        "failed": int(failed.sum()),
        "in_flight_of_the_worker": int(in_flight.sum()),
        "failed_elsewhere": int((failed & ~its).sum()),
        "sent_after_its_end": int((failed & its & (load.sent > ended)).sum()),
        "connections_of_the_worker": len(ports),
        "idle_connections_closed": len(load.idle_closed),
        "without_an_answer_within_s": round(float((load.done - load.due).max()), 3),
    }


def stopped(bundles: Sequence[ServedBundle], folder: Path, rounds: int) -> dict[str, Any]:
    """SIGTERM under load: whatever was accepted is answered."""
    found = []
    for number in range(rounds):
        with started(bundles, folder / str(number), 2) as server:
            rate = SHARE * capacity(server) if not found else found[0]["offered_rps"]
            client = Client(server, 4.0, rate, seed=number, connections=64)
            time.sleep(2.0)
            begun = time.monotonic()
            code = server.stop()
            spent = time.monotonic() - begun
            load = client.result()
        accepted = load.sent > 0
        lost = accepted & (load.status != 200)
        found.append(
            {
                "offered_rps": round(rate),
                "answered": int((load.status == 200).sum()),
                "lost": int(lost.sum()),
                "exit_code": code,
                "stopped_in_s": round(spent, 3),
                "idle_connections_closed": len(load.idle_closed),
            }
        )
    return {"rounds": found, "lost": sum(one["lost"] for one in found)}


def wait(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until the condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise SystemExit("it never happened")
        time.sleep(0.05)


def main() -> None:
    """Measure, print, and write bench/results/swap.json."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    wanted = sys.argv[2:] or ["swaps", "shadow", "killed", "stopped"]
    steps = {"swaps": swaps, "shadow": shadow, "killed": killed, "stopped": stopped}
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bundles = make_bundles(folder)
        for name in wanted:
            results[name] = steps[name](bundles, folder / name, rounds)
            print(json.dumps({name: results[name]}, indent=1), flush=True)
    path = ROOT / "bench" / "results" / "swap.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """What the numbers belong to."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "packages": {name: version(name) for name in ("httptools", "uvloop", "onnxruntime")},
        "client_core": CLIENT_CORE,
        "server_core": SERVER_CORE,
    }


if __name__ == "__main__":
    main()
