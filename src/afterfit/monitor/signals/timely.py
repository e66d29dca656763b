"""Signals of silence: predictions or labels that stopped coming, an endpoint that idles and bills.

What is usual is the mean of the same hour of the week in the weeks before (or of the same hour of
the day, or of all hours, as long as there are fewer). Counts vary more than a Poisson distribution
says, so the bound is that of a negative binomial one with the variance that was seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from afterfit.monitor.cut import DAY, HOUR
from afterfit.monitor.tempo import WEEK, Rhythm
from afterfit.records.signals import PointState, SignalPoint

__all__ = ["Usual", "timely_points", "usual_of"]

STRETCHES = (1, 2, 3, 6, 12, 24, 48, 72, 168)
"""Hours that are looked at together: as few as a silence can be told from chance in."""
LEAST_HOURS = 24
LEAST_SAME = 3
LEAST_SHARE = 0.5
"""More than so much of what is usual is no silence, however sure."""
IDLE_HOURS = 24


class Usual(NamedTuple):
    """What is expected in a stretch, and its variance with that of the expectation itself."""

    mean: float
    variance: float


def timely_points(
    rhythm: Rhythm, hour: int, chance: float, *, usd_per_hour: float = 0.0
) -> list[SignalPoint]:
    """Return what the hour that begins at ``hour`` (µs) and those before say of silence.

    ``chance`` is that of a false alarm a signal and hour, from the budget.
    """
    points = [
        _silence(rhythm, name, counts, hour, chance)
        for name, counts in (("predictions", rhythm.predictions), ("labels", rhythm.labels))
        if counts
    ]
    if usd_per_hour and rhythm.last:
        points.append(_idle(rhythm, hour, usd_per_hour))
    return points


def usual_of(counts: Mapping[int, int], hour: int, hours: int) -> Usual | None:
    """Return what is usual in the ``hours`` that end with ``hour``; None of too short a past.

    The past is all before them; an hour without an entry since the first one counts 0.
    """
    begin, first = hour - (hours - 1) * HOUR, min(counts)
    past = (begin - first) // HOUR
    if past < LEAST_HOURS:
        return None
    flat, steep = _spread(counts, first, begin)
    mean = chance = excess = 0.0
    for each in range(begin, hour + HOUR, HOUR):
        alike = _alike(counts, each, first, begin)
        here, doubt = sum(alike) / len(alike), 1 + 1 / len(alike)
        mean += here
        chance += here * doubt
        excess += math.sqrt(max((flat - 1) * here, steep * here * here) * doubt)
    # Hours in a row go up and down together, so what is beyond chance adds as deviations.
    return Usual(mean, chance + excess * excess)


def _alike(counts: Mapping[int, int], hour: int, first: int, end: int) -> list[int]:
    """Return the counts of the hours before ``end`` that are most like one."""
    for step in (WEEK, DAY, HOUR):
        start = first + (hour - first) % step
        found = [counts.get(each, 0) for each in range(start, end, step)]
        if len(found) >= LEAST_SAME:
            break
    return found


def _spread(counts: Mapping[int, int], first: int, end: int) -> tuple[float, float]:
    """Return how counts vary: variance over mean (1 at least), and what grows with its square.

    The first is Pearson's statistic over hours of the day or the week, as in McCullagh and Nelder
    (1989), Generalized Linear Models, 4.5; the second the moment estimate of a negative binomial
    distribution, whose variance is mean + steep x mean^2.
    """
    step = WEEK if end - first >= LEAST_SAME * WEEK else DAY if end - first >= 3 * DAY else HOUR
    pearson = excess = squares = 0.0
    freedom = 0
    for start in range(first, min(first + step, end), HOUR):
        group = [counts.get(each, 0) for each in range(start, end, step)]
        mean = sum(group) / len(group)
        if mean and len(group) > 1:
            around = sum((count - mean) ** 2 for count in group)
            pearson += around / mean
            excess += around - mean * (len(group) - 1)
            squares += mean * mean * (len(group) - 1)
            freedom += len(group) - 1
    if not freedom:
        return 1.0, 0.0
    return max(1.0, pearson / freedom), max(0.0, excess / squares)


def _silence(
    rhythm: Rhythm, name: str, counts: Mapping[int, int], hour: int, chance: float
) -> SignalPoint:
    for hours in STRETCHES:
        usual = usual_of(counts, hour, hours)
        if usual is None or _tail(0, usual) <= chance:
            break
    begin = hour - (hours - 1) * HOUR
    seen = sum(counts.get(each, 0) for each in range(begin, hour + HOUR, HOUR))
    if usual is None or _tail(0, usual) > chance:
        return _point(rhythm, name, begin, hour, seen, "insufficient", usual)
    tail = _tail(seen, usual)
    alarm = tail <= chance and seen <= LEAST_SHARE * usual.mean
    return _point(rhythm, name, begin, hour, seen, "alarm" if alarm else "ok", usual)


def _point(
    rhythm: Rhythm,
    name: str,
    begin: int,
    hour: int,
    seen: int,
    state: PointState,
    usual: Usual | None,
) -> SignalPoint:
    hours = (hour - begin) // HOUR + 1
    told = f"{seen:,} {name} in {hours} h"
    if usual is not None:
        told += f" where {usual.mean:,.1f} are usual"
    low, high = _poisson(seen)
    return SignalPoint(
        signal="timeliness",
        subject=name,
        scope=rhythm.scope,
        start=hour,
        end=hour + HOUR,
        n=seen,
        state=state,
        value=seen / hours,
        low=low / hours,
        high=high / hours,
        unit=f"{name}/h",
        usual=None if usual is None else usual.mean / hours,
        threshold=None if usual is None else LEAST_SHARE * usual.mean / hours,
        message=told,
        evidence={"hours": hours},
    )


def _poisson(count: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact bounds of a Poisson mean. Source: Garwood (1936), Biometrika 28:437."""
    from scipy.special import gammaincinv

    tail = (1 - level) / 2
    low = float(gammaincinv(count, tail)) if count else 0.0
    return low, float(gammaincinv(count + 1, 1 - tail))


def _tail(count: int, usual: Usual) -> float:
    """Return the chance of ``count`` or fewer where so much is usual."""
    from scipy.special import betainc, pdtr

    mean, variance = usual
    if not mean:
        return 1.0
    if variance <= mean * (1 + 1e-9):
        return float(pdtr(count, mean))
    size = mean * mean / (variance - mean)
    if size > 1e9:
        return float(pdtr(count, mean))
    return float(betainc(size, count + 1, size / (size + mean)))


def _idle(rhythm: Rhythm, hour: int, usd_per_hour: float) -> SignalPoint:
    hours = max(0.0, (hour + HOUR - rhythm.last) / HOUR)
    return SignalPoint(
        signal="idle",
        scope=rhythm.scope,
        start=hour,
        end=hour + HOUR,
        n=rhythm.predictions.get(hour, 0),
        state="alarm" if hours >= IDLE_HOURS else "ok",
        value=hours * usd_per_hour,
        unit="USD",
        usual=0.0,
        threshold=IDLE_HOURS * usd_per_hour,
        message=f"no prediction for {hours:,.1f} h, at {usd_per_hour:g} USD/h",
        evidence={"hours": hours},
    )
