"""The front door: a metric with the interval that was measured to cover best for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from afterfit.core.effort import Effort
from afterfit.core.formulae import (
    Formula,
    Options,
    check_rows,
    confusion_matrix,
    find_formula,
    least_classes,
)
from afterfit.core.ranking import one_against_rest
from afterfit.stats.bootstrap import bootstrap_cells
from afterfit.stats.cells import flawless, of_cells
from afterfit.stats.delong import delong
from afterfit.stats.dependent import dependent_interval
from afterfit.stats.influence import contributions
from afterfit.stats.interval import Interval, mean_interval, scaled_interval, undefined, wilson
from afterfit.stats.units import Units

__all__ = ["REPLICATES", "Effort", "MetricInterval", "metric_with_interval"]

FloatArray = NDArray[np.float64]

REPLICATES: dict[Effort, int] = {"quick": 500, "standard": 1000, "full": 4000}
FEW_OF_A_CLASS = 50
FEW_VALUES = 200
"""With fewer rows (of the smallest class) than these, no coverage was measured."""
# A smaller difference is rounding.
PERFECT = 1e-12
APPROXIMATE = ", approximate"


class MetricInterval(NamedTuple):
    """A metric and its interval; NaN with ``undefined: reason`` as method where not computed."""

    value: float
    low: float
    high: float
    method: str


def metric_with_interval(  # noqa: PLR0913 - what a metric is, and how sure to be of it
    name: str,
    y_true: NDArray[Any],
    prediction: NDArray[Any],
    *,
    positive: int | None,
    seed: int,
    level: float = 0.95,
    effort: Effort = "standard",
    quantile: float = 0.5,
    units: Units | None = None,
) -> MetricInterval:
    """Return (value, low, high, method) of the metric ``name``.

    Arrays are those of `afterfit.core.formulae.compute`. Without ``units`` rows are taken as
    independent: those that hang together (one person, one hour) make the interval too narrow.
    The same seed gives the same bounds. Raises `NotFoundError` for an unknown name and
    `InputError` for arrays that do not fit together.
    """
    formula = find_formula(name)
    score = formula.score(y_true, prediction, positive=positive, quantile=quantile)
    if score.reason:
        return MetricInterval(score.value, *undefined(score.reason))
    y_true, prediction = check_rows(formula, y_true, prediction, positive)
    options = Options(positive, quantile)
    if units is not None:
        rows = contributions(name, y_true, prediction, positive=positive, quantile=quantile)
        found = dependent_interval(name, score.value, rows, units, positive=positive, level=level)
    elif formula.cells is not None:
        cells = confusion_matrix(y_true, prediction, n_classes=least_classes(positive))
        found = of_cells(name, cells, positive=positive, level=level) or _resampled(
            formula.cells, cells, positive, seed, level, effort
        )
    elif formula.rows is not None:
        found = mean_interval(formula.rows(y_true, prediction, options), level)
    elif name == "rmse":
        low, high, method = mean_interval(np.square(y_true - prediction), level)
        found = Interval(math.sqrt(max(low, 0.0)), math.sqrt(high), method)
    elif name == "roc_auc":
        found = delong(y_true, prediction, positive=positive, level=level)
    else:
        found = _linear(name, score.value, y_true, prediction, positive, level)
    found = _within(found, score.value, formula.bounds)
    return MetricInterval(score.value, *_honest(found, formula, y_true))


def _resampled(
    formula: Callable[[NDArray[Any], int | None], FloatArray],
    cells: NDArray[Any],
    positive: int | None,
    seed: int,
    level: float,
    effort: Effort,
) -> Interval:
    def statistic(tables: NDArray[Any]) -> FloatArray:
        return formula(tables, positive)

    if np.count_nonzero(cells - np.diag(np.diagonal(cells))) == 0:
        return flawless(statistic, cells, level)
    replicates = REPLICATES[effort]
    return bootstrap_cells(statistic, cells, seed=seed, replicates=replicates, level=level)


def _linear(
    name: str,
    value: float,
    y_true: NDArray[Any],
    prediction: NDArray[Any],
    positive: int | None,
    level: float,
) -> Interval:
    """Return the interval of average precision or R² from the contributions of single rows.

    Average precision has as many degrees of freedom as its fewest positives less one, and at
    perfection Wilson's bound over those.
    """
    degrees = len(y_true) - 1
    if name == "pr_auc":
        pairs = one_against_rest(y_true, prediction, positive)
        fewest = min(int(truth.sum()) for truth, _ in pairs)
        degrees = fewest - 1
        if value >= 1.0 - PERFECT:
            return wilson(fewest, fewest, level)
    rows = contributions(name, y_true, prediction, positive=positive)
    error = math.sqrt(float(np.square(rows).sum()))
    bounds = find_formula(name).bounds
    if not error > 0.0 or degrees < 1 or value in bounds:
        return undefined("the rows do not vary")
    found = scaled_interval(value, error, degrees, level, bounds)
    return found._replace(method=f"linearised, {found.method}")


def _honest(found: Interval, formula: Formula, y_true: NDArray[Any]) -> Interval:
    """Return the interval, called approximate where too few rows are behind it."""
    if math.isnan(found.low) or found.method.endswith(APPROXIMATE):
        return found
    if formula.needs == "values":
        few = len(y_true) < FEW_VALUES
    else:
        counts = np.bincount(y_true.astype(np.int64))
        few = int(counts[counts > 0].min()) < FEW_OF_A_CLASS
    return found._replace(method=found.method + APPROXIMATE) if few else found


def _within(interval: Interval, value: float, bounds: tuple[float, float]) -> Interval:
    """Return the interval cut to the range of the metric, holding its value."""
    if math.isnan(interval.low):
        return interval
    if interval.low == interval.high:
        # A constant prediction, or losses that are all alike: no claim about other rows.
        return undefined("the rows do not vary")
    low = min(value, max(interval.low, bounds[0]))
    return Interval(low, max(value, min(interval.high, bounds[1])), interval.method)
