"""What every part of ``assess`` is given, and what it gives back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from afterfit.assess.config import AssessConfig
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric
from afterfit.core.progress import Progress
from afterfit.core.signature import Signature


@dataclass(frozen=True)
class Rows:
    """Labelled rows, their codes or values, and what the model said of them."""

    signature: Signature
    data: Dataset
    truth: np.ndarray
    predictions: Predictions


@dataclass(frozen=True)
class Evidence(Rows):
    """All there is to judge by: the rows, the model itself, and the rows that it learned from.

    ``deadline`` is on the clock of `time.monotonic`: a part that would end after it says
    ``skipped``. ``held_out`` are the metrics of the rows, already measured.
    """

    model: Any
    train: Dataset | None
    config: AssessConfig
    held_out: tuple[Metric, ...]
    deadline: float
    progress: Progress

    @property
    def left(self) -> float:
        """The seconds that are left, at least 0."""
        return max(0.0, self.deadline - time.monotonic())


@dataclass(frozen=True)
class Part:
    """What a part found; ``fields`` are fields of `AssessRecord` that it fills."""

    findings: tuple[Finding, ...] = ()
    metrics: tuple[Metric, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
