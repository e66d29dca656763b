"""The greatest rate at which a server holds an objective: doubling, halving, verification.

The rate is doubled until the objective is missed and the interval halved until it is narrow; the
candidate must then pass five runs together, and is lowered until it does, or raised while it does,
by steps that grow; what lies between the last two is halved. MLPerf (inference rules v0.5, "find
the peak performance") lowers it where any one of five runs fails. Runs of seconds fail by chance at
rates that a server can hold, so that rule, here ``every_run``, finds too little:
docs/explanation/load-testing.md has how much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np

from afterfit.core.metric import Metric
from afterfit.errors import UsageError
from afterfit.loadtest.bound import Bound, bound_of
from afterfit.loadtest.judge import allowed_misses
from afterfit.loadtest.shot import Floats
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.steps import EndedError, Runs
from afterfit.records.loadtest import LoadStep

__all__ = [
    "BELOW_USUAL",
    "LEAST_RPS",
    "Search",
    "SearchConfig",
    "find_rate",
    "fitted",
    "least_budget",
]

Ended = Literal["found", "at least", "unreachable", "unmeasurable", "budget", "gone", "cut"]
LEAST_RPS = 1.0
BELOW_USUAL = 4.0
"""A search may start so far below what users who wait got, which saves the first runs."""
LEAST_REQUESTS = 200
MOST_STRETCH = 4.0
CLEAR = 0.95
"""A candidate is given up early where its misses are too many with this confidence."""
ROUNDING = 1e-9
LAST_STEP = 0.5
"""Where the time is enough for one more verification only, it is of a rate that is likely held."""
RUNS = 36
"""Doubling, halving, two verifications and what is made again are about so many runs' time."""
ROUNDS = 40
LEAST_RUNS = 14
"""Doubling four times and two verifications of five: with fewer runs a rate is seldom verified."""
NEAR = 1.5
"""How misses grow with the rate is read from runs within this factor of it."""


class SearchConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a rate is searched: from ``start_rps`` up to ``most_rps``, in runs of ``step_s``.

    Halving ends where the bounds are ``resolution`` (a share) apart. The candidate is verified by
    ``verify`` runs, together or, with ``every_run``, each by itself, and lowered or raised, by
    ``step_down`` (a share) at first. Runs at low rates are stretched, fourfold at most, so that
    they have 200 requests.
    """

    start_rps: float = 50.0
    most_rps: float = 100_000.0
    step_s: float = 5.0
    resolution: float = 0.02
    verify: int = 5
    every_run: bool = False
    step_down: float = 0.02

    def checked(self) -> SearchConfig:
        """Return the config; raises UsageError for one that finds nothing."""
        if (
            not LEAST_RPS <= self.start_rps <= self.most_rps
            or not self.step_s > 0
            or not 0 < self.resolution < 1
            or not 0 < self.step_down < 1
            or self.verify < 1
        ):
            given = msgspec.to_builtins(self)
            raise UsageError(
                "these settings find no rate",
                where=", ".join(f"{name} = {value}" for name, value in given.items()),
                why="rates start at 1 request/s, times are above 0, shares between 0 and 1",
                fix="start_rps = 50, most_rps = 100000, step_s = 5, verify = 5",
            )
        return self


def fitted(budget_s: float, most_s: float, warmup_s: float) -> tuple[float, float]:
    """Return the seconds of a run and of its warm-up, so that a search fits in ``budget_s``.

    They are ``most_s`` and ``warmup_s`` at most: runs of 5 s find nothing within a minute.
    """
    each = budget_s / RUNS
    return min(most_s, each), min(warmup_s, each)


def least_budget(most_s: float, warmup_s: float, beside_s: float) -> float:
    """Return the seconds that a search needs to verify some rate on a calm machine.

    ``beside_s`` is what a run takes beside its time. Longer searches have longer runs, so the
    seconds are those at which the runs that are needed just fit.
    """
    needed = 0.0
    for _ in range(ROUNDS):
        needed = LEAST_RUNS * (sum(fitted(needed, most_s, warmup_s)) + beside_s)
    return needed


@dataclass
class Search:
    """What a search knows: rates in requests/s, None where nothing is known.

    ``rate`` is the greatest rate that was verified, with the ``bound`` of its share of misses;
    ``passed`` the greatest that passed a single run, ``failed`` the least above them that did not,
    ``unmeasured`` the least at which no run was valid. ``ended`` says how it ended: ``at least``
    where the server may hold more, ``budget``, ``gone`` (the server) or ``cut`` (by somebody)
    where it was not finished; ``why`` is a sentence.
    """

    slo: Slo
    rate: float | None = None
    bound: Bound | None = None
    passed: float | None = None
    failed: float | None = None
    unmeasured: float | None = None
    ended: Ended = "found"
    why: str = ""
    steps: list[LoadStep] = field(default_factory=list)

    @property
    def n(self) -> int:
        """Return how many requests the rate was verified by."""
        return self.bound.n if self.bound else 0

    @property
    def metric(self) -> Metric | None:
        """Return the verified rate with the interval of the true limit; None where none was.

        The interval is that of the share of misses at the verified rate, carried over to rates by
        how fast misses grow with the rate around it; the rate at which doubling failed bounds it,
        too. A side that nothing bounds is None.
        """
        if self.rate is None or self.bound is None:
            return None
        growth = _growth(self.steps, self.rate)
        low, high = (
            self.rate * (self.slo.allowed / max(share, 1e-12)) ** (1 / growth)
            for share in (self.bound.upper, self.bound.low)
        )
        failed = (s.rate for s in self.steps if s.kind == "double" and s.verdict == "fail")
        most = min((rate for rate in failed if rate > self.rate), default=math.inf)
        high = min(max(high, self.rate), most)
        return Metric(
            name="sustained_rps",
            value=self.rate,
            low=min(low, self.rate),
            high=high if math.isfinite(most) else None,
            n=self.bound.n,
            method="search, misses by the rate",
            unit="requests/s",
            scope=str(self.slo),
        )


def _growth(steps: list[LoadStep], rate: float) -> float:
    """Return the power of the rate by which the share of misses grows around it, at least 1."""
    near = [
        (math.log(step.rate), math.log(step.misses / step.requests), step.misses)
        for step in steps
        if step.verdict != "invalid" and step.misses and rate / NEAR <= step.rate <= rate * NEAR
    ]
    if len(near) < 2:
        return 1.0
    x, y, weight = np.array(near).T
    x = x - np.average(x, weights=weight)
    spread = float((weight * x * x).sum())
    return max(1.0, float((weight * x * y).sum()) / spread) if spread > 0 else 1.0


def find_rate(runs: Runs, config: SearchConfig) -> Search:
    """Return the greatest rate at which ``runs`` hold their objective, and how sure that is.

    Never raises for what a server does: one that holds the objective at no rate, holds it at all
    rates, or goes away leaves what is known until then. Raises UsageError for a bad config.
    """
    hunt = _Hunt(runs, config.checked(), Search(runs.slo, steps=runs.steps))
    try:
        if hunt.bracket():
            hunt.narrow()
            hunt.settle()
    except EndedError as ended:
        hunt.found.ended, hunt.found.why = ended.kind, ended.told
    return hunt.finished()


@dataclass
class _Hunt:
    runs: Runs
    config: SearchConfig
    found: Search
    rejected: list[float] = field(default_factory=list)

    @property
    def top(self) -> float:
        """Return the least rate that was rejected or could not be measured."""
        return min([*self.rejected, self.found.unmeasured or math.inf])

    def seconds(self, rate: float) -> float:
        """Return how long a run of a rate takes, without its warm-up."""
        shortest = self.config.step_s
        return max(shortest, min(LEAST_REQUESTS / rate, MOST_STRETCH * shortest))

    def takes_s(self, rate: float) -> float:
        """Return how long a run of a rate takes with all that is around it."""
        return self.runs.warmup_s + self.seconds(rate) + self.runs.beside_s

    def once(self, kind: str, rate: float) -> tuple[LoadStep, Floats]:
        """Return the verdict of a run at a rate and its latencies in ms."""
        step, shot = self.runs.run(kind, rate, self.seconds(rate))
        if step.verdict == "invalid":
            self.found.unmeasured = min(rate, self.found.unmeasured or math.inf)
        return step, shot.latency_ms

    def holds(self, kind: str, rate: float) -> bool:
        """Return whether a single run at a rate passes."""
        step, _ = self.once(kind, rate)
        if step.verdict == "pass":
            self.found.passed = max(rate, self.found.passed or 0.0)
        elif step.verdict == "fail":
            self.rejected.append(rate)
        return step.verdict == "pass"

    def bracket(self) -> bool:
        """Double, or divide by ever more where the start fails; return whether any rate passed."""
        rate, found = self.config.start_rps, self.found
        self.runs.progress.step("search: doubling")
        while self.holds("double", rate) and rate < self.config.most_rps:
            rate = min(2 * rate, self.config.most_rps)
        factor = 2.0
        while found.passed is None and rate > LEAST_RPS:
            rate = max(rate / factor, LEAST_RPS)
            self.holds("double", rate)
            factor *= 2
        if found.passed is None:
            last = self.runs.steps[-1]
            found.ended = "unmeasurable" if last.verdict == "invalid" else "unreachable"
            found.why = f"at {last.rate:g} requests/s: {last.why}"
        return found.passed is not None

    def narrow(self) -> None:
        """Halve the interval between what passed and what did not."""
        self.runs.progress.step("search: halving")
        passed = self.found.passed or LEAST_RPS
        while passed * (1 + self.config.resolution) < self.top < math.inf:
            rate = math.sqrt(passed * self.top)
            # A verified rate is worth more than a narrower interval, and the first may fail.
            if self.runs.left_s < (2 * self.config.verify + 1) * self.takes_s(rate):
                return
            if self.holds("bisect", rate):
                passed = rate

    def settle(self) -> None:
        """Step from the candidate until verified rates and others meet, then halve what is between.

        Each step is twice the one before: where a machine's neighbours have spoilt the candidate,
        it may be far from the limit, and steps of one size would take longer than anybody waits.
        """
        rate = self.found.passed or LEAST_RPS
        self.runs.progress.step("search: verifying")
        if self.last_chance(rate):
            rate = max(LEAST_RPS, rate / (1 + LAST_STEP))
        if self.verified(rate):
            self.climb(rate)
        else:
            self.descend(rate)

    def last_chance(self, rate: float) -> bool:
        """Return whether there is no time for two verifications of a rate."""
        return self.runs.left_s < 2 * self.config.verify * self.takes_s(rate)

    def climb(self, rate: float) -> None:
        """Raise a rate that was verified while it is, as far as rates can be measured."""
        step, up = self.config.step_down, 1 + self.config.step_down
        while rate * up <= self.config.most_rps and rate * up < (self.found.unmeasured or math.inf):
            most = min(self.config.most_rps, self.found.unmeasured or math.inf)
            higher = max(rate * up, min(rate * (1 + step), most / up))
            if not self.verified(higher):
                return self.halve(rate, higher)
            rate, step = higher, 2 * step
        return None

    def descend(self, rate: float) -> None:
        """Lower a rate until it is verified."""
        step = self.config.step_down
        while rate > LEAST_RPS:
            if self.last_chance(rate):
                step = max(step, LAST_STEP)
            lower = max(LEAST_RPS, rate / (1 + step))
            if self.verified(lower):
                return self.halve(lower, rate)
            rate, step = lower, 2 * step
        last = self.runs.steps[-1]
        # What could not be measured says nothing of the server.
        self.found.ended = "unmeasurable" if last.verdict == "invalid" else "unreachable"
        self.found.why = f"{rate:g} requests/s did not pass its verification: {last.why}"
        return None

    def halve(self, low: float, high: float) -> None:
        """Verify between a rate that was verified and one that was not, until a step is left."""
        while high > low * (1 + self.config.step_down) * (1 + ROUNDING):
            middle = math.sqrt(low * high)
            if self.verified(middle):
                low = middle
            else:
                high = middle

    def verified(self, rate: float) -> bool:
        """Return whether a rate passes its runs, and note it where it does."""
        slo, pooled = self.runs.slo, np.empty(0)
        for _ in range(self.config.verify):
            step, latency = self.once("verify", rate)
            pooled = np.concatenate((pooled, latency))
            early = self.config.every_run and step.verdict == "fail"
            if early or bound_of(pooled, slo, CLEAR).low > slo.allowed:
                self.rejected.append(rate)
                return False
            if step.verdict == "invalid":
                return False
        bound = bound_of(pooled, slo, 0.975)
        if bound.misses > allowed_misses(slo, bound.n):
            self.rejected.append(rate)
            return False
        self.found.rate, self.found.bound = rate, bound
        return True

    def finished(self) -> Search:
        """Return what was found, with the least rate above it that was rejected."""
        found = self.found
        known = found.rate or found.passed or 0.0
        found.failed = min((rate for rate in self.rejected if rate > known), default=None)
        if found.ended == "found" and found.failed is None:
            found.ended = "at least"
            if found.unmeasured is None:
                found.why = f"the search goes up to {self.config.most_rps:g} requests/s"
            else:
                found.why = next(s.why for s in self.runs.steps if s.rate == found.unmeasured)
        return found
