"""Traffic over time: the user's own or a shape, scaled, and with known events.

A trace has one rate (requests/s) a step. ``counted`` says that its rates are counts of real
requests, which chance has made uneven already; otherwise requests come by chance at these rates.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from afterfit.errors import UsageError

Floats = npt.NDArray[np.float64]

DAY, HOUR, MINUTE = 86400, 3600, 60
MOST_STEPS = 43_200
"""More steps take longer than a person waits; a longer trace has longer steps."""
POINTS = 240
"""Points of a plot over time."""
RAMP_S = 60
"""Seconds in which the traffic of an event comes, unless the event is shorter."""


@dataclass(frozen=True)
class Trace:
    """Rates (requests/s) from ``start``, one a step of ``step_s`` seconds.

    ``start`` is None where the trace has no dates. ``spacing_s`` is how far apart the rates stood
    in what was given. ``notes`` say what was done to it.
    """

    name: str
    rates: Floats
    step_s: float
    start: datetime | None = None
    counted: bool = False
    spacing_s: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.rates) * self.step_s

    @property
    def peak(self) -> float:
        """The greatest rate, of counted requests the greatest mean of 10 s."""
        return float(self.smooth.max())

    @property
    def smooth(self) -> Floats:
        """The rates, of counted requests their means over 10 s: what sizes are made for."""
        width = max(1, round(10 / self.step_s)) if self.counted else 1
        if width == 1 or len(self.rates) < width:
            return self.rates
        sums = np.concatenate([[0.0], np.cumsum(self.rates)])
        means = (sums[width:] - sums[:-width]) / width
        return np.concatenate([means, np.full(width - 1, means[-1])])

    @property
    def requests(self) -> float:
        """How many requests it has."""
        return float(self.rates.sum()) * self.step_s

    def times(self, factor: float) -> Trace:
        """Return it with every rate times ``factor``."""
        return replace(self, rates=self.rates * factor)

    def with_peak(self, peak: float) -> Trace:
        """Return it scaled so that its greatest rate is ``peak`` requests/s."""
        return self.times(peak / self.peak)

    def arrivals(self, seed: int) -> Floats:
        """Return the requests of each step: by chance (Poisson), or as they were counted."""
        means: Floats = self.rates * self.step_s
        if self.counted:
            return means
        return np.asarray(np.random.default_rng([seed, 0]).poisson(means), np.float64)

    def moments(self, seed: int) -> Floats:
        """Return the moment in s of each request, ascending."""
        random = np.random.default_rng([seed, 2])
        counts = np.round(self.arrivals(seed)).astype(int)
        starts = np.repeat(np.arange(len(counts)), counts)
        return np.sort((starts + random.random(len(starts))) * self.step_s)


@dataclass(frozen=True)
class Event:
    """Traffic ``factor`` times as high from ``start`` on for ``seconds``."""

    start: datetime
    factor: float
    seconds: float

    def __str__(self) -> str:
        """Return it as it is written: ``2026-11-27T08:00 x10 2h``."""
        return f"{self.start:%Y-%m-%dT%H:%M} x{self.factor:g} {self.seconds / 3600:g}h"


def step_for(seconds: float) -> float:
    """Return the step for so long a trace: 1 s, or more so that there are at most 43,200."""
    return float(max(1, math.ceil(seconds / MOST_STEPS)))


def on_steps(starts: Floats, rates: Floats, seconds: float, step_s: float) -> Floats:
    """Return the rates of steps, from rates that hold from their start (s) to the next one's."""
    sums = np.concatenate([[0.0], np.cumsum(rates * np.diff(np.append(starts, seconds)))])
    edges = np.minimum(np.arange(math.ceil(seconds / step_s - 1e-9) + 1) * step_s, seconds)
    total = np.interp(edges, np.append(starts, seconds), sums)
    means: Floats = np.diff(total) / np.diff(edges)
    return means


def greatest_ahead(rates: Floats, steps: int) -> Floats:
    """Return the greatest rate of each step and so many after it."""
    found, span = rates.copy(), 1
    while span < steps + 1:
        more = min(span, steps + 1 - span)
        if more >= len(found):
            return np.maximum.accumulate(found[::-1])[::-1]
        found[:-more] = np.maximum(found[:-more], found[more:])
        span += more
    return found


def thinned(values: Floats, step_s: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return (hours, means) of at most `POINTS` stretches of equal length, for a plot."""
    width = max(1, -(-len(values) // POINTS))
    starts = np.arange(0, len(values), width)
    counts = np.diff(np.append(starts, len(values)))
    means = np.add.reduceat(values, starts) / counts
    hours = (starts + counts / 2) * step_s / 3600
    return tuple(np.round(hours, 5).tolist()), tuple(np.round(means, 5).tolist())


def preset(name: str) -> Trace:
    """Return a shape with a peak of 1; raises UsageError for a name that is none."""
    if name not in PRESETS:
        raise UsageError(
            f"no trace is called {name!r}, and there is no such file",
            where="--trace",
            why=f"the shapes are {', '.join(PRESETS)}",
            fix="--trace diurnal --peak 400, or a CSV or Parquet file with a time and a rate",
        )
    seconds, points = PRESETS[name]
    step = step_for(seconds)
    moments = np.asarray((np.arange(math.ceil(seconds / step)) + 0.5) * step, np.float64)
    if points:
        rates = np.interp(moments, [p[0] for p in points], [p[1] for p in points])
    else:
        rates = _by_day(moments, weekly=name == "weekly")
    return Trace(name, rates / rates.max(), step)


def _by_day(moments: Floats, *, weekly: bool) -> Floats:
    """Return a day that is lowest at 4 in the morning and highest at 4 and at 8 in the evening."""
    hours = moments / HOUR
    day = 0.6 - 0.42 * np.cos((hours - 4) / 24 * 2 * np.pi) + 0.1 * np.cos((hours - 20) / 6 * np.pi)
    if not weekly:
        return np.asarray(day)
    weight = np.array([1.0, 0.98, 0.97, 0.98, 0.92, 0.7, 0.66])
    return np.asarray(day * weight[(moments // DAY).astype(int) % 7])


_FLASH: list[tuple[float, float]] = [(0, 0.1), (1200, 0.1), (1260, 1.0), (1500, 1.0)]
_FLASH += [(1500 + t, 0.1 + 0.9 * math.exp(-t / 600)) for t in range(60, 2101, 60)]
_BLACK: list[tuple[float, float]] = [
    (0, 0.05),
    (6 * HOUR, 0.04),
    (7.9 * HOUR, 0.1),
    (8 * HOUR, 0.1),
    (8 * HOUR + 120, 1.0),
]
_BLACK += [(10 * HOUR, 0.8), (12 * HOUR, 0.45), (18 * HOUR, 0.4), (20 * HOUR, 0.6), (DAY, 0.1)]
_GROWTH: list[tuple[float, float]] = [
    (0, 0.1),
    (2 * HOUR, 0.12),
    (6 * HOUR, 0.3),
    (10 * HOUR, 0.7),
    (12 * HOUR, 1.0),
]
PRESETS: dict[str, tuple[int, list[tuple[float, float]]]] = {
    "diurnal": (DAY, []),
    "weekly": (7 * DAY, []),
    "black-friday": (DAY, _BLACK),
    "flash-crowd": (HOUR, _FLASH),
    "growth": (12 * HOUR, _GROWTH),
}
"""Shapes: how long each is (s), and the points (s, share of the peak) between which it is straight.

``flash-crowd`` rises tenfold in 60 s, ``black-friday`` tenfold in 120 s at 08:00."""

_EVENT = re.compile(r"(\S+)\s+[x\u00d7](\d+(?:\.\d+)?)\s+(\d+(?:\.\d+)?)\s*(h|m|min|s)")
_UNITS = {"h": HOUR, "m": MINUTE, "min": MINUTE, "s": 1}


def event_of(text: str) -> Event:
    """Return what ``2026-11-27T08:00 x10 2h`` says; raises UsageError."""
    found = _EVENT.fullmatch(text.strip())
    try:
        start = datetime.fromisoformat(found[1]) if found else None
    except ValueError:
        start = None
    if found is None or start is None or not float(found[2]) > 0 or not float(found[3]) > 0:
        raise UsageError(
            "no event",
            where=f"--event {text!r}",
            why="it has a start (ISO 8601), a factor and a duration",
            fix='--event "2026-11-27T08:00 x10 2h"',
        )
    start = start.astimezone(UTC) if start.tzinfo else start.replace(tzinfo=UTC)
    return Event(start, float(found[2]), float(found[3]) * _UNITS[found[4]])


def with_event(trace: Trace, event: Event) -> Trace:
    """Return the trace with the traffic of an event; raises UsageError where it does not fit.

    A trace without dates begins at midnight (UTC) of the event's day. One of other days is moved by
    whole days, so that hours of the day stay what they are.
    """
    start, notes = _dated(trace, event), trace.notes
    if trace.start is not None and start != trace.start:
        notes = (*notes, f"moved by {(start - trace.start).days} days, to that of the event")
    since = (event.start - start).total_seconds()
    if since + event.seconds > trace.seconds:
        raise UsageError(
            "the event does not lie in the trace",
            where=f"--event {str(event)!r}",
            why=f"the trace covers {trace.seconds / 3600:.3g} h from {start:%Y-%m-%dT%H:%M} UTC on",
            fix="give a trace that is long enough, such as --trace diurnal",
        )
    moments = (np.arange(len(trace.rates)) + 0.5) * trace.step_s - since
    ramp = min(RAMP_S, event.seconds / 4)
    inside = np.clip(np.minimum(moments, event.seconds - moments) / ramp, 0, 1)
    rates = trace.rates * (1 + (event.factor - 1) * inside)
    return replace(trace, rates=rates, start=start, notes=(*notes, f"event: {event}"))


def _dated(trace: Trace, event: Event) -> datetime:
    midnight = event.start.replace(hour=0, minute=0, second=0, microsecond=0)
    if trace.start is None:
        return midnight
    since = (event.start - trace.start).total_seconds()
    if 0 <= since < trace.seconds:
        return trace.start
    return trace.start + timedelta(days=since // DAY)
