"""What may be asked of ``robustness``."""

from __future__ import annotations

import msgspec


class RobustnessConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``rows`` real rows are spoiled for each case, drawn with ``seed``.

    ``seconds`` bounds the whole step; cases that were not reached are reported as skipped.
    """

    rows: int = 100
    seed: int = 0
    seconds: float = float("inf")
