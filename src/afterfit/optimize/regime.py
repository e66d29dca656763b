"""Which form answers few rows a call, which one many, and from how many rows on."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["MIX", "Regime", "regime"]

MIX = 1.2
"""So many times faster must a second form be to be worth loading both, and its library."""

Medians = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Regime:
    """``small`` answers every call, or where ``large`` is set those of less than ``rows`` rows."""

    small: str
    large: str = ""
    rows: int = 0

    def form(self, rows: int) -> str:
        """Return the form that answers so many rows."""
        return self.large if self.large and rows >= self.rows else self.small


def regime(
    timings: Mapping[str, Mapping[int, np.ndarray]],
    *,
    latency: bool = True,
    tolerated: float = 0.10,
    alone: Collection[str] = (),
) -> Regime:
    """Return which form ships for calls of which size.

    ``timings`` are µs of each call, by form (all of them exact, the preferred first) and rows a
    call. A form within ``tolerated`` of the fastest counts as no slower. One that is no slower
    at both ends ships alone; else the fastest with few rows and the fastest with many ship
    together, where the second is `MIX` times faster. Forms of ``alone`` are never mixed, and
    where they would be, ``latency`` says that few rows count, and not many.

    The number of rows is where the lines through both forms' medians cross, rounded to a power
    of two: times differ a little from run to run, and what ships should not.
    Raises ValueError where no form was timed.
    """
    medians = _medians(timings)
    sizes = sorted(set.intersection(*(set(known) for known in medians.values())))
    if not sizes:
        raise ValueError("no form was timed")
    few, many = sizes[0], sizes[-1]
    good = [f for f in medians if all(_near(medians, f, n, tolerated) for n in (few, many))]
    if good:
        return Regime(good[0])
    small, large = (
        next(f for f in medians if _near(medians, f, n, tolerated)) for n in (few, many)
    )
    gained = min(
        medians[large][few] / medians[small][few], medians[small][many] / medians[large][many]
    )
    if {small, large} & set(alone):
        return Regime(small if latency else large)
    if gained < MIX:
        return Regime(small if latency else large)
    return Regime(small, large, _crossing(medians[small], medians[large], few, many))


def _medians(timings: Mapping[str, Mapping[int, np.ndarray]]) -> Medians:
    found = {
        form: {rows: float(np.median(spent)) for rows, spent in known.items() if len(spent)}
        for form, known in timings.items()
        if known
    }
    if not found:
        raise ValueError("no form was timed")
    return found


def _near(medians: Medians, form: str, rows: int, tolerated: float) -> bool:
    fastest = min(known[rows] for known in medians.values())
    return medians[form][rows] <= fastest * (1 + tolerated)


def _crossing(small: Mapping[int, float], large: Mapping[int, float], few: int, many: int) -> int:
    """Return the power of two near the rows from which ``large`` is the faster one."""
    sizes = sorted(set(small) & set(large))
    above = next(rows for rows in sizes if small[rows] > large[rows])
    below = max((rows for rows in sizes if rows < above), default=few)
    gap = [small[rows] - large[rows] for rows in (below, above)]
    share = -gap[0] / (gap[1] - gap[0])
    crossing = below + share * (above - below)
    return max(few + 1, min(many, 1 << round(math.log2(max(1.0, crossing)))))
