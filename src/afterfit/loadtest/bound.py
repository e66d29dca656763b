"""How large the true share of misses may be, from requests that do not miss independently.

A queue that is long for one request is long for the next: misses come in clumps, so n requests say
as much as fewer independent ones. Their number is n over the design effect, the variance of the
count of misses over that of a binomial one (Kish 1965; for shares Korn and Graubard 1998, Surv.
Methodol. 24:193). A run with few misses cannot show how they clump, but its latencies can: requests
above a lower level clump alike, or more, and there are many of them. The largest of the effects at
these levels counts. How often this certifies what is not so is measured in bench/certificates.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afterfit.loadtest.shot import Floats
from afterfit.loadtest.slo import Slo
from afterfit.stats.interval import student_quantile
from afterfit.stats.units import Units

__all__ = ["Bound", "Clumps", "bound_of", "clumps_of", "lower_bound", "needed", "upper_bound"]

LEVELS = (10.0, 5.0)
"""How many times the allowed share lies above the lower levels: the 90th and 95th percentile where
the objective is a 99th."""
MOST_SHARE = 0.5
MOST_REQUESTS = 1 << 40


class Clumps(NamedTuple):
    """By how much clumps blow up the variance of a share, at least 1, and how sure that is."""

    effect: float
    degrees: float

    def effective(self, n: float, level: float) -> float:
        """Return how many independent requests say as much as n, for a two-sided ``level``.

        Student's quantile in place of the normal one is for the effect, which is an estimate.
        """
        ratio = student_quantile(math.inf, level) / student_quantile(self.degrees, level)
        return n / self.effect * ratio**2


class Bound(NamedTuple):
    """``misses`` of ``n`` requests, worth ``effective`` ones; the true share is in low..upper."""

    n: int
    misses: int
    effective: float
    low: float
    upper: float


def upper_bound(misses: float, n: float, confidence: float) -> float:
    """Return the share that is exceeded with at most 1 - ``confidence``, for independent misses.

    Exact for whole numbers (Clopper and Pearson 1934, Biometrika 26:404): with 99 % confidence 459
    requests without a miss bound the share by 1 %.
    """
    from scipy.special import betaincinv

    return float(betaincinv(misses + 1, n - misses, confidence)) if misses < n else 1.0


def lower_bound(misses: float, n: float, confidence: float) -> float:
    """Return the share that is undercut with at most 1 - ``confidence``; as `upper_bound`."""
    from scipy.special import betaincinv

    return float(betaincinv(misses, n - misses + 1, 1 - confidence)) if misses > 0 else 0.0


def needed(misses: int, share: float, confidence: float) -> int:
    """Return how many independent requests with so many misses bound their share by ``share``."""
    low, high = misses, misses + 1
    while upper_bound(misses, high, confidence) > share:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        holds = upper_bound(misses, middle, confidence) <= share
        low, high = (low, middle) if holds else (middle, high)
    return high


def clumps_of(latency_ms: Floats, slo: Slo) -> Clumps:
    """Return how requests (in the order in which they were due) clump above the objective."""
    ordered = np.sort(latency_ms)
    n = len(ordered)
    shares = [min(MOST_SHARE, slo.allowed * times) for times in LEVELS]
    places = [max(0, n - 1 - math.floor(share * n)) for share in shares]
    found = [_clumps(~(latency_ms <= level)) for level in (slo.limit_ms, *ordered[places])]
    return Clumps(max(each.effect for each in found), min(each.degrees for each in found))


def _clumps(above: npt.NDArray[np.bool_]) -> Clumps:
    n = len(above)
    share = float(above.mean())
    if not 0.0 < share < 1.0:
        return Clumps(1.0, n - 1.0)
    spread = Units("blocks", np.arange(n), n).spread((above - share) / n)
    if math.isnan(spread.error):
        return Clumps(float(n), 1.0)
    return Clumps(max(1.0, spread.error**2 * n / (share * (1.0 - share))), spread.degrees)


def bound_of(latency_ms: Floats, slo: Slo, confidence: float) -> Bound:
    """Return the bounds of the true share of misses, each at a one-sided ``confidence``.

    ``latency_ms`` (shape [n], infinite for what failed) is in the order in which requests were due.
    """
    n = len(latency_ms)
    misses = int(np.count_nonzero(~(latency_ms <= slo.limit_ms)))
    if n < 2:
        return Bound(n, misses, float(n), 0.0, 1.0)
    effective = clumps_of(latency_ms, slo).effective(n, 2 * confidence - 1)
    counted = misses * effective / n
    return Bound(
        n,
        misses,
        effective,
        lower_bound(counted, effective, confidence),
        upper_bound(counted, effective, confidence),
    )


def further(bound: Bound, share: float, confidence: float) -> int | None:
    """Return how many more requests like these would bound their share by ``share``.

    None where no number would: the share of misses seen is not below it.
    """
    if bound.misses >= share * bound.n:
        return None
    scale = bound.effective / bound.n
    low, high = bound.n, 2 * max(1, bound.n)

    def holds(n: int) -> bool:
        counted = bound.misses / bound.n * n * scale
        return upper_bound(counted, n * scale, confidence) <= share

    while not holds(high):
        low, high = high, 2 * high
        if high > MOST_REQUESTS:
            return None
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high - bound.n
