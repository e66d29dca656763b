"""The interval of a quantile from its order statistics: no distribution is assumed."""

from __future__ import annotations

import math

import numpy as np

from afterfit.stats.interval import Interval, check_level, normal_quantile


def quantile_interval(ordered: np.ndarray, quantile: float, level: float = 0.95) -> Interval:
    """Return bounds of the ``quantile`` (0 to 1) of the distribution that ``ordered`` came from.

    ``ordered`` is ascending. The number of values below a quantile is binomial, so two of the
    values bound it (David and Nagaraja, Order Statistics, 7.1), here with the normal
    approximation to the binomial. A bound beyond the sample is NaN. Values that hang together
    (neighbouring requests) make the interval too narrow.
    """
    check_level(level)
    n = len(ordered)
    spread = normal_quantile(level) * math.sqrt(n * quantile * (1.0 - quantile))
    low = math.floor(n * quantile - spread) - 1
    high = math.ceil(n * quantile + spread)
    return Interval(
        float(ordered[low]) if low >= 0 else float("nan"),
        float(ordered[high]) if high < n else float("nan"),
        "order statistics",
    )
