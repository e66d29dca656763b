"""Who makes points of a closed window: one function for each family of signals.

Each is imported when the first window closes, and one that fails is told of and stops no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from afterfit.errors import InputError
from afterfit.monitor.budget import Budget
from afterfit.monitor.calibrate import LEAST_ROWS, Calibration, calibrate_counts
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.settings import Watch
from afterfit.monitor.state import WindowState
from afterfit.monitor.table import Reference
from afterfit.records.signals import SignalPoint

__all__ = ["PRODUCERS", "SIGNALS", "Watched", "budget_of", "drift", "produce", "service"]

SIGNALS = 6
"""Families that share the budget: inputs, output, two of silence, quality and fairness."""


@dataclass
class Watched:
    """A version that is watched: what it is compared with, and thresholds from that.

    ``kept`` is the calibration that was made of the same reference before, or of its rows;
    ``scores`` those of its labelled rows, where they are known.
    """

    reference: Reference
    kept: Calibration | None = None
    scores: ScoreTable | None = None
    seed: int = 0
    judges: dict[Budget, object] = field(default_factory=dict)

    @cached_property
    def calibration(self) -> Calibration | None:
        """The thresholds; None of a reference that is too small for any."""
        if self.kept is not None or self.reference.fingerprint is None:
            return self.kept
        try:
            return calibrate_counts(self.reference.fingerprint, seed=self.seed)
        except InputError:
            return None


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
    """Return drift of columns and of the output; nothing without thresholds."""
    from afterfit.monitor.signals.drift import DriftConfig, DriftJudge

    fingerprint, calibration = watched.reference.fingerprint, watched.calibration
    if fingerprint is None or calibration is None or not state.n:
        return []
    judge = watched.judges.get(budget)
    if not isinstance(judge, DriftJudge):
        config = DriftConfig(budget=budget, min_rows=max(LEAST_ROWS, watch.min_rows))
        judge = watched.judges[budget] = DriftJudge(fingerprint, calibration, config)
    flags = state.flags if state.flags_n else None
    span = (state.start, state.end)
    return judge.points(state.counts, state.scope, span, flags=flags, flags_n=state.flags_n)


PRODUCERS: tuple[Producer, ...] = (service, drift)


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
            failed(producer.__name__, error)
    return points
