"""The probabilities that a network's scores stand for, computed in double precision."""

from __future__ import annotations

import numpy as np

__all__ = ["sigmoid", "softmax"]


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities, float64 of [n, classes], for scores of any size."""
    wide = scores.astype(np.float64)
    raised = np.exp(wide - wide.max(axis=1, keepdims=True))
    found: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return found


def sigmoid(scores: np.ndarray) -> np.ndarray:
    """Return probabilities, float64 in the shape of the scores, for scores of any size."""
    wide = scores.astype(np.float64)
    # Of the two forms, each side takes the one that cannot overflow.
    small = np.exp(-np.abs(wide))
    found: np.ndarray = np.where(wide >= 0, 1.0, small) / (1.0 + small)
    return found
