"""Which form ships for which number of rows: a pure function of measured times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.optimize.regime import Regime, regime

Times = dict[str, dict[int, np.ndarray]]


def times(**forms: dict[int, float]) -> Times:
    """Three calls about each time."""
    return {
        form: {rows: np.array([0.9, 1.0, 5.0]) * spent for rows, spent in known.items()}
        for form, known in forms.items()
    }


def test_one_form_that_is_fastest_everywhere_ships_alone() -> None:
    """A forest: ONNX Runtime is faster with one row and with many."""
    found = regime(times(onnx={1: 180, 256: 9000}, native={1: 8500, 256: 19000}))
    assert found == Regime("onnx")
    assert found.form(1) == found.form(10**6) == "onnx"


def test_two_forms_ship_where_each_wins_at_one_end() -> None:
    """XGBoost with 500 trees: its own library from about 32 rows on."""
    found = regime(times(onnx={1: 21, 256: 4000}, direct={1: 350, 256: 2000}))
    assert found == Regime("onnx", "direct", 32)
    assert [found.form(rows) for rows in (1, 31, 32, 256)] == ["onnx", "onnx", "direct", "direct"]


def test_a_form_that_is_hardly_slower_counts_as_no_slower() -> None:
    """Within 10 % the preferred form, which is named first, ships alone."""
    assert regime(times(onnx={1: 20, 256: 2100}, native={1: 300, 256: 2000})) == Regime("onnx")
    assert regime(times(onnx={1: 105, 256: 100}, native={1: 100, 256: 100})) == Regime("onnx")


@pytest.mark.parametrize(("goal", "ships"), [("latency", "onnx"), ("throughput", "native")])
def test_too_small_a_gain_is_not_worth_two_forms(goal: str, ships: str) -> None:
    """15 % with many rows: what counts decides, and one form ships."""
    measured = times(onnx={1: 20, 256: 2300}, native={1: 300, 256: 2000})
    assert regime(measured, latency=goal == "latency") == Regime(ships)


@pytest.mark.parametrize(("goal", "ships"), [("latency", "onnx"), ("throughput", "native")])
def test_a_form_that_cannot_be_mixed_ships_alone_or_not(goal: str, ships: str) -> None:
    """A model with code of its own has a process of its own: no second form beside it."""
    measured = times(onnx={1: 20, 256: 4000}, native={1: 300, 256: 2000})
    assert regime(measured, latency=goal == "latency", alone=("native",)) == Regime(ships)


def test_the_best_of_three_is_taken_at_each_end() -> None:
    """The wrapper is slower than its own booster everywhere, so it ships nowhere."""
    measured = times(
        onnx={1: 21, 256: 4000}, direct={1: 350, 256: 2000}, native={1: 1900, 256: 3600}
    )
    assert regime(measured) == Regime("onnx", "direct", 32)
    del measured["onnx"]
    assert regime(measured) == Regime("direct")


def test_sizes_between_are_used_for_the_crossing() -> None:
    """A form that wins from 16 rows on and was timed there is used from there on."""
    measured = times(
        onnx={1: 20, 8: 120, 16: 400, 256: 6000}, direct={1: 350, 8: 360, 16: 370, 256: 2000}
    )
    assert regime(measured).rows == 16


def test_only_sizes_that_every_form_was_timed_with_count() -> None:
    """Time ran out for one form with many rows: nothing is said of them."""
    measured = times(onnx={1: 20}, native={1: 300, 256: 2000})
    assert regime(measured) == Regime("onnx")
    with pytest.raises(ValueError, match="no form was timed"):
        regime({"onnx": {}})
    with pytest.raises(ValueError, match="no form was timed"):
        regime(times(onnx={1: 1.0}, native={256: 1.0}))


@given(
    st.lists(st.tuples(st.floats(1, 1e6), st.floats(1, 1e6)), min_size=1, max_size=4, unique=True)
)
def test_what_ships_is_never_much_slower_than_any_form(pairs: list[tuple[float, float]]) -> None:
    """At both ends within the worse of the two limits of the fastest, unless one end was given up.

    With few rows, which count, it is always within 10 %.
    """
    measured = times(**{f"f{i}": {1: a, 256: b} for i, (a, b) in enumerate(pairs)})
    found = regime(measured)
    fastest = {
        rows: min(np.median(known[rows]) for known in measured.values()) for rows in (1, 256)
    }
    assert np.median(measured[found.form(1)][1]) <= fastest[1] * 1.1 * (1 + 1e-9)
    assert not found.large or 1 < found.rows <= 256
    if found.large:
        assert np.median(measured[found.form(256)][256]) <= fastest[256] * 1.1 * (1 + 1e-9)
