"""Quality over the period of a report: what labels show, and what is estimated without them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from afterfit.core.finding import Finding
from afterfit.core.frame import row_count, take
from afterfit.core.metric import Metric
from afterfit.core.signature import Signature
from afterfit.monitor import findings as checks
from afterfit.monitor.calibrate import LEAST_REFERENCE
from afterfit.monitor.config import MonitorConfig
from afterfit.monitor.density import Rows
from afterfit.monitor.held_out import MeasuredRate, calibration_findings
from afterfit.monitor.log import Log
from afterfit.monitor.maturity import MaturityCurve, curve_of
from afterfit.monitor.measure import truth_codes
from afterfit.monitor.sample import decode_frame
from afterfit.monitor.score_metrics import MAIN_METRICS, table_metric
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.signals.estimate import Estimator, estimate_points
from afterfit.monitor.signals.performance import coverage_points, performance_points
from afterfit.monitor.signals.quality import QualityConfig, Window, unjudged
from afterfit.monitor.watched import NO_ROWS, Watched
from afterfit.records.signals import Scope, SignalPoint

__all__ = ["estimated_metrics", "quality_findings", "quality_over_time"]

STRETCHES = 12
FIX = "give labelled rows that the model was not trained on: --reference FILE"


@dataclass(frozen=True)
class _Part:
    """Some predictions of a log, by their places, from ``start`` to ``end`` (µs)."""

    places: np.ndarray
    start: int
    end: int


def quality_over_time(log: Log, watched: Watched, config: MonitorConfig) -> list[SignalPoint]:
    """Return, of the whole period first and then of up to 12 stretches, performance and estimates.

    The whole has the labelled share with its maturity as well. Without times there is the whole
    alone; without rows of the reference there are no estimates, and performance is not judged.
    """
    truth = _truth(log, watched.signature)
    whole = _Part(np.arange(len(log.scores)), *_ends(log.ts))
    points = [*_labels(log, truth, whole, watched, config)]
    estimator = watched.estimator
    for part in (whole, *_stretches(log.ts, whole)):
        table = ScoreTable.of(watched.signature)
        shown = None if log.probabilities is None else log.probabilities[part.places]
        table.update(log.scores[part.places], log.codes[part.places], truth[part.places], shown)
        window = Window(Scope(), part.start, part.end)
        points += _performance(table, window, watched, config)
        if estimator is not None:
            needed = part is whole or watched.signature.task == "regression"
            rows = _rows(log, part, watched) if needed else None
            points += _estimates(estimator, table, window, rows, config)
    return points


def quality_findings(
    points: Sequence[SignalPoint], watched: Watched, rates: Sequence[MeasuredRate]
) -> Iterator[Finding]:
    """Yield whether quality can be estimated, and from what thresholds of drift come."""
    whole = _whole(points)
    if watched.estimator is None:
        why = watched.missing().get("estimate", NO_ROWS)
        yield checks.NoEstimate.skipped(f"nothing is estimated: {why}", fix=FIX)
    for point in whole:
        if point.state == "insufficient":
            yield checks.NoEstimate.skipped(point.message, needed_n=point.needed, n=point.n)
            break
        if point.state == "cannot_tell":
            yield checks.NoEstimate.issue(
                point.message, where=point.subject, fix="have some of these rows labelled"
            )
        elif point.state in ("ok", "alarm"):
            yield checks.NoEstimate.passed(point.message, where=point.subject)
    if watched.grounds is None:
        yield checks.Calibrated.skipped(NO_ROWS, fix=FIX)
    elif watched.calibration is None:
        few = watched.grounds.known.n
        yield checks.Calibrated.skipped(
            "the reference is too small for thresholds", needed_n=LEAST_REFERENCE, n=few
        )
    else:
        yield from calibration_findings(watched.calibration, rates)


def estimated_metrics(points: Sequence[SignalPoint]) -> list[Metric]:
    """Return the estimates of the whole period as metrics."""
    return [
        Metric(
            name=f"estimated_{point.subject}",
            value=point.value,
            low=point.low,
            high=point.high,
            level=point.level,
            n=point.n,
            method="estimated without labels",
            unit=point.unit,
            scope="live",
        )
        for point in _whole(points)
        if point.value is not None
    ]


def _whole(points: Sequence[SignalPoint]) -> list[SignalPoint]:
    """Return the estimates of the longest window."""
    found = [point for point in points if point.signal == "estimate"]
    longest = max((point.end - point.start for point in found), default=0)
    names = dict.fromkeys(point.subject for point in found)
    return [
        next(p for p in found if p.subject == name and p.end - p.start == longest) for name in names
    ]


def _performance(
    table: ScoreTable, window: Window, watched: Watched, config: MonitorConfig
) -> list[SignalPoint]:
    names = config.metrics or MAIN_METRICS[watched.signature.task]
    asked = QualityConfig(
        metrics=names, level=config.level, seed=config.seed, min_labels=config.min_labels,
        chance=config.false_alarms / len(names),
    )  # fmt: skip
    if watched.usual is not None:
        return performance_points(watched.usual, table, window, asked)
    metrics = (table_metric(table, name, level=config.level, seed=config.seed) for name in names)
    few = table.labelled < config.min_labels
    return [
        unjudged("performance", metric, "insufficient" if few else "ok", window)
        for metric in metrics
        if metric is not None
    ]


def _estimates(
    estimator: Estimator,
    table: ScoreTable,
    window: Window,
    rows: Rows | None,
    config: MonitorConfig,
) -> list[SignalPoint]:
    names = config.metrics or MAIN_METRICS[estimator.signature.task]
    usual = {name: metric for name, metric in estimator.usual.items() if name in names}
    asked = msgspec.structs.replace(
        estimator.config, level=config.level, min_rows=config.min_rows,
        chance=config.false_alarms / max(1, len(usual)),
    )  # fmt: skip
    return estimate_points(replace(estimator, usual=usual, config=asked), table, window, rows)


def _labels(
    log: Log, truth: np.ndarray, whole: _Part, watched: Watched, config: MonitorConfig
) -> list[SignalPoint]:
    if not len(log.scores):
        return []
    table = ScoreTable.of(watched.signature)
    table.update(log.scores, log.codes, truth)
    curve = MaturityCurve(())
    if log.label_ts is not None:
        curve = curve_of(log.ts, log.label_ts, level=config.level)
    window = Window(Scope(), whole.start, whole.end)
    quality = QualityConfig(level=config.level, seed=config.seed, chance=config.false_alarms)
    return coverage_points(table, window, quality, {}, curve=curve)


def _rows(log: Log, part: _Part, watched: Watched) -> Rows | None:
    """Return some rows of a part with their inputs; None where they were not captured."""
    nothing = np.zeros(0, np.int64)
    if row_count(log.frame) == len(log.scores) and log.frame:
        places = part.places[np.isfinite(log.scores[part.places])]
        rows = Rows(take(log.frame, places), log.scores[places], log.codes[places])
        return rows.drawn(2000, watched.seed)
    sample, reference = log.sample, watched.fingerprint
    if sample is None or reference is None or len(part.places) < len(log.scores):
        return None
    matrix = sample.matrix()
    known = np.flatnonzero(np.isfinite(matrix[:, -1]))[:2000]
    # A column that a log has not is missing in every row of the sample.
    held = dict(zip(sample.names, ~np.isnan(matrix).all(axis=0), strict=True))
    names = [c.name for c in reference.columns if c.kind != "text" and held[c.name]]
    columns = [sample.names.index(name) for name in names]
    frame = decode_frame(matrix[known][:, columns], names, reference)
    scores = matrix[known, -1].astype(np.float64)
    return Rows(frame, scores, np.resize(nothing, len(known)))


def _truth(log: Log, signature: Signature) -> np.ndarray:
    labelled, truth = truth_codes(log, signature)
    if signature.task == "regression":
        return np.where(labelled, truth, np.nan)
    return np.where(labelled, np.where(truth < 0, -2, truth), -1)


def _ends(ts: np.ndarray) -> tuple[int, int]:
    known = ts[ts > 0]
    return (int(known.min()), int(known.max()) + 1) if len(known) else (0, 0)


def _stretches(ts: np.ndarray, whole: _Part) -> Iterator[_Part]:
    """Yield up to 12 stretches of equal length that hold a prediction."""
    if whole.end - whole.start < STRETCHES or len(ts) != len(whole.places):
        return
    edges = np.linspace(whole.start, whole.end, STRETCHES + 1).astype(np.int64).tolist()
    for start, end in itertools.pairwise(edges):
        places = np.flatnonzero((ts >= start) & (ts < end))
        if len(places):
            yield _Part(places, start, end)
