"""DeLong's interval of the ROC AUC."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logit

from afterfit.core.formulae import compute
from afterfit.stats.delong import auc_contributions, delong, newcombe_auc

seeds = st.integers(0, 10_000)


def rows(seed: int, n: int = 80) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return truth with both classes, and tied scores."""
    generator = np.random.default_rng(seed)
    truth = np.append([0, 0, 1, 1], (generator.random(n) < 0.3).astype(int))
    return truth, np.round(generator.normal(size=n + 4) + truth, 1)


@given(seeds)
@settings(deadline=None, max_examples=30)
def test_the_variance_is_that_of_all_pairs(seed: int) -> None:
    """The fast form equals DeLong's definition over every (positive, negative) pair."""
    truth, score = rows(seed)
    positive, negative = score[truth == 1], score[truth == 0]
    won = np.where(positive[:, None] == negative, 0.5, positive[:, None] > negative)
    expected = won.mean(axis=1).var(ddof=1) / len(positive)
    expected += won.mean(axis=0).var(ddof=1) / len(negative)
    auc, parts, n_positive, n_negative = auc_contributions(truth, score, positive=1)
    assert auc == pytest.approx(won.mean())
    assert (parts**2).sum() == pytest.approx(expected)
    assert (n_positive, n_negative) == won.shape


@given(seeds, st.floats(0.5, 0.99), st.floats(0.5, 0.99))
@settings(deadline=None, max_examples=50)
def test_intervals_hold_the_auc_and_grow_with_the_level(
    seed: int, one: float, other: float
) -> None:
    """Within [0, 1], around the estimate, nested in the level."""
    truth, score = rows(seed, n=20)
    auc = compute("roc_auc", truth, score, positive=1).value
    narrow, wide = (delong(truth, score, level=level) for level in sorted((one, other)))
    assert 0 <= wide.low <= narrow.low <= auc <= narrow.high <= wide.high <= 1


def test_few_rows_of_a_class_cost_degrees_of_freedom() -> None:
    """With 5 positives the logit is half as wide again as by the normal quantile, not with 500."""
    for n_positive, least, most in ((5, 1.2, 1.5), (500, 1.0, 1.01)):
        generator = np.random.default_rng(1)
        truth = np.repeat([1, 0], [n_positive, 2000])
        score = generator.normal(size=len(truth)) + truth
        auc, parts, _, _ = auc_contributions(truth, score)
        found = delong(truth, score)
        error = math.sqrt((parts**2).sum()) / (auc * (1 - auc))
        ratio = (logit(found.high) - logit(auc)) / (1.959964 * error)
        assert least < ratio < most


def test_perfect_separation_still_has_a_width() -> None:
    """DeLong's variance is zero there; the score interval is not."""
    truth = np.repeat([0, 1], 20)
    low, high, method = delong(truth, truth.astype(float))
    assert method == "newcombe"
    assert 0.85 < low < 0.99
    assert high == 1.0
    few = delong(np.array([0, 0, 0, 1]), np.array([0.1, 0.2, 0.9, 0.5]))
    assert few.method == "newcombe"
    assert 0 < few.low < 2 / 3 < few.high < 1


def test_newcombe_solves_its_equation() -> None:
    """At each bound the distance is z standard errors by Newcombe's variance."""
    auc, m, n = 0.9, 30, 50
    for bound in newcombe_auc(auc, m, n)[:2]:
        middle = (m + n) / 2 - 1
        shape = 1 + middle * (1 - bound) / (2 - bound) + middle * bound / (1 + bound)
        error = math.sqrt(bound * (1 - bound) * shape / (m * n))
        assert abs(bound - auc) == pytest.approx(1.959964 * error, rel=1e-5)


def test_the_macro_average_has_the_spread_of_its_samples() -> None:
    """The standard error of the macro AUC is the spread over many samples, within 20 %."""
    generator = np.random.default_rng(4)
    aucs, errors = [], []
    for _ in range(200):
        truth = generator.integers(0, 3, 150)
        score = generator.normal(size=(150, 3)) + np.eye(3)[truth]
        found = auc_contributions(truth, score)
        aucs.append(found.auc)
        errors.append(math.sqrt((found.rows**2).sum()))
        assert found.auc == pytest.approx(compute("roc_auc", truth, score).value)
    assert np.mean(errors) == pytest.approx(np.std(aucs), rel=0.2)


def test_one_class_alone_has_no_interval() -> None:
    """NaN with the reason."""
    found = delong(np.ones(5, int), np.linspace(0, 1, 5))
    assert math.isnan(found.low)
    assert "class" in found.method
