"""How much each step may do at each effort: one budget for the whole line."""

from __future__ import annotations

from dataclasses import dataclass

from afterfit.assess.config import AssessConfig
from afterfit.config import Config
from afterfit.loadtest.config import LoadtestConfig
from afterfit.robustness.config import RobustnessConfig
from afterfit.store.environment import usable_cores


@dataclass(frozen=True)
class Shares:
    """Seconds and sizes of the steps that take long."""

    folds: int
    assess_seconds: float
    robustness_rows: int
    robustness_seconds: float
    load_seconds: float
    optimize_seconds: float


SHARES = {
    "quick": Shares(3, 15.0, 40, 8.0, 3.0, 20.0),
    "standard": Shares(5, 100.0, 100, 45.0, 6.0, 90.0),
    "full": Shares(10, float("inf"), 500, float("inf"), 20.0, float("inf")),
}


def assess_config(config: Config, code: str) -> AssessConfig:
    """Return what ``assess`` is asked at this effort; the user's own number of folds wins."""
    shares = SHARES[config.line.effort]
    return AssessConfig(
        folds=shares.folds if config.line.folds is None else config.line.folds,
        seed=config.line.seed,
        effort=config.line.effort,
        refit=config.line.refit,
        code=code,
        jobs=min(usable_cores(), 4),
        seconds=shares.assess_seconds,
    )


def robustness_config(config: Config) -> RobustnessConfig:
    """Return what ``robustness`` is asked at this effort."""
    shares = SHARES[config.line.effort]
    return RobustnessConfig(
        rows=shares.robustness_rows, seed=config.line.seed, seconds=shares.robustness_seconds
    )


def loadtest_config(config: Config) -> LoadtestConfig:
    """Return what ``loadtest`` is asked at this effort."""
    return LoadtestConfig(seconds=SHARES[config.line.effort].load_seconds, seed=config.line.seed)
