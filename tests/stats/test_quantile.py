"""The interval of a quantile from order statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as peer

from afterfit.errors import InputError, UsageError
from afterfit.monitor.log import Log
from afterfit.monitor.measure import waits
from afterfit.optimize.latency import metrics_of
from afterfit.stats.quantile import quantile_interval, quantile_metric, quantile_of

samples = arrays(float, st.integers(1, 300), elements=st.floats(-1e6, 1e6))


@pytest.mark.parametrize(("quantile", "n"), [(0.5, 20), (0.5, 200), (0.9, 300), (0.99, 2000)])
def test_it_covers_at_least_as_often_as_it_says(quantile: float, n: int) -> None:
    """2,000 samples of a skewed distribution: the true quantile is inside 95 % of the time."""
    truth = float(peer.lognorm(1.0).ppf(quantile))
    generator = np.random.default_rng(20261123)
    draws = np.sort(generator.lognormal(size=(2000, n)), axis=1)
    held = 0
    for ordered in draws:
        found = quantile_interval(ordered, quantile)
        held += found.low <= truth <= found.high
    # Three standard errors of a share of 95 % in 2,000 are 1.5 points.
    assert held / len(draws) >= 0.935


@given(samples, st.floats(0.01, 0.99), st.floats(0.5, 0.999))
def test_bounds_are_values_of_the_sample_around_its_quantile(
    values: np.ndarray, quantile: float, level: float
) -> None:
    """Each bound is one of the values or unknown, and low never passes high."""
    ordered = np.sort(values)
    low, high, method = quantile_interval(ordered, quantile, level)
    assert method == "order statistics"
    for bound in (low, high):
        assert math.isnan(bound) or bound in ordered
    if not (math.isnan(low) or math.isnan(high)):
        assert low <= high


def test_368_values_are_the_least_with_an_upper_bound_of_the_99th_percentile() -> None:
    """With fewer, the bound lies beyond the largest value, so there is none."""
    assert math.isnan(quantile_interval(np.arange(367.0), 0.99).high)
    assert quantile_interval(np.arange(368.0), 0.99).high == 367.0


def test_nothing_to_bound_is_told_and_nonsense_is_refused() -> None:
    """No values give a reason; a quantile of 0 or 1 and a level of 2 raise."""
    assert quantile_interval(np.empty(0), 0.5).method.startswith("undefined: ")
    for quantile in (0.0, 1.0, -1.0):
        with pytest.raises(InputError):
            quantile_interval(np.arange(9.0), quantile)
    with pytest.raises(UsageError):
        quantile_interval(np.arange(9.0), 0.5, level=2.0)


def test_a_quantile_of_a_sample_is_one_of_its_values() -> None:
    """The smallest value with that share of the sample up to it; no rounding beside it."""
    ordered = np.arange(1.0, 101.0)
    assert [quantile_of(ordered, q) for q in (0.01, 0.07, 0.5, 0.99, 1.0)] == [1, 7, 50, 99, 100]


def test_every_step_bounds_a_latency_alike() -> None:
    """The same times have the same value and bounds in a load test, in optimize and in monitor."""
    times = np.random.default_rng(3).permutation(np.arange(1.0, 1001.0))
    tested = [quantile_metric("", times, q, unit="ms", scope="") for q in (0.5, 0.99)]
    optimized = metrics_of({1: times})
    live = waits(_log_of(times), 0.95)
    assert [m.name for m in live] == ["infer_p50_us", "infer_p95_us", "infer_p99_us"]
    numbers = [
        [(metric.value, metric.low, metric.high, metric.n, metric.method) for metric in found]
        for found in (tested, optimized, (live[0], live[2]))
    ]
    assert numbers[0] == numbers[1] == numbers[2]


def _log_of(times: np.ndarray) -> Log:
    unknown = np.full(len(times), np.nan)
    return Log(
        counts={},
        versions={},
        period=None,
        scores=unknown,
        probabilities=None,
        codes=np.full(len(times), -1),
        truth=np.full(len(times), None, dtype=object),
        waits={"infer": times},
        flags={},
        errors={},
        frame={},
        rows=np.arange(len(times)),
    )
