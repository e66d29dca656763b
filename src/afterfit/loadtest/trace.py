"""Recorded traffic as a schedule: moments of requests, or rates over time, times a factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from afterfit.errors import InputError, UsageError
from afterfit.loadtest.arrivals import fitting
from afterfit.loadtest.profile import Floats, Profile
from afterfit.store.tables import read_frame

__all__ = ["Trace", "read_trace", "trace_of"]

GAP = 50.0
"""So many times the usual distance of two moments, and a second, is told as a gap."""
GAP_S = 1.0
FIX = "give a column of ascending times, or two: time and rate (requests/s)"
_RATES = ("rate", "rps", "requests_per_second", "qps")


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


def read_trace(path: Path, factor: float = 1.0) -> Trace:
    """Return the trace in a CSV, Parquet or Arrow file; raises InputError or NotFoundError.

    One column of times (numbers in s, or dates), or that and a column of rates (requests/s).
    """
    return trace_of(read_frame(str(path)), str(path), factor)


def trace_of(
    columns: Mapping[str, npt.NDArray[np.generic]], source: str, factor: float = 1.0
) -> Trace:
    """Return the trace in columns of a table; raises InputError that names the row."""
    names = list(columns)
    rates = next((n for n in names if n.lower() in _RATES), names[1] if len(names) == 2 else "")
    times = [name for name in names if name != rates]
    if len(times) != 1:
        found = ", ".join(names) or "no column"
        raise _unusable(source, f"it has the columns {found}")
    moments = _moments(np.asarray(columns[times[0]]), source, times[0])
    if rates:
        return _of_rates(moments, _numbers(columns[rates], source, rates), source, factor)
    end = _end(moments)
    flat = len(moments) / end
    profile = Profile([(0.0, flat), (end, flat)])
    return Trace(source, profile, moments, factor, _notes(moments))


def _of_rates(at: Floats, rates: Floats, source: str, factor: float) -> Trace:
    if len(at) < 2 or not at[-1] > 0:
        raise _unusable(source, "rates over time need two moments at least")
    if (rates < 0).any():
        raise _unusable(source, f"row {int(np.argmax(rates < 0)) + 1} has a negative rate")
    if not rates.max() > 0:
        raise _unusable(source, "every rate is 0")
    profile = Profile(np.column_stack([at, rates]).tolist())
    return Trace(source, profile, None, factor, _notes(at))


def _end(moments: Floats) -> float:
    """Return when the trace ends: one mean gap after its last request."""
    last = float(moments[-1])
    return last * len(moments) / (len(moments) - 1) if last > 0 else 1.0


def _moments(values: npt.NDArray[np.generic], source: str, name: str) -> Floats:
    """Return ascending times in s from the first on."""
    if values.dtype.kind == "M":
        if np.isnat(values).any():
            row = int(np.argmax(np.isnat(values))) + 1
            raise _unusable(source, f"row {row} of {name} is empty")
        times = values.astype("datetime64[ns]").astype(np.int64) / 1e9
    elif values.dtype.kind == "O":
        times = _dates(values, source, name)
    else:
        times = _numbers(values, source, name)
    if not len(times):
        raise _unusable(source, "it has no rows")
    if (times < 0).any():
        raise _unusable(source, f"row {int(np.argmax(times < 0)) + 1} has a negative time")
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        raise InputError(
            "the trace is not in the order of time",
            where=f"{source}, row {int(back[0]) + 2}",
            why=f"{name} goes back there, and at {len(back)} rows in all",
            fix="sort the file by time",
        )
    return np.asarray(times - times[0], dtype=np.float64)


def _dates(values: npt.NDArray[np.generic], source: str, name: str) -> Floats:
    found = np.empty(len(values))
    for row, value in enumerate(values):
        try:
            # numpy takes no zone: one that all rows share changes no distance.
            text = str(value).strip().removesuffix("Z").removesuffix("+00:00")
            found[row] = np.datetime64(text, "ns").astype(np.int64) / 1e9
        except ValueError:
            raise _unusable(source, f"row {row + 1} of {name} is no time: {value!r}") from None
    return found


def _numbers(values: npt.NDArray[np.generic], source: str, name: str) -> Floats:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise _unusable(source, f"{name} holds no numbers") from None
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        raise _unusable(source, f"row {int(np.argmax(wrong)) + 1} of {name} is no number")
    return numbers


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


def _unusable(source: str, why: str) -> InputError:
    return InputError("no trace of requests", where=source, why=why, fix=FIX)
