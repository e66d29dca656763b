"""Events as JSON lines on standard output, for servers whose root is read-only."""

from __future__ import annotations

import sys
from typing import BinaryIO

import msgspec

from afterfit.runtime.event_batch import EventBatch

__all__ = ["StdoutSink", "open_stdout"]


class StdoutSink:
    """Writes a JSON line an event."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self.stream = stream or sys.stdout.buffer

    def write(self, batch: EventBatch) -> None:
        """Write the lines of a batch in one call, so that those of several workers do not mix."""
        self.stream.write(msgspec.json.Encoder().encode_lines(batch.events()))
        self.stream.flush()

    def close(self) -> None:
        """Flush what is buffered."""
        self.stream.flush()


def open_stdout(address: str, worker: str) -> StdoutSink:
    """Return the sink of ``-`` or ``stdout:``."""
    del address, worker
    return StdoutSink()
