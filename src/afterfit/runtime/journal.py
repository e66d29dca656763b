"""Events and live counts, made beside the requests and never in their way.

The request path adds to a bounded queue. A thread counts the rows and makes batches of columns of
them; another hands these to the sink. What does not fit, and what the sink cannot take, is counted.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from afterfit.core.event import FLAG_OOD
from afterfit.runtime.counts import LiveCounts
from afterfit.runtime.event_blocks import (
    Block,
    Capture,
    LabelRows,
    Refusal,
    refusal,
    refusals,
)
from afterfit.runtime.event_rows import Gathered, Pending, gather
from afterfit.runtime.log import log_line
from afterfit.runtime.metrics import FLAGS, Metrics
from afterfit.runtime.sinks.base import EventSink
from afterfit.runtime.sinks.outlet import Outlet

__all__ = ["Block", "Capture", "Journal", "LabelRows", "refusal"]

MAX_BATCH = 4096
FLUSH_SECONDS = 0.25
SNAPSHOT_SECONDS = 10.0
REFUSED_SHARE = 4
"""Refusals may take a fourth of the queue, so that a flood of them displaces no prediction."""

T = TypeVar("T")
Item = Block | Refusal | LabelRows
Key = tuple[tuple[str, int, str], str, bool]
"""The model, its role, and whether it stands in for another."""


class _Queue:
    """What waits: rows by model, those of a whole batch apart, refusals and labels."""

    def __init__(self) -> None:
        self.open: dict[Key, Pending] = {}
        self.full: list[Pending] = []
        self.refusals: list[Refusal] = []
        self.refused = 0
        self.labels: list[LabelRows] = []

    def add(self, block: Block) -> None:
        """Add rows."""
        key = (block.model, block.role, block.stand_in)
        pending = self.open.get(key)
        if pending is None:
            pending = self.open[key] = Pending(block)
        pending.add(block)
        if pending.rows >= MAX_BATCH:
            self.full.append(self.open.pop(key))


class Journal:
    """The queue and its threads; no ``sink`` means no events, no ``folder`` no live counts.

    ``capacity`` is in rows: of the queue, and again of what waits for the sink.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        endpoint: str = "",
        worker: str = "0",
        sink: EventSink | None = None,
        folder: Path | None = None,
        capture: Capture | None = None,
        capacity: int = 100_000,
    ) -> None:
        self.metrics = metrics
        self.endpoint = endpoint
        self.folder = folder
        self.capture = capture or Capture()
        self.capacity = capacity
        self.counts = LiveCounts(worker)
        self._queue = _Queue()
        self._waiting = 0
        self._hurry = capacity // 2
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._snapshot_due = time.monotonic() + SNAPSHOT_SECONDS
        self.outlet = None if sink is None else Outlet(sink, self._count, capacity)
        self._thread = threading.Thread(target=self._run, name="afterfit-events", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> bool:
        """Queue what became of requests, or labels; return whether it fitted.

        What is beyond the capacity is counted. One item alone always fits, whatever its size.
        """
        rows = len(item.ids) if isinstance(item, Block) else len(item)
        with self._lock:
            waiting = self._waiting + rows
            if waiting > self.capacity and waiting > rows:
                self.metrics.add("events_dropped", rows)
                return False
            if isinstance(item, Block):
                self._queue.add(item)
            elif isinstance(item, Refusal):
                if self._queue.refused * REFUSED_SHARE >= self.capacity:
                    self.metrics.add("events_dropped", rows)
                    return False
                self._queue.refusals.append(item)
                self._queue.refused += rows
            else:
                self._queue.labels.append(item)
            self._waiting = waiting
        # Whoever sends labels waits for them.
        if waiting > self._hurry or isinstance(item, LabelRows):
            self._wake.set()
        return True

    def flush(self, timeout: float = 5.0) -> bool:
        """Return whether everything queued so far was handled within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while self._busy() and time.monotonic() < deadline:
            self._wake.set()
            self._thread.join(0.005)
        return not self._busy()

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued, save counts and end; a stalled sink is left after ``timeout``."""
        until = time.monotonic() + timeout
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout)
        if self.outlet is not None:
            self.outlet.close(max(0.1, until - time.monotonic()))

    def _busy(self) -> bool:
        return self._waiting > 0 or (self.outlet is not None and self.outlet.waiting > 0)

    def _count(self, name: str, rows: int) -> None:
        # Two threads count the same things; the request path, which has counters of its own,
        # shares only what is dropped with them.
        with self._lock:
            self.metrics.add(name, rows)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            self._drain()
            if time.monotonic() >= self._snapshot_due:
                self._snapshot()
            if self.outlet is not None:
                self.outlet.look()
        self._drain()
        self._snapshot()

    def _drain(self) -> None:
        while self._waiting:
            with self._lock:
                taken, self._queue = self._queue, _Queue()
            for pending in (*taken.full, *taken.open.values()):
                self._handle(pending.rows, self._send_rows, pending)
            if taken.refusals:
                self._handle(taken.refused, self._send_refusals, taken.refusals)
            for labels in taken.labels:
                if not self._handle(len(labels), self._send_labels, labels):
                    labels.tell(kept=False)

    def _handle(self, rows: int, act: Callable[[T], None], item: T) -> bool:
        """Return whether it went well: a defect must not end the thread, unseen."""
        try:
            act(item)
        except Exception:  # noqa: BLE001 - as above
            self._count("events_failed", rows)
            log_line({"event": "error", "trace": traceback.format_exc()})
            return False
        finally:
            with self._lock:
                self._waiting -= rows
        return True

    def _send_rows(self, pending: Pending) -> None:
        rows = gather(pending)
        self._count_rows(rows)
        if self.outlet is not None:
            for batch in rows.batches(self.endpoint, self.capture):
                self.outlet.put(batch)

    def _send_refusals(self, items: list[Refusal]) -> None:
        if self.outlet is not None:
            for batch in refusals(items, self.endpoint):
                self.outlet.put(batch)

    def _send_labels(self, labels: LabelRows) -> None:
        if self.outlet is None:
            labels.tell(kept=False)
        else:
            self.outlet.put(labels.batch(self.endpoint), labels.done)

    def _count_rows(self, rows: Gathered) -> None:
        """Count flags and, into this hour's window, values and scores.

        One update for many requests costs about as much as one for a single row.
        """
        first = rows.pending.first
        for name, mask in rows.flags.masks.items():
            count = int(np.count_nonzero(mask))
            if count and name in FLAGS:
                self.metrics.add(f"flag/{name}", count)
            if count and name == FLAG_OOD and first.tally is not None:
                # Nobody else counts these, so that no other thread is in the way.
                first.tally.add("ood", count)
        if self.folder is not None:
            self.counts.update(first.model, first.fingerprint, rows.frame, rows.scores)

    def _snapshot(self) -> None:
        self._snapshot_due = time.monotonic() + SNAPSHOT_SECONDS
        if self.folder is None:
            return
        try:
            self.counts.save(self.folder)
        except OSError:
            self._count("events_failed", 1)
