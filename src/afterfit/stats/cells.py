"""Closed-form intervals of metrics of a confusion matrix, rows true and columns predicted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterfit.stats.interval import Interval, undefined, wilson

__all__ = ["flawless", "of_cells"]

FloatArray = NDArray[np.float64]


def of_cells(
    name: str, cells: NDArray[Any], *, positive: int | None, level: float = 0.95
) -> Interval | None:
    """Return the closed-form interval of the metric ``name``, or None where there is none.

    Accuracy, and precision, recall and F1 of one class, follow from a share of rows; balanced
    accuracy from the share of each class.
    """
    if name == "accuracy":
        return wilson(int(np.trace(cells)), int(cells.sum()), level)
    if name == "balanced_accuracy":
        return _mean_of_rates(np.diagonal(cells), cells.sum(axis=1), level)
    if positive is None or name not in ("precision", "recall", "f1"):
        return None
    hits = int(cells[positive, positive])
    predicted, actual = int(cells[:, positive].sum()), int(cells[positive].sum())
    if name == "f1":
        return _f1(hits, predicted + actual - hits, level)
    return wilson(hits, predicted if name == "precision" else actual, level)


def _f1(hits: int, either: int, level: float) -> Interval:
    """Return Wilson's interval of J = hits of the rows in either set, as F1 = 2 J / (1 + J)."""
    low, high, _ = wilson(hits, either, level)
    return Interval(2 * low / (1 + low), 2 * high / (1 + high), "wilson-jaccard")


def _mean_of_rates(hits: NDArray[Any], actual: NDArray[Any], level: float) -> Interval:
    """Return the interval of the mean of independent rates from Wilson's interval of each.

    Source: method of variance estimates recovery, Zou and Donner (2008), Stat. Med. 27:1693.
    """
    present = actual > 0
    if present.sum() <= 1:
        return undefined("the rows hold only one class")
    rates = hits[present] / actual[present]
    pairs = zip(hits[present], actual[present], strict=True)
    bounds = np.array([wilson(int(hit), int(n), level)[:2] for hit, n in pairs])
    below, above = (math.sqrt(float(np.square(gap).sum())) for gap in (bounds.T - rates))
    mean, classes = float(rates.mean()), len(rates)
    return Interval(mean - below / classes, mean + above / classes, "wilson-mover")


def flawless(
    statistic: Callable[[NDArray[Any]], FloatArray], cells: NDArray[Any], level: float = 0.95
) -> Interval:
    """Return the interval of a metric of a table without errors, where resampling sees none.

    The low bound is the metric of the table in which every class has Wilson's lowest recall at
    once, its misses shared among the other classes: wider than the level asks for.
    """
    actual = np.diagonal(cells)
    filled = np.flatnonzero(actual)
    if len(filled) <= 1:
        return undefined("the rows hold only one class")
    recalls = np.array([wilson(int(n), int(n), level).low for n in actual[filled]])
    worst = np.zeros(cells.shape)
    others = (actual[filled] * (1 - recalls) / (len(filled) - 1))[:, None]
    worst[np.ix_(filled, filled)] = others
    worst[filled, filled] = actual[filled] * recalls
    value, low = (float(statistic(table[None])[0]) for table in (cells, worst))
    return Interval(low, value, "wilson-worst-case")
