"""What a generator of load is asked and what it gives back, whatever stands behind it.

A `Shooter` fires at a real server or at one in virtual time; searches, certificates and plots
read its `Shot` and cannot tell the difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
STATUS_OK = 200


class Arrivals(Protocol):
    """When requests are due."""

    @property
    def name(self) -> str:
        """How the schedule reads in a record, such as ``poisson:400``."""
        ...

    @property
    def rate(self) -> float:
        """Requests/s on average."""
        ...

    def times(self, seconds: float, seed: int) -> Floats:
        """Return the moments in s since the start, ascending, each in [0, seconds)."""
        ...


@dataclass(frozen=True)
class Shot:
    """What became of every request of one run, in the order in which they were due.

    Arrays have one item a request: ``due`` (when the schedule wanted it sent), ``written`` (when
    its bytes were handed to the kernel) and ``answered``, in s since the start, NaN for what never
    happened; ``status`` is 0 without an answer; ``wrong`` marks answers that differ from the
    expected one. ``lag`` (s) is by how much the generator itself came late to a request: waiting
    for a free connection is the server's time and not in it. ``invalid`` says why the run proves
    nothing (empty: it is valid); ``schedule`` and ``seconds`` are what was asked.
    """

    schedule: str
    rate: float
    seconds: float
    due: Floats
    written: Floats
    answered: Floats
    status: npt.NDArray[np.int16]
    wrong: npt.NDArray[np.bool_]
    lag: Floats
    invalid: tuple[str, ...] = ()
    slowed: tuple[str, ...] = ()
    """Why latencies may be worse than the server's own: these speak against a failure and not
    against a pass, since a request that is sent late is answered no earlier, and the time counts.
    """
    cut: bool = False
    """Whether it was ended before its time: ctrl-C, a limit, a server that is gone."""
    first_error: str = ""
    seen: dict[str, float] = field(default_factory=dict)
    """What was measured beside: CPU (share of a core), memory (bytes), steal (share), by name."""

    def __len__(self) -> int:
        """Return how many requests were due."""
        return len(self.due)

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Return which were answered with 200 and, where that is known, rightly."""
        good: npt.NDArray[np.bool_] = (self.status == STATUS_OK) & ~self.wrong
        return good

    @property
    def latency_ms(self) -> Floats:
        """Return ms from when each was due to its answer; infinite for what has no good one."""
        return self._ms(self.due)

    @property
    def service_ms(self) -> Floats:
        """Return ms from writing to the answer; infinite for what has no good one."""
        return self._ms(self.written)

    def missed(self, limit_ms: float) -> npt.NDArray[np.bool_]:
        """Return which had no good answer within the limit of when they were due."""
        late: npt.NDArray[np.bool_] = ~(self.latency_ms <= limit_ms)
        return late

    def _ms(self, since: Floats) -> Floats:
        return np.where(self.good, (self.answered - since) * 1e3, np.inf)


class Shooter(Protocol):
    """Something that sends requests by a schedule and tells what became of each."""

    def fire(self, arrivals: Arrivals, seconds: float, seed: int) -> Shot:
        """Return what became of the requests of one run; connections stay open between runs."""
        ...
