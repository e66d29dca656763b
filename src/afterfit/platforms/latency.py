"""What a replica's speed does to the rate that it holds an objective at: not only in proportion.

A machine of half the speed takes twice as long for a request, while the objective stays: less of
the time is left for waiting, so it has to be emptier. The replica is taken for a queue (Erlang C
with the correction of Allen and Cunneen, `afterfit.stats.queueing`) that holds the objective at the
measured rate and no further; on another machine all of its times are divided by the speed.
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from afterfit.core.slo import Slo
from afterfit.platforms.shapes import Measured
from afterfit.stats.queueing import greatest, late_share, most_rate

__all__ = ["NETWORK_MS", "Pace", "pace_of"]

NETWORK_MS = 1.0
"""What stands between a caller and the replica at the least, in ms: a round trip inside of a region
through a balancer. An assumption; a load test on one machine does not have it."""

_SPEEDS = np.geomspace(1 / 16, 16, 29)
_LOADS = np.linspace(0.02, 0.98, 25)

Floats = npt.NDArray[np.float64]


class Pace:
    """A measured replica as a queue: ``servers``, and ``service_s``, equally likely times in s.

    ``mean_s`` is their mean.

    A speed of 1 is that of the measurement.
    """

    def __init__(self, measured: Measured, slo: Slo, network_ms: float = NETWORK_MS) -> None:
        assumed = (measured.service_ms or 0.0) / 1e3
        self.slo, self.measured, self.network_ms = slo, measured, network_ms
        self.servers = max(round(measured.cores), math.floor(measured.rate * assumed) + 1)
        shape = _lognormal(measured.cv, slo.allowed)
        limit, allowed = slo.limit_ms / 1e3, slo.allowed

        def holds(mean_s: float) -> bool:
            return late_share(measured.rate, shape * mean_s, self.servers, limit) <= allowed

        self.mean_s = greatest(holds, self.servers / measured.rate)
        self.service_s = shape * self.mean_s

    @cached_property
    def _near(self) -> Floats:
        """The rates at the objective by `_SPEEDS`, at the replica itself."""
        return self._at_objective(0.0)

    @cached_property
    def _far(self) -> Floats:
        """The rates at the objective by `_SPEEDS`, behind the network."""
        return self._at_objective(self.network_ms)

    def _at_objective(self, reserve_ms: float) -> Floats:
        limit = max(self.slo.limit_ms - reserve_ms, 0.0) / 1e3
        rates = (
            most_rate(self.service_s / speed, self.servers, limit, self.slo.allowed)
            for speed in _SPEEDS
        )
        return np.fromiter(rates, np.float64, len(_SPEEDS))

    def rate(self, speed: float) -> float:
        """Return the greatest rate (requests/s) behind the network at a speed."""
        inside = min(max(speed, _SPEEDS[0]), _SPEEDS[-1])
        return speed * float(np.interp(math.log(inside), np.log(_SPEEDS), self._far / _SPEEDS))

    def speed(self, rate: float) -> float:
        """Return the speed of a replica that holds the objective up to ``rate`` by itself."""
        first = int(np.argmax(self._near > 0))
        return float(np.interp(rate, self._near[first:], _SPEEDS[first:]))

    @cached_property
    def _quantiles(self) -> Floats:
        """The objective's quantile of latency (s) at a speed of 1, by `_LOADS`."""
        return np.array([self._quantile(load * self.servers / self.mean_s) for load in _LOADS])

    def _quantile(self, rate: float) -> float:
        top = float(self.service_s.max())
        while late_share(rate, self.service_s, self.servers, top) > self.slo.allowed:
            top *= 2

        def misses(seconds: float) -> bool:
            share = late_share(rate, self.service_s, self.servers, seconds)
            return share > self.slo.allowed

        return greatest(misses, top)

    def quantile_ms(self, speed: float, rate: float) -> float:
        """Return the objective's quantile of latency in ms for ``rate`` on each replica."""
        load = rate * self.mean_s / speed / self.servers
        return float(np.interp(load, _LOADS, self._quantiles)) / speed * 1e3 + self.network_ms


@lru_cache(maxsize=32)
def pace_of(measured: Measured, slo: Slo | None) -> Pace | None:
    """Return the replica as a queue; None where its service time or the objective is not known."""
    if slo is None or not measured.service_ms:
        return None
    return Pace(measured, slo)


def _lognormal(cv: float, allowed: float) -> Floats:
    """Return service times with a mean of 1, equally likely and dense enough for the objective."""
    count = int(np.clip(math.ceil(4 / allowed), 200, 4000))
    normal = NormalDist()
    middles = [normal.inv_cdf((place + 0.5) / count) for place in range(count)]
    times = np.exp(math.sqrt(math.log1p(cv * cv)) * np.array(middles))
    return np.asarray(times / times.mean())
