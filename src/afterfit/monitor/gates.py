"""The gates of ``afterfit.toml`` on live rows: points that alarm like any other signal's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from afterfit.core.gate import Gate, passes
from afterfit.core.metric import Metric
from afterfit.core.metric_names import CLASSIFICATION, METRICS, MONITOR, REGRESSION
from afterfit.core.sections import AlarmsSection
from afterfit.monitor.figures import Ask, column_figure, sql_figure
from afterfit.monitor.measure import share_metric
from afterfit.monitor.score_metrics import table_metrics
from afterfit.monitor.state import WindowState
from afterfit.records.signals import PointState, Scope, SignalPoint

__all__ = ["GateWatch", "gate_points", "is_live", "live_metrics"]

LATENCY = {f"latency_p{q:g}_ms": q / 100 for q in (50, 90, 95, 99)}
"""Gates on a load test that mean the same of a window: time in queue and model, ms."""
STEPS = ("", "assess", "loadtest", MONITOR)
QUALITY = frozenset({*CLASSIFICATION, *REGRESSION})
COLUMN = "column:"


def is_live(gate: Gate, figures: Iterable[str] = ()) -> bool:
    """Return whether live rows can say anything about a gate."""
    if not gate.step and gate.metric in figures:
        return True
    known = {*METRICS[MONITOR], *LATENCY, "error_rate"}
    return gate.step in STEPS and gate.metric in known


def gate_points(
    gates: Iterable[Gate],
    metrics: Iterable[Metric],
    scope: Scope,
    span: tuple[int, int],
    settings: AlarmsSection | None = None,
) -> list[SignalPoint]:
    """Return a point for each gate, by the metric of its name; ``span`` is µs, end excluded.

    An alarm is a metric whose whole interval is beyond the limit (with ``confirm = "value"`` one
    whose value is). Below ``min_rows`` observations, and without a metric, it is ``insufficient``.
    A value that is beyond while its interval is not is ``cannot_tell``. The interval decides, so
    ``.low`` and ``.high`` of a gate change nothing here.
    """
    told = AlarmsSection() if settings is None else settings
    by_name = {metric.name: metric for metric in metrics}
    return [_point(gate, by_name.get(gate.metric), scope, span, told) for gate in gates]


class GateWatch:
    """Makes the points of gates from a window's state: a producer for the daemon.

    ``ask`` puts a query to the user's database; a figure in SQL is asked once for a window, and is
    of the model, not of a version. It raises what the database says, and InputError.
    """

    def __init__(
        self,
        gates: Sequence[Gate],
        settings: AlarmsSection,
        ask: Ask | None = None,
        *,
        level: float = 0.95,
        seed: int = 0,
    ) -> None:
        self._settings, self._ask, self._level, self._seed = settings, ask, level, seed
        self._figures = settings.figures
        live = [gate for gate in gates if is_live(gate, self._figures)]
        self._asked = [gate for gate in live if self._is_query(gate)]
        self._gates = [gate for gate in live if not self._is_query(gate)]
        self._answers: dict[tuple[str, int, int], Metric] = {}

    __name__ = "gates"

    def __call__(self, state: WindowState, *_: Any) -> list[SignalPoint]:
        """Return the points of a window; those of queries for the whole of a model alone."""
        span = (state.start, state.end)
        metrics = live_metrics(state, level=self._level, seed=self._seed)
        for name, text in self._figures.items():
            if text.startswith(COLUMN):
                column = text.removeprefix(COLUMN)
                metrics.append(column_figure(name, column, state.counts, self._level))
        # Quality is judged by `of_points` where labels are joined apart from the window.
        gates = [g for g in self._gates if state.scores is not None or g.metric not in QUALITY]
        points = gate_points(gates, metrics, state.scope, span, self._settings)
        if state.scope.slice or state.role != "primary":
            return points
        whole = msgspec.structs.replace(state.scope, version=0, digest="")
        answers = [self._answer(gate.metric, span) for gate in self._asked]
        return points + gate_points(self._asked, answers, whole, span, self._settings)

    @property
    def quality(self) -> tuple[str, ...]:
        """Return the metrics of gates on quality, which `of_points` needs points of."""
        return tuple(gate.metric for gate in self._gates if gate.metric in QUALITY)

    def of_points(self, points: Sequence[SignalPoint]) -> list[SignalPoint]:
        """Return the points of gates on quality, from points of performance on labels."""
        by_window: dict[tuple[Scope, int, int], list[Metric]] = {}
        for point in points:
            if point.signal == "performance":
                window = (point.scope, point.start, point.end)
                by_window.setdefault(window, []).append(_metric(point))
        gates = [gate for gate in self._gates if gate.metric in QUALITY]
        return [
            point
            for (scope, start, end), metrics in by_window.items()
            for point in gate_points(gates, metrics, scope, (start, end), self._settings)
        ]

    def _is_query(self, gate: Gate) -> bool:
        text = self._figures.get(gate.metric, COLUMN)
        return not gate.step and not text.startswith(COLUMN)

    def _answer(self, name: str, span: tuple[int, int]) -> Metric:
        key = (name, *span)
        if key not in self._answers:
            found = sql_figure(name, self._figures[name], span, self._ask, self._level)
            # Windows come in the order of time, a version after another: the last few are enough.
            self._answers = dict([*self._answers.items()][-50:]) | {key: found}
        return self._answers[key]


def live_metrics(state: WindowState, *, level: float = 0.95, seed: int = 0) -> list[Metric]:
    """Return what a window's state tells by the names of gates, each with its interval and n."""
    found = [_quantile(f"{part}_p{q}_us", waits, q / 100, 1.0, "us", level)
             for part, waits in (("queue", state.queue), ("infer", state.infer))
             for q in (50, 95, 99)]  # fmt: skip
    found += [_quantile(name, state.total, q, 1000.0, "ms", level) for name, q in LATENCY.items()]
    kinds = state.kinds
    served, failed = kinds.get("served", 0), kinds.get("failed", 0)
    unanswered = failed + kinds.get("refused", 0)
    found.append(share_metric("error_rate", failed, served + failed, level))
    found.append(share_metric("unanswered_share", unanswered, unanswered + served, level))
    found += [
        share_metric(f"{flag}_share", state.flags.get(flag, 0), state.flags_n, level)
        for flag in ("range", "new_category", "missing", "ood")
    ]
    if state.scores is not None:
        found.append(share_metric("labelled_share", state.scores.labelled, state.n, level))
        found += table_metrics(state.scores, level=level, seed=seed)
    return found


def _metric(point: SignalPoint) -> Metric:
    """Return the metric of a point; what is said to be too little says nothing."""
    if point.state == "insufficient":
        return Metric(name=point.subject, value=None, n=point.n, method=point.message or "too few")
    return Metric(name=point.subject, value=point.value, low=point.low, high=point.high,
                  level=point.level, n=point.n, unit=point.unit)  # fmt: skip


def _quantile(name: str, waits: Any, q: float, divisor: float, unit: str, level: float) -> Metric:
    values = [each / divisor for each in waits.quantile(q, level)]
    if not all(map(math.isfinite, values)):
        return Metric(name=name, value=None, unit=unit, method="no waits are known")
    value, low, high = values
    n = waits.n
    # No rank lies above the last one: so far out nothing bounds the quantile.
    if n * (1 - q) < 1:
        return Metric(name=name, value=value, n=n, unit=unit, method="too few for a bound")
    return Metric(name=name, value=value, low=low, high=high, level=level, n=n, unit=unit,
                  method="ranks of a binomial")  # fmt: skip


def _point(
    gate: Gate, metric: Metric | None, scope: Scope, span: tuple[int, int], told: AlarmsSection
) -> SignalPoint:
    metric = metric or Metric(name=gate.metric, value=None, method="it was not measured")
    state = _state(gate, metric, told)
    words = {"insufficient": f"{metric.method}; " if metric.value is None else "too few: "}
    return SignalPoint(
        signal="gate",
        subject=str(gate),
        scope=scope,
        start=span[0],
        end=span[1],
        n=metric.n,
        state=state,
        value=metric.value,
        low=metric.low,
        high=metric.high,
        level=metric.level,
        unit=metric.unit,
        threshold=gate.limit,
        needed=told.min_rows,
        message=f"{words.get(state, '')}{gate}: {metric.text()}",
    )


def _state(gate: Gate, metric: Metric, told: AlarmsSection) -> PointState:
    if metric.value is None or metric.n < told.min_rows:
        return "insufficient"
    if passes(gate, metric.value):
        return "ok"
    if told.confirm == "value":
        return "alarm"
    if metric.low is None or metric.high is None:
        return "cannot_tell"
    return "alarm" if _wholly_beyond(gate, metric.low, metric.high) else "cannot_tell"


def _wholly_beyond(gate: Gate, low: float, high: float) -> bool:
    """Return whether no number of the interval passes the gate."""
    if gate.op == "==":
        return not low <= gate.limit <= high
    return not passes(gate, low) and not passes(gate, high)
