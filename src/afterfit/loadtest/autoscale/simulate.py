"""One policy over one trace: replicas start late and stop at once, requests come meanwhile."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from afterfit.loadtest.autoscale.des import OwnQueues, SharedQueue
from afterfit.loadtest.autoscale.fluid import Flow, Fluid, Latencies
from afterfit.loadtest.autoscale.policies import Policy
from afterfit.loadtest.autoscale.queueing import Floats, Replica
from afterfit.loadtest.autoscale.view import Sample, View
from afterfit.loadtest.slo import Slo

NEAR = 1e-9
MINUTE = 60.0


class Fleet(Protocol):
    """Replicas that answer requests, exactly or in means."""

    def step(self, place: int) -> Sample:
        """Return what happened in the step at this place."""
        ...

    def add(self, replicas: int, moment: float) -> None:
        """Make replicas ready."""
        ...

    def remove(self, replicas: int) -> None:
        """Take replicas away."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What a policy came to. Arrays have one item a step of ``step_s`` seconds.

    ``ready`` and ``paid`` are replicas (``paid`` with those that start), ``missed`` the requests
    without a good answer within the objective, by when they came; ``lost`` those without any.
    ``p_ms`` is the objective's percentile of the latency of all requests, in ms.
    """

    step_s: float
    arrived: Floats
    missed: Floats
    lost: Floats
    ready: Floats
    paid: Floats
    p_ms: float

    @property
    def requests(self) -> float:
        """All requests."""
        return float(self.arrived.sum())

    @property
    def miss_share(self) -> float:
        """Share of requests that missed the objective."""
        return float(self.missed.sum()) / max(self.requests, 1.0)

    @property
    def replica_hours(self) -> float:
        """Hours of replicas, from the decision to start one on."""
        return float(self.paid.sum()) * self.step_s / 3600

    def violation_minutes(self, slo: Slo) -> float:
        """Return the minutes in which more requests missed it than may: two at least."""
        minute = max(1, round(MINUTE / self.step_s))
        starts = np.arange(0, len(self.arrived), minute)
        came = np.add.reduceat(self.arrived, starts)
        missed = np.add.reduceat(self.missed, starts)
        long = np.diff(np.append(starts, len(self.arrived))) * self.step_s / MINUTE
        return float(long[missed > np.maximum(1.0, slo.allowed * came) + NEAR].sum())


def run(fleet: Fleet, policy: Policy, replica: Replica, steps: int, step_s: float,
        phase_s: float, first: int) -> tuple[list[Sample], Floats, Floats]:  # fmt: skip
    """Return the samples, and ready and paid replicas of each step.

    ``first`` replicas are ready at the start. The policy is asked every ``tick_s`` seconds,
    ``phase_s`` after the start for the first time.
    """
    view = View(step_s, ready=first)
    if first:
        fleet.add(first, 0.0)
    starting: deque[tuple[float, int]] = deque()
    samples, ready, paid = [], np.zeros(steps), np.zeros(steps)
    due = phase_s
    for place in range(steps):
        now = place * step_s
        while starting and starting[0][0] <= now + NEAR:
            moment, count = starting.popleft()
            fleet.add(count, moment)
            view.ready, view.starting = view.ready + count, view.starting - count
        ready[place], paid[place] = view.ready, view.current
        sample = fleet.step(place)
        samples.append(sample)
        view.add(sample)
        if now + step_s + NEAR >= due:
            due += max(policy.tick_s, step_s)
            _scale(fleet, view, starting, policy.decide(now + step_s, view), now + step_s
                   + replica.cold_start_s)  # fmt: skip
    return samples, ready, paid


def _scale(
    fleet: Fleet, view: View, starting: deque[tuple[float, int]], wish: int, moment: float
) -> None:
    more = wish - view.current
    if more > 0:
        starting.append((moment, more))
        view.starting += more
    while more < 0 and starting:
        when, count = starting.pop()
        gone = min(count, -more)
        if count > gone:
            starting.append((when, count - gone))
        view.starting -= gone
        more += gone
    if more < 0:
        fleet.remove(-more)
        view.ready += more


@dataclass(frozen=True)
class Means:
    """Runs of the fluid form, with tables that they share; see `fluid`."""

    replica: Replica
    slo: Slo
    step_s: float
    flow: Flow
    latencies: Latencies

    @classmethod
    def of(cls, replica: Replica, slo: Slo, step_s: float) -> Means:
        """Return the form of one replica and objective."""
        return cls(replica, slo, step_s, Flow(replica, step_s), Latencies(replica))

    def outcome(
        self, arrivals: Floats, policy: Policy, *, phase_s: float, first: int, holds: bool = True
    ) -> Outcome:
        """Return what a policy comes to; ``arrivals`` are the requests expected in each step."""
        fleet = Fluid(self.flow, arrivals.tolist(), holds=holds)
        samples, ready, paid = run(
            fleet, policy, self.replica, len(arrivals), self.step_s, phase_s, first
        )
        end = len(arrivals) * self.step_s
        if fleet.held_since:
            fleet.add(1, end + self.replica.cold_start_s)
        lost = np.array([sample.lost for sample in samples])
        states = np.array(fleet.states).reshape(-1, 4)
        place, requests, loads, delays = states.T
        late = self.latencies.tail(loads, self.slo.limit_ms / 1e3 - delays) * requests
        missed = np.bincount(place.astype(int), late, minlength=len(arrivals)) + lost
        quantile = self.latencies.quantile(
            requests, loads, delays, float(lost.sum()), self.slo.quantile
        )
        return Outcome(self.step_s, arrivals, missed, lost, ready, paid, quantile * 1e3)


@dataclass(frozen=True)
class Requests:
    """The moments (s, ascending) of all requests of ``seconds``, and the seed of their services."""

    due: Floats
    seconds: float
    step_s: float
    seed: int


def exact(
    replica: Replica,
    slo: Slo,
    requests: Requests,
    policy: Policy,
    *,
    first: int,
    phase_s: float = 0.0,
    holds: bool = True,
    routing: Literal["own", "shared"] = "own",
) -> Outcome:
    """Return what a policy comes to, request by request."""
    due, step_s = requests.due, requests.step_s
    steps = math.ceil(requests.seconds / step_s - NEAR)
    kind = OwnQueues if routing == "own" else SharedQueue
    fleet = kind(replica, due, steps, step_s, requests.seed, holds=holds)
    samples, ready, paid = run(fleet, policy, replica, steps, step_s, phase_s, first)
    fleet.advance(math.inf)
    place = np.minimum((due / step_s).astype(int), steps - 1)
    missed = np.bincount(place, fleet.latency * 1e3 > slo.limit_ms, minlength=steps)
    arrived = np.bincount(place, minlength=steps).astype(float)
    lost = np.array([sample.lost for sample in samples])
    ordered = np.sort(fleet.latency)
    rank = max(0, math.ceil(round(slo.quantile * len(ordered), 9)) - 1)
    quantile = float(ordered[rank]) * 1e3 if len(ordered) else math.nan
    return Outcome(step_s, arrived, missed.astype(float), lost, ready, paid, quantile)
