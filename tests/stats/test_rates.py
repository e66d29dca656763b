"""Intervals from counts and sums: published examples, and what the single values give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from afterfit.errors import InputError, UsageError
from afterfit.stats.rates import (
    histogram_quantile,
    mean_difference_of_sums,
    mean_of_sums,
    newcombe_difference,
)


def sums(values: np.ndarray) -> tuple[float, float, float]:
    """n, sum and sum of squares."""
    return len(values), float(values.sum()), float(values @ values)


@pytest.mark.parametrize(
    ("counts", "bounds"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
        ((10, 10, 0, 20), (0.6791, 1.0)),
    ],
)
def test_the_examples_of_the_paper(
    counts: tuple[int, int, int, int], bounds: tuple[float, float]
) -> None:
    """Table II of Newcombe (1998), method 10."""
    low, high, method = newcombe_difference(*counts)
    assert (round(low, 4), round(high, 4), method) == (*bounds, "newcombe")


def test_it_covers_the_true_difference_about_as_often_as_it_says() -> None:
    """Simulated with a seed: 95 % within the error of 2,000 runs."""
    rng = np.random.default_rng(7)
    first, second = rng.binomial(120, 0.12, 2000), rng.binomial(900, 0.1, 2000)
    hits = [
        (low <= 0.02 <= high)
        for low, high, _ in (
            newcombe_difference(int(a), 120, int(b), 900)
            for a, b in zip(first, second, strict=True)
        )
    ]
    assert 0.93 < np.mean(hits) < 0.97


def test_means_from_sums_are_students_and_welchs() -> None:
    """Beside scipy's, which see every value."""
    rng = np.random.default_rng(1)
    first, second = rng.normal(3, 2, 50), rng.normal(2, 5, 80)
    one = ttest_1samp(first, 0).confidence_interval(0.9)
    assert mean_of_sums(*sums(first), 0.9)[:2] == pytest.approx((one.low, one.high))
    both = ttest_ind(first, second, equal_var=False).confidence_interval(0.9)
    found = mean_difference_of_sums(sums(first), sums(second), 0.9)
    assert found[:2] == pytest.approx((both.low, both.high))


def test_too_few_values_have_no_interval() -> None:
    """NaN and a reason, instead of a guess."""
    for found in (
        newcombe_difference(0, 0, 1, 2),
        mean_of_sums(1, 3.0, 9.0),
        mean_difference_of_sums((1, 1.0, 1.0), (5, 1.0, 1.0)),
        histogram_quantile((1.0,), (0, 0), 0.5)[1],
    ):
        assert math.isnan(found.low)
        assert found.method.startswith("undefined")
    assert mean_difference_of_sums((3, 3.0, 3.0), (3, 0.0, 0.0))[:2] == (1.0, 1.0)


def test_a_quantile_of_a_histogram_lies_in_its_interval_and_covers_the_values_own() -> None:
    """The bin of the true quantile is inside for nearly every sample."""
    rng = np.random.default_rng(3)
    bounds = [0.1 * 1.4**step for step in range(20)]
    hits = 0
    for _ in range(200):
        values = rng.exponential(1.0, 500)
        counts = np.bincount(np.searchsorted(bounds, values), minlength=21).tolist()
        value, (low, high, _) = histogram_quantile(bounds, counts, 0.9)
        assert low <= value <= high
        hits += low <= -math.log(0.1) <= high
    assert hits > 185


def test_bounds_beyond_the_sample_are_not_made_up() -> None:
    """The upper bound of a 99th percentile needs some hundred values."""
    value, (low, high, _) = histogram_quantile((1.0, 2.0), (50, 50, 0), 0.99)
    assert (value, low) == (2.0, 1.0)
    assert math.isnan(high)
    with pytest.raises(InputError):
        histogram_quantile((1.0,), (1,), 0.5)
    with pytest.raises(UsageError):
        mean_of_sums(3, 1.0, 1.0, level=1.5)
