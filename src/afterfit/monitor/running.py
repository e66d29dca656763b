"""Counts of neighbouring rows, as a difference of running counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["RunningCounts"]

MOST_CELLS = 1 << 23
"""Cells (4 bytes each) of the lines that are kept."""


class RunningCounts:
    """Counts the rows of a block, rows standing on a circle, wherever it begins.

    ``codes`` are of (rows, columns) below ``length``, blocks of at most ``block`` rows. The counts
    of all rows before one are a line, and a block is the difference of two. Of many rows or columns
    only one line of several is kept; the rows behind it are counted when they are asked for.
    """

    def __init__(self, codes: npt.NDArray[np.integer], length: int, block: int) -> None:
        around = len(codes) + block
        self._length = length
        self._stride = max(1, -(-(around + 1) * length // MOST_CELLS))
        self._rows = np.take(codes, np.arange(around), axis=0, mode="wrap")
        line = np.arange(around) // self._stride
        lines = np.zeros((line[-1] + 2, length), np.int32)
        for column in self._rows.T:
            low = int(column.min())
            width = int(column.max()) - low + 1
            counts = np.bincount(line * width + (column - low), minlength=(line[-1] + 1) * width)
            lines[1:, low : low + width] += counts.reshape(-1, width)
        self._lines = np.cumsum(lines, axis=0, dtype=np.int32, out=lines)

    def before(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.integer]:
        """Return the counts of all rows before each of some places, (places, length)."""
        line = places // self._stride
        found = self._lines[line]
        if self._stride == 1:
            return found
        first = line * self._stride
        behind = np.arange(self._stride - 1) < (places - first)[:, None]
        sample, step = np.nonzero(behind)
        codes = self._rows[first[sample] + step] + (sample * self._length)[:, None]
        found += np.bincount(codes.ravel(), minlength=found.size).reshape(found.shape)
        return found
