"""Tests and numbers of slices, on rows that did not choose them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afterfit.assess.evidence import Rows
from afterfit.assess.metrics import known
from afterfit.assess.slice_search import Found
from afterfit.core.frame import Frame
from afterfit.core.metric import Metric
from afterfit.records.assess_slices import Slice, SliceVerdict
from afterfit.stats.interval import Interval, mean_interval, wilson
from afterfit.stats.multiple import benjamini_hochberg
from afterfit.stats.rates import mean_difference_of_sums, newcombe_difference
from afterfit.stats.unpaired import fisher_greater, welch_greater

__all__ = ["LEAST_ROWS", "Losses", "confirm", "losses_of"]

LEAST_ROWS = 30
FEWEST_TESTED = LEAST_ROWS // 2
RATE = 0.05
"""The share of false findings among those that are told, at most."""
TAIL = 0.99
"""Absolute errors above this quantile count as it: a few rows make no slice."""
WORTH = 0.5
WORTH_RATE = (0.02, 0.10)
"""An effect worth knowing: half of the loss elsewhere; of error rates, within these limits."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Losses:
    """One loss a row, [n]: errors 0 and 1 (``rate``), or absolute errors up to ``clipped``.

    ``foreseen`` are the errors that the model's own probabilities foretell, as many in sum as
    there are; None without probabilities.
    """

    name: str
    unit: str
    rows: FloatArray
    foreseen: FloatArray | None = None
    clipped: float | None = None

    @property
    def rate(self) -> bool:
        """Whether losses are 0 or 1."""
        return self.clipped is None

    def worth(self, outside: float) -> float:
        """Return the least difference that is worth knowing, by the mean loss elsewhere."""
        half = WORTH * outside
        return min(max(half, WORTH_RATE[0]), WORTH_RATE[1]) if self.rate else half


def losses_of(evidence: Rows, discovery: np.ndarray) -> Losses:
    """Return the losses of all rows, scaled and clipped by those of ``discovery`` alone."""
    signature, truth, predictions = evidence.signature, evidence.truth, evidence.predictions
    if signature.task == "regression":
        errors = np.abs(truth - predictions.main)
        top = float(np.quantile(errors[discovery], TAIL)) or float(errors[discovery].max())
        return Losses("mae", signature.target, np.minimum(errors, top), clipped=top)
    codes = signature.codes(predictions)
    wrong = (codes != truth).astype(np.float64)
    if predictions.probabilities is None:
        return Losses("error_rate", "", wrong)
    foreseen = 1.0 - predictions.probabilities[np.arange(len(truth)), codes]
    # A model that is too sure everywhere is told of elsewhere: here only where it is more so.
    total = float(foreseen[discovery].sum())
    scale = float(wrong[discovery].sum()) / total if total > 0 else 1.0
    return Losses("error_rate", "", wrong, foreseen=foreseen * scale)


def confirm(
    frame: Frame,
    losses: Losses,
    confirmation: np.ndarray,
    found: Sequence[Found],
    level: float,
) -> list[Slice]:
    """Return each slice with its numbers, tests and verdict on the rows ``confirmation``."""
    rows = losses.rows[confirmation]
    beyond = None if losses.foreseen is None else rows - losses.foreseen[confirmation]
    masks = [_mask(frame, confirmation, each) for each in found]
    fit = [FEWEST_TESTED <= int(mask.sum()) < len(mask) for mask in masks]
    p = np.array(
        [_worse(rows, m, losses) if ok else np.nan for m, ok in zip(masks, fit, strict=True)]
    )
    adjusted = benjamini_hochberg(p)
    surprise = np.full(len(found), np.nan)
    if beyond is not None:
        tests = zip(masks, fit, strict=True)
        p = np.array([welch_greater(beyond[m], beyond[~m]) if ok else np.nan for m, ok in tests])
        surprise = benjamini_hochberg(p)
    return [
        _told(each, losses, confirmation, mask, level, float(one), float(two))
        for each, mask, one, two in zip(found, masks, adjusted, surprise, strict=True)
    ]


def _mask(frame: Frame, rows: np.ndarray, found: Found) -> np.ndarray:
    inside = np.ones(len(rows), bool)
    for _, span in found.spans:
        inside &= span.holds(span.cut.codes(frame[span.cut.name][rows]))
    return inside


def _worse(rows: FloatArray, mask: np.ndarray, losses: Losses) -> float:
    """Return the one-sided p-value that the mean loss inside is no higher than outside."""
    if not losses.rate:
        return welch_greater(rows[mask], rows[~mask])
    inside, outside = rows[mask], rows[~mask]
    return fisher_greater(int(inside.sum()), len(inside), int(outside.sum()), len(outside))


def _told(
    found: Found,
    losses: Losses,
    confirmation: np.ndarray,
    mask: np.ndarray,
    level: float,
    adjusted: float,
    surprise: float,
) -> Slice:
    rows = losses.rows[confirmation]
    inside, outside = rows[mask], rows[~mask]
    beyond = foreseen = None
    if losses.foreseen is not None and len(inside):
        expected = losses.foreseen[confirmation]
        foreseen = float(expected[mask].mean())
        beyond = _gap("errors_beyond_foreseen", losses, rows - expected, mask, level, rate=False)
    gap = _gap(losses.name, losses, rows, mask, level, rate=losses.rate)
    other = _mean(losses, outside, level, "outside")
    tested = math.isfinite(adjusted) or math.isfinite(surprise)
    return Slice(
        name=found.name,
        verdict=_verdict(losses, gap, beyond, adjusted, surprise, other.value) if tested else "few",
        n=len(inside),
        share=len(inside) / len(mask),
        inside=_mean(losses, inside, level, "inside"),
        outside=other,
        gap=gap,
        adjusted=known(adjusted),
        foreseen=foreseen,
        beyond=beyond,
        beyond_adjusted=known(surprise),
    )


def _verdict(
    losses: Losses,
    gap: Metric,
    beyond: Metric | None,
    adjusted: float,
    surprise: float,
    outside: float | None,
) -> SliceVerdict:
    worth = losses.worth(outside or 0.0)
    sure, marked = adjusted <= RATE, (gap.value or 0.0) >= worth
    if beyond is None:
        return ("weak" if marked else "slight") if sure else "chance"
    if surprise <= RATE and (beyond.value or 0.0) >= worth:
        return "weak"
    if sure:
        return "hard" if marked else "slight"
    return "slight" if surprise <= RATE else "chance"


def _mean(losses: Losses, rows: FloatArray, level: float, scope: str) -> Metric:
    if losses.rate:
        bounds = wilson(int(rows.sum()), len(rows), level)
    else:
        bounds = mean_interval(rows, level)
    value = float(rows.mean()) if len(rows) else math.nan
    return _metric(losses.name, losses.unit, value, bounds, level, len(rows), scope)


def _gap(
    name: str, losses: Losses, rows: FloatArray, mask: np.ndarray, level: float, *, rate: bool
) -> Metric:
    sides = rows[mask], rows[~mask]
    first, second = ((len(s), float(s.sum()), float(np.square(s).sum())) for s in sides)
    if rate:
        bounds = newcombe_difference(round(first[1]), first[0], round(second[1]), second[0], level)
    else:
        bounds = mean_difference_of_sums(first, second, level)
    value = first[1] / first[0] - second[1] / second[0] if first[0] and second[0] else math.nan
    return _metric(name, losses.unit, value, bounds, level, first[0], "inside - outside")


def _metric(
    name: str, unit: str, value: float, bounds: Interval, level: float, n: int, scope: str
) -> Metric:
    return Metric(
        name=name,
        value=known(value),
        low=known(bounds.low),
        high=known(bounds.high),
        level=level,
        n=n,
        method=bounds.method,
        unit=unit,
        scope=scope,
    )
