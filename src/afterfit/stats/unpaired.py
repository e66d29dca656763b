"""Two independent samples: one-sided tests that the first has the higher mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterfit.errors import InputError

__all__ = ["fisher_greater", "welch_greater"]


def fisher_greater(successes: int, n: int, other_successes: int, other_n: int) -> float:
    """Return the exact p-value that the first rate is no higher than the other; 1 without trials.

    Given both margins the first count is hypergeometric, so this holds at any size; it errs on
    the side of too large p-values. Source: Fisher (1935), J. R. Stat. Soc. 98:39.
    """
    from scipy.special import gammaln

    if not (0 <= successes <= n and 0 <= other_successes <= other_n):
        raise InputError(f"{successes} of {n} and {other_successes} of {other_n} trials")
    total = successes + other_successes
    counts = np.arange(max(0, total - other_n), min(n, total) + 1)
    logs = -(
        gammaln(counts + 1)
        + gammaln(n - counts + 1)
        + gammaln(total - counts + 1)
        + gammaln(other_n - total + counts + 1)
    )
    weights = np.exp(logs - logs.max())
    return float(min(1.0, weights[counts >= successes].sum() / weights.sum()))


def welch_greater(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return Welch's p-value that the first mean is no higher than the second.

    ``first`` (n,) and ``second`` (m,) are independent. NaN where a sample has fewer than two
    values or neither varies. Source: Welch (1947), Biometrika 34:28.
    """
    from scipy.special import stdtr

    first, second = np.asarray(first, float), np.asarray(second, float)
    n, m = len(first), len(second)
    if min(n, m) < 2:
        return float("nan")
    parts = float(first.var(ddof=1)) / n, float(second.var(ddof=1)) / m
    error = sum(parts)
    gap = float(first.mean() - second.mean())
    if error <= 1e-28 * gap * gap or error == 0.0:
        return float("nan")
    degrees = error**2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1))
    return float(stdtr(degrees, -gap / error**0.5))
