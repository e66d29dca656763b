"""What Ray costs: the same bundle behind Ray Serve and behind Afterfit's own server, in turns.

One replica or worker each, everything else by default. The server with all of its processes is on
one core, the client on another. Each round starts each server anew, A B C, A B C, …; ratios are of
one round to the plain server of the same round.

    AFTERFIT_RAY=.venv-ray/bin/python .venv/bin/python bench/ray/run.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "bench" / "serving")]

import machine  # noqa: E402
from tests.runtime.bundles import people_bundle  # noqa: E402

from afterfit.serve.config import ServeConfig  # noqa: E402 - after the path is set
from afterfit.serve.ray.environment import ray_python  # noqa: E402
from afterfit.serve.ray.leftover import marked  # noqa: E402
from afterfit.serve.ray.server import RayServer  # noqa: E402
from afterfit.serve.ray.settings import MARK  # noqa: E402
from afterfit.serve.ray.start import start_ray  # noqa: E402
from afterfit.serve.run import ServedBundle, ServerHandle, start_server  # noqa: E402

ROW = b'{"rows":[{"age":39.5,"hours":40,"job":"nurse"}]}'
SERVER_CORE, CLIENT_CORE = 0, 1
WARM_S, LOAD_S, IDLE_S = 2.0, 6.0, 10.0
TICK = os.sysconf("SC_CLK_TCK")
SUBJECTS = ("plain", "ray", "ray, both flags")
NUMBERS = ("cpu_us", "p50_us", "p99_us")


def started(
    subject: str, bundle: ServedBundle, folder: Path
) -> tuple[ServerHandle, Callable[[], list[int]]]:
    """A server, and what tells the ids of its processes."""
    config = ServeConfig(port=0, workers=1, events=str(folder / "events"))
    if subject == "plain":
        mark = f"plain-{os.getpid()}"
        os.environ[MARK] = mark
        server = start_server({"churn": bundle}, config, folder / "state")
        del os.environ[MARK]
        return server, lambda: marked(mark)
    fast = subject != "ray"
    on_ray: RayServer = start_ray({"churn": bundle}, config, folder / "state", fast=fast)
    return on_ray, lambda: marked(on_ray.mark)


def cpu_seconds(pids: list[int]) -> float:
    """CPU time of processes, user and system."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def memory_mib(pids: list[int]) -> dict[str, float]:
    """Proportional set size by the process's name: shared pages count once."""
    found: dict[str, float] = {}
    for pid in pids:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        script = next((w for w in words[1:] if w.endswith(".py")), words[0])
        name = words[0] if words[0].startswith("ray::") else Path(script).name
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        (pss,) = (line for line in rollup.splitlines() if line.startswith("Pss:"))
        found[name.strip()] = found.get(name.strip(), 0.0) + int(pss.split()[1]) / 1024
    return {name: round(value, 1) for name, value in sorted(found.items())}


def loaded(port: int, connections: int, seconds: float, body: Path) -> dict[str, Any]:
    """What the client saw."""
    command = ["taskset", "-c", str(CLIENT_CORE), sys.executable, str(HERE / "client.py")]
    command += [str(port), str(connections), str(seconds), str(body)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def measured(subject: str, bundle: ServedBundle, folder: Path) -> dict[str, Any]:
    """One server's numbers: at 1 and at 32 connections, at rest, and what it takes."""
    body = folder / "body.json"
    folder.mkdir(parents=True)
    body.write_bytes(ROW)
    began = time.monotonic()
    server, pids = started(subject, bundle, folder)
    found: dict[str, Any] = {"start_s": time.monotonic() - began}
    try:
        port = int(server.url.rsplit(":", 1)[1])
        loaded(port, 8, WARM_S, body)
        for connections in (1, 32):
            before = cpu_seconds(pids())
            seen = loaded(port, connections, LOAD_S, body)
            spent = cpu_seconds(pids()) - before
            seen["cpu_us"] = 1e6 * spent / seen["requests"]
            seen["rps"] = seen["requests"] / LOAD_S
            found[f"c{connections}"] = seen
        before = cpu_seconds(pids())
        time.sleep(IDLE_S)
        found["idle_cores"] = (cpu_seconds(pids()) - before) / IDLE_S
        found["memory_by_process_mib"] = memory_mib(pids())
        found["memory_mib"] = sum(found["memory_by_process_mib"].values())
        found["processes"] = len(pids())
    finally:
        server.stop()
    return found


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over rounds, their range, and the ratios to the plain server of each round."""
    found: dict[str, Any] = {}
    for subject in SUBJECTS:
        told: dict[str, Any] = {}
        for load in ("c1", "c32"):
            for name in (*NUMBERS, "rps"):
                values = [each[subject][load][name] for each in rounds]
                told[f"{load}_{name}"] = spread(values)
                if subject != "plain" and name in NUMBERS:
                    plain = [each["plain"][load][name] for each in rounds]
                    ratios = [mine / theirs for mine, theirs in zip(values, plain, strict=True)]
                    told[f"{load}_{name}_ratio"] = spread(ratios)
        for name in ("idle_cores", "memory_mib", "processes", "start_s"):
            told[name] = spread([each[subject][name] for each in rounds])
        found[subject] = told
    return found


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    told = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: float(f"{value:.4g}") for name, value in told.items()} | {"n": len(values)}


def table(found: dict[str, Any]) -> str:
    """The summary as Markdown: medians, and ratios with their range."""
    lines = [
        "| | Afterfit's server | Ray's own proxy | ratio | both flags | ratio |",
        "|---|---|---|---|---|---|",
    ]
    rows = [(f"{load}_{name}", f"{words}, {load[1:]} at a time")
            for load in ("c1", "c32")
            for name, words in (("cpu_us", "CPU a request, µs"), ("p50_us", "p50, µs"),
                                ("p99_us", "p99, µs"))]  # fmt: skip
    for key, words in rows:
        cells = [f"{found['plain'][key]['median']:,.0f}"]
        for subject in SUBJECTS[1:]:
            ratio = found[subject][f"{key}_ratio"]
            cells.append(f"{found[subject][key]['median']:,.0f}")
            cells.append(f"{ratio['median']:.3g} ({ratio['min']:.3g} to {ratio['max']:.3g})")
        lines.append(f"| {words} | {' | '.join(cells)} |")
    for key, words in (("idle_cores", "cores at rest"), ("memory_mib", "memory, MiB"),
                       ("processes", "processes"), ("start_s", "start, s")):  # fmt: skip
        plain, slow, fast = (f"{found[each][key]['median']:.3g}" for each in SUBJECTS)
        lines.append(f"| {words} | {plain} | {slow} | | {fast} | |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table and write bench/results/ray.json."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    os.sched_setaffinity(0, {SERVER_CORE})  # the servers are children, and inherit it
    seen = []
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # Ray's sockets need a short path
        base = Path(name)
        bundle = ServedBundle(1, people_bundle(base / "bundle"), base / "bundle")
        for number in range(rounds):
            told = {}
            for subject in SUBJECTS:
                told[subject] = measured(subject, bundle, base / f"{number} {subject}")
                print(number, subject, json.dumps(told[subject]), file=sys.stderr, flush=True)
            seen.append(told)
    found = summary(seen)
    print(table(found))
    command = [ray_python(), "-c", "import ray; print(ray.__version__)"]
    ray = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    about = {**machine.describe(), "python": platform.python_version(), "ray": ray}
    about["packages"] = {name: version(name) for name in ("httptools", "uvloop", "onnxruntime")}
    path = ROOT / "bench" / "results" / "ray.json"
    text = json.dumps({"machine": about, "summary": found, "rounds": seen}, indent=1)
    path.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
