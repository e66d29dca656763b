"""Alarms to tell of."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from afterfit.core.sections import AlarmsSection
from afterfit.monitor.alarms import Alarms
from afterfit.records.signals import Alarm, Scope, SignalPoint

HOUR = 3_600_000_000
DIGEST = "d" * 64
SCOPE = Scope(endpoint="e", model="churn", version=3, digest=DIGEST)


def bad(hour: int = 0, **more: Any) -> SignalPoint:
    """A window in which recall is surely below what it must be."""
    told: dict[str, Any] = {
        "signal": "performance", "subject": "recall", "scope": SCOPE, "state": "alarm",
        "start": hour * HOUR, "end": (hour + 1) * HOUR, "n": 900, "value": 0.6, "low": 0.55,
        "high": 0.65, "usual": 0.8, "threshold": 0.7, "message": "recall fell",
    }  # fmt: skip
    return SignalPoint(**(told | more))


def alarmed(windows: int = 1, settings: AlarmsSection | None = None, **more: Any) -> Alarms:
    """The alarms after so many bad windows."""
    alarms = Alarms(settings)
    alarms.step([bad(hour, **more) for hour in range(windows)], windows * HOUR)
    return alarms


def one(**more: Any) -> Alarm:
    """An alarm that fires."""
    (alarm,) = alarmed(**more).open()
    return alarm


def until(done: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that threads do, and fail where it does not come."""
    ends = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.002)
