"""A metric: one number with its interval, unit and sample size."""

from __future__ import annotations

import math
from typing import Protocol

import msgspec


class Bounds(Protocol):
    """An interval as `afterfit.stats.interval` gives it; NaN bounds say why in ``method``."""

    @property
    def low(self) -> float: ...  # noqa: D102 - the class tells
    @property
    def high(self) -> float: ...  # noqa: D102
    @property
    def method(self) -> str: ...  # noqa: D102


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A number as it is shown to people.

    ``value`` is None where it could not be computed; ``low`` and ``high`` bound it at ``level``
    by ``method`` from ``n`` observations. ``unit`` is ``""`` for a pure number. ``scope`` says of
    what: ``held-out``, ``cv``, ``baseline``, ``variant:onnx`` …
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    n: int = 0
    method: str = ""
    unit: str = ""
    scope: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        value: float,
        bounds: Bounds,
        *,
        n: int,
        level: float = 0.95,
        method: str = "",
        unit: str = "",
        scope: str = "",
    ) -> Metric:
        """Return a number with its interval; what is not finite becomes None.

        ``method`` is that of the interval unless it is told.
        """
        return cls(
            name=name,
            value=known(value),
            low=known(bounds.low),
            high=known(bounds.high),
            level=level,
            n=n,
            method=method or bounds.method,
            unit=unit,
            scope=scope,
        )

    def part(self, bound: str) -> float | None:
        """Return ``value``, ``low`` or ``high`` by its name."""
        return {"value": self.value, "low": self.low, "high": self.high}[bound]

    def text(self) -> str:
        """Return the number for a person: ``0.812 (0.801 to 0.823, 95 %, n = 16,281)``."""
        if self.value is None:
            return "not computed"
        unit = f" {self.unit}" if self.unit else ""
        core = f"{in_figures(self.value)}{unit}"
        if self.low is None or self.high is None:
            return f"{core} (n = {self.n:,})" if self.n else core
        return (
            f"{core} ({in_figures(self.low)} to {in_figures(self.high)}, "
            f"{in_percent(self.level)}, n = {self.n:,})"
        )


def known(value: float) -> float | None:
    """Return a number, or None for NaN and infinity, which no record can hold."""
    return float(value) if math.isfinite(value) else None


def find(metrics: tuple[Metric, ...], name: str, scope: str | None = None) -> Metric | None:
    """Return the first metric of that name (and scope, where given), or None."""
    for metric in metrics:
        if metric.name == name and scope in (None, metric.scope):
            return metric
    return None


def in_percent(share: float, places: int = 0) -> str:
    """Return a share for a person: ``95 %``, with a space as in all texts."""
    return f"{100 * share:.{places}f} %"


def in_digits(share: float) -> str:
    """Return a share in per cent with three digits that count: ``0.0123 %``, ``12.3 %``."""
    return f"{100 * share:.3g} %"


def in_figures(value: float) -> str:
    """Return a number with four digits that count; large ones whole: ``0.8123``, ``11,832``."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
