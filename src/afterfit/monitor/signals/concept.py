"""Concept drift: errors that became more frequent or larger, whatever the inputs do.

A cumulative sum over the labelled rows in the order of time needs no windows, so a small change
that lasts is found as surely as a great one. It is judged when each window's labels have come.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from afterfit.core.metric import Metric
from afterfit.core.signature import Task
from afterfit.errors import InputError
from afterfit.monitor.signals.quality import QualityConfig, Window, unjudged
from afterfit.records.signals import SignalPoint
from afterfit.stats.cusum import alarm_limit, error_steps, loss_steps

__all__ = ["Detector", "ErrorStream", "concept_point", "errors_of", "fit_detector"]

FloatArray = npt.NDArray[np.float64]

LEAST_REFERENCE = 500
HEIGHT = 2.0
"""The sum stops growing at so many limits, so that it comes down soon after errors have."""
MOST_QUANTILE = 0.999


class Detector(msgspec.Struct, frozen=True, kw_only=True):
    """How an error stream is judged: calibrated on ``n_ref`` labelled reference rows in time order.

    ``usual`` is the error rate, or the mean absolute error in the target's unit; ``shift`` the
    smallest rise worth knowing. A stream without a change passes ``limit`` once in ``rows_between``
    rows; one that rose by ``shift`` after about ``delay`` rows. ``needed`` is how many reference
    rows it takes to tell a usual rate from a shifted one, where there are too few.
    """

    kind: Literal["error rate", "mean absolute error"]
    usual: float
    shift: float
    scale: float
    most: float
    limit: float
    rows_between: float
    delay: float
    n_ref: int
    needed: int = 0

    def steps(self, values: FloatArray) -> FloatArray:
        """Return the step of each error, [n], in order."""
        if self.kind == "error rate":
            return error_steps(values, self.usual, self.shift)
        return loss_steps(values, self.usual, self.shift, self.scale, self.most)

    def stream(self, values: FloatArray) -> ErrorStream:
        """Return what some errors in order do to the sum, wherever it stood before."""
        stream = self.nothing()
        stream.add(values, self.steps(values))
        return stream

    def nothing(self) -> ErrorStream:
        """Return the stretch of no error, with which a stream begins."""
        return ErrorStream(high=HEIGHT * self.limit, most=HEIGHT * self.limit)


class ErrorStream(msgspec.Struct, kw_only=True):
    """What a stretch of errors does to a sum that starts at any ``s``, in a few numbers.

    It ends at ``min(high, max(low, s + move))`` and is ``max(peak, s + rise)`` at its greatest;
    it falls by ``dip`` at most. ``n`` errors add up to ``total``; started at 0 it was 0 last
    ``since`` rows before the end. It is never more than ``most``. Stretches that follow one another
    make one (`follow`), in any grouping: what is read today goes on from what was kept yesterday.
    """

    n: int = 0
    total: float = 0.0
    move: float = 0.0
    low: float = 0.0
    high: float = 0.0
    rise: float = 0.0
    peak: float = 0.0
    dip: float = 0.0
    since: int = 0
    most: float = 0.0

    @property
    def statistic(self) -> float:
        """The sum at the end, from 0 at the beginning."""
        return min(self.high, max(self.low, self.move))

    def add(self, values: FloatArray, steps: FloatArray) -> None:
        """Add errors in order with their steps."""
        most = self.most
        for step in steps.tolist():
            self.move += step
            self.rise = max(self.rise, self.move)
            self.dip = min(self.dip, self.move)
            self.low = min(most, max(0.0, self.low + step))
            self.high = min(most, max(0.0, self.high + step))
            self.peak = max(self.peak, self.low)
            self.since = self.since + 1 if self.low > 0 else 0
        self.n += len(steps)
        self.total += float(values.sum())

    def follow(self, later: ErrorStream) -> None:
        """Add the stretch that comes right after this one."""
        if not later.n:
            return
        start = self.statistic
        stayed = start + later.dip > 0
        self.since = self.since + later.n if stayed else later.since
        self.peak = max(self.peak, later.peak, min(self.most, start + later.rise))
        self.rise = max(self.rise, self.move + later.rise)
        self.dip = min(self.dip, self.move + later.dip)
        self.low = min(later.high, max(later.low, self.low + later.move))
        self.high = min(later.high, max(later.low, self.high + later.move))
        self.move += later.move
        self.n += later.n
        self.total += later.total


def errors_of(
    task: Task, scores: FloatArray, codes: npt.NDArray[np.int64], truth: npt.NDArray[np.generic]
) -> FloatArray:
    """Return the errors of labelled rows in order: 0 and 1, or absolute ones in the target's unit.

    ``truth`` is as `ScoreTable.update` takes it; rows without a label or an answer are left out.
    """
    if task == "regression":
        sizes = np.abs(scores - np.asarray(truth, np.float64))
        return np.asarray(sizes[np.isfinite(sizes)], np.float64)
    known = np.asarray(truth, np.int64)
    rows = (known >= 0) & (codes >= 0)
    return np.asarray(known[rows] != codes[rows], np.float64)


def fit_detector(
    task: Task,
    errors: FloatArray,
    rows_between: float,
    config: QualityConfig,
    *,
    block: int | None = None,
) -> Detector:
    """Return a detector for errors like the reference's, in time order, [n].

    False alarms lie ``rows_between`` labelled rows apart on average, by simulation. Rows are drawn
    in blocks of ``block`` neighbours (by default the cube root of n), which should be longer than
    errors hang together. The shift is ``config.least`` of an error rate, and of a mean error the
    share ``config.least_share``. Raises InputError for fewer than 500 errors.
    """
    n = len(errors)
    if n < LEAST_REFERENCE:
        raise InputError(
            f"{n} labelled reference rows are too few to calibrate concept drift on",
            where="reference",
            why="the limit of a sum of errors comes from how they vary",
            fix=f"give {LEAST_REFERENCE} or more labelled rows in time order",
        )
    length = block or max(1, round(n ** (1 / 3)))
    usual = float(errors.mean())
    deviation = float(errors.std())
    if task == "regression":
        shift = config.least_share * usual
    else:
        shift, usual = config.least, min(max(usual, 1 / (n + 2)), 1 - config.least - 1e-6)
    scale = deviation or 1.0
    known = Detector(
        kind="mean absolute error" if task == "regression" else "error rate",
        usual=usual,
        shift=shift,
        scale=scale,
        most=float(np.quantile(errors, MOST_QUANTILE)) + 3 * scale,
        limit=0.0,
        rows_between=rows_between,
        delay=math.inf,
        n_ref=n,
        needed=_needed(errors, length, shift),
    )
    steps = known.steps(errors)
    limit = alarm_limit(steps, rows_between, block=length, seed=config.seed)
    drift = float(steps.mean()) + _slope(known)
    delay = limit / drift if drift > 0 else math.inf
    return msgspec.structs.replace(known, limit=limit, delay=delay)


def _slope(detector: Detector) -> float:
    """Return by how much the mean step grows where errors rise by the shift."""
    if detector.kind == "error rate":
        parts = error_steps(np.array([1.0, 0.0]), detector.usual, detector.shift)
        return float(parts[0] - parts[1]) * detector.shift
    return detector.shift / detector.scale


def _needed(errors: FloatArray, block: int, shift: float) -> int:
    """Return the reference rows needed to know the usual mean to a quarter of the shift, or 0."""
    n = len(errors)
    whole = errors[: n // block * block].reshape(-1, block).mean(axis=1)
    error = float(whole.std()) / math.sqrt(len(whole))
    if not shift:
        return 0
    factor = (4 * error / shift) ** 2
    return math.ceil(n * factor) if factor > 1 else 0


def concept_point(
    detector: Detector,
    before: ErrorStream,
    stretch: ErrorStream,
    window: Window,
) -> SignalPoint:
    """Return where the sum of errors stands in a window, ``stretch``, that follows ``before``.

    An alarm where it passed its limit; ``n`` counts the window's labelled rows. The point is
    ``cannot_tell`` where the reference is too short to know its own rate to a quarter of the shift.
    """
    start = before.statistic
    peak = max(stretch.peak, min(stretch.most, start + stretch.rise)) if stretch.n else start
    metric = Metric(name=detector.kind, value=peak, n=stretch.n)
    evidence = {
        "limit": detector.limit,
        "usual": detector.usual,
        "shift": detector.shift,
        "rows_between_false_alarms": detector.rows_between,
        "delay_rows": detector.delay if math.isfinite(detector.delay) else None,
        "mean": stretch.total / stretch.n if stretch.n else None,
    }
    if detector.needed:
        message = (
            f"{detector.n_ref:,} labelled reference rows do not tell the usual {detector.kind} to "
            f"a quarter of {detector.shift:.3g}; {detector.needed:,} would"
        )
        return unjudged(
            "concept", metric, "cannot_tell", window, needed=detector.needed, message=message,
            evidence=evidence,
        )  # fmt: skip
    if not stretch.n:
        message = "no row of this window has a label yet"
        return unjudged(
            "concept", metric, "insufficient", window, needed=1, message=message, evidence=evidence
        )
    alarm = peak >= detector.limit
    both = msgspec.structs.replace(before)
    both.follow(stretch)
    takes = f"takes about {detector.delay:,.0f} labelled rows to find"
    message = f"no rise of the {detector.kind} by {detector.shift:.3g} is seen; such a one {takes}"
    if alarm:
        message = (
            f"the {detector.kind} rose from {detector.usual:.4g}, about {both.since:,} labelled "
            f"rows ago; a rise by {detector.shift:.3g} {takes}"
        )
    state: Literal["alarm", "ok"] = "alarm" if alarm else "ok"
    point = unjudged("concept", metric, state, window, message=message, evidence=evidence)
    return msgspec.structs.replace(point, threshold=detector.limit, usual=0.0, least=detector.shift)
