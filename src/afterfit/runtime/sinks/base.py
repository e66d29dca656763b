"""What a sink of events is, and how it says that something is wrong: once, until it is well."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from afterfit.runtime.event_batch import EventBatch
from afterfit.runtime.log import log_line

__all__ = ["EventSink", "Trouble"]


class EventSink(Protocol):
    """Where events go. Both methods may block or raise OSError; predictions never wait for them.

    One thread calls all methods. Two more are called where a sink has them: ``tick()`` about once
    a second for what is due without new events, and ``hurry()``, from another thread, when the
    server stops: whatever waits for better times should give up soon. A sink that tries again by
    itself has a ``trouble`` to say why it waits.
    """

    def write(self, batch: EventBatch) -> None:
        """Take a batch; what it took is lost by a defect of the machine only."""
        ...

    def close(self) -> None:
        """Make durable what was written."""
        ...


class Trouble:
    """What is wrong with one thing: said when it begins, and when it was well for a while.

    ``what`` names the thing in the log. ``calm_seconds`` without trouble mean that it is well.
    ``since`` is when trouble began (monotonic seconds), or None.
    """

    def __init__(self, what: str, *, calm_seconds: float = 5.0) -> None:
        self.what = what
        self.calm_seconds = calm_seconds
        self._lock = threading.Lock()
        self.since: float | None = None
        self._last = 0.0
        self._lost = 0

    def bad(self, why: str, lost: int = 0) -> None:
        """Take note of trouble, and of how many events it cost."""
        with self._lock:
            first, now = self.since is None, time.monotonic()
            self.since = now if self.since is None else self.since
            self._last = now
            self._lost += lost
        if first:
            log_line({"event": "events_trouble", "what": self.what, "why": why[:500]})

    def good(self) -> None:
        """Take note that it works."""
        now = time.monotonic()
        with self._lock:
            if self.since is None or now - self._last < self.calm_seconds:
                return
            told = {"lost": self._lost, "seconds": round(now - self.since, 1)}
            self.since, self._lost = None, 0
        log_line({"event": "events_recovered", "what": self.what, **told})
