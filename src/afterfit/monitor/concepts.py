"""Concept drift over windows: the error stream of a version, kept as stretches that follow on.

Labels come late and in any order, so each window's stretch is made anew when its labels change, and
all windows after it are judged again. Windows older than a month are one stretch for good.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from afterfit.errors import InputError
from afterfit.monitor.budget import MONTH_US, Budget
from afterfit.monitor.labels import LabelJoin, Series
from afterfit.monitor.signals.concept import (
    Detector,
    ErrorStream,
    concept_point,
    errors_of,
    fit_detector,
)
from afterfit.monitor.signals.performance import truth_of
from afterfit.monitor.signals.quality import QualityConfig, Window
from afterfit.monitor.watched import Watched
from afterfit.records.signals import SignalPoint

__all__ = ["CONCEPT", "Stream", "concept_points", "fit_stream"]

CONCEPT = "concept/"
MOST_STRETCHES = 744
"""Windows that may still change: a month of hours."""
MOST_BETWEEN = 50_000_000
"""Rows between false alarms beyond which a limit is no longer told apart."""
MOST_RISE, MOST_SHARE = 0.1, 0.5
"""A rise of an error rate, or share of a mean error, that a reference must be able to tell."""


class Stream(msgspec.Struct, kw_only=True):
    """The error stream of one version: its detector, and the stretch of each window by its start.

    ``before`` is all that is older than the stretches.
    """

    detector: Detector
    before: ErrorStream
    stretches: dict[int, ErrorStream] = {}


def fit_stream(join: LabelJoin, series: Series, watched: Watched, budget: Budget) -> Stream | None:
    """Return an empty stream with a detector for the rate at which labelled rows come.

    None without labelled rows of the reference, or with too few.
    """
    if watched.grounds is None or watched.fingerprint is None:
        return None
    rows = watched.grounds.quality_rows(watched.signature, watched.fingerprint)
    if rows is None or rows.truth is None:
        return None
    task = watched.signature.task
    errors = errors_of(task, rows.scores, rows.codes, rows.truth)
    between, config = _rows_between(join, series, budget), QualityConfig(seed=watched.seed)
    try:
        detector = fit_detector(task, errors, between, config)
        if detector.needed:
            detector = fit_detector(task, errors, between, _tellable(config, detector))
    except InputError:
        return None
    return Stream(detector=detector, before=detector.nothing())


def _tellable(config: QualityConfig, detector: Detector) -> QualityConfig:
    """Return the settings with the least rise that so few reference rows can tell, up to a limit.

    The error of their own rate falls with the root of their number.
    """
    factor = 1.01 * math.sqrt(detector.needed / detector.n_ref)
    least = min(MOST_RISE, config.least * factor)
    share = min(MOST_SHARE, config.least_share * factor)
    return msgspec.structs.replace(config, least=least, least_share=share)


def _rows_between(join: LabelJoin, series: Series, budget: Budget) -> float:
    """Return how many labelled rows come while the budget allows one false alarm of this signal."""
    n, first, last = join.query(
        "SELECT count(*), min(ts), max(ts) FROM predictions WHERE truth IS NOT NULL AND served "
        "AND series = (SELECT number FROM series WHERE key = ?)",
        (msgspec.json.encode(series).decode(),),
    )[0]
    span = max(1, (last or 0) - (first or 0))
    a_month = n * MONTH_US / span if n > 1 else float(n)
    return min(MOST_BETWEEN, max(1.0, a_month / -math.log1p(-budget.of_windows(1.0))))


def concept_points(
    join: LabelJoin, series: Series, watched: Watched, stream: Stream, changed: Iterable[int],
    width: int,
) -> list[SignalPoint]:  # fmt: skip
    """Return the points of the windows that begin at ``changed`` (µs), and of all after them.

    ``width`` is how long a window lasts, in µs. The stream is brought up to date.
    """
    oldest = min(stream.stretches, default=0)
    whole = len(stream.stretches) >= MOST_STRETCHES
    starts = sorted(start for start in changed if not whole or start >= oldest)
    for start in starts:
        stream.stretches[start] = _stretch(join, series, watched, stream.detector, start, width)
    stream.stretches = dict(sorted(stream.stretches.items()))
    points, before = [], msgspec.structs.replace(stream.before)
    for start, stretch in stream.stretches.items():
        if starts and start >= starts[0]:
            window = Window(series.scope, start, start + width)
            points.append(concept_point(stream.detector, before, stretch, window))
        before.follow(stretch)
    for start in list(stream.stretches)[: max(0, len(stream.stretches) - MOST_STRETCHES)]:
        stream.before.follow(stream.stretches.pop(start))
    return points


def _stretch(
    join: LabelJoin, series: Series, watched: Watched, detector: Detector, start: int, width: int
) -> ErrorStream:
    stream = detector.nothing()
    for part in join.read(series, start, start + width):
        truth = truth_of(part.truth, watched.signature)
        errors = errors_of(watched.signature.task, part.scores, part.codes, truth)
        stream.add(errors, detector.steps(errors))
    return stream
