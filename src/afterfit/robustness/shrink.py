"""A failure, made as small as it gets: few rows, few unusual columns, simple values."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame
from afterfit.core.signature import Signature
from afterfit.records.robustness_cases import Expectation, KeptCase
from afterfit.robustness.cases import Spoiled
from afterfit.robustness.fewest import fewest
from afterfit.robustness.harmless import drawn_rows, harmless_row, public_values
from afterfit.robustness.probe import ZERO_ROWS, Asked
from afterfit.robustness.replay import Ask, Row, Seen, frame_of, replayed, rows_of
from afterfit.robustness.simple import made_up, simpler

__all__ = ["Failure", "Shrinker"]

MOST_CALLS = 400
"""Calls to the model for one failure: a table of 50 columns needs about 60."""
TRIES = 8
"""Places of a batch in which the harmless row is tried: noise is another in each."""
OUT_OF_TIME: Asked = (None, "refused", "the time was over")
_ERROR = re.compile(r"\b\w*(?:Error|Exception|Interrupt|Exit)\b")


@dataclass(frozen=True)
class Failure:
    """What failed: ``case`` in ``place`` as the finding ``code`` tells it.

    ``spoiled`` is how rows were made strange, None where they came as they are. ``tolerance`` is
    how far a value of a regression may move.
    """

    code: str
    case: str
    place: str
    expectation: Expectation
    spoiled: Spoiled | None = None
    tolerance: float = 0.0

    @property
    def paired(self) -> bool:
        """Whether a row is compared with itself as it was before."""
        return self.expectation == "same_decision"

    def strange(self, signature: Signature, rows: Sequence[Row]) -> list[Row]:
        """Return the rows with the case in them."""
        if self.spoiled is None or not rows:
            return list(rows)
        return rows_of(self.spoiled.applied(frame_of(signature, rows)))

    def kept(self, rows: Sequence[Row], columns: Sequence[str] = ()) -> KeptCase:
        """Return the case of these rows, nothing known of what becomes of it."""
        return KeptCase(
            code=self.code,
            case=self.case,
            place=self.place,
            expectation=self.expectation,
            columns=tuple(columns),
            rows=tuple(rows),
            happened="",
            tolerance=self.tolerance,
        )


@dataclass
class Shrinker:
    """Shrinks failures of one model; the same seed shrinks alike where the time suffices.

    ``rows`` are real ones, which are taken only where made-up ones do not show a failure.
    ``deadline`` is on the clock of `time.monotonic`.
    """

    ask: Ask
    signature: Signature
    fingerprint: Fingerprint
    rows: Frame
    seed: int
    deadline: float
    calls: int = 0
    spent: bool = False
    harmless: Row = field(init=False)

    def __post_init__(self) -> None:
        """Make the harmless row, once."""
        self.harmless = harmless_row(self.fingerprint, self.signature)

    def shrunk(self, failure: Failure) -> KeptCase | None:
        """Return the smallest form of a failure; None where no start of ours shows it."""
        self.calls, self.spent = 0, False
        for start, real in self._starts(failure):
            seen = self._seen(failure, start)
            if not seen.holds and not self.spent:
                return self._smallest(failure, start, _kind(seen), real=real)
        return None

    def _starts(self, failure: Failure) -> Iterator[tuple[list[Row], bool]]:
        """Yield rows that may fail and whether they are real ones; made-up ones come first."""
        made, real = [self.harmless], rows_of(self.rows)
        if failure.case == ZERO_ROWS:
            yield [], False
        elif failure.expectation == "same_in_batch":
            yield drawn_rows(self.fingerprint, self.signature, self.seed), False
            yield real, True
        elif failure.paired:
            made = made * TRIES + drawn_rows(self.fingerprint, self.signature, self.seed)
            yield from ((pair, False) for pair in self._pairs(failure, made))
            yield from ((pair, True) for pair in self._pairs(failure, real))
        else:
            yield failure.strange(self.signature, made), False
            yield failure.strange(self.signature, real), True
            # A column's dtype in the batch is another where a neighbour has a gap.
            yield from ((failure.strange(self.signature, [row]), True) for row in real)

    def _pairs(self, failure: Failure, rows: list[Row]) -> Iterator[list[Row]]:
        """Yield each row with what it becomes; noise is another in every place of a batch."""
        after = failure.strange(self.signature, rows)
        yield from ([old, new] for old, new in zip(rows, after, strict=True) if old != new)

    def _smallest(self, failure: Failure, rows: list[Row], kind: str, *, real: bool) -> KeptCase:
        def fails(rows: list[Row]) -> bool:
            seen = self._seen(failure, rows)
            return not seen.holds and _kind(seen) == kind

        if not failure.paired:
            rows = fewest(rows, fails)
        unusual = self._unusual(rows)
        columns = []
        if unusual and not fails(self._with(rows, [])):
            columns = fewest(unusual, lambda names: fails(self._with(rows, names)))
        rows = self._with(rows, columns)
        if not failure.paired:
            rows = fewest(rows, fails)
        rows = self._simplest(rows, columns, fails)
        minimal = not self.spent
        # Asked outside of the bounds: a case must say what became of it.
        seen = replayed(self.ask, self.signature, failure.kept(rows))
        return msgspec.structs.replace(
            failure.kept(rows, self._unusual(rows)),
            happened=seen.happened,
            message=seen.message,
            local=real and self._real(failure, rows),
            minimal=minimal,
        )

    def _unusual(self, rows: list[Row]) -> list[str]:
        """Return the columns in which some row is not the harmless one."""
        return [name for name in self.signature.names
                if any(not _same(row[name], self.harmless[name]) for row in rows)]  # fmt: skip

    def _with(self, rows: list[Row], columns: Sequence[str]) -> list[Row]:
        """Return harmless rows that have the rows' own values in these columns."""
        return [{**self.harmless, **{name: row[name] for name in columns}} for row in rows]

    def _simplest(
        self, rows: list[Row], columns: Sequence[str], fails: Callable[[list[Row]], bool]
    ) -> list[Row]:
        """Return the rows with simple values where rows are alike in a column, else as they are."""
        now = list(rows)

        def fails_with(name: str, value: Any) -> bool:
            return fails([{**row, name: value} for row in now])

        for name in columns:
            if any(not _same(row[name], now[0][name]) for row in now):
                continue
            column = self.signature.column(name)
            known = public_values(self.fingerprint, column)
            value = simpler(column, now[0][name], known, partial(fails_with, name))
            now = [{**row, name: value} for row in now]
        return now

    def _real(self, failure: Failure, rows: list[Row]) -> bool:
        """Return whether some value can only have come from a real row."""
        (strange,) = failure.strange(self.signature, [self.harmless]) if rows else (self.harmless,)
        for name in self.signature.names:
            known = public_values(self.fingerprint, self.signature.column(name))
            made = {repr(value) for value in (*known, self.harmless[name], strange[name])}
            for row in rows:
                value = row[name]
                # A word that was cut is the beginning of a strange one.
                cut = isinstance(value, str) and str(strange[name]).startswith(value)
                if repr(value) not in made and not cut and not made_up(value):
                    return True
        return False

    def _seen(self, failure: Failure, rows: list[Row]) -> Seen:
        return replayed(self._asked, self.signature, failure.kept(rows))

    def _asked(self, rows: Frame) -> Asked:
        """Return the model's answer, or a refusal where calls or time are used up."""
        self.spent |= self.calls >= MOST_CALLS or time.monotonic() > self.deadline
        if self.spent:
            return OUT_OF_TIME
        self.calls += 1
        asked = self.ask(rows)
        if time.monotonic() > self.deadline:
            # The process may have been ended, which says nothing of the model.
            self.spent = True
            return OUT_OF_TIME
        return asked


def _kind(seen: Seen) -> str:
    """Return what tells one failure from another: what happened, and the kind of exception."""
    error = _ERROR.search(seen.message)
    return f"{seen.happened} {error[0] if error else ''}"


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are the same as JSON writes them: -0.0 is not 0.0, nor 1 True."""
    return repr(one) == repr(other)
