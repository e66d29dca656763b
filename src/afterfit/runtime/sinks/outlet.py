"""A thread that hands batches to a sink, so that a sink that stalls stops nothing else."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from afterfit.runtime.event_batch import EventBatch
from afterfit.runtime.log import log_line
from afterfit.runtime.sinks.base import EventSink, Trouble

__all__ = ["Outlet"]

TICK_SECONDS = 1.0
Done = Callable[[bool], None]


class Outlet:
    """The queue before a sink; holds at most ``capacity`` rows, what is beyond is only counted.

    ``count`` adds to the counters ``events_written``, ``events_failed`` and ``events_dropped``. A
    write that takes longer than ``stall_seconds`` is told in the log.
    """

    def __init__(
        self,
        sink: EventSink,
        count: Callable[[str, int], None],
        capacity: int,
        *,
        stall_seconds: float = 5.0,
        calm_seconds: float = 5.0,
    ) -> None:
        self.sink = sink
        self.capacity = capacity
        self.stall_seconds = stall_seconds
        self.waiting = 0
        self._count = count
        given = getattr(sink, "trouble", None)
        self._trouble: Trouble = given or Trouble(type(sink).__name__, calm_seconds=calm_seconds)
        self._queue: deque[tuple[EventBatch, Done | None]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._busy_since = 0.0
        self._ticked = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="afterfit-sink", daemon=True)
        self._thread.start()

    def put(self, batch: EventBatch, done: Done | None = None) -> None:
        """Queue a batch; ``done`` is called with whether the sink took it."""
        with self._changed:
            # One batch alone always fits, whatever its size.
            full = bool(self.waiting) and self.waiting + batch.rows > self.capacity
            if not full:
                self.waiting += batch.rows
                self._queue.append((batch, done))
                self._changed.notify()
        if full:
            self._count("events_dropped", batch.rows)
            self._trouble.bad("events come faster than they are taken", batch.rows)
            if done is not None:
                done(False)

    def look(self) -> None:
        """Say so where a write has been going on for too long."""
        since = self._busy_since
        if since and time.monotonic() - since > self.stall_seconds:
            self._trouble.bad(f"a write has taken more than {self.stall_seconds:g} s")

    def close(self, timeout: float) -> None:
        """Write what is queued and close the sink; a stalled one is left after ``timeout``."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        until = time.monotonic() + timeout
        self._thread.join(timeout / 2)
        if self._thread.is_alive():
            self._call("hurry")
            self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self._count("events_failed", self.waiting)
            log_line({"event": "events_left", "what": self._trouble.what, "lost": self.waiting})

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._queue and not self._closing:
                    self._changed.wait(TICK_SECONDS)
                item = self._queue.popleft() if self._queue else None
                closing = self._closing
            if item is not None:
                self._write(*item)
            elif closing:
                break
            if time.monotonic() - self._ticked >= TICK_SECONDS:
                self._tick()
        self._guarded(self.sink.close)

    def _write(self, batch: EventBatch, done: Done | None) -> None:
        self._busy_since = time.monotonic()
        kept = self._guarded(lambda: self.sink.write(batch), batch.rows)
        self._busy_since = 0.0
        if kept:
            self._count("events_written", batch.rows)
            self._trouble.good()
        with self._changed:
            self.waiting -= batch.rows
        if done is not None:
            self._guarded(lambda: done(kept))

    def _tick(self) -> None:
        self._ticked = time.monotonic()
        if self._guarded(lambda: self._call("tick")) and not self._queue:
            self._trouble.good()

    def _call(self, name: str) -> None:
        method: Any = getattr(self.sink, name, None)
        if method is not None:
            method()

    def _guarded(self, act: Callable[[], object], rows: int = 0) -> bool:
        """Return whether it went well; what went wrong is counted and told."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - a defect must not end the thread, unseen
            self._count("events_failed", rows)
            self._trouble.bad(str(error) or type(error).__name__, rows)
            if not isinstance(error, OSError | ValueError):
                log_line({"event": "error", "trace": traceback.format_exc()})
            return False
        return True
