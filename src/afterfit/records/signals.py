"""What monitoring says of a window, and the alarms that come of it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from afterfit.core.digest import digest_of
from afterfit.core.metric import Metric

__all__ = ["Alarm", "AlarmState", "Delivery", "PointState", "Scope", "Severity", "SignalPoint"]

PointState = Literal["ok", "alarm", "insufficient", "cannot_tell", "not_applicable"]
AlarmState = Literal["pending", "firing", "resolved"]
Severity = Literal["info", "low", "medium", "high"]


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Of what something is said: a version of a model on an endpoint, whole or one slice.

    ``digest`` is empty for anyone's log without a version; ``slice`` reads ``column = value`` and
    is empty for all rows.
    """

    endpoint: str = ""
    model: str = ""
    version: int = 0
    digest: str = ""
    slice: str = ""


class SignalPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One signal in one window of time.

    ``signal`` is the kind (``drift``, ``output``, ``performance``, ``latency`` …), ``subject``
    what it is of (a column, a metric, a pair; empty for all). ``start`` and ``end`` are µs since
    1970 in UTC, end excluded. ``value`` is from ``n`` observations, ``low`` and ``high`` bound it
    at ``level``; ``usual`` is what the reference has. It is an alarm where it is beyond
    ``threshold``, which the budget of false alarms gives, and at least ``least``, the smallest
    effect worth knowing, from ``usual``. ``insufficient`` has too few observations (``needed`` of
    them), ``cannot_tell`` enough and still no answer. ``loss`` is the estimated loss of the
    model's metric by it, None where that is unknown. ``evidence`` holds what its plots need.
    """

    signal: str
    subject: str = ""
    scope: Scope
    start: int
    end: int
    n: int
    state: PointState
    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    unit: str = ""
    usual: float | None = None
    threshold: float | None = None
    least: float | None = None
    needed: int = 0
    message: str = ""
    loss: Metric | None = None
    evidence: dict[str, Any] = {}

    @property
    def key(self) -> tuple[str, str, Scope]:
        """Return what tells its series from others."""
        return self.signal, self.subject, self.scope


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to tell somebody of an alarm, or to do something about it.

    ``channel`` is the name of a channel or an action; ``at`` is µs since 1970. ``state`` is
    ``sent``, ``failed`` (it is tried again), ``dropped`` (it was given up) or ``dry_run``.
    """

    channel: str
    at: int
    state: Literal["sent", "failed", "dropped", "dry_run"]
    attempt: int = 1
    message: str = ""


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that needs somebody, from its first window to the one that ended it.

    ``opened``, ``updated`` and ``resolved`` (None while it lasts) are µs since 1970. ``pending``
    waits for as many windows as are asked before anybody is told. ``worst`` is the point with the
    greatest loss, or else the one farthest beyond its threshold; ``windows`` counts those that
    were alarms. ``silenced`` says by what it is kept quiet: a silence, or a maintenance window.
    ``ended`` says why it is over where that is not that its values are good again.
    """

    signal: str
    subject: str = ""
    scope: Scope
    state: AlarmState
    severity: Severity
    opened: int
    updated: int
    resolved: int | None = None
    windows: int = 1
    worst: SignalPoint
    silenced: str = ""
    runbook: str = ""
    ended: str = ""
    deliveries: tuple[Delivery, ...] = ()

    @property
    def id(self) -> str:
        """Return its name: the same for the same signal and first window, on any machine."""
        return digest_of([self.signal, self.subject, self.scope, self.opened])[:12]
