"""The upper tail of surprises: fitted to windows that were drawn, and read where they are rare.

How often a surprise is exceeded falls exponentially, since a surprise is -ln p.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["Beyond", "Tail", "beyond_of_columns", "beyond_of_windows", "fitted"]

FloatArray = npt.NDArray[np.float64]
TAIL = 0.05
"""The chance that a tail begins at."""
OF_WINDOWS, OF_COLUMNS = 0.2, 0.05
"""The share that a tail is fitted to, of windows and of columns that were drawn by themselves."""
PRIOR = 20
"""The slope of exact p-values is 1: it counts as much as this many windows."""
_MOST = 50.0


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """The upper tail for windows of ``n`` rows.

    The worst column of a window is more surprising than ``start`` nats in one window of twenty;
    beyond it the rate falls by a factor e with each 1 / ``slope`` nats. The slope is known from
    ``units`` independent parts of the reference, so it has a relative variance of 2 / units; for
    the rate to be right over all references the tail is that of a mean over slopes (a Pareto one).
    """

    n: int
    start: float
    slope: float
    units: float = 1e6

    def threshold(self, chance: float) -> float:
        """Return the surprise that so many windows exceed, in nats."""
        return self.start + self._rise(_intensity(TAIL) - _intensity(chance))

    def chance(self, threshold: float) -> float:
        """Return the share of windows that exceed a surprise; above a twentieth it is rough."""
        half, far = self.units / 2, (threshold - self.start) * self.slope
        fallen = half * math.log1p(far / half) if far > 0 else far
        return -math.expm1(-math.exp(min(_intensity(TAIL) - fallen, _MOST)))

    def _rise(self, fallen: float) -> float:
        """Return by how many nats a threshold rises while the log of the rate falls so far."""
        half = self.units / 2
        return half * math.expm1(fallen / half) / self.slope if fallen > 0 else fallen / self.slope

    def moved(self, fallen: float) -> Tail:
        """Return the same tail where it begins at a chance whose log is so much lower."""
        slower = math.exp(-max(fallen, 0.0) / (self.units / 2))
        return msgspec.structs.replace(
            self, start=self.start + self._rise(fallen), slope=self.slope * slower
        )


@dataclass(frozen=True)
class Beyond:
    """The surprises of windows of ``n`` rows beyond ``start``.

    ``rate`` is how often it is exceeded (-ln P(no column exceeds)), ``count`` how many did, and
    ``excess`` by how much they did in all, as if exponential.
    """

    n: int
    start: float
    rate: float
    count: int
    excess: float


def beyond_of_columns(n: int, surprises: FloatArray) -> Beyond:
    """Return what is beyond where columns were drawn by themselves, from (windows, columns)."""
    values = np.sort(surprises, axis=None)[::-1]
    count = max(1, min(len(values) - 1, round(OF_COLUMNS * len(values))))
    start = float(values[count])
    return Beyond(n, start, count / len(surprises), count, float((values[:count] - start).sum()))


def beyond_of_windows(n: int, surprises: FloatArray) -> Beyond:
    """Return what is beyond of the worst columns, from (windows, columns).

    It is -ln P(no column exceeds) that falls exponentially. So far in, the mean excess of a worst
    column is greater than one over the slope, by the ratio of two integrals.
    """
    values = np.sort(surprises.max(axis=1))[::-1]
    count = max(1, min(len(values) - 1, round(OF_WINDOWS * len(values))))
    rate, start = -math.log1p(-count / len(values)), float(values[count])
    ratio = (rate - rate**2 / 4 + rate**3 / 18) / -math.expm1(-rate)
    return Beyond(n, start, rate, count, float((values[:count] - start).sum()) / ratio)


def fitted(
    beyond: Sequence[Beyond], units: float, *, alike: bool, alone: bool = False
) -> Iterator[Tail]:
    """Yield the tails, of one slope where sizes are ``alike``: all but those of blocks.

    A slope above that of exact p-values is not believed so far out. Parts that are drawn from
    ``units`` of them differ less from these than the parts to come will: by one in so many. Of a
    column that is ``alone`` also where the tail begins hangs on the slope, as its rate falls from
    1 at no surprise; several columns are not all mistaken in the same direction.
    """
    more = units / max(units - 1, 1.0)
    for each in beyond:
        parts = beyond if alike else [each]
        count, excess = sum(part.count for part in parts), sum(part.excess for part in parts)
        slope = min(1.0, (count + PRIOR) / (excess + PRIOR))
        tail = Tail(n=each.n, start=each.start * more, slope=slope / more, units=units)
        if alone:
            tail = _from_nothing(tail, -math.log(-math.expm1(-each.rate)))
        yield tail.moved(math.log(each.rate) - _intensity(TAIL))


def _from_nothing(tail: Tail, fallen: float) -> Tail:
    """Return a tail that is a mean over slopes from no surprise on; it fell so far to its start."""
    if fallen <= 0:
        return tail
    half = tail.units / 2
    return msgspec.structs.replace(
        tail,
        start=tail.start * half * math.expm1(fallen / half) / fallen,
        slope=tail.slope * math.exp(-fallen / half),
    )


def _intensity(chance: float) -> float:
    """Return ln(-ln(1 - chance)), about the logarithm of a small chance."""
    return math.log(-math.log1p(-chance))
