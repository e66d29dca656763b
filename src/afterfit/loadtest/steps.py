"""Runs of the generator one after another: seeds, warm-up, verdicts, second tries, and a budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from afterfit.core.metric import in_figures
from afterfit.core.progress import SILENT, Progress
from afterfit.errors import UnavailableError
from afterfit.loadtest.judge import judged, settled
from afterfit.loadtest.shot import Arrivals, Shooter, Shot
from afterfit.loadtest.slo import Slo
from afterfit.records.loadtest import LoadStep

__all__ = ["EndedError", "Runs", "Schedule", "seed_of"]

Schedule = Callable[[float], Arrivals]
"""What makes arrivals of a rate in requests/s."""
Why = Literal["budget", "gone", "cut"]


ROUNDING_S = 1e-6
"""Runs that fill a budget exactly fit in it."""


class EndedError(Exception):
    """No further run can be made: ``kind`` and a sentence; caught by whoever makes the runs."""

    def __init__(self, kind: Why, told: str) -> None:
        super().__init__(told)
        self.kind = kind
        self.told = told


def seed_of(seed: int, number: int) -> int:
    """Return the seed of one run of many, equal for equal arguments."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


@dataclass
class Runs:
    """A shooter, what is asked of it, and what it has answered so far.

    The first ``warmup_s`` of each run count for nothing. A run that proves nothing is made again,
    ``retries`` times at most. In all they take about ``budget_s`` (by ``clock`` or by the time
    that they were asked for, whichever is more: a server in virtual time takes none) and at most
    ``most_requests``.
    """

    shooter: Shooter
    schedule: Schedule
    slo: Slo
    warmup_s: float = 1.0
    retries: int = 2
    budget_s: float = 300.0
    most_requests: int = 5_000_000
    seed: int = 0
    settings: dict[str, int] = field(default_factory=dict)
    progress: Progress = SILENT
    clock: Callable[[], float] = time.monotonic
    steps: list[LoadStep] = field(default_factory=list)
    asked_s: float = 0.0
    made: int = 0
    requests: int = 0

    def __post_init__(self) -> None:
        """Begin to count time."""
        self.begun = self.clock()

    @property
    def left_s(self) -> float:
        """Return how many seconds of the budget are left."""
        return self.budget_s - max(self.asked_s, self.clock() - self.begun)

    @property
    def beside_s(self) -> float:
        """Return how long a run has taken beside what was asked of it (s), on average so far."""
        more = self.clock() - self.begun - self.asked_s
        return max(0.0, more) / max(1, self.made)

    def run(self, kind: str, rate: float, seconds: float) -> tuple[LoadStep, Shot]:
        """Return the verdict of one run and the run without its warm-up.

        Raises EndedError where the budget is spent, the server is gone or somebody stopped it; the
        steps until then are in ``steps``.
        """
        for _ in range(1 + self.retries):
            step, shot = self._once(kind, rate, seconds)
            if step.verdict != "invalid":
                break
        return step, shot

    def _once(self, kind: str, rate: float, seconds: float) -> tuple[LoadStep, Shot]:
        whole = self.warmup_s + seconds
        self._check(rate, whole)
        try:
            shot = self.shooter.fire(self.schedule(rate), whole, seed_of(self.seed, self._number))
        except UnavailableError as error:
            raise EndedError(
                "gone", f"at {in_figures(rate)} requests/s: {error.message}"
            ) from error
        self.asked_s += whole
        self.made += 1
        self.requests += len(shot)
        kept = settled(shot, self.warmup_s)
        step = judged(kept, self.slo, kind, self.settings)
        self.steps.append(step)
        self.progress.say(f"  {kind:8} {rate:9.4g} requests/s  {step.verdict}: {step.why}")
        if shot.cut:
            # A server that is gone left the last requests without an answer.
            gone = bool((shot.status[-1:] == 0).any())
            raise EndedError(
                "gone" if gone else "cut", f"at {in_figures(rate)} requests/s: {step.why}"
            )
        return step, kept

    @property
    def _number(self) -> int:
        return len(self.steps)

    def _check(self, rate: float, seconds: float) -> None:
        if seconds > self.left_s + ROUNDING_S:
            spent = self.budget_s - self.left_s
            told = f"{spent:.3g} s of {self.budget_s:g} s are spent, a run takes {seconds:.3g} s"
            raise EndedError("budget", told)
        if self.requests + rate * seconds > self.most_requests:
            told = f"{self.requests} of at most {self.most_requests} requests are sent"
            raise EndedError("budget", told)
