"""How finely a column was measured, read off its own values, and noise below that."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from afterfit.core.dataset import Dataset
from afterfit.core.frame import missing_mask
from afterfit.core.signature import Column, Signature

__all__ = ["Step", "noised", "resolutions"]

MOST_DECIMALS = 6
NEAR = 1e-9
LEAST_VALUES = 10


class Step(NamedTuple):
    """The distance between two neighbouring values that the column can hold, in its own unit."""

    size: float


def resolutions(data: Dataset, signature: Signature) -> dict[str, Step]:
    """Return the rounding of each column of numbers whose values show one."""
    found = {}
    for column in signature.columns:
        if column.kind in ("number", "integer"):
            step = _step(column, data.frame[column.name])
            if step is not None:
                found[column.name] = step
    return found


def _step(column: Column, values: np.ndarray) -> Step | None:
    """Return the rounding: a power of ten with decimals, else the greatest common divisor.

    Whole numbers in steps of one are taken for counts, which have no error; numbers with more
    than six decimals for values as they came out of a computation.
    """
    numbers = values[~missing_mask(values)].astype(np.float64)
    numbers = numbers[np.isfinite(numbers) & (np.abs(numbers) < 2.0**53)]
    if len(numbers) < LEAST_VALUES or len(np.unique(numbers)) < LEAST_VALUES:
        return None
    for decimals in range(MOST_DECIMALS + 1):
        scaled = numbers * 10.0**decimals
        whole = np.rint(scaled)
        if (np.abs(scaled - whole) <= NEAR * np.maximum(1.0, np.abs(scaled))).all():
            if decimals:
                return Step(10.0**-decimals)
            step = float(np.gcd.reduce(whole.astype(np.int64)))
            return None if step == 1 and column.kind == "integer" else Step(step)
    return None


def noised(values: np.ndarray, step: Step, *, whole: bool, seed: int) -> np.ndarray:
    """Return the values moved by at most half a step, evenly: they would be rounded as before.

    ``whole`` keeps whole numbers whole; the draw depends on ``seed`` alone.
    """
    random = np.random.default_rng(seed)
    moved = values.astype(np.float64) + random.uniform(-0.5, 0.5, len(values)) * step.size
    if not whole:
        return moved
    kept = np.where(np.isfinite(moved), np.rint(moved), moved)
    return kept.astype(values.dtype) if values.dtype.kind in "iu" else kept
