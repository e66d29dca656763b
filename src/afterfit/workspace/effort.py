"""How much each step may do at each effort: one budget of time for the whole line."""

from __future__ import annotations

import time
from dataclasses import dataclass

from afterfit.assess.config import AssessConfig, DecisionCosts
from afterfit.config import Config
from afterfit.core.effort import Effort, more_time
from afterfit.errors import ResourceError
from afterfit.loadtest.config import LoadtestConfig
from afterfit.optimize.config import OptimizeConfig
from afterfit.robustness.config import RobustnessConfig
from afterfit.store.environment import usable_cores

BUDGET_SECONDS: dict[Effort, float] = {"quick": 60.0, "standard": 300.0, "full": float("inf")}
"""The time of one walk of the line by effort, seconds.

The cross-validation, the conversions, the strange rows and the load test are cut short by it. What
has no lesser form is not: inspect, the metrics of the held-out rows, and drafting the bundle.
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


class Budget:
    """The time of one walk, from now on."""

    def __init__(self, effort: Effort) -> None:
        self.effort = effort
        self._deadline = time.monotonic() + BUDGET_SECONDS[effort]

    @property
    def left(self) -> float:
        """What is left, seconds, at least 0."""
        return max(0.0, self._deadline - time.monotonic())

    def share(self, step: str) -> float:
        """Return the seconds that a step may take: its share, or what is left of the whole."""
        return min(most_seconds(self.effort, step), self.left)

    def require(self) -> None:
        """Do nothing while there is time; raises ResourceError."""
        if not self.left:
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


def loadtest_config(config: Config) -> LoadtestConfig:
    """Return what ``loadtest`` is asked at this effort: it is short, and not cut shorter."""
    return LoadtestConfig(seconds=SHARES[config.line.effort].loadtest, seed=config.line.seed)
