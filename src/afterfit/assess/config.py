"""What may be asked of ``assess``."""

from __future__ import annotations

import msgspec

from afterfit.core.effort import Effort


class AssessConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``folds`` of cross-validation (0: none), fitted by ``refit`` or by clones of the model.

    ``effort`` sets the bootstrap's replicates; ``seconds`` bounds the cross-validation;
    ``level`` is that of every interval.
    """

    folds: int = 5
    seed: int = 0
    effort: Effort = "standard"
    refit: str = ""
    code: str = ""
    level: float = 0.95
    jobs: int = 2
    seconds: float = float("inf")
