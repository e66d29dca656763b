"""How small a change of what callers can move turns a decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from afterfit.core import frame as frames
from afterfit.core.dataset import Dataset
from afterfit.core.effort import more_time
from afterfit.core.finding import Finding
from afterfit.core.frame import Frame, Predictions
from afterfit.core.metric import Metric, known
from afterfit.core.quality import encode_truth, labelled_rows
from afterfit.errors import InputError
from afterfit.records.robustness_cases import FlipExample, Flips, Move, Within
from afterfit.robustness.evidence import LATE, Evidence, Part, within_time
from afterfit.robustness.findings_kept import SmallChangeFlips
from afterfit.robustness.layout import image_layout
from afterfit.robustness.movable import GRID, Axis, movable
from afterfit.robustness.replay import rows_of
from afterfit.robustness.search import MOST_MOVED, Change, Search, smallest_changes
from afterfit.robustness.told import share, short
from afterfit.stats.interval import wilson
from afterfit.stats.quantile import quantile_interval, quantile_of

__all__ = ["UNREACHED", "flips"]

SIZES = {
    "flip_share_010": 0.1,
    "flip_share_025": 0.25,
    "flip_share_050": 0.5,
    "flip_share_100": 1.0,
}
"""The spreads within which rows are counted, by the names of the metrics."""
TOLD = 0.25
AMOUNT = 0.5
"""Of the answers' standard deviation, by which a value must move to count."""
MOST_AXES = 30
LEAST_ROWS = 5
EXAMPLES = 3
WHOLE, SEVERAL = "smallest changes", "changes of several columns"
UNREACHED = frozenset({WHOLE, SEVERAL})
"""What the time may not reach here; no check of cases depends on it."""
TRIES = 4
"""Rows that are asked for one that is rightly decided."""


class _Start(NamedTuple):
    """The rows that the search begins at, with their answers."""

    rows: Frame
    before: Predictions
    right: bool


@within_time(WHOLE, SmallChangeFlips)
def flips(evidence: Evidence) -> Part:
    """Return how small the changes are that turn decisions, within the reference's box."""
    check, config = SmallChangeFlips, evidence.config
    axes = movable(evidence.fingerprint, evidence.signature, config.fixed, MOST_AXES, config.seed)
    if image_layout(evidence.inputs, evidence.signature) is not None:
        return Part(findings=(check.not_applicable("nobody moves single pixels"),))
    if not axes:
        return Part(findings=(check.not_applicable("no column can be moved"),))
    start = _start(evidence)
    if start is None:
        text = "the model does not answer the rows that would be changed"
        return Part(findings=(check.skipped(text),))
    most = _affordable(evidence, axes)
    n = min(config.flip_rows, most, frames.row_count(start.rows))
    if n < LEAST_ROWS:
        fix = more_time(config.effort) if most < LEAST_ROWS else "give more labelled rows"
        text = LATE if most < LEAST_ROWS else f"{n} rows are rightly decided: too few"
        unreached = (WHOLE,) if most < LEAST_ROWS else ()
        skipped = check.skipped(text, fix=fix, needed_n=LEAST_ROWS)
        return Part(findings=(skipped,), unreached=unreached)
    first = slice(0, n)
    amount = _amount(start.before)
    search = Search(
        evidence, frames.take(start.rows, first), start.before.take(first), tuple(axes), amount
    )
    evidence.progress.step(WHOLE)
    found, whole = smallest_changes(search)
    told = _flips(search, found, right=start.right)
    return Part(
        findings=(_about(told),),
        metrics=_metrics(told),
        fields={"flips": told},
        unreached=() if whole else (SEVERAL,),
        examples=_examples(search, found),
    )


def _start(evidence: Evidence) -> _Start | None:
    """Return rows that the model decides rightly, where labels tell; else rows as they come."""
    signature, want = evidence.signature, evidence.config.flip_rows
    labelled = labelled_rows(evidence.data)
    if signature.task == "regression" or len(labelled) < LEAST_ROWS:
        return _asked(evidence, evidence.data, want)
    data = labelled.take(_drawn(evidence, len(labelled), TRIES * want))
    try:
        truth = encode_truth(signature, data)
    except InputError:
        return _asked(evidence, evidence.data, want)
    start = _asked(evidence, data, len(data))
    if start is None:
        return None
    right = np.flatnonzero(signature.codes(start.before) == truth)[:want]
    return _Start(frames.take(start.rows, right), start.before.take(right), right=True)


def _asked(evidence: Evidence, data: Dataset, most: int) -> _Start | None:
    chosen = data.take(_drawn(evidence, len(data), most))
    rows = frames.select(chosen.frame, evidence.signature.names)
    answers, outcome, _ = evidence.ask(rows)
    if answers is None or outcome != "answered":
        return None
    return _Start(rows, answers, right=False)


def _drawn(evidence: Evidence, n: int, most: int) -> np.ndarray:
    return np.random.default_rng(evidence.config.seed).permutation(n)[:most]


def _affordable(evidence: Evidence, axes: list[Axis]) -> int:
    """Return how many rows can be searched within half of the time that is left."""
    steps = sum(len(axis.choices) or 2 * (len(GRID) + 1) for axis in axes)
    asked = evidence.pace * evidence.left / 2 / (MOST_MOVED * max(1, steps))
    return int(min(asked, 1e6))


def _amount(before: Predictions) -> float:
    """Return by how much a value must move; never 0, so that standing still is no move."""
    if before.values is None:
        return 0.0
    return max(AMOUNT * float(before.values.std()), float(np.finfo(np.float64).tiny))


def _size(change: Change) -> float:
    return sum(step.size for step in change)


def _flips(search: Search, found: Mapping[int, Change], *, right: bool) -> Flips:
    n = frames.row_count(search.rows)
    sizes = np.full(n, np.inf)
    for row, change in found.items():
        sizes[row] = _size(change)
    ordered = np.sort(sizes)
    bounds = quantile_interval(ordered, 0.5)
    names = Counter(step.axis.name for change in found.values() for step in change)
    return Flips(
        n=n,
        flipped=len(found),
        amount=search.amount,
        rows_of="rightly decided" if right else "as they came",
        tried=tuple(axis.name for axis in search.axes),
        fixed=search.evidence.config.fixed,
        within=tuple(_within(sizes, size) for size in SIZES.values()),
        median=known(quantile_of(ordered, 0.5)),
        low=known(bounds.low),
        high=known(bounds.high),
        names=dict(names.most_common()),
        examples=tuple(
            tuple(Move(column=step.axis.name, size=step.size) for step in found[row])
            for row in _shown(found)
        ),
    )


def _within(sizes: np.ndarray, size: float) -> Within:
    hit, n = int((sizes <= size).sum()), len(sizes)
    bounds = wilson(hit, n)
    return Within(size=size, flipped=hit, n=n, low=bounds.low, high=bounds.high)


def _shown(found: Mapping[int, Change]) -> list[int]:
    """Return the rows with the smallest changes."""
    return sorted(found, key=lambda row: (_size(found[row]), row))[:EXAMPLES]


def _examples(search: Search, found: Mapping[int, Change]) -> tuple[FlipExample, ...]:
    told = []
    for row in _shown(found):
        before = frames.take(search.rows, np.array([row]))
        (plain,) = rows_of(before)
        after = {**plain, **{step.axis.name: step.value for step in found[row]}}
        changed = {name: values.copy() for name, values in before.items()}
        for step in found[row]:
            changed[step.axis.name][0] = step.value
        answer = search.evidence.ask(changed)[0]
        told.append(
            FlipExample(
                before=plain,
                after=after,
                said_before=_said(search, search.before.take(np.array([row]))),
                said_after="" if answer is None else _said(search, answer),
                size=_size(found[row]),
            )
        )
    return tuple(told)


def _said(search: Search, answer: Predictions) -> str:
    signature = search.evidence.signature
    if answer.values is not None:
        return short(float(answer.values[0]))
    code = int(signature.codes(answer)[0])
    label = str(signature.classes[code]) if code < len(signature.classes) else str(code)
    if answer.probabilities is None:
        return label
    return f"{label} ({float(answer.probabilities[0, code]):.3f})"


def _about(told: Flips) -> Finding:
    check = SmallChangeFlips
    near = next(each for each in told.within if each.size == TOLD)
    turn = "are decided otherwise" if not told.amount else f"move by {short(told.amount)}"
    text = f"{share(near.flipped, near.n)} {turn} after a change of {TOLD:g} spreads or less"
    if not near.flipped:
        return check.passed(text)
    often = ", ".join(list(told.names)[:3])
    return check.tip(
        f"{text}; mostly moved: {often}",
        where=f"{told.n} rows {told.rows_of}",
        fix=check.page()["Fix"],
        columns=list(told.names),
    )


def _metrics(told: Flips) -> tuple[Metric, ...]:
    shares = (
        Metric(
            name=name,
            value=each.flipped / each.n,
            low=each.low,
            high=each.high,
            n=each.n,
            method="wilson",
            scope=f"changes of {each.size:g} spreads",
        )
        for name, each in zip(SIZES, told.within, strict=True)
    )
    median = Metric(
        name="flip_distance",
        value=told.median,
        low=told.low,
        high=told.high,
        n=told.n,
        method="order statistics",
        unit="spreads",
        scope=WHOLE,
    )
    return (*shares, median)
