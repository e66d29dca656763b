"""Adjusted p-values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from afterfit.errors import InputError
from afterfit.stats.multiple import benjamini_hochberg, holm

p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=30).map(np.array)


@given(p_lists)
@settings(deadline=None)
def test_benjamini_hochberg_equals_scipy(p_values: np.ndarray) -> None:
    """In the order given."""
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values))


@given(p_lists, st.floats(0.001, 0.5))
@settings(deadline=None)
def test_holm_is_its_step_down_rule(p_values: np.ndarray, rate: float) -> None:
    """Reject from the smallest on while p <= rate / (tests left)."""
    rejected = np.zeros(len(p_values), bool)
    for step, place in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[place] * (len(p_values) - step) > rate:
            break
        rejected[place] = True
    assert ((holm(p_values) <= rate) == rejected).all()


@given(p_lists)
@settings(deadline=None)
def test_adjusting_never_helps_and_keeps_the_order(p_values: np.ndarray) -> None:
    """Ordered: p <= BH <= Holm <= 1, smaller p first."""
    hochberg, down = benjamini_hochberg(p_values), holm(p_values)
    assert (p_values <= hochberg + 1e-12).all()
    assert (hochberg <= down + 1e-12).all()
    assert (down <= 1).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(hochberg[order]) >= 0).all()
    assert (np.diff(down[order]) >= 0).all()


def test_a_test_that_did_not_run_stays_nan_and_does_not_count() -> None:
    """NaN among two tests leaves two tests."""
    for adjust in (holm, benjamini_hochberg):
        found = adjust(np.array([0.01, np.nan, 0.5]))
        assert found[[0, 2]] == pytest.approx([0.02, 0.5])
        assert np.isnan(found[1])
        assert len(adjust(np.array([]))) == 0


def test_what_is_no_p_value_is_an_input_error() -> None:
    """Greater than one, or a table."""
    for wrong in (np.array([1.2]), np.array([-0.1]), np.ones((2, 2))):
        with pytest.raises(InputError, match="p-values"):
            holm(wrong)
