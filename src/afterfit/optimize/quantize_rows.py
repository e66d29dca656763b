"""Rows to find the ranges of numbers with: real ones, without those far off the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from afterfit.core.bundle import TensorInput
from afterfit.core.frame import Frame, row_count, take
from afterfit.core.signature import Signature
from afterfit.errors import InputError

__all__ = ["LEAST_ROWS", "MOST_ROWS", "calibration"]

LEAST_ROWS = 32
MOST_ROWS = 512
FAR = 20.0
"""Times the usual distance to the median (for normal numbers, 13 standard deviations)."""

NARROW = 0.2
WIDE = 3.0
"""Of the range that the signature knows: rows within less, or beyond more, are no real ones."""

_FIX = "give rows as the model is served: --train train.csv"


def calibration(
    rows: Frame, signature: Signature, inputs: Sequence[TensorInput], seed: int
) -> tuple[Frame, str]:
    """Return at most 512 of the rows, and a line that says which were left out.

    A row is left out where a column that the network reads as a real number is farther than 20
    times the median distance of those values that differ from the column's median: with one such
    row, the 8 bits of all others would be spent on it. Raises InputError for too few rows, rows
    that are all alike, and rows in another unit than those that the signature was made of.
    """
    given = row_count(rows)
    columns = [n for t in inputs if t.dtype.startswith("float") for n in t.columns if n in rows]
    far = np.zeros(given, dtype=bool)
    for name in columns:
        far |= _far(_numbers(rows[name]))
    kept = np.flatnonzero(~far)
    left_out = given - len(kept)
    if len(kept) < LEAST_ROWS:
        raise InputError(
            f"{len(kept)} rows to find ranges with, and {LEAST_ROWS} are needed",
            why=f"{given} were given, {left_out} of them far off the others" if left_out else "",
            fix=_FIX,
        )
    frame = take(rows, kept)
    _require_real(frame, signature, columns)
    if len(kept) > MOST_ROWS:
        chosen = np.random.default_rng(seed).permutation(len(kept))[:MOST_ROWS]
        frame = take(frame, np.sort(chosen))
    told = f"ranges of {row_count(frame)} rows"
    return frame, f"{told}; {left_out} of {given} left out as far off" if left_out else told


def _numbers(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "O":
        plain: np.ndarray = values.astype(np.float64)
        return plain
    return np.array([np.nan if v is None else float(v) for v in values.tolist()], np.float64)


def _far(values: np.ndarray) -> np.ndarray:
    """Return which values are infinite or far off the others; a missing one is not."""
    finite = np.isfinite(values)
    far: np.ndarray = np.isinf(values)
    if not finite.any():
        return far
    distance = np.abs(values - np.median(values[finite]))
    distance[~finite] = 0.0
    # Most pixels of an image and most flags are equal: those that differ say what is usual.
    others = distance[distance > 0]
    if len(others):
        far |= distance > FAR * np.median(others)
    return far


def _require_real(frame: Frame, signature: Signature, columns: Sequence[str]) -> None:
    """Do nothing where the rows vary, and as widely as the signature says; raises InputError."""
    values = {name: _numbers(frame[name]) for name in columns}
    spans = {name: _span(each) for name, each in values.items()}
    if columns and not any(spans.values()):
        raise InputError("all rows to find ranges with are alike", fix=_FIX)
    known = {column.name: column for column in signature.columns}
    covered = []
    for name, span in spans.items():
        low, high = known[name].low, known[name].high
        if low is not None and high is not None and high > low:
            covered.append(span / (high - low))
    if not covered:
        return
    most, middle = max(covered), float(np.median([each for each in covered if each] or [0.0]))
    if most < NARROW or middle > WIDE:
        raise InputError(
            "the rows to find ranges with are not like those that the model was inspected with",
            why=f"no column covers more than {most:.0%} of its known range"
            if most < NARROW
            else f"half the columns are {middle:.1f} times as wide as known, or more",
            fix=f"{_FIX}, in the units of the data that was inspected",
        )


def _span(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.ptp(finite)) if len(finite) else 0.0
