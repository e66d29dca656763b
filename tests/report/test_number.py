"""Numbers for people: three digits, a unit, an interval, and no rounding that lies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.samples import metric

from afterfit.core.gate import evaluate, parse_gate
from afterfit.report import number


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.81234, "", "0.812"),
        (12345.6, "us", "12,300 µs"),
        (5.5, "ms", "5.50 ms"),
        (0.0, "ms", "0 ms"),
        (-3.14159, "", "\N{MINUS SIGN}3.14"),
        (None, "ms", "\N{EN DASH}"),
        (float("nan"), "", "\N{EN DASH}"),
        (float("inf"), "", "∞"),
        (1234567, "bytes", "1.23 MB"),
        (812, "bytes", "812 B"),
    ],
)
def test_a_number_has_three_digits_and_its_unit(value: float | None, unit: str, text: str) -> None:
    """Three significant digits; what is no number is a dash."""
    assert number.number(value, unit) == text


@given(st.floats(0.5, 1, exclude_max=True))
def test_nothing_below_one_reads_as_one(value: float) -> None:
    """0.9999 is no perfect score, so it is never rounded up to one."""
    if 1 - value > 1e-11:
        assert float(number.plain(value)) < 1


@given(st.floats(1e-4, 1e8))
def test_three_digits_are_within_half_a_percent(value: float) -> None:
    """The text reads back to within the rounding of three digits."""
    assert abs(float(number.plain(value).replace(",", "")) - value) <= 0.005 * value


def test_an_interval_has_the_decimals_of_its_value() -> None:
    """Value and bounds line up; a bound just below one does not become one."""
    shown = number.metric_text(metric("f1", 0.8, 0.79123, 0.99991), n=True)
    assert shown == "0.800 [0.791, 0.99991] (n = 16,281)"


def test_a_metric_that_was_not_computed_says_why() -> None:
    """No number, but the reason."""
    empty = metric("roc_auc", None, method="the rows hold only one class")
    assert number.metric_text(empty) == "not computed (the rows hold only one class)"


@given(st.floats(0.7, 0.9), st.sampled_from([0.75, 0.8, 0.85]))
def test_a_gate_never_shows_its_limit_for_another_number(value: float, limit: float) -> None:
    """A failed 0.79997 >= 0.8 must not read "0.800"."""
    result = evaluate(parse_gate(f"f1 >= {limit}"), {"assess": [metric("f1", value)]})
    if abs(value - limit) > 1e-11:
        assert float(number.gate_value(result)) != limit


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0004, "< 1 ms"), (0.2, "0.2 s"), (12.3, "12 s"), (125, "2 min 5 s"), (7260, "2 h 1 min")],
)
def test_durations_read_like_durations(seconds: float, text: str) -> None:
    """Short ones in seconds, long ones in minutes and hours."""
    assert number.seconds(seconds) == text


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (1, "1 row"),
        (96, "96 rows"),
        (299, "300 rows"),
        (1901, "2,000 rows"),
        (1_000_000, "1,000,000 rows"),
        (2_639_549, "more than 1 million rows: this gap is too small to settle"),
    ],
)
def test_rows_that_would_do_are_rounded_up_to_two_digits(rows: int, text: str) -> None:
    """No more digits than such an estimate has; beyond a million it only says that it is far."""
    assert number.needed(rows) == text


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-3, "0 s"), (59.4, "59 s"), (119, "1 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_an_age_is_in_its_largest_whole_unit(seconds: float, told: str) -> None:
    """Never more than it is; a clock that is ahead makes nothing younger than now."""
    assert number.age(seconds) == told
