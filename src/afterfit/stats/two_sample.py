"""Whether two binned samples come from one distribution, and how far apart chance puts them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_EXPECTED", "chi_squared", "expected_by_chance"]

LEAST_EXPECTED = 5.0


def chi_squared(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return Pearson's p-value that two binned samples come from one distribution.

    Bins in which either sample expects fewer than 5 rows are pooled into one.
    """
    from scipy.special import gammaincc

    whole = np.stack([first, second]).astype(np.float64)
    totals = whole.sum(axis=1, keepdims=True)
    share = whole.sum(axis=0) / whole.sum()
    few = (totals.min() * share) < LEAST_EXPECTED
    pooled = np.column_stack([whole[:, ~few], whole[:, few].sum(axis=1)])
    pooled = pooled[:, pooled.sum(axis=0) > 0]
    freedom = pooled.shape[1] - 1
    if freedom < 1:
        return 1.0
    expected = totals * pooled.sum(axis=0) / whole.sum()
    statistic = float((np.square(pooled - expected) / expected).sum())
    return float(gammaincc(freedom / 2, statistic / 2))


def expected_by_chance(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the mean total variation of two samples of one distribution (normal approximation)."""
    share = (first + second) / (first.sum() + second.sum())
    spread = share * (1 - share) * (1 / first.sum() + 1 / second.sum())
    return float(np.sqrt(2 * spread / math.pi).sum() / 2)
