"""How many labels of a window can have come, and whether those that came are a fair sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterfit.core.metric import Metric
from afterfit.monitor.labels import HOUR_US, LabelJoin, Series
from afterfit.monitor.score_table import ScoreTable
from afterfit.stats.interval import wilson
from afterfit.stats.two_sample import chi_squared

__all__ = [
    "AGES",
    "Maturity",
    "MaturityCurve",
    "Selection",
    "curve_of",
    "label_selection",
    "maturity_curve",
]

_HOURS = (1, 3, 6, 12, 24, 48, 72, 168, 336, 720, 1440, 2160, 4320)
AGES = tuple(hours * HOUR_US for hours in _HOURS)
"""Ages of predictions at which their labelled share is told: 1 h to 180 days, in µs."""
LEAST_ROWS = 50
RANGES = 10


class Maturity(msgspec.Struct, frozen=True, kw_only=True):
    """The share of predictions that had a label when they were ``age`` µs old."""

    age: int
    share: Metric


@dataclass(frozen=True)
class MaturityCurve:
    """The labelled share by age, ascending, of ages that at least 50 predictions have reached."""

    points: tuple[Maturity, ...]

    def of_window(self, start: int, end: int, now: int) -> float | None:
        """Return what share of a window's labels-to-come have come, by those of windows before it.

        Of its middle, at ``now`` (µs), a share from 0 to 1 of what the greatest known age has;
        None where that is not known yet.
        """
        known = [(0, 0.0), *((p.age, p.share.value or 0.0) for p in self.points)]
        if len(known) < 2 or not known[-1][1]:
            return None
        ages, shares = zip(*known, strict=True)
        age = max(0, now - (start + end) // 2)
        return float(np.interp(age, ages, shares) / shares[-1])


def maturity_curve(
    join: LabelJoin, series: Series, now: int, *, level: float = 0.95, ages: Sequence[int] = AGES
) -> MaturityCurve:
    """Return the labelled share by age of prediction, at ``now`` (µs).

    At each age only predictions count that have reached it, so young ones pull nothing down. A
    label that came before its prediction (two clocks) came at once.
    """
    key = msgspec.json.encode(series).decode()
    found = []
    for age in ages:
        n, labelled = join.query(
            "SELECT count(*), coalesce(sum(first_ts IS NOT NULL AND first_ts - ts <= ?), 0) "
            "FROM predictions WHERE series = (SELECT number FROM series WHERE key = ?) "
            "AND served AND ts <= ?",
            (age, key, now - age),
        )[0]
        if n >= LEAST_ROWS:
            found.append(Maturity(age=age, share=_share(labelled, n, level)))
    return MaturityCurve(tuple(found))


def curve_of(
    ts: NDArray[np.int64], label_ts: NDArray[np.int64], *, level: float = 0.95
) -> MaturityCurve:
    """Return the labelled share by age of predictions at ``ts`` whose label came at ``label_ts``.

    Both are µs of [n], ``label_ts`` 0 where there is none; now is the greatest of them all.
    """
    now = int(max(ts.max(initial=0), label_ts.max(initial=0)))
    found = []
    for age in AGES:
        old = (ts > 0) & (ts <= now - age)
        n = int(old.sum())
        if n >= LEAST_ROWS:
            labelled = int((old & (label_ts > 0) & (label_ts - ts <= age)).sum())
            found.append(Maturity(age=age, share=_share(labelled, n, level)))
    return MaturityCurve(tuple(found))


def _share(labelled: int, n: int, level: float) -> Metric:
    bounds = wilson(labelled, n, level)
    return Metric(
        name="labelled_share",
        value=labelled / n,
        low=bounds.low,
        high=bounds.high,
        level=level,
        n=n,
        method=bounds.method,
    )


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Whether labels depend on the score: labelled shares by range of scores, low to high.

    ``p_value`` is that of labels which do not; ``least`` and ``most`` are the smallest and greatest
    share, and ``n`` all answers with a score.
    """

    shares: tuple[float, ...]
    sizes: tuple[int, ...]
    p_value: float
    least: float
    most: float
    n: int


def label_selection(table: ScoreTable) -> Selection | None:
    """Return how the labelled share goes with the score, in up to ten ranges of equal size.

    Pearson's test of labelled against unlabelled answers by range. None for a regression, with
    fewer than 100 answers, or where all or none are labelled.
    """
    if not table.answers:
        return None
    whole = table.by_bin("answers")
    labelled = np.minimum(table.by_bin("hits") + table.by_bin("misses"), whole)
    if whole.sum() < 2 * LEAST_ROWS or labelled.sum() in (0, whole.sum()):
        return None
    ends = np.cumsum(whole) / whole.sum()
    places = np.minimum((ends - whole / (2 * whole.sum())) * RANGES, RANGES - 1).astype(int)
    sizes = np.bincount(places, whole, RANGES)
    told = np.bincount(places, labelled, RANGES)
    used = sizes >= 1
    sizes, told = sizes[used], told[used]
    shares = told / sizes
    return Selection(
        shares=tuple(shares.tolist()),
        sizes=tuple(sizes.astype(int).tolist()),
        p_value=chi_squared(told, sizes - told),
        least=float(shares.min()),
        most=float(shares.max()),
        n=int(whole.sum()),
    )
