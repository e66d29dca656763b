"""Intervals from counts and sums, where the single values are not kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

from afterfit.errors import InputError
from afterfit.stats.interval import Interval, normal_quantile, undefined, wilson

__all__ = [
    "histogram_quantile",
    "mean_difference_of_sums",
    "mean_of_sums",
    "newcombe_difference",
    "ratio_of_rates",
]


def newcombe_difference(
    successes: float, n: float, other_successes: float, other_n: float, level: float = 0.95
) -> Interval:
    """Return the interval of the rate of one sample less that of an independent one.

    Wilson's bounds of both are combined, so it stays within [-1, 1] and has a width at rates of 0
    and 1 as well. Source: Newcombe (1998), Stat. Med. 17:873, method 10.
    """
    if not n or not other_n:
        return undefined("there are no trials")
    first, second = wilson(successes, n, level), wilson(other_successes, other_n, level)
    rate, other = successes / n, other_successes / other_n
    below = math.hypot(rate - first.low, second.high - other)
    above = math.hypot(first.high - rate, other - second.low)
    gap = rate - other
    return Interval(max(-1.0, gap - below), min(1.0, gap + above), "newcombe")


def ratio_of_rates(
    successes: float, n: float, other_successes: float, other_n: float, level: float = 0.95
) -> Interval:
    """Return the interval of the rate of one sample over that of an independent one.

    Wilson's bounds of both are combined; the upper bound is infinite where the other rate is 0.
    Source: Donner and Zou (2012), Stat. Methods Med. Res. 21:347, as recommended by Fagerland,
    Lydersen and Laake (2015), Stat. Methods Med. Res. 24:224.
    """
    if not n or not other_n:
        return undefined("there are no trials")
    first, second = wilson(successes, n, level), wilson(other_successes, other_n, level)
    rate, other = successes / n, other_successes / other_n
    if not rate and not other:
        return undefined("both rates are 0")
    product = rate * other
    low, high = 0.0, float("inf")
    if rate:
        top = first.low * (2 * rate - first.low)
        inner = product**2 - top * second.high * (2 * other - second.high)
        low = top / (product + math.sqrt(max(0.0, inner)))
    if other:
        bottom = second.low * (2 * other - second.low)
        inner = product**2 - bottom * first.high * (2 * rate - first.high)
        high = (product + math.sqrt(max(0.0, inner))) / bottom
    return Interval(low, high, "wilson-mover-ratio")


def mean_of_sums(n: float, total: float, squares: float, level: float = 0.95) -> Interval:
    """Return Student's interval of a mean from the sums of n values and of their squares."""
    from scipy.special import stdtrit

    normal_quantile(level)  # checks the level
    if n < 2:
        return undefined("a mean needs two rows")
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * math.sqrt(_variance(n, total, squares) / n)
    return Interval(total / n - half, total / n + half, "t")


def mean_difference_of_sums(
    first: tuple[float, float, float], second: tuple[float, float, float], level: float = 0.95
) -> Interval:
    """Return Welch's interval of the first mean less the second, from (n, sum, sum of squares).

    Source: Welch (1947), Biometrika 34:28, with Satterthwaite's degrees of freedom.
    """
    from scipy.special import stdtrit

    normal_quantile(level)  # checks the level
    (n, total, _), (m, other, _) = first, second
    if n < 2 or m < 2:
        return undefined("a mean needs two rows")
    parts = _variance(*first) / n, _variance(*second) / m
    error = sum(parts)
    gap = total / n - other / m
    if error == 0.0:
        return Interval(gap, gap, "welch")
    degrees = error**2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1))
    half = float(stdtrit(degrees, 0.5 + level / 2)) * math.sqrt(error)
    return Interval(gap - half, gap + half, "welch")


def histogram_quantile(
    bounds: Sequence[float], counts: Sequence[float], quantile: float, level: float = 0.95
) -> tuple[float, Interval]:
    """Return the upper bound of the bin that holds a quantile, and the interval by ranks.

    ``counts`` has one item more than the ascending upper ``bounds``: what is above them all. The
    interval reaches from the lower edge of one bin to the upper edge of another, so it holds the
    width of the bins. A bound beyond the bins or the sample is NaN.
    """
    if len(counts) != len(bounds) + 1 or not 0.0 < quantile < 1.0:
        raise InputError(f"{len(counts)} counts, {len(bounds)} bounds, quantile {quantile}")
    n = sum(counts)
    if not n:
        return float("nan"), undefined("there are no values")
    spread = normal_quantile(level) * math.sqrt(n * quantile * (1 - quantile))
    edges = (0.0, *bounds, float("nan"))
    below, here, above = (
        _bin(counts, rank)
        for rank in (n * quantile - spread, n * quantile, n * quantile + spread + 1)
    )
    low = float("nan") if n * quantile - spread < 1 else edges[below]
    high = float("nan") if n * quantile + spread + 1 > n else edges[above + 1]
    return edges[here + 1], Interval(low, high, "ranks in a histogram")


def _bin(counts: Sequence[float], rank: float) -> int:
    """Return the bin that holds the value of a rank, 1 to n."""
    seen = 0.0
    for index, count in enumerate(counts):
        seen += count
        if seen >= rank and count:
            return index
    return len(counts) - 1


def _variance(n: float, total: float, squares: float) -> float:
    """Return the sample's variance; what rounding makes negative is 0."""
    return max(0.0, (squares - total * total / n) / (n - 1))
