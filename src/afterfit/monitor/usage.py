"""CPU, memory and requests turned away, from the ``/metrics`` of a running server."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from afterfit.monitor.cut import HOUR
from afterfit.records.signals import PointState, Scope, SignalPoint
from afterfit.stats.interval import wilson

__all__ = ["Usage", "Used", "totals_of", "usage_points"]

SECOND = 1_000_000
MOST_HOURS = 48
TURNED_AWAY = frozenset({"429", "503", "504"})
LEAST_REQUESTS = 300
"""With fewer not even none turned away would show that their share is below 1 %."""
MOST_TURNED_AWAY = 0.01
_LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_COUNTERS = {
    "afterfit_cpu_seconds_total": "cpu_s",
    "afterfit_events_dropped_total": "dropped",
    "afterfit_events_failed_total": "dropped",
    "afterfit_worker_restarts_total": "restarts",
}


class Used(msgspec.Struct, kw_only=True):
    """What was used in an hour, of which ``seconds`` were seen by ``looks`` looks."""

    seconds: float = 0.0
    looks: int = 0
    memory: float = 0.0
    sums: dict[str, float] = {}


class Usage(msgspec.Struct, kw_only=True):
    """The last two days by hour (µs of its beginning), and the counters as they were last."""

    hours: dict[int, Used] = {}
    at: int = 0
    last: dict[str, float] = {}

    def update(self, text: str, now: int) -> None:
        """Add what a server says of itself at a moment (µs).

        A counter that fell is one of a server that began anew, and counts from 0. What
        was used between two looks is of the hour of the second one.
        """
        totals = totals_of(text)
        memory = totals.pop("memory", 0.0)
        hour = self.hours.setdefault(now // HOUR * HOUR, Used())
        hour.looks += 1
        hour.memory = max(hour.memory, memory)
        if self.at and 0 < now - self.at <= HOUR:
            hour.seconds += (now - self.at) / SECOND
            for name, total in totals.items():
                before = self.last.get(name, 0.0)
                gained = total - before if total >= before else total
                hour.sums[name] = hour.sums.get(name, 0.0) + gained
        self.at, self.last = now, totals
        for start in sorted(self.hours)[:-MOST_HOURS]:
            del self.hours[start]


def totals_of(text: str) -> dict[str, float]:
    """Return the counters and gauges that are watched, from Prometheus text; others are left."""
    found: dict[str, float] = {}
    for name, labels, number in _LINE.findall(text):
        try:
            value = float(number)
        except ValueError:
            continue
        if name in _COUNTERS:
            key = _COUNTERS[name]
        elif name == "afterfit_memory_bytes":
            key = "memory"
        elif name == "afterfit_requests_total":
            told: Mapping[str, str] = dict(_LABEL.findall(labels))
            if told.get("route") not in ("predict", "infer"):
                continue
            key = "turned_away" if told.get("status") in TURNED_AWAY else "answered"
        else:
            continue
        found[key] = found.get(key, 0.0) + value
    return found


def usage_points(usage: Usage, scope: Scope, hour: int) -> list[SignalPoint]:
    """Return CPU (cores), memory (greatest, bytes) and saturation of an hour; none without looks.

    Saturation is the share of predictions that the server turned away because it had too much to
    do, and an alarm where that is surely above 1 %. Events that a full queue or disk lost are one.
    """
    used = usage.hours.get(hour)
    if used is None or not used.seconds:
        return []
    points = [
        _point(scope, hour, "cpu", used, used.sums.get("cpu_s", 0.0) / used.seconds, "cores"),
        _point(scope, hour, "memory", used, used.memory, "bytes"),
        _saturation(scope, hour, used),
    ]
    if "dropped" in used.sums:
        lost = used.sums["dropped"]
        state: PointState = "alarm" if lost else "ok"
        point = _point(scope, hour, "events_lost", used, lost, "events", state)
        points.append(msgspec.structs.replace(point, usual=0.0, threshold=0.0))
    return points


def _saturation(scope: Scope, hour: int, used: Used) -> SignalPoint:
    away = round(used.sums.get("turned_away", 0.0))
    n = away + round(used.sums.get("answered", 0.0))
    bounds = wilson(away, n)
    state: PointState = "ok" if n >= LEAST_REQUESTS else "insufficient"
    if n and bounds.low > MOST_TURNED_AWAY:
        state = "alarm"
    return msgspec.structs.replace(
        _point(scope, hour, "saturation", used, away / n if n else None, "", state),
        n=n,
        low=bounds.low if n else None,
        high=bounds.high if n else None,
        usual=0.0,
        threshold=MOST_TURNED_AWAY,
        needed=LEAST_REQUESTS,
        message=f"{away:,} of {n:,} predictions were turned away",
    )


def _point(  # the hour's number of looks is what a level was seen by
    scope: Scope,
    hour: int,
    signal: str,
    used: Used,
    value: float | None,
    unit: str,
    state: PointState = "ok",
) -> SignalPoint:
    return SignalPoint(
        signal=signal,
        scope=scope,
        start=hour,
        end=hour + HOUR,
        n=used.looks,
        state=state,
        value=value,
        unit=unit,
        evidence={"seconds": used.seconds, "restarts": used.sums.get("restarts", 0.0)},
    )
