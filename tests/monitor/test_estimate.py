"""Estimates without labels: near the truth, wide enough, and silent where they would be wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from afterfit.core.formulae import compute
from afterfit.core.signature import Column, Signature
from afterfit.monitor.density import Rows, density_ratios
from afterfit.monitor.findings import NoEstimate
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.signals.estimate import BLIND, Estimator, estimate_points, fit_estimator
from afterfit.monitor.signals.quality import QualityConfig, Window
from afterfit.records.signals import Scope, SignalPoint

WINDOW = Window(Scope(), 0, 1)
COLUMNS = (
    Column(name="x", kind="number"),
    Column(name="kind", kind="category", categories=("a", "b")),
)
BINARY = Signature(task="binary", columns=COLUMNS, classes=(0, 1), positive=1)
REGRESSION = Signature(task="regression", columns=COLUMNS)
CONFIG = QualityConfig(metrics=("accuracy", "roc_auc", "f1"), draws=120)


def loans(seed: int, n: int, *, b: float = 0.5, shift: float = 0.0, wrong: float = 0.0) -> Rows:
    """Rows whose scores are right on the whole, too high for kind ``a`` and too low for ``b``.

    ``b`` is the share of that kind; ``shift`` moves the inputs, ``wrong`` turns truths.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1.0, n)
    kind = np.where(rng.random(n) < b, "b", "a").astype(object)
    score = 1 / (1 + np.exp(-(1.5 * x)))
    truth = rng.random(n) < 1 / (1 + np.exp(-(1.5 * x + np.where(kind == "b", 0.9, -0.9))))
    truth = np.where(rng.random(n) < wrong, ~truth, truth)
    codes = (score >= 0.5).astype(np.int64)
    return Rows({"x": x, "kind": kind}, score, codes, truth.astype(np.int64))


def estimates(estimator: Estimator, rows: Rows, *, inputs: bool = True) -> dict[str, SignalPoint]:
    """The points of a window by metric, its labels hidden."""
    table = ScoreTable.of(estimator.signature)
    table.update(rows.scores, rows.codes)
    hidden = Rows(rows.frame, rows.scores, rows.codes).drawn(2000, 0) if inputs else None
    return {p.subject: p for p in estimate_points(estimator, table, WINDOW, hidden)}


def true(rows: Rows, name: str) -> float:
    """The metric that the hidden labels give."""
    truth = rows.truth
    assert truth is not None
    answers = rows.scores if name in ("roc_auc", "mae", "rmse") else rows.codes
    return compute(name, truth, answers, positive=None if name in ("mae", "rmse") else 1).value


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    """What 12,000 reference rows say."""
    return fit_estimator(BINARY, loans(0, 12_000), CONFIG)


def test_bounds_hold_the_truth_about_as_often_as_they_say() -> None:
    """Of 24 windows with shifted scores, by six references, bounds of 95 % hold 20 or more."""
    held = dict.fromkeys(CONFIG.metrics, 0)
    for reference in range(6):
        made = fit_estimator(BINARY, loans(1000 + reference, 8000), CONFIG)
        for seed in range(1, 5):
            rows = loans(100 * reference + seed, 1000, shift=seed % 4 * 0.2)
            for name, point in estimates(made, rows, inputs=False).items():
                assert point.low is not None
                assert point.high is not None
                held[name] += point.low <= true(rows, name) <= point.high
    assert min(held.values()) >= 20


def test_a_window_that_is_harder_is_an_alarm_before_any_label(estimator: Estimator) -> None:
    """Scores nearer to the threshold: accuracy falls, and the estimate says so and how it knows."""
    usual = loans(3, 4000)
    near = np.abs(usual.scores - 0.5) < 0.2
    points = estimates(estimator, usual.take(np.flatnonzero(near)), inputs=False)
    assert points["accuracy"].state == "alarm"
    assert points["accuracy"].loss is not None
    assert points["accuracy"].loss.value == pytest.approx(0.14, abs=0.05)
    assert BLIND in points["accuracy"].message
    assert points["accuracy"].evidence == {"method": "confidence", "inputs": False}


def test_a_window_like_the_reference_is_none(estimator: Estimator) -> None:
    """No metric is an alarm in any of 5 windows of the same rows."""
    for seed in range(100, 105):
        points = estimates(estimator, loans(seed, 1500), inputs=False)
        assert {p.state for p in points.values()} == {"ok"}


def test_inputs_mend_what_scores_alone_cannot_see(estimator: Estimator) -> None:
    """Only kind ``b`` is left, of which scores are too low: weights of the reference find out."""
    rows = loans(7, 4000, b=0.97)
    alone, mended = (estimates(estimator, rows, inputs=i)["f1"].value for i in (False, True))
    assert alone is not None
    assert mended is not None
    assert abs(mended - true(rows, "f1")) < abs(alone - true(rows, "f1")) / 2


def test_rows_that_the_reference_never_had_are_no_ground_to_stand_on(
    estimator: Estimator,
) -> None:
    """Inputs far away, or scores where there were none: cannot tell, and why."""
    far = loans(8, 2000)
    moved = Rows({**far.frame, "x": far.frame["x"] + 6}, far.scores, far.codes)
    point = estimates(estimator, moved)["accuracy"]
    assert point.state == "cannot_tell"
    assert "kind that the reference hardly has" in point.message
    assert point.value is None
    assert point.evidence["finding"] == NoEstimate.code
    assert point.evidence["beyond_share"] > 0.5
    extreme = loans(9, 2000, shift=7.0)
    point = estimates(estimator, extreme, inputs=False)["accuracy"]
    assert point.state == "cannot_tell"
    assert "of the scores" in point.message


def test_a_reference_whose_scores_changed_their_meaning_proves_nothing() -> None:
    """Truths turned in the second half: neither half foretells the other."""
    first, second = loans(1, 4000), loans(2, 4000, wrong=0.3)
    frame = {n: np.concatenate([first.frame[n], second.frame[n]]) for n in first.frame}
    parts: Any = zip(
        (first.scores, first.codes, first.truth),
        (second.scores, second.codes, second.truth),
        strict=True,
    )
    both = Rows(frame, *(np.concatenate(pair) for pair in parts))
    points = estimates(fit_estimator(BINARY, both, CONFIG), loans(3, 1000), inputs=False)
    assert {p.state for p in points.values()} == {"cannot_tell"}
    assert "scores did not keep their meaning" in points["f1"].message


def test_pure_concept_drift_is_not_seen_and_that_is_said(estimator: Estimator) -> None:
    """Truths turn while inputs and scores stay: the estimate stays too, and warns of it."""
    rows = loans(11, 3000, wrong=0.3)
    point = estimates(estimator, rows)["accuracy"]
    assert point.state == "ok"
    assert point.value is not None
    assert point.value - true(rows, "accuracy") > 0.1
    assert "came to mean something else" in point.message


def test_few_rows_are_no_answer(estimator: Estimator) -> None:
    """Below the least number of rows every metric says how many are needed."""
    points = estimates(estimator, loans(12, 50))
    assert {(p.state, p.needed) for p in points.values()} == {("insufficient", 200)}
    few = fit_estimator(BINARY, loans(0, 300), CONFIG)
    assert "300 labelled rows" in estimates(few, loans(1, 500))["f1"].message


def test_three_classes_are_estimated_by_decided_class() -> None:
    """Top probabilities that are too high, each class in its own way; macro averages follow."""
    rng = np.random.default_rng(0)
    signature = Signature(task="multiclass", columns=(), classes=("p", "q", "r"))

    def rows(n: int, sharp: float) -> Rows:
        shown = rng.dirichlet((sharp, 0.8, 0.5), n)
        actual = np.where(rng.random(n) < 0.8, 0, rng.integers(0, 3, n))
        drawn = (rng.random((n, 1)) > np.cumsum(shown, axis=1)).sum(axis=1)
        truth = np.where(rng.random(n) < 0.15, actual, drawn)
        return Rows({}, shown.max(axis=1), shown.argmax(axis=1), truth)

    config = QualityConfig(metrics=("accuracy", "f1", "recall"), draws=40)
    made = fit_estimator(signature, rows(20_000, 1.0), config)
    window = rows(4000, 0.7)
    for name, point in estimates(made, window, inputs=False).items():
        truth = window.truth
        assert truth is not None
        exact = compute(name, truth, window.codes).value
        assert point.value == pytest.approx(exact, abs=0.03)


def prices(seed: int, n: int, b: float = 0.2) -> Rows:
    """A regression whose errors are 1 for kind ``a`` and 4 for ``b``."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, n)
    kind = np.where(rng.random(n) < b, "b", "a").astype(object)
    values = 10 * x
    truth = values + rng.normal(0, np.where(kind == "b", 4.0, 1.0))
    return Rows({"x": x, "kind": kind}, values, np.full(n, -1), truth)


def test_errors_of_a_regression_are_foretold_by_the_inputs() -> None:
    """Twice the rows of the difficult kind: MAE and RMSE grow as they do, within the bounds."""
    config = QualityConfig(metrics=("mae", "rmse"))
    made = fit_estimator(REGRESSION, prices(0, 4000), config)
    held = dict.fromkeys(config.metrics, 0)
    for seed in range(2, 6):
        window = prices(seed, 3000, b=0.4)
        for name, point in estimates(made, window).items():
            assert point.state == "alarm"
            assert point.low is not None
            assert point.high is not None
            held[name] += point.low <= true(window, name) <= point.high
    assert min(held.values()) >= 3
    blind = estimates(made, window, inputs=False)["mae"]
    assert blind.state == "cannot_tell"
    assert "captured" in blind.message


def test_density_ratios_are_those_of_the_densities() -> None:
    """Twice the share of one kind: its rows weigh twice as much, and the others less."""
    reference, window = loans(0, 3000, b=0.3), loans(1, 1500, b=0.6)
    ratios = density_ratios(BINARY, reference, window, seed=0)
    is_b = reference.frame["kind"] == "b"
    assert np.median(ratios.reference[is_b]) == pytest.approx(2.0, abs=0.3)
    assert np.median(ratios.reference[~is_b]) == pytest.approx(0.4 / 0.7, abs=0.12)
    assert ratios.beyond == 0.0
    assert 0.5 < ratios.effective < 1.0
