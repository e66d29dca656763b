"""Rates that change over time: straight pieces, and the moments of requests that follow them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
FLAT = 1e-9


class Profile:
    """Requests/s over time, linear between (s, requests/s) points; a jump has two of one moment.

    Before the first point and after the last there are none.
    """

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self.at, self.rates = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
        pieces = np.diff(self.at) * (self.rates[1:] + self.rates[:-1]) / 2
        self.counts: Floats = np.concatenate([[0.0], np.cumsum(pieces)])

    @property
    def seconds(self) -> float:
        """Return when the last point is."""
        return float(self.at[-1])

    @property
    def expected(self) -> float:
        """Return how many requests it has on average."""
        return float(self.counts[-1])

    def poisson(self, random: np.random.Generator) -> Floats:
        """Return the moments of independent requests at these rates.

        Moments of rate 1 are drawn until the expected count and carried back through it: the
        integral of the rate at a Poisson process of that rate is one of rate 1 (Cinlar 1975).
        """
        return self.moments(unit_times(self.expected, random))

    def integral(self, until: Floats) -> Floats:
        """Return how many requests are due on average before each moment, for ascending ones."""
        at = np.clip(until, self.at[0], self.at[-1])
        piece = np.clip(np.searchsorted(self.at, at, side="right") - 1, 0, len(self.at) - 2)
        passed, width = at - self.at[piece], self.at[piece + 1] - self.at[piece]
        rise = self.rates[piece + 1] - self.rates[piece]
        slope = np.divide(rise, width, out=np.zeros_like(rise), where=width > 0)
        part = passed * (self.rates[piece] + slope * passed / 2)
        return np.asarray(self.counts[piece] + part, dtype=np.float64)

    def moments(self, counts: Floats) -> Floats:
        """Return when so many requests have been due, for ascending counts within the profile."""
        piece = np.searchsorted(self.counts, counts, side="right") - 1
        piece = np.clip(piece, 0, len(self.at) - 2)
        start, width = self.at[piece], self.at[piece + 1] - self.at[piece]
        low, rise = self.rates[piece], self.rates[piece + 1] - self.rates[piece]
        more = counts - self.counts[piece]
        slope = np.divide(rise, width, out=np.zeros_like(rise), where=width > 0)
        # The root of slope/2 t^2 + low t = more, in the form that holds for a slope of 0 too.
        root = np.sqrt(np.maximum(low**2 + 2 * slope * more, 0.0))
        passed = np.divide(2 * more, low + root, out=np.zeros_like(more), where=low + root > FLAT)
        return np.asarray(start + np.minimum(passed, width), dtype=np.float64)


def unit_times(until: float, random: np.random.Generator) -> Floats:
    """Return the moments of a Poisson process of rate 1 in [0, until)."""
    return within(random.standard_exponential, until)


def within(draw: Callable[[int], Floats], until: float) -> Floats:
    """Return the running sums of the gaps that ``draw(count)`` gives, those below ``until``."""
    parts: list[Floats] = []
    last = 0.0
    while last < until:
        left = until - last
        gaps = np.asarray(draw(int(left + 6 * np.sqrt(left) + 16)), dtype=np.float64)
        sums = last + np.cumsum(gaps)
        parts.append(sums)
        last = float(sums[-1])
    if not parts:
        return np.empty(0)
    times = np.concatenate(parts)
    return np.asarray(times[times < until], dtype=np.float64)
