"""What is measured of a group: the sums that its comparisons with others come from."""

from __future__ import annotations

import math

import numpy as np

from afterfit.assess.evidence import Rows
from afterfit.assess.findings.slices import ErrorRates, SelectionRates
from afterfit.core.finding import Check
from afterfit.stats.groups import ERROR_SHARE, MEASURES, Measure, Sum, Sums
from afterfit.stats.units import Units

__all__ = ["measures_of", "summed", "sums_of"]


def measures_of(evidence: Rows) -> tuple[list[Measure], list[tuple[type[Check], str]]]:
    """Return what groups are compared by, and the checks that make no sense here, with why."""
    signature = evidence.signature
    if signature.task == "regression":
        errors = evidence.predictions.main - evidence.truth
        limit = ERROR_SHARE * float(np.abs(errors).mean())
        gaps = ("mae_gap", "mae"), ("mean_error_gap", "mean_error")
        measures = [
            Measure(name, metric, limit, -1, rate=False, unit=signature.target)
            for name, metric in gaps
        ]
        text = "a regression decides nothing"
        return measures, [(SelectionRates, text), (ErrorRates, text)]
    if signature.positive_index is None:
        text = "there is no positive class: groups are compared by accuracy"
        return [MEASURES["accuracy"]], [(SelectionRates, text), (ErrorRates, text)]
    return list(MEASURES.values()), []


def sums_of(evidence: Rows, rows: np.ndarray) -> Sums:
    """Return the sums of every metric over some rows, given by their places."""
    signature, truth = evidence.signature, evidence.truth[rows]
    if signature.task == "regression":
        errors = evidence.predictions.main[rows] - truth
        return {
            "mae": summed(evidence, np.abs(errors), rows),
            "mean_error": summed(evidence, errors, rows),
        }
    decided = signature.codes(evidence.predictions.take(rows))
    found = {"accuracy": summed(evidence, decided == truth, rows)}
    positive = signature.positive_index
    if positive is not None:
        hits, selected = truth == positive, decided == positive
        found["selection_rate"] = summed(evidence, selected, rows)
        found["true_positive_rate"] = summed(evidence, selected[hits], rows[hits])
        found["false_positive_rate"] = summed(evidence, selected[~hits], rows[~hits])
    return found


def summed(evidence: Rows, values: np.ndarray, rows: np.ndarray) -> Sum:
    """Return the sum of a number of some rows, given by their places, and what they are worth."""
    numbers = values.astype(np.float64)
    effect = 1.0 if evidence.units is None else _effect(evidence.units, numbers, rows, evidence)
    return Sum(len(numbers), float(numbers.sum()), float(np.square(numbers).sum()), effect)


def _effect(units: Units, numbers: np.ndarray, rows: np.ndarray, evidence: Rows) -> float:
    """Return the variance of a mean over units by that over rows, at least 1."""
    n = len(numbers)
    if not n:
        return 1.0
    adds = np.zeros(len(evidence.truth))
    adds[rows] = (numbers - numbers.mean()) / n
    single = float(np.square(adds).sum())
    if single > 0:
        found = units.spread(adds).error ** 2 / single
        return min(max(1.0, found), float(n)) if math.isfinite(found) else float(n)
    # Rows that are all alike: each unit counts as one row.
    adds[rows] = 1.0 / n
    return max(1.0, n / (units.spread(adds).degrees + 1))
