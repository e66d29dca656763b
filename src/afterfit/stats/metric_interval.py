"""The front door: a metric with the interval that was measured to cover best for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from afterfit.core.effort import Effort
from afterfit.core.formulae import (
    Options,
    check_rows,
    confusion_matrix,
    find_formula,
    least_classes,
)
from afterfit.core.ranking import one_against_rest
from afterfit.stats.bootstrap import Statistic, bootstrap, bootstrap_cells
from afterfit.stats.cells import flawless, of_cells
from afterfit.stats.delong import delong
from afterfit.stats.interval import Interval, mean_interval, undefined, wilson

__all__ = ["REPLICATES", "Effort", "MetricInterval", "average_precision_of_counts",
           "metric_with_interval"]  # fmt: skip

FloatArray = NDArray[np.float64]

REPLICATES: dict[Effort, int] = {"quick": 500, "standard": 1000, "full": 4000}
# Rows times replicates of one interval; beyond it, replicates give way, down to LEAST_REPLICATES.
ROW_BUDGET = 200_000_000
LEAST_REPLICATES = 200
# A smaller difference is rounding.
PERFECT = 1e-12


class MetricInterval(NamedTuple):
    """A metric and its interval; NaN with ``undefined: reason`` as method where not computed."""

    value: float
    low: float
    high: float
    method: str


def metric_with_interval(
    name: str,
    y_true: NDArray[Any],
    prediction: NDArray[Any],
    *,
    positive: int | None,
    seed: int,
    level: float = 0.95,
    effort: Effort = "standard",
    quantile: float = 0.5,
) -> MetricInterval:
    """Return (value, low, high, method) of the metric ``name`` over independent rows.

    Arrays are those of `afterfit.core.formulae.compute`. Rows that hang together (one person,
    one hour) make the interval too narrow. The same seed gives the same bounds. Raises
    `NotFoundError` for an unknown name and `InputError` for arrays that do not fit together.
    """
    formula = find_formula(name)
    score = formula.score(y_true, prediction, positive=positive, quantile=quantile)
    if score.reason:
        return MetricInterval(score.value, *undefined(score.reason))
    y_true, prediction = check_rows(formula, y_true, prediction, positive)
    if formula.cells is not None:
        cells = confusion_matrix(y_true, prediction, n_classes=least_classes(positive))
        found = of_cells(name, cells, positive=positive, level=level) or _resampled(
            formula.cells, cells, positive, seed, level, effort
        )
    elif formula.rows is not None:
        losses = formula.rows(y_true, prediction, Options(positive, quantile))
        found = mean_interval(losses, level)
    elif name == "rmse":
        low, high, method = mean_interval(np.square(y_true - prediction), level)
        found = Interval(math.sqrt(max(low, 0.0)), math.sqrt(high), method)
    elif name == "roc_auc":
        found = delong(y_true, prediction, positive=positive, level=level)
    elif name == "pr_auc":
        found = _average_precision(y_true, prediction, positive, seed, level, effort)
    else:
        replicates = _replicates(effort, len(y_true))
        statistic = _r2_of_counts(y_true, prediction)
        found = bootstrap(statistic, len(y_true), seed=seed, replicates=replicates, level=level)
    return MetricInterval(score.value, *_within(found, score.value, formula.bounds))


def _replicates(effort: Effort, n: int) -> int:
    return min(REPLICATES[effort], max(LEAST_REPLICATES, ROW_BUDGET // n))


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


def _average_precision(
    y_true: NDArray[Any],
    probabilities: NDArray[Any],
    positive: int | None,
    seed: int,
    level: float,
    effort: Effort,
) -> Interval:
    """Return the bootstrap on the logit scale; Wilson's bound over positives at perfection."""
    statistic = average_precision_of_counts(y_true, probabilities, positive=positive)
    pairs = one_against_rest(y_true, probabilities, positive)
    fewest = min(int(truth.sum()) for truth, _ in pairs)
    n = len(y_true)
    if float(statistic(np.ones((1, n), np.int64))[0]) >= 1.0 - PERFECT:
        return wilson(fewest, fewest, level)
    replicates = _replicates(effort, n)
    return bootstrap(
        statistic, n, seed=seed, replicates=replicates, level=level, method="logit",
        degrees=fewest - 1,
    )  # fmt: skip


def _r2_of_counts(y_true: NDArray[Any], prediction: NDArray[Any]) -> Statistic:
    """Return R² as a function of how often each row is drawn."""
    # Centring first keeps the sum of squares exact for targets far from zero.
    centred = y_true - y_true.mean()
    sums = np.column_stack([np.square(y_true - prediction), centred, np.square(centred)])

    def r2(counts: NDArray[Any]) -> FloatArray:
        residual, first, second = (counts @ sums).T
        total = second - np.square(first) / counts.sum(axis=1)
        constant = total <= PERFECT * second
        return np.where(constant, np.nan, 1 - residual / np.where(constant, 1.0, total))

    return r2


def average_precision_of_counts(
    y_true: NDArray[Any], probabilities: NDArray[Any], *, positive: int | None
) -> Statistic:
    """Return average precision as a function of counts (R, n), macro over classes where asked.

    Rows are sorted once; only thresholds at which a positive row enters are visited.
    """
    parts = [_sorted_precision(*pair) for pair in one_against_rest(y_true, probabilities, positive)]
    return lambda counts: np.asarray(np.mean([part(counts) for part in parts], axis=0))


def _sorted_precision(is_positive: NDArray[np.bool_], score: NDArray[Any]) -> Statistic:
    order = np.argsort(-score, kind="stable")
    ordered, truth = score[order], is_positive[order]
    group = np.cumsum(np.append(False, ordered[1:] != ordered[:-1]))
    last_of_group = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    positives = np.flatnonzero(truth)
    held, first_positive = np.unique(group[positives], return_index=True)
    ends = last_of_group[held] + 1
    starts = np.append(0, ends[:-1])

    def statistic(counts: NDArray[Any]) -> FloatArray:
        gains = np.add.reduceat(counts[:, order[positives]], first_positive, axis=1)
        rows = np.add.reduceat(counts[:, order[: ends[-1]]], starts, axis=1)
        hits, seen = np.cumsum(gains, axis=1), np.cumsum(rows, axis=1)
        area = (gains * (hits / np.maximum(seen, 1))).sum(axis=1)
        total = hits[:, -1]
        out = np.full(len(counts), np.nan)
        return np.asarray(np.divide(area, total, out=out, where=total > 0))

    return statistic


def _within(interval: Interval, value: float, bounds: tuple[float, float]) -> Interval:
    """Return the interval cut to the range of the metric, holding its value."""
    if math.isnan(interval.low):
        return interval
    if interval.low == interval.high:
        # A constant prediction, or losses that are all alike: no claim about other rows.
        return undefined("the rows do not vary")
    low = min(value, max(interval.low, bounds[0]))
    return Interval(low, max(value, min(interval.high, bounds[1])), interval.method)
