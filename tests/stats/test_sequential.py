"""Sequential tests: exact martingales, and bounds that hold at every look."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.errors import InputError
from afterfit.stats.sequential import RATIOS, e_value, log_ratios, rate_sequence

BLOCKS = st.tuples(st.integers(1, 5), st.integers(1, 5))


def _expected(n: int, other_n: int, rate: float, other: float, tolerated: float) -> np.ndarray:
    """The mean of every likelihood ratio of a block, summed over all that can happen."""
    total = np.zeros(len(RATIOS))
    for hits, other_hits in product(range(n + 1), range(other_n + 1)):
        chance = math.comb(n, hits) * rate**hits * (1 - rate) ** (n - hits)
        chance *= math.comb(other_n, other_hits)
        chance *= other**other_hits * (1 - other) ** (other_n - other_hits)
        total += chance * np.exp(log_ratios(hits, n, other_hits, other_n, tolerated=tolerated))
    return total


@given(BLOCKS, st.floats(0.01, 0.9), st.sampled_from([1.0, 1.5]))
def test_the_mean_of_a_block_is_one_where_nothing_is_worse_than_tolerated(
    sizes: tuple[int, int], rate: float, tolerated: float
) -> None:
    """Exactly one at the tolerated odds, whatever the rate; no more where the odds are less."""
    odds = tolerated * rate / (1 - rate)
    assert _expected(*sizes, odds / (1 + odds), rate, tolerated) == pytest.approx(1.0)
    assert (_expected(*sizes, rate / 2, rate, tolerated) <= 1 + 1e-9).all()
    assert (_expected(*sizes, 1.0 - (1 - rate) / 8, rate, 1.0) > 1.0).all()


def test_a_worse_sample_is_seen_and_a_block_without_the_other_says_nothing() -> None:
    """The mixture grows with evidence, and only with it."""
    assert e_value(log_ratios(30, 100, 5, 100).tolist()) > math.log(1000)
    assert e_value(log_ratios(5, 100, 30, 100).tolist()) < 0
    assert not log_ratios(7, 50, 0, 0).any()
    assert not log_ratios(0, 50, 0, 50).any()
    with pytest.raises(InputError):
        log_ratios(3, 2, 0, 1)


def test_bounds_hold_at_every_look_at_once() -> None:
    """Of 150 streams of 600 trials at 80 %, at most a fifth ever leave the bounds (and some do)."""
    rng = np.random.default_rng(5)
    looks = np.unique(np.geomspace(1, 600, 30).astype(int))
    left = 0
    for _ in range(150):
        sums = rng.random(600) < 0.1
        counts = np.cumsum(sums)[looks - 1]
        bounds = [rate_sequence(int(x), int(n), 0.8) for x, n in zip(counts, looks, strict=True)]
        left += any(not bound.low <= 0.1 <= bound.high for bound in bounds)
    assert 0 < left <= 0.2 * 150 + 3 * math.sqrt(150 * 0.2 * 0.8)


def test_bounds_without_a_hit_and_without_a_miss() -> None:
    """They mirror each other, and no hit of 700 is surely below 1.2 %."""
    none, all_ = rate_sequence(0, 700, 0.95), rate_sequence(700, 700, 0.95)
    assert (none.low, all_.high) == (0.0, 1.0)
    assert none.high == pytest.approx(1 - all_.low)
    assert 0.004 < none.high < 0.012
    assert rate_sequence(0, 0).method.startswith("undefined")
