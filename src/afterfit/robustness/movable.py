"""What callers could move: each column's box, and steps in it measured in spreads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from afterfit.core.fingerprint import ColumnCounts, Fingerprint
from afterfit.core.frame import is_missing
from afterfit.core.signature import Column, Signature

__all__ = ["Axis", "Step", "movable"]

GRID = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Spreads at which each direction is tried, before its end."""
MOST_CHOICES = 12
"""Other categories of a column that are tried, the commonest first."""
CHANGED = 1.0
"""What another category counts, in spreads."""


@dataclass(frozen=True)
class Axis:
    """A column that can be moved: numbers between ``low`` and ``high``, or words of ``choices``.

    ``spread`` is the standard deviation of the reference, in the column's own unit.
    """

    name: str
    whole: bool = False
    spread: float = 0.0
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Any, ...] = ()

    def steps(self, value: Any) -> Iterator[Step]:
        """Yield the steps to try from a value, by direction and then outwards; none if missing."""
        if is_missing(value):
            return
        if self.choices:
            for other in self.choices:
                if other != value:
                    yield Step(self, 0, CHANGED, other)
            return
        for way in (1, -1):
            last = 0.0
            for size in (*GRID, math.inf):
                step = self.step(value, way, size)
                if step.size > last:
                    yield step
                    last = step.size

    def step(self, value: Any, way: int, size: float) -> Step:
        """Return the step of ``size`` spreads or as far as the box goes; its size is what it is."""
        start = float(value)
        # A row beyond the box may only come back into it.
        end = max(start, self.high) if way > 0 else min(start, self.low)
        moved = end if math.isinf(size) else start + way * size * self.spread
        moved = min(moved, end) if way > 0 else max(moved, end)
        if self.whole:
            moved = math.floor(moved) if way > 0 else math.ceil(moved)
        taken = max(0.0, way * (moved - start)) / self.spread
        return Step(self, way, taken, int(moved) if self.whole else moved)


@dataclass(frozen=True)
class Step:
    """One column moved to ``value``, ``size`` spreads away; ``way`` is 0 for another category."""

    axis: Axis
    way: int
    size: float
    value: Any


def movable(
    fingerprint: Fingerprint, signature: Signature, fixed: Sequence[str], most: int, seed: int
) -> list[Axis]:
    """Return the columns that can be moved, at most ``most`` of them, drawn with ``seed``."""
    found = []
    for column in signature.columns:
        counts = fingerprint.column(column.name)
        if column.name not in fixed and counts is not None and not column.shape:
            axis = _axis(column, counts)
            found += [] if axis is None else [axis]
    if len(found) <= most:
        return found
    kept = np.sort(np.random.default_rng(seed).permutation(len(found))[:most])
    return [found[index] for index in kept.tolist()]


def _axis(column: Column, counts: ColumnCounts) -> Axis | None:
    if column.kind == "boolean":
        return Axis(column.name, choices=(False, True))
    if not column.numeric:
        words = sorted(counts.categories, key=lambda name: (-counts.categories[name], name))
        return Axis(column.name, choices=tuple(words[: MOST_CHOICES + 1])) if words else None
    if counts.finite < 2 or counts.min is None or counts.max is None:
        return None
    spread = math.sqrt(counts.m2 / counts.finite)
    if not math.isfinite(spread) or not spread > 0 or not counts.max > counts.min:
        return None
    return Axis(column.name, column.kind == "integer", spread, counts.min, counts.max)
