"""How much work to do, in one word."""

from __future__ import annotations

from typing import Literal

__all__ = ["Effort"]

Effort = Literal["quick", "standard", "full"]
