"""Events, disks and sinks that the tests of events share."""

from __future__ import annotations

import errno
import io
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from afterfit.core.event import Event, new_ids
from afterfit.runtime.events import batches_of

if TYPE_CHECKING:
    import pytest

    from afterfit.runtime.events import EventBatch


def some(count: int, **fields: Any) -> list[Event]:
    """Served events that differ."""
    return [
        Event(event_id=one, kind="served", ts=n, **fields) for n, one in enumerate(new_ids(count))
    ]


def batch_of(events: list[Event]) -> EventBatch:
    """The one batch that events of one origin make."""
    (batch,) = batches_of(events)
    return batch


class FullDisk(io.BytesIO):
    """A file on a disk that takes ``room`` bytes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data: Any) -> int:
        """Take what there is room for, as the system does, and fail when there is none."""
        left = self.room - self.tell()
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data[:left])

    def fileno(self) -> int:
        """No descriptor: it cannot be synced or cut."""
        raise OSError(errno.EBADF, "no descriptor")


class Stalled:
    """A sink that blocks until it is released."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.written = 0

    def write(self, batch: EventBatch) -> None:
        """Wait, then count."""
        self.entered.set()
        self.release.wait(30)
        self.written += batch.rows

    def close(self) -> None:
        """Nothing is kept."""


class Failing:
    """A sink that fails as long as it is told to."""

    def __init__(self) -> None:
        self.well = False
        self.written = 0

    def write(self, batch: EventBatch) -> None:
        """Fail as a full disk does, or count."""
        if not self.well:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.written += batch.rows

    def close(self) -> None:
        """Nothing is kept."""


def log_lines(capsys: pytest.CaptureFixture[str], *events: str) -> list[dict[str, Any]]:
    """The lines on standard error since the last look, those of the named events."""
    lines = [msgspec.json.decode(line) for line in capsys.readouterr().err.splitlines()]
    return [line for line in lines if line.get("event") in events]
