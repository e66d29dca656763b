"""Bounds of a drop: what they say, and how often they are wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from afterfit.core.formulae import compute, find_formula
from afterfit.errors import InputError
from afterfit.stats.calibration import calibration_error
from afterfit.stats.noninferior import (
    accuracy_drop,
    auc_drop,
    metric_drop,
    needed_rows,
    relative,
)

MARGIN = 0.02


def outcomes(
    rng: np.random.Generator, n: int, lost: float, won: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that the first alone, and the second alone, get right with these chances."""
    u = rng.random(n)
    return u >= won, (u < won) | (u >= won + lost)


@pytest.mark.parametrize(("n", "changed"), [(300, 0.03), (1000, 0.03), (1000, 0.10), (3000, 0.05)])
def test_a_drop_at_the_margin_is_certified_at_most_alpha_of_the_time(
    n: int, changed: float
) -> None:
    """At the margin itself, 4,000 runs certify no more than alpha and four standard errors."""
    rng, alpha, runs = np.random.default_rng(1), 0.05, 4000
    lost, won = (changed + MARGIN) / 2, (changed - MARGIN) / 2
    wrong = sum(
        accuracy_drop(*outcomes(rng, n, lost, won), alpha).high < MARGIN for _ in range(runs)
    )
    assert wrong / runs <= alpha + 4 * math.sqrt(alpha * (1 - alpha) / runs)


def test_auc_at_the_margin_is_certified_at_most_alpha_of_the_time() -> None:
    """The same for the ROC AUC: the second model's scores are noisier by a known amount."""
    rng, alpha, runs, n = np.random.default_rng(2), 0.05, 600, 800
    y = np.tile([0, 1], 100_000)
    base = y + rng.normal(size=len(y))
    worse = base + rng.normal(0, 0.5, size=len(y))
    margin = auc_drop(y, _two(base), _two(worse), alpha, 1).value
    wrong = 0
    for _ in range(runs):
        rows = rng.choice(len(y), n, replace=False)
        wrong += auc_drop(y[rows], _two(base[rows]), _two(worse[rows]), alpha, 1).high < margin
    assert wrong / runs <= alpha + 4 * math.sqrt(alpha * (1 - alpha) / runs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n", "runs"),
    [("log_loss", 400, 400), ("f1", 400, 400), ("mae", 300, 400), ("rmse", 400, 400)],
)
def test_resampled_metrics_at_the_margin_are_certified_at_most_alpha_of_the_time(
    name: str, n: int, runs: int
) -> None:
    """The same for metrics that are resampled: rows of a population whose drop is the margin.

    Some are certified all the same, so that a bound that never certifies does not pass for one.
    """
    rng, alpha = np.random.default_rng(6), 0.05
    y, first, second = _population(name, rng)
    values = [compute(name, y, each, positive=1).value for each in (first, second)]
    sign = 1.0 if find_formula(name).bigger_is_better else -1.0
    margin = sign * (values[0] - values[1]) / (values[0] if relative(name) else 1.0)
    assert margin > 0.005
    wrong = 0
    for run in range(runs):
        rows = rng.choice(len(y), n, replace=False)
        drop = metric_drop(
            name,
            y[rows],
            first[rows],
            second[rows],
            alpha=alpha,
            positive=1,
            seed=run,
            replicates=400,
        )
        wrong += drop.high < margin
    assert 0 < wrong / runs <= alpha + 4 * math.sqrt(alpha * (1 - alpha) / runs)


def _population(
    name: str, rng: np.random.Generator, size: int = 100_000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truths, and the answers of a model and of a worse one, as the metric takes them."""
    if name in ("mae", "rmse"):
        y, error = rng.normal(size=size), rng.laplace(size=size)
        return y, y + error, y + error * 1.02 + rng.normal(0, 0.2, size)
    score = rng.normal(0, 2, size)
    y = (rng.random(size) < 1 / (1 + np.exp(-score))).astype(int)
    one, two = _two(score), _two(score + rng.normal(0, 0.7, size))
    return (y, one.argmax(axis=1), two.argmax(axis=1)) if name == "f1" else (y, one, two)


def _two(score: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-score))
    return np.column_stack([1 - p, p])


def test_equal_answers_need_enough_rows_all_the_same() -> None:
    """Not one row that differs is no proof with 100 rows, and is with 1,000."""
    right = np.ones(100, bool)
    drop = accuracy_drop(right, right, 0.05)
    assert drop.high > 0.005
    enough = needed_rows(drop, 0.005, 100, 0.05)
    assert enough is not None
    more = np.ones(enough, bool)
    assert accuracy_drop(more, more, 0.05).high < 0.005


def test_needed_rows_are_enough_where_some_differ() -> None:
    """With the rows asked for and the same shares the bound is below the margin."""
    first, second = np.ones(1000, bool), np.ones(1000, bool)
    first[:20], second[20:41] = False, False
    drop = accuracy_drop(first, second, 0.05)
    enough = needed_rows(drop, 0.005, 1000, 0.05)
    assert enough is not None
    assert drop.high > 0.005
    times = math.ceil(enough / 1000)
    again = accuracy_drop(np.tile(first, times), np.tile(second, times), 0.05)
    assert again.high < 0.005


def test_no_number_of_rows_is_enough_for_a_drop_beyond_the_margin() -> None:
    """A drop as seen that is not below the margin has no number."""
    first, second = np.ones(1000, bool), np.ones(1000, bool)
    second[:20] = False
    assert needed_rows(accuracy_drop(first, second, 0.05), 0.005, 1000, 0.05) is None


@pytest.mark.parametrize("name", ["f1", "log_loss", "brier", "pr_auc"])
def test_other_metrics_of_a_class_are_resampled_in_pairs(name: str) -> None:
    """A noisier model is worse, and the bounds hold the drop."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 1500)
    first, second = y + rng.normal(size=1500), y + rng.normal(0, 2, size=1500)
    one, two = _two(2 * first - 1), _two(2 * second - 1)
    if name == "f1":
        one, two = one.argmax(axis=1), two.argmax(axis=1)
    drop = metric_drop(name, y, one, two, alpha=0.05, positive=1, seed=0, replicates=200)
    assert 0 < drop.low < drop.value < drop.high
    assert drop.method.startswith("paired ")


@pytest.mark.parametrize("name", ["mae", "rmse", "r2"])
def test_metrics_of_a_regression(name: str) -> None:
    """Twice the error is a drop of 1 (mae, rmse: a share of the first's), a lower r2."""
    rng = np.random.default_rng(4)
    y = rng.normal(size=1000)
    error = rng.normal(0, 0.1, size=1000)
    drop = metric_drop(
        name, y, y + error, y + 2 * error, alpha=0.05, positive=None, seed=0, replicates=200
    )
    wanted = {"mae": 1.0, "rmse": 1.0, "r2": 0.03}[name]
    assert drop.value == pytest.approx(wanted, rel=0.3)
    assert drop.low <= drop.value <= drop.high


def test_few_rows_that_differ_are_not_resampled() -> None:
    """A bootstrap of three rows that differ would claim too much, so it claims nothing."""
    y = np.linspace(0, 1, 500)
    second = y.copy()
    second[:3] += 0.1
    drop = metric_drop("mae", y, y + 0.01, second + 0.01, alpha=0.05, positive=None, seed=0)
    assert math.isnan(drop.high)
    assert "too few" in drop.method


def test_a_chance_of_error_outside_of_its_range_is_refused() -> None:
    """An alpha of 0.5 would certify by a coin."""
    y = np.zeros(3, int)
    with pytest.raises(InputError, match="alpha"):
        metric_drop("accuracy", y, y, y, alpha=0.5, positive=None, seed=0)


def test_calibration_error_is_near_zero_for_true_probabilities() -> None:
    """What sampling alone adds is taken off; a shift of 0.1 is seen."""
    rng = np.random.default_rng(5)
    p = rng.uniform(0.2, 0.8, 20_000)
    y = (rng.random(20_000) < p).astype(int)
    assert calibration_error(y, np.column_stack([1 - p, p])) < 0.015
    assert calibration_error(y, np.column_stack([0.9 - p, p + 0.1])) == pytest.approx(0.1, abs=0.02)
