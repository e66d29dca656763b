"""Recorded traffic as a schedule: moments of requests, or rates over time, times a factor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from afterfit.errors import UsageError
from afterfit.loadtest.arrivals import fitting
from afterfit.loadtest.profile import Floats, Profile
from afterfit.loadtest.recording import Recording

__all__ = ["Trace", "trace_of"]

GAP = 50.0
"""So many times the usual distance of two moments, and a second, is told as a gap."""
GAP_S = 1.0


@dataclass(frozen=True)
class Trace:
    """``trace:FILE:2``: recorded moments, at ``factor`` times their rate and their own pace.

    At a factor of 1, recorded moments are sent again as they were; at others, and for recorded
    rates, requests are drawn so that bursts and lulls stay where they are. A run that is longer
    than the trace has no requests after its end. ``notes`` says what looks odd in it.
    """

    source: str
    profile: Profile
    moments: Floats | None
    factor: float = 1.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.factor <= 1e6:
            raise UsageError("no factor", where=self.name, fix="a factor above 0, such as 10")

    @property
    def name(self) -> str:
        """Return how it is written."""
        times = "" if self.factor == 1 else f":{self.factor:g}"
        return f"trace:{self.source}{times}"

    @property
    def seconds(self) -> float:
        """Return how long it is."""
        return self.profile.seconds

    @property
    def rate(self) -> float:
        """Return the mean over all of it."""
        return self.factor * self.profile.expected / self.seconds

    def scaled(self, factor: float) -> Trace:
        """Return it at ``factor`` times the rates."""
        return replace(self, factor=self.factor * factor)

    def times(self, seconds: float, seed: int) -> Floats:
        """Return the moments; what is drawn is drawn with ``seed``."""
        if self.moments is not None and self.factor == 1:
            times = self.moments
            fitting(self.name, float(np.count_nonzero(times < seconds)))
        else:
            times = self._drawn(np.random.default_rng(seed))
        return np.asarray(times[times < seconds], dtype=np.float64)

    def _drawn(self, random: np.random.Generator) -> Floats:
        wanted = fitting(self.name, self.factor * self.profile.expected)
        if self.moments is None:
            scaled = Profile(
                np.column_stack([self.profile.at, self.profile.rates * self.factor]).tolist()
            )
            return scaled.poisson(random)
        # One request in each equal part of the count: as even, and as bursty, as the trace is.
        places = np.arange(round(wanted)) + random.random(round(wanted))
        return self._recorded(places / wanted)

    def _recorded(self, shares: Floats) -> Floats:
        """Return when such shares (0 to 1) of the recorded requests had come."""
        moments = self.moments if self.moments is not None else np.empty(0)
        ends = [*moments, self.profile.seconds]
        return np.asarray(np.interp(shares * len(moments), np.arange(len(ends)), ends))


def trace_of(recording: Recording, factor: float = 1.0) -> Trace:
    """Return recorded traffic as a schedule, at ``factor`` times its rates."""
    moments, source = recording.moments, recording.source
    if recording.rates is not None:
        at = np.repeat([*moments, recording.seconds], 2)[1:-1]
        held = np.column_stack([at, np.repeat(recording.rates, 2)])
        return Trace(source, Profile(held.tolist()), None, factor)
    end = _end(moments)
    flat = len(moments) / end
    return Trace(source, Profile([(0.0, flat), (end, flat)]), moments, factor, _notes(moments))


def _end(moments: Floats) -> float:
    """Return when the trace ends: one mean gap after its last request."""
    last = float(moments[-1])
    return last * len(moments) / (len(moments) - 1) if last > 0 else 1.0


def _notes(moments: Floats) -> tuple[str, ...]:
    """Return what looks as if a part of the recording were missing."""
    gaps = np.diff(moments)
    if not len(gaps):
        return ("it has a single moment",)
    usual = float(np.median(gaps))
    longest = float(gaps.max())
    if longest <= max(GAP_S, GAP * usual):
        return ()
    many = int(np.count_nonzero(gaps > max(GAP_S, GAP * usual)))
    start = float(moments[int(np.argmax(gaps))])
    told = (
        f"{many} gap{'s' if many > 1 else ''}: the longest is {longest:.3g} s from {start:.6g} s on"
    )
    return (f"{told}, and {usual:.3g} s are usual; nothing is sent there",)
