"""What each row adds to the error of a metric."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterfit.core.formulae import FORMULAE, compute
from afterfit.stats.influence import contributions

COPIES = 3000


def drawn(name: str, seed: int, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A target and what the metric needs, with ties in the scores."""
    generator = np.random.default_rng(seed)
    if FORMULAE[name].needs == "values":
        predicted = generator.normal(size=n)
        return predicted + generator.normal(size=n), predicted
    truth = np.append([0, 1], generator.integers(0, 2, n - 2))
    score = np.clip(np.round(0.3 + 0.4 * truth + generator.normal(size=n) / 4, 1), 0.05, 0.95)
    if FORMULAE[name].needs == "labels":
        return truth, (score > 0.5).astype(int)
    return truth, score


@pytest.mark.parametrize("name", [n for n in FORMULAE if n not in {"r2", "roc_auc"}])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10)
def test_a_contribution_is_the_slope_of_the_metric_in_a_rows_weight(name: str, seed: int) -> None:
    """One more copy of a row in a thousand copies of all moves the metric by it; they sum to 0.

    ROC AUC and R² estimate the same slopes with the corrections for few rows that they are named
    for, so they are left out here.
    """
    truth, prediction = drawn(name, seed)
    value = compute(name, truth, prediction, positive=1).value
    if not np.isfinite(value):
        return
    rows = contributions(name, truth, prediction, positive=1)
    correction = np.sqrt(1 - 1 / len(truth)) if FORMULAE[name].needs != "labels" else 1.0
    correction = 1.0 if name == "pr_auc" else correction
    assert rows.sum() == pytest.approx(0.0, abs=1e-6)
    for row in (0, 1, 7):
        more = [np.append(np.tile(each, COPIES), each[row]) for each in (truth, prediction)]
        slope = (compute(name, *more, positive=1).value - value) * COPIES
        assert rows[row] * correction == pytest.approx(slope, abs=2e-4)


@pytest.mark.parametrize("name", list(FORMULAE))
def test_the_squares_sum_to_the_variance_over_samples(name: str) -> None:
    """The standard error of 400 samples of 200 rows is the mean of those that each tells."""
    values, errors = [], []
    for seed in range(400):
        truth, prediction = drawn(name, seed, 200)
        values.append(compute(name, truth, prediction, positive=1).value)
        rows = contributions(name, truth, prediction, positive=1)
        errors.append(np.sqrt(np.square(rows).sum()))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.12)


def test_undefined_metrics_have_no_contributions() -> None:
    """One class, a constant target, answers that are not finite, one row: NaN, never an error."""
    zeros = np.zeros(5, int)
    for name, truth, answers in (
        ("pr_auc", zeros, np.linspace(0, 1, 5)),
        ("roc_auc", zeros, np.linspace(0, 1, 5)),
        ("r2", np.ones(5), np.linspace(0, 1, 5)),
        ("mae", np.ones(5), np.full(5, np.nan)),
        ("mae", np.ones(1), np.zeros(1)),
    ):
        assert np.isnan(contributions(name, truth, answers, positive=1)).all()
