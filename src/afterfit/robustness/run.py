"""``robustness``: strange rows through the model, and what happened."""

from __future__ import annotations

import time
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from afterfit.core import frame as frames
from afterfit.core.bundle import TensorInput
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Frame, Predictions
from afterfit.core.metric import Metric
from afterfit.core.model import Model
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import InputError
from afterfit.models.timebox import Ended, TimeOverError, ended_after
from afterfit.records.robustness import Case, RobustnessRecord
from afterfit.records.robustness_cases import CaseFile
from afterfit.robustness.book import CaseBook, NoBook
from afterfit.robustness.cases import Spoiled, planned_cases
from afterfit.robustness.config import RobustnessConfig, require_fixed, require_monotone
from afterfit.robustness.evidence import Evidence
from afterfit.robustness.findings_kept import SmallChangeFlips
from afterfit.robustness.flips import UNREACHED
from afterfit.robustness.judge import BAD, in_words, judged, not_examined
from afterfit.robustness.kept import Kept, kept_cases, told_case
from afterfit.robustness.layout import image_layout
from afterfit.robustness.parts import PARTS
from afterfit.robustness.probe import (
    BATCHES,
    UNHARMED,
    again,
    ask,
    ask_in_words,
    batches,
    columns_turned,
    decisive,
    zero_rows,
)
from afterfit.robustness.resolution import resolutions
from afterfit.robustness.shrink import Shrinker
from afterfit.robustness.together import run_cases
from afterfit.robustness.wrong_types import wrong_type_cases
from afterfit.store.environment import current_environment

CASES_SHARE = 0.6
"""Of the time, for the cases of single columns; the rest is for the parts behind them."""
KEPT_SHARE = 0.3
"""Of the time that is then left, for cases of earlier versions and for shrinking new ones."""
PIXELS = 8
"""Columns of an image whose cases are planned: what is true of some pixels is true of all."""


def robustness(  # noqa: PLR0913 - what a workspace knows of a model comes by name
    model: Model,
    signature: Signature,
    data: Dataset,
    config: RobustnessConfig,
    *,
    subject: str,
    inputs: Sequence[TensorInput] = (),
    ends: Sequence[Ended] = (),
    fingerprint: Fingerprint | None = None,
    book: CaseBook | None = None,
    progress: Progress = SILENT,
) -> RobustnessRecord:
    """Return what missing, extreme, unseen, noisy and wrong-typed rows did to the model.

    ``subject`` is the digest of the bundle that is examined; ``inputs`` are the tensors of the
    form that ships, where it is a graph: they tell whether its columns are an image. ``ends`` are
    the processes to end when the time is over, so that no slow answer is waited for.
    ``fingerprint`` is the reference distribution, that of ``data`` where None; ``book`` has the
    cases of earlier versions, and keeps those of this one. Real rows are spoiled one column at a
    time, so that a change is due to that column alone. For a regression a row counts as decided
    differently when its value moves by more than 1 % of the answers' standard deviation. Raises
    InputError where there is no row, and ConfigError where ``config`` names what is no column, or
    none of numbers in ``monotone``.
    """
    require_monotone(config.monotone, signature)
    require_fixed(config.fixed, signature)
    deadline = time.monotonic() + config.seconds
    rows = _sample(data, signature, config)
    n = frames.row_count(rows)
    shared: dict[str, Any] = {
        "subject": subject,
        "env": current_environment(),
        "inputs": {"data": data.digest},
        "resolved": msgspec.to_builtins(config) | {"seconds": None},
    }
    if fingerprint is None:
        seen = frames.select(data.frame, signature.names)
        fingerprint = build(seen, signature, seed=config.seed)
    book = book or NoBook()
    before, outcome, message = ask(model, rows)
    unharmed = Case(case=UNHARMED, column="", n=n, outcome=outcome, message=message)
    if before is None:
        words = partial(ask_in_words, model)
        shrinker = Shrinker(words, signature, fingerprint, rows, config.seed, _kept_until(deadline))
        return _unanswered(shrinker, unharmed, shared, book, ends)
    started = time.monotonic()
    cases = [unharmed, again(model, rows, before)]
    pace = n / max(1e-6, time.monotonic() - started)
    cases += _of_whole_batches(model, signature, rows, before, config)
    evidence = Evidence(
        model, signature, data, rows, before, config, deadline, progress, pace, fingerprint,
        _independent(cases), tuple(inputs),
    )  # fmt: skip
    return _examined(evidence, cases, shared, ends, book)


def _unanswered(
    shrinker: Shrinker,
    unharmed: Case,
    shared: dict[str, Any],
    book: CaseBook,
    ends: Sequence[Ended],
) -> RobustnessRecord:
    """Return the record where the rows as they are have no answer: the smallest that has none."""
    told = not_examined(unharmed)
    with ended_after(shrinker.deadline - time.monotonic(), ends):
        kept = kept_cases(shrinker, told, (), book, subject=shared["subject"])
    return RobustnessRecord(
        **shared,
        status="partial",
        findings=(
            *in_words(told, kept.cases),
            *kept.findings,
            SmallChangeFlips.skipped(unharmed.message),
        ),
        metrics=(*_metrics([unharmed]), *kept.metrics),
        cases=(unharmed,),
        unreached=kept.unreached,
        kept=tuple(told_case(case) for case in kept.cases),
        blobs=book.keep(CaseFile(subject=shared["subject"], cases=kept.cases)),
    )


def _examined(
    evidence: Evidence,
    cases: list[Case],
    shared: dict[str, Any],
    ends: Sequence[Ended],
    book: CaseBook,
) -> RobustnessRecord:
    """Return the record of the cases so far, of those of single columns, and of the parts."""
    planned = _planned(evidence)
    with ended_after(evidence.left, ends if evidence.left > 0 else ()):
        reached = _reached(evidence, planned)
        told = judged([*cases, *reached], planned)
        kept = _kept(evidence, told, planned, book, shared["subject"])
        parts = [part(evidence) for part in PARTS]
    known = {(case.case, case.column) for case in reached}
    missed = [each.full_name for each in planned if (each.case, each.column) not in known]
    later = tuple(chain.from_iterable(part.unreached for part in parts))
    unreached = (*missed, *later, *kept.unreached)
    # A case that ran has passed, whether or not there was time to look further.
    unasked = [*missed, *(name for name in later if name not in UNREACHED)]
    cases = [*cases, *reached, *chain.from_iterable(part.cases for part in parts)]
    examples = tuple(chain.from_iterable(part.examples for part in parts))
    document = CaseFile(subject=shared["subject"], cases=kept.cases, examples=examples)
    return RobustnessRecord(
        **shared,
        status="partial" if unreached else "complete",
        findings=(
            *in_words(_judged(evidence, cases, planned, unasked), kept.cases),
            *kept.findings,
            *chain.from_iterable(part.findings for part in parts),
        ),
        metrics=(
            *_metrics(cases),
            *kept.metrics,
            *chain.from_iterable(part.metrics for part in parts),
        ),
        cases=tuple(cases),
        unreached=unreached,
        kept=tuple(told_case(case) for case in kept.cases),
        blobs=book.keep(document),
        **ChainMap(*(dict(part.fields) for part in parts)),
    )


def _judged(
    evidence: Evidence, cases: list[Case], planned: list[Spoiled], unasked: list[str]
) -> tuple[Finding, ...]:
    effort = evidence.config.effort
    return judged(cases, planned, unasked, image=_is_image(evidence), effort=effort)


def _kept(
    evidence: Evidence,
    told: Sequence[Finding],
    planned: list[Spoiled],
    book: CaseBook,
    subject: str,
) -> Kept:
    """Return the cases that stay, found within their share of the time."""
    evidence.progress.step("smallest failures")
    shrinker = Shrinker(
        partial(ask_in_words, evidence.model),
        evidence.signature,
        evidence.fingerprint,
        evidence.rows,
        evidence.config.seed,
        _kept_until(evidence.deadline),
    )
    values = evidence.before.values
    known = np.zeros(0) if values is None else decisive(values)
    tolerance = float(known[np.isfinite(known)].max(initial=0.0))
    return kept_cases(shrinker, told, planned, book, subject=subject, tolerance=tolerance)


def _kept_until(deadline: float) -> float:
    now = time.monotonic()
    return now + KEPT_SHARE * max(0.0, deadline - now)


def _sample(data: Dataset, signature: Signature, config: RobustnessConfig) -> Frame:
    random = np.random.default_rng(config.seed)
    chosen = random.permutation(len(data))[: max(1, config.rows)]
    if not len(chosen):
        raise InputError(
            "the data has no rows to spoil", where=data.source, fix="give --data a table with rows"
        )
    selected = frames.select(data.frame, signature.names)
    return {name: values[np.sort(chosen)] for name, values in selected.items()}


def _of_whole_batches(
    model: Model,
    signature: Signature,
    rows: Frame,
    before: Predictions,
    config: RobustnessConfig,
) -> list[Case]:
    """Return the cases that need no budget: they are few, and the others rest on them."""
    return [
        zero_rows(model, signature),
        *batches(model, rows, before, config.seed),
        columns_turned(model, rows, before),
        *wrong_type_cases(signature, rows),
    ]


def _independent(cases: Sequence[Case]) -> bool:
    """Return whether every row was answered the same alone, repeated and in every order."""
    asked = [case for case in cases if case.case in BATCHES]
    return all(case.outcome == "answered" and not case.changed for case in asked)


def _planned(evidence: Evidence) -> list[Spoiled]:
    signature = evidence.signature
    return planned_cases(
        signature,
        resolutions(evidence.data, signature),
        seed=evidence.config.seed,
        most_columns=PIXELS if _is_image(evidence) else None,
    )


def _is_image(evidence: Evidence) -> bool:
    return image_layout(evidence.inputs, evidence.signature) is not None


def _reached(evidence: Evidence, planned: list[Spoiled]) -> list[Case]:
    """Return the planned cases that ran before their share of the time was over, in order."""
    evidence.progress.step("robustness", len(planned))
    share = CASES_SHARE * (evidence.deadline - time.monotonic())
    timed = replace(evidence, deadline=time.monotonic() + share)
    done: dict[tuple[str, str], Case] = {}
    try:
        for case in run_cases(timed, planned):
            done[case.case, case.column] = case
            evidence.progress.advance()
    except TimeOverError:
        evidence.progress.say(f"  ! {len(planned) - len(done)} cases were not reached")
    order = [(each.case, each.column) for each in planned]
    return [done[each] for each in order if each in done]


def _metrics(cases: Sequence[Case]) -> tuple[Metric, ...]:
    ran = [case for case in cases if case.outcome != "not_applicable"]
    bad = sum(case.outcome in BAD for case in ran)
    return (
        Metric(name="failed_cases", value=float(bad), n=len(ran), method="count", unit="cases"),
    )
