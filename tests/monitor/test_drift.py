"""Distances of binned counts and the p-value beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.core.fingerprint import ColumnCounts, build
from afterfit.core.signature import Column, Signature
from afterfit.monitor.drift import compare
from afterfit.stats.two_sample import chi_squared

counts = st.lists(st.integers(0, 500), min_size=3, max_size=10).filter(lambda c: sum(c) > 0)


@given(counts)
def test_equal_shares_are_explained_by_chance(first: list[int]) -> None:
    """The same counts, or twice as many, give a p-value of one."""
    before = np.array(first)
    assert chi_squared(before, before) == pytest.approx(1.0)
    assert chi_squared(before, 2 * before) == pytest.approx(1.0)


@given(counts, counts)
def test_the_p_value_is_one_and_symmetric(first: list[int], second: list[int]) -> None:
    """Between 0 and 1, whichever sample comes first."""
    size = min(len(first), len(second))
    before, after = np.array(first[:size]), np.array(second[:size])
    if before.sum() and after.sum():
        p = chi_squared(before, after)
        assert 0 <= p <= 1
        assert chi_squared(after, before) == pytest.approx(p)


def test_the_p_value_is_scipys() -> None:
    """On full bins it is the test of the contingency table."""
    from scipy.stats import chi2_contingency

    first, second = np.array([50, 80, 120]), np.array([70, 60, 90])
    expected = chi2_contingency(np.stack([first, second]), correction=False).pvalue
    assert chi_squared(first, second) == pytest.approx(expected)


def test_false_alarms_come_as_often_as_stated() -> None:
    """Of samples from one distribution about one in twenty has a p-value below 0.05."""
    random = np.random.default_rng(0)
    share = np.array([0.4, 0.3, 0.2, 0.06, 0.04])
    p = [
        chi_squared(random.multinomial(3000, share), random.multinomial(400, share))
        for _ in range(1000)
    ]
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.07


def test_missing_values_are_a_bin() -> None:
    """A column that went missing is far from one that did not."""
    before = ColumnCounts(name="x", kind="number", edges=[1.0], counts=[500, 500])
    after = ColumnCounts(name="x", kind="number", edges=[1.0], counts=[0, 0], nan=1000)
    found = compare(before, after, min_rows=100)
    assert found.total_variation == pytest.approx(1.0)
    assert found.told == "100.0 % are missing, usually 0.0 %"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ([3.0], [3.0, 4.0], "50.0 % are above 3, usually 0.0 %"),
        ([3.0], [2.0], "100.0 % are below 3, usually 0.0 %"),
        ([0.0, 1.0], [0.0, 0.0, 0.0, 1.0], "75.0 % are below 1, usually 50.0 %"),
        ([0.0, 1.0], [0.0, 0.0, 0.0, 7.0], "0.0 % are 1, usually 50.0 %"),
    ],
)
def test_what_a_constant_or_a_code_became_is_told(
    before: list[float], after: list[float], told: str
) -> None:
    """Also a value above all that the reference has, which once shared a bin with its greatest."""
    signature = Signature(task="regression", columns=(Column(name="x", kind="number"),))
    reference = build({"x": np.tile(before, 300)}, signature)
    live = reference.blank()
    live.update({"x": np.tile(after, 300)})
    assert compare(reference.columns[0], live.columns[0], min_rows=100).told == told
