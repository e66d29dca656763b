"""Events and live counts, made beside the requests and never in their way.

The request path appends one object to a bounded queue. A thread turns the queue into events,
counts and frames. What does not fit, and what the sink cannot take, is counted.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from afterfit.core.event import FLAG_STAND_IN, Event, Role, new_id
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame, Predictions, concatenate, join
from afterfit.runtime.counts import LiveCounts
from afterfit.runtime.decode import Decoder, Flags
from afterfit.runtime.events import EventSink
from afterfit.runtime.log import log_line
from afterfit.runtime.metrics import FLAGS, Metrics

__all__ = ["Block", "Capture", "Journal", "refusal"]

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
class Block:
    """The rows of requests that ran together; ``ts`` is microseconds since 1970.

    ``model`` is (name, version, digest). ``request_ids``, ``counts`` (rows) and ``queue_us`` have
    one item a request, the others one a row, in the order of the requests. ``parents`` are the
    primary's event ids of a shadow's rows.
    """

    model: tuple[str, int, str]
    decoder: Decoder
    fingerprint: Fingerprint
    frame: Frame
    predictions: Predictions
    codes: list[int]
    ids: list[str]
    request_ids: list[str]
    counts: list[int]
    queue_us: list[int]
    entities: list[str] | None = None
    infer_us: int = 0
    role: Role = "primary"
    parents: list[str] | None = None
    stand_in: bool = False
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
        self._queue: deque[Block | Event] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._snapshot_due = time.monotonic() + SNAPSHOT_SECONDS
        self._thread = threading.Thread(target=self._run, name="afterfit-events", daemon=True)
        self._thread.start()

    def put(self, item: Block | Event) -> None:
        """Queue an answered request or a refusal; what is beyond the capacity is only counted."""
        rows = len(item.ids) if isinstance(item, Block) else 1
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
            items: list[Block | Event] = []
            rows = 0
            while self._queue and rows < MAX_BATCH:
                item = self._queue.popleft()
                items.append(item)
                rows += len(item.ids) if isinstance(item, Block) else 1
            try:
                flags = self._count([item for item in items if isinstance(item, Block)])
                self._write(items, flags, rows)
            except Exception:  # noqa: BLE001 - a defect must not end the thread, unseen
                self.metrics.add("events_failed", rows)
                log_line({"event": "error", "trace": traceback.format_exc()})
            finally:
                with self._lock:
                    self._waiting -= rows

    def _write(self, items: list[Block | Event], flags: dict[int, Flags], rows: int) -> None:
        if self.sink is None:
            return
        events = [event for item in items for event in self._events(item, flags)]
        try:
            self.sink.write(events)
        except (OSError, ValueError):  # ValueError: the stream was closed
            self.metrics.add("events_failed", rows)
        else:
            self.metrics.add("events_written", rows)

    def _events(self, item: Block | Event, flags: dict[int, Flags]) -> list[Event]:
        if isinstance(item, Event):
            return [msgspec.structs.replace(item, endpoint=self.endpoint)]
        return list(events_of(item, flags[id(item)], self.endpoint, self.capture))

    def _count(self, items: list[Block]) -> dict[int, Flags]:
        """Return what is unusual about the rows of each block, by its id(), after counting them.

        One update for many requests costs about as much as one for a single row.
        """
        groups: dict[tuple[str, int, str], list[Block]] = {}
        for item in items:
            groups.setdefault(item.model, []).append(item)
        found: dict[int, Flags] = {}
        for key, group in groups.items():
            first = group[0]
            frame = join([item.frame for item in group])
            flags = first.decoder.flags(frame)
            self._count_flags(flags)
            place = 0
            for item in group:
                found[id(item)] = flags.take(place, place + len(item.ids))
                place += len(item.ids)
            if self.folder is not None:
                predictions = concatenate([item.predictions for item in group])
                scores = predictions.score(first.decoder.signature.positive_index)
                self.counts.update(key, first.fingerprint, frame, scores)
        return found

    def _count_flags(self, flags: Flags) -> None:
        for name in FLAGS:
            count = int(np.count_nonzero(flags.masks[name]))
            if count:
                self.metrics.add(f"flag/{name}", count)

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


def events_of(block: Block, flags: Flags, endpoint: str, capture: Capture) -> Iterator[Event]:
    """Yield the event of each row."""
    name, version, digest = block.model
    classes = block.decoder.signature.classes
    chances, values = block.predictions.probabilities, block.predictions.values
    marks = (FLAG_STAND_IN,) if block.stand_in else ()
    row = 0
    for request_id, count, wait in zip(
        block.request_ids, block.counts, block.queue_us, strict=True
    ):
        for place in range(count):
            yield Event(
                event_id=block.ids[row],
                kind="served",
                ts=block.ts,
                endpoint=endpoint,
                model=name,
                version=version,
                digest=digest,
                role=block.role,
                parent=block.parents[row] if block.parents else "",
                request_id=request_id,
                row=place,
                entity=block.entities[row] if block.entities else "",
                label=None if values is not None else classes[block.codes[row]],
                value=None if values is None else float(values[row]),
                probabilities=() if chances is None else tuple(chances[row].tolist()),
                queue_us=wait,
                infer_us=block.infer_us,
                flags=(*flags.of(row), *marks),
                inputs=capture.inputs(block.frame, row),
            )
            row += 1


def _plain(value: Any) -> Any:
    item = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(item, float) and item != item else item  # noqa: PLR0124 - NaN
