"""Closed-form intervals of metrics of a confusion matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from afterfit.core.formulae import FORMULAE
from afterfit.stats.bootstrap import bootstrap_cells
from afterfit.stats.cells import flawless, of_cells
from afterfit.stats.interval import wilson

NAMES = ["accuracy", "balanced_accuracy", "precision", "recall", "f1"]
tables = arrays(np.int64, (2, 2), elements=st.integers(0, 60))


@pytest.mark.parametrize("name", NAMES)
@given(table=tables, one=st.floats(0.5, 0.99), other=st.floats(0.5, 0.99))
@settings(deadline=None, max_examples=50)
def test_intervals_hold_the_value_and_grow_with_the_level(
    name: str, table: np.ndarray, one: float, other: float
) -> None:
    """Around the metric and nested; NaN exactly where the metric is."""
    formula = FORMULAE[name].cells
    assert formula is not None
    value = float(formula(table, 1))
    found = [of_cells(name, table, positive=1, level=level) for level in sorted((one, other))]
    narrow, wide = found
    assert narrow is not None
    assert wide is not None
    assert math.isnan(value) == math.isnan(wide.low) == math.isnan(wide.high)
    if not math.isnan(value):
        slack = 1e-9
        assert -slack <= wide.low <= narrow.low + slack <= value + 2 * slack
        assert value - slack <= narrow.high + slack <= wide.high + 2 * slack <= 1 + 3 * slack


@pytest.mark.parametrize("name", NAMES)
def test_closed_forms_agree_with_the_bootstrap_on_many_rows(name: str) -> None:
    """On 20,000 rows both bounds lie within 5 % of the width."""
    cells = np.array([[14_000, 1_000], [1_500, 3_500]])
    formula = FORMULAE[name].cells
    assert formula is not None
    resampled = bootstrap_cells(lambda some: formula(some, 1), cells, seed=0, replicates=20_000)
    closed = of_cells(name, cells, positive=1)
    assert closed is not None
    assert closed[:2] == pytest.approx(resampled[:2], abs=0.05 * (resampled.high - resampled.low))


def test_metrics_without_a_closed_form_have_none() -> None:
    """The Matthews correlation, and macro averages that mix their classes."""
    cells = np.array([[8, 2], [1, 9]])
    assert of_cells("mcc", cells, positive=1) is None
    for name in ("precision", "recall", "f1"):
        assert of_cells(name, cells, positive=None) is None


def test_one_class_has_no_balanced_accuracy() -> None:
    """NaN with the reason."""
    found = of_cells("balanced_accuracy", np.array([[0, 0], [3, 4]]), positive=1)
    assert found is not None
    assert found.method == "undefined: the rows hold only one class"


def test_flawless_tables_are_bounded_by_their_worst_case() -> None:
    """Balanced accuracy of the worst case is the mean of Wilson's lowest recalls."""
    cells = np.diag([10, 30, 0, 20])
    formula = FORMULAE["balanced_accuracy"].cells
    assert formula is not None
    low, high, method = flawless(lambda some: formula(some, None), cells)
    assert low == pytest.approx(np.mean([wilson(n, n).low for n in (10, 30, 20)]))
    assert (high, method) == (1.0, "wilson-worst-case")
    single = flawless(lambda some: formula(some, None), np.diag([5, 0]))
    assert math.isnan(single.low)
