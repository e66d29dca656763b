"""The metrics of a set of predictions, each with its interval."""

from __future__ import annotations

import numpy as np

from afterfit.assess.config import AssessConfig
from afterfit.core.formulae import find_formula
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric
from afterfit.core.metric_names import CLASSIFICATION, REGRESSION
from afterfit.core.quality import main_metric, needed
from afterfit.core.signature import Signature
from afterfit.records.assess import Confusion, Curve
from afterfit.stats.metric_interval import metric_with_interval
from afterfit.stats.units import Units

__all__ = [
    "confusion",
    "curves",
    "main_metric",
    "measure",
    "names_for",
    "needed",
]

CURVE_POINTS = 120


def names_for(signature: Signature) -> tuple[str, ...]:
    """Return the metrics of a task, the main one first."""
    if signature.task == "regression":
        return REGRESSION
    if signature.probabilities:
        return CLASSIFICATION
    return tuple(n for n in CLASSIFICATION if find_formula(n).needs == "labels")


def measure(
    signature: Signature,
    truth: np.ndarray,
    predictions: Predictions,
    config: AssessConfig,
    *,
    scope: str,
    names: tuple[str, ...] = (),
    units: Units | None = None,
) -> tuple[Metric, ...]:
    """Return the metrics of n rows; ``truth`` holds class codes or values.

    ``units`` says which rows hang together; None takes them as independent.
    """
    return tuple(
        _one(signature, truth, predictions, config, scope, name, units)
        for name in names or names_for(signature)
    )


def _one(
    signature: Signature,
    truth: np.ndarray,
    predictions: Predictions,
    config: AssessConfig,
    scope: str,
    name: str,
    units: Units | None,
) -> Metric:
    found = metric_with_interval(
        name,
        truth,
        needed(signature, predictions, name),
        positive=signature.positive_index,
        seed=config.seed,
        level=config.level,
        effort=config.effort,
        units=units,
    )
    unit = find_formula(name).unit
    unit = signature.target if unit == "target" else unit
    return Metric.of(
        name, found.value, found, n=len(truth), level=config.level, unit=unit, scope=scope
    )


def confusion(signature: Signature, truth: np.ndarray, predictions: Predictions) -> Confusion:
    """Return the rows by true and decided class."""
    k = len(signature.classes)
    flat = np.bincount(truth * k + signature.codes(predictions), minlength=k * k)
    counts = tuple(tuple(int(cell) for cell in row) for row in flat.reshape(k, k))
    return Confusion(labels=signature.classes, counts=counts)


def curves(signature: Signature, truth: np.ndarray, predictions: Predictions) -> tuple[Curve, ...]:
    """Return the ROC and precision-recall curves of a binary task."""
    positive = signature.positive_index
    if signature.task != "binary" or positive is None or predictions.probabilities is None:
        return ()
    hits = (truth == positive).astype(np.int64)
    if not 0 < hits.sum() < len(hits):
        return ()
    scores = predictions.probabilities[:, positive]
    if not np.isfinite(scores).all():
        return ()
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    true = np.cumsum(hits[order])[last_of_tie]
    false = np.cumsum(1 - hits[order])[last_of_tie]
    recall, fall_out = true / true[-1], false / false[-1]
    precision = true / (true + false)
    return (
        _curve("ROC", "false positive rate", "true positive rate", fall_out, recall),
        _curve("precision-recall", "recall", "precision", recall, precision),
    )


def _curve(name: str, x_title: str, y_title: str, x: np.ndarray, y: np.ndarray) -> Curve:
    chosen = np.unique(np.linspace(0, len(x) - 1, min(CURVE_POINTS, len(x))).astype(int))
    points = [(round(float(x[i]), 6), round(float(y[i]), 6)) for i in chosen]
    return Curve(
        name=name,
        x_title=x_title,
        y_title=y_title,
        x=tuple(a for a, _ in points),
        y=tuple(b for _, b in points),
    )
