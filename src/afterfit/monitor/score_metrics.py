"""Metrics with their intervals from a score table: what can be said without the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from afterfit.core.formulae import Formula, find_formula
from afterfit.core.metric import Metric
from afterfit.core.signature import Task
from afterfit.monitor.score_table import LossSum, ScoreTable
from afterfit.stats.bootstrap import bootstrap_cells
from afterfit.stats.cells import flawless, of_cells
from afterfit.stats.interval import Interval, undefined
from afterfit.stats.rates import mean_of_sums
from afterfit.stats.score_bins import (
    auc_interval,
    auc_of_counts,
    precision_interval,
    precision_of_counts,
)

__all__ = ["MAIN_METRICS", "TABLE_METRICS", "judged_metrics", "table_metric", "table_metrics"]

TABLE_METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("roc_auc", "pr_auc", "log_loss", "brier", "f1", "precision", "recall", "accuracy",
               "balanced_accuracy", "mcc"),
    "multiclass": ("log_loss", "brier", "f1", "precision", "recall", "accuracy",
                   "balanced_accuracy", "mcc"),
    "regression": ("mae", "rmse"),
}  # fmt: skip
"""What a table can tell, by task; of a binary model without a positive class no areas."""
MAIN_METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("roc_auc", "log_loss", "accuracy"),
    "multiclass": ("log_loss", "accuracy"),
    "regression": ("mae", "rmse"),
}
"""Few, since each has its share of the budget: how rows are ordered, how sure, how decided."""
REPLICATES = 300
FEW = 50
"""With fewer rows of the smallest class (or values) than this, an interval is approximate."""


def judged_metrics(task: Task, named: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the metrics that alarms are of: those that matter most, and those that are named."""
    known = [name for name in named if name in TABLE_METRICS[task]]
    return tuple(dict.fromkeys((*MAIN_METRICS[task], *known)))


def table_metrics(
    table: ScoreTable,
    names: Sequence[str] = (),
    *,
    level: float = 0.95,
    seed: int = 0,
    scope: str = "live",
) -> list[Metric]:
    """Return the named metrics of a table, or all that it can tell; see `table_metric`."""
    asked = names or TABLE_METRICS[table.task]
    found = (table_metric(table, name, level=level, seed=seed, scope=scope) for name in asked)
    return [metric for metric in found if metric is not None]


def table_metric(
    table: ScoreTable, name: str, *, level: float = 0.95, seed: int = 0, scope: str = "live"
) -> Metric | None:
    """Return one metric of the labelled rows; None where the table cannot hold it.

    Areas take rows of one bin as ties; all else is exact. Without rows the metric has no value
    and says why. Raises `NotFoundError` for an unknown name.
    """
    formula = find_formula(name)
    if name not in TABLE_METRICS[table.task]:
        return None
    if name in ("roc_auc", "pr_auc"):
        if table.positive is None:
            return None
        n = int(table.by_bin("hits").sum() + table.by_bin("misses").sum())
        value, bounds = _area(table, name, level, seed)
    elif formula.cells is not None:
        n = table.labelled
        value, bounds = _of_cells(table, formula, level, seed)
    else:
        sums = _sums(table, name)
        n = sums.n
        value, bounds = _of_sums(sums, name, level)
    return _metric(name, value, bounds, n, level, scope, approximate=_few(table))


def _area(table: ScoreTable, name: str, level: float, seed: int) -> tuple[float, Interval]:
    hits, misses = table.by_bin("hits"), table.by_bin("misses")
    if name == "roc_auc":
        return float(auc_of_counts(hits, misses)), auc_interval(hits, misses, level)
    bounds = precision_interval(hits, misses, seed=seed, replicates=REPLICATES, level=level)
    return float(precision_of_counts(hits, misses)), bounds


def _of_cells(
    table: ScoreTable, formula: Formula, level: float, seed: int
) -> tuple[float, Interval]:
    cells, compute = table.confusion(), formula.cells
    if compute is None or not cells.sum():
        return math.nan, undefined("there are no rows")
    value = float(compute(cells, table.positive))
    known = of_cells(formula.name, cells, positive=table.positive, level=level)
    if known is not None:
        return value, known

    def statistic(tables: np.ndarray) -> np.ndarray:
        return compute(tables, table.positive)

    if not np.count_nonzero(cells - np.diag(np.diagonal(cells))):
        return value, flawless(statistic, cells, level)
    return value, bootstrap_cells(statistic, cells, seed=seed, replicates=REPLICATES, level=level)


def _sums(table: ScoreTable, name: str) -> LossSum:
    found: LossSum = {
        "brier": table.brier,
        "log_loss": table.log_loss,
        "mae": table.absolute,
        "rmse": table.squared,
    }[name]
    return found


def _of_sums(sums: LossSum, name: str, level: float) -> tuple[float, Interval]:
    if not sums.n:
        return math.nan, undefined("there are no rows")
    value, bounds = sums.total / sums.n, mean_of_sums(sums.n, sums.total, sums.squares, level)
    if name == "rmse":
        low, high = (math.sqrt(max(0.0, bound)) for bound in bounds[:2])
        return math.sqrt(value), Interval(low, high, bounds.method)
    return value, bounds


def _few(table: ScoreTable) -> bool:
    if table.task == "regression":
        return table.labelled < FEW
    actual = table.confusion().sum(axis=1)
    return not actual.any() or int(actual[actual > 0].min()) < FEW


def _metric(
    name: str,
    value: float,
    bounds: Interval,
    n: int,
    level: float,
    scope: str,
    *,
    approximate: bool,
) -> Metric:
    formula = find_formula(name)
    least, most = formula.bounds
    known = math.isfinite(value) and math.isfinite(bounds.low) and math.isfinite(bounds.high)
    low = min(value, max(least, bounds.low)) if known else None
    high = max(value, min(most, bounds.high)) if known else None
    return Metric(
        name=name,
        value=value if math.isfinite(value) else None,
        low=low,
        high=high,
        level=level,
        n=n,
        method=bounds.method + (", approximate" if known and approximate else ""),
        unit=formula.unit,
        scope=scope,
    )
