"""What is shown of windows: why some were not judged, and the distributions of the last few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from afterfit.monitor.store import MonitorStore, PointQuery
from afterfit.records.signals import SignalPoint

__all__ = ["DISTRIBUTED", "SHOWN", "commonest", "faded", "plain"]

SHOWN = 24
"""So many of the newest windows keep the distributions of quiet columns."""
DISTRIBUTED = ("drift", "output")
"""The signals whose points have distributions."""


def plain(points: Sequence[SignalPoint]) -> list[SignalPoint]:
    """Return points without the distributions of those that are no alarm."""
    return [
        msgspec.structs.replace(point, evidence={})
        if point.signal in DISTRIBUTED and point.state == "ok" and point.evidence
        else point
        for point in points
    ]


def commonest(points: Sequence[SignalPoint]) -> str:
    """Return what most of some points say; empty where none says anything."""
    said = Counter(point.message for point in points if point.message)
    return said.most_common(1)[0][0] if said else ""


def faded(store: MonitorStore, shown: list[int], start: int, model: str) -> list[SignalPoint]:
    """Return the quiet points that lose their distributions as the window of ``start`` (µs) comes.

    ``shown`` are the beginnings of windows that have theirs, and is brought up to date.
    """
    if start not in shown:
        shown.append(start)
        shown.sort()
    gone, shown[:] = shown[:-SHOWN], shown[-SHOWN:]
    found: list[SignalPoint] = []
    for old in gone:
        for signal in DISTRIBUTED:
            query = PointQuery(model=model, signal=signal, state="ok", since=old, until=old + 1)
            found += [point for point in plain(store.points(query)) if not point.evidence]
    return found
