"""Which rows ranges are found with: real ones, without those that would spoil them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.optimize.quantize_graphs import framed, names, normal, signed

from afterfit.core.bundle import TensorInput
from afterfit.core.frame import row_count
from afterfit.errors import InputError
from afterfit.optimize.quantize_rows import LEAST_ROWS, MOST_ROWS, calibration

INPUTS = (TensorInput(name="rows", columns=names(8), dtype="float32"),)


def table(rows: int = 400, seed: int = 0) -> np.ndarray:
    """Rows of eight normal numbers."""
    return np.random.default_rng(seed).normal(size=(rows, 8))


def test_a_row_a_hundred_times_as_large_is_left_out_and_told() -> None:
    """One poisoned row of 400 does not set the ranges, and the note counts it."""
    poisoned = table()
    poisoned[7] *= 100
    frame, told = calibration(framed(poisoned), signed(framed(table()), "regression"), INPUTS, 0)
    assert row_count(frame) == 399
    assert max(np.abs(values).max() for values in frame.values()) < 6
    assert told == "ranges of 399 rows; 1 of 400 left out as far off"


def test_infinite_values_are_left_out_and_missing_ones_are_not() -> None:
    """A missing value is filled by the model itself; an infinity has no range."""
    holed = table()
    holed[0, 0], holed[1, 1] = np.inf, np.nan
    frame, _ = calibration(framed(holed), signed(framed(table()), "regression"), INPUTS, 0)
    assert row_count(frame) == 399
    assert np.isnan(frame["c1"]).sum() == 1


def test_flags_and_pixels_that_are_mostly_zero_are_no_outliers() -> None:
    """Where most values are equal, the rare others are compared with each other."""
    flags = np.zeros((400, 8))
    flags[::40, :] = 1.0
    flags[:, 0] = table()[:, 0]
    frame, told = calibration(framed(flags), signed(framed(flags), "regression"), INPUTS, 0)
    assert row_count(frame) == 400
    assert "left out" not in told


def test_numbers_of_words_are_not_screened() -> None:
    """Columns that the graph reads as integers have no distance."""
    words = np.ones((400, 8), np.int64)
    words[3:9] = 2
    words[10] = 30_000
    inputs = (TensorInput(name="rows", columns=names(8), dtype="int64"),)
    frame, _ = calibration(framed(words), signed(framed(words), "regression"), inputs, 0)
    assert row_count(frame) == 400


def test_too_few_rows_name_how_many_are_needed() -> None:
    """What is missing is told as a number, with what was left out of what was given."""
    few = table(LEAST_ROWS)
    few[0] *= 1000
    with pytest.raises(InputError, match=f"31 rows to find ranges with, and {LEAST_ROWS}") as told:
        calibration(framed(few), signed(framed(table()), "regression"), INPUTS, 0)
    assert "32 were given, 1 of them far off" in told.value.why
    assert "--train" in told.value.fix


@pytest.mark.parametrize("factor", [0.1, 0.0])
def test_scaled_and_zero_rows_are_detected(factor: float) -> None:
    """Rows in another unit than the data that was inspected find no ranges."""
    with pytest.raises(InputError, match=r"alike|not like those") as told:
        calibration(
            framed(factor * table()), signed(framed(table(seed=1)), "regression"), INPUTS, 0
        )
    assert "--train" in told.value.fix


def test_rows_that_are_too_wide_are_detected() -> None:
    """All rows ten times as large have no outlier among them, and are found by the signature."""
    with pytest.raises(InputError, match="not like those") as told:
        calibration(framed(10 * table()), signed(framed(table(seed=1)), "regression"), INPUTS, 0)
    assert "times as wide as known" in told.value.why


def test_zeros_are_detected_without_known_ranges() -> None:
    """Rows that are all alike have no range, whatever the signature knows."""
    zeros = framed(np.zeros((100, 8)))
    with pytest.raises(InputError, match="all rows to find ranges with are alike"):
        calibration(zeros, signed(zeros, "regression", known=False), INPUTS, 0)


def test_many_rows_are_drawn_by_the_seed() -> None:
    """The same seed draws the same rows, another one others, and never more than the most."""
    rows = normal(3000, width=8)
    signature = signed(rows, "regression")
    drawn = [calibration(rows, signature, INPUTS, seed)[0]["c0"] for seed in (0, 0, 1)]
    assert len(drawn[0]) == MOST_ROWS
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
