"""The budget of false alarms: one setting, divided over everything that may alarm."""

from __future__ import annotations

import math

import msgspec

from afterfit.errors import ConfigError

__all__ = ["MONTH_US", "Budget"]

MONTH_US = 365.25 / 12 * 24 * 3600 * 1e6
MOST = 0.5
"""An alarm in more than every second window says nothing."""


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often somebody may be woken for nothing.

    ``false_alarms_per_month`` of a whole endpoint are divided over ``signals`` (families of points
    that are judged together: all input columns are one, the output is one) and ``versions``, and
    over the windows of a month. A signal is a family because its greatest column is what is
    calibrated, so more columns cost nothing.
    """

    false_alarms_per_month: float = 1.0
    signals: int = 2
    versions: int = 1

    def __post_init__(self) -> None:
        """Raise ConfigError for a budget that cannot be divided."""
        if not (math.isfinite(self.false_alarms_per_month) and self.false_alarms_per_month > 0):
            raise _wrong("false_alarms_per_month", "no threshold can promise it", "such as 1")
        for name in ("signals", "versions"):
            if getattr(self, name) < 1:
                raise _wrong(name, "the budget is divided by it", "1 or more")

    def per_window(self, start: int, end: int) -> float:
        """Return the chance of a false alarm that one signal has in a window (µs, end excluded)."""
        return self.of_windows(MONTH_US / max(1, end - start))

    def of_windows(self, per_month: float) -> float:
        """Return the chance of one signal in each of ``per_month`` windows, a half at most."""
        shares = max(1.0, per_month) * self.signals * self.versions
        return min(MOST, -math.expm1(-self.false_alarms_per_month / shares))


def _wrong(name: str, why: str, fix: str) -> ConfigError:
    return ConfigError(f"{name} is out of range", where=f"monitor.{name}", why=why, fix=fix)
