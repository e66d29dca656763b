"""Intervals of metrics and of differences over rows that hang together: see `Units`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterfit.core.formulae import compute, find_formula
from afterfit.stats.influence import contributions
from afterfit.stats.interval import (
    Interval,
    check_level,
    scaled_interval,
    student_quantile,
    undefined,
    wilson,
    wilson_of_error,
)
from afterfit.stats.units import Spread, Units

__all__ = ["dependent_difference", "dependent_interval"]

SHARES = ("accuracy", "precision", "recall")
"""These are shares of rows, unless they are means over classes."""
LEAST_ERROR = 1e-12
"""A smaller standard error is what rounding left of zero."""


def dependent_interval(
    name: str,
    value: float,
    rows: NDArray[np.float64],
    units: Units,
    *,
    positive: int | None,
    level: float = 0.95,
) -> Interval:
    """Return the interval of a metric from its rows' contributions, whole units drawn at once.

    ``rows`` is what `contributions` gives, float64 of [n]; ``value`` the metric over all rows.
    Where no unit errs, a rate is bounded as if each unit were one row.
    """
    bounds = find_formula(name).bounds
    spread = units.spread(rows)
    if math.isnan(spread.error):
        return undefined(f"all rows are of one unit: {spread.told}")
    if not spread.error > LEAST_ERROR or value in bounds:
        if bounds != (0.0, 1.0) or value not in bounds:
            return undefined("the rows do not vary")
        n = int(spread.degrees) + 1
        found = wilson(n if value else 0, n, level)
    elif name == "accuracy" or (name in SHARES and positive is not None):
        found = wilson_of_error(value, spread.error, spread.degrees, level)
    else:
        found = scaled_interval(value, spread.error, spread.degrees, level, bounds)
    return _told(found, spread)


def dependent_difference(
    name: str,
    y_true: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    units: Units,
    *,
    positive: int | None,
    level: float = 0.95,
) -> tuple[float, Interval]:
    """Return a metric of ``first`` less that of ``second`` on the same rows, and its interval.

    Arrays are those of `afterfit.core.formulae.compute`. The width is zero where both add the same
    in every unit, which then is no claim about other rows.
    """
    check_level(level)
    values = [compute(name, y_true, each, positive=positive).value for each in (first, second)]
    one, two = (contributions(name, y_true, e, positive=positive) for e in (first, second))
    gap, spread = values[0] - values[1], units.spread(one - two)
    if math.isnan(gap) or math.isnan(spread.error):
        return gap, undefined("the metric has no error on these rows")
    half = student_quantile(spread.degrees, level) * spread.error
    return gap, _told(Interval(gap - half, gap + half, "t"), spread)


def _told(found: Interval, spread: Spread) -> Interval:
    note = ", approximate" if spread.approximate else ""
    return found._replace(method=f"{found.method} over {spread.told}{note}")
