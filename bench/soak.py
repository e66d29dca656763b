"""A server at more than it can do for a long time: goodput, refusals, memory and CPU.

First the capacity is measured by a closed loop on the same connections. Then an open loop asks for
120 % of it, at the times that the clock says and not when answers come. The server runs on one core
and the client on another, with events, live counts, batching and validation on.

    python bench/soak.py [MINUTES] [--load 1.2] [--connections 400] [--in-flight 256]

The result is bench/results/soak.json. Run it on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "bench" / "serving")]

import machine  # noqa: E402 - after the path is set
import subject  # noqa: E402 - as above

from afterfit.runtime.worker import run_loop  # noqa: E402 - as above
from afterfit.serve.config import ServeConfig  # noqa: E402 - as above
from afterfit.serve.run import ServerHandle, start_server  # noqa: E402 - as above
from afterfit.workspace import Workspace  # noqa: E402 - as above

RESULT = ROOT / "bench" / "results" / "soak.json"
STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")
LONGEST = len(b"HTTP/1.1 200 ") - 1
CLOSED_SECONDS, CLOSED_ROUNDS = 5.0, 3
MOST_IN_FLIGHT = 20_000
TICK_SECONDS = 0.001
SAMPLE_SECONDS = 1.0
KEPT_SEGMENTS = 2
QUIET_SHARE = 0.9
"""A worker that gets less of its core than this was kept from it: the run says nothing."""
TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass
class Tally:
    """What came back: answers by status, and the seconds of a part of the answers that were 200."""

    statuses: Counter[int] = field(default_factory=Counter)
    spent: list[float] = field(default_factory=list)
    sent: int = 0
    held_back: int = 0

    @property
    def answered(self) -> int:
        """All answers."""
        return sum(self.statuses.values())


class Lane(asyncio.Protocol):
    """One kept connection; requests go out when they are due, answered or not."""

    transport: asyncio.Transport

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked: deque[float] = deque()
        self.tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]  # of a stream
        self.client.lanes.append(self)

    def ask(self, now: float, message: bytes) -> None:
        """Send a request."""
        self.asked.append(now)
        self.client.tally.sent += 1
        self.client.in_flight += 1
        self.transport.write(message)

    def data_received(self, data: bytes) -> None:
        """Count the answers that begin in these bytes, in the order of the requests."""
        data = self.tail + data
        self.tail = data[-LONGEST:]
        now = time.perf_counter()
        client = self.client
        for found in STATUS.findall(data):
            status, began = int(found), self.asked.popleft()
            client.tally.statuses[status] += 1
            client.in_flight -= 1
            if status == 200 and client.tally.answered % 16 == 0:
                client.tally.spent.append(now - began)
            client.answered(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Wait no more for what will never be answered."""
        self.client.in_flight -= len(self.asked)
        self.asked.clear()
        if self in self.client.lanes:
            self.client.lanes.remove(self)


class Client:
    """Some connections to one port, and the requests that go round on them."""

    def __init__(self, port: int, messages: list[bytes]) -> None:
        self.port = port
        self.messages = messages
        self.lanes: list[Lane] = []
        self.tally = Tally()
        self.in_flight = 0
        self.closed_loop = False
        self._turn = self._lane = 0

    async def connect(self, count: int) -> None:
        """Open connections."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            await loop.create_connection(lambda: Lane(self), "127.0.0.1", self.port)

    def answered(self, lane: Lane) -> None:
        """Ask again at once in a closed loop."""
        if self.closed_loop:
            lane.ask(time.perf_counter(), self._message())

    async def closed(self, seconds: float, in_flight: int) -> Tally:
        """What came back in a closed loop of so many requests."""
        self.tally, self.closed_loop = Tally(), True
        for number in range(in_flight):
            lane = self.lanes[number % len(self.lanes)]
            lane.ask(time.perf_counter(), self._message())
        await asyncio.sleep(seconds)
        self.closed_loop = False
        found = self.tally
        await self.settle()
        return found

    async def open(self, rate: float, seconds: float) -> Tally:
        """What came back when ``rate`` requests a second were due, one after the other."""
        self.tally = tally = Tally()
        began = time.perf_counter()
        due = 0
        while (now := time.perf_counter()) < began + seconds:
            wanted = int((now - began) * rate)
            for _ in range(due, wanted):
                if self.in_flight >= MOST_IN_FLIGHT or not self.lanes:
                    tally.held_back += 1
                else:
                    # A counter of its own: every connection has its turn, and none is idle.
                    self._lane += 1
                    self.lanes[self._lane % len(self.lanes)].ask(now, self._message())
            due = wanted
            await asyncio.sleep(TICK_SECONDS)
        await self.settle()
        return tally

    async def settle(self) -> None:
        """Wait for the answers that are due, for 30 s at most."""
        until = time.perf_counter() + 30
        while self.in_flight and time.perf_counter() < until:  # noqa: ASYNC110 - at the end
            await asyncio.sleep(0.01)

    def _message(self) -> bytes:
        self._turn += 1
        return self.messages[self._turn % len(self.messages)]


class Watch:
    """Samples the memory and CPU of a process each second, and clears whole segments away."""

    def __init__(self, pid: int, events: Path) -> None:
        self.pid = pid
        self.events = events
        self.samples: list[tuple[float, float, float]] = []
        self._began = time.monotonic()

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            elapsed = time.monotonic() - self._began
            self.samples.append((elapsed, resident_mb(self.pid), cpu_seconds(self.pid)))
            # Ten minutes of events are gigabytes, and nobody reads these.
            for path in sorted(self.events.glob("events-*"))[:-KEPT_SEGMENTS]:
                path.unlink()
            await asyncio.sleep(SAMPLE_SECONDS)

    def report(self) -> dict[str, Any]:
        """Memory in MB (10^6 bytes), its slope over the second half, and the share of a core."""
        seconds, memory, cpu = map(np.array, zip(*self.samples, strict=True))
        half = len(seconds) // 2
        slope = float(np.polyfit(seconds[half:], memory[half:], 1)[0]) if half > 1 else 0.0
        spent = float((cpu[-1] - cpu[0]) / (seconds[-1] - seconds[0]))
        tenth = max(1, len(memory) // 20)
        return {
            "rss_mb": {
                "start": round(float(memory[0]), 1),
                "end": round(float(memory[-1]), 1),
                "max": round(float(memory.max()), 1),
                "slope_mb_a_minute": round(60 * slope, 3),
                "over_time": [round(float(value), 1) for value in memory[::tenth]],
            },
            "worker_cpu_seconds": round(float(cpu[-1] - cpu[0]), 2),
            "worker_core_share": round(spent, 3),
        }


def resident_mb(pid: int) -> float:
    """The resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kb = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return kb * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def messages_of(rows: list[list[float]]) -> list[bytes]:
    """The requests, one row each, as they are sent."""
    made = []
    for row in rows:
        tensor = {"name": "input", "shape": [1, len(row)], "datatype": "FP64", "data": row}
        body = json.dumps({"inputs": [tensor]}).encode()
        head = f"POST /v2/models/{subject.NAME}/infer HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        made.append(head.encode() + body)
    return made


async def soak(server: ServerHandle, events: Path, options: Options) -> dict[str, Any]:
    """Measure the capacity, then ask for more."""
    port = int(server.url.rsplit(":", 1)[1])
    (worker,) = server.admin.workers()["workers"]
    client = Client(port, messages_of(options.rows))
    await client.connect(options.connections)
    await capacity_of(client, options)
    began, busy = time.monotonic(), cpu_seconds(worker["pid"])
    rounds = [await capacity_of(client, options) for _ in range(CLOSED_ROUNDS)]
    busy = cpu_seconds(worker["pid"]) - busy
    share = busy / (time.monotonic() - began)
    capacity = float(np.median(rounds))
    print(f"capacity {capacity:.0f}/s; {options.minutes:g} min at {options.load:.0%}", flush=True)
    watch = Watch(worker["pid"], events)
    watching = asyncio.create_task(watch.run())
    before = time.process_time()
    tally = await client.open(capacity * options.load, options.minutes * 60)
    spent = time.process_time() - before
    watching.cancel()
    watched = watch.report()
    return {
        "capacity_per_second": round(capacity),
        "capacity_rounds": [round(each) for each in rounds],
        "capacity_afterwards": round(await capacity_of(client, options)),
        "capacity_per_cpu_second": round(sum(rounds) * CLOSED_SECONDS / busy),
        "capacity_core_share": round(share, 3),
        **summary(tally, capacity, options),
        **watched,
        "goodput_per_cpu_second": round(tally.statuses[200] / watched["worker_cpu_seconds"]),
        "client_core_share": round(spent / (options.minutes * 60), 3),
        "quiet": min(share, watched["worker_core_share"]) >= QUIET_SHARE,
        "worker_replaced": server.admin.workers()["restarts"],
    }


async def capacity_of(client: Client, options: Options) -> float:
    """Good answers a second in a closed loop."""
    tally = await client.closed(CLOSED_SECONDS, options.in_flight)
    return tally.statuses[200] / CLOSED_SECONDS


def summary(tally: Tally, capacity: float, options: Options) -> dict[str, Any]:
    """What became of the requests of the open loop."""
    good = tally.statuses[200] / (options.minutes * 60)
    quantiles = np.quantile(tally.spent or [0.0], [0.5, 0.99])
    refused = {str(status): n for status, n in sorted(tally.statuses.items()) if status != 200}
    return {
        "asked_per_second": round(tally.sent / (options.minutes * 60)),
        "goodput_per_second": round(good),
        "goodput_of_capacity": round(good / capacity, 4),
        "answers": dict(sorted((str(status), n) for status, n in tally.statuses.items())),
        "refused": refused,
        "refusals_are_all_429": set(refused) <= {"429"},
        "lost": tally.sent - tally.answered,
        "held_back": tally.held_back,
        "p50_ms": round(1000 * float(quantiles[0]), 2),
        "p99_ms": round(1000 * float(quantiles[1]), 2),
    }


@dataclass(frozen=True)
class Options:
    """What is asked of a run."""

    minutes: float
    load: float
    connections: int
    in_flight: int
    rows: list[list[float]]


def main() -> int:
    """Run, print and write the result; 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("minutes", nargs="?", type=float, default=10.0)
    parser.add_argument("--load", type=float, default=1.2, help="of the measured capacity")
    parser.add_argument("--connections", type=int, default=400)
    parser.add_argument("--in-flight", type=int, default=256, help="when measuring capacity")
    arguments = parser.parse_args()
    described = machine.describe()
    with tempfile.TemporaryDirectory(prefix="afterfit-soak-") as name:
        folder = Path(name)
        print("making the model and shipping it ...", flush=True)
        made = subject.make(folder)
        asked = vars(arguments)
        options = Options(**asked, rows=made.rows)
        found = _on_two_cores(made.workspace, folder, options)
    document = {
        "machine": described,
        "load_average_afterwards": machine.load_average(),
        "commit": machine.commit(ROOT / "bench" / "serving"),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": made.description,
        **asked,
        "result": found,
    }
    RESULT.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    if not found["quiet"]:
        print("other work kept the worker from its core: this run says nothing of goodput")
    return 0 if kept(found) else 1


def kept(found: dict[str, Any]) -> bool:
    """Whether goodput is 90 % of capacity, refusals are 429, memory is flat and nothing is lost."""
    flat = found["rss_mb"]["slope_mb_a_minute"] < 1.0
    good = found["goodput_of_capacity"] >= 0.9
    return bool(flat and good and found["refusals_are_all_429"] and not found["lost"])


def _on_two_cores(workspace: Path, folder: Path, options: Options) -> dict[str, Any]:
    """Start the server on the first core that this process may use, and ask from another."""
    cores = sorted(os.sched_getaffinity(0))
    events = folder / "events"
    config = ServeConfig(port=0, workers=1, events=str(events))
    bundle = Workspace(workspace).version(subject.NAME)
    os.sched_setaffinity(0, {cores[0]})
    with start_server({subject.NAME: bundle}, config, folder / "state") as server:
        os.sched_setaffinity(0, {cores[-1]})
        result: dict[str, Any] = run_loop(soak(server, events, options))
    os.sched_setaffinity(0, set(cores))
    return result


if __name__ == "__main__":
    sys.exit(main())
