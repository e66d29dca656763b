"""Slices of rows by one column, and the one that pays most for a variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from afterfit.core.frame import Frame, missing_mask
from afterfit.core.signature import Column, Signature
from afterfit.stats.paired import mean_difference

__all__ = ["Slice", "WorstSlice", "slices", "worst_slice"]

LEAST_ROWS = 100
"""Rows that a slice needs to be looked at."""

QUARTERS = 4
MOST_VALUES = 30


@dataclass(frozen=True)
class Slice:
    """Rows that share something: in words, and as a mask, bool of [n]."""

    name: str
    rows: np.ndarray


@dataclass(frozen=True)
class WorstSlice:
    """The slice with the largest drop; ``low`` is its lower bound, for all slices at once."""

    name: str
    drop: float
    low: float
    n: int


def slices(frame: Frame, signature: Signature) -> list[Slice]:
    """Return the slices with enough rows: each category, each quarter of a number, the missing."""
    found: list[Slice] = []
    for column in signature.columns:
        found += _of(column, frame[column.name])
    return [part for part in found if LEAST_ROWS <= part.rows.sum() < len(part.rows)]


def worst_slice(
    parts: Sequence[Slice], first: np.ndarray, second: np.ndarray, alpha: float
) -> WorstSlice | None:
    """Return the slice whose mean loss grew most surely; None without slices.

    ``first`` and ``second`` are losses per row, float64 of [n]. Each lower bound holds at its
    share of ``alpha``, so that all hold at once with probability ``1 - alpha``.
    """
    found = []
    for part in parts:
        level = 1 - 2 * alpha / len(parts)
        drop, interval = mean_difference(second[part.rows], first[part.rows], level)
        low = interval.low if np.isfinite(interval.low) else drop
        found.append(WorstSlice(part.name, drop, low, int(part.rows.sum())))
    return max(found, key=lambda one: (one.low, one.drop), default=None)


def _of(column: Column, values: np.ndarray) -> list[Slice]:
    gone = missing_mask(values)
    found = [Slice(f"{column.name} missing", gone)]
    present = values[~gone]
    if not len(present):
        return found
    if not column.numeric or len(np.unique(present.astype(str))) <= QUARTERS:
        texts = np.where(gone, "", values.astype(object)).astype(str)
        known, counts = np.unique(texts[~gone], return_counts=True)
        often = known[np.argsort(-counts, kind="stable")][:MOST_VALUES]
        return found + [Slice(f"{column.name} = {v}", ~gone & (texts == v)) for v in often]
    numbers = np.where(gone, np.nan, values).astype(np.float64)
    cuts = np.unique(np.nanquantile(numbers, np.linspace(0, 1, QUARTERS + 1)))
    for low, high in pairwise(cuts.tolist()):
        inside = (numbers >= low) & ((numbers < high) | (high == cuts[-1]))
        found.append(Slice(f"{column.name} from {low:g} to {high:g}", inside & ~gone))
    return found
