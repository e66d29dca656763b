"""Many cases in few calls: rows of several cases are asked about together, and told apart again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from afterfit.core import frame as frames
from afterfit.core.frame import Frame
from afterfit.records.robustness import Case
from afterfit.robustness.cases import MISSING, USUAL, Spoiled
from afterfit.robustness.evidence import Evidence
from afterfit.robustness.probe import Asked, case_of, known_beforehand, unusable, verdict

__all__ = ["run_cases"]

ROWS_TOGETHER = 8192
ALONE_AFTER = 10
"""Rows that are sent alone after a batch of them crashed: a batch may crash for one row."""
WHOLE_COLUMN = frozenset({MISSING, USUAL})
"""Cases that must fill their column to be what they are: a request of one row with a null."""

Waiting = list[tuple[Spoiled, Frame]]


def run_cases(evidence: Evidence, planned: Sequence[Spoiled]) -> Iterator[Case]:
    """Yield what each case did, in an order of its own; raises TimeOverError.

    Cases share a call where the model answers rows independently and their columns have the same
    dtypes, so that none sees its values in another type than alone. Where a call fails, its cases
    are asked in halves, so that one that crashes hides no other.
    """
    n = frames.row_count(evidence.rows)
    most = max(1, min(ROWS_TOGETHER, evidence.rows_a_call) // n) if evidence.independent else 1
    waiting: dict[tuple[str, ...], Waiting] = {}
    crashed: set[str] = set()
    for spoiled in planned:
        known = known_beforehand(evidence.signature, evidence.rows, spoiled)
        if known is not None:
            yield known
            continue
        changed = spoiled.applied(evidence.rows)
        if spoiled.case in WHOLE_COLUMN:
            yield from _told(evidence, [(spoiled, changed)], crashed)
            continue
        kinds = tuple(values.dtype.str for values in changed.values())
        group = waiting.setdefault(kinds, [])
        group.append((spoiled, changed))
        if len(group) >= most:
            yield from _told(evidence, waiting.pop(kinds), crashed)
    for group in waiting.values():
        yield from _told(evidence, group, crashed)


def _told(evidence: Evidence, group: Waiting, crashed: set[str]) -> Iterator[Case]:
    asked = evidence.ask(frames.join([changed for _, changed in group]))
    answer = asked[0]
    if len(group) == 1:
        yield _one(evidence, *group[0], asked, crashed)
    elif answer is None:
        half = len(group) // 2
        yield from _told(evidence, group[:half], crashed)
        yield from _told(evidence, group[half:], crashed)
    else:
        n = frames.row_count(evidence.rows)
        for place, (spoiled, changed) in enumerate(group):
            mine = answer.take(slice(place * n, (place + 1) * n))
            yield _one(evidence, spoiled, changed, (mine, *verdict(mine)), crashed)


def _one(
    evidence: Evidence, spoiled: Spoiled, changed: Frame, asked: Asked, crashed: set[str]
) -> Case:
    case = case_of(evidence.signature, evidence.rows, evidence.before, spoiled, asked)
    if case.outcome != "crashed" or case.column in crashed:
        return case
    # One case a column tells how many rows: the others crash for the same reason as a rule.
    crashed.add(case.column)
    return _alone(evidence, case, changed)


def _alone(evidence: Evidence, case: Case, changed: Frame) -> Case:
    """Return a case that crashed with how many of its first rows fail when they come alone."""
    tried = min(ALONE_AFTER, frames.row_count(changed))
    failed = 0
    for row in range(tried):
        answer, outcome, _ = evidence.ask(frames.take(changed, slice(row, row + 1)))
        failed += outcome == "crashed" or (answer is not None and bool(unusable(answer).any()))
    return msgspec.structs.replace(case, failed=failed, tried=tried)
