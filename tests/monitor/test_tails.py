"""The tail of surprises: its two directions, its uncertainty, and the fits of what was drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.monitor.tails import Tail, beyond_of_columns, beyond_of_windows, fitted

chances = st.floats(1e-6, 0.04)
units = st.sampled_from([10.0, 27.0, 1e6])


@given(chance=chances, parts=units, slope=st.floats(0.05, 1.0))
def test_a_threshold_has_the_chance_that_was_asked_for(
    chance: float, parts: float, slope: float
) -> None:
    """The two methods are inverse to each other, and a rarer alarm needs more."""
    tail = Tail(n=50, start=5.0, slope=slope, units=parts)
    assert tail.chance(tail.threshold(chance)) == pytest.approx(chance, rel=1e-4)
    assert tail.threshold(chance / 2) > tail.threshold(chance) > tail.start


@given(chance=chances, parts=units)
def test_a_tail_that_begins_elsewhere_is_the_same_tail(chance: float, parts: float) -> None:
    """Moved by one step and by another it is moved by both."""
    tail = Tail(n=50, start=5.0, slope=0.5, units=parts)
    twice = tail.moved(0.7).moved(0.8)
    assert twice.threshold(chance) == pytest.approx(tail.moved(1.5).threshold(chance))


def test_few_independent_parts_ask_for_more_and_least_where_alarms_are_usual() -> None:
    """A slope from 27 parts: little is added at 5 %, and much once a month."""
    sure, unsure = (Tail(n=50, start=5.0, slope=0.5, units=parts) for parts in (1e6, 27.0))
    added = [unsure.threshold(c) - sure.threshold(c) for c in (0.05, 0.01, 0.0007)]
    assert added[0] == pytest.approx(0.0, abs=1e-6)
    assert 0.1 < added[1] < 0.3
    assert added[2] > 1.0


@pytest.mark.parametrize("apart", [True, False])
def test_what_was_drawn_gives_the_tail_that_it_came_from(*, apart: bool) -> None:
    """Ten exponential columns of slope 0.8, each by itself or the worst of them."""
    drawn = np.random.default_rng(0).exponential(1 / 0.8, (4000, 10))
    beyond_of = beyond_of_columns if apart else beyond_of_windows
    (tail,) = fitted([beyond_of(50, drawn)], 1e6, alike=True)
    exact = -math.log(-math.expm1(math.log1p(-0.001) / 10)) / 0.8
    assert tail.slope == pytest.approx(0.8, rel=0.05)
    assert tail.threshold(0.001) == pytest.approx(exact, rel=0.05)


def test_sizes_share_a_slope_unless_rows_hang_together() -> None:
    """Blocks of neighbours have another slope for each size of a window."""
    random = np.random.default_rng(1)
    beyond = [
        beyond_of_windows(n, random.exponential(scale, (2000, 3)))
        for n, scale in ((50, 2.0), (300, 4.0))
    ]
    shared = [tail.slope for tail in fitted(beyond, 1e6, alike=True)]
    own = [tail.slope for tail in fitted(beyond, 27.0, alike=False)]
    assert shared[0] == shared[1]
    assert own[0] > 1.5 * own[1]


def test_the_tail_of_one_column_counts_its_slope_as_unsure_from_no_surprise_on() -> None:
    """Over slopes that 27 parts leave open it is exceeded as often as asked, and not by more."""
    parts, slope = 27.0, 0.3
    drawn = np.random.default_rng(2).exponential(1 / slope, (20_000, 1))
    # As many parts are a little less different than those to come: the fit allows for that too.
    scale = parts / (parts - 1)
    met = {}
    for alone in (False, True):
        (tail,) = fitted([beyond_of_windows(50, drawn)], parts, alike=False, alone=alone)
        threshold = tail.threshold(0.01) / scale
        met[alone] = (1 + slope * threshold / (parts / 2)) ** (-parts / 2)
    assert met[True] == pytest.approx(0.01, rel=0.1)
    assert met[False] > 0.012
