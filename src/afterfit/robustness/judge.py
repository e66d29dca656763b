"""What the cases mean: the findings of ``robustness``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from afterfit.core.effort import Effort, more_time
from afterfit.core.finding import Check, Finding
from afterfit.records.robustness import Case, CaseOutcome
from afterfit.records.robustness_cases import KeptCase
from afterfit.robustness import findings
from afterfit.robustness.cases import MISSING, ROUNDED, USUAL, Spoiled
from afterfit.robustness.probe import AGAIN, BATCHES, COLUMNS_TURNED, ZERO_ROWS
from afterfit.robustness.told import share
from afterfit.stats.interval import wilson

BAD: frozenset[CaseOutcome] = frozenset({"crashed", "not_finite", "no_probability"})
COMPARED = frozenset({AGAIN, COLUMNS_TURNED, *BATCHES})
WRONG_TYPE = "wrong type"
NAMED = 4
NOISE_SHARE = 0.05
"""Of decisions that noise within the rounding may change before it is an issue."""
FIX_OF_ROUNDING = (
    "round the column in the pipeline, in training too, as coarsely as callers send it"
)

Test = Callable[[Case], bool]


def judged(
    cases: Sequence[Case],
    planned: Sequence[Spoiled],
    unreached: Sequence[str] = (),
    *,
    image: bool = False,
    effort: Effort = "standard",
) -> tuple[Finding, ...]:
    """Return a finding for each check, or one for each column in which it failed.

    A check of which cases were not reached has not passed; ``unreached`` are their names, and
    ``effort`` is what did not reach them. The columns of an ``image`` are pixels, none of which
    has to be of use.
    """
    skipped = len(unreached)
    alike = {(each.case, each.column): each.alike for each in planned if each.alike}
    cases = _without_echoes(cases, planned)
    by_column: list[tuple[type[Check], Test]] = [
        (findings.CrashesOnStrangeRow, lambda c: c.outcome == "crashed" and c.case != ZERO_ROWS),
        (findings.NotFinite, lambda c: c.outcome == "not_finite"),
        (findings.NoProbability, lambda c: c.outcome == "no_probability"),
    ]
    whole: list[tuple[type[Check], Test]] = [
        (findings.BatchChangesAnswer, lambda c: c.case in BATCHES and _moved(c)),
        (findings.ColumnOrderChangesAnswer, lambda c: c.case == COLUMNS_TURNED and _moved(c)),
        (findings.NotRepeatable, lambda c: c.case == AGAIN and _moved(c)),
        (findings.EmptyBatch, lambda c: c.case == ZERO_ROWS and c.outcome in BAD),
        (findings.WrongTypeAccepted, _type_accepted),
    ]
    found = []
    for check, hit in by_column:
        found += _one(check, [case for case in cases if hit(case)], skipped)
    kinds: dict[str, list[Case]] = {}
    for case in cases:
        kinds.setdefault(alike.get((case.case, case.column), ""), []).append(case)
    noise = findings.NoiseChangesDecision
    found.append(_about_spelling(kinds.get("spelling", []), skipped))
    found += _of_kind(noise, kinds.get("noise", []), _often, skipped)
    for check, hit in whole:
        found += _one(check, [case for case in cases if hit(case)], 0)
    found.append(_about_looks(kinds.get("look", []), skipped))
    usual = [case for case in cases if case.case == USUAL and not image]
    found.append(_about_use(usual, skipped))
    return (*found, _about_time(unreached, len(planned), effort))


def not_examined(case: Case) -> tuple[Finding, ...]:
    """Return the findings where the model gave no answer to the rows as they are."""
    text = "the model does not answer the rows as they are, so nothing can be compared"
    crash = _issue(findings.CrashesOnStrangeRow, "", [case])
    checks = sorted(
        (each for each in vars(findings).values() if isinstance(each, type)
         and issubclass(each, Check) and each not in (Check, findings.CrashesOnStrangeRow)),
        key=lambda check: check.code,
    )  # fmt: skip
    return (crash, *(check.skipped(text) for check in checks))


def in_words(told: Sequence[Finding], kept: Sequence[KeptCase]) -> tuple[Finding, ...]:
    """Return the findings with the model's own words, where rows of no person made it say them.

    Those of cases that are ``local`` stay with these in the workspace: they may quote a real row.
    """
    words: dict[tuple[str, str], str] = {}
    for case in kept:
        if case.fails and case.happened == "crashed" and case.message and not case.local:
            words.setdefault((case.code, case.place), case.message)
    return tuple(
        msgspec.structs.replace(each, message=f"{each.message}; of made-up rows it says: {said}")
        if each.outcome == "issue"
        and (said := words.get((each.code, str(each.evidence.get("column", "")))))
        else each
        for each in told
    )


def _moved(case: Case) -> bool:
    return case.changed > 0


def _often(case: Case) -> bool:
    return case.n > 0 and wilson(case.changed, case.n).low > NOISE_SHARE


def _type_accepted(case: Case) -> bool:
    return case.case.startswith(WRONG_TYPE) and case.outcome != "refused"


def _without_echoes(cases: Sequence[Case], planned: Sequence[Spoiled]) -> list[Case]:
    """Return the cases without gaps in several columns of which one fails by itself already."""
    lone = {case.column for case in cases if case.case == MISSING and case.outcome in BAD}
    echoes = {(each.case, each.column) for each in planned if lone.intersection(each.names)}
    return [case for case in cases if (case.case, case.column) not in echoes]


def _one(check: type[Check], hits: list[Case], skipped: int) -> list[Finding]:
    if hits:
        columns = dict.fromkeys(case.column for case in hits)
        return [_issue(check, c, [case for case in hits if case.column == c]) for c in columns]
    if skipped:
        return [check.skipped(f"{skipped} cases were not reached within the time")]
    return [check.passed()]


def _of_kind(check: type[Check], cases: Sequence[Case], hit: Test, skipped: int) -> list[Finding]:
    """Return what `_one` does, or that no column has values that the check is about."""
    if not skipped and all(case.outcome == "not_applicable" for case in cases):
        return [check.not_applicable("no column has values that are written or rounded otherwise")]
    return _one(check, [case for case in cases if hit(case)], skipped)


def _issue(check: type[Check], column: str, hits: list[Case]) -> Finding:
    names = [case.case for case in hits]
    return check.issue(
        f"{_listed(names)}: {_said(hits)}",
        where=_place(column),
        fix=FIX_OF_ROUNDING if set(names) == {ROUNDED} else check.page().get("Fix", ""),
        cases=names,
        column=column,
    )


def _said(hits: list[Case]) -> str:
    """Return what happened in the worst of the cases, with the share of rows."""
    bad = [case for case in hits if case.outcome in BAD]
    if not bad:
        worst = max(hits, key=lambda case: case.changed)
        if worst.message:
            return worst.message
        did = "answered" if worst.case in COMPARED else "decided"
        return f"{share(worst.changed, worst.n)} were {did} differently"
    worst = max(bad, key=lambda case: case.failed)
    text = worst.message or f"{worst.outcome.replace('_', ' ')}, {worst.n} rows"
    if not worst.tried:
        return f"{text} (n = {worst.n})"
    if worst.outcome == "crashed":
        return f"{text}; sent alone, {share(worst.failed, worst.tried)} fail"
    return f"{text}: {share(worst.failed, worst.tried)}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _place(column: str) -> str:
    return f"column {column!r}" if column else "whole rows"


def _about_spelling(cases: list[Case], skipped: int) -> Finding:
    """Return one issue for all columns: one step of the pipeline mends them together."""
    check = findings.SpellingChangesDecision
    hits = [case for case in cases if _moved(case)]
    if not hits:
        (found,) = _of_kind(check, cases, _moved, skipped)
        return found
    columns: dict[str, list[str]] = {}
    for case in hits:
        columns.setdefault(case.column, []).append(case.case)
    worst = max(hits, key=lambda case: case.changed / max(1, case.n))
    names = list(dict.fromkeys(case.case for case in hits))
    fixes = [FIX_OF_ROUNDING] if ROUNDED in names else []
    fixes += [check.page()["Fix"]] if set(names) - {ROUNDED} else []
    more = f"; columns: {_listed(list(columns))}; by {_listed(names)}" if len(hits) > 1 else ""
    return check.issue(
        f"{worst.case} in {worst.column!r}: {_said([worst])}{more}",
        where=_place(worst.column) if len(columns) == 1 else f"{len(columns)} columns",
        fix="; ".join(fixes),
        columns=columns,
    )


def _about_looks(cases: list[Case], skipped: int) -> Finding:
    """Return one tip for all columns: such characters are rare, and seldom anybody's fault."""
    check = findings.LookChangesDecision
    asked = [case for case in cases if case.outcome != "not_applicable"]
    hits = [case for case in asked if _moved(case)]
    if hits:
        worst = max(hits, key=lambda case: case.changed / max(1, case.n))
        columns = list(dict.fromkeys(case.column for case in hits))
        return check.tip(
            f"{worst.case} in {worst.column!r}: {share(worst.changed, worst.n)} are decided "
            f"differently; columns: {_listed(columns)}",
            where=_place(worst.column),
            fix=check.page()["Fix"],
            columns=columns,
        )
    if skipped:
        return check.skipped(f"{skipped} cases were not reached within the time")
    if not asked:
        return check.not_applicable("no column holds words")
    return check.passed(f"{len(asked)} cases of {len({c.column for c in asked})} columns")


def _about_use(cases: list[Case], skipped: int) -> Finding:
    """Return one tip for all columns without which every answer stays what it was."""
    check = findings.UnusedColumn
    answered = [case for case in cases if case.outcome == "answered" and case.n]
    idle = [c.column for c in answered if not c.changed and not c.max_shift]
    if skipped and not answered:
        return check.skipped(f"{skipped} cases were not reached within the time")
    if not answered:
        return check.not_applicable("no column could be given its usual value")
    n = answered[0].n
    if len(answered) == len(idle):
        return check.passed(f"no column alone moves an answer (n = {n} rows)")
    if idle:
        return check.tip(
            f"{_listed(idle)}: with the usual value in every row {share(0, n)} moved",
            where=_place(idle[0]) if len(idle) == 1 else f"{len(idle)} columns",
            fix=check.page()["Fix"],
            columns=idle,
        )
    return check.passed(f"each of {len(answered)} columns moves some answer (n = {n} rows)")


def _about_time(unreached: Sequence[str], planned: int, effort: Effort) -> Finding:
    check = findings.TimeRanOut
    if not unreached:
        return check.passed(f"all {planned} cases of the columns ran")
    text = f"{len(unreached)} were not reached within the time: {_listed(unreached)}"
    return check.skipped(text, fix=more_time(effort), unreached=list(unreached))
