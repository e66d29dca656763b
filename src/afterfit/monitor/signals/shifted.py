"""What shifted inputs change of an estimate, where a score no longer means quite the same.

Reference rows count by how much more often the window has their like; the difference that makes is
added to the estimate from all of the reference, as far as it is more than chance. All reference
rows keep their say in how scores come true, and a window that did not shift has no more noise.
Source of the weighting: Białek et al. (2024), arXiv 2401.08348.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afterfit.monitor.density import Ratios, Rows
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.signals.quality import QualityConfig
from afterfit.stats.expected import Shares, expected_metric, fit_shares, join_shares, outcomes
from afterfit.stats.score_bins import BINS, bin_of

__all__ = ["Correction", "corrections"]

FloatArray = npt.NDArray[np.float64]

DRAWS = 50
SURE = 3.0
"""A difference of fewer standard errors than this is taken for chance."""


class Correction(NamedTuple):
    """What is added to an estimate, and the standard error of it, in the metric's unit."""

    value: float
    error: float


def corrections(
    reference: Rows,
    ratios: Ratios,
    table: ScoreTable,
    names: tuple[str, ...],
    config: QualityConfig,
) -> dict[str, Correction]:
    """Return by metric what the weights of labelled reference rows change of its estimate.

    What is less than three standard errors is left out, and the rest shrunk by as much: the
    positive part estimator of James and Stein (1961) with nine for its constant.
    """
    generator = np.random.default_rng(config.seed)
    answers, positive = np.array(table.answers, np.float64), table.positive
    draws = [np.ones(len(reference))]
    draws += [generator.poisson(1.0, len(reference)).astype(np.float64) for _ in range(DRAWS)]
    weighted, plain = (
        outcomes(
            answers,
            join_shares([_shares(reference, weights * times, table) for times in draws]),
            positive,
        )
        for weights in (ratios.weights, np.ones(len(reference)))
    )
    found = {}
    for name in names:
        changes = expected_metric(name, weighted, positive) - expected_metric(name, plain, positive)
        change, error = float(changes[0]), float(np.nanstd(changes[1:]))
        if np.isfinite(change) and np.isfinite(error):
            kept = max(0.0, 1 - (SURE * error) ** 2 / change**2) if change else 0.0
            found[name] = Correction(change * kept, error * kept)
    return found


def _shares(rows: Rows, weights: FloatArray, table: ScoreTable) -> Shares:
    """Return how often weighted reference rows are hits."""
    truth = np.asarray(rows.truth, np.int64)
    lines, classes = len(table.hits), table.classes
    line = rows.codes if lines > 1 else np.zeros(len(rows), np.int64)
    places = line * BINS + bin_of(rows.scores)
    hit = truth == (rows.codes if table.positive is None else table.positive)
    hits, misses = (
        np.bincount(places[which], weights[which], minlength=lines * BINS).reshape(-1, BINS)
        for which in (hit, ~hit)
    )
    cells = np.bincount(truth * classes + rows.codes, weights, minlength=classes * classes)
    return fit_shares(hits, misses, cells.reshape(classes, classes), table.positive)
