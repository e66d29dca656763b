"""The parts of ``assess`` beyond its metrics, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable

from afterfit.assess.evidence import Evidence, Part

PARTS: tuple[Callable[[Evidence], Part], ...] = ()
"""Each answers for itself: one that lacks rows, training data or time says so in a finding."""
