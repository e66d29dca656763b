"""The daemon of one endpoint: reads what is new, closes windows, judges them, and goes on.

Everything that it knows is in its store, and every step changes it in one transaction: what was
read, the cursor behind it, the points, and the alarms. So it may be killed at any moment, and the
next one goes on as if nothing had been: no row counts twice, and no alarm is raised twice.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import msgspec

from afterfit.core.fingerprint import Fingerprint
from afterfit.errors import AfterfitError, UnavailableError
from afterfit.monitor.alarms import AlarmsState
from afterfit.monitor.batches import Batch, Labels
from afterfit.monitor.book import Book
from afterfit.monitor.closed import Closed
from afterfit.monitor.cut import DAY, HOUR, Windows
from afterfit.monitor.log import iso
from afterfit.monitor.notes import Notes
from afterfit.monitor.producers import budget_of
from afterfit.monitor.pulse import Pulse
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.setup import Kept, Setup
from afterfit.monitor.store import Change
from afterfit.records.signals import Alarm, Scope, SignalPoint

__all__ = ["Daemon"]

COMMIT_ROWS = 50_000
"""So many rows are read at most between two transactions: what a kill makes read again."""
HEARTBEAT = HOUR // 120
"""µs: where nothing happens, that the log was read is kept as often as this."""
BACKFILL = "afterfit monitor backfill"


class Daemon:
    """Watches one endpoint: `poll` is one step, `run` all of them."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.stopped = threading.Event()
        self._reading = self._kept_at = 0
        self._ready: list[SignalPoint] = []
        self._load()

    def run(self, poll_seconds: float) -> None:
        """Poll until ``stopped`` is set; while the store is away, wait and begin from it anew."""
        while not self.stopped.is_set():
            try:
                self.poll()
            except UnavailableError as error:
                self._tell("store_away", why=error.why or error.message)
                self._reload(poll_seconds)
            self.stopped.wait(poll_seconds)
        self.close()

    def poll(self) -> None:
        """Read what is new, close the windows that are over, and look for silence."""
        now = self.setup.clock()
        self._alarms.quiet = self.setup.quiet_of()
        late = sum(self.kept.progress.late.values())
        for item, cursor in self.setup.source.read(self.kept.cursor):
            self._take(item)
            if self.setup.labels is not None:
                self.setup.labels.take(item, cursor)
            self.kept.cursor = cursor
            self._reading += len(item)
            if self._reading >= COMMIT_ROWS:
                self._save()
            if self.stopped.is_set():
                break
        self._save()
        late = sum(self.kept.progress.late.values()) - late
        if late:
            self._tell("late", rows=late, why="their windows were closed", fix=BACKFILL)
        if not self.stopped.is_set():
            self.kept.progress.read = now
            self._close(now)
        if not self.stopped.is_set() and not self.setup.windows_only:
            self._look_at_labels(now)
            self._look_at_server(now)
            self._look_at_hours(now)
            self._look_at_versions(now)
            self._notify(now)
            self._keep_house(now)
        if now - self._kept_at >= HEARTBEAT:
            self._commit([], [])

    def close(self) -> None:
        """Stop telling people; what they were told last is kept.

        Actions under way are waited for, until ``stopped`` is set.
        """
        if self._notifier is not None:
            self._commit([], self._notifier.settle(self.stopped))
        self._commit([], [] if self._notifier is None else self._notifier.close())
        if self.setup.labels is not None:
            self.setup.labels.join.close()

    def _load(self) -> None:
        store, endpoint = self.setup.store, self.setup.endpoint
        body = store.parts(endpoint, "kept").get("kept")
        self.kept = Kept() if body is None else msgspec.msgpack.decode(body, type=Kept)
        body = store.parts(endpoint, "alarms").get("alarms")
        state = AlarmsState() if body is None else msgspec.msgpack.decode(body, type=AlarmsState)
        self._alarms = self.setup.alarms_of(state)
        tell = self.setup.notifier_of
        self._notifier = None if tell is None else tell(self._alarms)
        watch = self.setup.watch
        self._windows = Windows(
            self._reference_of,
            width_us=watch.width_us or HOUR,
            rows=watch.rows,
            slices=watch.slices,
            seed=watch.seed,
            scores_of=self._scores_of,
            unequal=self._unequal,
        )
        self._book = Book(store, endpoint, self._windows, by_count=bool(watch.rows))
        self._pulse = Pulse(self.kept, watch)
        self._notes = Notes(self.kept.progress, self._tell)
        self._closed = Closed(self.setup, self.kept, self._notes, self._tell)
        self._reading, self._ready = 0, []
        for tempo in self.kept.tempos if self.kept.progress.missing else ():
            # Since it was said, rows may have been given.
            if (watched := self.setup.watched_of(tempo.scope)) is not None:
                self._notes.missing(tempo.scope, watched)

    def _reload(self, patience_s: float) -> None:
        """Go back to what the store holds, as after a kill."""
        if self._notifier is not None:
            self._notifier.close()
        while not self.stopped.is_set():
            try:
                self._load()
            except UnavailableError:
                self.stopped.wait(patience_s)
            else:
                return

    def _reference_of(self, scope: Scope) -> Fingerprint | None:
        watched = self.setup.watched_of(scope)
        return None if watched is None else watched.reference.fingerprint

    def _scores_of(self, scope: Scope) -> ScoreTable | None:
        watched = self.setup.watched_of(scope)
        estimated = watched is not None and watched.grounds is not None
        return ScoreTable.of(watched.signature) if watched is not None and estimated else None

    def _unequal(self, batch: Batch) -> Mapping[str, tuple[int, int]]:
        watched = self.setup.watched_of(batch.scope)
        return {} if watched is None else watched.unequal(batch)

    def _take(self, item: Batch | Labels) -> None:
        if isinstance(item, Labels):
            self._pulse.take(item)
            return
        watched = self.setup.watched_of(item.scope)
        if watched is None or not len(item):
            return
        self._notes.missing(item.scope, watched)
        progress = self.kept.progress
        progress.rows += len(item)
        item = self._notes.possible(item, watched, self.setup.clock())
        progress.newest = max(progress.newest, int(item.ts.max(initial=0)))
        self._pulse.take(item)
        self._windows.add(self._in_time(item))
        if self.setup.watch.rows:
            for state in self._windows.close(0):
                self._ready += self._closed.points(state)

    def _in_time(self, batch: Batch) -> Batch:
        """Return the predictions whose windows are open; others are counted and stay in the log."""
        late = batch.ts < self.kept.progress.closed
        count = int(late.sum())
        if not count or self.setup.watch.rows:
            return batch
        version = f"{batch.scope.model}@{batch.scope.version}"
        told = self.kept.progress.late
        told[version] = told.get(version, 0) + count
        return batch.take(~late)

    def _save(self) -> None:
        """Keep what was read so far, with the cursor behind it."""
        if not self._reading:
            return
        points, self._ready = self._ready, []
        changes = self._book.changes()
        alarms = self._alarms.step(points, self.setup.clock())
        self._commit([*points, *self._closed.faded(points)], alarms, changes)
        self._book.saved()
        self._reading = 0

    def _close(self, now: int) -> None:
        """Judge the windows that ended more than the grace ago, those of one stretch at a time."""
        watch = self.setup.watch
        if watch.rows:
            return
        before = (now - watch.grace_us) // watch.width_us * watch.width_us
        for start, names, states in self._book.due(before, watch.width_us):
            points = [p for state in states for p in self._closed.points(state, len(states))]
            self.kept.progress.closed = max(self.kept.progress.closed, start + watch.width_us)
            changed = self._alarms.step(points, now)
            self._commit([*points, *self._closed.faded(points)], changed, dict.fromkeys(names))
            self._book.closed(names)
        self.kept.progress.closed = max(self.kept.progress.closed, before)

    def _look_at_labels(self, now: int) -> None:
        """Judge quality anew in windows of which labels came."""
        feed, watch = self.setup.labels, self.setup.watch
        if feed is None:
            return
        before = now - watch.grace_us if watch.rows else self.kept.progress.closed
        told = feed.tell(before, now, budget_of(watch, len(self._pulse.tempos)))
        if told.hours:
            points = [*told.points, *self.setup.also(told.points)]
            self._commit(points, self._alarms.step(points, now), told.parts)
            feed.written(told.hours)

    def _look_at_server(self, now: int) -> None:
        if self.setup.metrics is None:
            return
        try:
            text = self.setup.metrics()
        except AfterfitError as error:
            self._notes.failed("metrics", error)
            return
        self.kept.usage.update(text, now)
        self._notes.works("metrics")

    def _look_at_hours(self, now: int) -> None:
        """Look for silence in the hours that are over, and at how fast budgets of errors burn."""
        budget = budget_of(self.setup.watch, len(self._pulse.rhythms))
        for points in (self._pulse.silence(now, budget), self._pulse.burn(now)):
            if points:
                self._commit(points, self._alarms.step(points, now))

    def _look_at_versions(self, now: int) -> None:
        """End the alarms of versions that answer no more, with the reason."""
        patience = self._alarms.settings.good_windows
        ended = self._alarms.end(lambda alarm: self._pulse.gone(alarm, patience), now)
        if ended:
            self._commit([], ended)

    def _notify(self, now: int) -> None:
        changed = self._alarms.step([], now)
        if self._notifier is not None:
            changed += self._notifier.step(now)
        if changed:
            self._commit([], changed)

    def _keep_house(self, now: int) -> None:
        """Pack and drop what is old, once a day."""
        progress, store = self.kept.progress, self.setup.store
        if now - progress.upkeep < DAY:
            return
        # Windows are told anew for some time, as labels come in: those stay where writing is easy.
        store.compact(now - 2 * DAY)
        oldest = now - self.setup.watch.retention_days * DAY
        store.retain(oldest)
        if self.setup.labels is not None:
            self.setup.labels.join.prune(oldest)
        progress.upkeep = now
        self._commit([], [])

    def _commit(
        self,
        points: list[SignalPoint],
        alarms: list[Alarm],
        parts: Mapping[str, bytes | None] | None = None,
    ) -> None:
        """Keep a step whole, and then say what is new."""
        self._pulse.keep()
        kept = {
            "kept": msgspec.msgpack.encode(self.kept),
            "alarms": msgspec.msgpack.encode(self._alarms.state()),
        }
        change = Change(points=points, alarms=alarms, parts={**(parts or {}), **kept})
        self.setup.store.commit(self.setup.endpoint, change)
        self._kept_at = self.setup.clock()
        for alarm in alarms:
            self._tell("alarm", id=alarm.id, state=alarm.state, severity=alarm.severity,
                       signal=alarm.signal, subject=alarm.subject,
                       scope=msgspec.to_builtins(alarm.scope), opened=iso(alarm.opened),
                       message=alarm.ended or alarm.worst.message,
                       silenced=alarm.silenced)  # fmt: skip

    def _tell(self, event: str, **words: Any) -> None:
        self.setup.tell({"event": event, "at": iso(self.setup.clock()), **words})
