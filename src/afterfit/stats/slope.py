"""Whether predictions are too high, or too extreme: the truth as a line of the prediction."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from afterfit.stats.interval import Interval, check_level, undefined

__all__ = ["Line", "slope_of_values"]

LEAST_ROWS = 3


class Line(NamedTuple):
    """A slope with its interval."""

    slope: float
    interval: Interval


def slope_of_values(truth: NDArray[Any], prediction: NDArray[Any], level: float = 0.95) -> Line:
    """Return the least-squares slope of the truth on the prediction: 1 for calibrated predictions.

    Below 1 the predictions spread more than the truth they stand for. The interval is Student's
    with the HC3 standard error, which errors of unequal spread do not mislead (MacKinnon and
    White 1985, J. Econometrics 29:305).
    """
    from scipy.special import stdtrit

    check_level(level)
    x, y = np.asarray(prediction, float), np.asarray(truth, float)
    n = len(x)
    if n < LEAST_ROWS:
        return Line(math.nan, undefined("a slope needs three rows"))
    off_x, off_y = x - x.mean(), y - y.mean()
    total = float(off_x @ off_x)
    if total <= (1e-12 * max(1.0, float(np.abs(x).max()))) ** 2 * n:
        return Line(math.nan, undefined("the predictions do not vary"))
    slope = float(off_x @ off_y) / total
    leverage = 1 / n + np.square(off_x) / total
    residual = (off_y - slope * off_x) / np.maximum(1 - leverage, 1e-12)
    error = math.sqrt(float(np.square(off_x * residual).sum())) / total
    if error == 0.0:
        return Line(slope, undefined("the errors do not vary"))
    half = float(stdtrit(n - 2, 0.5 + level / 2)) * error
    return Line(slope, Interval(slope - half, slope + half, "t, HC3"))
