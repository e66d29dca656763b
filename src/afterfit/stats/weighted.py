"""Metrics as functions of how often each row is drawn: what a bootstrap of rows asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterfit.core.formulae import compute, find_formula, least_classes, row_losses
from afterfit.core.ranking import one_against_rest
from afterfit.stats.bootstrap import Statistic

__all__ = ["average_precision_of_counts", "metric_of_counts"]

FloatArray = NDArray[np.float64]

PERFECT = 1e-12
"""A smaller share of the squared distances than this is rounding."""


def metric_of_counts(
    name: str, y_true: NDArray[Any], answers: NDArray[Any], *, positive: int | None
) -> Statistic:
    """Return the metric ``name`` as a function of how often each row is drawn, (R, n) -> (R,).

    What can be had from sums over rows is; only the ROC AUC is computed anew for each replicate.
    """
    formula = find_formula(name)
    if name == "pr_auc":
        return average_precision_of_counts(y_true, answers, positive=positive)
    if name == "r2":
        return _r2_of_counts(y_true, answers)
    if formula.cells is not None:
        return _cells_of_counts(name, y_true, answers, positive)
    if formula.rows is not None or name == "rmse":
        losses = row_losses(name, y_true, answers, positive=positive)

        def mean(counts: NDArray[Any]) -> FloatArray:
            found = counts @ losses / counts.sum(axis=1)
            return np.asarray(np.sqrt(found) if name == "rmse" else found, np.float64)

        return mean

    def whole(counts: NDArray[Any]) -> FloatArray:
        rows = np.arange(len(y_true))
        drawn = (np.repeat(rows, line) for line in counts)
        return np.array(
            [compute(name, y_true[r], answers[r], positive=positive).value for r in drawn]
        )

    return whole


def _cells_of_counts(
    name: str, y_true: NDArray[Any], labels: NDArray[Any], positive: int | None
) -> Statistic:
    formula = find_formula(name)
    top = max(int(array.max(initial=0)) + 1 for array in (y_true, labels))
    size = max(top, least_classes(positive))
    cell, place = np.unique(y_true * size + labels, return_inverse=True)
    chosen = np.eye(len(cell))[place]

    def of_cells(counts: NDArray[Any]) -> FloatArray:
        tables = np.zeros((len(counts), size * size))
        tables[:, cell] = counts @ chosen
        if formula.cells is None:
            return np.full(len(counts), np.nan)
        return formula.cells(tables.reshape(-1, size, size), positive)

    return of_cells


def _r2_of_counts(y_true: NDArray[Any], prediction: NDArray[Any]) -> Statistic:
    """Return R² as a function of how often each row is drawn."""
    # Centring first keeps the sum of squares exact for targets far from zero.
    centred = y_true - y_true.mean()
    sums = np.column_stack([np.square(y_true - prediction), centred, np.square(centred)])

    def r2(counts: NDArray[Any]) -> FloatArray:
        residual, first, second = (counts @ sums).T
        total = second - np.square(first) / counts.sum(axis=1)
        constant = total <= PERFECT * second
        return np.where(constant, np.nan, 1 - residual / np.where(constant, 1.0, total))

    return r2


def average_precision_of_counts(
    y_true: NDArray[Any], probabilities: NDArray[Any], *, positive: int | None
) -> Statistic:
    """Return average precision as a function of counts (R, n), macro over classes where asked.

    Rows are sorted once; only thresholds at which a positive row enters are visited.
    """
    parts = [_sorted_precision(*pair) for pair in one_against_rest(y_true, probabilities, positive)]
    return lambda counts: np.asarray(np.mean([part(counts) for part in parts], axis=0))


def _sorted_precision(is_positive: NDArray[np.bool_], score: NDArray[Any]) -> Statistic:
    order = np.argsort(-score, kind="stable")
    ordered, truth = score[order], is_positive[order]
    group = np.cumsum(np.append(False, ordered[1:] != ordered[:-1]))
    last_of_group = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    positives = np.flatnonzero(truth)
    held, first_positive = np.unique(group[positives], return_index=True)
    ends = last_of_group[held] + 1
    starts = np.append(0, ends[:-1])

    def statistic(counts: NDArray[Any]) -> FloatArray:
        gains = np.add.reduceat(counts[:, order[positives]], first_positive, axis=1)
        rows = np.add.reduceat(counts[:, order[: ends[-1]]], starts, axis=1)
        hits, seen = np.cumsum(gains, axis=1), np.cumsum(rows, axis=1)
        area = (gains * (hits / np.maximum(seen, 1))).sum(axis=1)
        total = hits[:, -1]
        out = np.full(len(counts), np.nan)
        return np.asarray(np.divide(area, total, out=out, where=total > 0))

    return statistic
