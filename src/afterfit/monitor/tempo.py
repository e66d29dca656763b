"""When predictions and labels came: counts in short stretches, for burn rates and for silence."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from afterfit.monitor.batches import Batch, Labels
from afterfit.monitor.cut import HOUR
from afterfit.monitor.settings import Objective
from afterfit.records.signals import Scope

__all__ = ["TICK", "WEEK", "Bin", "Rhythm", "Tempo"]

TICK = HOUR // 12
"""µs: 5 minutes, the shortest stretch that a burn rate is of."""
MOST_TICKS = 6 * 12 + 12
WEEK = 168 * HOUR
MOST_HOURS = 8 * 168


class Bin(msgspec.Struct):
    """Predictions of 5 minutes: how many were answered or failed, and how many were bad.

    ``bad`` is by the name of the objective. A request that was refused is the sender's mistake and
    stands in neither.
    """

    n: int = 0
    bad: dict[str, int] = {}


class Tempo(msgspec.Struct, kw_only=True):
    """The last seven hours of one version, by the beginning of 5 minutes (µs)."""

    scope: Scope
    bins: dict[int, Bin] = {}

    def update(self, batch: Batch, objectives: Sequence[Objective]) -> None:
        """Add predictions of the version; those from before the seven hours are forgotten."""
        asked = batch.kinds != "refused"
        if not asked.any():
            return
        bad = {each.name: _bad(batch, each) for each in objectives}
        starts = batch.ts // TICK * TICK
        for start in np.unique(starts[asked]).tolist():
            here = asked & (starts == start)
            kept = self.bins.setdefault(start, Bin())
            kept.n += int(here.sum())
            for name, mask in bad.items():
                kept.bad[name] = kept.bad.get(name, 0) + int((mask & here).sum())
        for start in sorted(self.bins)[:-MOST_TICKS]:
            del self.bins[start]

    def within(self, objective: str, start: int, end: int) -> tuple[int, int]:
        """Return how many predictions of a stretch there were, and how many were bad."""
        found = [each for begin, each in self.bins.items() if start <= begin < end]
        return sum(each.n for each in found), sum(each.bad.get(objective, 0) for each in found)


class Rhythm(msgspec.Struct, kw_only=True):
    """Predictions and labels of one model an hour (µs of its beginning), for eight weeks."""

    scope: Scope
    predictions: dict[int, int] = {}
    labels: dict[int, int] = {}
    last: int = 0

    def update(self, item: Batch | Labels) -> None:
        """Add predictions, shadows left out, or labels."""
        if isinstance(item, Labels):
            _count(self.labels, item.ts)
        elif item.role != "shadow":
            _count(self.predictions, item.ts)
            self.last = max(self.last, int(item.ts.max(initial=0)))


def _count(hours: dict[int, int], ts: np.ndarray) -> None:
    starts, counts = np.unique(ts[ts > 0] // HOUR * HOUR, return_counts=True)
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        hours[start] = hours.get(start, 0) + count
    for start in sorted(hours)[:-MOST_HOURS]:
        del hours[start]


def _bad(batch: Batch, objective: Objective) -> np.ndarray:
    """Return which predictions break an objective; what was not answered was not in time."""
    failed = np.asarray(batch.kinds == "failed", dtype=bool)
    if not objective.limit_us:
        return failed
    waited = batch.queue_us.clip(0) + batch.infer_us.clip(0)
    return np.asarray(failed | (waited > objective.limit_us))
