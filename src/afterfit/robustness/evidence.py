"""What every part of ``robustness`` is given, and what it gives back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from afterfit.core.bundle import TensorInput
from afterfit.core.dataset import Dataset
from afterfit.core.effort import more_time
from afterfit.core.finding import Check, Finding
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame, Predictions
from afterfit.core.metric import Metric
from afterfit.core.model import Model
from afterfit.core.progress import Progress
from afterfit.core.signature import Signature
from afterfit.models.timebox import TimeOverError
from afterfit.records.robustness import Case
from afterfit.records.robustness_cases import FlipExample
from afterfit.robustness.config import RobustnessConfig
from afterfit.robustness.probe import Asked, ask

__all__ = ["LATE", "Evidence", "Part", "within_time"]

LATE = "the time was over before it was reached"
MOST_SECONDS = 2.0
"""A call to the model shall take about this long at most, so that the time can end between two."""


@dataclass(frozen=True)
class Evidence:
    """All there is to judge by: the model, its data, and ``rows`` drawn from them to be spoiled.

    ``before`` is what the model says of ``rows`` as they are. ``deadline`` is on the clock of
    `time.monotonic`: a part that would end after it says ``skipped``. ``pace`` is how many rows
    the model answers a second. ``independent`` says that rows are answered alike alone and among
    others, so that several cases may share a call. ``inputs`` are the tensors of the form that
    ships, where it is a graph; ``fingerprint`` is the reference distribution.
    """

    model: Model
    signature: Signature
    data: Dataset
    rows: Frame
    before: Predictions
    config: RobustnessConfig
    deadline: float
    progress: Progress
    pace: float
    fingerprint: Fingerprint
    independent: bool = True
    inputs: tuple[TensorInput, ...] = ()

    @property
    def left(self) -> float:
        """The seconds that are left, at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def rows_a_call(self) -> int:
        """How many rows the model answers in about two seconds."""
        return max(1, int(min(1e6, self.pace * MOST_SECONDS)))

    def require_time(self) -> None:
        """Do nothing while there is time; raises TimeOverError."""
        if time.monotonic() > self.deadline:
            raise TimeOverError

    def ask(self, rows: Frame) -> Asked:
        """Return what became of asking about ``rows``; raises TimeOverError.

        An answer that came after the end says nothing of the model: it may have been ended.
        """
        self.require_time()
        found = ask(self.model, rows)
        self.require_time()
        return found


@dataclass(frozen=True)
class Part:
    """What a part found.

    ``cases`` are judged with all others; ``fields`` are fields of `RobustnessRecord` that it
    fills; ``unreached`` names what the time did not reach. ``examples`` hold real rows: they are
    kept in the workspace, and no record has them.
    """

    findings: tuple[Finding, ...] = ()
    metrics: tuple[Metric, ...] = ()
    cases: tuple[Case, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    unreached: tuple[str, ...] = ()
    examples: tuple[FlipExample, ...] = ()


def within_time(
    name: str, *checks: type[Check]
) -> Callable[[Callable[[Evidence], Part]], Callable[[Evidence], Part]]:
    """Return a decorator of a part that skips ``checks``, by name, where the time is over."""

    def wrap(part: Callable[[Evidence], Part]) -> Callable[[Evidence], Part]:
        @wraps(part)
        def run(evidence: Evidence) -> Part:
            try:
                evidence.require_time()
                return part(evidence)
            except TimeOverError:
                fix = more_time(evidence.config.effort)
                skipped = tuple(check.skipped(LATE, fix=fix) for check in checks)
                return Part(findings=skipped, unreached=(name,))

        return run

    return wrap
