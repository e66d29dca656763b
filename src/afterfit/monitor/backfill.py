"""Windows of the past judged anew from the log, with today's thresholds; alarms are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from afterfit.errors import UsageError
from afterfit.monitor.batches import Batch, Cursor, Labels, Source
from afterfit.monitor.daemon import Daemon
from afterfit.monitor.log import iso
from afterfit.monitor.setup import Kept, Setup
from afterfit.monitor.store import Change, MonitorStore
from afterfit.monitor.store.embedded import EmbeddedStore

__all__ = ["Filled", "backfill"]


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """What was judged anew: from when until when (µs), and how much."""

    since: int
    until: int
    rows: int
    points: int


def backfill(setup: Setup, since: int, until: int, scratch: Path) -> Filled:
    """Return what was judged anew of the windows from ``since`` until ``until`` (µs).

    Both are taken back to the beginning of their window; what the daemon has not closed yet stays
    its own. ``scratch`` is a folder for windows on their way, so that memory does not grow with
    their number. Raises UsageError for a part of windows by count, which begin where the log does.
    """
    watch = setup.watch
    if watch.rows and since:
        raise UsageError(
            "windows of so many predictions are counted from the beginning of the log",
            where="--from",
            fix="leave out --from, or set a window of time: [monitor] window",
        )
    width = watch.width_us or 1
    since, until = since // width * width, min(until, _closed(setup)) // width * width
    if until <= since:
        raise UsageError(
            "no window of that period is closed yet",
            where=f"--from {iso(since)} --to {iso(until)}",
            why=f"a window closes {watch.grace_us / 60e6:g} minutes after its end",
            fix="wait for it, or give an earlier period",
        )
    store = _Scratch(scratch, setup.store)
    daemon = Daemon(
        replace(
            setup,
            source=_Between(setup.source, since, until),
            store=store,
            notifier_of=None,
            labels=None,
            metrics=None,
            windows_only=True,
            clock=lambda: until + watch.grace_us,
        )
    )
    try:
        daemon.poll()
    finally:
        store.close()
    return Filled(since=since, until=until, rows=daemon.kept.progress.rows, points=store.count)


def _closed(setup: Setup) -> int:
    """Return until when windows are closed: by the daemon, or by the clock where there is none."""
    now = setup.clock() - setup.watch.grace_us
    kept = setup.store.parts(setup.endpoint, "kept").get("kept")
    if kept is None or setup.watch.rows:
        return now
    return msgspec.msgpack.decode(kept, type=Kept).progress.closed or now


@dataclass(frozen=True)
class _Between:
    """The predictions of a period."""

    source: Source
    since: int
    until: int

    def read(self, cursor: Cursor) -> Iterator[tuple[Batch | Labels, Cursor]]:
        """Yield what the source has, without predictions of other times."""
        for item, after in self.source.read(cursor):
            if isinstance(item, Batch):
                yield item.take((item.ts >= self.since) & (item.ts < self.until)), after


class _Scratch(EmbeddedStore):
    """Sends points where they belong, and keeps the state of a daemon that soon ends."""

    def __init__(self, folder: Path, target: MonitorStore) -> None:
        super().__init__(folder)
        self._target = target
        self.count = 0

    def commit(self, endpoint: str, change: Change) -> None:
        """Keep the points for good, and then the state."""
        points = list(change.points)
        if points:
            self._target.commit(endpoint, Change(points=points))
            self.count += len(points)
        super().commit(endpoint, Change(parts=change.parts))
