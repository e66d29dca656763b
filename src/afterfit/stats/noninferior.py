"""Whether a second model is no worse than a first on the same rows, by a margin.

Each function returns an upper bound of the *drop* (how much worse the second is, positive for
worse) that the true drop stays below with probability ``1 - alpha``. No worse is shown where the
bound is below the margin: a test that cannot see a difference shows nothing.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from afterfit.core.formulae import find_formula
from afterfit.errors import InputError
from afterfit.stats.bootstrap import bootstrap
from afterfit.stats.delong import auc_contributions
from afterfit.stats.interval import clopper_pearson
from afterfit.stats.paired import delong_difference, discordant, tango
from afterfit.stats.weighted import metric_of_counts

__all__ = ["Drop", "accuracy_drop", "auc_drop", "metric_drop", "needed_rows", "relative"]

FEW = 20
"""Fewer rows that differ than this, and the bound is an exact one on those that got worse."""
MOST_ROWS = 1 << 30


class Drop(NamedTuple):
    """How much worse the second is, with the one-sided bounds of it, each at level 1 - alpha.

    NaN bounds mean that none could be computed; ``method`` then says why. ``changed`` counts the
    rows on which the two differ (for accuracy: of which one alone is right).
    """

    value: float
    low: float
    high: float
    method: str
    changed: int


def metric_drop(
    name: str,
    y_true: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    alpha: float,
    positive: int | None,
    seed: int,
    replicates: int = 2000,
) -> Drop:
    """Return how much worse ``second`` is by the metric ``name`` on the same rows.

    In the metric's own unit; relative to the first model's value for metrics in the target's unit
    (see `relative`). ``first`` and ``second`` hold what the metric needs: labels as codes,
    probabilities, or values. Raises InputError for alpha outside of (0, 0.5).
    """
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha is {alpha}", fix="give a chance of error between 0 and 0.5")
    if name == "accuracy":
        return accuracy_drop(y_true == first, y_true == second, alpha)
    if name == "roc_auc":
        return auc_drop(y_true, first, second, alpha, positive)
    return _resampled_drop(name, y_true, first, second, alpha, positive, seed, replicates)


def relative(name: str) -> bool:
    """Return whether drops of this metric are shares of the first model's value (mae, rmse …)."""
    return find_formula(name).unit == "target"


def accuracy_drop(first: NDArray[Any], second: NDArray[Any], alpha: float) -> Drop:
    """Return the drop of accuracy between two models, by which rows each got right (bool of [n]).

    Tango's score bound; where fewer than 20 rows differ it is the larger of it and the exact
    (Clopper and Pearson) bound on the share of rows that only the first got right, which no drop
    exceeds.
    """
    lost, won = discordant(first, second)
    return _accuracy(lost, won, len(first), alpha)


def _accuracy(lost: int, won: int, n: int, alpha: float) -> Drop:
    if not n:
        return Drop(math.nan, math.nan, math.nan, "undefined: there are no rows", 0)
    found = tango(lost, won, n, 1 - 2 * alpha)
    high, method = found.high, found.method
    if lost + won < FEW:
        exact = clopper_pearson(lost, n, 1 - 2 * alpha).high
        high, method = max(high, exact), "exact bound on rows lost"
    return Drop((lost - won) / n, found.low, high, method, lost + won)


def auc_drop(
    y_true: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    alpha: float,
    positive: int | None = None,
) -> Drop:
    """Return the drop of the ROC AUC by DeLong's paired variance.

    Where few rows change their rank, the width that the variance gives is no claim about others:
    the share of rows of each class that may change bounds it instead.
    """
    gap, found = delong_difference(y_true, first, second, positive=positive, level=1 - 2 * alpha)
    if math.isnan(found.low):
        return Drop(gap, math.nan, math.nan, found.method, 0)
    one = auc_contributions(y_true, first, positive=positive)
    two = auc_contributions(y_true, second, positive=positive)
    changed = int((np.abs(one.rows - two.rows) > 1e-12).sum())
    high, method = found.high, found.method
    if changed < FEW:
        sizes = (one.n_positive, one.n_negative)
        shares = [clopper_pearson(min(changed, n), n, 1 - alpha).high for n in sizes]
        high, method = max(high, sum(shares)), "exact bound on rows changed"
    return Drop(gap, found.low, min(1.0, high), method, changed)


def _resampled_drop(
    name: str,
    y_true: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    alpha: float,
    positive: int | None,
    seed: int,
    replicates: int,
) -> Drop:
    formula = find_formula(name)
    sign = 1.0 if formula.bigger_is_better else -1.0
    one, two = (metric_of_counts(name, y_true, part, positive=positive) for part in (first, second))

    def statistic(counts: NDArray[Any]) -> NDArray[np.float64]:
        before, after = one(counts), two(counts)
        gaps = sign * (before - after)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(gaps / before if relative(name) else gaps, np.float64)

    n = len(y_true)
    differ = np.asarray(first != second)
    changed = int(differ.sum() if differ.ndim == 1 else differ.any(axis=1).sum())
    if n < 2:
        return Drop(math.nan, math.nan, math.nan, "undefined: there are no rows", changed)
    value = float(statistic(np.ones((1, n), np.int64))[0])
    if changed < FEW:
        why = f"undefined: only {changed} rows differ, too few to resample"
        return Drop(value, math.nan, math.nan, why, changed)
    found = bootstrap(statistic, n, seed=seed, replicates=replicates, level=1 - 2 * alpha)
    return Drop(value, found.low, found.high, f"paired {found.method}", changed)


def needed_rows(drop: Drop, margin: float, n: int, alpha: float) -> int | None:
    """Return about how many rows would show that the drop is below the margin, were it as seen.

    None where no number would be enough, because the drop as seen is not below the margin.
    """
    if not drop.value < margin or n == 0:
        return None
    if math.isnan(drop.high) or drop.changed < FEW:
        # Without a row that differs, the bound is that of zero events: log(alpha) / log(1 - p).
        share = margin - max(drop.value, 0.0)
        return max(n + 1, math.ceil(math.log(alpha) / math.log1p(-min(share, 0.999))))
    ratio = (drop.high - drop.value) / (margin - drop.value)
    return max(n + 1, min(MOST_ROWS, math.ceil(n * ratio * ratio)))
