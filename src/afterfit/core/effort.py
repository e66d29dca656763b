"""How much work to do, in one word."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from afterfit.core.finding import Finding

__all__ = ["Effort", "cut_short", "more_time"]

Effort = Literal["quick", "standard", "full"]


def more_time(effort: Effort) -> str:
    """Return the option that gives more time than ``effort`` did; nothing has more than full."""
    return {"quick": "--effort standard", "standard": "--effort full", "full": ""}[effort]


def cut_short(findings: Iterable[Finding], effort: Effort) -> bool:
    """Return whether some check was skipped, or went less far, for want of time.

    Such a finding says how to get more of it; at full effort nothing limits the time.
    """
    fix = more_time(effort)
    return any(
        each.evidence.get("unfitted") or (each.outcome == "skipped" and each.fix == fix != "")
        for each in findings
    )
