"""What a controller can see of a fleet: its replicas, and what was counted of them so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple


class Sample(NamedTuple):
    """What happened in one step: requests that came, were answered and were lost.

    ``busy`` is how many were being answered on average, ``inside`` how many waited or were.
    """

    arrived: float
    answered: float
    lost: float
    busy: float
    inside: float


@dataclass
class View:
    """Sums since the start, one entry a step of ``step_s`` seconds, and the replicas of now."""

    step_s: float
    ready: int = 0
    starting: int = 0
    arrived: list[float] = field(default_factory=lambda: [0.0])
    answered: list[float] = field(default_factory=lambda: [0.0])
    busy: list[float] = field(default_factory=lambda: [0.0])
    inside: list[float] = field(default_factory=lambda: [0.0])

    @property
    def current(self) -> int:
        """Replicas that were asked for, ready or not."""
        return self.ready + self.starting

    def add(self, sample: Sample) -> None:
        """Count one more step."""
        self.arrived.append(self.arrived[-1] + sample.arrived)
        self.answered.append(self.answered[-1] + sample.answered)
        self.busy.append(self.busy[-1] + sample.busy)
        self.inside.append(self.inside[-1] + sample.inside)

    def mean(self, sums: list[float], window_s: float, age_s: float = 0.0) -> float:
        """Return the mean per step over the window that ended ``age_s`` ago; 0 before the start."""
        end = len(sums) - 1 - round(age_s / self.step_s)
        if end <= 0:
            return 0.0
        start = max(0, end - max(1, math.ceil(window_s / self.step_s)))
        return (sums[end] - sums[start]) / (end - start)

    def rate(self, sums: list[float], window_s: float, age_s: float = 0.0) -> float:
        """Return `mean` as a rate in 1/s."""
        return self.mean(sums, window_s, age_s) / self.step_s
