"""A quantile and its interval from order statistics: no distribution is assumed."""

from __future__ import annotations

import math

import numpy as np

from afterfit.core.metric import Metric
from afterfit.errors import InputError
from afterfit.stats.interval import Interval, check_level, undefined

METHOD = "order statistics"


def quantile_metric(
    name: str, values: np.ndarray, quantile: float, *, unit: str, scope: str, level: float = 0.95
) -> Metric:
    """Return a quantile of ``values`` (any order) with its interval; a bound may be None."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    bounds = quantile_interval(ordered, quantile, level)
    return Metric(
        name=name,
        value=quantile_of(ordered, quantile) if len(ordered) else None,
        low=None if math.isnan(bounds.low) else bounds.low,
        high=None if math.isnan(bounds.high) else bounds.high,
        level=level,
        n=len(ordered),
        method=bounds.method,
        unit=unit,
        scope=scope,
    )


def quantile_of(ordered: np.ndarray, quantile: float) -> float:
    """Return the smallest value with at least a share ``quantile`` of the sample up to it."""
    # Rounded first: 0.07 * 100 is a little more than 7.
    rank = math.ceil(round(quantile * len(ordered), 9))
    return float(ordered[max(0, rank - 1)])


def quantile_interval(ordered: np.ndarray, quantile: float, level: float = 0.95) -> Interval:
    """Return bounds of the ``quantile`` (0 to 1) of the distribution that ``ordered`` came from.

    ``ordered`` is ascending. The number of values below a quantile is binomial, so two of the
    values bound it with at least ``level``, each side missing at most half of the rest (David
    and Nagaraja, Order Statistics, 7.1). A bound beyond the sample is NaN: the upper one of a
    99th percentile needs 368 values. Values that hang together (neighbouring requests) make the
    interval too narrow. Raises InputError for a quantile that is not strictly inside.
    """
    from scipy.special import bdtr

    tail = (1.0 - check_level(level)) / 2.0
    if not 0.0 < quantile < 1.0:
        raise InputError(f"the quantile is {quantile}, it must lie between 0 and 1")
    n = len(ordered)
    if n == 0:
        return undefined("there are no values")
    # below[k] is the probability that at most k of the n values lie below the quantile.
    below = bdtr(np.arange(n), n, quantile)
    low = int(np.searchsorted(below, tail, side="right")) - 1
    high = int(np.searchsorted(below, 1.0 - tail, side="left"))
    return Interval(
        float(ordered[low]) if low >= 0 else float("nan"),
        float(ordered[high]) if high < n else float("nan"),
        METHOD,
    )
