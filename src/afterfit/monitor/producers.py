"""Who makes points of a closed window: one function for each family of signals.

Each is imported when the first window closes, and one that fails is told of and stops no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from afterfit.core.fingerprint import Fingerprint
from afterfit.models.one_thread import one_thread
from afterfit.monitor.budget import Budget
from afterfit.monitor.calibrate import LEAST_ROWS
from afterfit.monitor.density import Rows
from afterfit.monitor.rank import with_losses
from afterfit.monitor.sample import decode_frame
from afterfit.monitor.settings import Watch
from afterfit.monitor.state import WindowState
from afterfit.monitor.thin import drawn_of, thinned
from afterfit.monitor.watched import Watched
from afterfit.records.signals import SignalPoint

if TYPE_CHECKING:
    from afterfit.monitor.signals.drift import DriftJudge

__all__ = [
    "PRODUCERS",
    "SIGNALS",
    "Producer",
    "Watched",
    "budget_of",
    "drift",
    "estimate",
    "produce",
    "service",
    "skew",
    "together",
]

SIGNALS = 11
"""Families that share the budget: inputs, output, two of silence, quality, fairness, estimates,
concept drift, two of all columns together, and the first rows of a version."""

Producer = Callable[[WindowState, Watched, Watch, Budget], list[SignalPoint]]


def budget_of(watch: Watch, scopes: int) -> Budget:
    """Return the budget of false alarms, divided over what is watched at once."""
    return Budget(
        false_alarms_per_month=watch.false_alarms_per_month,
        signals=SIGNALS,
        versions=max(1, scopes),
    )


def service(
    state: WindowState, watched: Watched, watch: Watch, budget: Budget
) -> list[SignalPoint]:
    """Return latency, failures and cost."""
    from afterfit.monitor.signals.service import service_points

    del watched, budget
    return service_points(state, watch)


def drift(state: WindowState, watched: Watched, watch: Watch, budget: Budget) -> list[SignalPoint]:
    """Return drift of columns and of the output; nothing without thresholds.

    Of a window that is larger than its reference, whose noise it would take for drift, as many rows
    as that has are judged.
    """
    from afterfit.monitor.signals.drift import DriftConfig, DriftJudge

    fingerprint, calibration = watched.reference.fingerprint, watched.calibration
    if fingerprint is None or calibration is None or not state.n:
        return []
    config = DriftConfig(budget=budget, min_rows=max(LEAST_ROWS, watch.min_rows))
    season = _season(state, watched, fingerprint)
    if season is None:
        judge = watched.judges.get(budget)
        if not isinstance(judge, DriftJudge):
            judge = watched.judges[budget] = DriftJudge(fingerprint, calibration, config)
    else:
        judge = DriftJudge(season, calibration.of(season), config)
    return _judged(judge, state, season or fingerprint, watched, watch)


def _judged(
    judge: DriftJudge, state: WindowState, reference: Fingerprint, watched: Watched, watch: Watch
) -> list[SignalPoint]:
    """Return the points of a window, or of as many of its rows as the reference has."""
    counts, flags_n, most = state.counts, state.flags_n, reference.n_ref
    flags = dict(state.flags) if flags_n else None
    said, n = "", max([state.n, *(column.total for column in counts.columns)])
    if n > most:
        generator = np.random.default_rng([watch.seed, state.start // 1_000_000])
        counts = thinned(counts, most, generator)
        if flags is not None:
            flags = {name: drawn_of(k, flags_n, most, generator) for name, k in flags.items()}
            flags_n = min(flags_n, most)
        said = _drawn(n, most, watched, reference)
    span = (state.start, state.end)
    points = judge.points(counts, state.scope, span, flags=flags, flags_n=flags_n)
    return [_with(point, said) for point in points] if said else points


def _season(state: WindowState, watched: Watched, whole: Fingerprint) -> Fingerprint | None:
    """Return what is usual in the season of a window; None where that is the whole reference."""
    if watched.seasons is None:
        return None
    found = watched.seasons.reference_of(state.start, state.end)
    return None if found is whole else found


def _drawn(n: int, most: int, watched: Watched, reference: Fingerprint) -> str:
    """Return in words how many rows were drawn, and why."""
    whole, seasons = reference is watched.reference.fingerprint, watched.seasons
    of = "" if whole or seasons is None else f" of the same {seasons.grain.replace('_', ' ')}"
    return f"judged by {most:,} of {n:,} rows, drawn: the reference{of} has no more"


def _with(point: SignalPoint, said: str) -> SignalPoint:
    if point.state not in ("ok", "alarm"):
        return point
    message = "; ".join(filter(None, (point.message, said)))
    return msgspec.structs.replace(point, message=message)


def estimate(
    state: WindowState, watched: Watched, watch: Watch, budget: Budget
) -> list[SignalPoint]:
    """Return quality without labels, of all rows of a version; its metrics share one chance."""
    if state.scores is None or state.scope.slice or watched.estimator is None:
        return []
    from afterfit.monitor.signals.estimate import estimate_points
    from afterfit.monitor.signals.quality import Window

    known = watched.estimator
    chance = budget.per_window(state.start, state.end) / max(1, len(known.usual))
    config = msgspec.structs.replace(known.config, chance=chance, min_rows=watch.min_rows)
    window = Window(state.scope, state.start, state.end)
    with one_thread():
        rows = _sampled(state, watched)
        return estimate_points(replace(known, config=config), state.scores, window, rows)


def together(
    state: WindowState, watched: Watched, watch: Watch, budget: Budget
) -> list[SignalPoint]:
    """Return whether all columns together differ, from the sample of rows that a window keeps."""
    reference = watched.reference.fingerprint
    known = watched.sampled
    if state.scope.slice or not len(state.sample) or known is None or reference is None:
        return []
    from afterfit.monitor.signals.multivariate import (
        Limits,
        domain_classifier,
        reconstruction,
        rows_of,
    )

    seen = [place for place, column in enumerate(state.counts.columns) if column.total]
    live = rows_of(state.sample, reference).columns(seen)
    limits = Limits(chance=budget.per_window(state.start, state.end), seed=watch.seed)
    span = (state.start, state.end)
    with one_thread():
        return [
            signal(known.columns(seen), live, state.scope, span, limits)
            for signal in (domain_classifier, reconstruction)
        ]


def skew(state: WindowState, watched: Watched, watch: Watch, budget: Budget) -> list[SignalPoint]:
    """Return whether rows of entities that training knew have the values that they had there."""
    from afterfit.monitor.signals.skew import same_points

    del watched, watch, budget
    return same_points(state.same, state.scope, (state.start, state.end))


def _sampled(state: WindowState, watched: Watched) -> Rows | None:
    """Return the sampled rows that have an answer; None where no inputs are known."""
    reference = watched.reference.fingerprint
    if reference is None or not len(state.sample):
        return None
    matrix = state.sample.matrix()
    scores = matrix[:, -1].astype(np.float64)
    known = np.flatnonzero(np.isfinite(scores))
    names = [c.name for c in state.counts.columns if c.total and c.kind != "text"]
    places = [state.sample.names.index(name) for name in names]
    frame = decode_frame(matrix[known][:, places], names, reference)
    return Rows(frame, scores[known], np.zeros(len(known), np.int64))


PRODUCERS: tuple[Producer, ...] = (service, drift, estimate, together, skew)


def produce(
    state: WindowState,
    watched: Watched,
    watch: Watch,
    budget: Budget,
    *,
    failed: Callable[[str, Exception], None],
    producers: tuple[Producer, ...] = PRODUCERS,
) -> list[SignalPoint]:
    """Return the points of a window; ``failed`` hears of a producer that could make none."""
    points: list[SignalPoint] = []
    for producer in producers:
        try:
            points += producer(state, watched, watch, budget)
        except Exception as error:  # noqa: BLE001 - one signal that breaks must not end the others
            failed(producer.__name__.strip("_"), error)
    return with_losses(points)
