"""The parts of ``robustness`` beyond its cases, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable

from afterfit.robustness.evidence import Evidence, Part
from afterfit.robustness.flips import flips
from afterfit.robustness.ladders import ladders
from afterfit.robustness.monotone import monotone

PARTS: tuple[Callable[[Evidence], Part], ...] = (monotone, ladders, flips)
"""Each answers for itself: one that lacks rows, labels or time says so in a finding."""
