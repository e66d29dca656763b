"""A fleet step by step: means instead of requests, for traces too long to count each.

Replicas that became ready together are one cohort with one mean number L of requests in each. In a
step of D seconds L' + D c/s rho(L') = L + D rate, where rho(L) is the load at which a queue in its
steady state holds L: the pointwise stationary fluid flow of Wang, Tipper and Banerjee (1996), here
taken backwards in time so that a step may be longer than a service. What L holds beyond the steady
state of the load that comes in is work that has to be done first, and delays all alike.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from afterfit.loadtest.autoscale.queueing import Floats, Replica
from afterfit.loadtest.autoscale.view import Sample

STEADY = 0.97
"""Up to this load the queue of a step is taken for one in its steady state."""
EMPTY = 1e-3
_DELAYS = 160


class Flow:
    """The tables of one replica, which many runs share."""

    def __init__(self, replica: Replica, step_s: float) -> None:
        curve = replica.curve
        self.replica, self.step_s = replica, step_s
        self.drain = replica.capacity * step_s
        self.loads: list[float] = curve.loads.tolist()
        self.inside: list[float] = curve.inside.tolist()
        self.target: list[float] = (curve.inside + self.drain * curve.loads).tolist()
        self.most = float(replica.queue + replica.concurrency)

    def next(self, given: float) -> tuple[float, float]:
        """Return L' of one replica from L + D rate, and the load at which a queue holds L'."""
        target = self.target
        place = bisect_right(target, given) - 1
        if place >= len(target) - 1:
            return given - self.drain * self.loads[-1], self.loads[-1]
        share = (given - target[place]) / (target[place + 1] - target[place])
        inside, loads = self.inside, self.loads
        return (
            inside[place] + share * (inside[place + 1] - inside[place]),
            loads[place] + share * (loads[place + 1] - loads[place]),
        )

    def steady(self, load: float) -> float:
        """Return how many a steady queue holds at a load."""
        place = min(bisect_right(self.loads, load) - 1, len(self.loads) - 2)
        low, high = self.loads[place], self.loads[place + 1]
        share = (load - low) / (high - low)
        return self.inside[place] + share * (self.inside[place + 1] - self.inside[place])


class Fluid:
    """A fleet whose replicas have their own queues, in means.

    ``arrivals`` holds the requests of each step. ``states`` gets one row for each cohort and step
    in which it was sent requests: (step, requests, load, delay in s).
    """

    def __init__(self, flow: Flow, arrivals: list[float], *, holds: bool) -> None:
        self.flow, self.arrivals, self.holds = flow, arrivals, holds
        self.cohorts: list[list[float]] = []
        self.leaving: list[list[float]] = []
        self.held = 0.0
        self.held_since: list[tuple[int, float]] = []
        self.states: list[tuple[int, float, float, float]] = []
        self.place = 0

    def step(self, place: int) -> Sample:
        """Return what happened in this step."""
        self.place = place
        arrived = self.arrivals[place]
        ready = sum(cohort[0] for cohort in self.cohorts)
        answered = lost = busy = inside = 0.0
        if not ready:
            if self.holds:
                self.held += arrived
                self.held_since.append((place, arrived))
            else:
                lost = arrived
        each = arrived / ready if ready else 0.0
        for cohort in self.cohorts:
            done, gone, load = self._flow(cohort, each)
            answered, lost = answered + done, lost + gone
            busy, inside = busy + cohort[0] * load, inside + cohort[0] * cohort[1]
        if self.leaving:
            for cohort in self.leaving:
                done, gone, load = self._flow(cohort, 0.0)
                answered, busy = answered + done, busy + cohort[0] * load
                inside += cohort[0] * cohort[1]
            self.leaving = [cohort for cohort in self.leaving if cohort[1] > EMPTY]
        if len(self.cohorts) > 1:
            self._merge()
        return Sample(
            arrived, answered, lost, busy * self.flow.replica.concurrency, inside + self.held
        )

    def add(self, replicas: int, moment: float) -> None:
        """Make a new cohort; what was held goes to it."""
        held, self.held = self.held, 0.0
        self.cohorts.append([float(replicas), held / replicas])
        rate = self.flow.replica.capacity * replicas
        ahead = 0.0
        for place, requests in self.held_since:
            delay = max(0.0, moment - place * self.flow.step_s) + (ahead + requests / 2) / rate
            self.states.append((place, requests, 0.0, delay))
            ahead += requests
        self.held_since = []

    def remove(self, replicas: int) -> None:
        """Take the newest away; they finish what they have."""
        left = float(replicas)
        while left > 0 and self.cohorts:
            cohort = self.cohorts[-1]
            gone = min(left, cohort[0])
            self.leaving.append([gone, cohort[1]])
            cohort[0] -= gone
            left -= gone
            if cohort[0] <= 0:
                self.cohorts.pop()

    def _flow(self, cohort: list[float], each: float) -> tuple[float, float, float]:
        """Return answered and lost requests of a cohort, and its load, after this step."""
        flow, (replicas, before) = self.flow, cohort
        after, load = flow.next(before + each)
        lost = 0.0
        if after > flow.most:
            lost, after = after - flow.most, flow.most
        cohort[1] = after
        if each > lost:
            shown, delay = load, 0.0
            coming = min(each / flow.drain, STEADY)
            if load > coming:
                shown = coming
                delay = max(0.0, after - flow.steady(coming)) / flow.replica.capacity
            self.states.append((self.place, (each - lost) * replicas, shown, delay))
        return (before + each - lost - after) * replicas, lost * replicas, load

    def _merge(self) -> None:
        """Make one of cohorts that hold about the same."""
        first, *others = self.cohorts
        kept = [first]
        for cohort in others:
            if abs(cohort[1] - kept[-1][1]) <= EMPTY + 0.02 * kept[-1][1]:
                last = kept[-1]
                total = last[0] + cohort[0]
                last[1] = (last[0] * last[1] + cohort[0] * cohort[1]) / total
                last[0] = total
            else:
                kept.append(cohort)
        self.cohorts = kept


class Latencies:
    """How long the requests of states take: the tail of wait and service, read from one table."""

    def __init__(self, replica: Replica) -> None:
        self.loads = np.concatenate([np.linspace(0, 0.9, 31), np.linspace(0.91, STEADY, 13)])
        top = 200 * replica.service_s * (1 + replica.cv**2) / (1 - STEADY)
        self.times = np.concatenate([[0.0], np.geomspace(replica.service_s / 50, top, _DELAYS)])
        self.table = replica.tail(self.loads, self.times)

    def tail(self, loads: Floats, times: Floats) -> Floats:
        """Return P(latency > time) of pairs of load and time (s); 1 for times below 0."""
        x = np.interp(loads, self.loads, np.arange(len(self.loads)))
        y = np.interp(times, self.times, np.arange(len(self.times)))
        i = np.minimum(x.astype(int), len(self.loads) - 2)
        j = np.minimum(y.astype(int), len(self.times) - 2)
        u, v = x - i, y - j
        t = self.table
        low = t[i, j] * (1 - v) + t[i, j + 1] * v
        high = t[i + 1, j] * (1 - v) + t[i + 1, j + 1] * v
        return np.where(times < 0, 1.0, low * (1 - u) + high * u)

    def quantile(
        self, requests: Floats, loads: Floats, delays: Floats, lost: float, q: float
    ) -> float:
        """Return the latency (s) that a share q of all requests stays within; lost ones never do.

        States are counted on a grid of 44 loads and 200 delays first.
        """
        total = float(requests.sum()) + lost
        allowed = (1 - q) * total - lost
        if total <= 0 or allowed < 0:
            return float("nan") if total <= 0 else float("inf")
        edges = np.concatenate([[0.0], np.geomspace(1e-4, max(1e-3, float(delays.max())), 199)])
        counts, _, _ = np.histogram2d(
            loads,
            delays,
            weights=requests,
            bins=[np.append(self.loads, 2.0), np.append(edges, np.inf)],
        )
        at, wait = np.nonzero(counts)
        weights, load, delay = counts[at, wait], self.loads[at], edges[wait]
        low, high = 0.0, float(self.times[-1] + edges[-1])
        for _ in range(40):
            middle = (low + high) / 2
            over = float(self.tail(load, middle - delay) @ weights)
            low, high = (middle, high) if over > allowed else (low, middle)
        return high
