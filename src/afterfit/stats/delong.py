"""ROC AUC: its variance after DeLong, and intervals that hold near 1."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from afterfit.core.ranking import midranks, one_against_rest
from afterfit.stats.interval import (
    Interval,
    check_level,
    logit_interval,
    normal_quantile,
    undefined,
)

__all__ = ["Contributions", "auc_contributions", "delong", "newcombe_auc"]

_BISECTIONS = 60
# Below it, a variance is what rounding left of zero.
LEAST_VARIANCE = 1e-20


class Contributions(NamedTuple):
    """An AUC and what each row adds to its error; their squares sum to DeLong's variance."""

    auc: float
    rows: NDArray[np.float64]
    n_positive: int
    n_negative: int


def auc_contributions(
    y_true: NDArray[Any], probabilities: NDArray[Any], *, positive: int | None = None
) -> Contributions:
    """Return the ROC AUC (macro over classes where ``positive`` is None) with its row terms.

    Contributions of two models on the same rows may be subtracted: the squares of the difference
    sum to the variance of the paired difference. NaN where a class has fewer than two rows, or
    all but fewer than two. Time is O(n log n). Source: DeLong et al. (1988), Biometrics 44:837;
    midranks after Sun and Xu (2014), IEEE Signal Process. Lett. 21:1389.
    """
    pairs = one_against_rest(np.asarray(y_true), np.asarray(probabilities), positive)
    parts = [_binary_contributions(*pair) for pair in pairs]
    return Contributions(
        float(np.mean([part.auc for part in parts])),
        np.mean([part.rows for part in parts], axis=0),
        min(part.n_positive for part in parts),
        min(part.n_negative for part in parts),
    )


def _binary_contributions(is_positive: NDArray[np.bool_], score: NDArray[Any]) -> Contributions:
    m = int(is_positive.sum())
    n = len(is_positive) - m
    rows = np.full(len(is_positive), np.nan)
    if m == 0 or n == 0:
        return Contributions(float("nan"), rows, m, n)
    ranks = midranks(score)
    won = (ranks[is_positive] - midranks(score[is_positive])) / n
    lost = 1 - (ranks[~is_positive] - midranks(score[~is_positive])) / m
    auc = float(won.mean())
    if m > 1 and n > 1:
        rows[is_positive] = (won - auc) / math.sqrt(m * (m - 1))
        rows[~is_positive] = (lost - auc) / math.sqrt(n * (n - 1))
    return Contributions(auc, rows, m, n)


def delong(
    y_true: NDArray[Any],
    probabilities: NDArray[Any],
    *,
    positive: int | None = None,
    level: float = 0.95,
) -> Interval:
    """Return DeLong's interval of the ROC AUC on the logit scale, within [0, 1].

    Student's quantile, with Satterthwaite's degrees of freedom over the classes, pays for a
    variance that is estimated from few rows of a class.
    Where DeLong's variance is zero or not defined (perfect separation, a single row of a class)
    it is Newcombe's score interval instead.
    """
    check_level(level)
    auc, rows, m, n = auc_contributions(y_true, probabilities, positive=positive)
    if math.isnan(auc):
        return undefined("a class has no rows, or all of them")
    variance = float(np.square(rows).sum())
    if not variance > LEAST_VARIANCE or not 0.0 < auc < 1.0:
        return newcombe_auc(auc, m, n, level)
    degrees = _degrees(np.asarray(y_true), rows)
    bounds = logit_interval(auc, math.sqrt(variance), degrees, level)
    return Interval(*bounds, "delong-logit")


def _degrees(y_true: NDArray[Any], rows: NDArray[np.float64]) -> float:
    """Return the degrees of freedom of a variance summed over classes (Satterthwaite 1946)."""
    sizes = np.bincount(y_true)
    shares = np.bincount(y_true, np.square(rows))
    filled = sizes > 0
    return float(shares.sum() ** 2 / (shares**2 / np.maximum(sizes - 1, 1))[filled].sum())


def newcombe_auc(auc: float, n_positive: int, n_negative: int, level: float = 0.95) -> Interval:
    """Return the score interval of an AUC from the class sizes alone; holds at 0 and at 1.

    Source: Newcombe (2006), Stat. Med. 25:559, method 5.
    """
    z = normal_quantile(level)
    if not n_positive or not n_negative:
        return undefined("a class has no rows, or all of them")
    middle = (n_positive + n_negative) / 2 - 1

    def spread(theta: float) -> float:
        shape = 1 + middle * (1 - theta) / (2 - theta) + middle * theta / (1 + theta)
        return z * math.sqrt(theta * (1 - theta) * shape / (n_positive * n_negative))

    def edge(far: float) -> float:
        near, outside = auc, far
        for _ in range(_BISECTIONS):
            theta = (near + outside) / 2
            if abs(theta - auc) <= spread(theta):
                near = theta
            else:
                outside = theta
        return (near + outside) / 2

    return Interval(edge(0.0) if auc > 0 else 0.0, edge(1.0) if auc < 1 else 1.0, "newcombe")
