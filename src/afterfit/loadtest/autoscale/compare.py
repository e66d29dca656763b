"""All policies over one trace, side by side: each sized for it, run several times, and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from afterfit.core.metric import Metric
from afterfit.core.progress import Progress
from afterfit.core.trace import Trace
from afterfit.loadtest.autoscale.config import POLICIES, AutoscaleConfig
from afterfit.loadtest.autoscale.plans import Plan, plan_of
from afterfit.loadtest.autoscale.queueing import Replica
from afterfit.loadtest.autoscale.simulate import Means, Outcome, Requests, exact
from afterfit.loadtest.autoscale.sizing import Fleet
from afterfit.stats.interval import t_interval

EXACT_REQUESTS = 3e6
"""Up to so many requests in all runs together each is simulated; a million takes about a second."""
STEPS = 300_000
"""Steps of the other form in all runs of a policy together."""
REFERENCE = "hpa-as-is"
LEAST_RUNS, MOST_RUNS = 3, 10
SECOND_LOOKS = 2
NO_SCHEDULE = ("flash-crowd",)
"""Shapes that nobody sees coming."""


@dataclass(frozen=True)
class Judged:
    """A policy, its runs, the floor that followed before runs raised it, and whether it holds."""

    plan: Plan
    runs: tuple[Outcome, ...]
    raised: int | None
    metrics: tuple[Metric, ...]
    holds: bool

    def value(self, name: str) -> float:
        """Return the point value of a metric; infinite where it has none."""
        found = next(metric.value for metric in self.metrics if metric.name == name)
        return float("inf") if found is None else found

    def part(self, name: str, bound: str) -> float:
        """Return a bound of a metric, its value where it has no interval."""
        metric = next(metric for metric in self.metrics if metric.name == name)
        found = metric.part(bound)
        return self.value(name) if found is None else found


class Arena:
    """One fleet and one trace: where policies are run."""

    def __init__(self, fleet: Fleet, trace: Trace, config: AutoscaleConfig) -> None:
        self.fleet, self.trace, self.config = fleet, trace, config
        self.names = config.policies or tuple(
            name for name in POLICIES if name != "scheduled" or trace.name not in NO_SCHEDULE
        )
        steps = len(trace.rates)
        self.runs = config.runs or int(min(max(STEPS // 3 // steps, LEAST_RUNS), MOST_RUNS))
        self.exact = trace.requests * len(self.names) * self.runs <= EXACT_REQUESTS
        self.means = Means.of(fleet.replica, fleet.slo, trace.step_s)

    def run(self, plan: Plan, place: int) -> Outcome:
        """Return one run; runs at the same place meet the same requests."""
        seed = self.config.seed * 1000 + place
        # Scrapes and loops of a cluster do not begin with the trace.
        phase = float(np.random.default_rng([seed, 3]).uniform(0, 15))
        if self.exact:
            trace, fleet = self.trace, self.fleet
            requests = Requests(trace.moments(seed), trace.seconds, trace.step_s, seed)
            return exact(
                fleet.replica, fleet.slo, requests, plan.make(phase), first=plan.first,
                phase_s=phase, holds=plan.holds,
            )  # fmt: skip
        # Means: the chance of single requests is in the formula of the queue already.
        expected = self.trace.smooth * self.trace.step_s
        return self.means.outcome(
            expected, plan.make(phase), phase_s=phase, first=plan.first, holds=plan.holds
        )

    def judge(self, name: str) -> Judged:
        """Return a policy with the smallest floor that holds, as far as there is one.

        The floor follows from the trace first. Where a run shows that it is too low (an HPA at the
        limit of its speed, say), it is raised, at the most to the replicas of a fixed number.
        """
        first = plan_of(name, self.fleet, self.trace, to_zero=self.config.to_zero)
        plan, top = first, self._top(first)
        runs = [self.run(first, place) for place in range(min(SECOND_LOOKS, self.runs))]
        sized = name not in ("static", REFERENCE) and first.size.least > 0
        if sized and top > first.size.least and not self._fine(runs):
            plan, runs = self._raised(name, first.size.least, top), []
        runs += [self.run(plan, place) for place in range(len(runs), self.runs)]
        metrics = self._metrics(runs)
        raised = first.size.least if plan is not first else None
        return Judged(plan, tuple(runs), raised, metrics, self._holds(metrics))

    def _top(self, plan: Plan) -> int:
        return min(self.fleet.needed(self.trace.peak), plan.size.most)

    def _fine(self, runs: Sequence[Outcome]) -> bool:
        """Return whether each of some runs holds."""
        return all(self._holds(self._metrics([run])) for run in runs)

    def _raised(self, name: str, low: int, high: int) -> Plan:
        """Return the policy with a floor between two, the lowest of three tries that holds."""
        best = plan_of(name, self.fleet, self.trace, least=high)
        for _ in range(2):
            middle = (low + high + 1) // 2
            plan = plan_of(name, self.fleet, self.trace, least=middle)
            if middle < high and self._fine([self.run(plan, each) for each in range(SECOND_LOOKS)]):
                best, high = plan, middle
            else:
                low = middle
        return best

    def affords(self, minutes: float) -> bool:
        """Return whether so many minutes of the trace may break the objective."""
        return minutes <= self.config.budget * self.trace.seconds / 60 + 1e-9

    def with_replica(self, replica: Replica) -> Arena:
        """Return the same question for another replica."""
        config = self.config
        fleet = Fleet.of(replica, self.fleet.slo, config.survive, config.zones, config.most)
        return Arena(fleet, self.trace, config)

    def _holds(self, metrics: tuple[Metric, ...]) -> bool:
        known = {metric.name: metric for metric in metrics}
        minutes, share = known["violation_minutes"], known["miss_share"]
        return self.affords(_high(minutes)) and _high(share) <= self.fleet.slo.allowed

    def _metrics(self, runs: Sequence[Outcome]) -> tuple[Metric, ...]:
        slo, usd = self.fleet.slo, self.config.usd_h
        values = {
            "violation_minutes": ([run.violation_minutes(slo) for run in runs], "min"),
            "miss_share": ([run.miss_share for run in runs], ""),
            "lost_requests": ([float(run.lost.sum()) for run in runs], "requests"),
            "latency_slo_ms": ([run.p_ms for run in runs], "ms"),
            "replica_hours": ([run.replica_hours for run in runs], "h"),
            "most_replicas": ([float(run.paid.max()) for run in runs], "replicas"),
        }
        if usd is not None:
            values["cost_usd"] = ([run.replica_hours * usd for run in runs], "USD")
        return tuple(_metric(name, each, unit) for name, (each, unit) in values.items())


def _high(metric: Metric) -> float:
    if metric.value is None:
        return float("inf")
    return metric.value if metric.high is None else metric.high


def _metric(name: str, values: list[float], unit: str) -> Metric:
    """Return the mean of runs with Student's interval; none where a run has no finite value."""
    n = len(values)
    if not np.isfinite(values).all():
        why = "more requests were lost than the objective allows to miss it"
        return Metric(name=name, value=None, n=n, unit=unit, method=why)
    if n < 2:
        return Metric(name=name, value=values[0], n=n, unit=unit, method="one run")
    bounds = t_interval(np.array(values))
    high = min(1.0, bounds.high) if name == "miss_share" else bounds.high
    return Metric(
        name=name, value=float(np.mean(values)), low=max(0.0, bounds.low), high=high, n=n,
        unit=unit, method="Student's t over runs",
    )  # fmt: skip


def compare(arena: Arena, progress: Progress) -> tuple[Judged, ...]:
    """Return every policy, the cheapest that holds first, then those that do not."""
    found = []
    for name in arena.names:
        progress.say(f"  {name}")
        found.append(arena.judge(name))
    # What is often set is there to compare with, and was not sized to survive a loss.
    return tuple(
        sorted(
            found,
            key=lambda each: (
                each.plan.name == REFERENCE, not each.holds, each.value("replica_hours"),
            ),
        )
    )  # fmt: skip
