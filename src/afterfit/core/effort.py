"""How much work to do, in one word."""

from __future__ import annotations

from typing import Literal

__all__ = ["Effort", "more_time"]

Effort = Literal["quick", "standard", "full"]


def more_time(effort: Effort) -> str:
    """Return the option that gives more time than ``effort`` did; nothing has more than full."""
    return {"quick": "--effort standard", "standard": "--effort full", "full": ""}[effort]
