"""How much each step may do at each effort: one budget of time for the whole line."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from afterfit.assess.config import AssessConfig, DecisionCosts
from afterfit.config import Config
from afterfit.core.effort import Effort, more_time
from afterfit.errors import ResourceError
from afterfit.loadtest.config import LoadConfig, LoadtestConfig
from afterfit.loadtest.slo import slo_of
from afterfit.optimize.config import OptimizeConfig
from afterfit.robustness.config import RobustnessConfig
from afterfit.store.environment import usable_cores

BUDGET_SECONDS: dict[Effort, float] = {"quick": 60.0, "standard": 300.0, "full": float("inf")}
"""The time of one walk of the line by effort, seconds.

The cross-validation, the conversions, the strange rows and the load test are cut short by it. What
has no lesser form is not: inspect, the metrics of the held-out rows, and drafting the bundle. Where
that took long, the last steps run all the same, and the line ends later by as much.
"""


@dataclass(frozen=True)
class Shares:
    """Sizes of the steps that take long, and the seconds that each may take at most."""

    folds: int
    repeats: int
    robustness_rows: int
    assess: float
    optimize: float
    robustness: float
    loadtest: float


SHARES: dict[Effort, Shares] = {
    "quick": Shares(3, 1, 40, 15.0, 20.0, 8.0, 3.0),
    "standard": Shares(5, 2, 100, 100.0, 90.0, 45.0, 6.0),
    "full": Shares(10, 5, 500, float("inf"), float("inf"), float("inf"), 20.0),
}


SEARCH_SECONDS: dict[Effort, float] = {"quick": 0.0, "standard": 90.0, "full": 240.0}
"""Of a load test whose greatest rate is searched, which takes the place of the short one."""
LEAST_RUNS = 60
"""Doubling, halving and verifying are about 20 runs in two thirds of the time, and each has as
much again beside for its warm-up and its end."""


KEPT = ("robustness", "loadtest")
"""The last steps, whose time is kept free: gates are judged on what they measure."""


class Budget:
    """The time of one walk, from now on; ``clock`` tells it in seconds.

    ``own`` has the seconds of steps that were asked for by the user.
    """

    def __init__(
        self,
        effort: Effort,
        clock: Callable[[], float] = time.monotonic,
        own: Mapping[str, float] | None = None,
    ) -> None:
        self.effort = effort
        self._own = own or {}
        self._clock = clock
        self._deadline = clock() + BUDGET_SECONDS[effort]

    @property
    def left(self) -> float:
        """What is left, seconds, at least 0."""
        return max(0.0, self._deadline - self._clock())

    def share(self, step: str) -> float:
        """Return the seconds that a step may take.

        It is at most the step's share. The steps before the last ones get what these leave of the
        whole; the last ones have theirs also where the line was slow, so that on a busy machine it
        ends later and not without their numbers.
        """
        most, whole = self._most(step), BUDGET_SECONDS[self.effort]
        if step in KEPT or math.isinf(whole):
            return min(most, whole)
        kept = sum(self._most(last) for last in KEPT)
        return min(most, max(0.0, self.left - kept))

    def _most(self, step: str) -> float:
        return self._own.get(step, most_seconds(self.effort, step))

    def require(self, step: str) -> None:
        """Do nothing while there is time for a step; raises ResourceError."""
        if not self.share(step):
            seconds = BUDGET_SECONDS[self.effort]
            raise ResourceError(
                f"the time of the line was over: {seconds:g} s at {self.effort} effort",
                fix=more_time(self.effort),
            )


def most_seconds(effort: Effort, step: str) -> float:
    """Return the seconds that a step may take at most; what it names is in `Shares`."""
    return float(getattr(SHARES[effort], step))


def assess_config(config: Config, code: str, seconds: float) -> AssessConfig:
    """Return what ``assess`` is asked at this effort; the user's own number of folds wins."""
    shares = SHARES[config.line.effort]
    return AssessConfig(
        folds=shares.folds if config.line.folds is None else config.line.folds,
        repeats=shares.repeats,
        margin=config.compare.margin,
        seed=config.line.seed,
        effort=config.line.effort,
        refit=config.line.refit,
        code=code,
        jobs=min(usable_cores(), 4),
        seconds=seconds,
        costs=_costs(config),
        fairness=config.fairness.columns,
    )


def _costs(config: Config) -> DecisionCosts | None:
    """Return what decisions cost; None where nobody said."""
    told = config.cost
    if told.false_negative is None or told.false_positive is None:
        return None
    return DecisionCosts(
        false_negative=told.false_negative,
        false_positive=told.false_positive,
        true_positive=told.true_positive,
        true_negative=told.true_negative,
    )


def optimize_config(config: Config, seconds: float) -> OptimizeConfig:
    """Return what ``optimize`` is asked at this effort."""
    line, asked = config.line, config.optimize
    return OptimizeConfig(
        seed=line.seed,
        effort=line.effort,
        goal=line.goal,
        seconds=asked.budget or seconds,
        batches=(1, asked.batch),
        allow=asked.allow,
        metric=asked.metric,
        max_drop=asked.max_drop,
    )


def robustness_config(config: Config, seconds: float) -> RobustnessConfig:
    """Return what ``robustness`` is asked at this effort."""
    rows = SHARES[config.line.effort].robustness_rows
    known = config.robustness
    return RobustnessConfig(
        rows=rows,
        seed=config.line.seed,
        effort=config.line.effort,
        seconds=seconds,
        monotone=known.monotone,
        fixed=known.fixed,
    )


def search_config(config: Config) -> LoadConfig | None:
    """Return what a load test with an objective is asked; None where none is, or time is short.

    Of its seconds, two thirds are for the search and the rest for the certificate.
    """
    asked, effort = config.loadtest, config.line.effort
    whole = asked.budget or SEARCH_SECONDS[effort]
    if not asked.slo or not whole:
        return None
    return LoadConfig(
        slo=slo_of(asked.slo),
        seconds=min(asked.seconds, whole / LEAST_RUNS),
        budget_s=whole * 2 / 3,
        certify_s=whole / 6,
        confidence=asked.confidence,
        expected_rps=asked.expected_rps,
        seed=config.line.seed,
    )


def loadtest_config(config: Config) -> LoadtestConfig:
    """Return what ``loadtest`` is asked at this effort: it is short, and not cut shorter."""
    return LoadtestConfig(seconds=SHARES[config.line.effort].loadtest, seed=config.line.seed)
