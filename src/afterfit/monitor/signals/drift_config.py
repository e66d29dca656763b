"""What is a drift worth an alarm."""

from __future__ import annotations

import msgspec

from afterfit.errors import ConfigError
from afterfit.monitor.budget import Budget
from afterfit.monitor.calibrate import LEAST_ROWS

__all__ = ["DriftConfig"]


class DriftConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is a drift worth an alarm.

    ``budget`` is divided over windows; of windows by count ``windows_per_month`` says how many
    there are, else it is a month over the window's length. Below ``min_rows`` rows nothing is said.
    ``least`` is the smallest effect worth knowing: the share of a column's values that lies
    elsewhere (a normal column moved by d standard deviations: about 0.4 d); ``least_share`` that of
    the share of rows that are missing, new or out of range. ``least_of`` has it by column.
    """

    budget: Budget = Budget()
    windows_per_month: float | None = None
    min_rows: int = 100
    least: float = 0.05
    least_share: float = 0.01
    least_of: dict[str, float] = {}

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that mean nothing."""
        shares = {"least": self.least, "least_share": self.least_share, **self.least_of}
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise ConfigError(
                    "the smallest effect is out of range",
                    where=f"monitor.{name}",
                    why="it is a share of rows",
                    fix="a number from 0 to 1",
                )
        if self.min_rows < LEAST_ROWS:
            raise ConfigError(
                "min_rows is out of range",
                where="monitor.min_rows",
                why="no threshold was calibrated for fewer rows",
                fix=f"{LEAST_ROWS} or more",
            )

    def chance(self, start: int, end: int) -> float:
        """Return the chance of a false alarm of one family in a window (µs, end excluded)."""
        if self.windows_per_month is not None:
            return self.budget.of_windows(self.windows_per_month)
        return self.budget.per_window(start, end)
