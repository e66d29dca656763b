"""The threshold that a given share of usual rows exceeds, and how far off it can be."""

from __future__ import annotations

import math

import numpy as np

from afterfit.stats.interval import Interval, check_level

__all__ = ["band", "needed_rows", "threshold"]

MARGIN = 1e-4
"""A part of the threshold, above it: what rounds differently on another CPU is no difference."""


def needed_rows(rate: float) -> int:
    """Return the fewest rows by which a threshold can be set for a share of rows."""
    return math.ceil(1 / rate - 1e-9) - 1


def threshold(scores: np.ndarray, rate: float) -> float:
    """Return what at most ``rate`` of rows like those of [n] scores exceed, on average.

    It is the ceil((n + 1)(1 - rate))th smallest score, a little more. Raises ValueError for too
    few rows. Source: split conformal prediction, Vovk, Gammerman and Shafer (2005), chapter 4.
    """
    rank = _rank(len(scores), rate)
    if rank > len(scores):
        raise ValueError(f"a share of {rate} needs {needed_rows(rate)} rows")
    found = float(np.sort(scores)[rank - 1])
    return float(f"{found + MARGIN * abs(found) + 1e-9:.6g}")


def band(n: int, rate: float, level: float = 0.95) -> Interval:
    """Return where the true share lies for a threshold set by ``n`` rows, were there no ties.

    The share is distributed as Beta(n + 1 - k, k) over the draw of these rows, k being the rank of
    the threshold. Source: Vovk (2012), Proc. Asian Conf. Mach. Learn. 25:475.
    """
    from scipy.special import betaincinv

    rank, tail = _rank(n, rate), (1 - check_level(level)) / 2
    low, high = (float(betaincinv(n + 1 - rank, rank, p)) for p in (tail, 1 - tail))
    return Interval(low, high, "beta")


def _rank(n: int, rate: float) -> int:
    return math.ceil((n + 1) * (1 - rate) - 1e-9)
