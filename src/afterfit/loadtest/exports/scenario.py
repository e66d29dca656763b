"""What a script of another tool has to know of a load test: requests, rates, the objective."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from afterfit.errors import UsageError
from afterfit.loadtest.aim import Target
from afterfit.loadtest.arrivals import Burst, Closed, Offline, Ramp, Spike, Steps
from afterfit.loadtest.shot import Arrivals
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.trace import Trace

__all__ = ["REQUESTS", "Call", "Points", "Scenario", "calls_of", "requests_file", "variable_of"]

REQUESTS = "requests.json"
MOST_STAGES = 200
"""A trace is told in so many stretches at most."""
KEPT = ("content-type", "inference-header-content-length")
"""Headers that belong to a body. All others may be keys, and are never written."""

Points = list[tuple[float, float]]
"""(s, requests/s), linear in between; a jump has two of one moment."""


@dataclass(frozen=True)
class Call:
    """One request: the headers that belong to its body, and the body."""

    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Scenario:
    """A load test that another tool shall make.

    ``base`` is the address without the route. ``secret_headers`` are names of headers whose values
    the script takes from environment variables: see `variable_of`.
    """

    base: str
    route: str
    calls: tuple[Call, ...]
    schedule: Arrivals | Closed
    seconds: float
    slo: Slo | None = None
    timeout_s: float = 10.0
    connections: int = 256
    secret_headers: tuple[str, ...] = ("authorization",)

    @property
    def points(self) -> Points:
        """Return the rates over time; empty for users who wait, and for all at once."""
        return _points(self.schedule, self.seconds)

    @property
    def peak(self) -> float:
        """Return the greatest rate."""
        return max((rate for _, rate in self.points), default=0.0)


def variable_of(header: str) -> str:
    """Return the environment variable that has the value of a header."""
    return header.upper().replace("-", "_")


def requests_file(calls: tuple[Call, ...]) -> bytes:
    """Return the requests as JSON; a body that is no text is in base64."""
    return json.dumps([_told(call) for call in calls], indent=0).encode()


def _told(call: Call) -> dict[str, Any]:
    try:
        return {"headers": call.headers, "body": call.body.decode()}
    except UnicodeDecodeError:
        return {"headers": call.headers, "base64": base64.b64encode(call.body).decode()}


def calls_of(target: Target) -> tuple[Call, ...]:
    """Return the requests of a target without the headers that may be keys."""
    found = []
    for message in target.requests:
        head, _, body = message.partition(b"\r\n\r\n")
        lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
        headers = {name: value.strip() for name, _, value in lines if name.lower() in KEPT}
        found.append(Call(headers, body))
    return tuple(found)


def _points(schedule: Arrivals | Closed, seconds: float) -> Points:
    rates: list[float]
    match schedule:
        case Closed() | Offline():
            return []
        case Ramp():
            return [(0.0, schedule.first), (seconds, schedule.last)]
        case Burst():
            return _bursts(schedule, seconds)
        case Steps():
            rates = list(schedule.rates)
        case Spike():
            rates = [schedule.base] * 2 + [schedule.peak] + [schedule.base] * 2
        case Trace():
            rates = _counted(schedule, seconds)
        case _:
            rates = [schedule.rate]
    return _flat(rates, seconds)


def _flat(rates: list[float], seconds: float) -> Points:
    """Return rates that each hold for an equal part of the time."""
    each = seconds / len(rates)
    return [(s * each, rate) for at, rate in enumerate(rates) for s in (at, at + 1)]


def _bursts(schedule: Burst, seconds: float) -> Points:
    period = schedule.on + schedule.off
    if seconds / period > MOST_STAGES / 2:
        raise UsageError(
            "so many bursts make no script",
            where=schedule.name,
            fix=f"--seconds {MOST_STAGES / 2 * period:g}, or longer bursts",
        )
    points: Points = []
    for start in np.arange(math.ceil(seconds / period)).tolist():
        begin = start * period
        middle, end = min(begin + schedule.on, seconds), min(begin + period, seconds)
        points += [(begin, schedule.high), (middle, schedule.high)]
        if end > middle:
            points += [(middle, schedule.low), (end, schedule.low)]
    return points


def _counted(trace: Trace, seconds: float) -> list[float]:
    """Return the mean rate of equal stretches of a trace; what lies after its end has none."""
    edges = np.linspace(0.0, seconds, min(MOST_STAGES, math.ceil(seconds)) + 1)
    if trace.moments is None:
        counts = np.diff(trace.profile.integral(edges))
    else:
        counts = np.histogram(trace.moments, edges)[0]
    return [float(rate) for rate in trace.factor * counts / np.diff(edges)]
