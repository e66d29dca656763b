"""Shares and differences in words, with how sure they are."""

from __future__ import annotations

from afterfit.stats.interval import wilson

__all__ = ["share", "short"]

LEVEL = 0.95


def share(count: int, n: int, what: str = "rows") -> str:
    """Return a share with its Wilson interval: ``3 of 40 rows (7.5 %, 95 % interval 2.6 to 20 %)``.

    The parentheses are left out where ``n`` is 0.
    """
    if not n:
        return f"0 of 0 {what}"
    bounds = wilson(count, n, LEVEL)
    low, high = _percent(bounds.low), _percent(bounds.high)
    return f"{count:,} of {n:,} {what} ({_percent(count / n)} %, 95 % interval {low} to {high} %)"


def short(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{value:.3g}"


def _percent(value: float) -> str:
    """Return a share in percent with two digits, so that neither 0.2 nor 99.8 is rounded away."""
    percent = 100 * value
    places = 0 if 10 <= percent <= 90 or percent in (0, 100) else 1
    return f"{percent:.{places}f}"
