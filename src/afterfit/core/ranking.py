"""Ranks, and the two areas under curves that are built on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["average_precision", "binary_roc_auc", "midranks", "one_against_rest"]

Array = NDArray[Any]
FloatArray = NDArray[np.float64]
BINARY = 2


def midranks(values: Array) -> FloatArray:
    """Return the ranks 1..n of ``values``, shape (n,); ties share the mean of their ranks."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    ends = np.append(starts[1:], len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return ranks


def one_against_rest(
    y_true: Array, probabilities: Array, positive: int | None
) -> list[tuple[NDArray[np.bool_], Array]]:
    """Return (is the class, score) per class of a macro average, or only of ``positive``.

    Two columns without a positive class are one pair, that of class 1.
    """
    if probabilities.ndim == 1:
        return [(y_true == (1 if positive is None else positive), probabilities)]
    if positive is None and probabilities.shape[1] == BINARY:
        positive = 1
    classes = range(probabilities.shape[1]) if positive is None else [positive]
    return [(y_true == code, probabilities[:, code]) for code in classes]


def binary_roc_auc(is_positive: NDArray[np.bool_], score: Array) -> float:
    """Return P(score of a positive > score of a negative) + half the ties (Mann-Whitney)."""
    n_positive = int(is_positive.sum())
    n_negative = len(is_positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    rank_sum = float(midranks(score)[is_positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def average_precision(is_positive: NDArray[np.bool_], score: Array) -> float:
    """Return the sum of precision times gain in recall over the distinct scores, descending."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    hits = np.cumsum(is_positive[order])[ends]
    if hits[-1] == 0:
        return float("nan")
    gains = np.diff(hits, prepend=0)
    return float((gains * (hits / (ends + 1))).sum() / hits[-1])
