"""Tests and intervals that hold however often one looks, and whenever one stops.

Nothing here is random, and every bound is exact for independent trials: by Ville's inequality a
nonnegative martingale that begins at 1 ever reaches 1/a with a probability of at most a.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from afterfit.errors import InputError
from afterfit.stats.interval import Interval, check_level, undefined

__all__ = ["RATIOS", "e_value", "log_ratios", "rate_sequence"]

RATIOS = tuple(float(each) for each in np.geomspace(1.1, 30.0, 24))
"""The odds ratios, beyond the one that is tolerated, that the mixture is over; equal weights."""
_BISECTIONS = 80


def log_ratios(
    hits: int, n: int, other_hits: int, other_n: int, *, tolerated: float = 1.0
) -> NDArray[np.float64]:
    """Return the log likelihood ratios of one block of trials, one for each of `RATIOS`, (24,).

    Each is of a sample whose odds are ``tolerated`` times ratio those of the other sample, against
    ``tolerated`` times, given the hits of both together: so the common rate, which may be another
    one in every block, drops out. Sums over blocks are the logs of martingales where the odds are
    ``tolerated`` times the other's, and of supermartingales where they are less.

    Source: Turner, Ly and Grünwald (2024), J. Stat. Plan. Inference 230:106116 (blocks of two
    samples); Fisher's noncentral hypergeometric distribution for the condition.
    """
    if not 0 <= hits <= n or not 0 <= other_hits <= other_n:
        raise InputError(f"{hits} hits of {n}, and {other_hits} of {other_n}", where="hits")
    total = hits + other_hits
    low, high = max(0, total - other_n), min(total, n)
    shifts = np.log(RATIOS)
    if low == high:
        return np.zeros(len(shifts))
    counts = np.arange(low, high + 1, dtype=float)
    k = counts[:-1]
    steps = np.log((n - k) * (total - k)) - np.log((k + 1) * (other_n - total + k + 1))
    weights = np.concatenate([[0.0], np.cumsum(steps + math.log(tolerated))])
    moved = weights + np.outer(shifts, counts - low)
    gains: NDArray[np.float64] = (
        shifts * (hits - low) + _log_sum(weights[None, :]) - _log_sum(moved)
    )
    return gains


def e_value(sums: Sequence[float]) -> float:
    """Return the log of the mixture of likelihood ratios whose logs were summed over blocks.

    It passes log(1/a) with a probability of at most a, ever, where nothing is worse than tolerated.
    Source: Robbins (1970), Ann. Math. Stat. 41:1397; Johari et al. (2022), Oper. Res. 70:1806.
    """
    values = np.asarray(sums, float)
    return float(_log_sum(values[None, :])[0] - math.log(len(values)))


def rate_sequence(hits: float, n: float, level: float = 0.95) -> Interval:
    """Return bounds of a rate that hold at all numbers of trials at once with ``level``.

    The mixture is over Beta(1/2, 1/2), so the bounds exist and have a width from the first trial.
    The rate is taken to be one and the same in all trials. Source: Robbins (1970), Ann. Math. Stat.
    41:1397; Howard et al. (2021), Ann. Stat. 49:1055, section 3.
    """
    check_level(level)
    if not 0 <= hits <= n:
        raise InputError(f"{hits} hits of {n} trials", where="hits")
    if n == 0:
        return undefined("there are no trials")
    misses = n - hits
    mixture = _log_beta(hits + 0.5, misses + 0.5) - _log_beta(0.5, 0.5)
    limit = -math.log(1 - level)

    def beyond(rate: float) -> bool:
        own = (hits * math.log(rate) if hits else 0.0) + (
            misses * math.log1p(-rate) if misses else 0.0
        )
        return mixture - own > limit

    rate = hits / n
    low = _edge(0.0, rate, beyond) if hits else 0.0
    high = 1.0 - _edge(0.0, 1.0 - rate, lambda gap: beyond(1.0 - gap)) if misses else 1.0
    return Interval(low, high, "beta-binomial confidence sequence")


def _edge(outside: float, inside: float, beyond: Callable[[float], bool]) -> float:
    """Return where ``beyond`` ends between a point that is and one that is not, from outside."""
    for _ in range(_BISECTIONS):
        middle = (outside + inside) / 2
        if middle <= 0.0 or beyond(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_sum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(sum(exp(values))) of each row."""
    top = values.max(axis=1)
    found: NDArray[np.float64] = top + np.log(np.exp(values - top[:, None]).sum(axis=1))
    return found
