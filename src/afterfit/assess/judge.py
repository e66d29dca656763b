"""What the numbers mean: the findings of ``assess``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from afterfit.assess import findings
from afterfit.assess.evidence import Rows
from afterfit.assess.threshold import best_threshold, f1_at
from afterfit.core.finding import Check, Finding
from afterfit.core.metric import Metric
from afterfit.core.signature import Signature

FEW = 50
CLEAR_GAIN = 0.05
LINEAR = frozenset(
    {
        "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars",
        "LarsCV", "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC",
        "LinearDiscriminantAnalysis", "LinearRegression", "LinearSVC", "LinearSVR",
        "LogisticRegression", "LogisticRegressionCV", "OrthogonalMatchingPursuit", "Perceptron",
        "PassiveAggressiveClassifier", "PassiveAggressiveRegressor", "QuantileRegressor",
        "RANSACRegressor", "Ridge", "RidgeCV", "RidgeClassifier", "RidgeClassifierCV",
        "SGDClassifier", "SGDRegressor", "TheilSenRegressor",
    }
)  # fmt: skip
"""Names of estimators that are linear in what they are given."""


def about_quality(
    rows: Rows, lifts: Sequence[Metric], estimator: str = "", margin: float = 0.0
) -> list[Finding]:
    """Return what the lifts, the rows by class and the threshold say; ``lifts`` as ``beside``.

    ``estimator`` is the name of the model's class, empty where nobody knows it; ``margin`` is the
    loss that would not matter, of a regression as a share of its mean absolute error.
    """
    return [
        _over_constant(lifts[0]),
        _over_linear(lifts[1], estimator, margin * _size(rows)),
        _few_rows(rows.signature, rows.truth),
        about_threshold(rows),
    ]


def _size(rows: Rows) -> float:
    """Return what a margin is a share of: the mean absolute error of a regression, else 1."""
    if rows.signature.task != "regression":
        return 1.0
    return float(np.abs(rows.predictions.main - rows.truth).mean())


def _over_constant(metric: Metric) -> Finding:
    check = findings.NotBetterThanBaseline
    if done := _surely_better(check, metric):
        return done
    text = _not_better("a constant answer", metric)
    if metric.n < FEW and metric.value is not None and metric.value > 0:
        return check.skipped(f"{text}, and {metric.n} rows say little", needed_n=_needed(metric))
    return check.issue(text)


def _over_linear(metric: Metric, estimator: str, worth: float) -> Finding:
    """Return what the lift over a linear model says; that a linear one is as good is no news.

    A loss below ``worth`` is no issue, however sure.
    """
    check = findings.LinearIsAsGood
    if done := _surely_better(check, metric):
        return done
    text = _not_better("a linear model", metric)
    # Two lines that differ in their penalty alone differ surely, and by nothing.
    if metric.high is not None and metric.high < 0 and (metric.value or 0.0) < -worth:
        return check.issue(text, fix="ship a linear model, or find out what this one has missed")
    if estimator in LINEAR:
        return check.not_applicable(f"the model is a linear one itself, {estimator}: {text}")
    return check.tip(text, fix="ship a linear model, where being simpler is worth more")


def _not_better(other: str, metric: Metric) -> str:
    """Return how the model stands beside another one that it does not surely beat."""
    surely = metric.high is not None and metric.high < 0
    way = "surely worse" if surely else "not surely better"
    return f"{way} than {other}: the lift is {metric.text()}"


def _surely_better(check: type[Check], metric: Metric) -> Finding | None:
    if metric.value is None:
        return check.skipped(f"the lift could not be computed: {metric.method}")
    if metric.low is not None and metric.low > 0:
        return check.passed(f"{check.title}: by {metric.text()}")
    return None


def _needed(metric: Metric) -> int:
    """Return about how many rows would tell such a lift from 0; an interval shrinks as 1/√n."""
    if metric.value is None or metric.low is None or metric.value <= 0:
        return FEW
    return max(FEW, math.ceil(metric.n * ((metric.value - metric.low) / metric.value) ** 2))


def _few_rows(signature: Signature, truth: np.ndarray) -> Finding:
    check = findings.FewRowsOfAClass
    if signature.task == "regression":
        return check.not_applicable("a regression has no classes")
    counts = np.bincount(truth, minlength=len(signature.classes))
    few = {str(signature.classes[i]): int(n) for i, n in enumerate(counts) if n < FEW}
    if few:
        text = ", ".join(f"{label!r}: {n}" for label, n in few.items())
        return check.tip(f"rows by class: {text}; below {FEW} intervals are approximate")
    return check.passed(f"each class has at least {int(counts.min())} rows")


def about_threshold(rows: Rows) -> Finding:
    """Return whether the threshold decides anything, and whether another is clearly better."""
    check = findings.AnotherThreshold
    signature, positive = rows.signature, rows.signature.positive_index
    probabilities = rows.predictions.probabilities
    ranks = signature.task == "binary" and signature.own_labels is not True
    if not ranks or positive is None or probabilities is None:
        return check.not_applicable("only a probability of a positive class has a threshold")
    hits, scores = rows.truth == positive, probabilities[:, positive]
    if not np.isfinite(scores).all():
        return check.skipped("some probabilities are not finite")
    best = best_threshold(hits, scores)
    if best is None or hits.all():
        return check.skipped("the rows hold only one class", needed_n=len(hits) + 1)
    present = 0.5 if signature.threshold is None else signature.threshold
    f1, decided = f1_at(hits, scores, present), int((scores >= present).sum())
    text = f"at the threshold {present:g} {decided} of {len(hits)} rows are positive, F1 {f1:.3g}"
    evidence: dict[str, Any] = {
        "threshold": present,
        "f1": f1,
        "n": len(hits),
        "decided_positive": decided,
    }
    gain = best.f1 - f1
    one_sided = decided in {0, len(hits)}
    if not one_sided and gain <= CLEAR_GAIN:
        return check.passed(text, **evidence)
    if gain <= 0:
        return check.tip(f"{text}; no threshold has a better F1 on these rows", **evidence)
    text += f"; {best.threshold:g} has the best, {best.f1:.3g}: it was chosen on these very rows"
    evidence |= {"best_threshold": best.threshold, "best_f1": best.f1}
    return check.tip(text, fix=f"--threshold {best.threshold:g}", **evidence)
