"""Events at rest: what a folder of segments holds, as events or as columns.

A segment is an Arrow IPC stream (``events-WORKER-NUMBER.arrows``), so pyarrow, Polars and DuckDB
read it too; docs/reference/events.md has the columns. The readers here check every batch and pass
over what is torn or damaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from afterfit.core.event import Event
from afterfit.runtime.event_batch import EventBatch, Scan
from afterfit.runtime.event_columns import EventColumns
from afterfit.runtime.event_write import batches_of
from afterfit.runtime.sinks.base import EventSink
from afterfit.runtime.sinks.segments import SUFFIX, SegmentWriter, segments
from afterfit.runtime.sinks.stdout import StdoutSink

__all__ = [
    "SUFFIX",
    "EventBatch",
    "EventColumns",
    "EventSink",
    "Scan",
    "SegmentWriter",
    "StdoutSink",
    "batches_of",
    "read_columns",
    "read_segments",
    "segments",
]


def read_segments(folder: Path) -> Iterator[Event]:
    """Yield every event in ``folder`` and below, segment by segment, each up to its last batch."""
    for columns in read_columns(folder):
        yield from columns.events()


def read_columns(folder: Path) -> Iterator[EventColumns]:
    """Yield the columns of every whole batch in ``folder`` and below; a batch has one origin."""
    for path in segments(folder):
        for batch in Scan(path.read_bytes()):
            yield batch.columns()
