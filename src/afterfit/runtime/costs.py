"""How long a model takes for n rows: an online fit, and what follows for batching."""

from __future__ import annotations

import math
import threading
import time

__all__ = ["CpuPerRow", "LatencyFit"]

DECAY = 0.995
"""A measurement's weight falls to a half after about 140 later ones."""
TAIL = 2.33
"""The 99th percentile of a normal distribution, in standard deviations."""
SHARED_WORK = 4.0
"""At ``4 a / b`` rows, four fifths of a call's time go into rows."""
ENOUGH_WORK = 32.0
ENOUGH_ROWS = 128
"""At ``32 a / b`` rows, 97 % of a call's time go into rows: more of them share nothing more."""
FRESH = 0.2
"""The weight of a new measurement of the loop's cost."""
SETTLED = 8.0
"""Measurements before the first deviation from the line says something."""


class CpuPerRow:
    """CPU seconds that the event loop's thread takes for a row, reading and writing included."""

    def __init__(self) -> None:
        self._thread = 0
        self._cpu = 0.0
        self._rows = 0
        self._seconds = 0.0

    def seconds(self, rows: int) -> float:
        """Return the seconds a row; ``rows`` counts all that were answered so far. 0: unknown."""
        thread, cpu = threading.get_ident(), time.thread_time()
        new = rows - self._rows
        if thread == self._thread and new > 0:
            found = (cpu - self._cpu) / new
            self._seconds += (found - self._seconds) * (FRESH if self._seconds else 1.0)
        self._thread, self._cpu, self._rows = thread, cpu, rows
        return self._seconds


class LatencyFit:
    """Seconds for n rows as ``a + b n``, by least squares with exponentially falling weights."""

    def __init__(self) -> None:
        self._w = self._n = self._t = self._nn = self._nt = 0.0
        self._variance = 0.0
        self.fixed = 0.0
        self.per_row = 0.0

    def update(self, rows: int, seconds: float) -> None:
        """Add a measurement."""
        if self._w > SETTLED:
            off = seconds - self.expected(rows)
            self._variance = DECAY * self._variance + (1 - DECAY) * off * off
        self._w = self._w * DECAY + 1.0
        self._n = self._n * DECAY + rows
        self._t = self._t * DECAY + seconds
        self._nn = self._nn * DECAY + rows * rows
        self._nt = self._nt * DECAY + rows * seconds
        self._solve()

    def expected(self, rows: float) -> float:
        """Return the expected seconds for ``rows``."""
        return self.fixed + self.per_row * rows

    def tail(self, rows: float) -> float:
        """Return seconds that 99 of 100 runs of ``rows`` stay below."""
        return self.expected(rows) + TAIL * math.sqrt(self._variance)

    @property
    def batching_helps(self) -> bool:
        """Whether eight rows at once take at least a tenth less than eight times one row."""
        return self.expected(8) < 0.9 * 8 * self.expected(1)

    def cap(self, seconds: float, most: int, *, strict: bool = False) -> int:
        """Return the rows to run at once, 1 to ``most``.

        As many as end within ``seconds`` in 99 of 100 runs. Where more than half of that time is
        the fixed cost of a call, and unless ``strict``, as many as share that cost among them.
        """
        if not self.per_row:
            return most
        rows = (seconds - self.tail(0)) / self.per_row
        if not strict and self.fixed > seconds / 2:
            rows = max(rows, SHARED_WORK * self.fixed / self.per_row)
        # What thousands of requests bring with them fits into no cache.
        rows = min(rows, max(ENOUGH_ROWS, ENOUGH_WORK * self.fixed / self.per_row))
        return max(1, min(most, int(rows)))

    def _solve(self) -> None:
        spread = self._nn * self._w - self._n * self._n
        mean_rows, mean_seconds = self._n / self._w, self._t / self._w
        # Runs of one size tell nothing of the slope: the last one is kept.
        if spread > 1e-6 * self._nn * self._w:
            slope = (self._nt * self._w - self._n * self._t) / spread
            self.per_row = min(max(slope, 0.0), mean_seconds / mean_rows)
        elif not self.per_row:
            self.per_row = mean_seconds / mean_rows
        self.fixed = max(0.0, mean_seconds - self.per_row * mean_rows)
