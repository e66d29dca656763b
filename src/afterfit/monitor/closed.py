"""Windows that are over: the points of each, and what is said of it."""

from __future__ import annotations

import msgspec

from afterfit.monitor.budget import Budget
from afterfit.monitor.first_rows import FirstRows
from afterfit.monitor.live import add_live_counts
from afterfit.monitor.log import iso
from afterfit.monitor.notes import Notes, Say
from afterfit.monitor.producers import budget_of, produce
from afterfit.monitor.settings import Watch
from afterfit.monitor.setup import Kept, Setup
from afterfit.monitor.shown import DISTRIBUTED, commonest, faded, plain
from afterfit.monitor.signals.schema import schema_points
from afterfit.monitor.state import WindowState
from afterfit.monitor.watched import Watched
from afterfit.records.signals import SignalPoint

__all__ = ["Closed"]


class Closed:
    """Makes the points of windows that are over; ``tell`` hears of each window."""

    def __init__(self, setup: Setup, kept: Kept, notes: Notes, tell: Say) -> None:
        self._setup, self._kept, self._notes, self._tell = setup, kept, notes, tell

    def points(self, state: WindowState, scopes: int = 1) -> list[SignalPoint]:
        """Return the points of a window, one of ``scopes`` that share the budget of alarms."""
        setup = self._setup
        watched = setup.watched_of(state.scope)
        if watched is None:
            return []
        if setup.counts is not None:
            add_live_counts(setup.counts, state)
        points = produce(
            state,
            watched,
            setup.watch,
            budget_of(setup.watch, scopes),
            failed=self._notes.failed,
            producers=(*setup.producers, self._first_rows, self._schema),
        )
        if setup.windows_only:
            points = plain(points)
        self._notes.judged(points)
        self._tell_of(state, points)
        return points

    def faded(self, points: list[SignalPoint]) -> list[SignalPoint]:
        """Return the points of older windows that lose their distributions as these come."""
        if self._setup.windows_only:
            return []
        windows = {(p.start, p.scope.model) for p in points if p.signal in DISTRIBUTED}
        store, shown = self._setup.store, self._kept.shown
        return [point for window in sorted(windows) for point in faded(store, shown, *window)]

    def _tell_of(self, state: WindowState, points: list[SignalPoint]) -> None:
        unjudged = [p for p in points if p.state in ("insufficient", "cannot_tell")]
        self._tell(
            "window",
            scope=msgspec.to_builtins(state.scope),
            start=iso(state.start),
            end=iso(state.end),
            n=state.n,
            points=len(points),
            alarmed=sum(point.state == "alarm" for point in points),
            unjudged=len(unjudged),
            why=commonest(unjudged),
        )

    def _first_rows(
        self, state: WindowState, watched: Watched, watch: Watch, budget: Budget
    ) -> list[SignalPoint]:
        """Return train/serve skew in the first rows of a version; a backfill has no first ones."""
        if self._setup.windows_only or state.same or not state.scope.digest:
            return []
        found = self._kept.first.setdefault(state.scope.digest, FirstRows())
        return found.judge(state, watched, watch, budget)

    def _schema(
        self, state: WindowState, watched: Watched, watch: Watch, budget: Budget
    ) -> list[SignalPoint]:
        """Return how the columns of a foreign log differ; our own servers refuse such rows."""
        del watch, budget
        if self._setup.changes_of is None or state.scope.slice:
            return []
        changes = self._setup.changes_of(watched)
        return schema_points(changes, state.scope, (state.start, state.end), state.n)
