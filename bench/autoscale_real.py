"""What the simulator of autoscalers foretells, beside a fleet that really answers and is scaled.

Replicas are places of a small server on loopback, each of which answers one request at a time by
sleeping for a fixed time, so that no core is needed to be busy. They are added and removed by the
policies themselves, driven by the very loop that the simulator uses (`simulate.run`), with a cold
start that is waited for; times of the controllers are a fraction of the usual. Requests leave when
they are due, from a process of their own, and their latency counts from then on.

    python bench/autoscale_real.py

Three traces, each run five times for real and simulated with the same moments of requests. The
result says by how much the foretold 99th percentile and share of late requests are off.
"""

from __future__ import annotations

import asyncio
import json
import platform
import random
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.loadtest.autoscale.policies import Hpa, Knative, Policy
from afterfit.loadtest.autoscale.queueing import Replica
from afterfit.loadtest.autoscale.simulate import Means, Requests, exact, run
from afterfit.loadtest.autoscale.view import Sample
from afterfit.loadtest.slo import Slo
from afterfit.stats.interval import t_interval

RESULT = Path(__file__).parent / "results" / "autoscale_real.json"
STEP_S = 0.1
SERVICE_S = 0.04
CONNECTIONS = 2048
"""More than ever wait: a client that waits for a free one would share out the replicas' queues."""
SLO = Slo(0.99, 250.0)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
REQUEST = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n"


class Place:
    """One replica: its free places, and what waits in its own queue."""

    def __init__(self, places: int) -> None:
        self.free = places
        self.waiting: deque[Callable[[], None]] = deque()


class RealFleet:
    """A server whose replicas sleep; `step` waits for the end of the step and counts."""

    def __init__(self, replica: Replica, seed: int, *, routing: str = "own") -> None:
        self.replica, self.routing = replica, routing
        self.chance = random.Random(seed)  # noqa: S311 - routing, no secret
        self.replicas: list[Place] = []
        self.held: deque[Callable[[], None]] = deque()
        self.arrived = self.answered = self.busy = self.inside = 0
        self.area_busy = self.area_inside = self.last = 0.0
        self.times: list[float] = []
        self.start = 0.0
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self.thread = threading.Thread(target=self._serve, daemon=True)
        ready = threading.Event()
        self.ready = ready
        self.thread.start()
        ready.wait(5)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(
            self.loop.create_server(lambda: Answering(self), "127.0.0.1", 0)
        )
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()
        server.close()
        self.loop.close()

    def stop(self) -> None:
        """End the server."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def _count(self, busy: int, inside: int) -> None:
        now = time.monotonic()
        self.area_busy += self.busy * (now - self.last)
        self.area_inside += self.inside * (now - self.last)
        self.last = now
        self.busy += busy
        self.inside += inside

    def take(self, respond: Callable[[], None]) -> None:
        """Let one request wait in the replica that chance chooses, or in the one line of all."""
        self.arrived += 1
        self._count(0, 1)
        if not self.replicas:
            self.held.append(respond)
            return
        if self.routing == "shared":
            free = next((each for each in self.replicas if each.free), None)
            if free is None:
                self.held.append(respond)
            else:
                self._begin(free, respond)
            return
        place = self.replicas[int(self.chance.random() * len(self.replicas))]
        self._begin(place, respond) if place.free else place.waiting.append(respond)

    def _begin(self, place: Place, respond: Callable[[], None]) -> None:
        place.free -= 1
        self._count(1, 0)
        self.loop.call_later(self.replica.service_s, self._end, place, respond, time.monotonic())

    def _end(self, place: Place, respond: Callable[[], None], began: float) -> None:
        self.times.append(time.monotonic() - began)
        place.free += 1
        self.answered += 1
        self._count(-1, -1)
        respond()
        if place.waiting:
            self._begin(place, place.waiting.popleft())
        elif self.held and place in self.replicas:
            self._begin(place, self.held.popleft())

    def step(self, place: int) -> Sample:
        """Return what was counted until the end of this step."""
        if not self.start:
            raise RuntimeError("the start is not set")
        time.sleep(max(0.0, self.start + (place + 1) * STEP_S - time.monotonic()))
        return asyncio.run_coroutine_threadsafe(self._sample(), self.loop).result(5)

    async def _sample(self) -> Sample:
        self._count(0, 0)
        found = Sample(
            self.arrived, self.answered, 0.0, self.area_busy / STEP_S, self.area_inside / STEP_S
        )
        self.arrived = self.answered = 0
        self.area_busy = self.area_inside = 0.0
        return found

    def add(self, replicas: int, moment: float) -> None:  # noqa: ARG002 - as every fleet's
        """Make replicas ready."""

        async def change() -> None:
            for _ in range(replicas):
                place = Place(self.replica.concurrency)
                self.replicas.append(place)
                while self.held and place.free:
                    self._begin(place, self.held.popleft())

        asyncio.run_coroutine_threadsafe(change(), self.loop).result(5)

    def remove(self, replicas: int) -> None:
        """Send no more requests to the newest."""

        async def change() -> None:
            del self.replicas[-replicas:]

        asyncio.run_coroutine_threadsafe(change(), self.loop).result(5)


class Answering(asyncio.Protocol):
    """One connection with one request at a time on it."""

    def __init__(self, fleet: RealFleet) -> None:
        self.fleet = fleet
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take a request, which comes in one piece."""
        if data.endswith(b"\r\n\r\n"):
            self.fleet.take(lambda: self.transport.write(ANSWER))


class Asking(asyncio.Protocol):
    """One connection of the client."""

    def __init__(self, client: Client) -> None:
        self.client, self.place = client, -1
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Be ready."""
        self.transport = transport
        self.client.idle.append(self)

    def ask(self, place: int) -> None:
        """Send the request at this place of the schedule."""
        self.place = place
        self.client.sent[place] = time.monotonic()
        self.transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - an answer is an answer
        """Note the answer, and take what waits."""
        self.client.done[self.place] = time.monotonic()
        self.client.open -= 1
        if self.client.waiting:
            self.ask(self.client.waiting.popleft())
        else:
            self.client.idle.append(self)


class Client:
    """Sends requests when they are due, whatever became of earlier ones."""

    def __init__(self, port: int, due: list[float]) -> None:
        self.port, self.due = port, due
        self.idle: deque[Asking] = deque()
        self.waiting: deque[int] = deque()
        self.sent, self.done, self.lag = [0.0] * len(due), [0.0] * len(due), [0.0] * len(due)
        self.open = len(due)

    async def run(self) -> dict[str, Any]:
        """Return when it began, and per request when it was answered and how late it was sent."""
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Asking(self), "127.0.0.1", self.port)
        start = time.monotonic() + 0.3
        print(json.dumps({"start": start}), flush=True)
        for place, moment in enumerate(self.due):
            await _until(start + moment)
            self.lag[place] = time.monotonic() - start - moment
            if self.idle:
                self.idle.popleft().ask(place)
            else:
                self.waiting.append(place)
        for _ in range(300):
            if self.open:
                await asyncio.sleep(0.05)
        return {"start": start, "done": self.done, "lag": self.lag}


async def _until(moment: float) -> None:
    """Wait until a moment; for the last 2 ms, which timers cannot tell, turn round and round."""
    await asyncio.sleep(max(0.0, moment - time.monotonic() - 0.002))
    while time.monotonic() < moment:  # noqa: ASYNC110 - no event tells the time
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Case:
    """One trace with one policy: rates (requests/s) of points (s), and what scales."""

    name: str
    points: tuple[tuple[float, float], ...]
    policy: Callable[[], Policy]
    first: int
    routing: str = "own"

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.points[-1][0]

    def due(self, seed: int) -> np.ndarray:
        """Return the moments of requests, by chance at the rates."""
        chance = np.random.default_rng(seed)
        steps = np.arange(0, self.seconds, 0.01)
        rates = np.interp(steps, *zip(*self.points, strict=True))
        counts = chance.poisson(rates * 0.01)
        starts = np.repeat(steps, counts)
        return np.sort(starts + chance.random(len(starts)) * 0.01)


def hpa(metric: Any, target: float) -> Callable[[], Policy]:
    """Return an HPA thirty times as quick as the usual one."""
    return lambda: Hpa(
        metric, target, 1, 20, 2, tick_s=0.5, window_s=0.5, scrape_s=0.5, up_period_s=0.5,
        down_window_s=3.0,
    )  # fmt: skip


CASES = (
    Case("ramp", ((0, 60), (2, 60), (7, 240), (9, 240), (10, 120)), hpa("answered", 22.0), 4),
    Case(
        "flash crowd",
        ((0, 80), (3, 80), (3.5, 240), (7, 240), (7.5, 80), (10, 80)),
        lambda: Knative(1.2, 4, 24, tick_s=0.2, stable_s=2.0, panic_s=0.4, grace_s=1.0),
        4,
    ),
    Case("wave", ((0, 100), (3, 165), (5, 100), (8, 175), (10, 100)), hpa("cpu", 0.45), 6),
    Case(
        "steeper ramp, one line",
        ((0, 80), (2, 80), (8, 260), (10, 260)),
        hpa("answered", 24.0),
        5,
        "shared",
    ),
)
COLD_START_S = 0.5
DRAWS = 5
"""Simulations of each run, with other chance of routing."""


def answered(replica: Replica, case: Case, seed: int) -> tuple[np.ndarray, float, list[float]]:
    """Return latencies, the client's lag (99th), and how long places were taken, all in s."""
    due = case.due(seed)
    fleet = RealFleet(replica, seed, routing=case.routing)
    told = json.dumps({"port": fleet.port, "due": due.tolist()})
    client = subprocess.Popen(
        [sys.executable, __file__, "client"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert client.stdin is not None  # noqa: S101 - piped above
        assert client.stdout is not None  # noqa: S101 - piped above
        client.stdin.write(told.encode() + b"\n")
        client.stdin.flush()
        fleet.start = json.loads(client.stdout.readline())["start"]
        fleet.last = fleet.start
        run(fleet, case.policy(), replica, round(case.seconds / STEP_S), STEP_S, STEP_S, case.first)
        found = json.loads(client.stdout.readline())
    finally:
        client.kill()
        client.wait()
        fleet.stop()
    done = np.array(found["done"])
    latency = np.where(done > 0, done - found["start"] - due, np.inf)
    return latency, float(np.quantile(found["lag"], 0.99)), fleet.times


@dataclass(frozen=True)
class Measured:
    """What a quiet fleet showed: ``replica`` with the mean time that a place is taken.

    ``apart_s`` is what the median latency has beyond it: the way to the server and back.
    """

    replica: Replica
    apart_s: float

    @property
    def slo(self) -> Slo:
        """The objective of the server alone."""
        return Slo(SLO.quantile, SLO.limit_ms - self.apart_s * 1e3)


def quiet(replica: Replica) -> Measured:
    """Return what few requests show, as a load test would measure it."""
    case = Case("quiet", ((0, 20), (4, 20)), lambda: Hpa("cpu", 1.0, 4, 4, 2, tick_s=60), 4)
    latency, _, times = answered(replica, case, 0)
    mean = float(np.mean(times))
    return Measured(
        replace(replica, service_s=mean), max(0.0, float(np.median(latency) - np.median(times)))
    )


def foretold(of: Measured, case: Case, seed: int, routing: Any) -> tuple[float, float]:
    """Return 99th percentile (ms) and share of late requests, by the exact simulator."""
    outcomes = [
        exact(
            of.replica,
            of.slo,
            Requests(case.due(seed), case.seconds, STEP_S, seed * DRAWS + draw),
            case.policy(),
            first=case.first,
            phase_s=STEP_S,
            routing=routing,
        )
        for draw in range(DRAWS)
    ]
    found = np.array([(outcome.p_ms, outcome.miss_share) for outcome in outcomes])
    return float(found[:, 0].mean()) + of.apart_s * 1e3, float(found[:, 1].mean())


def in_means(of: Measured, case: Case) -> tuple[float, float]:
    """Return the same by the simulator in means, which takes rates."""
    steps = (np.arange(round(case.seconds / STEP_S)) + 0.5) * STEP_S
    rates = np.interp(steps, *zip(*case.points, strict=True))
    means = Means.of(of.replica, of.slo, STEP_S)
    outcome = means.outcome(rates * STEP_S, case.policy(), phase_s=STEP_S, first=case.first)
    return outcome.p_ms + of.apart_s * 1e3, outcome.miss_share


def seen(latency: np.ndarray) -> tuple[float, float]:
    """Return 99th percentile (ms) and share of late requests."""
    rank = int(np.ceil(round(SLO.quantile * len(latency), 9))) - 1
    return float(np.sort(latency)[rank] * 1e3), float((latency * 1e3 > SLO.limit_ms).mean())


def compared(case: Case, real: Replica, of: Measured, runs: int) -> dict[str, Any]:
    """Return real and foretold numbers of a case over some runs, and whether they agree.

    The fleet sleeps as ``real`` says; it is foretold from what was measured of it.
    """
    came, lags = [], []
    for seed in range(runs):
        latency, lag, _ = answered(real, case, seed)
        came.append(seen(latency))
        lags.append(lag)
    found: dict[str, Any] = {"case": case.name, "routing": case.routing, "runs": runs,
                             "client_lag_p99_ms": round(1e3 * max(lags), 2)}  # fmt: skip
    percentiles, shares = np.array(came).T
    low, high, _ = t_interval(percentiles)
    found["real"] = _numbers(percentiles, shares)
    found["real"]["p99_interval_ms"] = [round(low, 1), round(high, 1)]
    for name, made in (
        ("own queues", lambda seed: foretold(of, case, seed, "own")),
        ("one line", lambda seed: foretold(of, case, seed, "shared")),
        ("means", lambda _: in_means(of, case)),
    ):
        p, share = np.array([made(seed) for seed in range(runs)]).T
        allowed = max(0.2 * percentiles.mean(), (high - low) / 2)
        found[name] = _numbers(p, share) | {
            "p99_agrees": bool(abs(p.mean() - percentiles.mean()) <= allowed),
            "share_agrees": bool(abs(share.mean() - shares.mean()) <= 0.01),
        }
    return found


def _numbers(percentiles: np.ndarray, shares: np.ndarray) -> dict[str, Any]:
    return {
        "p99_ms": round(float(percentiles.mean()), 1),
        "late_share": round(float(shares.mean()), 4),
        "p99_ms_each": [round(float(each), 1) for each in percentiles],
        "late_share_each": [round(float(each), 4) for each in shares],
    }


def main() -> None:
    """Run every case five times, print what came of it and keep it."""
    replica = Replica(SERVICE_S, 0.0, 2, 100_000, COLD_START_S)
    measured = quiet(replica)
    results = []
    for case in CASES:
        found = compared(case, replica, measured, 5)
        results.append(found)
        print(json.dumps(found, indent=1))
    result = {
        "made": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpu": platform.processor() or platform.machine(), "python":
                    platform.python_version()},
        "slo": str(SLO),
        "sleep_ms": SERVICE_S * 1e3,
        "service_ms": round(measured.replica.service_s * 1e3, 2),
        "apart_ms": round(measured.apart_s * 1e3, 2),
        "cold_start_s": COLD_START_S,
        "cases": results,
    }  # fmt: skip
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["client"]:
        told = json.loads(sys.stdin.readline())
        print(json.dumps(asyncio.run(Client(told["port"], told["due"]).run())))
    else:
        main()
