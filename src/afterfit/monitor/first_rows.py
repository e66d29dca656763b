"""The first rows of a version beside its training: nothing had time to drift between the two."""

from __future__ import annotations

import msgspec

from afterfit.core.fingerprint import Fingerprint
from afterfit.monitor.budget import Budget
from afterfit.monitor.settings import Watch
from afterfit.monitor.signals.skew import first_windows
from afterfit.monitor.state import WindowState
from afterfit.monitor.watched import Watched
from afterfit.records.signals import SignalPoint

__all__ = ["ENOUGH", "FirstRows"]

ENOUGH = 1000
"""Rows that are gathered, from as many windows as it takes, before they are judged."""
GOOD_WINDOWS = 3
MOST_CHANCE = 0.01


class FirstRows(msgspec.Struct, kw_only=True):
    """What a version's first windows held, until they were judged; ``left`` windows are to come.

    Where they alarm, each later window is judged until three in a row are good, so that the alarm
    ends when what was computed differently is mended.
    """

    counts: Fingerprint | None = None
    left: int = 1

    def judge(
        self, state: WindowState, watched: Watched, watch: Watch, budget: Budget
    ) -> list[SignalPoint]:
        """Return the points of a window that completes the first rows, or that comes after them."""
        reference = watched.fingerprint
        if not self.left or reference is None or not state.inputs_n or state.scope.slice:
            return []
        if self.counts is None:
            self.counts = reference.blank()
        self.counts.merge(state.counts)
        if self.counts.n_ref < max(ENOUGH, watch.min_rows):
            return []
        points = first_windows(
            reference, self.counts, state.scope, (state.start, state.end), min_rows=watch.min_rows,
            chance=min(MOST_CHANCE, budget.of_windows(1.0)),
        )  # fmt: skip
        self.counts = None
        alarmed = any(point.state == "alarm" for point in points)
        self.left = GOOD_WINDOWS if alarmed else self.left - 1
        return points
