"""Cases that stay: earlier ones asked again, and new failures in their smallest form."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from afterfit.core.finding import Finding
from afterfit.core.metric import Metric
from afterfit.records.robustness import RobustnessRecord
from afterfit.records.robustness_cases import Expectation, KeptCase, Standing, ToldCase
from afterfit.robustness import findings_kept as findings
from afterfit.robustness.book import CaseBook
from afterfit.robustness.cases import Spoiled
from afterfit.robustness.probe import UNHARMED
from afterfit.robustness.replay import replayed
from afterfit.robustness.shrink import Failure, Shrinker

__all__ = ["Kept", "kept_cases", "told_case"]

EXPECTED: dict[str, Expectation] = {
    "R001": "answers",
    "R002": "answers",
    "R003": "same_decision",
    "R004": "same_in_batch",
    "R005": "answers",
    "R009": "same_in_any_order",
    "R010": "answers",
    "R011": "same_again",
    "R014": "same_decision",
}
"""What must hold instead of each finding that rows can show."""
MOST_FAILURES = 20
"""Failures that are made small in one run."""
MOST_KEPT = 500
NAMED = 4


@dataclass(frozen=True)
class Kept:
    """The cases of this version, those of earlier ones among them, and what is told of them."""

    cases: tuple[KeptCase, ...]
    findings: tuple[Finding, ...]
    metrics: tuple[Metric, ...]
    unreached: tuple[str, ...]


def kept_cases(
    shrinker: Shrinker,
    told: Sequence[Finding],
    planned: Sequence[Spoiled],
    book: CaseBook,
    *,
    subject: str,
    tolerance: float = 0.0,
) -> Kept:
    """Return every case with its standing, after asking earlier ones and shrinking new ones.

    ``told`` are the findings of this run, ``planned`` its cases of columns, ``tolerance`` is how
    far a value of a regression may move. What ``shrinker`` had no time for is named.
    """
    cases, unreached = _earlier(shrinker, book)
    fresh, missed = _new(shrinker, told, planned, cases, book.previous, tolerance)
    cases += [msgspec.structs.replace(case, first=subject) for case in fresh]
    unreached += missed
    beside = book.earlier is not None or book.previous is not None
    asked = [case for case in cases if case.standing != "gone"]
    regressed = sum(case.standing == "regressed" for case in asked)
    metric = Metric(
        name="regressed_cases", value=float(regressed), n=len(asked), method="count", unit="cases"
    )
    return Kept(
        cases=tuple(cases[-MOST_KEPT:]),
        findings=_findings(cases, beside=beside, unreached=unreached),
        metrics=(metric,),
        unreached=tuple(unreached),
    )


def told_case(case: KeptCase, *, real_rows: bool = False) -> ToldCase:
    """Return a case as a record tells it: without the values of real rows unless asked for."""
    last = case.rows[-1] if case.rows else {}
    local = case.local and not real_rows
    return ToldCase(
        id=case.id,
        code=case.code,
        case=case.case,
        expectation=case.expectation,
        columns=case.columns,
        n=len(case.rows),
        happened=case.happened,
        standing=case.standing,
        local=local,
        minimal=case.minimal,
        values={} if local else {name: last.get(name) for name in case.columns},
    )


def _earlier(shrinker: Shrinker, book: CaseBook) -> tuple[list[KeptCase], list[str]]:
    """Return the earlier cases as they stand now; those not reached stay as they were."""
    cases, unreached = [], []
    names = set(shrinker.signature.names)
    for case in book.earlier.cases if book.earlier else ():
        if not names.issuperset(case.columns):
            cases.append(msgspec.structs.replace(case, standing="gone"))
            continue
        filled = tuple({**shrinker.harmless, **_only(row, names)} for row in case.rows)
        now = msgspec.structs.replace(case, rows=filled) if filled != case.rows else case
        if time.monotonic() > shrinker.deadline:
            unreached.append(f"earlier case {case.id}")
            cases.append(case)
            continue
        seen = replayed(shrinker.ask, shrinker.signature, now)
        if time.monotonic() > shrinker.deadline:
            unreached.append(f"earlier case {case.id}")
            cases.append(case)
            continue
        standing = _standing(case, holds=seen.holds)
        cases.append(
            msgspec.structs.replace(
                now, standing=standing, happened=seen.happened if not seen.holds else "answered",
                message="" if seen.holds else seen.message,
            )
        )  # fmt: skip
    return cases, unreached


def _only(row: dict[str, object], names: set[str]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name in names}


def _standing(before: KeptCase, *, holds: bool) -> Standing:
    if holds:
        return "fixed" if before.fails else "held"
    if before.standing == "gone":
        return "new"
    return "known" if before.fails else "regressed"


def _new(
    shrinker: Shrinker,
    told: Sequence[Finding],
    planned: Sequence[Spoiled],
    earlier: Sequence[KeptCase],
    previous: RobustnessRecord | None,
    tolerance: float,
) -> tuple[list[KeptCase], list[str]]:
    ids = {case.id for case in earlier}
    found: list[KeptCase] = []
    failures = list(failures_of(told, planned, earlier, tolerance))
    unreached = [_name(failure) for failure in failures[MOST_FAILURES:]]
    for failure in failures[:MOST_FAILURES]:
        if time.monotonic() > shrinker.deadline:
            unreached.append(_name(failure))
            continue
        case = shrinker.shrunk(failure)
        if case is None:
            unreached += [_name(failure)] if shrinker.spent else []
            continue
        if case.id not in ids:
            ids.add(case.id)
            standing: Standing = "regressed" if _passed(previous, failure) else "new"
            found.append(msgspec.structs.replace(case, standing=standing))
    return found, unreached


def _name(failure: Failure) -> str:
    return f"smallest rows of {failure.case}" + (f" in {failure.place!r}" if failure.place else "")


def failures_of(
    told: Sequence[Finding],
    planned: Sequence[Spoiled],
    earlier: Sequence[KeptCase],
    tolerance: float,
) -> Iterator[Failure]:
    """Yield one failure a column of a finding: its first case, unless a known one shows it."""
    spoiled = {(each.case, each.column): each for each in planned}
    still = {(case.code, case.place, case.case) for case in earlier if case.fails}
    for finding in told:
        if finding.outcome != "issue" or finding.code not in EXPECTED:
            continue
        for place, names in _places(finding):
            if not names or any((finding.code, place, name) in still for name in names):
                continue
            made = spoiled.get((names[0], place))
            if made is None and place:
                continue
            expected = EXPECTED[finding.code]
            yield Failure(finding.code, names[0], place, expected, made, tolerance)


def _places(finding: Finding) -> Iterator[tuple[str, list[str]]]:
    """Yield each column that a finding is about, with the names of its cases."""
    columns = finding.evidence.get("columns")
    if isinstance(columns, dict):
        yield from columns.items()
    else:
        yield str(finding.evidence.get("column", "")), finding.evidence.get("cases", [])


def _passed(previous: RobustnessRecord | None, failure: Failure) -> bool:
    """Return whether the version before was asked the same and did not fail."""
    if previous is None:
        return False
    for case in previous.cases:
        if (case.case, case.column) == (failure.case, failure.place):
            answered = case.outcome in {"answered", "refused"}
            return answered and (failure.expectation == "answers" or not case.changed)
    # It was planned for every version; of an unharmed row there is always a case.
    return failure.case == UNHARMED


def _findings(
    cases: Sequence[KeptCase], *, beside: bool, unreached: Sequence[str]
) -> tuple[Finding, ...]:
    checks = (findings.CaseRegressed, findings.CaseKnown, findings.CaseFixed)
    if not beside:
        text = "no earlier version of this name has cases"
        return tuple(check.not_applicable(text) for check in checks)
    by = {name: [case for case in cases if case.standing == name]
          for name in ("regressed", "known", "fixed", "held")}  # fmt: skip
    return (_regressed(by, unreached), _known(by, unreached), _fixed(by))


def _regressed(by: dict[str, list[KeptCase]], unreached: Sequence[str]) -> Finding:
    check, hits = findings.CaseRegressed, by["regressed"]
    if hits:
        text = f"{_count(hits)} that the version before passed: {_listed(hits)}"
        return check.issue(text, where=_where(hits), fix=check.page()["Fix"], count=len(hits),
                           cases=[case.id for case in hits])  # fmt: skip
    if unreached:
        return check.skipped(f"{len(unreached)} cases were not reached within the time")
    return check.passed(f"{len(by['held']) + len(by['fixed'])} earlier cases hold", count=0)


def _known(by: dict[str, list[KeptCase]], unreached: Sequence[str]) -> Finding:
    check, hits = findings.CaseKnown, by["known"]
    if hits:
        text = f"{_count(hits)} still, as in the version before: {_listed(hits)}"
        return check.tip(text, where=_where(hits), fix=check.page()["Fix"], count=len(hits),
                         cases=[case.id for case in hits])  # fmt: skip
    if unreached:
        return check.skipped(f"{len(unreached)} cases were not reached within the time")
    return check.passed("no case that failed before fails still", count=0)


def _fixed(by: dict[str, list[KeptCase]]) -> Finding:
    check, hits = findings.CaseFixed, by["fixed"]
    if not hits:
        return check.not_applicable("no case that failed before holds now")
    word = "case holds" if len(hits) == 1 else "cases hold"
    text = f"{len(hits)} {word} that failed in the version before: {_listed(hits)}"
    return check.passed(text, count=len(hits), cases=[case.id for case in hits])


def _count(hits: Sequence[KeptCase]) -> str:
    return "1 case fails" if len(hits) == 1 else f"{len(hits)} cases fail"


def _listed(hits: Sequence[KeptCase]) -> str:
    names = [f"{case.case} ({', '.join(case.columns) or 'whole rows'})" for case in hits[:NAMED]]
    more = len(hits) - NAMED
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def _where(hits: Sequence[KeptCase]) -> str:
    if len(hits) > 1:
        return f"{len(hits)} cases"
    return f"column {hits[0].columns[0]!r}" if len(hits[0].columns) == 1 else "whole rows"
