"""Whether another threshold would decide better, judged on the rows at hand."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

DIGITS = 15
LARGEST = math.nextafter(1.0, 0.0)


class Choice(NamedTuple):
    """A threshold in (0, 1) and the F1 that it has on the rows it was chosen on."""

    threshold: float
    f1: float


def f1_at(hits: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    """Return the F1 of deciding positive from ``threshold`` on; NaN without any positive."""
    decided = scores >= threshold
    total = int(decided.sum() + hits.sum())
    return 2.0 * int((decided & hits).sum()) / total if total else math.nan


def best_threshold(hits: np.ndarray, scores: np.ndarray) -> Choice | None:
    """Return the threshold of greatest F1, in as few digits as decide alike.

    ``hits`` is bool of [n], ``scores`` the probabilities of the positive class. None where no
    row is positive, or no score is above 0.
    """
    order = np.argsort(-scores, kind="stable")
    # No threshold is 1 or above: scores that only such a one would part are decided alike.
    ordered = np.minimum(scores[order], LARGEST)
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    ends = ends[ordered[ends] > 0.0]
    if not hits.any() or not len(ends):
        return None
    f1 = 2.0 * np.cumsum(hits[order])[ends] / (ends + 1 + int(hits.sum()))
    best = int(np.argmax(f1))
    after = int(ends[best]) + 1
    below = float(ordered[after]) if after < len(ordered) else 0.0
    return Choice(shortest(below, float(ordered[ends[best]])), float(f1[best]))


def shortest(above: float, upto: float) -> float:
    """Return a number of few digits in (above, upto], and below 1."""
    for digits in range(1, DIGITS):
        candidate = math.floor(upto * 10.0**digits) / 10.0**digits
        if above < candidate <= upto:
            return candidate
    return upto
