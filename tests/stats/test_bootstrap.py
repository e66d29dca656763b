"""The bootstrap on counts of rows and on confusion cells."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from afterfit.core.formulae import FORMULAE, confusion_matrix
from afterfit.errors import UsageError
from afterfit.stats.bootstrap import _row_counts, bootstrap, bootstrap_cells
from afterfit.stats.weighted import average_precision_of_counts

MEAN_ROWS = np.random.default_rng(0).normal(size=120)


def mean(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of the drawn rows."""
    return np.asarray(counts @ MEAN_ROWS / counts.sum(axis=1))


@pytest.mark.parametrize("n", [1, 7, 400_000])
def test_each_replicate_draws_n_rows(n: int) -> None:
    """Counts sum to n in every replicate, also when a chunk holds a single one."""
    chunks = list(_row_counts(np.random.default_rng(0), n, 3))
    assert sum(len(chunk) for chunk in chunks) == 3
    assert all((chunk.sum(axis=1) == n).all() for chunk in chunks)


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_the_interval_of_a_mean_is_that_of_theory(method: Any) -> None:
    """Both bounds lie a normal quantile of standard errors away, within Monte Carlo error."""
    found = bootstrap(mean, 120, seed=1, replicates=8000, method=method)
    error = MEAN_ROWS.std() / math.sqrt(120)
    assert found.method == f"bootstrap-{method}"
    assert found.high - MEAN_ROWS.mean() == pytest.approx(1.96 * error, rel=0.1)
    assert MEAN_ROWS.mean() - found.low == pytest.approx(1.96 * error, rel=0.1)


@given(st.integers(0, 1000), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
@settings(deadline=None, max_examples=25)
def test_intervals_are_repeatable_nested_and_hold_the_estimate(
    seed: int, one: float, other: float
) -> None:
    """The same seed gives the same bounds; a higher level a wider interval."""
    cells = np.array([[50, 4], [6, 9]])
    for method in ("bca", "percentile"):
        narrow, wide = (
            bootstrap(mean, 120, seed=seed, replicates=200, level=level, method=method)
            for level in sorted((one, other))
        )
        assert wide.low <= narrow.low <= MEAN_ROWS.mean() <= narrow.high <= wide.high
        again = bootstrap(mean, 120, seed=seed, replicates=200, level=max(one, other),
                          method=method)  # fmt: skip
        assert again == wide
        f1 = 18 / 28
        narrow, wide = (
            bootstrap_cells(_f1, cells, seed=seed, replicates=200, level=level, method=method)
            for level in sorted((one, other))
        )
        assert 0 <= wide.low <= narrow.low <= f1 <= narrow.high <= wide.high <= 1


def _f1(tables: NDArray[Any]) -> NDArray[np.float64]:
    formula = FORMULAE["f1"].cells
    assert formula is not None
    return formula(tables, 1)


def test_cells_give_the_interval_of_the_rows() -> None:
    """Drawing cells is drawing rows: bounds agree within Monte Carlo error."""
    generator = np.random.default_rng(5)
    truth = (generator.random(300) < 0.3).astype(int)
    labels = np.where(generator.random(300) < 0.8, truth, 1 - truth)
    codes = np.eye(4, dtype=int)[2 * truth + labels]

    def of_rows(counts: NDArray[Any]) -> NDArray[np.float64]:
        return _f1((counts @ codes).reshape(-1, 2, 2))

    by_rows = bootstrap(of_rows, 300, seed=1, replicates=6000)
    by_cells = bootstrap_cells(_f1, confusion_matrix(truth, labels), seed=2, replicates=6000)
    assert by_cells[:2] == pytest.approx(by_rows[:2], abs=0.006)


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=40)
def test_average_precision_of_counts_is_scikit_learns_with_weights(seed: int) -> None:
    """Each replicate equals ``average_precision_score`` with the counts as weights, ties too."""
    generator = np.random.default_rng(seed)
    truth = np.append(1, (generator.random(60) < 0.3).astype(int))
    score = np.round(generator.random(61), 1)
    counts = np.stack([np.bincount(generator.integers(0, 61, 61), minlength=61) for _ in range(4)])
    found = average_precision_of_counts(truth, score, positive=1)(counts)
    for weights, value in zip(counts, found, strict=True):
        if weights[truth == 1].sum() == 0:
            assert math.isnan(value)
            continue
        expected = average_precision_score(truth, score, sample_weight=weights)
        assert value == pytest.approx(expected, abs=1e-12)


def test_a_thousand_replicates_of_average_precision_take_seconds_at_most() -> None:
    """16,000 rows: under two seconds of processor time."""
    generator = np.random.default_rng(0)
    truth = (generator.random(16_000) < 0.24).astype(int)
    score = generator.normal(size=16_000) + truth
    started = time.process_time()
    statistic = average_precision_of_counts(truth, score, positive=1)
    found = bootstrap(statistic, 16_000, seed=0, replicates=1000)
    assert time.process_time() - started < 2.0
    assert 0 < found.high - found.low < 0.05


def test_a_statistic_that_is_rarely_defined_has_no_interval() -> None:
    """One positive row is missing from a third of the replicates: NaN, and it says so."""
    truth = np.append(1, np.zeros(50, int))
    statistic = average_precision_of_counts(truth, np.linspace(0, 1, 51), positive=1)
    found = bootstrap(statistic, 51, seed=0, replicates=300)
    assert math.isnan(found.low)
    assert "bootstrap replicates" in found.method


def test_constants_have_no_width_and_tiny_samples_no_interval() -> None:
    """Never an exception."""
    constant = bootstrap(lambda counts: np.full(len(counts), 0.5), 10, seed=0)
    assert constant[:2] == (0.5, 0.5)
    assert math.isnan(bootstrap(mean, 1, seed=0).low)
    assert math.isnan(bootstrap_cells(_f1, np.array([[0, 0], [0, 1]]), seed=0).low)
    nowhere = bootstrap(lambda counts: np.full(len(counts), np.nan), 10, seed=0)
    assert nowhere.method == "undefined: the metric is not defined on these rows"


def test_bad_settings_are_usage_errors() -> None:
    """Too few replicates, an unknown method, a level in percent."""
    with pytest.raises(UsageError, match="too few"):
        bootstrap(mean, 120, seed=0, replicates=5)
    with pytest.raises(UsageError, match="studentized"):
        bootstrap(mean, 120, seed=0, method="studentized")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="95"):
        bootstrap(mean, 120, seed=0, level=95)
