"""The universal scalability law: throughput by number of workers.

``X(N) = rate * N / (1 + contention * (N - 1) + coherency * N * (N - 1))``: what one worker does,
the share of work that only one can do at a time, and what pairs of workers cost each other.
Source: Gunther, "Guerrilla Capacity Planning" (2007), chapter 4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afterfit.errors import InputError

__all__ = ["LEAST_POINTS", "MOST_BEYOND", "Usl", "UslFit", "fit_usl"]

LEAST_POINTS = 4
"""Three numbers are fitted; with fewer different numbers of workers nothing is left to judge by."""
MOST_BEYOND = 2.0
"""A curve is not read beyond so many times the most workers that were measured: fitted on the
first third of a curve the same law put its peak at 30,708 workers instead of 35."""
_RESAMPLES = 400


class Usl(NamedTuple):
    """The three numbers of the law: requests/s of one worker, and two shares (>= 0)."""

    rate: float
    contention: float
    coherency: float

    def throughput(self, workers: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return requests/s by number of workers."""
        n = np.asarray(workers, dtype=np.float64)
        slowed = 1.0 + self.contention * (n - 1.0) + self.coherency * n * (n - 1.0)
        return np.asarray(self.rate * n / slowed, dtype=np.float64)

    @property
    def peak(self) -> float:
        """Return the number of workers beyond which more do less; infinity where there is none."""
        if self.coherency <= 0:
            return math.inf
        return math.sqrt(max(1.0 - self.contention, 0.0) / self.coherency)


class UslFit(NamedTuple):
    """The law that fits best, and those that fit resampled measurements.

    ``measured`` is the most workers that were measured; ``points`` how many measurements.
    """

    best: Usl
    resampled: tuple[Usl, ...]
    measured: int
    points: int

    def at(self, workers: int, level: float = 0.95) -> tuple[float, float, float]:
        """Return requests/s at so many workers, with the bounds of a percentile interval.

        Raises InputError beyond `MOST_BEYOND` times what was measured.
        """
        if workers > self.most:
            raise InputError(
                f"{workers} workers are too many to say anything of",
                why=f"at most {self.measured} were measured, and the curve is read to {self.most}",
                fix="measure with more workers",
            )
        found = np.array([float(each.throughput(workers)) for each in self.resampled])
        low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
        return float(self.best.throughput(workers)), float(low), float(high)

    @property
    def most(self) -> int:
        """Return the most workers that the curve is read at."""
        return int(MOST_BEYOND * self.measured)

    def bounds(self, level: float = 0.95) -> tuple[tuple[float, float], ...]:
        """Return the percentile interval of rate, contention, coherency and peak."""
        tails = [(1 - level) / 2, (1 + level) / 2]
        columns = [*zip(*self.resampled, strict=True), [each.peak for each in self.resampled]]
        # The method keeps infinite peaks: a mean of one and a finite one would be no bound.
        return tuple(
            (float(low), float(high))
            for low, high in (np.quantile(c, tails, method="nearest") for c in columns)
        )


def fit_usl(workers: npt.ArrayLike, throughput: npt.ArrayLike, seed: int) -> UslFit:
    """Return the law for measured requests/s by number of workers.

    Residuals are relative, since larger throughputs scatter more; intervals come from 400
    refits with residuals drawn anew (widened by n / (n - 3), as three numbers are fitted).
    Raises InputError for fewer than `LEAST_POINTS` different numbers of workers.
    """
    n = np.asarray(workers, dtype=np.float64)
    x = np.asarray(throughput, dtype=np.float64)
    if len(np.unique(n)) < LEAST_POINTS or not (x > 0).all() or n.shape != x.shape:
        raise InputError(
            "no scaling law can be fitted",
            why=f"{len(np.unique(n))} different numbers of workers; {LEAST_POINTS} are needed",
            fix="measure with more numbers of workers: --grid",
        )
    best = _fit(n, x)
    model = best.throughput(n)
    spread = (x / model - 1.0) * math.sqrt(len(n) / max(len(n) - 3, 1))
    random = np.random.default_rng(seed)
    again = tuple(
        _fit(n, np.maximum(model * (1.0 + random.choice(spread, len(n))), 1e-9))
        for _ in range(_RESAMPLES)
    )
    return UslFit(best, again, int(n.max()), len(n))


def _fit(n: npt.NDArray[np.float64], x: npt.NDArray[np.float64]) -> Usl:
    """Return the law with the least squared relative errors of n / x, in which it is linear."""
    terms = np.column_stack([np.ones_like(n), n - 1.0, n * (n - 1.0)])
    from scipy.optimize import nnls  # a second to import, for few who ask

    found, _ = nnls(terms / (n / x)[:, None], np.ones_like(n))
    least = max(float(found[0]), 1e-12)
    return Usl(1.0 / least, float(found[1]) / least, float(found[2]) / least)
