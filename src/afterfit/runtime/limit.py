"""A token bucket: so many a second, and so many at once after a pause."""

from __future__ import annotations

import math

__all__ = ["Bucket"]

_CLOCK_SET_BACK_S = 1.0
_CLOCK_STEP_S = 1e-6


class Bucket:
    """Holds up to ``burst`` tokens and gains ``rate`` a second; full at first.

    Between any two moments at most ``burst + rate * seconds`` tokens are taken. ``now`` is in
    seconds of any clock. A ``now`` that is a little earlier than one before counts as no time;
    a clock that was set back by more than a second is taken as the new time.
    """

    __slots__ = ("_last", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = max(burst, 1.0)
        self._level = self.burst
        self._last = -math.inf

    def take(self, now: float) -> float:
        """Return 0 after taking one token, or the seconds until there is one."""
        seconds = self.wait(now)
        if not seconds:
            self._level -= 1.0
        return seconds

    def wait(self, now: float) -> float:
        """Return the seconds until there is a token; 0 where there is one now."""
        elapsed = now - self._last
        if elapsed > 0.0:
            level = self._level + elapsed * self.rate
            # A call of min() would cost more than all the rest.
            self._level = level if level < self.burst else self.burst  # noqa: FURB136 - as said
            self._last = now
        elif elapsed < -_CLOCK_SET_BACK_S:
            self._last = now
        if self._level >= 1.0:
            return 0.0
        # A microsecond more, since a clock in Unix seconds has steps of 0.24 µs.
        return (1.0 - self._level) / self.rate + _CLOCK_STEP_S

    def spend(self, amount: float, now: float) -> None:
        """Take ``amount`` tokens, into debt if need be: what follows waits until it is paid."""
        self.wait(now)
        self._level -= amount
