"""The scale of a regression's answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.core.scale import AnswerScale, answer_scale

TOLERANCE = 1e-5


@given(
    unit=st.sampled_from([1e-12, 1e-6, 1.0, 1e6, 1e12]),
    offset=st.sampled_from([0.0, 1.0, 30.0, 1000.0]),
    seed=st.integers(0, 1000),
)
def test_no_constant_passes_for_answers_that_vary(unit: float, offset: float, seed: int) -> None:
    """In any unit and around any number, most answers are farther from it than is allowed."""
    values = (np.random.default_rng(seed).normal(size=200) + offset) * unit
    allowed = TOLERANCE * answer_scale(values).of(values)
    for constant in (0.0, values.mean(), values[0]):
        assert (np.abs(values - constant) > allowed).mean() > 0.9


@given(unit=st.sampled_from([1e-12, 1e-6, 1.0, 1e6]), seed=st.integers(0, 1000))
def test_the_unit_of_the_target_does_not_matter(unit: float, seed: int) -> None:
    """Euros or millions of euros: the same share of the answers is allowed."""
    values = np.random.default_rng(seed).normal(5, 2, 100)
    assert answer_scale(values * unit).of(values * unit) == pytest.approx(
        answer_scale(values).of(values) * unit
    )


def test_rounding_to_single_precision_is_allowed() -> None:
    """Around numbers a few hundred times the spread, and far outside of the usual answers."""
    values = np.random.default_rng(0).normal(2000, 6, 500)
    scale = answer_scale(values)
    for asked in (values, values * 1e6, -values * 1e6, values - 2000):
        rounded = asked.astype(np.float32).astype(np.float64)
        assert (np.abs(rounded - asked) <= TOLERANCE * scale.of(asked)).all()


def test_equal_and_strange_answers_have_a_scale() -> None:
    """Constants count by their size, zero allows nothing, and what is not finite does not count."""
    assert answer_scale(np.full(9, 4.0)) == AnswerScale(centre=4.0, spread=4.0)
    assert answer_scale(np.zeros(9)).of(np.zeros(2)).tolist() == [0.0, 0.0]
    assert answer_scale(np.array([np.nan, np.inf])) == AnswerScale(centre=0.0, spread=0.0)
    mostly = np.r_[np.zeros(990), np.linspace(1, 2, 10)]
    assert answer_scale(mostly).spread == 2.0
    assert answer_scale(np.array([1.0, 2.0, np.inf, np.nan])).spread == pytest.approx(0.9)


def test_a_rounded_scale_is_the_same_where_last_bits_differ() -> None:
    """It is written into bundles, whose digest must not depend on the CPU."""
    one = AnswerScale(centre=1.2345678, spread=9.8765432e-7)
    other = AnswerScale(centre=np.nextafter(1.2345678, 2), spread=np.nextafter(9.8765432e-7, 1))
    assert one.rounded() == other.rounded() == AnswerScale(centre=1.23, spread=9.88e-7)
