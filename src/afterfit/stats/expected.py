"""What a metric probably is without truths: from scores that come true as often as they did.

Confidence-based performance estimation: each answer counts as right by the share of reference rows
of its score that were. Source: Białek, Kuberski, Perrakis and Bifet (2025), arXiv 2505.05295; with
reference rows weighted by how much more often the window has their like, its form for shifted
inputs: Białek, Nuyttens, Kuberski, Perrakis and Bifet (2024), arXiv 2401.08348.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from afterfit.core.formulae import find_formula
from afterfit.stats.interval import Interval, check_level
from afterfit.stats.recalibration import fit_isotonic_counts
from afterfit.stats.score_bins import (
    auc_of_counts,
    bin_middles,
    precision_of_counts,
)

__all__ = ["EXPECTED", "Outcome", "Shares", "bounds_around", "expected_metric", "fit_shares",
           "join_shares", "outcomes", "redrawn_shares", "spread_outcomes"]  # fmt: skip

FloatArray = NDArray[np.float64]

EXPECTED = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "mcc", "roc_auc",
            "pr_auc", "brier", "log_loss")  # fmt: skip
LEAST_ROWS = 50
"""A decided class with fewer labelled rows is calibrated together with the others."""


class Shares(NamedTuple):
    """How often answers are hits, by decided class and bin of the score, [R, classes, BINS].

    Of R versions of the reference: itself, or draws of it. ``astray`` of [R, classes, classes] is
    which class a miss is of, ``[true, decided]``, each column of sum 1.
    """

    hit: FloatArray
    astray: FloatArray


class Outcome(NamedTuple):
    """Answers of a window that are hits or not, [R, classes, BINS], and confusion, [R, K, K]."""

    hits: FloatArray
    misses: FloatArray
    cells: FloatArray


def fit_shares(
    hits: NDArray[Any], misses: NDArray[Any], cells: NDArray[Any], positive: int | None
) -> Shares:
    """Return how often labelled reference rows are hits, one version.

    ``hits`` and ``misses`` of [classes, BINS] and ``cells`` of [true, decided] may be weighted.
    With a positive class all decided classes share one map: the score says the same of both.
    Raises ValueError without rows.
    """
    pooled = positive is not None or len(hits) == 1
    return _fitted(np.stack([hits, misses]).astype(np.float64), cells.astype(float), pooled=pooled)


def redrawn_shares(
    hits: NDArray[Any],
    misses: NDArray[Any],
    cells: NDArray[Any],
    positive: int | None,
    *,
    draws: int,
    seed: int,
) -> Shares:
    """Return `fit_shares` of so many resamples of the rows, which must be counted unweighted."""
    generator = np.random.default_rng(seed)
    draw = generator.poisson
    found = (fit_shares(draw(hits), draw(misses), draw(cells), positive) for _ in range(draws))
    return join_shares(list(found))


def join_shares(versions: Sequence[Shares]) -> Shares:
    """Return the versions of several as one."""
    return Shares(*(np.concatenate(parts) for parts in zip(*versions, strict=True)))


def _fitted(counts: FloatArray, cells: FloatArray, *, pooled: bool) -> Shares:
    together = counts.sum(axis=1)
    if not together.sum():
        raise ValueError("no labelled row has a score")
    line = _line(together)
    if pooled:
        hit = np.tile(line, (len(counts[0]), 1))
    else:
        hit = np.stack(
            [
                _line(counts[:, row]) if counts[:, row].sum() >= LEAST_ROWS else line
                for row in range(counts.shape[1])
            ]
        )
    return Shares(hit[None], _astray(cells)[None])


def _line(counts: FloatArray) -> FloatArray:
    middles = bin_middles()
    return fit_isotonic_counts(middles, counts[0], counts[1]).apply(middles)


def _astray(cells: FloatArray) -> FloatArray:
    """Return which class misses are of, [true, decided]; evenly any other where there were none."""
    classes = len(cells)
    wrong = cells * (1 - np.eye(classes))
    even = (1 - np.eye(classes)) / max(1, classes - 1)
    totals = wrong.sum(axis=0)
    return np.where(totals > 0, wrong / np.maximum(totals, 1e-300), even)


def outcomes(answers: NDArray[Any], shares: Shares, positive: int | None) -> Outcome:
    """Return the hits and misses to expect among answers of [classes, BINS], not whole numbers."""
    hits = answers * shares.hit
    return _outcome(hits, answers - hits, shares, positive)


def spread_outcomes(
    answers: NDArray[Any], shares: Shares, positive: int | None, *, seed: int
) -> Outcome:
    """Return hits and misses of windows like this one, one for each version of the reference.

    Rows are drawn anew, and so is whether each is a hit: so far apart the metrics of windows lie
    whose true one is the same.
    """
    # Another stream than that of the versions, or both would err alike.
    generator = np.random.default_rng([seed, 1])
    versions = len(shares.hit)
    drawn = generator.poisson(answers, (versions, *answers.shape))
    hits = generator.binomial(drawn, np.clip(shares.hit, 0.0, 1.0)).astype(np.float64)
    return _outcome(hits, drawn - hits, shares, positive)


def _outcome(hits: FloatArray, misses: FloatArray, shares: Shares, positive: int | None) -> Outcome:
    right, wrong = hits.sum(axis=-1), misses.sum(axis=-1)
    classes = shares.astray.shape[-1]
    if positive is not None:
        cells = np.zeros((len(hits), classes, classes))
        cells[:, positive], cells[:, 1 - positive] = right, wrong
        return Outcome(hits, misses, cells)
    diagonal = right[:, None, :] * np.eye(classes)
    return Outcome(hits, misses, diagonal + wrong[:, None, :] * shares.astray)


def expected_metric(name: str, outcome: Outcome, positive: int | None) -> FloatArray:
    """Return a metric of `EXPECTED` of each version, [R]; NaN where it is not defined.

    Areas and losses are of a model with a positive class.
    """
    hits, misses = outcome.hits.sum(axis=1), outcome.misses.sum(axis=1)
    if name == "roc_auc":
        return auc_of_counts(hits, misses)
    if name == "pr_auc":
        return precision_of_counts(hits, misses)
    if name in ("brier", "log_loss"):
        p = bin_middles()
        losses = (np.square(1 - p), np.square(p))
        if name == "log_loss":
            losses = (-np.log(p), -np.log1p(-p))
        rows = (hits + misses).sum(axis=1)
        total = hits @ losses[0] + misses @ losses[1]
        out = np.full(rows.shape, np.nan)
        return np.asarray(np.divide(total, rows, out=out, where=rows > 0))
    compute = find_formula(name).cells
    if compute is None:
        return np.full(len(hits), np.nan)
    return np.asarray(compute(outcome.cells, positive), np.float64)


def bounds_around(
    value: float, drawn: FloatArray, level: float, bounds: tuple[float, float]
) -> Interval | None:
    """Return the drawn values' central interval, moved so that their mean is ``value``.

    Refitting a map to a resample errs to one side a little; only the width of the draws is used.
    None where a tenth of the draws or more is not defined.
    """
    known = drawn[np.isfinite(drawn)]
    if len(known) < 0.9 * len(drawn) or len(known) < 20:
        return None
    tail = (1 - check_level(level)) / 2
    low, high = (np.quantile(known, [tail, 1 - tail]) - known.mean() + value).tolist()
    return Interval(
        min(value, max(low, bounds[0])),
        max(value, min(high, bounds[1])),
        "reference and window drawn",
    )
