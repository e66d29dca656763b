"""Histograms that other tools can read, and that add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterfit.errors import InputError
from afterfit.loadtest.histogram import Histogram

# What hdrhistogram 0.10.8 for Python wrote for these values, in µs.
VALUES_US = (1, 1, 250, 2048, 2049, 100_000, 3_600_000_000)
WRITTEN = "HISTFAAAAC54nJNpmSzMwMDAzwABzFCaEURcm7yEwf4DVIDlPTNTpwzLxgimjZ8YmQC3PAjp"


def test_the_form_is_that_of_other_tools() -> None:
    """The same bytes inside for the same values, read and written."""
    mine = Histogram.of(np.array(VALUES_US) / 1e3)
    theirs = Histogram.decoded(WRITTEN)
    assert np.array_equal(mine.counts, theirs.counts)
    assert np.array_equal(Histogram.decoded(mine.encoded()).counts, mine.counts)
    assert mine.total == 7
    # As that library says: the cell of 100000 µs ends at 100031.
    assert mine.quantile_ms(6 / 7) == 100.031
    assert mine.quantile_ms(0.0) == 0.001


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 3.6e6), min_size=1, max_size=60), st.lists(st.floats(0, 1e3)))
def test_quantiles_are_those_of_the_values_within_a_thousandth(
    some: list[float], others: list[float]
) -> None:
    """Of two histograms added, too; nothing is lost on the way through text."""
    both = Histogram.of(np.array(some)) + Histogram.of(np.array(others))
    ordered = np.sort(some + others)
    assert both.total == len(ordered)
    again = Histogram.decoded(both.encoded())
    for quantile in (0.01, 0.5, 0.99, 1.0):
        exact = ordered[max(0, int(np.ceil(round(quantile * len(ordered), 9))) - 1)]
        assert again.quantile_ms(quantile) == pytest.approx(exact, rel=1.1e-3, abs=0.0011)


def test_what_has_no_latency_is_left_out_and_garbage_is_refused() -> None:
    """Failures have no place in a histogram; texts of other forms are told."""
    assert Histogram.of(np.array([1.0, np.inf, np.nan])).total == 1
    with pytest.raises(ValueError, match="no values"):
        Histogram.of(np.array([np.inf])).quantile_ms(0.5)
    for text in ("", "x", "AAAA", WRITTEN[:-8], WRITTEN.replace("HIST", "AAAA"), "é"):
        with pytest.raises(InputError, match="no histogram"):
            Histogram.decoded(text)
