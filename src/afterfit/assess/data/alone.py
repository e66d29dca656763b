"""Columns that tell the target by themselves, and columns that the target tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from afterfit.assess import findings
from afterfit.assess.data.coding import as_numbers, coded, whole_codes
from afterfit.assess.data.tables import (
    NO_TIME_LEFT,
    SURE,
    Sides,
    as_severe,
    columns_of,
    no_time_left,
    percent,
    sides_of,
    told,
    too_few,
)
from afterfit.assess.evidence import Evidence, Part
from afterfit.core.finding import Check, Finding
from afterfit.core.ranking import binary_roc_auc, midranks
from afterfit.core.signature import Column
from afterfit.records.assess_data import Alone
from afterfit.stats.interval import wilson
from afterfit.stats.metric_interval import MetricInterval, metric_with_interval

BINS, LEAST_BINS, ROWS_IN_BIN = 256, 8, 10
LEAST_OF_CLASS = 10
TELLING = 0.99
SURELY = {"roc_auc": 0.98, "r2": 0.98}
"""An issue's lower bound is above it, at 95 %; otherwise what was seen may be luck: a tip."""
JUDGED_ROWS = 20_000
MOST_TOLD = 5
EXPLAINED, SURELY_EXPLAINED = 0.95, 0.9
NEARLY_CONSTANT = 0.995


class Truths(NamedTuple):
    """Labels of both sides: codes 0 to k - 1 of the classes that both have, or ranks in (0, 1]."""

    sides: Sides
    fit: np.ndarray
    judge: np.ndarray
    classes: int


def predicts_alone(evidence: Evidence) -> Part:
    """Return the columns with a ROC AUC, or R² of ranks, above 0.99 all alone.

    A column is cut into at most 256 bins of ten rows and more (words: the commonest). Each bin
    answers with the share of each class, or the mean rank of the target, of its training rows, and
    is judged on held-out ones. Without training rows one half of the held-out rows is fitted on,
    for the other half.
    """
    check = findings.PredictsAlone
    truths = _truths(evidence, check)
    if isinstance(truths, Finding):
        return told(truths)
    measure = "r2" if evidence.signature.task == "regression" else "roc_auc"
    columns = columns_of(evidence, truths.sides.fit, truths.sides.judge)
    found: list[tuple[Alone, np.ndarray]] = []
    late = 0
    for column in columns:
        if not evidence.left:
            late += 1
            continue
        scores = _scores(column, truths, measure)
        value = _value(truths.judge, scores, truths.classes)
        if np.isfinite(value):
            n = len(truths.judge)
            found.append((Alone(column=column.name, measure=measure, value=value, n=n), scores))
    found.sort(key=lambda pair: -pair[0].value)
    shown = [
        _alone(evidence, truths, alone, scores)
        for alone, scores in found[:MOST_TOLD]
        if alone.value > TELLING
    ]
    if not shown:
        best = found[0][0] if found else None
        text = f"the best of {len(found)} columns, {best.column}, has {_told(best)}" if best else ""
        shown.append(check.passed(text, n=len(truths.judge)))
    if late:
        shown.append(check.skipped(f"{NO_TIME_LEFT}: {late} columns were not looked at"))
    return Part(tuple(shown), fields={"alone": tuple(alone for alone, _ in found)})


def _truths(evidence: Evidence, check: type[Check]) -> Truths | Finding:
    if not evidence.left:
        return no_time_left(check, evidence)
    sides = sides_of(evidence)
    if evidence.signature.task == "regression":
        fewest = min(len(sides.fit_truth), len(sides.judge_truth))
        if fewest < 3 * LEAST_OF_CLASS:
            return too_few(check, fewest, least=3 * LEAST_OF_CLASS)
        # The ranks of both sides together: what is one value on both is one rank.
        ranks = midranks(np.concatenate([sides.fit_truth, sides.judge_truth]))
        ranks /= len(ranks)
        n = len(sides.fit_truth)
        return Truths(sides, ranks[:n], ranks[n:], 0)
    k = len(evidence.signature.classes)
    counts = np.minimum(
        np.bincount(sides.fit_truth, minlength=k), np.bincount(sides.judge_truth, minlength=k)
    )
    kept = np.flatnonzero(counts >= LEAST_OF_CLASS)
    if len(kept) < 2:
        fewest = int(np.sort(counts)[-2]) if k > 1 else 0
        return too_few(check, fewest, "rows of the second class", least=LEAST_OF_CLASS)
    table = np.full(k, -1)
    table[kept] = np.arange(len(kept))
    fit, judge = table[sides.fit_truth], table[sides.judge_truth]
    sides = sides._replace(fit=sides.fit.take(fit >= 0), judge=sides.judge.take(judge >= 0))
    return Truths(sides, fit[fit >= 0], judge[judge >= 0], len(kept))


def _scores(column: Column, truths: Truths, measure: str) -> np.ndarray:
    """Return the answers of one column, of [n, classes] or [n], on the rows to judge on."""
    fit, judge, bins = coded(
        column, truths.sides.fit.frame, truths.sides.judge.frame, most=_most_bins(truths.fit)
    )
    totals = np.bincount(fit, minlength=bins)
    if measure == "r2":
        prior = float(truths.fit.mean())
        sums = np.bincount(fit, weights=truths.fit, minlength=bins)
        answers: np.ndarray = np.where(totals > 0, sums / np.maximum(totals, 1), prior)[judge]
        return answers
    k = truths.classes
    counts = np.bincount(fit * k + truths.fit, minlength=bins * k).reshape(bins, k)
    prior_share = np.bincount(truths.fit, minlength=k) / len(truths.fit)
    shares: np.ndarray = ((counts + prior_share) / (totals[:, None] + 1.0))[judge]
    return shares


def _most_bins(truth: np.ndarray) -> int:
    return int(np.clip(len(truth) // ROWS_IN_BIN, LEAST_BINS, BINS))


def _value(judge: np.ndarray, scores: np.ndarray, classes: int) -> float:
    """Return R² of values, or the mean ROC AUC of ``classes`` codes."""
    if not classes:
        spread = float(np.square(judge - judge.mean()).sum())
        left = float(np.square(judge - scores).sum())
        return 1.0 - left / spread if spread > 0 else float("nan")
    few = slice(0, JUDGED_ROWS)
    sides = [1] if classes == 2 else range(classes)
    return float(np.mean([binary_roc_auc(judge[few] == c, scores[few, c]) for c in sides]))


def _interval(
    evidence: Evidence, truth: np.ndarray, answer: np.ndarray, measure: str
) -> MetricInterval:
    return metric_with_interval(
        measure,
        truth[:JUDGED_ROWS],
        answer[:JUDGED_ROWS],
        positive=1 if answer.ndim > 1 and answer.shape[1] == 2 else None,
        seed=evidence.config.seed,
        effort="quick",
    )


def _alone(evidence: Evidence, truths: Truths, alone: Alone, scores: np.ndarray) -> Finding:
    check = findings.PredictsAlone
    interval = _interval(evidence, truths.judge, scores, alone.measure)
    text = (
        f"{alone.column} alone has {_told(alone)} (95 %: {interval.low:.4g} to "
        f"{interval.high:.4g}) on rows that it was not fitted on. This is a suspicion: it may be "
        "written with or after the label, or be that good"
    )
    fix = f"find out when and from what {alone.column} is written"
    details = {"measure": alone.measure, "value": alone.value, "low": interval.low, "n": alone.n}
    make: Callable[..., Finding] = check.tip
    if interval.low > SURELY[alone.measure]:
        make = check.issue
    return make(text, where=alone.column, fix=fix, **details)


def _told(alone: Alone) -> str:
    name = "ROC AUC" if alone.measure == "roc_auc" else "R² of ranks"
    return f"a {name} of {alone.value:.4g} (n = {alone.n})".replace("a R²", "an R²")


def derived_from_target(evidence: Evidence) -> Part:
    """Return the columns that the target tells.

    Classes: each class answers with its commonest value of the column in the training rows. The
    column is suspected where this is right in nearly all of the held-out rows in which the
    commonest value of all would be wrong: 95 % of them, surely 90 %. Regressions: the target in
    such bins answers with the mean rank of a number, with an R² above 0.99.
    """
    check = findings.DerivedFromTarget
    truths = _truths(evidence, check)
    if isinstance(truths, Finding):
        return told(truths)
    columns = columns_of(evidence, truths.sides.fit, truths.sides.judge)
    look = _told_by_values if evidence.signature.task == "regression" else _told_by_classes
    found, late = [], 0
    for column in columns:
        if not evidence.left:
            late += 1
        elif finding := look(evidence, truths, column):
            found.append(finding)
    shown = found[:MOST_TOLD]
    if not shown:
        text = f"the target tells none of {len(columns) - late} columns"
        shown.append(check.passed(text, n=len(truths.judge)))
    if late:
        shown.append(check.skipped(f"{NO_TIME_LEFT}: {late} columns were not looked at"))
    return told(*shown)


def _told_by_classes(_evidence: Evidence, truths: Truths, column: Column) -> Finding | None:
    fit, judge = (side.frame[column.name] for side in (truths.sides.fit, truths.sides.judge))
    kind = object if fit.dtype.kind == "O" or judge.dtype.kind == "O" else fit.dtype
    whole = whole_codes(np.concatenate([fit.astype(kind), judge.astype(kind)])) + 1
    values, k = int(whole.max(initial=0)) + 1, truths.classes
    if values > len(whole) // 2 or values * k > 10_000_000:
        return None
    first, second = whole[: len(fit)], whole[len(fit) :]
    counts = np.bincount(truths.fit * values + first, minlength=k * values).reshape(k, values)
    usual = float((second == counts.sum(axis=0).argmax()).mean())
    hits = int((second == counts.argmax(axis=1)[truths.judge]).sum())
    n = len(second)
    if usual > NEARLY_CONSTANT or (hits / n - usual) / (1 - usual) < EXPLAINED:
        return None
    sure = wilson(hits, n, SURE).low > usual + SURELY_EXPLAINED * (1 - usual)
    text = (
        f"the class tells {column.name} in {hits} of {n} held-out rows ({percent(hits / n)}; its "
        f"commonest value stands in {percent(usual)}): it may be derived from the label. This is a "
        "suspicion"
    )
    return _suspected(column, text, sure=sure, right=hits, usual=usual, n=n)


def _told_by_values(evidence: Evidence, truths: Truths, column: Column) -> Finding | None:
    fit, judge = (as_numbers(s.frame[column.name]) for s in (truths.sides.fit, truths.sides.judge))
    if fit.dtype.kind != "f" or judge.dtype.kind != "f":
        return None
    there, here = ~np.isnan(fit), ~np.isnan(judge)
    n = int(here.sum())
    if min(int(there.sum()), n) < 3 * LEAST_OF_CLASS:
        return None
    ranks = midranks(np.concatenate([fit[there], judge[here]]))
    ranks /= len(ranks)
    first, second = ranks[: int(there.sum())], ranks[int(there.sum()) :]
    target = Column(name="target", kind="number")
    frames = {"target": truths.fit[there]}, {"target": truths.judge[here]}
    whole = coded(target, *frames, most=_most_bins(truths.fit[there]))
    totals = np.bincount(whole.reference, minlength=whole.bins)
    sums = np.bincount(whole.reference, weights=first, minlength=whole.bins)
    answers = (sums / np.maximum(totals, 1))[whole.other]
    value = _value(second, answers, 0)
    if not value > TELLING:
        return None
    interval = _interval(evidence, second, answers, "r2")
    text = (
        f"the target tells {column.name}: R² of ranks {value:.4g} (95 %: {interval.low:.4g} to "
        f"{interval.high:.4g}, n = {n}): it may be derived from it. This is a suspicion"
    )
    return _suspected(column, text, sure=interval.low > SURELY["r2"], r2=value, n=n)


def _suspected(column: Column, text: str, *, sure: bool, **details: float) -> Finding:
    check = findings.DerivedFromTarget
    fix = f"leave {column.name} out, unless it is known before the target and from other sources"
    if not sure:
        return check.tip(text, where=column.name, fix=fix, **details)
    return as_severe(check.issue(text, where=column.name, fix=fix, **details), "high")
