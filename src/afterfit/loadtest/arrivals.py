"""When requests are due: schedules of an open loop, and the closed loop beside them.

The names of MLPerf's scenarios are taken too: ``single-stream`` (one request at a time),
``server:400`` (Poisson) and ``offline:1000`` (all at once); MLPerf inference rules, 5.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from afterfit.errors import UsageError
from afterfit.loadtest.profile import Floats, Profile, unit_times, within

MOST_REQUESTS = 15_000_000
"""Of one run: at 35 bytes each they are half a gigabyte here."""
MOST_RATE = 1_000_000.0


@dataclass(frozen=True)
class Constant:
    """``constant:400``: evenly spaced, as a clock sends."""

    rate: float

    def __post_init__(self) -> None:
        _check_rates(self.name, self.rate)

    @property
    def name(self) -> str:
        """Return how it is written."""
        return f"constant:{self.rate:g}"

    def times(self, seconds: float, seed: int) -> Floats:  # noqa: ARG002 - nothing is drawn
        """Return every 1/rate s, from 0 on."""
        count = fitting(self.name, self.rate * seconds)
        times = np.arange(math.ceil(count) + 1) / self.rate
        return np.asarray(times[times < seconds], dtype=np.float64)

    def scaled(self, factor: float) -> Constant:
        """Return it at ``factor`` times the rate."""
        return replace(self, rate=self.rate * factor)


@dataclass(frozen=True)
class Poisson:
    """``poisson:400``: independent users, the gaps exponential."""

    rate: float

    def __post_init__(self) -> None:
        _check_rates(self.name, self.rate)

    @property
    def name(self) -> str:
        """Return how it is written."""
        return f"poisson:{self.rate:g}"

    def times(self, seconds: float, seed: int) -> Floats:
        """Return moments drawn with ``seed``."""
        count = fitting(self.name, self.rate * seconds)
        return unit_times(count, np.random.default_rng(seed)) / self.rate

    def scaled(self, factor: float) -> Poisson:
        """Return it at ``factor`` times the rate."""
        return replace(self, rate=self.rate * factor)


@dataclass(frozen=True)
class Gamma:
    """``gamma:400:2``: gaps of a gamma distribution whose deviation is ``cv`` times their mean.

    1 is Poisson, less is more even, more comes in clumps.
    """

    rate: float
    cv: float

    def __post_init__(self) -> None:
        _check_rates(self.name, self.rate)
        if not 0.05 <= self.cv <= 20:
            raise _unusable(self.name, "the coefficient of variation is between 0.05 and 20")

    @property
    def name(self) -> str:
        """Return how it is written."""
        return f"gamma:{self.rate:g}:{self.cv:g}"

    def times(self, seconds: float, seed: int) -> Floats:
        """Return moments drawn with ``seed``."""
        count = fitting(self.name, self.rate * seconds)
        random = np.random.default_rng(seed)
        shape = self.cv**-2
        return within(lambda n: random.standard_gamma(shape, n) / shape, count) / self.rate

    def scaled(self, factor: float) -> Gamma:
        """Return it at ``factor`` times the rate."""
        return replace(self, rate=self.rate * factor)


@dataclass(frozen=True)
class Burst:
    """``burst:100:900:2:8``: ``high`` requests/s for ``on`` s, then ``low`` for ``off`` s, again.

    Poisson within; it begins with a burst.
    """

    low: float
    high: float
    on: float
    off: float

    def __post_init__(self) -> None:
        _check_rates(self.name, self.low, self.high)
        if not self.on > 0 or not self.off > 0:
            raise _unusable(self.name, "a burst and a pause take some seconds each")

    @property
    def name(self) -> str:
        """Return how it is written."""
        return f"burst:{self.low:g}:{self.high:g}:{self.on:g}:{self.off:g}"

    @property
    def rate(self) -> float:
        """Return the mean over whole periods."""
        return (self.high * self.on + self.low * self.off) / (self.on + self.off)

    def times(self, seconds: float, seed: int) -> Floats:
        """Return moments drawn with ``seed``."""
        fitting(self.name, max(self.low, self.high) * seconds)
        period = self.on + self.off
        if seconds / period > MOST_REQUESTS / 4:
            raise _unusable(self.name, "so many bursts fit into no run")
        points: list[tuple[float, float]] = []
        for start in np.arange(math.ceil(seconds / period)) * period:
            middle, end = min(start + self.on, seconds), min(start + period, seconds)
            points += [(start, self.high), (middle, self.high), (middle, self.low), (end, self.low)]
        return _below(Profile(points).poisson(np.random.default_rng(seed)), seconds)

    def scaled(self, factor: float) -> Burst:
        """Return it at ``factor`` times the rates."""
        return replace(self, low=self.low * factor, high=self.high * factor)


@dataclass(frozen=True)
class Steps:
    """``step:100,200,400``: each rate for an equal part of the run; Poisson within."""

    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_rates(self.name, *self.rates)

    @property
    def name(self) -> str:
        """Return how it is written."""
        return "step:" + ",".join(f"{rate:g}" for rate in self.rates)

    @property
    def rate(self) -> float:
        """Return the mean."""
        return math.fsum(self.rates) / len(self.rates)

    def times(self, seconds: float, seed: int) -> Floats:
        """Return moments drawn with ``seed``."""
        fitting(self.name, self.rate * seconds)
        each = seconds / len(self.rates)
        points = [(s * each, r) for i, r in enumerate(self.rates) for s in (i, i + 1)]
        return _below(Profile(points).poisson(np.random.default_rng(seed)), seconds)

    def scaled(self, factor: float) -> Steps:
        """Return it at ``factor`` times the rates."""
        return replace(self, rates=tuple(rate * factor for rate in self.rates))


@dataclass(frozen=True)
class Ramp:
    """``ramp:10:400``: from one rate to another over the whole run; Poisson within."""

    first: float
    last: float

    def __post_init__(self) -> None:
        _check_rates(self.name, self.first, self.last)

    @property
    def name(self) -> str:
        """Return how it is written."""
        return f"ramp:{self.first:g}:{self.last:g}"

    @property
    def rate(self) -> float:
        """Return the mean."""
        return (self.first + self.last) / 2

    def times(self, seconds: float, seed: int) -> Floats:
        """Return moments drawn with ``seed``."""
        fitting(self.name, self.rate * seconds)
        profile = Profile([(0.0, self.first), (seconds, self.last)])
        return _below(profile.poisson(np.random.default_rng(seed)), seconds)

    def scaled(self, factor: float) -> Ramp:
        """Return it at ``factor`` times the rates."""
        return replace(self, first=self.first * factor, last=self.last * factor)


@dataclass(frozen=True)
class Spike:
    """``spike:100:1000``: the middle fifth of the run at ``peak``, the rest at ``base``.

    Poisson within.
    """

    base: float
    peak: float

    def __post_init__(self) -> None:
        _check_rates(self.name, self.base, self.peak)

    @property
    def name(self) -> str:
        """Return how it is written."""
        return f"spike:{self.base:g}:{self.peak:g}"

    @property
    def rate(self) -> float:
        """Return the mean."""
        return 0.8 * self.base + 0.2 * self.peak

    def times(self, seconds: float, seed: int) -> Floats:
        """Return moments drawn with ``seed``."""
        fitting(self.name, self.rate * seconds)
        a, b = 0.4 * seconds, 0.6 * seconds
        points = [(0.0, self.base), (a, self.base), (a, self.peak), (b, self.peak), (b, self.base)]
        profile = Profile([*points, (seconds, self.base)])
        return _below(profile.poisson(np.random.default_rng(seed)), seconds)

    def scaled(self, factor: float) -> Spike:
        """Return it at ``factor`` times the rates."""
        return replace(self, base=self.base * factor, peak=self.peak * factor)


@dataclass(frozen=True)
class Offline:
    """``offline:1000``: that many requests, all due at once; what counts is when the last ends."""

    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_REQUESTS:
            raise _unusable(self.name, f"1 to {MOST_REQUESTS} requests fit into a run")

    @property
    def name(self) -> str:
        """Return how it is written."""
        return f"offline:{self.count}"

    @property
    def rate(self) -> float:
        """Return infinity: nothing lies between them."""
        return math.inf

    def times(self, seconds: float, seed: int) -> Floats:  # noqa: ARG002 - nothing is drawn
        """Return 0 for each."""
        return np.zeros(self.count)


@dataclass(frozen=True)
class Closed:
    """``closed:4:50``: users who each wait for the answer, then think (ms), then send again.

    A closed loop slows down with the server, so it hides stalls: its percentiles are those of a
    quiet service, not those of a busy one. ``requests`` bounds the run (0: only its seconds do).
    """

    users: int
    think_ms: float = 0.0
    requests: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.users <= 100_000 or not 0 <= self.think_ms < math.inf:
            raise _unusable(self.name, "1 to 100000 users think for 0 ms or more")
        if not 0 <= self.requests <= MOST_REQUESTS:
            raise _unusable(self.name, f"at most {MOST_REQUESTS} requests fit into a run")

    @property
    def name(self) -> str:
        """Return how it is written."""
        think = f":{self.think_ms:g}" if self.think_ms else ""
        return f"closed:{self.users}{think}"


def fitting(name: str, count: float) -> float:
    """Return the count of requests; raises UsageError for more than a run may have."""
    if not 0 < count <= MOST_REQUESTS:
        raise UsageError(
            "no run of so many requests",
            where=name,
            why=f"it has {count:.3g} requests, and 1 to {MOST_REQUESTS} fit into memory",
            fix="give a shorter time or a lower rate",
        )
    return count


def _below(times: Floats, seconds: float) -> Floats:
    """Return the moments before the end, which rounding may have reached."""
    return np.asarray(times[times < seconds], dtype=np.float64)


def _check_rates(name: str, *rates: float) -> None:
    if not rates or not all(0 <= rate <= MOST_RATE for rate in rates) or not max(rates) > 0:
        raise _unusable(name, f"a rate is more than 0 and at most {MOST_RATE:g} requests/s")


def _unusable(name: str, why: str) -> UsageError:
    return UsageError("no schedule", where=name, why=why, fix="poisson:400   # requests/s")
