"""``robustness``: strange rows through the model, and what happened."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from afterfit.core import frame as frames
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import Frame, Predictions
from afterfit.core.metric import Metric
from afterfit.core.model import Model
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, InputError
from afterfit.records.robustness import Case, CaseOutcome, RobustnessRecord
from afterfit.robustness import findings
from afterfit.robustness.cases import Spoiled, column_cases, missing_values
from afterfit.robustness.config import RobustnessConfig
from afterfit.robustness.wrong_types import wrong_type_cases
from afterfit.store.environment import current_environment

BAD: frozenset[CaseOutcome] = frozenset({"crashed", "not_finite"})
SAME = 1e-6


def robustness(
    model: Model,
    signature: Signature,
    data: Dataset,
    config: RobustnessConfig,
    *,
    subject: str,
    progress: Progress = SILENT,
) -> RobustnessRecord:
    """Return what missing, extreme, unseen, empty and wrong-typed rows did to the model.

    ``subject`` is the digest of the bundle that is examined. Real rows are spoiled one column at
    a time, so that a change is due to that column alone.
    """
    rows = _sample(data, signature, config)
    before = model.predict(rows)
    deadline = time.monotonic() + config.seconds
    planned = [*column_cases(signature), *_all_missing(signature)]
    progress.step("robustness", len(planned))
    cases, skipped = [], 0
    for spoiled in planned:
        if time.monotonic() > deadline:
            skipped += 1
            continue
        cases.append(_run_case(model, signature, rows, before, spoiled))
        progress.advance()
    cases += [_empty(model, signature), *_batches(model, rows, before)]
    cases += wrong_type_cases(signature, rows)
    found = _findings(cases, planned, skipped)
    return RobustnessRecord(
        subject=subject,
        env=current_environment(),
        inputs={"data": data.digest},
        resolved=msgspec.to_builtins(config) | {"seconds": None},
        status="partial" if skipped else "complete",
        findings=found,
        metrics=_metrics(cases),
        cases=tuple(cases),
    )


def _sample(data: Dataset, signature: Signature, config: RobustnessConfig) -> Frame:
    random = np.random.default_rng(config.seed)
    chosen = random.permutation(len(data))[: config.rows]
    return frames.take(frames.select(data.frame, signature.names), np.sort(chosen))


def _all_missing(signature: Signature) -> list[Spoiled]:
    if all(column.nullable for column in signature.columns):
        return [Spoiled("every value missing", "", missing_values)]
    return []


def _run_case(
    model: Model, signature: Signature, rows: Frame, before: Predictions, spoiled: Spoiled
) -> Case:
    """Return what one case did; a null where the signature has none is refused by the server."""
    n = frames.row_count(rows)
    column = spoiled.column
    if spoiled.case == "missing" and not signature.column(column).nullable:
        message = "the signature says not nullable: a request with null is refused with 422"
        return Case(case=spoiled.case, column=column, n=n, outcome="refused", message=message)
    names = [column] if column else list(signature.names)
    changed = {**rows, **{name: spoiled.change(rows[name]) for name in names}}
    after, outcome, message = _try(model, changed)
    if after is None or outcome != "answered":
        return Case(case=spoiled.case, column=column, n=n, outcome=outcome, message=message)
    positive = signature.positive_index
    shift = np.abs(after.score(positive) - before.score(positive))
    return Case(
        case=spoiled.case,
        column=column,
        n=n,
        outcome="answered",
        changed=_decisions_changed(signature, before, after),
        max_shift=float(shift.max()) if n else None,
    )


def _try(model: Model, rows: Frame) -> tuple[Predictions | None, CaseOutcome, str]:
    try:
        answer = model.predict(rows)
    except InputError as error:
        return None, "refused", error.message
    except AfterfitError as error:
        return None, "crashed", f"{error.message}: {error.why}"[:300]
    except Exception as error:  # noqa: BLE001 - whatever a user's model raises is the finding
        return None, "crashed", f"{type(error).__name__}: {error}"[:300]
    finite = np.isfinite(answer.main.astype(np.float64))
    if not finite.all():
        bad = int((~finite.reshape(len(finite), -1).all(axis=1)).sum())
        return answer, "not_finite", f"{bad} of {len(finite)} rows were answered NaN or infinity"
    return answer, "answered", ""


def _decisions_changed(signature: Signature, before: Predictions, after: Predictions) -> int:
    if signature.task == "regression":
        return 0
    return int((signature.codes(before) != signature.codes(after)).sum())


def _empty(model: Model, signature: Signature) -> Case:
    answer, outcome, message = _try(model, signature.empty())
    if answer is not None and len(answer):
        outcome, message = "crashed", f"zero rows gave {len(answer)} answers"
    return Case(case="zero rows", column="", n=0, outcome=outcome, message=message)


def _batches(model: Model, rows: Frame, before: Predictions) -> list[Case]:
    """Return whether rows alone, and rows in reverse, are answered as in the batch."""
    n = min(frames.row_count(rows), 25)
    alone = [model.predict(frames.take(rows, slice(i, i + 1))) for i in range(n)]
    one_by_one = frames.concatenate(alone) if alone else before
    backwards = model.predict(frames.take(rows, slice(None, None, -1))).take(slice(None, None, -1))
    return [
        _same("one row at a time", before.take(slice(0, n)), one_by_one, n),
        _same("rows in reverse", before, backwards, len(before)),
    ]


def _same(case: str, expected: Predictions, found: Predictions, n: int) -> Case:
    difference = np.abs(expected.main - found.main)
    scale = np.maximum(1.0, np.abs(expected.main))
    beyond = ~(difference <= SAME * scale).reshape(n, -1).all(axis=1) if n else np.zeros(0, bool)
    worst = float(difference.max()) if n else 0.0
    return Case(
        case=case,
        column="",
        n=n,
        outcome="answered",
        changed=int(beyond.sum()),
        max_shift=worst,
    )


def _metrics(cases: list[Case]) -> tuple[Metric, ...]:
    ran = [case for case in cases if case.outcome != "not_applicable"]
    bad = sum(case.outcome in BAD for case in ran)
    return (
        Metric(
            name="failed_cases", value=float(bad), n=len(ran), method="count", unit="cases"
        ),
    )


def _findings(cases: list[Case], planned: list[Spoiled], skipped: int) -> tuple[Finding, ...]:
    alike = {(case.case, case.column) for case in planned if case.alike}
    tests: list[tuple[type[Any], Callable[[Case], bool]]] = [
        (findings.CrashesOnStrangeRow, lambda c: c.outcome == "crashed" and c.case != "zero rows"),
        (findings.NotFinite, lambda c: c.outcome == "not_finite"),
        (findings.SpellingChangesDecision, lambda c: (c.case, c.column) in alike and c.changed > 0),
        (
            findings.BatchChangesAnswer,
            lambda c: c.case in {"one row at a time", "rows in reverse"} and c.changed > 0,
        ),
        (findings.EmptyBatch, lambda c: c.case == "zero rows" and c.outcome in BAD),
        (
            findings.WrongTypeAccepted,
            lambda c: c.case.startswith("wrong type") and c.outcome != "refused",
        ),
    ]
    found = []
    for check, hit in tests:
        hits = [case for case in cases if hit(case)]
        found += [_issue(check, case) for case in hits] or [check.passed()]
    if skipped:
        text = f"{skipped} cases were not reached within the time"
        found.append(findings.TimeRanOut.skipped(text, fix="--effort full", needed_n=skipped))
    return tuple(found)


def _issue(check: type[Any], case: Case) -> Finding:
    where = f"column {case.column!r}" if case.column else "whole rows"
    text = case.message or f"{case.changed} of {case.n} rows were decided differently"
    finding: Finding = check.issue(
        f"{case.case}: {text}", where=where, fix=_fix(check), case=case.case, column=case.column
    )
    return finding


def _fix(check: type[Any]) -> str:
    """Return the line of the check's page that says how to mend it."""
    lines = [line.strip() for line in (check.__doc__ or "").splitlines()]
    return next((line[5:] for line in lines if line.startswith("Fix: ")), "")
