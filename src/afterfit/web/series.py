"""Series of signals made small enough to show: the newest of each, and few points of one."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from afterfit.core.frame import Frame
from afterfit.monitor.store.base import PointQuery
from afterfit.records.signals import PointState, Scope, SignalPoint
from afterfit.web.site import Seen

__all__ = ["Latest", "Thin", "latest", "newest", "thinned"]

MOST_POINTS = 400
FRESH_S = 60
"""A window that is not the newest may have been written anew: after so long it is seen."""
LOOKBACK_US = 26 * 3600 * 1_000_000
"""Windows of any signal that ended within this time of the newest one are current."""
_RANK: dict[str, int] = {"alarm": 0, "cannot_tell": 1, "ok": 2, "insufficient": 3}
NUMBERS = ("value", "low", "high", "usual", "threshold", "least")


@dataclass(frozen=True)
class Latest:
    """The newest window of one series: its numbers, and how far it is on the way to an alarm.

    ``rank`` is |value - usual| by |threshold - usual|: above 1 it is beyond the threshold; None
    where one of them is not known. ``start`` and ``end`` are µs since 1970.
    """

    signal: str
    subject: str
    scope: Scope
    state: PointState
    start: int
    end: int
    n: int
    value: float | None
    low: float | None
    high: float | None
    usual: float | None
    threshold: float | None
    rank: float | None


@dataclass(frozen=True)
class Thin:
    """A series of at most so many points: columns of numbers, None where there is none.

    ``windows`` are how many there are in all, ``of`` how many of them each point stands for; it is
    the one of them that is an alarm, or else the one farthest from ``usual``.
    """

    windows: int
    of: int
    start: tuple[int, ...]
    end: tuple[int, ...]
    n: tuple[int, ...]
    state: tuple[str, ...]
    value: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    usual: tuple[float | None, ...]
    threshold: tuple[float | None, ...]


def newest(store: Seen, query: PointQuery) -> SignalPoint | None:
    """Return the point of the newest window, None where there is none."""
    found = store.points(query, limit=1)
    return found[0] if found else None


def latest(store: Seen, query: PointQuery) -> list[Latest]:
    """Return the newest window of each series, those nearest to an alarm first."""
    last = newest(store, query)
    if last is None:
        return []
    # Many series take a second to look through, and open pages ask every few seconds.
    key = (query, last.key, last.start, last.end, last.n, last.value, time.monotonic() // FRESH_S)
    found: list[Latest] = store.kept(key, lambda: _latest_of(store, query, last.start))
    return found


def _latest_of(store: Seen, query: PointQuery, start: int) -> list[Latest]:
    since = max(query.since, start - LOOKBACK_US)
    asked = PointQuery(**query.equal, since=since, until=query.until)  # type: ignore[arg-type]
    frame = store.series(asked)
    names = ("endpoint", "model", "version", "digest", "slice", "signal", "subject")
    keys = zip(*(frame[name].tolist() for name in names), strict=True)
    # Oldest first, so that the newest of each series is what stays.
    places = list({key: place for place, key in enumerate(keys)}.values())
    small = {name: column[places] for name, column in frame.items()}
    found = [_latest(small, place) for place in range(len(places))]
    return sorted(
        found,
        key=lambda one: (_RANK.get(one.state, 4), -(one.rank or 0.0), one.signal, one.subject),
    )


def thinned(frame: Frame, most: int = MOST_POINTS) -> Thin:
    """Return one series, oldest first, as at most ``most`` points."""
    count = len(frame["start"])
    of = max(1, -(-count // most))
    kept = [_telling(frame, first, min(first + of, count)) for first in range(0, count, of)]
    numbers = {name: _numbers(frame[name][kept]) for name in NUMBERS if name != "least"}
    return Thin(
        windows=count,
        of=of,
        start=tuple(frame["start"][kept].tolist()),
        end=tuple(frame["finish"][kept].tolist()),
        n=tuple(frame["n"][kept].tolist()),
        state=tuple(frame["state"][kept].tolist()),
        **numbers,
    )


def _telling(frame: Frame, first: int, last: int) -> int:
    """Return which of a stretch of windows stands for all of it."""
    if last - first == 1:
        return first
    value, usual = frame["value"][first:last], frame["usual"][first:last]
    far = np.abs(value - np.where(np.isnan(usual), 0.0, usual))
    far = np.where(np.isnan(far), -1.0, far)
    alarms = frame["state"][first:last] == "alarm"
    return first + int(np.argmax(np.where(alarms, np.inf, 0.0) + far if alarms.any() else far))


def _latest(frame: Frame, place: int) -> Latest:
    row: dict[str, Any] = {name: column[place] for name, column in frame.items()}
    told = {name: _number(row[name]) for name in NUMBERS if name != "least"}
    scope = Scope(
        endpoint=row["endpoint"],
        model=row["model"],
        version=int(row["version"]),
        digest=row["digest"],
        slice=row["slice"],
    )
    return Latest(
        signal=row["signal"],
        subject=row["subject"],
        scope=scope,
        state=row["state"],
        start=int(row["start"]),
        end=int(row["finish"]),
        n=int(row["n"]),
        rank=_rank(told["value"], told["usual"], told["threshold"]),
        **told,
    )


def _rank(value: float | None, usual: float | None, threshold: float | None) -> float | None:
    if value is None or threshold is None:
        return None
    base = usual or 0.0
    room = abs(threshold - base)
    return abs(value - base) / room if room > 0 else None


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _numbers(values: Sequence[float] | np.ndarray) -> tuple[float | None, ...]:
    return tuple(_number(float(value)) for value in values)
