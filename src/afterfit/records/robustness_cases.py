"""Failures that stay: the smallest rows that show each, and what smallest changes do.

The rows stand in a document of their own (a blob of the workspace), because some are real ones:
a record, a page and a comment have names of columns and counts alone.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from afterfit.core.digest import digest_of
from afterfit.core.signature import Signature

__all__ = [
    "CASES_BLOB",
    "FAILING",
    "CaseFile",
    "Expectation",
    "ExportedCases",
    "FlipExample",
    "Flips",
    "KeptCase",
    "Move",
    "Standing",
    "ToldCase",
    "Within",
]

CASES_BLOB = "cases.json"
"""The name under which a record of ``robustness`` refers to the document."""

Expectation = Literal[
    "answers", "same_decision", "same_in_batch", "same_in_any_order", "same_again"
]
"""What must hold of the rows.

``answers``: each has a usable answer or is refused by name. ``same_decision``: the second is
decided as the first. ``same_in_batch``: each is answered alone as among the others.
``same_in_any_order``: whatever the order of the columns. ``same_again``: twice alike.
"""
Standing = Literal["new", "regressed", "known", "fixed", "held", "gone"]
"""How a case stands beside the version before.

``new``: fails, and nothing is known of the version before. ``regressed``: fails, and did not there.
``known``: fails here and there. ``fixed``: holds, and failed there. ``held``: holds here and there.
``gone``: a column that it needs is no more.
"""
FAILING: frozenset[str] = frozenset({"new", "regressed", "known"})


class KeptCase(msgspec.Struct, frozen=True, kw_only=True):
    """A failure in its smallest form.

    ``rows`` are whole rows as JSON has them (null is missing); ``columns`` those columns in which
    they differ from a harmless row, so the ones that matter. ``code`` and ``place`` are those of
    the finding, ``case`` is what was done to rows. ``happened`` is what became of them with the
    model's words in ``message``. ``local`` says that a value of a real row is in it. ``minimal`` is
    False where the search was cut short. ``tolerance`` is how far a value of a regression may move,
    in its own unit. ``first`` is the digest of the version in which it was found.
    """

    code: str
    case: str
    place: str = ""
    expectation: Expectation
    columns: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    happened: str
    message: str = ""
    tolerance: float = 0.0
    local: bool = False
    minimal: bool = True
    standing: Standing = "new"
    first: str = ""

    @property
    def id(self) -> str:
        """Return 12 hexadecimal digits of what is asked, whatever became of it."""
        return digest_of([self.expectation, list(self.rows)])[:12]

    @property
    def fails(self) -> bool:
        """Whether the version at hand fails it."""
        return self.standing in FAILING


class ToldCase(msgspec.Struct, frozen=True, kw_only=True):
    """A kept case without its rows; ``values`` are those of ``columns`` unless it is ``local``.

    Of two rows of ``same_decision`` they are those of the second.
    """

    id: str
    code: str
    case: str
    expectation: Expectation
    columns: tuple[str, ...]
    n: int
    happened: str
    standing: Standing
    local: bool = False
    minimal: bool = True
    values: dict[str, Any] = {}


class Within(msgspec.Struct, frozen=True, kw_only=True):
    """How many of ``n`` rows flip by a change of at most ``size`` spreads; Wilson at 95 %."""

    size: float
    flipped: int
    n: int
    low: float
    high: float


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One value that was moved: ``size`` in spreads of its column, 1 for another category."""

    column: str
    size: float


class Flips(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest changes that were found to flip decisions of ``n`` rows, ``flipped`` of them.

    ``amount`` is by how much a value of a regression must move, in its own unit; 0 where decisions
    turn. ``fixed`` are the columns that nobody can move, ``tried`` those that were moved, ``names``
    how often each was part of a smallest change. ``median`` is over all rows, those that never
    flipped counted as beyond; None where it lies beyond. ``examples`` has columns and sizes of
    three rows whose values are in the document.
    """

    n: int
    flipped: int
    amount: float
    rows_of: Literal["rightly decided", "as they came"]
    tried: tuple[str, ...]
    fixed: tuple[str, ...]
    within: tuple[Within, ...]
    median: float | None = None
    low: float | None = None
    high: float | None = None
    names: dict[str, int] = {}
    examples: tuple[tuple[Move, ...], ...] = ()


class FlipExample(msgspec.Struct, frozen=True, kw_only=True):
    """A real row before and after its smallest change, and what was said of each."""

    before: dict[str, Any]
    after: dict[str, Any]
    said_before: str
    said_after: str
    size: float


class CaseFile(msgspec.Struct, frozen=True, kw_only=True):
    """The document: every case of a model's name up to the version ``subject``."""

    subject: str
    cases: tuple[KeptCase, ...] = ()
    examples: tuple[FlipExample, ...] = ()
    schema: int = 1


class ExportedCases(msgspec.Struct, frozen=True, kw_only=True):
    """The document beside an exported test: the cases of a version, and how to read answers."""

    ref: str
    digest: str
    signature: Signature
    cases: tuple[KeptCase, ...]
    schema: int = 1
