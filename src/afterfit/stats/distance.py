"""How far two binned samples lie apart.

Each function takes counts of shape (..., bins), broadcasts over the leading axes, and returns
one number per sample: equal shares give exactly 0, empty bins and constants never give NaN. A
sample without any row has no distribution and raises `InputError`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterfit.errors import InputError

__all__ = ["jensen_shannon", "kolmogorov_smirnov", "psi", "total_variation", "wasserstein"]

FloatArray = NDArray[np.float64]

# The least share that a bin counts with in PSI: an empty bin would weigh infinitely otherwise.
PSI_FLOOR = 1e-4


def total_variation(reference: NDArray[Any], current: NDArray[Any]) -> FloatArray:
    """Return half the sum of the differences of shares: 0 (alike) to 1 (disjoint)."""
    before, after = _shares(reference, current)
    return np.asarray(np.abs(before - after).sum(axis=-1) / 2)


def psi(reference: NDArray[Any], current: NDArray[Any], *, floor: float = PSI_FLOOR) -> FloatArray:
    """Return the population stability index, in nats; shares below ``floor`` count as ``floor``."""
    before, after = (np.maximum(shares, floor) for shares in _shares(reference, current))
    return np.asarray(((after - before) * np.log(after / before)).sum(axis=-1))


def jensen_shannon(reference: NDArray[Any], current: NDArray[Any]) -> FloatArray:
    """Return the Jensen-Shannon distance to base 2: 0 (alike) to 1 (disjoint).

    It is the square root of the divergence. Source: Lin (1991), IEEE Trans. Inf. Theory 37:145.
    """
    before, after = _shares(reference, current)
    middle = (before + after) / 2
    divergence = (_information(before, middle) + _information(after, middle)) / 2
    return np.asarray(np.sqrt(np.clip(divergence, 0.0, 1.0)))


def _information(shares: FloatArray, middle: FloatArray) -> FloatArray:
    ratio = np.divide(shares, middle, out=np.ones_like(middle), where=shares > 0)
    return np.asarray((shares * np.log2(ratio)).sum(axis=-1))


def kolmogorov_smirnov(reference: NDArray[Any], current: NDArray[Any]) -> FloatArray:
    """Return the greatest gap of the distribution functions at the bin edges, 0 to 1.

    Bins must be in order. On the raw values the gap can only be greater.
    """
    before, after = _shares(reference, current)
    return np.asarray(np.abs(np.cumsum(before - after, axis=-1)).max(axis=-1).clip(0.0, 1.0))


def wasserstein(
    reference: NDArray[Any], current: NDArray[Any], positions: NDArray[Any]
) -> FloatArray:
    """Return the mean distance that mass must move, in the unit of ``positions``.

    ``positions`` (bins,) or (..., bins) says where each bin lies, ascending (its mean or middle).
    """
    before, after = _shares(reference, current)
    positions = np.asarray(positions, float)
    gaps = np.diff(positions, axis=-1)
    if positions.shape[-1] != before.shape[-1] or not np.all(gaps >= 0):
        raise InputError("bin positions must be finite, ascending, one per bin", where="positions")
    carried = np.abs(np.cumsum(before - after, axis=-1))[..., :-1]
    return np.asarray((carried * gaps).sum(axis=-1))


def _shares(reference: NDArray[Any], current: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    before, after = np.asarray(reference, float), np.asarray(current, float)
    if before.shape[-1:] != after.shape[-1:] or not before.shape[-1:]:
        raise InputError(f"binned counts have shapes {before.shape} and {after.shape}")
    for counts in (before, after):
        if not np.all(np.isfinite(counts)) or np.any(counts < 0):
            raise InputError("binned counts must be finite and not negative")
        if np.any(counts.sum(axis=-1) == 0):
            raise InputError("a sample without rows has no distribution", fix="skip empty windows")
    return before / before.sum(axis=-1, keepdims=True), after / after.sum(axis=-1, keepdims=True)
