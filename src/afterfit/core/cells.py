"""Counting many numbers between edges, without sorting them.

The range of the edges is cut into cells of one width. In a cell without an edge the bin is known,
in one with a single edge it takes one comparison; only values in cells of several edges are
searched for. The cell of a value is a rounded, but never decreasing function of it, so that the
counts are exactly those of ``searchsorted(edges, x, side="right")``.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

__all__ = ["Cells", "cells_of"]

CELLS = 1024


class Cells:
    """The cells of some edges: see ``cells_of``."""

    def __init__(self, edges: np.ndarray, scale: float) -> None:
        self._edges = edges
        self._scale = scale
        places = self._places(edges)
        self._before = np.searchsorted(places, np.arange(CELLS))
        held = np.bincount(places, minlength=CELLS)
        self._first = np.full(CELLS, np.inf)
        single = held[places] == 1
        self._first[places[single]] = edges[single]
        self._several = held > 1 if (held > 1).any() else None

    def counts(self, values: np.ndarray) -> np.ndarray:
        """Return how many finite values, float64 of [n], are in each bin, [edges + 1]."""
        places = self._places(values)
        bins = self._before[places]
        bins += values >= self._first[places]
        if self._several is not None:
            hard = self._several[places]
            bins[hard] = np.searchsorted(self._edges, values[hard], side="right")
        return np.bincount(bins, minlength=len(self._edges) + 1)

    def _places(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            places = values - self._edges[0]
            places *= self._scale
        places += 1.0
        np.clip(places, 0, CELLS - 1, out=places)
        return np.asarray(places.astype(np.int32))


@lru_cache(maxsize=1024)
def cells_of(edges: tuple[float, ...]) -> Cells | None:
    """Return the cells of ascending edges; None where there are too few, or no width for cells."""
    if len(edges) < 2:
        return None
    width = edges[-1] - edges[0]
    scale = (CELLS - 3) / width if width > 0 else math.inf
    if not 0 < scale < math.inf:
        return None
    return Cells(np.array(edges, dtype=np.float64), scale)
