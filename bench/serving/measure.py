"""One measurement: a server started anew, checked against the model, loaded, and ended."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import load
import machine
import numpy as np
import subject
from peers import Peer, Site
from process import BenchError, Server

TOLERANCE = 1e-5
READY_LIMIT_S = 120.0
PORTS = range(20_000, 32_000, 3)


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
    quiet: float
    attempts: int


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
        many = _undisturbed(plan, lambda: _watched(server, wrk, url, path, plan))
        single = replace(plan, connections=1, seconds=plan.single_seconds)
        alone = _undisturbed(plan, lambda: _watched(server, wrk, url, path, single))
        return {
            **many,
            **{f"single_{name}": alone[name] for name in ("p50_us", "p99_us", "disturbed_share")},
            "ready_s": round(ready_s, 2),
            "memory_mb": round(server.memory_mb(), 1),
            "load_average": machine.load_average(),
            "counters": _counters(port, peer.counters),
        }


def _undisturbed(plan: Plan, once: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The first measurement disturbed by no more than ``quiet``, or the least disturbed one.

    What decides is other work alone, never the number that was measured.
    """
    seen: list[dict[str, Any]] = []
    while len(seen) < plan.attempts:
        seen.append(once())
        if seen[-1]["disturbed_share"] <= plan.quiet:
            break
    return {**min(seen, key=lambda one: one["disturbed_share"]), "attempts": len(seen)}


def _watched(server: Server, wrk: load.Wrk, url: str, bodies: Path, plan: Plan) -> dict[str, Any]:
    """The load of many connections with what it took of both cores."""
    cores = (plan.server_core, plan.wrk_core)
    cpu, busy, started = server.cpu_seconds(), machine.busy_seconds(cores), time.time()
    seen = wrk.run(url, bodies, plan.connections, plan.seconds)
    wall = time.time() - started
    spent = server.cpu_seconds() - cpu
    busy = [after - before for before, after in zip(busy, machine.busy_seconds(cores), strict=True)]
    return {
        "requests_per_second": round(seen.requests_per_second, 1),
        "p50_us": seen.p50_us,
        "p99_us": seen.p99_us,
        "requests": seen.requests,
        "cpu_us_per_request": round(spent / seen.requests * 1e6, 2),
        "server_core_share": round(spent / wall, 3),
        "wrk_core_share": round(seen.wrk_cpu_s / wall, 3),
        "disturbed_share": round(disturbed(wall, busy, (spent, seen.wrk_cpu_s)), 3),
    }


def disturbed(wall: float, busy: Sequence[float], own: Sequence[float]) -> float:
    """The share of the server's core that other work took, from seconds of server's and wrk's core.

    Directly, and by holding up wrk: what the server's core idled while others ran on wrk's.
    """
    others = [max(0.0, all_of_it - mine) for all_of_it, mine in zip(busy, own, strict=True)]
    idle = max(0.0, wall - busy[0])
    return (others[0] + min(idle, others[1])) / wall


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
    """A port that is free, as are the two after it, which MLServer takes as well.

    They lie below those that the kernel gives to clients, which a busy machine uses up.
    """
    for _ in range(1000):
        port = secrets.choice(PORTS)
        if all(_is_free(port + more) for more in range(3)):
            return port
    raise BenchError("no three free ports in a row on 127.0.0.1")


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
