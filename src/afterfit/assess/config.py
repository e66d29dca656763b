"""What may be asked of ``assess``."""

from __future__ import annotations

import msgspec

from afterfit.core.effort import Effort


class DecisionCosts(msgspec.Struct, frozen=True, kw_only=True):
    """What a wrong decision costs and what a right one gains, in any one unit.

    Of ``false_positive + true_negative`` and ``false_negative + true_positive`` neither is 0: else
    one and the same decision would always be cheapest.
    """

    false_negative: float
    false_positive: float
    true_positive: float = 0.0
    true_negative: float = 0.0


class AssessConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``folds`` of cross-validation (0: none), fitted by ``refit`` or by clones of the model.

    ``effort`` sets the bootstrap's replicates; ``seconds`` bounds the cross-validation;
    ``level`` is that of every interval. ``costs`` are those of decisions, None where not known;
    ``fairness`` are the columns whose groups are compared. Folds are drawn ``repeats`` times.
    ``margin`` is the loss beside another model that would not matter: of a rate itself, of an
    error as a share of the other's.
    """

    folds: int = 5
    seed: int = 0
    effort: Effort = "standard"
    refit: str = ""
    code: str = ""
    level: float = 0.95
    jobs: int = 2
    seconds: float = float("inf")
    costs: DecisionCosts | None = None
    repeats: int = 1
    margin: float = 0.005
    fairness: tuple[str, ...] = ()
