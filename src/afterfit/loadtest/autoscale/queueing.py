"""A replica as a queue: how long requests take at a rate, and what a measurement says of it.

One replica answers ``concurrency`` requests at once and holds its own first-come queue (M/G/c).
Waits are those of M/M/c (Erlang's C) scaled by (1 + cv²)/2 (Allen and Cunneen; Allen, Probability,
Statistics and Queueing Theory, 5.3): exponential where there is a wait; service is lognormal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from afterfit.errors import UsageError
from afterfit.loadtest.slo import Slo
from afterfit.stats.queueing import erlang_c, greatest

Floats = npt.NDArray[np.float64]
FULL = 0.9995
"""The greatest load of the tables; at 1 the mean queue is infinite."""


@dataclass(frozen=True)
class Replica:
    """One replica: mean ``service_s``, its coefficient of variation ``cv``, how many at once.

    ``queue`` is how many requests may wait in it; more are refused. ``cold_start_s`` is the time
    from the decision to start one until it answers.
    """

    service_s: float
    cv: float
    concurrency: int
    queue: int
    cold_start_s: float

    @property
    def capacity(self) -> float:
        """Requests/s that it answers where requests wait always."""
        return self.concurrency / self.service_s

    @cached_property
    def curve(self) -> Curve:
        """How many requests are in it at each load."""
        return Curve(self)

    def load(self, rate: float) -> float:
        """Return the share of its capacity that a rate (requests/s) takes."""
        return rate / self.capacity

    def misses(self, rate: float, limit_s: float) -> float:
        """Return the share of requests that take longer than ``limit_s`` at a steady rate."""
        if self.load(rate) >= 1:
            return 1.0
        return float(self.tail(np.array([self.load(rate)]), np.array([limit_s]))[0, 0])

    def tail(self, loads: Floats, times: Floats) -> Floats:
        """Return P(wait + service > t) by load [n] and time in s [m]; loads are below 1."""
        moments, weights = service_points(self.service_s, self.cv)
        waits = erlang_c(self.concurrency, self.concurrency * loads)
        means = self.service_s * (1 + self.cv**2) / 2 / (self.concurrency * (1 - loads))
        left = times[None, :, None] - moments[None, None, :]
        late = waits[:, None, None] * np.exp(-np.maximum(left, 0) / means[:, None, None])
        return np.asarray(np.where(left < 0, 1.0, late) @ weights)

    def greatest_rate(self, slo: Slo, *, share: float = 1.0) -> float:
        """Return the greatest steady rate (requests/s) that misses ``share`` of what it may."""
        limit, allowed = slo.limit_ms / 1e3, slo.allowed * share
        if self.misses(0.0, limit) > allowed:
            return 0.0
        return self.capacity * greatest(
            lambda load: self.misses(load * self.capacity, limit) <= allowed, FULL
        )


class Curve:
    """The mean number of requests in a replica by load, as a table read in both directions."""

    def __init__(self, replica: Replica) -> None:
        c = replica.concurrency
        self.loads = 1 - np.geomspace(1, 1 - FULL, 400)
        waits = erlang_c(c, c * self.loads) * self.loads / (1 - self.loads)
        self.inside = c * self.loads + waits * (1 + replica.cv**2) / 2

    def of_load(self, load: float) -> float:
        """Return the mean number of requests in the replica, waiting or being answered."""
        return float(np.interp(load, self.loads, self.inside))


def service_points(mean_s: float, cv: float) -> tuple[Floats, Floats]:
    """Return moments (s) of a lognormal service time with their weights, dense in its tail."""
    from scipy.special import ndtri

    edges = np.concatenate([[1.0], np.geomspace(0.98, 1e-5, 110), [0.0]])
    weights = edges[:-1] - edges[1:]
    middle = 1 - (edges[:-1] + edges[1:]) / 2
    sigma = math.sqrt(math.log1p(cv * cv))
    points = np.exp(sigma * ndtri(middle))
    return mean_s * points / float(points @ weights), weights


def calibrated(
    rate: float,
    slo: Slo,
    *,
    service_s: float,
    cv: float,
    concurrency: int,
    queue: int,
    cold_start_s: float,
) -> Replica:
    """Return the replica that holds the objective up to ``rate`` (requests/s), and no further.

    ``service_s`` is the mean of a quiet server. Requests that are answered at once share its cores,
    so the time that each takes under load is longer: it is the one with which the model just holds
    the objective at ``rate``. Where already the quiet time is too long for that, service varies
    less than ``cv``, and where that does not do, it is shorter (requests that are answered together
    share work). Raises UsageError where more are in service than can be.
    """
    if rate * service_s >= concurrency:
        raise UsageError(
            "the numbers of the replica contradict each other",
            where=f"{rate:g} requests/s of {service_s * 1e3:g} ms with {concurrency} at a time",
            why=f"{rate * service_s:.3g} would have to be answered at a time",
            fix=f"--concurrency {math.floor(rate * service_s) + 1}, or a shorter --service-ms",
        )

    def made(time_s: float, varies: float) -> Replica:
        return Replica(time_s, varies, concurrency, queue, cold_start_s)

    limit = slo.limit_ms / 1e3

    def holds(time_s: float, varies: float) -> bool:
        return made(time_s, varies).misses(rate, limit) <= slo.allowed

    if holds(service_s, cv):
        most = concurrency / rate
        return made(most * greatest(lambda x: holds(x * most, cv), 1.0), cv)
    if holds(service_s, 0.0):
        return made(service_s, cv * greatest(lambda x: holds(service_s, x * cv), 1.0))
    return made(service_s * greatest(lambda x: holds(x * service_s, 0.0), 1.0), 0.0)
