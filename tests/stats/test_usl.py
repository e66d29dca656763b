"""The scalability law on curves that are known."""

from __future__ import annotations

import numpy as np
import pytest

from afterfit.errors import InputError
from afterfit.stats.usl import Usl, fit_usl

TRUE = Usl(1000.0, 0.03, 0.0008)


def test_a_noisy_curve_gives_the_true_numbers_within_their_intervals() -> None:
    """Over forty draws of noise of 2 %, nine in ten intervals hold the peak and the rate."""
    n = np.array([1, 2, 4, 8, 12, 16, 24, 32])
    held = np.zeros(2)
    for seed in range(40):
        noise = 1 + 0.02 * np.random.default_rng(seed).standard_normal(len(n))
        fit = fit_usl(n, TRUE.throughput(n) * noise, seed)
        rate, _, _, peak = fit.bounds()
        held += [rate[0] <= TRUE.rate <= rate[1], peak[0] <= TRUE.peak <= peak[1]]
    assert (held >= 33).all(), held


def test_an_exact_curve_is_found_exactly_and_read_to_twice_its_end() -> None:
    """Beyond that there is no answer instead of a wild one."""
    n = np.array([1, 2, 4, 8, 16])
    fit = fit_usl(n, TRUE.throughput(n), 0)
    assert fit.best == pytest.approx(TRUE, rel=1e-3)
    value, low, high = fit.at(32)
    assert low <= value <= high
    assert value == pytest.approx(float(TRUE.throughput(32)), rel=1e-2)
    with pytest.raises(InputError, match="33 workers"):
        fit.at(33)


def test_the_first_third_of_a_curve_has_no_certain_peak() -> None:
    """Its interval is wide open, which is the truth."""
    n = np.array([1, 2, 4, 6, 8, 10, 12])
    noise = 1 + 0.02 * np.random.default_rng(3).standard_normal(len(n))
    fit = fit_usl(n, TRUE.throughput(n) * noise, 3)
    low, high = fit.bounds()[3]
    assert high > 3 * low


def test_perfect_scaling_has_no_peak() -> None:
    """A straight line."""
    n = np.array([1, 2, 3, 4, 8])
    fit = fit_usl(n, 500.0 * n, 0)
    assert float(fit.best.throughput(16)) == pytest.approx(8000.0, rel=1e-3)


def test_too_few_numbers_of_workers_are_refused() -> None:
    """Three measurements of three numbers leave nothing to judge by."""
    with pytest.raises(InputError, match="4 are needed"):
        fit_usl([1, 2, 2, 2], [1.0, 2.0, 2.0, 2.0], 0)
