"""One-sided tests of two independent samples, against SciPy and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.errors import InputError
from afterfit.stats.interval import wilson
from afterfit.stats.rates import ratio_of_rates
from afterfit.stats.unpaired import fisher_greater, welch_greater


@given(st.integers(0, 40), st.integers(0, 40), st.data())
def test_fisher_is_that_of_scipy(n: int, m: int, data: st.DataObject) -> None:
    """The exact one-sided p-value, at every table of up to 40 rows a side."""
    from scipy.stats import fisher_exact

    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    expected = fisher_exact([[a, n - a], [b, m - b]], alternative="greater")[1]
    assert fisher_greater(a, n, b, m) == pytest.approx(expected, rel=1e-9)


def test_fisher_of_very_many_rows_is_finite() -> None:
    """A million rows do not overflow, and equal rates are no finding."""
    assert fisher_greater(5_000, 50_000, 95_000, 950_000) == pytest.approx(0.5, abs=0.01)
    assert fisher_greater(0, 0, 0, 0) == 1.0
    assert 0 <= fisher_greater(40_000, 50_000, 95_000, 950_000) < 1e-300


def test_counts_that_cannot_be_are_refused() -> None:
    """More successes than trials are a mistake of the caller."""
    with pytest.raises(InputError, match="4 of 3"):
        fisher_greater(4, 3, 0, 1)


def test_welch_is_that_of_scipy_and_says_when_it_cannot_tell() -> None:
    """The one-sided p-value; NaN for single values and where nothing varies."""
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(0)
    a, b = rng.exponential(size=40) + 0.2, rng.exponential(size=400)
    expected = ttest_ind(a, b, equal_var=False, alternative="greater").pvalue
    assert welch_greater(a, b) == pytest.approx(expected, rel=1e-9)
    assert math.isnan(welch_greater(np.ones(1), b))
    assert math.isnan(welch_greater(np.ones(5), np.zeros(5)))


@pytest.mark.parametrize(
    ("rates", "sizes"),
    [((0.2, 0.25), (60, 400)), ((0.05, 0.1), (200, 200)), ((0.5, 0.4), (40, 90)),
     ((0.9, 0.95), (100, 50)), ((0.02, 0.02), (300, 300))],
)  # fmt: skip
def test_the_interval_of_a_ratio_covers(rates: tuple[float, float], sizes: tuple[int, int]) -> None:
    """Share of 95 % intervals that hold the true ratio, over all tables by their probability."""
    from scipy.stats import binom

    parts = [
        [(k, p) for k, p in enumerate(binom.pmf(np.arange(n + 1), n, rate)) if p > 1e-6]
        for rate, n in zip(rates, sizes, strict=True)
    ]
    covered = total = 0.0
    for a, p in parts[0]:
        for b, q in parts[1]:
            found = ratio_of_rates(a, sizes[0], b, sizes[1])
            if math.isnan(found.low):
                continue
            total += p * q
            covered += p * q * (found.low <= rates[0] / rates[1] <= found.high)
    assert 0.93 <= covered / total <= 0.985


def _as_printed(a: int, n: int, b: int, m: int) -> tuple[float, float]:
    """The bounds in the form of Fagerland, Lydersen and Laake, which divides by 0 at the ends."""
    (low, high, _), (other_low, other_high, _) = wilson(a, n), wilson(b, m)
    p, q = a / n, b / m

    def root(bound: float, other: float) -> float:
        return math.sqrt((p * q) ** 2 - bound * other * (2 * p - bound) * (2 * q - other))

    return (
        (p * q - root(low, other_high)) / (other_high * (2 * q - other_high)),
        (p * q + root(high, other_low)) / (other_low * (2 * q - other_low)),
    )


def test_the_interval_of_a_ratio_at_its_ends() -> None:
    """Rates of 0 and 1 have intervals; two rates of 0 have none; it turns as the ratio does."""
    found = ratio_of_rates(7, 34, 1, 34)
    assert found[:2] == pytest.approx(_as_printed(7, 34, 1, 34))
    assert ratio_of_rates(0, 30, 5, 30).low == 0.0
    assert ratio_of_rates(5, 30, 0, 30).high == math.inf
    assert ratio_of_rates(0, 30, 0, 30).method.startswith("undefined")
    assert ratio_of_rates(1, 0, 1, 2).method.startswith("undefined")
    one, two = ratio_of_rates(12, 80, 30, 90), ratio_of_rates(30, 90, 12, 80)
    assert one.low == pytest.approx(1 / two.high)
    assert one.high == pytest.approx(1 / two.low)
    full = ratio_of_rates(20, 20, 20, 20)
    assert full.low < 1 < full.high
