"""What may be asked of a rehearsal."""

from __future__ import annotations

import msgspec

from afterfit.errors import ConfigError

__all__ = ["RehearsalConfig"]

LEAST = {"replays": 2, "before": 1, "after": 2, "label_delay": 0, "window_rows": 0}


class RehearsalConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a rehearsal.

    Each of ``replays`` replays is ``before`` windows without and up to ``after`` with a fault.
    Labels of a window are known ``label_delay`` windows later. ``window_rows`` is how many rows a
    window holds, 0 for what ``[monitor] window`` makes of the rows' times. ``remedies`` tries other
    settings on what was missed. No replay begins after ``seconds``.
    """

    replays: int = 20
    before: int = 6
    after: int = 24
    label_delay: int = 1
    window_rows: int = 0
    remedies: bool = True
    level: float = 0.95
    seconds: float = 120.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that mean nothing."""
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise _wrong(name, f"{least} or more")
        if not self.seconds > 0:
            raise _wrong("seconds", "more than 0")
        if not 0 < self.level < 1:
            raise _wrong("level", "a number between 0 and 1, such as 0.95")


def _wrong(name: str, fix: str) -> ConfigError:
    return ConfigError(
        f"{name} is out of range",
        where=f"--{name.replace('_', '-')}",
        why="a rehearsal compares windows before a fault with those after it, over several replays",
        fix=fix,
    )
