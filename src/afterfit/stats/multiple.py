"""Many tests at once: adjusted p-values, each compared with the error rate as it is.

NaN marks a test that did not run: it stays NaN and does not count as a test.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterfit.errors import InputError

__all__ = ["benjamini_hochberg", "holm"]

FloatArray = NDArray[np.float64]


def benjamini_hochberg(p_values: NDArray[Any]) -> FloatArray:
    """Return p-values adjusted so that ``<= q`` bounds the expected share of false findings by q.

    Source: Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57:289; holds under independence
    and positive dependence.
    """
    p_values, order = _sorted(p_values)
    m = len(order)
    scaled = p_values[order] * m / np.arange(1, m + 1)
    return _placed(p_values, order, np.minimum.accumulate(scaled[::-1])[::-1])


def holm(p_values: NDArray[Any]) -> FloatArray:
    """Return p-values adjusted so that ``<= a`` bounds the chance of any false finding by a.

    Source: Holm (1979), Scand. J. Stat. 6:65; holds under any dependence.
    """
    p_values, order = _sorted(p_values)
    m = len(order)
    return _placed(p_values, order, np.maximum.accumulate(p_values[order] * np.arange(m, 0, -1)))


def _sorted(p_values: NDArray[Any]) -> tuple[FloatArray, NDArray[np.intp]]:
    """Return the p-values and the order of those that are there, smallest first."""
    p_values = np.asarray(p_values, float)
    ran = np.isfinite(p_values)
    if p_values.ndim != 1 or np.any((p_values[ran] < 0) | (p_values[ran] > 1)):
        raise InputError("p-values must be one row of numbers from 0 to 1", where="p_values")
    return p_values, np.argsort(p_values, kind="stable")[: int(ran.sum())]


def _placed(p_values: FloatArray, order: NDArray[np.intp], adjusted: FloatArray) -> FloatArray:
    placed = np.full(len(p_values), np.nan)
    placed[order] = np.minimum(adjusted, 1.0)
    return placed
