"""Properties of the token bucket, for any rate, burst and times of requests."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from afterfit.runtime.limit import Bucket

UNIX = 1_790_000_000.0
rates = st.floats(0.01, 10_000.0)
bursts = st.floats(1.0, 1_000.0)
pauses = st.lists(st.floats(0.0, 5.0), min_size=1, max_size=200)
# Two roundings of a Unix time to its step of 0.24 µs, at the greatest rate.
ROUNDING = 1e-6 * 10_000


def times(gaps: list[float]) -> list[float]:
    """Moments with those pauses between them."""
    return [UNIX + seconds for seconds in accumulate(gaps)]


@given(rates, bursts, pauses)
def test_no_window_lets_in_more_than_burst_and_rate(
    rate: float, burst: float, gaps: list[float]
) -> None:
    """Between any two admitted requests there were at most burst + rate * seconds."""
    bucket = Bucket(rate, burst)
    admitted = [now for now in times(gaps) if not bucket.take(now)]
    assert admitted, "the first request finds a full bucket"
    for first, begin in enumerate(admitted):
        for last, end in enumerate(admitted[first:], first):
            assert last - first + 1 <= burst + rate * (end - begin) + ROUNDING


@given(rates, bursts, pauses)
def test_whoever_waits_as_told_is_let_in_and_not_before(
    rate: float, burst: float, gaps: list[float]
) -> None:
    """The seconds of a refusal are enough, and half of them are not; a refusal takes nothing."""
    bucket = Bucket(rate, burst)
    now = UNIX
    for gap in gaps:
        now += gap
        seconds = bucket.take(now)
        if seconds:
            assert bucket.take(now) == pytest.approx(seconds)
            if seconds > 1e-4:
                assert bucket.wait(now + seconds / 2) > 0
            now += seconds
            assert bucket.take(now) == 0


@given(rates, st.integers(2, 200))
def test_a_client_within_its_rate_is_never_refused(rate: float, count: int) -> None:
    """One request each 1/rate seconds passes, even without any burst."""
    bucket = Bucket(rate, 1.0)
    now = UNIX
    for _ in range(count):
        assert bucket.take(now) == 0
        now += 1.000_001 / rate + 1e-6


@given(st.floats(1.0, 1_000.0), st.integers(1, 16), st.integers(1, 50))
def test_workers_with_a_share_each_keep_the_limit_together(
    rate: float, workers: int, seconds: int
) -> None:
    """Asked without end, N workers let in the rate, and at first a burst of at least N."""
    buckets = [Bucket(rate / workers, rate / workers) for _ in range(workers)]
    asked = int(rate) + 2
    admitted = sum(
        not bucket.take(UNIX + second)
        for second in range(seconds + 1)
        for bucket in buckets
        for _ in range(asked)
    )
    assert admitted <= max(rate, workers) + rate * seconds + ROUNDING


@given(rates, bursts, st.lists(st.integers(0, 5_000), min_size=1, max_size=100))
@example(1.0, 1.0, [5_000, 5_000, 5_000])
def test_rows_go_into_debt_once_and_are_paid_in_full(
    rate: float, burst: float, requests: list[int]
) -> None:
    """Requests that wait as told spend at most burst + rate * seconds + the rows of one request."""
    bucket = Bucket(rate, burst)
    now, spent = UNIX, 0
    for rows in requests:
        now += bucket.wait(now)
        assert spent <= burst + rate * (now - UNIX) + ROUNDING * len(requests)
        bucket.spend(rows, now)
        spent += rows


@given(rates, bursts, st.lists(st.floats(0.0, 0.9), min_size=1, max_size=200))
def test_times_a_little_out_of_order_mint_nothing(
    rate: float, burst: float, backwards: list[float]
) -> None:
    """A clock that trembles within a second gives no token more than a still one."""
    bucket = Bucket(rate, burst)
    admitted = sum(not bucket.take(UNIX - back) for back in [0.0, *backwards, 0.0])
    assert admitted <= burst + ROUNDING


@given(rates, bursts, st.floats(2.0, 1e6))
def test_a_clock_that_was_set_back_blocks_nobody_for_longer(
    rate: float, burst: float, back: float
) -> None:
    """An empty bucket waits for one token from the new time on, not until the old time is over."""
    bucket = Bucket(rate, burst)
    while not bucket.take(UNIX):
        pass
    seconds = bucket.take(UNIX - back)
    assert 0 < seconds <= 1 / rate + 1e-5
    assert bucket.take(UNIX - back + seconds) == 0


@given(rates, bursts, st.floats(1e5, 1e9))
def test_a_long_pause_fills_the_bucket_and_no_more(rate: float, burst: float, pause: float) -> None:
    """After any pause, or a clock that was set forward, there is one burst."""
    bucket = Bucket(rate, burst)
    while not bucket.take(UNIX):
        pass
    admitted = 0
    while not bucket.take(UNIX + pause):
        admitted += 1
    assert admitted == int(burst) or admitted == pytest.approx(burst, abs=1.0)
    assert admitted <= burst
