"""What every part of ``assess`` is given, and what it gives back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from afterfit.assess.config import AssessConfig
from afterfit.assess.structure import units_of
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import Frame, Predictions
from afterfit.core.metric import Metric
from afterfit.core.progress import Progress
from afterfit.core.signature import Signature
from afterfit.stats.units import Units


class Rival(Protocol):
    """The version that serves now, to be asked for the same rows; the workspace hands it over."""

    @property
    def name(self) -> str:
        """What it is called, with its number and digest."""
        ...

    @property
    def digest(self) -> str:
        """The digest of its bundle."""
        ...

    @property
    def signature(self) -> Signature:
        """Its columns, classes and threshold."""
        ...

    @property
    def same(self) -> bool:
        """Whether it was made of the very model that is assessed."""
        ...

    def predict(self, frame: Frame) -> Predictions:
        """Return its answers to n rows; raises AfterfitError."""
        ...


@dataclass(frozen=True)
class Rows:
    """Labelled rows, their codes or values, and what the model said of them.

    ``places`` are their numbers in the table that was given, None where all its rows are here.
    """

    signature: Signature
    data: Dataset
    truth: np.ndarray
    predictions: Predictions
    places: np.ndarray | None = field(default=None, kw_only=True)

    def numbers(self, rows: np.ndarray) -> list[int]:
        """Return what number rows have in the table that was given, from 0, labelled or not."""
        known = rows if self.places is None else self.places[rows]
        return [int(number) for number in known]

    @cached_property
    def units(self) -> Units | None:
        """How the rows hang together, None where they are independent; raises InputError."""
        return units_of(self.data)


@dataclass(frozen=True)
class Evidence(Rows):
    """All there is to judge by: the rows, the model itself, and the rows that it learned from.

    ``deadline`` is on the clock of `time.monotonic`: a part that would end after it says
    ``skipped``. ``held_out`` are the metrics of the rows, ``lifts`` those beside baselines
    and of them, ``cv`` those over folds, all measured already. ``rival`` is the champion, if any;
    ``search`` what search for parameters the model is, None where it was not asked.
    """

    model: Any
    train: Dataset | None
    config: AssessConfig
    held_out: tuple[Metric, ...]
    deadline: float
    progress: Progress
    lifts: tuple[Metric, ...] = ()
    cv: tuple[Metric, ...] = ()
    refittable: bool = False
    rival: Rival | None = None
    search: Mapping[str, Any] | None = None

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
