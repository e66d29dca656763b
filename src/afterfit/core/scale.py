"""The scale on which the answers of a regression are compared."""

from __future__ import annotations

import msgspec
import numpy as np

__all__ = ["AnswerScale", "answer_scale"]

WIDTHS = ((5, 95), (0, 100))
"""Percentiles whose distance is the spread; the wider ones where the narrow ones are equal."""
FAR = 100.0
DIGITS = 3


class AnswerScale(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers of a model are like, in the unit of the target: their middle and spread."""

    centre: float
    spread: float

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return how large each value counts: a tolerance times this is its largest difference.

        That is the value's own size, because floats round by it; but at least the spread, so that a
        value beside zero need not be met to its last digit; and at most 100 times its distance from
        the middle or the spread, so that no constant passes for answers that vary little around a
        large number.
        """
        size = np.maximum(np.abs(values), self.spread)
        distance = np.maximum(np.abs(values - self.centre), self.spread)
        return np.asarray(np.minimum(size, FAR * distance))

    def rounded(self) -> AnswerScale:
        """Return the scale with three digits, which are the same on every CPU."""
        return AnswerScale(centre=_digits(self.centre), spread=_digits(self.spread))


def answer_scale(values: np.ndarray) -> AnswerScale:
    """Return the scale of a model's usual answers; those that are not finite do not count.

    Equal answers spread as far as they are from zero.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return AnswerScale(centre=0.0, spread=0.0)
    centre = float(np.median(finite))
    for low, high in WIDTHS:
        spread = float(np.percentile(finite, high) - np.percentile(finite, low))
        if spread > 0:
            return AnswerScale(centre=centre, spread=spread)
    return AnswerScale(centre=centre, spread=abs(centre))


def _digits(value: float) -> float:
    return float(f"{value:.{DIGITS - 1}e}")
