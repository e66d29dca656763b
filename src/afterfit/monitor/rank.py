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


_OF_ERRORS = ("accuracy", "mae")
"""The metrics of the same window that say what more frequent or larger errors cost."""


def with_losses(points: list[SignalPoint]) -> list[SignalPoint]:
    """Return the points, alarms that do not know their loss with that of their own window.

    Rows that changed have the loss of the first metric of which the window has an estimate, errors
    that changed that of the labelled rows. Without one it stays unknown.
    """
    estimated: dict[tuple[Scope, int], Metric] = {}
    realized: dict[tuple[Scope, int], Metric] = {}
    for point in points:
        if point.loss is None:
            continue
        if point.signal == "estimate":
            estimated.setdefault((point.scope, point.start), point.loss)
        elif point.signal == "performance" and point.subject in _OF_ERRORS:
            realized[point.scope, point.start] = point.loss
    return [_with(point, estimated, realized) for point in points]


def _with(
    point: SignalPoint,
    estimated: dict[tuple[Scope, int], Metric],
    realized: dict[tuple[Scope, int], Metric],
) -> SignalPoint:
    if point.state != "alarm" or point.loss is not None:
        return point
    known = estimated if point.signal in _OF_ROWS else realized
    if point.signal not in _OF_ROWS and point.signal != "concept":
        return point
    return msgspec.structs.replace(point, loss=known.get((point.scope, point.start)))


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
