"""What each row adds to the error of a metric: one linear form for every metric.

A metric differs from its true value by about the sum of its rows' contributions. So their squares
sum to its variance where rows are independent, the squares of their sums over groups where only
groups are, and those of two models on the same rows may be subtracted. This is the delta method,
or infinitesimal jackknife: Jaeckel (1972), Bell Laboratories MM 72-1215-11; Efron (1982), The
Jackknife, the Bootstrap and Other Resampling Plans, chapter 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterfit.core.formulae import (
    Options,
    check_rows,
    confusion_matrix,
    find_formula,
    least_classes,
)
from afterfit.core.ranking import one_against_rest
from afterfit.errors import InternalError
from afterfit.stats.delong import auc_contributions

__all__ = ["contributions"]

FloatArray = NDArray[np.float64]

CONSTANT = 1e-12
"""A smaller share of the squared distances than this is rounding."""
STEP = 1e-3
"""How many rows more and fewer in a cell the slope of a metric is taken between."""


def contributions(
    name: str,
    y_true: NDArray[Any],
    prediction: NDArray[Any],
    *,
    positive: int | None = None,
    quantile: float = 0.5,
) -> FloatArray:
    """Return each row's contribution to the error of the metric ``name``, float64 of [n].

    In the metric's unit, with mean 0. Arrays are those of `afterfit.core.formulae.compute`; NaN
    where the metric is not defined on the rows. Takes O(n log n) at most.
    """
    formula = find_formula(name)
    y_true, prediction = check_rows(formula, y_true, prediction, positive)
    n = len(y_true)
    if n < 2 or not np.isfinite(prediction).all():
        return np.full(n, np.nan)
    if formula.cells is not None:
        return _of_cells(formula.cells, y_true, prediction, positive)
    if formula.rows is not None:
        return _of_mean(formula.rows(y_true, prediction, Options(positive, quantile)))
    return _of_whole(name, y_true, prediction, positive)


def _of_whole(
    name: str, y_true: NDArray[Any], prediction: NDArray[Any], positive: int | None
) -> FloatArray:
    if name == "roc_auc":
        return auc_contributions(y_true, prediction, positive=positive).rows
    if name == "pr_auc":
        pairs = one_against_rest(y_true, prediction, positive)
        return np.asarray(np.mean([_of_precision(*pair) for pair in pairs], axis=0))
    if name == "r2":
        return _of_r2(y_true, prediction)
    if name != "rmse":
        raise InternalError(f"the contributions of {name} are not known")
    losses = np.square(y_true - prediction)
    root = math.sqrt(float(losses.mean()))
    return _of_mean(losses) / (2 * root) if root else np.zeros(len(losses))


def _of_mean(losses: FloatArray) -> FloatArray:
    n = len(losses)
    return np.asarray((losses - losses.mean()) / math.sqrt(n * (n - 1)))


def _of_cells(
    formula: Callable[[NDArray[Any], int | None], FloatArray],
    y_true: NDArray[Any],
    labels: NDArray[Any],
    positive: int | None,
) -> FloatArray:
    """Return the slope of the metric in the cell of each row; a constant number of rows adds 0."""
    cells = confusion_matrix(y_true, labels, n_classes=least_classes(positive)).astype(float)
    filled = np.argwhere(cells)
    moved = np.zeros((len(filled), *cells.shape))
    moved[np.arange(len(filled)), filled[:, 0], filled[:, 1]] = STEP
    slopes = np.full(cells.shape, np.nan)
    more, fewer = formula(cells + moved, positive), formula(cells - moved, positive)
    slopes[filled[:, 0], filled[:, 1]] = (more - fewer) / (2 * STEP)
    return slopes[y_true.astype(np.int64), labels.astype(np.int64)]


def _of_precision(is_positive: NDArray[np.bool_], score: NDArray[Any]) -> FloatArray:
    """Return the contributions to average precision.

    A row moves the precision at every threshold at or below its score; a positive one also adds
    the precision at its own, and one more to what all is divided by.
    """
    total = int(is_positive.sum())
    if not total:
        return np.full(len(score), np.nan)
    order = np.argsort(-score, kind="stable")
    ordered, truth = score[order], is_positive[order]
    starts = np.append(True, ordered[1:] != ordered[:-1])
    ends = np.flatnonzero(np.append(starts[1:], True))
    hits, rows = np.cumsum(truth)[ends], ends + 1
    gains = np.diff(hits, prepend=0)
    precision = hits / rows
    by_hit = np.cumsum((gains / rows)[::-1])[::-1]
    by_row = np.cumsum((gains * precision / rows)[::-1])[::-1]
    place = np.cumsum(starts) - 1
    area = float((gains * precision).sum()) / total
    moved = np.where(truth, (precision + by_hit)[place] - area, 0.0) - by_row[place]
    found = np.empty(len(score))
    found[order] = moved / total
    return found


def _of_r2(y_true: NDArray[Any], prediction: NDArray[Any]) -> FloatArray:
    """Return what leaving out each row takes from R² (the jackknife): better for few rows."""
    # Centring first keeps the sum of squares exact for targets far from zero.
    centred = y_true - y_true.mean()
    residual, n = np.square(y_true - prediction), len(y_true)
    distance = np.square(centred)
    left = distance.sum() - distance * n / (n - 1)
    if not (left > CONSTANT * distance.sum()).all():
        return np.full(n, np.nan)
    without = 1.0 - (residual.sum() - residual) / left
    return np.asarray((without.mean() - without) * math.sqrt((n - 1) / n))
