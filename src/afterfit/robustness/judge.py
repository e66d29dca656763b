"""What the cases mean: the findings of ``robustness``."""

from __future__ import annotations

from collections.abc import Callable

from afterfit.core.finding import Check, Finding
from afterfit.records.robustness import Case, CaseOutcome
from afterfit.robustness import findings
from afterfit.robustness.cases import ROUNDED, Spoiled
from afterfit.robustness.probe import BATCHES, ZERO_ROWS

BAD: frozenset[CaseOutcome] = frozenset({"crashed", "not_finite"})
WRONG_TYPE = "wrong type"
NAMED = 4

Test = Callable[[Case], bool]


def judged(cases: list[Case], planned: list[Spoiled], skipped: int) -> tuple[Finding, ...]:
    """Return a finding for each check, or one for each column in which it failed.

    A check of which cases were not reached has not passed.
    """
    alike = {(spoiled.case, spoiled.column) for spoiled in planned if spoiled.alike}
    by_column: list[tuple[type[Check], Test]] = [
        (findings.CrashesOnStrangeRow, lambda c: c.outcome == "crashed" and c.case != ZERO_ROWS),
        (findings.NotFinite, lambda c: c.outcome == "not_finite"),
        (findings.SpellingChangesDecision, lambda c: (c.case, c.column) in alike and c.changed > 0),
    ]
    whole: list[tuple[type[Check], Test]] = [
        (findings.BatchChangesAnswer, lambda c: c.case in BATCHES and c.changed > 0),
        (findings.EmptyBatch, lambda c: c.case == ZERO_ROWS and c.outcome in BAD),
        (findings.WrongTypeAccepted, _type_accepted),
    ]
    found = []
    for check, hit in by_column:
        found += _one(check, [case for case in cases if hit(case)], skipped)
    for check, hit in whole:
        found += _one(check, [case for case in cases if hit(case)], 0)
    return (*found, _about_time(skipped, len(planned)))


def not_examined(case: Case) -> tuple[Finding, ...]:
    """Return the findings where the model gave no answer to the rows as they are."""
    text = "the model does not answer the rows as they are, so nothing can be compared"
    checks: list[type[Check]] = [
        findings.NotFinite,
        findings.SpellingChangesDecision,
        findings.BatchChangesAnswer,
        findings.EmptyBatch,
        findings.WrongTypeAccepted,
        findings.TimeRanOut,
    ]
    crash = _issue(findings.CrashesOnStrangeRow, "", [case])
    return (crash, *(check.skipped(text) for check in checks))


def _type_accepted(case: Case) -> bool:
    return case.case.startswith(WRONG_TYPE) and case.outcome != "refused"


def _one(check: type[Check], hits: list[Case], skipped: int) -> list[Finding]:
    if hits:
        columns = dict.fromkeys(case.column for case in hits)
        return [_issue(check, c, [case for case in hits if case.column == c]) for c in columns]
    if skipped:
        return [check.skipped(f"{skipped} cases were not reached within the time")]
    return [check.passed()]


def _issue(check: type[Check], column: str, hits: list[Case]) -> Finding:
    names = [case.case for case in hits]
    listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" * (len(names) > NAMED))
    first = hits[0]
    text = first.message or f"{first.changed} of {first.n} rows were decided differently"
    return check.issue(
        f"{listed}: {text}",
        where=f"column {column!r}" if column else "whole rows",
        fix=_fix(check, names),
        cases=names,
        column=column,
    )


def _about_time(skipped: int, planned: int) -> Finding:
    check = findings.TimeRanOut
    if not skipped:
        return check.passed(f"all {planned} cases of the columns ran")
    text = f"{skipped} of {planned} cases were not reached within the time"
    return check.skipped(text, fix="--effort full")


def _fix(check: type[Check], names: list[str]) -> str:
    """Return the part of the check's page that says how to mend it, in one line."""
    if set(names) == {ROUNDED}:
        return "round the column in the pipeline, in training too, as coarsely as callers send it"
    return check.page().get("Fix", "")
