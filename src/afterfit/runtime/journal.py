"""Events and live counts, made beside the requests and never in their way.

The request path appends one object to a bounded queue. A thread turns the queue into events,
counts and frames. What does not fit, and what the sink cannot take, is counted.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from afterfit.core.event import Event, new_id
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame, Predictions, concatenate
from afterfit.core.signature import Signature
from afterfit.runtime.counts import LiveCounts
from afterfit.runtime.decode import Flags
from afterfit.runtime.events import EventSink
from afterfit.runtime.log import log_line
from afterfit.runtime.metrics import Metrics

__all__ = ["Capture", "Journal", "Served", "refusal"]

MAX_BATCH = 4096
FLUSH_SECONDS = 0.25
SNAPSHOT_SECONDS = 10.0


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """Which inputs an event keeps: none (as long as nobody asks), the named columns, or all."""

    mode: Literal["none", "columns", "all"] = "none"
    columns: tuple[str, ...] = ()

    def inputs(self, frame: Frame, row: int) -> dict[str, Any] | None:
        """Return one row's inputs as plain values, or None."""
        if self.mode == "none":
            return None
        names = frame.keys() if self.mode == "all" else [n for n in self.columns if n in frame]
        return {name: _plain(frame[name][row]) for name in names}


@dataclass(frozen=True, slots=True)
class Served:
    """The rows of one answered request; ``ts`` is microseconds since 1970."""

    model: str
    version: int
    digest: str
    signature: Signature
    fingerprint: Fingerprint
    frame: Frame
    predictions: Predictions
    flags: Flags
    ids: list[str]
    request_id: str = ""
    entities: list[str] | None = None
    infer_us: int = 0
    ts: int = field(default_factory=lambda: time.time_ns() // 1000)


class Journal:
    """The queue and its thread; no ``sink`` means no events, no ``folder`` no live counts."""

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
        self.sink = sink
        self.folder = folder
        self.capture = capture or Capture()
        self.capacity = capacity
        self.counts = LiveCounts(worker)
        self._queue: deque[Served | Event] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._snapshot_due = time.monotonic() + SNAPSHOT_SECONDS
        self._thread = threading.Thread(target=self._run, name="afterfit-events", daemon=True)
        self._thread.start()

    def put(self, item: Served | Event) -> None:
        """Queue an answered request or a refusal; what is beyond the capacity is only counted."""
        rows = len(item.ids) if isinstance(item, Served) else 1
        with self._lock:
            if self._waiting + rows > self.capacity:
                self.metrics.add("events_dropped", rows)
                return
            self._waiting += rows
            waiting = self._waiting
        self._queue.append(item)
        if waiting > self.capacity // 2:
            self._wake.set()

    def flush(self, timeout: float = 5.0) -> bool:
        """Return whether everything queued so far was handled within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while self._waiting and time.monotonic() < deadline:
            self._wake.set()
            self._thread.join(0.005)
        return self._waiting == 0

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued, save counts and end; a stalled sink is left after ``timeout``."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            self._drain()
            if time.monotonic() >= self._snapshot_due:
                self._snapshot()
        self._drain()
        self._snapshot()
        self._close_sink()

    def _drain(self) -> None:
        while self._queue:
            items: list[Served | Event] = []
            rows = 0
            while self._queue and rows < MAX_BATCH:
                item = self._queue.popleft()
                items.append(item)
                rows += len(item.ids) if isinstance(item, Served) else 1
            try:
                self._count([item for item in items if isinstance(item, Served)])
                self._write(items, rows)
            except Exception:  # noqa: BLE001 - a defect must not end the thread, unseen
                self.metrics.add("events_failed", rows)
                log_line({"event": "error", "trace": traceback.format_exc()})
            finally:
                with self._lock:
                    self._waiting -= rows

    def _write(self, items: list[Served | Event], rows: int) -> None:
        if self.sink is None:
            return
        events = [event for item in items for event in self._events(item)]
        try:
            self.sink.write(events)
        except (OSError, ValueError):  # ValueError: the stream was closed
            self.metrics.add("events_failed", rows)
        else:
            self.metrics.add("events_written", rows)

    def _events(self, item: Served | Event) -> list[Event]:
        if isinstance(item, Event):
            return [msgspec.structs.replace(item, endpoint=self.endpoint)]
        predictions, signature = item.predictions, item.signature
        classes = signature.classes
        codes = None if predictions.values is not None else signature.codes(predictions).tolist()
        chances = predictions.probabilities
        values = predictions.values
        return [
            Event(
                event_id=event_id,
                kind="served",
                ts=item.ts,
                endpoint=self.endpoint,
                model=item.model,
                version=item.version,
                digest=item.digest,
                request_id=item.request_id,
                row=row,
                entity=item.entities[row] if item.entities else "",
                label=None if codes is None else classes[codes[row]],
                value=None if values is None else float(values[row]),
                probabilities=() if chances is None else tuple(chances[row].tolist()),
                infer_us=item.infer_us,
                flags=item.flags.of(row),
                inputs=self.capture.inputs(item.frame, row),
            )
            for row, event_id in enumerate(item.ids)
        ]

    def _count(self, items: list[Served]) -> None:
        # One update for many requests: it costs about as much as one for a single row.
        if self.folder is None:
            return
        groups: dict[tuple[str, int, str], list[Served]] = {}
        for item in items:
            groups.setdefault((item.model, item.version, item.digest), []).append(item)
        for key, group in groups.items():
            first = group[0]
            frame = {
                name: np.concatenate([_as_counted(item.frame[name]) for item in group])
                for name in first.frame
            }
            predictions = concatenate([item.predictions for item in group])
            scores = predictions.score(first.signature.positive_index)
            self.counts.update(key, first.fingerprint, frame, scores)

    def _snapshot(self) -> None:
        self._snapshot_due = time.monotonic() + SNAPSHOT_SECONDS
        if self.folder is None or not self.counts.windows:
            return
        try:
            self.counts.save(self.folder)
        except OSError:
            self.metrics.add("events_failed", 1)

    def _close_sink(self) -> None:
        try:
            if self.sink is not None:
                self.sink.close()
        except (OSError, ValueError):
            self.metrics.add("events_failed", 1)


def refusal(
    kind: Literal["refused", "failed"],
    error: str,
    model: tuple[str, int, str],
    request_id: str = "",
) -> Event:
    """Return the event of a request without predictions; ``model`` is (name, version, digest)."""
    name, version, digest = model
    return Event(
        event_id=new_id(),
        kind=kind,
        ts=time.time_ns() // 1000,
        model=name,
        version=version,
        digest=digest,
        request_id=request_id,
        error=error[:500],
    )


def _as_counted(values: np.ndarray) -> np.ndarray:
    # A request with a missing boolean has objects where another has bools; objects hold both.
    return values.astype(object) if values.dtype.kind == "b" else values


def _plain(value: Any) -> Any:
    item = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(item, float) and item != item else item  # noqa: PLR0124 - NaN
