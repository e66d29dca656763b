"""Columns cut into cells: what falls where, and what cells are called."""

from __future__ import annotations

import numpy as np
import pytest

from afterfit.core.cuts import Cut, cut


def test_ranges_of_numbers_hold_about_equally_many_rows() -> None:
    """Every row has one cell; infinities lie at the ends, missing values in a cell of their own."""
    values = np.random.default_rng(0).normal(size=5000)
    values[:3] = np.nan, np.inf, -np.inf
    made = cut("x", values, ranges=10)
    codes = made.codes(values)
    assert codes[:3].tolist() == [made.missing, made.ranges - 1, 0]
    assert 8 <= made.ranges <= 10
    counts = np.bincount(codes, minlength=made.cells)
    assert counts[: made.ranges].min() > 300
    assert counts[made.missing + 1] == 0


def test_few_values_have_a_cell_each_and_others_none() -> None:
    """A number that was not there when the cut was made is in no slice."""
    made = cut("k", np.repeat([1, 2, 5], 20), ranges=10)
    assert made.values == (1.0, 2.0, 5.0)
    other = made.missing + 1
    codes = made.codes(np.array([5.0, 3.0, np.nan, 1.0, 9.0]))
    assert codes.tolist() == [2, other, made.missing, 0, other]


def test_categories_are_cells_and_rare_ones_are_not() -> None:
    """Values with fewer than ``least`` rows are ``other``; booleans are categories."""
    words = np.array(["Ulm"] * 5 + ["Kiel"] * 3 + ["Bonn", None], dtype=object)
    made = cut("city", words, ranges=10, least=3)
    assert made.values == ("Ulm", "Kiel")
    assert np.bincount(made.codes(words)).tolist() == [5, 3, 1, 1]
    flags = np.array([True, False, True])
    assert cut("flag", flags, ranges=10).codes(flags).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("made", "names"),
    [
        (Cut("x", ordered=True, edges=(2.5, 60.0)),
         {"x < 2.5", "x < 60", "2.5 ≤ x < 60", "x ≥ 2.5", "x ≥ 60", "x is missing"}),
        (Cut("k", ordered=True, values=(1.0, 2.0, 5.0)),
         {"k = 1", "1 ≤ k ≤ 2", "k = 2", "2 ≤ k ≤ 5", "k = 5", "k is missing"}),
        (Cut("city", ordered=False, values=("Ulm",)), {"city = Ulm", "city is missing"}),
        (Cut("none", ordered=True), {"none is missing"}),
    ],
)  # fmt: skip
def test_spans_are_named_in_words(made: Cut, names: set[str]) -> None:
    """Numbers take every run of neighbours but the whole; categories one value each."""
    spans = made.spans()
    assert {span.name for span in spans} == names
    assert len(spans) == len(names)


@pytest.mark.parametrize(
    "values",
    [np.full(50, np.nan), np.full(50, 3.0), np.array([1.0, 2.0]), np.array([None, None], object),
     np.empty(0), np.full(40, "a", dtype=object)],
)  # fmt: skip
def test_columns_that_say_nothing_are_cut_all_the_same(values: np.ndarray) -> None:
    """Constant, empty and missing columns have valid cells, and no run is all of their rows."""
    made = cut("c", values, ranges=10)
    codes = made.codes(values)
    assert ((codes >= 0) & (codes < made.cells)).all()
    assert len(codes) == len(values)


def test_no_edge_tells_the_value_of_one_row() -> None:
    """Edges of numbers that nobody shares are rounded among ten rows."""
    values = np.random.default_rng(1).normal(size=400)
    assert not set(cut("x", values, ranges=10).edges) & set(values.tolist())
