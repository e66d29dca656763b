"""Columns cut into cells: quantile ranges of numbers, categories, and what is missing.

Cells of a cut, in order: one a range or value, then ``missing``, then ``other`` for values that
have no cell (rare categories, values that were not there when it was made).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from afterfit.core.disclosure import MIN_ROWS, reference_edges
from afterfit.core.frame import is_missing, missing_mask

__all__ = ["Cut", "Span", "cut"]

MOST_VALUES = 100
"""The most categories of one column that have a cell of their own."""


@dataclass(frozen=True)
class Cut:
    """How the values of one column fall into cells.

    ``edges`` are ascending: ``x`` falls in the cell ``searchsorted(edges, x, side="right")``.
    Where there are ``values`` each is a cell; numbers (``ordered``) ascending, categories by
    how often they are.
    """

    name: str
    ordered: bool
    edges: tuple[float, ...] = ()
    values: tuple[Any, ...] = ()

    @property
    def ranges(self) -> int:
        """The number of cells before ``missing``."""
        return len(self.values) or (len(self.edges) + 1 if self.ordered else 0)

    @property
    def missing(self) -> int:
        """The cell of missing values."""
        return self.ranges

    @property
    def cells(self) -> int:
        """The number of cells, ``missing`` and ``other`` included."""
        return self.ranges + 2

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Return the cell of each value, int64 of [n]."""
        if not self.ordered:
            return self._codes_of_words(values)
        numbers = values.astype(np.float64)
        if self.values:
            known = np.array(self.values, np.float64)
            found = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
            found = np.where(known[found] == numbers, found, self.missing + 1)
        else:
            found = np.searchsorted(np.array(self.edges), numbers, side="right")
        return np.where(np.isnan(numbers), self.missing, found).astype(np.int64)

    def _codes_of_words(self, values: np.ndarray) -> np.ndarray:
        known = {value: cell for cell, value in enumerate(self.values)}
        other = self.missing + 1
        found = np.fromiter(
            (known.get(value, other) for value in values.tolist()),
            np.int64,
            len(values),
        )
        # Nearly every value is known: only the others may be missing.
        rest = np.flatnonzero(found == other)
        found[rest[missing_mask(values[rest])]] = self.missing
        return found

    def spans(self) -> list[Span]:
        """Return each cell, and of numbers each run of neighbouring ones but the whole."""
        last = self.ranges - 1
        if self.ordered:
            runs = [(a, b) for a in range(last + 1) for b in range(a, last + 1)]
            runs = [run for run in runs if run != (0, last) or (self.values and last == 0)]
        else:
            runs = [(cell, cell) for cell in range(last + 1)]
        return [Span(self, *run) for run in [*runs, (self.missing, self.missing)]]


@dataclass(frozen=True)
class Span:
    """The cells ``first`` to ``last`` of a cut, both included."""

    cut: Cut
    first: int
    last: int

    def holds(self, codes: np.ndarray) -> np.ndarray:
        """Return which rows lie in it, bool of [n], by their cells."""
        inside: np.ndarray = (codes >= self.first) & (codes <= self.last)
        return inside

    @property
    def name(self) -> str:
        """What it is, in words: ``age < 25``, ``25 ≤ age < 60``, ``city = Ulm``."""
        cut, column = self.cut, self.cut.name
        if self.first == cut.missing:
            return f"{column} is missing"
        if cut.values:
            low, high = _text(cut.values[self.first]), _text(cut.values[self.last])
            return f"{column} = {low}" if self.first == self.last else f"{low} ≤ {column} ≤ {high}"
        low = _text(cut.edges[self.first - 1]) if self.first else ""
        high = _text(cut.edges[self.last]) if self.last < len(cut.edges) else ""
        if not low:
            return f"{column} < {high}" if high else f"{column} is not missing"
        return f"{low} ≤ {column} < {high}" if high else f"{column} ≥ {low}"


def cut(name: str, values: np.ndarray, *, ranges: int, least: int = 1) -> Cut:
    """Return the cut of a column by these values.

    Numbers get up to ``ranges`` ranges of about equally many rows, or a cell each where there are
    no more values than that and ten rows hold each; no edge tells one row's value
    (`core.disclosure`). Of other values those with ``least`` rows get a cell, at most 100.
    """
    if values.dtype.kind in "fiu":
        return _cut_of_numbers(name, values.astype(np.float64), ranges)
    counts = Counter(values.tolist()).items()
    often = sorted(
        ((count, value) for value, count in counts if count >= least and not is_missing(value)),
        key=lambda pair: (-pair[0], str(pair[1])),
    )
    return Cut(name, ordered=False, values=tuple(value for _, value in often[:MOST_VALUES]))


def _cut_of_numbers(name: str, values: np.ndarray, ranges: int) -> Cut:
    present = values[~np.isnan(values)]
    known, counts = np.unique(present, return_counts=True)
    if 0 < len(known) <= ranges and counts.min() >= MIN_ROWS:
        return Cut(name, ordered=True, values=tuple(known.tolist()))
    edges = [edge for edge in reference_edges(present) if len(known) and edge > known[0]]
    if len(edges) >= ranges:
        picked = np.linspace(0, len(edges) - 1, ranges + 1).round().astype(int)[1:-1]
        edges = [edges[place] for place in picked.tolist()]
    return Cut(name, ordered=True, edges=tuple(edges))


def _text(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)
