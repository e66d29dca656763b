"""What may be asked of ``optimize``."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.core.effort import Effort
from afterfit.models.proposal import Technique

__all__ = ["Goal", "OptimizeConfig"]

Goal = Literal["latency", "throughput", "size"]
_ROWS = {"quick": 1000, "standard": 4000, "full": 20000}
_PROBES = {"quick": 150, "standard": 600, "full": 4000}
_SECONDS = {"quick": 0.3, "standard": 1.0, "full": 4.0}


class OptimizeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``tolerance`` is the largest difference of an exact variant: absolute for probabilities.

    For a regression it is relative to the scale of its answers (``core.scale``). ``batches`` are
    the rows a call to time, the smallest first. ``goal`` decides where one form wins with single
    rows and the other with many. ``max_slowdown`` is the share that still counts as no slower.
    ``seconds`` bounds the whole step: what was not tried by then is told as skipped.

    ``allow`` names the techniques that may change answers; without any only exact variants are
    tried. ``max_drop`` is the largest loss of ``metric`` (by default accuracy, for a regression
    mae) that may be certified, a share of the model's own value for metrics in the target's
    unit; ``alpha`` the chance to certify one that loses more. At most ``certify`` variants are
    certified. ``max_flips`` and ``max_miscalibration`` are the guards' limits; ``max_edge_flips``
    is the share of rows at the edges (missing, unseen and extreme values) that a lossy variant may
    decide otherwise: of a regression, by more than half the spread of its usual answers.
    """

    seed: int = 0
    effort: Effort = "standard"
    tolerance: float = 1e-5
    batches: tuple[int, ...] = (1, 256)
    goal: Goal = "latency"
    max_slowdown: float = 0.10
    seconds: float = float("inf")
    allow: tuple[Technique, ...] = ()
    metric: str = ""
    max_drop: float = 0.005
    alpha: float = 0.05
    certify: int = 3
    max_flips: float = 0.10
    max_miscalibration: float = 0.02
    max_edge_flips: float = 0.20

    @property
    def lossy(self) -> tuple[Technique, ...]:
        """The allowed techniques that give something up, for which a loss is certified."""
        return tuple(name for name in self.allow if name != "recalibrate")

    @property
    def even(self) -> bool:
        """Whether rows are parted so that each part has its share of every class.

        Not where a map is fitted: it would learn how often each class comes in the part that
        judges it.
        """
        return "recalibrate" not in self.allow

    @property
    def rows(self) -> int:
        """The most held-out rows that are compared."""
        return _ROWS[self.effort]

    @property
    def probes(self) -> int:
        """The most thresholds that are probed on both sides."""
        return _PROBES[self.effort]

    @property
    def timing_seconds(self) -> float:
        """The time for one batch size's measurement, seconds."""
        return _SECONDS[self.effort]

    @property
    def measuring_seconds(self) -> float:
        """The time that is kept for all measurements, warming up included, seconds."""
        return 2 * len(self.batches) * self.timing_seconds
