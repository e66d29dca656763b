"""Events and live counts, made beside the requests and never in their way.

The request path appends one object to a bounded queue. A thread counts the rows and makes batches
of columns of them; another hands these to the sink. What does not fit, and what the sink cannot
take, is counted.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from afterfit.runtime.counts import LiveCounts
from afterfit.runtime.event_blocks import (
    Block,
    Capture,
    Gathered,
    LabelRows,
    Refusal,
    gather,
    refusal,
    refusals,
)
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

Item = Block | Refusal | LabelRows
T = TypeVar("T", Block, Refusal, LabelRows)


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
        self._queue: deque[Item] = deque()
        self._waiting = self._refused = 0
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
        rows = len(item)
        refused = type(item) is Refusal
        with self._lock:
            waiting = self._waiting
            if (waiting and waiting + rows > self.capacity) or (
                refused and self._refused * REFUSED_SHARE >= self.capacity
            ):
                self.metrics.add("events_dropped", rows)
                return False
            self._waiting = waiting + rows
            self._refused += refused
        self._queue.append(item)
        if waiting + rows > self.capacity // 2 or type(item) is LabelRows:
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
        while self._queue:
            items: list[Item] = []
            rows = 0
            while self._queue and rows < MAX_BATCH:
                items.append(self._queue.popleft())
                rows += len(items[-1])
            self._handle(items)
            refused = sum(type(item) is Refusal for item in items)
            with self._lock:
                self._waiting -= rows
                self._refused -= refused

    def _handle(self, items: Sequence[Item]) -> None:
        for group in _groups(items):
            self._guarded(group, self._send_rows)
        refused = [item for item in items if isinstance(item, Refusal)]
        if refused:
            self._guarded(refused, self._send_refusals)
        for item in items:
            if isinstance(item, LabelRows) and not self._guarded([item], self._send_labels):
                item.tell(kept=False)

    def _guarded(self, items: list[T], act: Callable[[list[T]], None]) -> bool:
        """Return whether it went well: a defect must not end the thread, unseen."""
        try:
            act(items)
        except Exception:  # noqa: BLE001 - as above
            self._count("events_failed", sum(map(len, items)))
            log_line({"event": "error", "trace": traceback.format_exc()})
            return False
        return True

    def _send_rows(self, blocks: list[Block]) -> None:
        rows = gather(blocks)
        self._count_rows(rows)
        if self.outlet is not None:
            for batch in rows.batches(self.endpoint, self.capture):
                self.outlet.put(batch)

    def _send_refusals(self, items: list[Refusal]) -> None:
        if self.outlet is not None:
            for batch in refusals(items, self.endpoint):
                self.outlet.put(batch)

    def _send_labels(self, items: list[LabelRows]) -> None:
        for item in items:
            if self.outlet is None:
                item.tell(kept=False)
            else:
                self.outlet.put(item.batch(self.endpoint), item.done)

    def _count_rows(self, rows: Gathered) -> None:
        """Count flags and, into this hour's window, values and scores.

        One update for many requests costs about as much as one for a single row.
        """
        for name in FLAGS:
            count = int(np.count_nonzero(rows.flags.masks[name]))
            if count:
                self.metrics.add(f"flag/{name}", count)
        first = rows.blocks[0]
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


def _groups(items: Sequence[Item]) -> list[list[Block]]:
    """Return the blocks of each model in each of its roles."""
    groups: dict[tuple[object, str], list[Block]] = {}
    for item in items:
        if isinstance(item, Block):
            groups.setdefault((item.model, item.role), []).append(item)
    return list(groups.values())
