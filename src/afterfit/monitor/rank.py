"""Alarms in the order in which they deserve a look."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from afterfit.core.finding import SEVERITIES
from afterfit.core.metric import Metric
from afterfit.records.signals import Alarm, Scope, SignalPoint

__all__ = ["beyond", "loss_text", "rank", "with_losses", "worse"]

_OF_ROWS = frozenset(
    {"drift", "output", "missing", "new_category", "range", "domain", "structure", "skew", "schema"}
)
"""Signals that say that rows changed, and not what that costs: their window's estimate does."""


def with_losses(points: list[SignalPoint]) -> list[SignalPoint]:
    """Return the points of one window, its alarms of changed rows with the loss of its estimate.

    The loss is that of the first metric of which the window has an estimate; without one it stays
    unknown.
    """
    losses: dict[Scope, Metric] = {}
    for point in points:
        if point.signal == "estimate" and point.loss is not None:
            losses.setdefault(point.scope, point.loss)
    return [
        msgspec.structs.replace(point, loss=losses[point.scope])
        if point.state == "alarm" and point.signal in _OF_ROWS and point.scope in losses
        else point
        for point in points
    ]


def rank(alarms: Iterable[Alarm]) -> list[Alarm]:
    """Return the alarms, the one that costs the most first.

    Known losses of the model's metric come first, the greatest ahead. Where the loss cannot be told
    it is how far the value is beyond its threshold, and then the severity. What is over stands
    last. The loss is shown with its interval by `loss_text`.
    """
    return sorted(alarms, key=_key)


def worse(point: SignalPoint) -> tuple[bool, float, float]:
    """Return a key by which the worst of an alarm's points is the greatest."""
    loss = None if point.loss is None else point.loss.value
    return loss is not None, 0.0 if loss is None else loss, beyond(point)


def beyond(point: SignalPoint) -> float:
    """Return how far a value is beyond its threshold, as a share of the way there from the usual.

    Without a usual value it is a share of the threshold itself; 0 where nothing can be said.
    """
    if point.value is None or point.threshold is None:
        return 0.0
    excess = abs(point.value - point.threshold)
    way = abs(point.threshold - (point.usual if point.usual is not None else 0.0))
    # Capped: a threshold of 0 makes every value endlessly far, which orders nothing.
    return min(1e6, excess / way) if way > 0 else (1e6 if excess else 0.0)


def loss_text(point: SignalPoint) -> str:
    """Return the estimated loss with its interval, or that it cannot be told."""
    loss = point.loss
    return "cannot tell" if loss is None or loss.value is None else f"{loss.name} {loss.text()}"


def _key(alarm: Alarm) -> tuple[bool, bool, float, float, int, int, str]:
    known, loss, far = worse(alarm.worst)
    severity = SEVERITIES.index(alarm.severity)
    return (
        alarm.state == "resolved",
        not known,
        -loss,
        -far,
        -severity,
        alarm.opened,
        alarm.id,
    )
