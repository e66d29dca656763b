"""Serving side by side: one machine, one run, the server on one core and wrk on another.

Every server answers the same rows with the same model; each measurement starts the server anew,
checks its answers against ``predict_proba``, warms it up, and takes turns with the others.

    python bench/serving/run.py [--peers bare,fastapi,mlserver,triton] [--rounds 5] [--seconds 5]
    python bench/serving/run.py --all --docs

Run it with the interpreter that has Afterfit (.venv/bin/python after ``make setup``). The numbers
go to bench/serving/results/; ``--docs`` also puts the table into the page about it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import environment
import load
import machine
import numpy as np
import subject
from peers import CATALOGUE, HERE, Peer, Site, find
from process import BenchError, Server
from summary import BASE, caption, summarise, table

ROOT = Path(__file__).resolve().parent
PAGE = ROOT.parent.parent / "docs" / "explanation" / "serving-speed.md"
MARKS = ("<!-- table: begin -->", "<!-- table: end -->")
TOLERANCE = 1e-5
READY_LIMIT_S = 120.0


@dataclass(frozen=True)
class Plan:
    """How long, how often and where things run."""

    rounds: int
    seconds: float
    single_seconds: float
    warmup_seconds: float
    connections: int
    server_core: int
    wrk_core: int
    niceness: int


def main() -> int:
    """Run; 0 when every peer answered rightly and without an error, else 1, or 2 for usage."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        load.require_tools()
        return compare(arguments)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def compare(arguments: argparse.Namespace) -> int:
    """Prepare, measure in turns, and write what was seen."""
    peers, plan = _chosen(arguments), _plan(arguments)
    before = machine.describe()
    with tempfile.TemporaryDirectory(prefix="afterfit-serving-") as folder:
        print("making the model and shipping it ...", flush=True)
        model = subject.make(Path(folder))
        sites, versions = _sites(peers, model, Path(folder), arguments.cache)
        measurements, failures = take_turns(peers, sites, plan, Path(folder))
    summary = summarise(measurements)
    document = {
        "schema": 1,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**before, "load_average_after": machine.load_average()},
        "commit": machine.commit(ROOT),
        "plan": asdict(plan),
        "subject": model.description,
        "versions": versions,
        "summary": summary,
        "failures": failures,
        "measurements": measurements,
    }
    _write(document, {peer.name: peer.title for peer in peers}, arguments)
    return 1 if failures else 0


def take_turns(
    peers: list[Peer], sites: dict[str, Site], plan: Plan, folder: Path
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Measure A B C ... A B C ...; a peer that fails is told and left out from then on."""
    measurements: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    for number in range(1, plan.rounds + 1):
        for peer in peers:
            if peer.name in failures:
                continue
            try:
                one = measure(peer, sites[peer.name], plan, folder)
            except BenchError as error:
                failures[peer.name] = str(error)
                print(f"round {number}  {peer.name}: FAILED: {error}", file=sys.stderr, flush=True)
                continue
            measurements.append({"peer": peer.name, "round": number, **one})
            print(f"round {number}  {_told(peer.name, one)}", flush=True)
    return measurements, failures


def measure(peer: Peer, site: Site, plan: Plan, folder: Path) -> dict[str, Any]:
    """Start one server, check it, load it, and end it; raises BenchError where it fails."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}{peer.path}"
    rows = site.subject.rows
    bodies = load.write_bodies(site.folder / "bodies.jsonl", [peer.body(row) for row in rows])
    wrk = load.Wrk(folder, plan.wrk_core, plan.niceness)
    started = time.monotonic()
    launch = peer.launch(site, port)
    with Server(launch, plan.server_core, plan.niceness, site.folder / "server.log") as server:
        ready_s = _wait_until_ready(server, port, peer, bodies[0], started)
        _check_answers(peer, port, bodies, site.subject.expected)
        path = site.folder / "bodies.jsonl"
        wrk.run(url, path, plan.connections, plan.warmup_seconds)
        watched = _watched(server, wrk, url, path, plan)
        alone = wrk.run(url, path, 1, plan.single_seconds)
        return {
            **watched,
            "single_p50_us": alone.p50_us,
            "single_p99_us": alone.p99_us,
            "ready_s": round(ready_s, 2),
            "memory_mb": round(server.memory_mb(), 1),
            "load_average": machine.load_average(),
            "counters": _counters(port, peer.counters),
        }


def _watched(server: Server, wrk: load.Wrk, url: str, bodies: Path, plan: Plan) -> dict[str, Any]:
    """The load of many connections with what it took of the server's core."""
    cpu, busy, started = server.cpu_seconds(), machine.busy_seconds(plan.server_core), time.time()
    seen = wrk.run(url, bodies, plan.connections, plan.seconds)
    wall = time.time() - started
    spent = server.cpu_seconds() - cpu
    others = machine.busy_seconds(plan.server_core) - busy - spent
    return {
        "requests_per_second": round(seen.requests_per_second, 1),
        "p50_us": seen.p50_us,
        "p99_us": seen.p99_us,
        "requests": seen.requests,
        "cpu_us_per_request": round(spent / seen.requests * 1e6, 2),
        "server_core_share": round(spent / wall, 3),
        "others_core_share": round(max(0.0, others) / wall, 3),
        "wrk_core_share": round(seen.wrk_core_share, 3),
    }


def _wait_until_ready(server: Server, port: int, peer: Peer, body: bytes, started: float) -> float:
    """Seconds from the start to the first 200 for a real request."""
    why = "no answer"
    while time.monotonic() - started < READY_LIMIT_S:
        if server.ended():
            raise BenchError(f"the server ended by itself\n{server.last_words()}")
        try:
            status, answer = _request(port, "POST", peer.path, body)
        except (OSError, http.client.HTTPException) as error:
            why = str(error)
        else:
            if status == 200:
                return time.monotonic() - started
            why = f"{status} {answer[:300]!r}"
        time.sleep(0.02)
    raise BenchError(f"not ready in {READY_LIMIT_S:.0f} s: {why}\n{server.last_words()}")


def _check_answers(peer: Peer, port: int, bodies: list[bytes], expected: np.ndarray) -> None:
    answers = []
    for body in bodies:
        status, answer = _request(port, "POST", peer.path, body)
        if status != 200:
            raise BenchError(f"answered {status}: {answer[:300]!r}")
        answers.append(peer.probabilities(json.loads(answer)))
    wrong = subject.wrong_answers(np.array(answers), expected, TOLERANCE)
    if wrong:
        raise BenchError(
            f"{wrong} of {len(bodies)} answers differ from predict_proba by more than {TOLERANCE:g}"
        )


def _counters(port: int, path: str) -> dict[str, float]:
    """Rows and events as the server itself counts them, without labels."""
    if not path:
        return {}
    _, text = _request(port, "GET", path, None)
    lines = [line.split() for line in text.decode().splitlines() if not line.startswith("#")]
    kept = ("afterfit_events_", "afterfit_rows_total")
    return {line[0]: float(line[1]) for line in lines if line and line[0].startswith(kept)}


def _request(port: int, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _free_port() -> int:
    """A port that is free, as are the two after it, which MLServer takes as well."""
    for _ in range(100):
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                for more in (1, 2):
                    with socket.socket() as other:
                        other.bind(("127.0.0.1", port + more))
            except (OSError, OverflowError):
                continue
            return port
    raise BenchError("no three free ports in a row on 127.0.0.1")


def _sites(
    peers: list[Peer], model: subject.Subject, folder: Path, cache: Path
) -> tuple[dict[str, Site], dict[str, dict[str, str]]]:
    """A place to start each peer from, and the versions that it runs."""
    sites, versions = {}, {}
    here = environment.versions(None, ["scikit-learn"])["scikit-learn"]
    for peer in peers:
        requirements = HERE / peer.environment / "requirements.txt"
        made = environment.ensure(requirements, cache) if peer.environment else None
        versions[peer.name] = environment.versions(made, peer.packages)
        environment.require_equal("scikit-learn", versions[peer.name], here, requirements)
        own = folder / "peers" / peer.name
        own.mkdir(parents=True)
        sites[peer.name] = Site(made or Path(sys.prefix), own, model)
    return sites, versions


def _write(document: dict[str, Any], titles: dict[str, str], arguments: argparse.Namespace) -> None:
    shown = f"{table(document['summary'], titles)}\n\n{caption(document)}"
    print(f"\n{shown}\n")
    for name, why in document["failures"].items():
        print(f"failed: {name}: {why}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written to {arguments.out}")
    if arguments.docs:
        before, _, rest = PAGE.read_text().partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        PAGE.write_text(f"{before}{MARKS[0]}\n{shown}\n{MARKS[1]}{after}")


def _told(name: str, one: dict[str, Any]) -> str:
    return (
        f"{name:18} {one['requests_per_second']:8,.0f} requests/s  "
        f"{one['cpu_us_per_request']:7.1f} us CPU a request  "
        f"p50 at 1 connection {one['single_p50_us']:6.0f} us  "
        f"core {one['server_core_share']:4.0%} (others {one['others_core_share']:4.0%})  "
        f"load {one['load_average'][0]:.1f}"
    )


def _chosen(arguments: argparse.Namespace) -> list[Peer]:
    if arguments.all:
        return list(CATALOGUE)
    if not arguments.peers:
        return [peer for peer in CATALOGUE if peer.by_default]
    own = [peer.name for peer in CATALOGUE if peer.name.startswith(BASE)]
    return find([*own, *arguments.peers.split(",")])


def _plan(arguments: argparse.Namespace) -> Plan:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("two cores are needed, one for the server and one for wrk")
    return Plan(
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        single_seconds=max(1.0, arguments.seconds * 0.4),
        warmup_seconds=max(1.0, arguments.seconds * 0.4),
        connections=arguments.connections,
        server_core=cores[0],
        wrk_core=cores[1],
        niceness=arguments.nice,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(peer.name for peer in CATALOGUE if not peer.name.startswith(BASE))
    parser.add_argument("--peers", default="", help=f"comma-separated, beside Afterfit: {names}")
    parser.add_argument("--all", action="store_true", help="every peer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--nice", type=int, default=0, help="of servers and wrk, on a busy machine")
    parser.add_argument("--cache", type=Path, default=ROOT / ".venvs", help="environments of peers")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "serving.json")
    parser.add_argument("--docs", action="store_true", help=f"put the table into {PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
