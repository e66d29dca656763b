"""What may be asked of the scorer of a bundle."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.runtime.ood import Method

__all__ = ["METHODS", "OodConfig"]

METHODS: tuple[Method, ...] = ("mahalanobis", "distance", "forest", "softmax")
"""From the cheapest on; of two that tell rows apart equally well, the first is taken."""


class OodConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``rate`` is the share of usual rows that may be flagged, ``scorer`` how rows are scored.

    ``auto`` takes the method that tells made-up rows from usual ones best, ``none`` none.
    """

    scorer: Literal["auto", "mahalanobis", "distance", "forest", "softmax", "none"] = "auto"
    rate: float = 0.01
    seed: int = 0
    level: float = 0.95
