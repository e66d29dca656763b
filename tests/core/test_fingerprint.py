"""Fingerprints: counts at fixed edges that merge exactly."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Signature

NUMBERS = st.lists(st.floats(width=32), max_size=60)


def objects(values: list[Any]) -> np.ndarray:
    """An object array of the values."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def signature(**kinds: str) -> Signature:
    """A regression's signature of the columns."""
    columns = tuple(Column(name=name, kind=kind) for name, kind in kinds.items())  # type: ignore[arg-type]
    return Signature(task="regression", columns=columns)


def numbers(values: list[float]) -> Fingerprint:
    """The fingerprint of one column of numbers."""
    return build({"x": np.array(values, dtype=np.float64)}, signature(x="number"))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), NUMBERS, st.data())
def test_windows_merge_into_the_counts_of_all_rows(
    reference: list[float], live: list[float], data: st.DataObject
) -> None:
    """Cut anywhere, counted apart and merged: the same counts; moments agree to rounding."""
    cut = data.draw(st.integers(0, len(live)))
    blank = numbers(reference)
    whole, first, second = blank.blank(), blank.blank(), blank.blank()
    array = np.array(live, dtype=np.float64)
    whole.update({"x": array})
    first.update({"x": array[:cut]})
    second.update({"x": array[cut:]})
    first.merge(second)
    a, b = whole.columns[0], first.columns[0]
    assert (a.counts, a.nan, a.pinf, a.ninf, a.min, a.max) == (
        b.counts,
        b.nan,
        b.pinf,
        b.ninf,
        b.min,
        b.max,
    )
    assert whole.n_ref == first.n_ref == a.total == len(live)
    assert np.isclose(a.mean, b.mean, rtol=1e-9, atol=1e-9 * max(1, abs(a.max or 0)))
    finite = array[np.isfinite(array)]
    if len(finite):
        assert np.isclose(a.mean, finite.mean(), rtol=1e-9, atol=1e-12)
        spread = ((finite - finite.mean()) ** 2).sum()
        scale = float(np.abs(finite).max()) ** 2 * len(finite)
        assert np.isclose(b.m2, spread, rtol=1e-6, atol=1e-9 * scale)


@given(NUMBERS)
def test_every_row_is_in_one_bin(values: list[float]) -> None:
    """Bins, NaN and infinities add up to the rows, and a bin holds what lies between its edges."""
    column = numbers(values).columns[0]
    array = np.array(values, dtype=np.float64)
    assert column.total == len(values)
    assert column.nan == np.isnan(array).sum()
    assert len(column.counts) == len(column.edges) + 1
    finite = array[np.isfinite(array)]
    bounds = [-np.inf, *column.edges, np.inf]
    for count, low, high in zip(column.counts, bounds[:-1], bounds[1:], strict=True):
        assert count == ((finite >= low) & (finite < high)).sum()


def test_many_distinct_values_fill_the_bins_evenly() -> None:
    """64 bins of a 64th each, to the ten rows that an edge is rounded among."""
    column = numbers(np.random.default_rng(0).normal(size=6400).tolist()).columns[0]
    assert len(column.counts) == 64
    assert max(column.counts) - min(column.counts) <= 20


def test_rare_categories_cannot_be_read_out() -> None:
    """Nine rows of a value fold into other, ten stay; text keeps no value at all."""
    words = objects(["common"] * 10 + ["rare"] * 9 + [None] * 2)
    both = build({"c": words, "t": words}, signature(c="category", t="text"))
    category, text = both.columns
    assert (category.categories, category.other, category.missing) == ({"common": 10}, 9, 2)
    assert (text.categories, text.other, text.missing) == ({}, 19, 2)
    assert b"rare" not in msgspec.json.encode(both)


def test_live_categories_are_known_new_or_missing() -> None:
    """A value that has no bin counts as new."""
    live = build({"c": objects(["a"] * 10)}, signature(c="category")).blank()
    live.update({"c": objects(["a", "b", None, float("nan"), "a"])})
    column = live.columns[0]
    assert (column.categories, column.new, column.missing) == ({"a": 2}, 1, 2)
    assert column.total == 5


@pytest.mark.parametrize(
    "values", [objects([True, None, False, True]), np.array([True, False, True])]
)
def test_booleans_are_numbers_with_gaps(values: np.ndarray) -> None:
    """None is counted as missing, the rest at the edges of 0 and 1."""
    column = build({"b": values}, signature(b="boolean")).columns[0]
    assert column.total == len(values)
    assert column.missing == sum(v is None for v in values.tolist())
    assert (column.min, column.max) == (0.0, 1.0)


def test_windows_on_other_edges_are_not_merged() -> None:
    """Counts that mean different things are an error, not a sum."""
    with pytest.raises(ValueError, match="different edges"):
        numbers([1.0, 2.0] * 20).merge(numbers([1.0, 3.0] * 20))


def test_the_output_is_counted_beside_the_columns() -> None:
    """Scores have their own counts, which a blank window shares the edges of."""
    reference = build(
        {"x": np.arange(4.0)}, signature(x="number"), Predictions(values=np.arange(4.0))
    )
    window = reference.blank()
    window.update({"x": np.arange(2.0)}, np.array([3.0, np.nan]))
    assert window.output is not None
    assert (window.output.finite, window.output.nan) == (1, 1)
    again = msgspec.json.decode(msgspec.json.encode(reference), type=Fingerprint)
    assert again == reference
    assert reference.column("x") is reference.columns[0]
    assert reference.column("y") is None
