"""Waits in microseconds as counts that merge exactly: 32 bins for each doubling."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from afterfit.errors import InputError

__all__ = ["Waits"]

BINS = 32


class Waits(msgspec.Struct, kw_only=True):
    """How many waits fell in each bin; a bin is at most 1/32 wider than its lower edge.

    ``counts`` are by the number of the bin: 0 is below 1 µs. ``total_us`` is the sum.
    """

    counts: dict[int, int] = {}
    total_us: int = 0

    @property
    def n(self) -> int:
        """How many waits were counted."""
        return sum(self.counts.values())

    def update(self, waits: np.ndarray) -> None:
        """Add waits, int64 µs of [n]; negative ones are not known and not counted."""
        known = waits[waits >= 0]
        if not len(known):
            return
        fractions, exponents = np.frexp(known.astype(np.float64))
        # A fraction is in [0.5, 1), and 0 for 0: the bins of 1 µs and more begin at 1.
        bins = np.where(known > 0, (exponents - 1) * BINS + (fractions - 0.5) * (2 * BINS) + 1, 0)
        counted = np.bincount(bins.astype(np.int64), minlength=1)
        for place in np.flatnonzero(counted).tolist():
            self.counts[place] = self.counts.get(place, 0) + int(counted[place])
        self.total_us += int(known.sum())

    def merge(self, other: Waits) -> None:
        """Add other waits."""
        for place, count in other.counts.items():
            self.counts[place] = self.counts.get(place, 0) + count
        self.total_us += other.total_us

    def above(self, limit_us: float) -> int:
        """Return how many waits are in bins wholly above a limit, at most 1/32 of it too few."""
        return sum(n for place, n in self.counts.items() if _edge(place) >= limit_us)

    def halves(self) -> tuple[list[float], list[int]]:
        """Return edges in ms, two a doubling, and how many waits lie between them, for plots."""
        found: dict[int, int] = {}
        for place, count in self.counts.items():
            half = max(0, place - 1) // (BINS // 2)
            found[half] = found.get(half, 0) + count
        if not found:
            return [], []
        span = range(min(found), max(found) + 1)
        edges = [_edge(1 + half * (BINS // 2)) / 1000 for half in (*span, span.stop)]
        return edges, [found.get(half, 0) for half in span]

    def quantile(self, q: float, level: float = 0.95) -> tuple[float, float, float]:
        """Return a quantile in µs and its interval from the ranks; NaN of no waits.

        The ranks that bound it are those of the normal approximation of the binomial, as in
        Conover (1999), Practical Nonparametric Statistics, 3.2. Each is the middle of its bin.
        """
        if not 0 < q < 1:
            raise InputError(f"{q:g} is no quantile", fix="give a number between 0 and 1")
        n = self.n
        if not n:
            return math.nan, math.nan, math.nan
        from scipy.special import ndtri

        spread = float(ndtri((1 + level) / 2)) * math.sqrt(n * q * (1 - q))
        places = np.array(sorted(self.counts))
        sums = np.cumsum([self.counts[place] for place in places.tolist()])
        ranks = np.clip([n * q, n * q - spread, n * q + spread], 1, n)
        found = places[np.searchsorted(sums, ranks)]
        value, low, high = ((_edge(int(p)) + _edge(int(p) + 1)) / 2 for p in found)
        return value, low, high


def _edge(place: int) -> float:
    """Return where a bin begins, in µs."""
    if place <= 0:
        return 0.0
    doubling, part = divmod(place - 1, BINS)
    return float(2.0**doubling * (1 + part / BINS))
