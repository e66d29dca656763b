"""Closed-form intervals of rates and means; `bootstrap` and `delong` hold the others."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from afterfit.errors import InputError, UsageError

__all__ = [
    "Interval",
    "check_level",
    "clopper_pearson",
    "logit_interval",
    "mean_interval",
    "normal_quantile",
    "resampled_t_interval",
    "scaled_interval",
    "student_quantile",
    "t_interval",
    "undefined",
    "wilson",
    "wilson_of_error",
]


# Below it, Hall's transform is the identity to the last digit that matters.
LEAST_TILT = 1e-6


class Interval(NamedTuple):
    """The bounds and how they were found; NaN bounds carry ``undefined: reason`` as method."""

    low: float
    high: float
    method: str


def undefined(reason: str) -> Interval:
    """Return an interval that could not be computed, and why."""
    return Interval(float("nan"), float("nan"), f"undefined: {reason}")


def check_level(level: float) -> float:
    """Return ``level``; raises `UsageError` unless it lies strictly between 0 and 1."""
    if not 0.0 < level < 1.0:
        raise UsageError(
            f"the confidence level is {level}",
            why="it must lie between 0 and 1",
            fix="level = 0.95",
        )
    return level


def normal_quantile(level: float) -> float:
    """Return the two-sided standard normal quantile: 1.96 for a level of 0.95."""
    return NormalDist().inv_cdf(0.5 + check_level(level) / 2)


def _check_count(successes: float, n: float) -> None:
    if not 0 <= successes <= n:
        raise InputError(f"{successes} successes of {n} trials", where="successes")


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a rate, within [0, 1] and never of zero width.

    Source: Wilson (1927), J. Am. Stat. Assoc. 22:209.
    """
    z = normal_quantile(level)
    _check_count(successes, n)
    if n == 0:
        return undefined("there are no trials")
    rate = successes / n
    centre = rate + z * z / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if successes == n else min(1.0, (centre + half) / scale)
    return Interval(low, high, "wilson")


def wilson_of_error(rate: float, error: float, degrees: float, level: float = 0.95) -> Interval:
    """Return Wilson's interval of a rate whose standard error was found otherwise.

    The rows count as the n independent ones that would have this error, so a rate strictly between
    0 and 1 is needed. Source: Korn and Graubard (1998), Surv. Methodol. 24:193; with Wilson's form
    Dean and Pagano (2015), J. Surv. Stat. Methodol. 3:484.
    """
    q = student_quantile(degrees, level)
    n = rate * (1 - rate) / (error * error)
    centre = rate + q * q / (2 * n)
    half = q * math.sqrt(rate * (1 - rate) / n + q * q / (4 * n * n))
    scale = 1 + q * q / n
    return Interval(max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale), "wilson")


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return the exact interval of a rate: covers at least ``level`` whatever the rate.

    Source: Clopper and Pearson (1934), Biometrika 26:404.
    """
    from scipy.special import betaincinv

    tail = (1 - check_level(level)) / 2
    _check_count(successes, n)
    if n == 0:
        return undefined("there are no trials")
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return Interval(low, high, "clopper-pearson")


def student_quantile(degrees: float, level: float = 0.95) -> float:
    """Return Student's two-sided quantile; the normal one for infinite ``degrees``."""
    from scipy.special import stdtrit

    if math.isinf(degrees):
        return normal_quantile(level)
    return float(stdtrit(degrees, 0.5 + check_level(level) / 2))


def logit_interval(
    value: float, error: float, degrees: float, level: float = 0.95
) -> tuple[float, float]:
    """Return Student's bounds on the logit scale of a value strictly between 0 and 1.

    ``error`` is the standard error of the value itself; ``degrees`` may be infinite.
    """
    from scipy.special import expit, logit

    half = student_quantile(degrees, level) * error / (value * (1 - value))
    centre = float(logit(value))
    return float(expit(centre - half)), float(expit(centre + half))


def scaled_interval(
    value: float, error: float, degrees: float, level: float, bounds: tuple[float, float]
) -> Interval:
    """Return Student's interval on a scale without ends, so that it stays within ``bounds``.

    That is the logit between two bounds, the logarithm of the distance from one, and the value
    itself where there is none. ``value`` must not lie on a bound.
    """
    low, high = bounds
    if math.isfinite(low) and math.isfinite(high):
        width = high - low
        found = logit_interval((value - low) / width, error / width, degrees, level)
        return Interval(low + width * found[0], low + width * found[1], "logit-t")
    half = student_quantile(degrees, level) * error
    if math.isfinite(low):
        factor = math.exp(half / (value - low))
        return Interval(low + (value - low) / factor, low + (value - low) * factor, "log-t")
    if math.isfinite(high):
        factor = math.exp(half / (high - value))
        return Interval(high - (high - value) * factor, high - (high - value) / factor, "log-t")
    return Interval(value - half, value + half, "t")


def _moments(values: NDArray[Any]) -> tuple[int, float, float, float]:
    """Return n, mean, standard error and skewness."""
    n = len(values)
    mean = float(values.mean())
    gaps = values - mean
    deviation = math.sqrt(float((gaps * gaps).sum()) / (n - 1))
    if deviation == 0.0 or deviation < 1e-14 * abs(mean):
        return n, mean, 0.0, 0.0
    skewness = float(np.mean((gaps / deviation) ** 3))
    return n, mean, deviation / math.sqrt(n), skewness


def t_interval(values: NDArray[Any], level: float = 0.95) -> Interval:
    """Return Student's interval of the mean of ``values``, shape (n,)."""
    from scipy.special import stdtrit

    check_level(level)
    values = np.asarray(values, float)
    if len(values) <= 1:
        return undefined("a mean needs two rows")
    n, mean, error, _ = _moments(values)
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * error
    return Interval(mean - half, mean + half, "t")


def resampled_t_interval(values: NDArray[Any], ratio: float, level: float = 0.95) -> Interval:
    """Return the corrected resampled t interval of a mean over folds, shape (J,).

    ``ratio`` is rows to test over rows to train. The folds share training rows, so their spread
    alone is too small: 1 / J becomes 1 / J + ratio. Source: Nadeau and Bengio (2003), Mach. Learn.
    52:239; for repeated folds Bouckaert and Frank (2004), PAKDD, LNCS 3056:3.
    """
    values = np.asarray(values, float)
    if len(values) <= 1:
        return undefined("folds vary only where there are two")
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    error = deviation * math.sqrt(1 / len(values) + ratio)
    half = student_quantile(len(values) - 1, level) * error
    return Interval(mean - half, mean + half, "corrected resampled t")


def mean_interval(values: NDArray[Any], level: float = 0.95) -> Interval:
    """Return the interval of the mean of per-row losses, corrected for their skewness.

    The t interval misses a long right tail on the upper side. Hall's monotone cubic transform of
    the t statistic removes the first-order effect of skewness in closed form; without skewness
    it is the t interval. Source: Hall (1992), J. R. Stat. Soc. B 54:221.
    """
    from scipy.special import stdtrit

    check_level(level)
    values = np.asarray(values, float)
    if len(values) <= 1:
        return undefined("a mean needs two rows")
    n, mean, error, skewness = _moments(values)
    t = float(stdtrit(n - 1, 0.5 + level / 2))
    low = mean - error * _hall_inverse(t, skewness, n)
    high = mean - error * _hall_inverse(-t, skewness, n)
    return Interval(min(low, mean), max(high, mean), "t-hall")


def _hall_inverse(quantile: float, skewness: float, n: int) -> float:
    """Return the t statistic whose transform is ``quantile``."""
    tilt = skewness / math.sqrt(n)
    if abs(tilt) < LEAST_TILT:
        return quantile
    return 3 / tilt * (math.cbrt(1 + tilt * (quantile - tilt / 6)) - 1)
