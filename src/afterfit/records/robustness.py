"""The record of ``robustness``: what strange rows did to the model."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.records.record import Record

CaseOutcome = Literal["answered", "refused", "crashed", "not_finite", "not_applicable"]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of strange row in one column: how many rows, and what happened.

    ``changed`` counts the rows whose label changed against the same rows unharmed;
    ``max_shift`` is the largest absolute change of the score.
    """

    case: str
    column: str
    n: int
    outcome: CaseOutcome
    changed: int = 0
    max_shift: float | None = None
    message: str = ""


class RobustnessRecord(Record, frozen=True, kw_only=True, tag="robustness"):
    """Every case that ran."""

    cases: tuple[Case, ...] = ()
