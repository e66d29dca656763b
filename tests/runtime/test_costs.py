"""The online fit of time against rows, and the size of batches that follows."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.runtime.costs import CpuPerRow, LatencyFit


def fitted(fixed: float, per_row: float, noise: float = 0.0, seed: int = 0) -> LatencyFit:
    """A fit to measurements of sizes 1 to 256."""
    random = np.random.default_rng(seed)
    fit = LatencyFit()
    for _ in range(300):
        rows = int(random.choice([1, 8, 64, 256]))
        fit.update(rows, max(1e-9, fixed + per_row * rows + noise * random.normal()))
    return fit


@given(st.floats(1e-6, 1e-2), st.floats(1e-7, 1e-3))
def test_a_line_without_noise_is_found(fixed: float, per_row: float) -> None:
    """Both the cost of a call and that of a row."""
    fit = fitted(fixed, per_row)
    assert fit.expected(100) == pytest.approx(fixed + 100 * per_row, rel=1e-3)
    assert fit.tail(100) >= fit.expected(100)


def test_the_fit_follows_a_model_that_changes() -> None:
    """Old measurements are forgotten: after two thousand new ones the old line is gone."""
    fit = fitted(1e-4, 1e-6)
    for n in range(2000):
        rows = (1, 32)[n % 2]
        fit.update(rows, 5e-4 + 1e-5 * rows)
    assert fit.expected(32) == pytest.approx(5e-4 + 32e-5, rel=0.02)


def test_the_cap_keeps_most_batches_within_the_time() -> None:
    """With noise: at least 98 of 100 batches of that size end in time (seeded)."""
    fixed, per_row, noise = 1e-3, 1e-5, 5e-4
    cap = fitted(fixed, per_row, noise).cap(0.004, 10_000)
    seconds = fixed + cap * per_row + noise * np.random.default_rng(1).normal(size=2000)
    assert 100 < cap < 256
    assert (seconds <= 0.004).mean() >= 0.98


def test_the_cap_shares_a_fixed_cost_that_is_beyond_the_time() -> None:
    """A call that takes 50 ms whatever it holds is not spent on single rows."""
    assert fitted(0.05, 1e-4).cap(0.025, 10_000) == pytest.approx(2000, rel=0.05)


def test_batching_helps_where_rows_share_something() -> None:
    """And not where each row costs what it costs alone."""
    assert fitted(1e-4, 1e-5).batching_helps
    assert not fitted(1e-9, 1e-4).batching_helps


def test_runs_of_one_size_say_nothing_of_the_slope() -> None:
    """They keep the line in place and never make a time negative."""
    fit = LatencyFit()
    for _ in range(50):
        fit.update(1, 1e-3)
    assert fit.expected(1) == pytest.approx(1e-3)
    assert fit.fixed >= 0
    assert fit.cap(0.025, 100) >= 1


def test_the_loop_costs_what_its_thread_spends_on_a_row() -> None:
    """Work of this thread counts, waiting and other threads do not."""
    cost = CpuPerRow()
    assert cost.seconds(0) == 0
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    assert cost.seconds(100) == pytest.approx(5e-4, rel=0.3)
    time.sleep(0.05)  # it must not count
    assert cost.seconds(200) < 5e-4
    with ThreadPoolExecutor(1) as other:
        assert other.submit(cost.seconds, 300).result() == cost.seconds(300)


def test_the_cap_ends_where_more_rows_share_nothing_more() -> None:
    """However much time there is, thousands of requests are not brought together at once."""
    assert fitted(1e-5, 1e-5).cap(1.0, 100_000) == 128
    assert fitted(1e-2, 1e-5).cap(1.0, 100_000) == pytest.approx(32_000, rel=0.05)
