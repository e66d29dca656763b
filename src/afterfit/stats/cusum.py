"""Cumulative sums of errors: the limit that a stream without a change passes as seldom as asked.

``S`` starts at 0 and becomes ``max(0, S + step)`` with each row; it is an alarm at the limit. Steps
fall on average where nothing changed. For errors that are made or not a step is the log likelihood
ratio of the shifted rate and the usual one, which finds that shift soonest for its false alarms.
For other losses it is the distance from the usual mean and half the shift, as in Page and Hinkley's
test. Sources: Page (1954), Biometrika 41:100; Hinkley (1971), Biometrika 58:509; Moustakides
(1986), Ann. Stat. 14:1379.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["alarm_limit", "cycle_peaks", "error_steps", "loss_steps"]

FloatArray = NDArray[np.float64]

REPLICATES = 40
LEAST_ALARMS = 20
"""With fewer simulated alarms than this at a limit, the limit comes from the slope of the tail."""


def error_steps(errors: NDArray[Any], usual: float, shift: float) -> FloatArray:
    """Return the step of each row, [n], for errors of 0 and 1 whose usual rate is ``usual``."""
    later = min(usual + shift, 1 - 1e-9)
    made = math.log(later / usual)
    not_made = math.log((1 - later) / (1 - usual))
    return np.where(np.asarray(errors) > 0, made, not_made)


def loss_steps(
    losses: NDArray[Any], usual: float, shift: float, scale: float, most: float
) -> FloatArray:
    """Return the step of each row, [n], in units of ``scale``; losses beyond ``most`` count as it.

    Otherwise one row, however wrong, would be an alarm.
    """
    held = np.minimum(np.asarray(losses, np.float64), most)
    return np.asarray((held - usual - shift / 2) / scale)


def cycle_peaks(steps: FloatArray) -> FloatArray:
    """Return the greatest sum between two times that it is 0, of steps in order, [n].

    A stream's alarms at any limit can be counted from these: it starts anew at 0 either way.
    """
    walk = np.cumsum(steps)
    sums = walk - np.minimum.accumulate(np.minimum(walk, 0.0))
    starts = np.flatnonzero(np.append(True, sums[:-1] == 0.0))
    peaks = np.maximum.reduceat(sums, starts)
    return np.asarray(peaks[peaks > 0], np.float64)


def alarm_limit(
    steps: FloatArray, rows_between: float, *, block: int, seed: int, rows: int = 2_000_000
) -> float:
    """Return the limit that streams like the reference pass once in ``rows_between`` rows.

    ``steps`` are the reference's, in order. Streams are drawn from resamples of it in blocks of so
    many neighbouring rows: rows that hang together stay so, and the reference's own chance, by
    which its rate is not the true one, is in the limit. Where alarms are too rare to simulate,
    the limit follows from how their number falls, which is exponential in the limit.
    """
    generator = np.random.default_rng(seed)
    count = max(1, math.ceil(len(steps) / block))
    length = rows // REPLICATES
    peaks = []
    for _ in range(REPLICATES):
        drawn = _blocks(steps, generator.integers(0, len(steps), count), block)
        starts = generator.integers(0, len(drawn), math.ceil(length / block))
        peaks.append(cycle_peaks(_blocks(drawn, starts, block)[:length]))
    every, seen = np.concatenate(peaks), length * REPLICATES
    if not len(every):
        return 0.0
    wanted = seen / rows_between
    if wanted >= LEAST_ALARMS:
        return _limit_of(every, wanted)
    rare, common = _limit_of(every, LEAST_ALARMS), _limit_of(every, 10 * LEAST_ALARMS)
    slope = math.log(10) / max(rare - common, 1e-12)
    return rare + math.log(LEAST_ALARMS / wanted) / slope


def _blocks(values: FloatArray, starts: NDArray[Any], block: int) -> FloatArray:
    """Return blocks of neighbours one after another; the end is followed by the beginning."""
    if block == 1:
        return np.asarray(values[starts], np.float64)
    places = (starts[:, None] + np.arange(block)) % len(values)
    return np.asarray(values[places].ravel(), np.float64)


def _limit_of(peaks: FloatArray, alarms: float) -> float:
    """Return the limit that these cycles pass so many times; a high one passes it repeatedly."""
    low, high = 0.0, float(peaks.max())
    for _ in range(50):
        middle = (low + high) / 2
        passed = float(np.floor(peaks / middle).sum()) if middle else math.inf
        low, high = (middle, high) if passed > alarms else (low, middle)
    return high
