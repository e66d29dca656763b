"""Tests and numbers of slices, on rows that did not choose them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afterfit.assess.evidence import Rows
from afterfit.assess.slice_search import Found
from afterfit.core.frame import Frame
from afterfit.core.metric import Metric, known
from afterfit.records.assess_slices import Slice, SliceVerdict
from afterfit.stats.interval import (
    Interval,
    mean_interval,
    student_quantile,
    undefined,
    wilson,
)
from afterfit.stats.multiple import benjamini_hochberg
from afterfit.stats.rates import mean_difference_of_sums, newcombe_difference
from afterfit.stats.units import Spread, Units
from afterfit.stats.unpaired import fisher_greater, welch_greater

__all__ = ["LEAST_ROWS", "Losses", "confirm", "losses_of"]

LEAST_ROWS = 30
FEWEST_TESTED = LEAST_ROWS // 2
RATE = 0.02
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


@dataclass(frozen=True)
class Trial:
    """The rows that slices are tested on: their places, losses, and how they hang together."""

    places: np.ndarray
    losses: Losses
    level: float
    units: Units | None = None

    @property
    def rows(self) -> FloatArray:
        """The loss of each of the rows, [n]."""
        rows: FloatArray = self.losses.rows[self.places]
        return rows

    @property
    def foreseen(self) -> FloatArray | None:
        """What was foreseen of each of the rows, [n]."""
        return None if self.losses.foreseen is None else self.losses.foreseen[self.places]

    def worse(self, values: FloatArray, mask: np.ndarray, *, exact: bool) -> float:
        """Return the one-sided p-value that the mean inside is no higher than outside.

        ``exact`` for values of 0 and 1. Rows that hang together count by their units.
        """
        from scipy.special import stdtr

        inside, outside = values[mask], values[~mask]
        if self.units is not None:
            gap, spread = self._spread(values, mask)
            return float(stdtr(spread.degrees, -gap / spread.error)) if spread.error > 0 else np.nan
        if exact:
            return fisher_greater(int(inside.sum()), len(inside), int(outside.sum()), len(outside))
        return welch_greater(inside, outside)

    def gap(self, name: str, values: FloatArray, mask: np.ndarray, *, exact: bool) -> Metric:
        """Return the mean inside less that outside with its interval."""
        first, second = (
            (len(side), float(side.sum()), float(np.square(side).sum()))
            for side in (values[mask], values[~mask])
        )
        if not first[0] or not second[0]:
            value, bounds = math.nan, undefined("one side has no rows")
        else:
            value = first[1] / first[0] - second[1] / second[0]
            if self.units is not None:
                bounds = self._bounds(*self._spread(values, mask))
            elif exact:
                counts = round(first[1]), first[0], round(second[1]), second[0]
                bounds = newcombe_difference(*counts, self.level)
            else:
                bounds = mean_difference_of_sums(first, second, self.level)
        return self._metric(name, value, bounds, first[0], "inside - outside")

    def mean(self, mask: np.ndarray, scope: str) -> Metric:
        """Return the mean loss of some rows with its interval."""
        inside = self.rows[mask]
        value = float(inside.mean()) if len(inside) else math.nan
        if self.units is not None and len(inside):
            spread = self.units.spread(np.where(mask, self.rows - value, 0.0) / len(inside))
            bounds = self._bounds(value, spread)
            limits = (0.0, 1.0) if self.losses.rate else (0.0, math.inf)
            bounds = bounds._replace(
                low=max(limits[0], bounds.low), high=min(limits[1], bounds.high)
            )
        elif self.losses.rate:
            bounds = wilson(int(inside.sum()), len(inside), self.level)
        else:
            bounds = mean_interval(inside, self.level)
        return self._metric(self.losses.name, value, bounds, len(inside), scope)

    def _spread(self, values: FloatArray, mask: np.ndarray) -> tuple[float, Spread]:
        """Return the difference of means and its error, from what each row adds to it."""
        inside, outside = float(values[mask].mean()), float(values[~mask].mean())
        n = int(mask.sum())
        adds = np.where(mask, (values - inside) / n, (outside - values) / (len(mask) - n))
        units = self.units
        found = Spread(math.nan, 0.0, "no units") if units is None else units.spread(adds)
        return inside - outside, found

    def _bounds(self, value: float, spread: Spread) -> Interval:
        if not spread.error > 0:
            return undefined(f"the rows do not vary over {spread.told}")
        half = student_quantile(spread.degrees, self.level) * spread.error
        return Interval(value - half, value + half, f"t over {spread.told}")

    def _metric(self, name: str, value: float, bounds: Interval, n: int, scope: str) -> Metric:
        unit = self.losses.unit
        return Metric.of(name, value, bounds, n=n, level=self.level, unit=unit, scope=scope)


def confirm(frame: Frame, trial: Trial, found: Sequence[Found]) -> list[Slice]:
    """Return each slice with its numbers, tests and verdict on the rows of the trial."""
    masks = [_mask(frame, trial.places, each) for each in found]
    fit = [FEWEST_TESTED <= int(mask.sum()) < len(mask) for mask in masks]
    adjusted = _adjusted(trial, trial.rows, masks, fit, exact=trial.losses.rate)
    surprise = np.full(len(found), np.nan)
    if trial.foreseen is not None:
        surprise = _adjusted(trial, trial.rows - trial.foreseen, masks, fit, exact=False)
    return [
        _told(each, trial, mask, float(one), float(two))
        for each, mask, one, two in zip(found, masks, adjusted, surprise, strict=True)
    ]


def _adjusted(
    trial: Trial,
    values: FloatArray,
    masks: Sequence[np.ndarray],
    fit: Sequence[bool],
    *,
    exact: bool,
) -> FloatArray:
    """Return adjusted p-values, NaN for slices that are not fit to be tested."""
    tests = zip(masks, fit, strict=True)
    p = [trial.worse(values, mask, exact=exact) if ok else np.nan for mask, ok in tests]
    return benjamini_hochberg(np.array(p))


def _mask(frame: Frame, rows: np.ndarray, found: Found) -> np.ndarray:
    inside = np.ones(len(rows), bool)
    for _, span in found.spans:
        inside &= span.holds(span.cut.codes(frame[span.cut.name][rows]))
    return inside


def _told(found: Found, trial: Trial, mask: np.ndarray, adjusted: float, surprise: float) -> Slice:
    beyond = foreseen = None
    expected = trial.foreseen
    if expected is not None and mask.any():
        foreseen = float(expected[mask].mean())
        beyond = trial.gap("errors_beyond_foreseen", trial.rows - expected, mask, exact=False)
    gap = trial.gap(trial.losses.name, trial.rows, mask, exact=trial.losses.rate)
    other = trial.mean(~mask, "outside")
    verdict: SliceVerdict = "few"
    if math.isfinite(adjusted) or math.isfinite(surprise):
        verdict = _verdict(trial.losses, gap, beyond, adjusted, surprise, other.value)
    return Slice(
        name=found.name,
        verdict=verdict,
        n=int(mask.sum()),
        share=float(mask.mean()),
        inside=trial.mean(mask, "inside"),
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
