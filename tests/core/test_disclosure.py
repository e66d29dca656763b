"""What is told of a column stands for ten rows or more."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.core.disclosure import (
    MAX_EDGES,
    MIN_ROWS,
    reference_bins,
    reference_edges,
    reference_range,
)
from afterfit.core.fingerprint import build
from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Signature
from afterfit.inspect.columns import build_column

ANY = st.lists(st.floats(), max_size=300)
FEW_VALUES = st.lists(st.sampled_from([-1.5, 0.0, -0.0, 3.0, 3.25, 40.0, np.nan]), max_size=300)
SALARIES = np.array([41_230.17, 52_004.5, 38_111.0, 99_870.25, 187_432.9, 61_003.33])


def told(values: np.ndarray) -> bytes:
    """Return what a bundle tells of a column of these values, and of answers like them."""
    column = build_column("x", values, None, nullable=False)
    signature = Signature(task="regression", columns=(column,))
    fingerprint = build({"x": values}, signature, Predictions(values=values))
    return msgspec.json.encode([signature, fingerprint])


def test_six_salaries_cannot_be_read_out() -> None:
    """Neither one of them, nor their least, greatest or mean."""
    text = told(SALARIES).decode()
    for value in (*SALARIES, SALARIES.mean()):
        assert repr(float(value)) not in text


@given(st.integers(0, 10_000), st.integers(1, 2000))
def test_no_value_of_a_single_row_is_told(seed: int, rows: int) -> None:
    """Of values with many digits, none is an edge or an end of the range."""
    values = np.random.default_rng(seed).lognormal(10.5, 0.6, rows)
    ends = [end for end in reference_range(values) if end is not None]
    assert not set(values.tolist()) & {*reference_edges(values), *ends}


@given(st.one_of(ANY, FEW_VALUES))
def test_between_two_edges_lie_ten_rows_or_none(values: list[float]) -> None:
    """Any values: edges ascend, are finite and at most 63, and no bin tells of one to nine rows."""
    array = np.array(values, dtype=np.float64)
    edges = reference_bins(array)
    assert len(edges) <= MAX_EDGES
    assert edges == sorted(set(edges))
    finite = array[np.isfinite(array)]
    if edges:
        bins = np.bincount(np.searchsorted(edges, finite, side="right"), minlength=len(edges) + 1)
        assert all(count == 0 or count >= MIN_ROWS for count in bins)


@given(st.one_of(ANY, FEW_VALUES))
def test_a_range_holds_all_values(values: list[float]) -> None:
    """No reference row is out of range, and ten rows are the fewest that have one."""
    array = np.array(values, dtype=np.float64)
    finite = array[np.isfinite(array)]
    low, high = reference_range(array)
    if len(finite) < MIN_ROWS:
        assert (low, high) == (None, None)
    else:
        assert low is not None
        assert high is not None
        assert low <= finite.min()
        assert high >= finite.max()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.repeat([0.0, 1.0, 17.5], 10), (0.0, 17.5)),
        (np.arange(18, 98), (0.0, 100.0)),
        (np.r_[np.full(20, 5.0), 187_432.9], (5.0, 500_000.0)),
        (np.linspace(0.0, 1.0, 2001), (0.0, 1.0)),
        (-np.arange(18, 98), (-100.0, 0.0)),
    ],
)
def test_ranges_are_round(values: np.ndarray, expected: tuple[float, float]) -> None:
    """Exact where ten rows hold the end, else the next round number of the ends' own size."""
    assert reference_range(values) == expected


def test_values_that_many_rows_hold_stay_edges() -> None:
    """Counts and codes keep their own bins: a shift from 1 to 2 is seen."""
    values = np.random.default_rng(0).choice([0.0, 1.0, 2.0, 7.0], size=400, p=[0.4, 0.3, 0.2, 0.1])
    assert reference_edges(values) == [0.0, 1.0, 2.0, 7.0]
    assert reference_edges(np.arange(19)) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full(40, 3.0), [3.0, 3.000003]),
        (np.zeros(40), [0.0, 1e-06]),
        (np.full(40, -2.0), [-2.0, -1.999998]),
        (np.full(40, 1.7976931348623157e308), [1.7976931348623157e308]),
        (np.r_[np.zeros(30), np.ones(9)], [0.0]),
    ],
)
def test_what_is_above_a_value_that_many_rows_hold_has_a_bin(
    values: np.ndarray, expected: list[float]
) -> None:
    """So a constant that rises is seen, and float32 is still the same value."""
    edges = reference_bins(values)
    assert edges == expected
    assert reference_edges(values) == edges[:1]
    if len(edges) > 1:
        assert np.float32(values[0]) < edges[1]


def test_edges_of_a_continuous_column_are_short() -> None:
    """They are the shortest numbers among ten rows, so they say no more than that."""
    edges = reference_edges(np.random.default_rng(0).normal(40_000, 9_000, 640))
    assert len(edges) > 30
    assert all(edge == round(edge, -1) for edge in edges)


def test_the_values_of_a_flag_are_nobodys() -> None:
    """A boolean that is rarely true keeps a bin for it: its two values name no one."""
    flags = np.arange(300) == 7
    signature = Signature(task="regression", columns=(Column(name="x", kind="boolean"),))
    counts = build({"x": flags}, signature).columns[0]
    assert (counts.edges, counts.counts) == ([1.0], [299, 1])
