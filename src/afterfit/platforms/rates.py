"""Prices that depend on the amount: tiers and free grants."""

from __future__ import annotations

import math
from collections.abc import Sequence

from afterfit.platforms.shapes import Rate

__all__ = ["tiered"]


def tiered(rates: Sequence[Rate], amount: float) -> float:
    """Return what ``amount`` units of a month cost in USD; each rate is due from its ``start`` on.

    A free grant is a rate of 0. What lies below the first start costs nothing.
    """
    ordered = sorted(rates, key=lambda rate: rate.start)
    ends = [rate.start for rate in ordered[1:]] + [math.inf]
    return sum(
        rate.usd * max(min(amount, end) - rate.start, 0.0)
        for rate, end in zip(ordered, ends, strict=False)
    )
