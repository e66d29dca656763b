"""What may be asked of a monitoring report."""

from __future__ import annotations

import msgspec

from afterfit.core.effort import Effort
from afterfit.errors import ConfigError


class MonitorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a report.

    Below ``min_rows`` rows nothing is said of a distribution, below ``min_labels`` labels nothing
    of quality. A column has moved when its total variation distance is at least ``least_distance``
    and chance explains it badly: its p-value, adjusted for the number of columns, is at most
    ``false_alarms``. ``failed_share`` and ``flagged_share`` are shares of rows. ``since`` and
    ``until`` bound the predictions (ISO 8601, until excluded); ``digest`` keeps one version.
    ``gates`` are gates as in ``afterfit.toml``, used as alarms; ``metrics`` replaces
    the usual ones.
    """

    min_rows: int = 200
    min_labels: int = 100
    least_distance: float = 0.1
    false_alarms: float = 0.01
    failed_share: float = 0.01
    flagged_share: float = 0.05
    metrics: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    digest: str = ""
    level: float = 0.95
    effort: Effort = "quick"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that mean nothing."""
        for name in ("least_distance", "false_alarms", "failed_share", "flagged_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise _wrong(name, "it is a share", "a number from 0 to 1")
        for name in ("min_rows", "min_labels"):
            if getattr(self, name) < 2:
                raise _wrong(name, "fewer rows have no interval", "2 or more")


def _wrong(name: str, why: str, fix: str) -> ConfigError:
    return ConfigError(f"{name} is out of range", where=f"monitor.{name}", why=why, fix=fix)
