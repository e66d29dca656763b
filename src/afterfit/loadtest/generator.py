"""The generator of load: processes that send, and one that tells them when and puts together."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from afterfit.errors import ResourceError, UnavailableError, UsageError
from afterfit.loadtest.aim import Target
from afterfit.loadtest.arrivals import MOST_REQUESTS, Closed, Offline
from afterfit.loadtest.engine.frames import (
    CHUNK,
    DONE,
    GO,
    ORDER,
    READY,
    SETUP,
    STOP,
    VARIANT,
    Frame,
)
from afterfit.loadtest.engine.pool import Plan
from afterfit.loadtest.gathered import Gathered, Live
from afterfit.loadtest.machine import Machine
from afterfit.loadtest.process import EngineProcess, Inbox
from afterfit.loadtest.shot import Arrivals, Floats, Shot
from afterfit.loadtest.validity import Generated, reasons, slowed

__all__ = ["Generator", "Live", "Means"]

STARTS_S = 20.0
"""A process that is not ready after so long will not be."""
SOON_S = 0.05
"""The run begins so long after all are ready, so that each has heard of it."""
ENDS_S = 5.0
MOST_SECONDS = 86_400.0
STOPPED = "it was stopped"
INTERRUPTED = "ctrl-C"


@dataclass(frozen=True)
class Means:
    """What the generator has: processes, connections of all together, time for an answer.

    ``ahead`` connections are opened before a run, others when a request finds none free.
    ``timeout_s`` counts from when a request was due. ``cores`` pins the processes, in turn.
    Raises UsageError for what cannot be.
    """

    processes: int = 1
    connections: int = 256
    ahead: int = 16
    timeout_s: float = 10.0
    cores: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        few = 1 <= self.processes <= 64 and self.processes <= self.connections <= 60_000
        if not few or self.ahead < 1 or not 0 < self.timeout_s <= 600:
            raise UsageError(
                "no such generator of load",
                why=f"processes = {self.processes}, connections = {self.connections}, "
                f"ahead = {self.ahead}, timeout = {self.timeout_s:g} s",
                fix="1 to 64 processes, a connection for each, and up to 600 s for an answer",
            )

    def core_of(self, process: int) -> int | None:
        """Return the core that a process is pinned to."""
        return self.cores[process % len(self.cores)] if self.cores else None


class Generator:
    """Fires at a target by a schedule; a context that closes its processes.

    ``limit_ms`` is the objective's limit, where one is known: it decides how late the generator
    may be. ``pid`` is the server's first process, whose CPU and memory are told. ``on_second`` is
    told live numbers; it is called in the thread that fires and must not take long.
    """

    def __init__(
        self,
        target: Target,
        means: Means | None = None,
        *,
        limit_ms: float | None = None,
        pid: int | None = None,
        on_second: Callable[[Live], None] | None = None,
    ) -> None:
        self.target = target
        self.limit_ms = limit_ms
        self.pid = pid
        self.on_second = on_second
        self._means = means or Means()
        self._count = self._means.processes
        self._inbox: Inbox = queue.SimpleQueue()
        self._processes: list[EngineProcess] = []
        self._stopped = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, and with them the connections."""
        for process in self._processes:
            process.close()
        self._processes = []

    @property
    def interrupted(self) -> bool:
        """Return whether ctrl-C has ended the last run."""
        return self._stopped == INTERRUPTED

    def stop(self, why: str = STOPPED) -> None:
        """End the run that is on, from any thread: nothing more is sent."""
        self._stopped = why
        for process in self._processes:
            process.tell(STOP, {"why": why})

    def fire(self, arrivals: Arrivals | Closed, seconds: float, seed: int) -> Shot:
        """Return what became of the requests of one run; connections stay open between runs.

        Ctrl-C ends the run, not the program: what was sent is given back, marked as cut. Raises
        UnavailableError where nothing listens, UsageError for a time that is none.
        """
        if not 0 < seconds <= MOST_SECONDS:
            raise UsageError(
                "no such run", why=f"{seconds:g} s", fix=f"0 to {MOST_SECONDS:g} seconds"
            )
        closed = isinstance(arrivals, Closed)
        due = np.empty(0) if isinstance(arrivals, Closed) else arrivals.times(seconds, seed)
        if len(due) > MOST_REQUESTS:
            raise UsageError("no run of so many requests", fix=f"at most {MOST_REQUESTS}")
        self._start()
        self._stopped = ""
        gathered = Gathered(due, seconds, self._judged, closed=closed)
        self._ready(arrivals, due, seconds, seed)
        machine = Machine(self.pid)
        start = time.monotonic() + SOON_S
        for process in self._processes:
            process.tell(GO, {"start": start})
        latest = start + seconds + self._means.timeout_s + ENDS_S
        ended = self._watched(gathered, machine, start, latest)
        return self._shot(arrivals, gathered, ended, seconds)

    # Before a run.

    def _start(self) -> None:
        if self._processes:
            return
        host = self._reached()
        self._inbox = queue.SimpleQueue()
        for number in range(self._count):
            process = EngineProcess(number, self._inbox)
            self._processes.append(process)
            process.tell(
                SETUP,
                {
                    "plan": asdict(self._plan(host)),
                    "requests": len(self.target.requests),
                    "volatile": self.target.volatile,
                    "core": self._means.core_of(number),
                },
                [*self.target.requests, *self.target.expected],
            )

    def _reached(self) -> str:
        """Return the number of the host that takes a connection: names may have several."""
        address = self.target.address
        try:
            with socket.create_connection(
                (address.host, address.port), self._means.timeout_s
            ) as probe:
                return str(probe.getpeername()[0])
        except (OSError, UnicodeError) as error:
            raise self._unavailable(str(error)) from None

    def _plan(self, host: str) -> Plan:
        address = self.target.address
        return Plan(
            host=host,
            port=address.port,
            server_name=address.host,
            secure=address.secure,
            timeout_s=self._means.timeout_s,
            connections=max(1, self._means.connections // self._count),
            ahead=max(1, self._means.ahead // self._count),
        )

    def _ready(self, arrivals: Arrivals | Closed, due: Floats, seconds: float, seed: int) -> None:
        """Order the run of all processes, and wait until each has its connections."""
        for process in self._processes:
            mine, order = process.number, self._order(arrivals, seconds, seed, process.number)
            part = np.ascontiguousarray(due[mine :: self._count], dtype="<f8")
            process.tell(ORDER, order, [part.tobytes()])
        until = time.monotonic() + STARTS_S + self._means.timeout_s
        open_, error = 0, ""
        for _ in self._processes:
            message = self._next(until)
            if message is None or message.kind != READY:
                self.close()
                raise ResourceError(
                    "a process of the generator of load did not start",
                    why="see what it wrote" if message is None else f"it said {message.kind!r}",
                    fix="python -m afterfit.loadtest.engine   # waits for its input",
                )
            open_ += message.document["open"]
            error = message.document["error"] or error
        if not open_:
            self.close()
            raise self._unavailable(error)

    def _order(
        self, arrivals: Arrivals | Closed, seconds: float, seed: int, number: int
    ) -> dict[str, Any]:
        order: dict[str, Any] = {"offset": number, "stride": self._count, "users": 0}
        if isinstance(arrivals, Closed):
            most = arrivals.requests or MOST_REQUESTS
            order |= {
                "users": len(range(number, arrivals.users, self._count)),
                "most": len(range(number, most, self._count)),
                "seconds": seconds,
                "think_s": arrivals.think_ms / 1e3,
                "seed": seed * 64 + number,
            }
        return order

    def _unavailable(self, why: str) -> UnavailableError:
        address = self.target.address
        return UnavailableError(
            "no server answers",
            where=f"{address.host}:{address.port}",
            why=why,
            fix="afterfit serve NAME@champion   # and give the address that it prints",
        )

    # During a run.

    def _next(self, until: float) -> Frame | None:
        """Return the next frame of any process, None where it has ended or time is over."""
        try:
            return self._inbox.get(timeout=max(0.0, until - time.monotonic()))[1]
        except queue.Empty:
            return None

    def _watched(
        self, gathered: Gathered, machine: Machine, start: float, latest: float
    ) -> dict[int, dict[str, Any]]:
        """Gather until every process is done; return what each said at its end."""
        ended: dict[int, dict[str, Any]] = {}
        second = 1
        while len(ended) < len(self._processes):
            try:
                ended |= self._step(gathered, min(latest, start + second))
                if time.monotonic() >= start + second:
                    live = gathered.second(second, machine.look())
                    second += 1
                    if self.on_second is not None:
                        self.on_second(live)
                if time.monotonic() > latest:
                    break
            except KeyboardInterrupt:
                if self._stopped:
                    self.close()
                    raise
                self.stop(INTERRUPTED)
                latest = time.monotonic() + ENDS_S
        gathered.second(second, machine.look())
        return ended

    def _step(self, gathered: Gathered, until: float) -> dict[int, dict[str, Any]]:
        """Take one frame, or none where time is over."""
        try:
            process, message = self._inbox.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return {}
        if message is None:
            return {process.number: {"exit": process.exit}}
        if message.kind == CHUNK:
            gathered.add(process.number, message.parts[0])
        elif message.kind == VARIANT:
            told = message.document
            gathered.unknown.append((process, told["number"], told["request"], message.parts[0]))
        elif message.kind == DONE:
            return {process.number: message.document}
        return {}

    # Afterwards.

    def _judged(self, number: int) -> dict[int, bool]:
        return self._processes[number].verdicts

    def _shot(
        self,
        arrivals: Arrivals | Closed,
        gathered: Gathered,
        ended: dict[int, dict[str, Any]],
        seconds: float,
    ) -> Shot:
        said = [each for each in ended.values() if "exit" not in each]
        dead = tuple(each["exit"] or 0 for each in ended.values() if "exit" in each)
        missing = self._count - len(ended)
        gathered.judge(self.target)
        cut = next((each["cut"] for each in said if each["cut"]), self._stopped)
        arrays = gathered.arrays(self._count, cut=bool(cut))
        seen = gathered.seen() | {
            "seconds": max((each["seconds"] for each in said), default=seconds),
            "generator_cpu": max((each["cpu"] for each in said), default=0.0),
            "connections_opened": float(sum(each["opened"] for each in said)),
        }
        if self.target.expected:
            seen["unchecked"] = float(sum(each["unchecked"] for each in said))
        run = Generated(
            due=arrays["due"],
            lag=arrays["lag"],
            seconds=seconds,
            scheduled=not isinstance(arrivals, Closed | Offline),
            cpu=seen["generator_cpu"],
            spins=any(each["spins"] for each in said),
            steal=seen.get("steal", 0.0),
            own_errors=sum(each["own_errors"] for each in said),
            own_error=next((each["own_error"] for each in said if each["own_error"]), ""),
            ended=(*dead, *(-9 for _ in range(missing))),
        )
        if dead or missing:
            self.close()
        rate = getattr(arrivals, "rate", np.inf)
        first = next((each["first_error"] for each in said if each["first_error"]), "")
        return Shot(
            schedule=arrivals.name,
            rate=float(rate) if np.isfinite(rate) else len(arrays["due"]) / seconds,
            seconds=seconds,
            invalid=reasons(run, cut=bool(cut)),
            slowed=slowed(run, self.limit_ms),
            cut=bool(cut),
            first_error=first or cut,
            seen=seen,
            **arrays,
        )
