"""Two models on the same rows: intervals of their difference, first minus second."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterfit.errors import InputError
from afterfit.stats.delong import auc_contributions
from afterfit.stats.interval import (
    Interval,
    mean_interval,
    normal_quantile,
    undefined,
)

__all__ = ["delong_difference", "discordant", "mcnemar_exact", "mean_difference",
           "tango"]  # fmt: skip

_BISECTIONS = 60


def mean_difference(
    first: NDArray[Any], second: NDArray[Any], level: float = 0.95
) -> tuple[float, Interval]:
    """Return the mean of ``first - second`` (per-row losses, shape (n,)) and its interval."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(f"paired losses have shapes {first.shape} and {second.shape}")
    gaps = first - second
    if len(gaps) == 0:
        return float("nan"), undefined("there are no rows")
    return float(gaps.mean()), mean_interval(gaps, level)


def delong_difference(
    y_true: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    positive: int | None = None,
    level: float = 0.95,
) -> tuple[float, Interval]:
    """Return the difference of two ROC AUCs on the same rows and its DeLong interval.

    ``first`` and ``second`` hold probabilities. The width is zero where both models rank the
    rows alike, which then is no claim about other rows.
    """
    z = normal_quantile(level)
    one = auc_contributions(y_true, first, positive=positive)
    two = auc_contributions(y_true, second, positive=positive)
    gap = one.auc - two.auc
    error = math.sqrt(float(np.square(one.rows - two.rows).sum()))
    if math.isnan(error):
        return gap, undefined("a class has fewer than two rows, or all but fewer than two")
    low, high = max(-1.0, gap - z * error), min(1.0, gap + z * error)
    return gap, Interval(low, high, "delong")


def discordant(first: NDArray[Any], second: NDArray[Any]) -> tuple[int, int]:
    """Return how many rows only the first, and only the second, got right (0/1 or bool)."""
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape:
        raise InputError(f"paired outcomes have shapes {first.shape} and {second.shape}")
    return int((first & ~second).sum()), int((~first & second).sum())


def tango(only_first: int, only_second: int, n: int, level: float = 0.95) -> Interval:
    """Return Tango's score interval of the difference of two paired rates, within [-1, 1].

    ``only_first`` of ``n`` rows are right in the first alone, ``only_second`` in the second
    alone. Source: Tango (1998), Stat. Med. 17:891.
    """
    z = normal_quantile(level)
    if min(only_first, only_second) < 0 or only_first + only_second > n:
        raise InputError(f"{only_first} and {only_second} discordant rows of {n}")
    if n == 0:
        return undefined("there are no rows")
    gap = (only_first - only_second) / n

    def inside(delta: float) -> bool:
        distance = abs(only_first - only_second - n * delta)
        return distance <= z * math.sqrt(_tango_variance(only_first, only_second, n, delta))

    return Interval(_edge(inside, gap, -1.0), _edge(inside, gap, 1.0), "tango")


def _tango_variance(only_first: int, only_second: int, n: int, delta: float) -> float:
    """Return the variance of the gap in rows, at the likeliest rates whose difference is delta."""
    a = 2 * n
    b = -only_first - only_second + (2 * n - only_first + only_second) * delta
    c = -only_second * delta * (1 - delta)
    rate = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    return max(0.0, n * (2 * rate + delta * (1 - delta)))


def _edge(inside: Callable[[float], bool], near: float, far: float) -> float:
    if near == far or inside(far):
        return far
    for _ in range(_BISECTIONS):
        middle = (near + far) / 2
        if inside(middle):
            near = middle
        else:
            far = middle
    return (near + far) / 2


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value that both models are right equally often.

    Binomial over the discordant rows; 1 where there are none. Source: McNemar (1947),
    Psychometrika 12:153.
    """
    from scipy.special import bdtr

    if min(only_first, only_second) < 0:
        raise InputError(f"{only_first} and {only_second} discordant rows")
    n = only_first + only_second
    if n == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), n, 0.5)))
