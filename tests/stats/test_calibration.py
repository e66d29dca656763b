"""Binned calibration errors: what chance gives is taken off, and what remains is tested."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kstest

from afterfit.stats.calibration import (
    binned,
    brier_parts,
    calibration_error,
    error_of_bins,
    null_test,
    squared_error,
)

BINS = 15
shares = arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1))


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """The mean of a simulation and its standard error."""
    return float(np.mean(values)), float(np.std(values) / np.sqrt(len(values)))


@given(shares, st.integers(1, 20), st.integers(0, 100))
def test_bins_hold_every_row_once_and_never_part_equal_scores(
    score: np.ndarray, bins: int, seed: int
) -> None:
    """Their number is at most what was asked for, and each has five rows where there are ten."""
    hit = np.random.default_rng(seed).random(len(score)) < score
    found = binned(score, hit, bins)
    assert found.n.sum() == len(score)
    assert len(found.n) <= max(1, bins)
    assert len(found.n) == 1 or found.n.min() >= 5
    assert found.score @ found.n == pytest.approx(score.sum())
    assert found.observed @ found.n == pytest.approx(hit.sum())
    edges = np.cumsum(found.n).astype(int)[:-1]
    ordered = np.sort(score)
    assert all(ordered[edge - 1] < ordered[edge] for edge in edges)


@given(shares, st.integers(1, 20), st.integers(0, 100))
def test_the_parts_of_the_brier_score_add_up(score: np.ndarray, bins: int, seed: int) -> None:
    """They are those of the formula, and their sum is the mean squared difference."""
    hit = np.random.default_rng(seed).random(len(score)) < 0.4
    parts = brier_parts(binned(score, hit, bins))
    assert parts.brier == pytest.approx(float(np.mean(np.square(score - hit))), abs=1e-12)
    whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert parts.brier == whole
    assert parts.uncertainty == pytest.approx(hit.mean() * (1 - hit.mean()), abs=1e-12)


def test_within_bins_of_equal_scores_the_three_parts_are_the_score() -> None:
    """Murphy's own case: the rows of a bin all have one probability."""
    score = np.repeat([0.1, 0.4, 0.8], 20)
    hit = np.arange(60) % 3 == 0
    parts = brier_parts(binned(score, hit, 3))
    assert parts.within == pytest.approx(0.0, abs=1e-12)
    assert parts.reliability > 0


def test_rows_sorted_by_label_do_not_make_a_constant_score_seem_off() -> None:
    """Equal scores parted into bins in the order of the file would be far off in each."""
    hit = np.arange(1000) < 300
    score = np.full(1000, 0.3)
    assert calibration_error(hit.astype(int), np.column_stack([1 - score, score])) == 0.0


def test_the_error_is_unbiased_once_chance_is_taken_off_and_the_plain_one_is_not() -> None:
    """Calibrated and miscalibrated: 1,500 draws of labels for the same 400 scores."""
    rng = np.random.default_rng(20261126)
    score = rng.beta(1, 2, 400)
    for truth in (score, np.square(score)):
        free, plain = [], []
        for _ in range(1500):
            found = binned(score, rng.random(400) < truth, BINS)
            free.append(squared_error(found))
            plain.append(float(found.n @ np.square(found.score - found.observed)) / 400)
        exact = binned(score, truth, BINS)
        gaps = exact.score - exact.observed
        real = float(exact.n @ np.square(gaps)) / 400
        mean, error = mean_and_error(free)
        assert abs(mean - real) < 4 * error
        mean, error = mean_and_error(plain)
        assert mean > real + 10 * error


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 5000])
def test_p_values_of_calibrated_scores_are_uniform(n: int) -> None:
    """Of 400 calibrated models the distance to uniform stays below its 1 % bound.

    Labels are drawn by row at 200 rows, by groups of rows at 5,000.
    """
    rng = np.random.default_rng(7)
    found = []
    for seed in range(400):
        score = rng.beta(0.7, 2, n)
        bins = binned(score, rng.random(n) < score, BINS)
        found.append(null_test(score, bins, seed=seed, replicates=199).p_value)
    # The p-values are multiples of 1/200.
    assert kstest(found, "uniform").statistic < 1.63 / np.sqrt(400) + 1 / 200


def test_the_expected_error_is_that_of_calibrated_models() -> None:
    """The mean plain error over calibrated draws is what the test says it would be."""
    rng = np.random.default_rng(3)
    score = rng.beta(1, 3, 500)
    drawn = [error_of_bins(binned(score, rng.random(500) < score, BINS)) for _ in range(500)]
    test = null_test(score, binned(score, score > 2, BINS), seed=1, replicates=999)
    mean, error = mean_and_error(drawn)
    assert abs(test.expected - mean) < 5 * error
    assert mean > 0.03, "a plain error of 0 is not to be had"
    assert test.p_value == 1 / 1000


def test_groups_of_rows_give_the_distribution_of_single_ones() -> None:
    """At 3,001 rows labels are drawn for groups; the p-value is that of 3,000 single ones."""
    rng = np.random.default_rng(11)
    score = np.sort(rng.beta(0.5, 4, 3001))
    hit = rng.random(3001) < np.clip(score * 1.12, 0, 1)
    many = null_test(score, binned(score, hit, BINS), seed=0, replicates=4999)
    few = null_test(score[:-1], binned(score[:-1], hit[:-1], BINS), seed=0, replicates=4999)
    assert many.p_value == pytest.approx(few.p_value, abs=0.03)
    assert many.expected == pytest.approx(few.expected, rel=0.05)


def test_certain_scores_that_hold_are_calibrated_and_one_that_does_not_is_not() -> None:
    """Of 0 and 1 nothing can be drawn: any row on the wrong side is impossible."""
    score = np.repeat([0.0, 1.0], 50)
    hit = score == 1.0
    assert null_test(score, binned(score, hit, 5), seed=0, replicates=99).p_value == 1.0
    hit[0] = True
    assert null_test(score, binned(score, hit, 5), seed=0, replicates=99).p_value == 0.01
