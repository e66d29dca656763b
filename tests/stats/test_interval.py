"""Closed-form intervals of rates and means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as peer

from afterfit.errors import InputError, UsageError
from afterfit.stats.interval import clopper_pearson, mean_interval, t_interval, wilson

counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.floats(0.5, 0.999)


@given(counts, levels)
@settings(deadline=None)
def test_rates_equal_scipy(count: tuple[int, int], level: float) -> None:
    """Wilson and Clopper-Pearson are those of scipy's binomial test."""
    successes, n = count
    test = peer.binomtest(successes, n)
    for method, found in (("wilson", wilson), ("exact", clopper_pearson)):
        expected = test.proportion_ci(level, method)
        low, high, _ = found(successes, n, level)
        assert low == pytest.approx(expected.low, abs=1e-9)
        assert high == pytest.approx(expected.high, abs=1e-9)


@given(counts, levels, levels)
@settings(deadline=None)
def test_rate_intervals_hold_the_rate_and_grow_with_the_level(
    count: tuple[int, int], one: float, other: float
) -> None:
    """Within [0, 1], around the estimate, nested in the level."""
    successes, n = count
    for found in (wilson, clopper_pearson):
        narrow, wide = (found(successes, n, level) for level in sorted((one, other)))
        assert 0 <= wide.low <= narrow.low <= successes / n <= narrow.high <= wide.high <= 1


values = arrays(float, st.integers(2, 60), elements=st.floats(-1e3, 1e3, width=32))


@given(values, levels, levels)
@settings(deadline=None)
def test_mean_intervals_hold_the_mean_and_grow_with_the_level(
    sample: np.ndarray, one: float, other: float
) -> None:
    """Around the mean, nested in the level, for any skewness."""
    mean = float(sample.mean())
    slack = 1e-9 * (1 + float(np.abs(sample).max()))
    for found in (t_interval, mean_interval):
        narrow, wide = (found(sample, level) for level in sorted((one, other)))
        assert wide.low - slack <= narrow.low <= mean + slack
        assert mean - slack <= narrow.high <= wide.high + slack


@given(values, levels)
@settings(deadline=None)
def test_t_equals_scipy(sample: np.ndarray, level: float) -> None:
    """The t interval is scipy's."""
    error = float(sample.std(ddof=1)) / math.sqrt(len(sample))
    if error > 1e-6:
        expected = peer.t.interval(level, len(sample) - 1, sample.mean(), error)
        assert t_interval(sample, level)[:2] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_without_skewness_the_mean_interval_is_students() -> None:
    """Hall's transform is the identity on a symmetric sample."""
    sample = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, 4.0, -4.0])
    assert mean_interval(sample)[:2] == pytest.approx(t_interval(sample)[:2])


def test_a_long_right_tail_moves_the_interval_up() -> None:
    """Losses with a rare great value get more room above than below."""
    sample = np.append(np.full(97, 0.1), [4.0, 5.0, 6.0])
    mean = float(sample.mean())
    low, high, _ = mean_interval(sample)
    assert high - mean > 1.3 * (mean - low)


def test_a_constant_has_no_width_and_no_rows_no_interval() -> None:
    """Never an exception: zero width, or NaN with the reason."""
    assert mean_interval(np.full(10, 0.1))[:2] == pytest.approx((0.1, 0.1), abs=1e-12)
    for missing in (wilson(0, 0), clopper_pearson(0, 0), t_interval(np.array([1.0])),
                    mean_interval(np.array([]))):  # fmt: skip
        assert math.isnan(missing.low)
        assert math.isnan(missing.high)
        assert missing.method.startswith("undefined: ")


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, -0.1, float("nan")])
def test_a_level_outside_0_and_1_is_a_usage_error(level: float) -> None:
    """95 instead of 0.95 is told so."""
    with pytest.raises(UsageError, match="confidence level"):
        wilson(1, 2, level)


def test_impossible_counts_are_an_input_error() -> None:
    """More successes than trials, or fewer than none."""
    for successes in (3, -1):
        with pytest.raises(InputError, match="successes"):
            wilson(successes, 2)
