"""The numbers of a report: waits, shares, and quality where there are labels."""

from __future__ import annotations

import math

import numpy as np

from afterfit.core.dataset import encode_labels
from afterfit.core.formulae import find_formula
from afterfit.core.metric import Metric
from afterfit.core.signature import Signature, Task
from afterfit.monitor.config import MonitorConfig
from afterfit.monitor.log import Log
from afterfit.stats.interval import wilson
from afterfit.stats.metric_interval import metric_with_interval
from afterfit.stats.quantile import quantile_metric

SCOPE = "live"
QUANTILES = (0.5, 0.95, 0.99)
USUAL: dict[Task, tuple[str, ...]] = {
    "binary": ("roc_auc", "pr_auc", "log_loss", "brier", "f1", "precision", "recall", "accuracy"),
    "multiclass": ("log_loss", "f1", "balanced_accuracy", "accuracy"),
    "regression": ("mae", "rmse", "r2"),
}


def waits(log: Log, level: float) -> list[Metric]:
    """Return quantiles of the time in the queue and in the model, in microseconds."""
    return [
        quantile_metric(f"{name}_p{q * 100:g}_us", values, q, unit="us", scope=SCOPE, level=level)
        for name, values in log.waits.items()
        if values.any()
        for q in QUANTILES
    ]


def share_metric(name: str, part: int, whole: int, level: float) -> Metric:
    """Return a share of rows with Wilson's interval."""
    if not whole:
        return Metric(name=name, value=None, method="there are no rows", scope=SCOPE)
    interval = wilson(part, whole, level)
    return Metric(
        name=name,
        value=part / whole,
        low=interval.low,
        high=interval.high,
        level=level,
        n=whole,
        method=interval.method,
        scope=SCOPE,
    )


def shares(log: Log, level: float) -> list[Metric]:
    """Return the shares of requests without an answer and of rows by flag, where known."""
    if log.answers_only:
        return []
    unanswered = log.counts["refused"] + log.counts["failed"]
    found = [share_metric("unanswered_share", unanswered, unanswered + len(log), level)]
    found += [
        share_metric(f"{flag}_share", count, len(log), level)
        for flag, count in sorted(log.flags.items())
    ]
    return found


def truth_codes(log: Log, signature: Signature) -> tuple[np.ndarray, np.ndarray]:
    """Return which predictions have a label (bool of [n]) and its value or code; -1 is no class."""
    labelled = np.array([value is not None for value in log.truth], dtype=bool)
    if signature.task == "regression":
        values = np.array([_number(value) for value in log.truth], dtype=np.float64)
        return labelled & np.isfinite(values), values
    return labelled, encode_labels(log.truth, signature.classes)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def quality(log: Log, signature: Signature, config: MonitorConfig) -> list[Metric]:
    """Return the quality on rows with a label, one metric each, with intervals."""
    labelled, truth = truth_codes(log, signature)
    if signature.task != "regression":
        labelled = labelled & (truth >= 0)
    return [
        found
        for name in config.metrics or USUAL[signature.task]
        if (found := _quality(name, log, signature, labelled, truth, config)) is not None
    ]


def _quality(
    name: str,
    log: Log,
    signature: Signature,
    labelled: np.ndarray,
    truth: np.ndarray,
    config: MonitorConfig,
) -> Metric | None:
    """Return one metric, None where the log does not hold what it needs."""
    needs = find_formula(name).needs
    answers = {"labels": log.codes, "probabilities": log.probabilities, "values": log.scores}[needs]
    if answers is None:
        return None
    known = answers >= 0 if needs == "labels" else np.isfinite(answers)
    rows = labelled & (known.all(axis=1) if known.ndim == 2 else known)
    if int(rows.sum()) < config.min_labels:
        return None
    value, low, high, method = metric_with_interval(
        name,
        truth[rows],
        answers[rows],
        positive=signature.positive_index,
        seed=config.seed,
        level=config.level,
        effort=config.effort,
    )
    return Metric(
        name=name,
        value=_finite(value),
        low=_finite(low),
        high=_finite(high),
        level=config.level,
        n=int(rows.sum()),
        method=method,
        unit=find_formula(name).unit,
        scope=SCOPE,
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
