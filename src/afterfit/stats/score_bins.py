"""Scores counted in bins: areas under curves with their intervals, at constant memory.

A bin is one of 1,000 on the arcsine scale, ``2/π · asin(√p)``, on which the share of rows that
come true has the same error everywhere. So bins are 2.5e-6 wide at 0 and 1 and 0.0016 in the
middle: a model of rare events has as many as any other. Rows of one bin count as ties.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterfit.stats.bootstrap import bootstrap_cells
from afterfit.stats.delong import LEAST_VARIANCE, newcombe_auc
from afterfit.stats.interval import Interval, check_level, logit_interval, undefined

__all__ = ["BINS", "auc_interval", "auc_of_counts", "bin_middles", "bin_of",
           "precision_interval", "precision_of_counts"]  # fmt: skip

FloatArray = NDArray[np.float64]

BINS = 1000


def bin_of(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Return the bin of each probability of [n]; what is beyond 0 or 1 counts as these."""
    angle = np.arcsin(np.sqrt(np.clip(np.asarray(scores, np.float64), 0.0, 1.0)))
    return np.minimum((angle * (2 * BINS / math.pi)).astype(np.int64), BINS - 1)


def bin_middles() -> FloatArray:
    """Return the probability in the middle of each bin, ascending, [BINS]."""
    return np.square(np.sin((np.arange(BINS) + 0.5) * math.pi / (2 * BINS)))


def auc_of_counts(positives: NDArray[Any], negatives: NDArray[Any]) -> FloatArray:
    """Return the ROC AUC of counts by ascending bin, [..., bins]; they need not be whole numbers.

    P(score of a positive > that of a negative) and half the ties. NaN without rows of either kind.
    """
    p, n = np.asarray(positives, np.float64), np.asarray(negatives, np.float64)
    below = np.cumsum(n, axis=-1) - n / 2
    pairs = p.sum(axis=-1) * n.sum(axis=-1)
    out = np.full(pairs.shape, np.nan)
    return np.asarray(np.divide((p * below).sum(axis=-1), pairs, out=out, where=pairs > 0))


def auc_interval(positives: NDArray[Any], negatives: NDArray[Any], level: float = 0.95) -> Interval:
    """Return DeLong's interval of the ROC AUC of whole counts by bin, [bins], on the logit scale.

    It is that of `afterfit.stats.delong.delong` for scores rounded to their bins.
    """
    check_level(level)
    p, n = np.asarray(positives, np.float64), np.asarray(negatives, np.float64)
    m, k = float(p.sum()), float(n.sum())
    auc = float(auc_of_counts(p, n))
    if math.isnan(auc):
        return undefined("a class has no rows, or all of them")
    if m < 2 or k < 2:
        return newcombe_auc(auc, int(m), int(k), level)
    won = (np.cumsum(n) - n / 2) / k
    lost = (m - np.cumsum(p) + p / 2) / m
    parts = [
        float(p @ np.square(won - auc)) / (m * (m - 1)),
        float(n @ np.square(lost - auc)) / (k * (k - 1)),
    ]
    variance = sum(parts)
    if not variance > LEAST_VARIANCE or not 0.0 < auc < 1.0:
        return newcombe_auc(auc, int(m), int(k), level)
    degrees = variance**2 / (parts[0] ** 2 / (m - 1) + parts[1] ** 2 / (k - 1))
    return Interval(*logit_interval(auc, math.sqrt(variance), degrees, level), "delong-logit")


def precision_of_counts(positives: NDArray[Any], negatives: NDArray[Any]) -> FloatArray:
    """Return average precision of counts by ascending bin, [..., bins]; NaN without positives."""
    p = np.asarray(positives, np.float64)[..., ::-1]
    rows = np.cumsum(p + np.asarray(negatives, np.float64)[..., ::-1], axis=-1)
    hits = np.cumsum(p, axis=-1)
    reached = np.divide(hits, rows, out=np.zeros_like(hits), where=rows > 0)
    total = p.sum(axis=-1)
    out = np.full(total.shape, np.nan)
    return np.asarray(np.divide((p * reached).sum(axis=-1), total, out=out, where=total > 0))


def precision_interval(
    positives: NDArray[Any],
    negatives: NDArray[Any],
    *,
    seed: int,
    replicates: int = 500,
    level: float = 0.95,
) -> Interval:
    """Return the row bootstrap's interval of average precision, from whole counts by bin."""

    def statistic(tables: NDArray[Any]) -> FloatArray:
        return precision_of_counts(tables[:, 0], tables[:, 1])

    return bootstrap_cells(
        statistic,
        np.stack([positives, negatives]),
        seed=seed,
        replicates=replicates,
        level=level,
        method="percentile",
    )
