"""How many machines stand at each moment of the traffic, so that the objective holds.

Every machine is taken to carry the least that it may. What has to stand now is what the traffic
asks of it until another machine could answer, so a slow start costs machines where traffic is
steep; on top comes what a loss takes away. Fixed hosts stand for the greatest moment all the time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afterfit.core.trace import Trace, greatest_ahead
from afterfit.platforms.config import PlatformsConfig
from afterfit.platforms.shapes import HOURS_PER_MONTH, Measured, Offer

__all__ = [
    "IDLE_S", "LAG_S", "REACTION_S", "Demand", "Fleet", "busy_share", "cold_share", "fact",
    "fleet_of", "lag_of", "least_of",
]  # fmt: skip

Floats = npt.NDArray[np.float64]

REACTION_S = 60.0
"""What passes until an autoscaler has seen traffic rise, in s: metrics come by the minute."""

LAG_S = 676.0
"""From the order to a running container where a service does not say, in s: the slowest 90th
percentile of seven providers (Spare Cores, 2026-06 to 2026-08), so more than most will need."""

IDLE_S = 300.0
"""How long an idle instance stays before a service scales to zero, in s; an assumption (services
promise nothing, and keep them for 5 to 15 minutes)."""


class Demand:
    """A trace as sizes and bills need it: rates in requests/s, scaled to a month of 730 hours."""

    def __init__(self, trace: Trace) -> None:
        self.rates = trace.smooth
        self.step_s = trace.step_s
        self.peak = float(self.rates.max())
        self.mean = float(trace.rates.mean())
        self.per_month = self.mean * HOURS_PER_MONTH * 3600
        self._ahead: dict[int, Floats] = {}

    def ahead(self, lag_s: float) -> Floats:
        """Return, ascending, the greatest rate of each step and of ``lag_s`` after it."""
        steps = math.ceil(lag_s / self.step_s - 1e-9)
        if steps not in self._ahead:
            self._ahead[steps] = np.sort(greatest_ahead(self.rates, steps))
        return self._ahead[steps]


class Fleet(NamedTuple):
    """How many machines stand: ``counts`` ascending, each for its share of the time.

    ``mean`` is the mean number of machines, ``busy`` of those that the traffic itself fills,
    ``bare`` of whole ones that carry it in time, without those for a loss.
    """

    counts: npt.NDArray[np.int64]
    shares: Floats
    mean: float
    busy: float
    bare: float

    @property
    def told(self) -> tuple[float, float, float]:
        """The least, the mean and the greatest number."""
        return float(self.counts[0]), self.mean, float(self.counts[-1])


def fleet_of(
    demand: Demand, carried: float, lag_s: float | None, config: PlatformsConfig, least: int = 1
) -> Fleet:
    """Return the machines for a demand of which each carries ``carried`` requests/s (above 0).

    Without a lag nothing scales: the machines for the peak stand all the time.
    """
    if lag_s is None:
        needed = np.array([max(1, math.ceil(demand.peak / carried - 1e-9))])
        shares = np.ones(1)
    else:
        needed, shares = _needed(demand.ahead(lag_s), carried)
    counts = np.maximum(_with_loss(needed, config), least)
    mean, bare = float(counts @ shares), float(needed @ shares)
    return Fleet(counts, shares, mean, demand.mean / carried, bare)


def _needed(ahead: Floats, carried: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return each number of machines that some moment needs, and for which share of the time."""
    most = max(1, math.ceil(ahead[-1] / carried - 1e-9))
    within = np.searchsorted(ahead, np.arange(1, most + 1) * carried * (1 + 1e-9), side="right")
    steps = np.diff(np.concatenate([[0], within]))
    steps[-1] += len(ahead) - within[-1]
    counts = np.flatnonzero(steps)
    return counts + 1, steps[counts] / len(ahead)


def _with_loss(needed: npt.NDArray[np.int64], config: PlatformsConfig) -> npt.NDArray[np.int64]:
    """Return how many stand so that the needed ones are left after the loss.

    Of ``n`` machines spread evenly over zones, ``n - ceil(n / zones)`` are left.
    """
    if config.survive == "replica":
        return needed + 1
    if config.survive == "zone" and config.zones > 1:
        return -(-needed * config.zones // (config.zones - 1))
    return needed


def lag_of(offer: Offer, measured: Measured) -> float | None:
    """Return what passes until one more machine answers, in s; None where nothing scales.

    The reaction, the order to a running container, and the start of the model.
    """
    if offer.service.kind == "host" or fact(offer, "autoscaling") is not True:
        return None
    start = fact(offer, "scale_lag_s")
    cold = fact(offer, "cold_start_s")
    known = [value for value in (start, cold) if isinstance(value, float | int)]
    ordered = float(sum(known)) if isinstance(start, float | int) else LAG_S
    return REACTION_S + ordered + (measured.cold_start_s or 0.0)


def least_of(offer: Offer, config: PlatformsConfig) -> int:
    """Return the fewest machines: those of the agreement, where an availability is asked for."""
    told = fact(offer, "least_replicas_of_sla")
    if config.requirements.availability is None or not isinstance(told, float | int):
        return 1
    return max(1, math.ceil(told))


def fact(offer: Offer, name: str) -> bool | float | str | None:
    """Return what is known of an offer's service by the name of a fact; None where nothing is."""
    found = offer.service.facts.get(name)
    return found.value if found else None


def busy_share(
    demand: Demand, carried: float, service_s: float, at_once: int | None = None
) -> float:
    """Return the mean number of instances that answer something, of those billed while they do.

    An instance that takes one request at a time (``at_once`` 1) is busy for its service time. One
    that takes several is busy while it has any: with independent arrivals 1 - exp(-rate x service),
    the share of the time in which M/G/infinity is not empty.
    """
    if at_once == 1:
        return demand.mean * service_s
    count = np.maximum(np.ceil(demand.rates / carried - 1e-9), 1.0)
    each = -np.expm1(-demand.rates / count * service_s)
    return float((count * each).mean())


def cold_share(demand: Demand, carried: float, cold_s: float) -> float:
    """Return the share of requests that meet a cold start, of a service that scales to zero.

    The first request after `IDLE_S` without one does, and all that come while it starts; so does
    one for each further instance. Arrivals are independent at the rates of the trace.
    """
    rates = demand.rates
    first = rates * np.exp(-rates * IDLE_S) * (1 + rates * cold_s) * demand.step_s
    grown = np.maximum(np.diff(np.maximum(np.ceil(rates / carried - 1e-9), 1.0)), 0.0)
    total = float(rates.sum()) * demand.step_s
    return min(1.0, (float(first.sum()) + float(grown.sum())) / total) if total else 0.0
