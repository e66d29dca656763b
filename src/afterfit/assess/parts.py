"""The parts of ``assess`` beyond its metrics, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable

from afterfit.assess.calibration import calibration
from afterfit.assess.cost import costs_of_thresholds
from afterfit.assess.evidence import Evidence, Part
from afterfit.assess.fairness import fairness
from afterfit.assess.slices import weak_slices
from afterfit.assess.explain import explain

PARTS: tuple[Callable[[Evidence], Part], ...] = (
    calibration,
    costs_of_thresholds,
    explain,
    weak_slices,
    fairness,
)
"""Each answers for itself: one that lacks rows, training data or time says so in a finding."""
