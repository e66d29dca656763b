"""What a map changes on rows that neither trained the model nor fitted the map."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from afterfit.core.finding import Finding
from afterfit.core.formulae import find_formula, row_losses
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric
from afterfit.optimize import findings
from afterfit.optimize.split import Part, numbered
from afterfit.records.assess_calibration import LossChange
from afterfit.records.optimize import Recalibrated
from afterfit.stats.dependent import dependent_difference
from afterfit.stats.interval import Interval
from afterfit.stats.paired import mean_difference
from afterfit.stats.units import groups

__all__ = [
    "FIXES",
    "LEAST_OF_SIDE",
    "Verdict",
    "about_labels",
    "changes",
    "few",
    "told_of",
    "verdict_of",
]

LEAST_OF_SIDE = 20
LOSSES = ("log_loss", "brier")
LEVEL = 0.95
WORTH_OF_LOSS = 0.01
"""A gain of less than 1 % of the log loss is not worth a map."""

Verdict = Literal["helps", "cannot tell", "hurts", "too little"]

FIXES: dict[str, str] = {
    "cannot tell": "give more labelled rows in --data",
    "hurts": "leave out --allow recalibrate; look for drift between the rows of --data",
}


def few(part: Part) -> bool:
    """Return whether a part has fewer than 20 rows of an outcome, or of all but the commonest."""
    if part.truth is None or not part.rows:
        return True
    counts = np.bincount(part.truth.astype(np.int64), minlength=2)
    return bool(min(counts.max(), part.rows - counts.max()) < LEAST_OF_SIDE)


def changes(part: Part, before: Predictions, after: Predictions) -> tuple[LossChange, LossChange]:
    """Return log loss and Brier score of two answers to the part's rows, compared in pairs."""
    log_loss, brier = (_change(name, part, before.main, after.main) for name in LOSSES)
    return log_loss, brier


def _change(name: str, part: Part, before: np.ndarray, after: np.ndarray) -> LossChange:
    truth = np.empty(0, np.int64) if part.truth is None else part.truth
    first, second = (row_losses(name, truth, each) for each in (before, after))
    gain, bounds = _difference(name, part, truth, before, after, (first, second))
    known = math.isfinite(bounds.low) and bounds.low < bounds.high
    return LossChange(
        name=name,
        before=float(first.mean()),
        after=float(second.mean()),
        gain=Metric(
            name=f"{name}_gain",
            value=gain if math.isfinite(gain) else None,
            low=bounds.low if known else None,
            high=bounds.high if known else None,
            level=LEVEL,
            n=part.rows,
            method=f"paired {bounds.method}" if known else "undefined: the differences do not vary",
            unit=find_formula(name).unit,
            scope="certification",
        ),
    )


def _difference(
    name: str,
    part: Part,
    truth: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    losses: tuple[np.ndarray, np.ndarray],
) -> tuple[float, Interval]:
    """Return the mean gain and its interval, of whole groups where the data has some."""
    units = None if part.group is None else groups(numbered(part.group))
    if units is None:
        return mean_difference(*losses, LEVEL)
    return dependent_difference(name, truth, before, after, units, positive=None, level=LEVEL)


def verdict_of(losses: tuple[LossChange, LossChange]) -> Verdict:
    """Return whether a map helps: log loss surely smaller, by 1 %, Brier score not surely worse."""
    loss, brier = losses
    low, high = loss.gain.low, loss.gain.high
    if high is not None and high < 0:
        return "hurts"
    if low is None or not low > 0:
        return "cannot tell"
    if brier.gain.high is not None and brier.gain.high < 0:
        return "hurts"
    return "helps" if loss.before - loss.after >= WORTH_OF_LOSS * loss.before else "too little"


def told_of(record: Recalibrated) -> str:
    """Return in words what a map does to the losses."""
    loss, brier = record.map.losses
    words = {
        "helps": "helps",
        "hurts": "hurts",
        "cannot tell": "may help or not, these rows cannot tell",
        "too little": "changes too little to be worth it",
    }
    return (
        f"{record.map.method} {words[record.verdict]}: log loss {loss.before:.4g} becomes "
        f"{loss.after:.4g}, {loss.gain.text()} gained; Brier score {brier.before:.4g} becomes "
        f"{brier.after:.4g}, {brier.gain.text()} gained (fitted on {record.fitted:,} other rows)"
    )


def about_labels(record: Recalibrated, rows: int) -> Finding:
    """Return what became of the threshold of a form that ships; ``rows`` were compared."""
    check = findings.ThresholdMoved
    if record.threshold is None:
        return check.passed(f"the map leaves what is decided: {rows:,} rows have their label")
    return check.passed(
        f"the threshold moved with the map, from {record.before or 0.5:.4g} to "
        f"{record.threshold:.4g}: {rows:,} rows have the label that they had",
        n=rows,
        threshold=record.threshold,
    )
