"""What monitoring keeps: points, alarms, and where each daemon stands, all changed together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from afterfit.core.frame import Frame
from afterfit.records.signals import Alarm, SignalPoint

__all__ = ["EVERY", "FOREVER", "Change", "MonitorStore", "PointQuery"]

FOREVER = 2**62
"""µs: a moment that no point reaches."""


@dataclass(frozen=True)
class PointQuery:
    """Which points: every field that is set narrows it, None is any.

    ``since`` and ``until`` (µs, until excluded) bound the beginning of windows.
    """

    endpoint: str | None = None
    model: str | None = None
    version: int | None = None
    slice: str | None = None
    signal: str | None = None
    subject: str | None = None
    state: str | None = None
    since: int = 0
    until: int = FOREVER

    @property
    def equal(self) -> dict[str, str | int]:
        """The columns that must have a value."""
        names = ("endpoint", "model", "version", "slice", "signal", "subject", "state")
        told = {name: getattr(self, name) for name in names}
        return {name: value for name, value in told.items() if value is not None}


EVERY = PointQuery()


@dataclass(frozen=True)
class Change:
    """What one step of a daemon changes, all of it or nothing.

    A point takes the place of the one of its series with the same beginning, an alarm of the one
    with its id. ``parts`` are pieces of the daemon's own state by name; None takes one away.
    """

    points: Iterable[SignalPoint] = ()
    alarms: Iterable[Alarm] = ()
    parts: Mapping[str, bytes | None] = field(default_factory=dict)


class MonitorStore(Protocol):
    """Where monitoring keeps things. Every method raises UnavailableError while it is away."""

    def commit(self, endpoint: str, change: Change) -> None:
        """Do all of a change; after an error or a crash nothing of it is there, or all."""
        ...

    def points(self, query: PointQuery = EVERY, *, limit: int = 0) -> list[SignalPoint]:
        """Return the points, oldest window first; only the newest ``limit`` where it is above 0."""
        ...

    def series(self, query: PointQuery = EVERY) -> Frame:
        """Return the points as columns without evidence, oldest window first, for many at once."""
        ...

    def alarms(self, *, endpoint: str | None = None, lasting: bool = False) -> list[Alarm]:
        """Return the alarms, newest first; ``lasting`` leaves out those that were resolved."""
        ...

    def parts(self, endpoint: str, prefix: str = "") -> dict[str, bytes]:
        """Return the pieces of a daemon's state whose names begin so."""
        ...

    def part_names(self, endpoint: str, prefix: str = "") -> list[str]:
        """Return the names of such pieces, in order."""
        ...

    def endpoints(self) -> list[str]:
        """Return whose state is kept, in order."""
        ...

    def writer(self, endpoint: str) -> AbstractContextManager[None]:
        """Be the only daemon of an endpoint; raises ConflictError where there is one."""
        ...

    def compact(self, before: int) -> int:
        """Pack the points of windows that began before a moment (µs); returns how many."""
        ...

    def retain(self, since: int) -> int:
        """Drop points of windows, and resolved alarms, before a moment (µs); returns how many."""
        ...

    def size_bytes(self) -> int:
        """Return what it takes on the disk, in bytes."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
