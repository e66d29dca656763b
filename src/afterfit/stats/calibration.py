"""How far probabilities are from the shares that come true, without the bias of small bins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["calibration_error"]

BINS = 15
LEAST_IN_BIN = 5


def calibration_error(y_true: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Return the debiased root mean square calibration error in bins of equal numbers of rows.

    ``y_true`` holds class codes of [n], ``probabilities`` is of [n, classes]: with two classes
    the second's is compared, with more that of the likeliest. Sampling alone would make each bin
    err by y(1-y)/(m-1), which is taken off. NaN for fewer than 10 rows. Source: Kumar, Liang and
    Ma (2019), NeurIPS 32, section 5.
    """
    p = np.asarray(probabilities, np.float64)
    y_true = np.asarray(y_true)
    if p.shape[1] == 2:
        score, hit = p[:, 1], (y_true == 1).astype(np.float64)
    else:
        score, hit = p.max(axis=1), (y_true == p.argmax(axis=1)).astype(np.float64)
    n = len(hit)
    bins = min(BINS, n // LEAST_IN_BIN)
    if bins < 2:
        return float("nan")
    total = 0.0
    for part in np.array_split(np.argsort(score, kind="stable"), bins):
        mean, observed = score[part].mean(), hit[part].mean()
        noise = observed * (1 - observed) / (len(part) - 1)
        total += len(part) / n * ((mean - observed) ** 2 - noise)
    return math.sqrt(max(0.0, total))
