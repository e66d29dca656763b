"""The settings of ``[monitor]`` as the daemon takes them: times in µs, objectives as limits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from afterfit.core.sections import MonitorSection
from afterfit.core.slo import slo_of
from afterfit.errors import ConfigError, UsageError
from afterfit.monitor.cut import HOUR

__all__ = ["Objective", "Watch", "objective_of", "span_us", "watch_of", "window_of"]

SECOND = 1_000_000
_UNITS = {"s": SECOND, "m": 60 * SECOND, "h": HOUR, "d": 24 * HOUR}
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*")
_ROWS = re.compile(r"\s*(\d[\d_]*)\s*rows?\s*")
_AVAILABLE = re.compile(r"\s*available\s*(?:>=)?\s*(\d+(?:\.\d+)?)\s*%?\s*")


@dataclass(frozen=True)
class Objective:
    """A share of predictions that may be bad: not answered, or slower than ``limit_us``.

    ``limit_us`` is 0 for an objective of availability.
    """

    name: str
    allowed: float
    limit_us: int = 0


@dataclass(frozen=True)
class Watch:
    """How one endpoint is watched. ``width_us`` is 0 where windows are of ``rows`` predictions."""

    width_us: int = HOUR
    rows: int = 0
    grace_us: int = HOUR // 6
    min_rows: int = 200
    slices: tuple[str, ...] = ()
    objectives: tuple[Objective, ...] = ()
    false_alarms_per_month: float = 1.0
    failed_share: float = 0.01
    refused_share: float = 0.05
    usd_per_hour: float = 0.0
    metrics_url: str = ""
    retention_days: int = 400
    seed: int = 0


def watch_of(section: MonitorSection, *, fairness: tuple[str, ...] = (), seed: int = 0) -> Watch:
    """Return the settings; raises ConfigError for a window, a time or an objective that is none."""
    width, rows = window_of(section.window)
    return Watch(
        width_us=width,
        rows=rows,
        grace_us=span_us(section.grace, where="monitor.grace"),
        min_rows=section.min_rows,
        slices=tuple(dict.fromkeys((*section.slices, *fairness))),
        objectives=tuple(objective_of(text) for text in section.slo),
        false_alarms_per_month=section.false_alarms_per_month,
        usd_per_hour=section.usd_per_hour,
        metrics_url=section.metrics_url,
        retention_days=section.retention_days,
        seed=seed,
    )


def span_us(text: str, *, where: str) -> int:
    """Return a time such as ``90s``, ``30m``, ``1h`` or ``7d`` in µs; raises ConfigError."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"not a time: {text!r}", where=where, why="it is a number and one of s, m, h, d",
            fix='write "30m" or "1h"',
        )  # fmt: skip
    return round(float(found[1]) * _UNITS[found[2]])


def window_of(text: str) -> tuple[int, int]:
    """Return (µs, 0) for a window of time, (0, rows) for one of predictions; raises ConfigError.

    A window of time divides a day, or is whole days, so that windows begin at the same hours.
    """
    where = "monitor.window"
    if found := _ROWS.fullmatch(text):
        rows = int(found[1].replace("_", ""))
        if rows < 1:
            raise ConfigError("a window of no rows", where=where, fix='write "5000 rows"')
        return 0, rows
    width = span_us(text, where=where)
    day = 24 * HOUR
    if width < 60 * SECOND or (day % width and width % day):
        raise ConfigError(
            f"a window cannot last {text!r}",
            where=where,
            why="it lasts a minute at least, and divides a day or is whole days",
            fix='write "1h", "15m", "1d" or "5000 rows"',
        )
    return width, 0


def objective_of(text: str) -> Objective:
    """Return what a text such as ``p99 < 50 ms`` or ``available 99.9`` asks; raises ConfigError."""
    where = f"monitor.slo {text!r}"
    if found := _AVAILABLE.fullmatch(text):
        percent = float(found[1])
        if 0 < percent < 100:
            return Objective(f"available {percent:g} %", allowed=round(1 - percent / 100, 9))
    else:
        try:
            slo = slo_of(text)
        except UsageError:
            pass
        else:
            allowed, limit = round(slo.allowed, 9), round(slo.limit_ms * 1000)
            return Objective(str(slo), allowed=allowed, limit_us=limit)
    raise ConfigError(
        "no objective",
        where=where,
        why="it is a percentile and a time, or a percentage of predictions that are answered",
        fix='write "p99 < 50 ms" or "available 99.9"',
    )
