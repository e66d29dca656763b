"""The record of ``robustness``: what strange rows did to the model."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.records.record import Record
from afterfit.records.robustness_cases import Flips, ToldCase

CaseOutcome = Literal[
    "answered", "refused", "crashed", "not_finite", "no_probability", "not_applicable"
]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of strange row in one column: how many rows, and what happened.

    ``changed`` counts the rows whose label changed against the same rows unharmed;
    ``max_shift`` and ``mean_shift`` are the largest and the mean absolute change of the score.
    ``failed`` of ``tried`` rows had no usable answer: those of the batch, or, where the batch as a
    whole crashed, rows that were then sent alone.
    """

    case: str
    column: str
    n: int
    outcome: CaseOutcome
    changed: int = 0
    max_shift: float | None = None
    mean_shift: float | None = None
    failed: int = 0
    tried: int = 0
    message: str = ""


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """How the answers of ``n`` rows move when one column rises and nothing else changes.

    ``up`` rows only rise, ``down`` only fall, ``flat`` do not move, the rest does both.
    ``declared`` is what the configuration says. The largest step against ``against`` (the declared
    direction, else the commoner one) has the size ``worst`` in the unit of the score, between the
    values ``worst_from`` and ``worst_to``; ``decided`` counts rows that it decides otherwise.
    """

    column: str
    n: int
    points: int
    up: int
    down: int
    flat: int
    declared: Literal["", "up", "down"] = ""
    against: Literal["up", "down"] = "up"
    broken: int = 0
    decided: int = 0
    worst: float = 0.0
    worst_from: float | None = None
    worst_to: float | None = None

    @property
    def both(self) -> int:
        """The rows that rise and fall."""
        return self.n - self.up - self.down - self.flat


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One severity of a ladder: ``level`` in the ladder's unit, and what it does to the metric.

    ``drop`` is how much worse than the same rows unharmed, with its interval at 95 %; ``value`` is
    None, and ``why`` tells it, where the model gave no usable answer.
    """

    severity: int
    level: float
    value: float | None = None
    drop: float | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""
    changed: int = 0
    why: str = ""


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """One way to spoil rows at rising severity, measured by the main ``metric`` of ``n`` rows.

    ``clean`` is the metric of the rows as they are. Drops are in the unit of the metric, or shares
    of ``clean`` where ``relative``.
    """

    name: str
    gate: str
    unit: str
    metric: str
    clean: float
    n: int
    relative: bool
    rungs: tuple[Rung, ...]

    def amount(self, rung: Rung) -> str:
        """Return how much a rung spoils: ``5 % of the rows``, ``0.2 standard deviations``."""
        if self.unit.startswith("of "):
            return f"{100 * rung.level:g} % {self.unit}"
        return f"{rung.level:g} {self.unit}"


class RobustnessRecord(Record, frozen=True, kw_only=True, tag="robustness"):
    """Every case that ran, the trends by column, and the ladders; ``unreached`` are names.

    ``kept`` are the failures in their smallest form, those of earlier versions among them;
    ``flips`` are the smallest changes that turn decisions.
    """

    cases: tuple[Case, ...] = ()
    trends: tuple[Trend, ...] = ()
    ladders: tuple[Ladder, ...] = ()
    unreached: tuple[str, ...] = ()
    kept: tuple[ToldCase, ...] = ()
    flips: Flips | None = None
