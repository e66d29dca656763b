"""A server of known capacity in virtual time: what a search finds can be held against the truth.

It stands where a generator of load and a real server stand, answers a `Shot`, and computes a run
of a minute in milliseconds. Searches and certificates are tried on it, and it is the queue that
plans of capacity are checked against.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from afterfit.errors import UsageError
from afterfit.loadtest.shot import STATUS_OK, Arrivals, Floats, Shot

__all__ = ["Service", "VirtualServer"]

Kind = Literal["deterministic", "exponential", "lognormal"]
REFUSED = 503


@dataclass(frozen=True)
class Service:
    """How long one worker takes for a request: ``mean_ms``, and ``cv`` for the lognormal.

    ``cv`` is the standard deviation over the mean; it is 0 for ``deterministic`` and 1 for
    ``exponential``, whatever is given.
    """

    mean_ms: float
    kind: Kind = "exponential"
    cv: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no distribution."""
        if not self.mean_ms > 0 or not self.cv > 0 or self.kind not in get_args(Kind):
            raise UsageError(
                f"no service time: {self.kind}, {self.mean_ms} ms, cv {self.cv}",
                fix=f"a mean and a cv above 0, and one of {', '.join(get_args(Kind))}",
            )

    def draw(self, n: int, random: np.random.Generator) -> Floats:
        """Return n service times in s."""
        mean = self.mean_ms / 1e3
        if self.kind == "deterministic":
            return np.full(n, mean)
        if self.kind == "exponential":
            return random.exponential(mean, n)
        width = math.sqrt(math.log1p(self.cv**2))
        return random.lognormal(math.log(mean) - width**2 / 2, width, n)


@dataclass(frozen=True)
class VirtualServer:
    """A `Shooter` with ``workers`` that take requests first come, first served.

    A free worker takes up to ``batch`` waiting requests at once; each after the first adds
    ``per_more`` of a service time. A request that finds ``queue`` others waiting is refused (503).
    During ``stalls``, pairs of (start, length) in s, everything stands still, as a stopped process
    does. From ``dies_s`` on nothing is answered. The generator sends at most ``generator_rps``,
    later than due where more is asked, and says so.
    """

    service: Service
    workers: int = 1
    batch: int = 1
    per_more: float = 0.1
    queue: int | None = None
    stalls: tuple[tuple[float, float], ...] = ()
    dies_s: float = math.inf
    generator_rps: float = math.inf

    def __post_init__(self) -> None:
        """Refuse what is no server."""
        if self.workers < 1 or self.batch < 1 or (self.queue is not None and self.queue < 0):
            raise UsageError(
                f"no server: {self.workers} workers, batches of {self.batch}, queue {self.queue}",
                fix="at least one worker, one request a batch and a queue of 0",
            )

    def fire(self, arrivals: Arrivals, seconds: float, seed: int) -> Shot:
        """Return what became of each request; the run begins with an empty server."""
        random = np.random.default_rng((seed, 1))
        due = arrivals.times(seconds, seed)
        # The generator is a queue of its own, with one server of constant time.
        gap = np.full(len(due), 1.0 / self.generator_rps)
        written = np.maximum(due, one_worker(due, gap) - gap)
        begun = written - self._stood(written)
        ended, refused = self._serve(begun, self.service.draw(len(due), random))
        answered = np.maximum(self._by_the_clock(ended), written)
        gone = answered > self.dies_s
        late = arrivals.rate > self.generator_rps
        return Shot(
            schedule=arrivals.name,
            rate=arrivals.rate,
            seconds=seconds,
            due=due,
            written=written,
            answered=np.where(gone, np.nan, answered),
            status=np.where(gone, 0, np.where(refused, REFUSED, STATUS_OK)).astype(np.int16),
            wrong=np.zeros(len(due), np.bool_),
            lag=written - due,
            invalid=(f"the generator sends at most {self.generator_rps:g} requests/s",) * late,
            cut=bool(gone.any()),
            first_error="the server is gone" if gone.any() else "",
        )

    def _stood(self, times: Floats) -> Floats:
        """Return for each moment for how long the server has stood still until then, in s."""
        stood = [np.clip(times - start, 0.0, length) for start, length in self.stalls]
        return np.asarray(np.sum([np.zeros(len(times)), *stood], axis=0))

    def _by_the_clock(self, worked: Floats) -> Floats:
        """Return when so much work was done: what ends after a stall began ends after it."""
        starts = np.array([start for start, _ in sorted(self.stalls)])
        lengths = np.cumsum([0.0, *(length for _, length in sorted(self.stalls))])
        before = np.searchsorted(starts - lengths[:-1], worked, side="left")
        return np.asarray(worked + lengths[before])

    def _serve(self, due: Floats, service: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return when each is answered, and which are refused."""
        taken = np.zeros(len(due), np.bool_)
        if self.batch > 1 or self.queue is not None:
            return _any_server(self, due, service)
        if self.workers == 1:
            return one_worker(due, service), taken
        if self.service.kind == "deterministic":
            # First in, first out: each worker has every c-th request.
            ended = np.empty(len(due))
            for worker in range(self.workers):
                turns = slice(worker, None, self.workers)
                ended[turns] = one_worker(due[turns], service[turns])
            return ended, taken
        return _workers(due, service, self.workers), taken


def one_worker(due: Floats, service: Floats) -> Floats:
    """Return when each request (shape [n], s) is done by one worker, first come, first served.

    Source: Lindley (1952), Proc. Camb. Phil. Soc. 48:277, summed up: a request ends after all work
    since the moment, among those before it, from which the worker was busiest.
    """
    total = np.cumsum(service)
    return np.asarray(total + np.maximum.accumulate(due - (total - service)))


def _workers(due: Floats, service: Floats, workers: int) -> Floats:
    """Return when each request is done where the first free of several workers takes it."""
    free = [0.0] * workers
    ended = []
    for at, takes in zip(due.tolist(), service.tolist(), strict=True):
        end = max(at, free[0]) + takes
        heapq.heapreplace(free, end)
        ended.append(end)
    return np.array(ended)


def _any_server(
    server: VirtualServer, due: Floats, service: Floats
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return when each is done and which are refused, with batches and a bounded queue."""
    free = [0.0] * server.workers
    waiting = deque[int]()
    times, takes = due.tolist(), service.tolist()
    ended, refused = due.tolist(), np.zeros(len(due), np.bool_)
    most = math.inf if server.queue is None else server.queue

    def start(until: float) -> None:
        """Give waiting requests to workers that are free by ``until``."""
        while waiting and (begin := max(free[0], times[waiting[0]])) <= until:
            batch = [waiting.popleft() for _ in range(min(server.batch, len(waiting)))]
            end = begin + takes[batch[0]] * (1.0 + server.per_more * (len(batch) - 1))
            heapq.heapreplace(free, end)
            for index in batch:
                ended[index] = end

    for index, at in enumerate(times):
        if waiting:
            start(at)
        if free[0] <= at:
            # Whoever waited has been started, so this one is alone.
            ended[index] = at + takes[index]
            heapq.heapreplace(free, ended[index])
        elif len(waiting) >= most:
            refused[index] = True
        else:
            waiting.append(index)
    start(math.inf)
    return np.array(ended), refused
