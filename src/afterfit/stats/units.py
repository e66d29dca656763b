"""Rows that hang together: groups, or neighbours in time, are drawn whole or not at all.

A bootstrap that draws whole groups (or blocks) gives a sum of rows the variance that is computed
here directly: that of infinitely many replicates. What a metric is the sum of, its contributions,
is in `afterfit.stats.influence`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEW_UNITS", "Spread", "Units", "block_length", "blocks", "groups"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FEW_UNITS = 20
"""With fewer groups or blocks than this, an interval is approximate."""
LEAST_BLOCKS = 8
"""Blocks are never so long that fewer than these fit side by side."""
CUTOFF = 2.0
"""Autocorrelations below this many times sqrt(log10(n) / n) count as none."""


class Spread(NamedTuple):
    """The standard error of a sum of rows, how sure that error is, and from how many units.

    ``degrees`` are those of Student's quantile; ``told`` says what was drawn whole.
    """

    error: float
    degrees: float
    told: str

    @property
    def approximate(self) -> bool:
        """Whether the units are too few for the interval to cover what it says."""
        return self.degrees + 1 < FEW_UNITS


@dataclass(frozen=True)
class Units:
    """How ``n`` rows hang together.

    For ``groups`` ``index`` holds the number of each row's group, 0 to ``count`` - 1; for
    ``blocks`` it holds the rows in the order of their time.
    """

    kind: Literal["groups", "blocks"]
    index: IntArray
    count: int
    column: str = ""

    def spread(self, rows: FloatArray) -> Spread:
        """Return the standard error of the sum of ``rows``, float64 of [n] with mean 0."""
        if self.kind == "groups":
            return self._of_groups(rows)
        return self._of_blocks(rows)

    def _of_groups(self, rows: FloatArray) -> Spread:
        """Return the cluster-robust error: Liang and Zeger (1986), Biometrika 73:13.

        A group counts by the size of what it adds, so a metric of rare rows that are in few
        groups has few degrees of freedom, however many groups there are.
        """
        sums = np.bincount(self.index, weights=rows, minlength=self.count)
        # Where no row adds anything (nothing errs), a group counts by its rows.
        weights = np.abs(rows) if rows.any() else np.ones(len(rows))
        sizes = np.bincount(self.index, weights=weights, minlength=self.count)
        counted = int(np.count_nonzero(sizes))
        told = f"{self.count} groups"
        if counted < 2:
            return Spread(math.nan, 0.0, told)
        variance = float(np.square(sums).sum()) * counted / (counted - 1)
        effective = float(sizes.sum()) ** 2 / float(np.square(sizes).sum())
        return Spread(math.sqrt(variance), max(1.0, effective - 1), told)

    def _of_blocks(self, rows: FloatArray) -> Spread:
        """Return the moving-block error: Künsch (1989), Ann. Stat. 17:1217, on a circle.

        Student's quantile with one degree less than there are blocks is that of Kiefer and
        Vogelsang (2005), Econom. Theory 21:1130, to within 1 % for ten blocks or more.
        """
        ordered = rows[self.index]
        n, length = len(ordered), block_length(ordered)
        told = f"{n // length} blocks of {length} rows"
        if n < 2 * length:
            return Spread(math.nan, 0.0, told)
        sums = _circular_sums(ordered, length)
        variance = float(np.square(sums).mean()) * n / length
        return Spread(math.sqrt(variance), max(1.0, n / length - 1), told)


def _circular_sums(ordered: FloatArray, length: int) -> FloatArray:
    """Return the sum of each run of ``length`` rows, the last ones going on with the first."""
    total = np.concatenate(([0.0], np.cumsum(np.concatenate((ordered, ordered[: length - 1])))))
    return np.asarray(total[length:] - total[:-length])


def groups(member: NDArray[Any], column: str = "") -> Units | None:
    """Return the units of rows with a number for their group; None where no two are of one."""
    index = np.asarray(member, np.int64)
    count = int(index.max(initial=-1)) + 1
    return None if count == len(index) else Units("groups", index, count, column)


def blocks(time: FloatArray, column: str = "") -> Units | None:
    """Return the units of rows with a time; equal times keep the rows' order, NaN comes last."""
    if len(time) < 2:
        return None
    return Units("blocks", np.argsort(time, kind="stable"), len(time), column)


def block_length(series: FloatArray) -> int:
    """Return how many neighbours of a series to draw together, at least 1 and at most n / 8.

    Twice the length of least mean squared error, and at least n^(2/3): an interval needs longer
    blocks than a variance does (Sun, Phillips and Jin 2008, Econometrica 76:175), and weak
    dependence that lasts is hard to see under the noise of single rows. What this costs and gains
    is measured in docs/explanation/intervals.md.
    """
    n = len(series)
    length = max(2 * _least_squares_length(series), math.ceil(n ** (2 / 3)))
    return int(max(1, min(length, n // LEAST_BLOCKS)))


def _least_squares_length(series: FloatArray) -> int:
    """Return the length of circular blocks whose variance has the least mean squared error.

    Source: Politis and White (2004), Econom. Rev. 23:53, as corrected by Patton, Politis and White
    (2009), Econom. Rev. 28:372.
    """
    n = len(series)
    reach = max(5, math.ceil(math.sqrt(math.log10(max(n, 2)))))
    lags = min(n - 1, math.ceil(math.sqrt(n)) + reach)
    covariance = _autocovariances(series, lags)
    if lags < 1 or not covariance[0] > 0:
        return 1
    small = np.abs(covariance[1:] / covariance[0]) < CUTOFF * math.sqrt(math.log10(n) / n)
    runs = np.lib.stride_tricks.sliding_window_view(small, min(reach, len(small))).all(axis=1)
    # Without a run of small ones, the last lag that is large decides.
    last = int(np.argmax(runs)) if runs.any() else int(np.flatnonzero(~small).max(initial=0)) + 1
    width = min(2 * max(1, last), lags)
    lag = np.arange(1, width + 1)
    # The flat-top window: 1 up to a half of the width, then down to 0.
    used = np.minimum(1.0, 2.0 * (1.0 - lag / width)) * covariance[1 : width + 1]
    total = float(covariance[0] + 2 * used.sum())
    slope = float(2 * (lag * used).sum())
    if not total > 0:
        return 1
    length = (1.5 * slope * slope / (total * total) * n) ** (1 / 3)
    return int(min(3 * math.sqrt(n), max(1, math.ceil(length))))


def _autocovariances(series: FloatArray, lags: int) -> FloatArray:
    """Return the autocovariances of lag 0 to ``lags``, by the fast Fourier transform."""
    n = len(series)
    centred = series - series.mean()
    size = 1 << (n + lags).bit_length()
    power = np.square(np.abs(np.fft.rfft(centred, size)))
    return np.asarray(np.fft.irfft(power, size)[: lags + 1] / n)
