"""The learning curve: models fitted on more and more training rows, judged on the held-out rows."""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import msgspec
import numpy as np

from afterfit.assess import findings
from afterfit.assess.evidence import Evidence, Part, Rows
from afterfit.assess.folds import START_SECONDS, fitted, refit_and_predict
from afterfit.assess.gain import Other, paired_comparison
from afterfit.assess.metrics import measure
from afterfit.assess.splits import growing_order
from afterfit.core.dataset import Dataset
from afterfit.core.effort import Effort, more_time
from afterfit.core.finding import Finding
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric
from afterfit.core.quality import encode_truth, labelled_rows, main_metric
from afterfit.errors import AfterfitError, in_record
from afterfit.records.assess_generalization import Comparison, Learning, LearningPoint

__all__ = ["learning_curve"]

HALVINGS: dict[Effort, int] = {"quick": 2, "standard": 4, "full": 6}
LEAST_ROWS = 20
MOST_RATIO = 1e4
TIME_SHARE = 0.8
"""The part of the time that is left which the curve may take; it is the last to be told."""


class Point(NamedTuple):
    """The rows that a model was fitted on, as many as these, and its answers."""

    n_train: int
    answers: Predictions


def learning_curve(evidence: Evidence) -> Part:
    """Return the curve where the model can be fitted again and there is time, else why not."""
    check = findings.LearningCurve
    if why_not := _cannot(evidence):
        return Part((why_not,))
    if evidence.train is None:
        return Part()
    rows = labelled_rows(evidence.train)
    sizes = _sizes(len(rows), evidence.config.effort)
    if len(sizes) < 2:
        text = f"{len(rows)} training rows are too few to halve"
        return Part((check.skipped(text, needed_n=2 * LEAST_ROWS),))
    try:
        points = _points(evidence, rows, sizes)
    except AfterfitError as error:
        evidence.progress.say(f"  ! fitting a clone failed: {error.message} {error.why}")
        text = f"fitting a clone failed: {in_record(error)}"
        return Part((check.skipped(text, fix="give --refit module:function"),))
    if len(points) < 2:
        return Part((_too_late(evidence),))
    return _part(evidence, points, sizes)


def _too_late(evidence: Evidence) -> Finding:
    fix = more_time(evidence.config.effort)
    return findings.LearningCurve.skipped("the time was over before two fits", fix=fix)


def _cannot(evidence: Evidence) -> Finding | None:
    """Return why there is no curve, None where one can be drawn."""
    check = findings.LearningCurve
    if evidence.config.folds < 2:
        return check.skipped("no fits were asked for", fix="folds = 5")
    if evidence.train is None or not evidence.train.labelled().any():
        return check.not_applicable("there are no labelled training rows: give --train")
    if not evidence.refittable:
        text = "the model cannot be fitted again from its file: give --refit module:function"
        return check.not_applicable(text)
    if evidence.model.pid is None and evidence.left < START_SECONDS:
        # The folds' time was over and ended it: it would start, be ended, and have fitted nothing.
        return _too_late(evidence)
    return None


def _sizes(n: int, effort: Effort) -> list[int]:
    """Return n and its halves, from few to many."""
    sizes = [n >> halving for halving in range(HALVINGS[effort], -1, -1)]
    return [size for size in sizes if size >= LEAST_ROWS]


def _points(evidence: Evidence, rows: Dataset, sizes: list[int]) -> list[Point]:
    """Return what was fitted in time, from few rows to many."""
    signature, config = evidence.signature, evidence.config
    truth = encode_truth(signature, rows)
    classifies = signature.task != "regression"
    order = growing_order(
        truth, stratify=classifies, group=rows.group, time=rows.time, seed=config.seed
    )
    parts = [np.sort(order[:size]) for size in sizes]
    if classifies:
        parts = [part for part in parts if len(np.unique(truth[part])) > 1]
    test = evidence.data.select(signature.names)

    def one(host: object, part: np.ndarray) -> Point:
        answers = refit_and_predict(
            host, signature, rows.take(part), truth[part], test, config, config.seed
        )
        return Point(len(part), answers)

    evidence.progress.step("learning curve", len(parts))
    started = time.monotonic()
    done = fitted(
        evidence.model,
        parts,
        one,
        jobs=min(config.jobs, 2),
        seconds=TIME_SHARE * max(0.0, evidence.deadline - started),
        progress=evidence.progress,
        cost=len,
    )
    return [point for point in done if point is not None]


def _part(evidence: Evidence, points: list[Point], sizes: list[int]) -> Part:
    name = main_metric(evidence.signature)
    shown = tuple(LearningPoint(n_train=p.n_train, metric=_metric(evidence, p)) for p in points)
    half, whole = points[-2:]
    rows = Rows(evidence.signature, evidence.data, evidence.truth, whole.answers)
    found = paired_comparison(
        rows,
        Other(f"{half.n_train} rows", evidence.signature, half.answers),
        name,
        evidence.config,
    )
    gain = msgspec.structs.replace(found.gain, scope="learning")
    more = "" if len(points) == len(sizes) else more_time(evidence.config.effort)
    told = told_of_doubling(found, half, whole, complete=len(points) == len(sizes), longer=more)
    return Part((told,), fields={"learning": Learning(points=shown, gain=gain)})


def _metric(evidence: Evidence, point: Point) -> Metric:
    name = main_metric(evidence.signature)
    (metric,) = measure(
        evidence.signature,
        evidence.truth,
        point.answers,
        evidence.config,
        scope=f"learning:{point.n_train}",
        names=(name,),
        units=evidence.units,
    )
    return metric


def told_of_doubling(
    found: Comparison, half: Point, whole: Point, *, complete: bool, longer: str
) -> Finding:
    """Return what the last doubling says; where a rise could not have been seen, that it did not.

    ``longer`` is the option that gives the fits more time.
    """
    check = findings.LearningCurve
    text = (
        f"from {half.n_train} to {whole.n_train} training rows {found.metric} "
        f"{'falls by a share of' if found.share else 'gains'} {found.gain.text()}"
    )
    if not complete:
        return check.skipped(f"{text}; more fits were cut by the time", fix=longer)
    gain = found.gain
    if gain.low is None or gain.high is None or gain.value is None:
        few: dict[str, Any] = {"needed_n": found.needed_n} if found.needed_n > gain.n else {}
        return check.skipped(f"{text}: {gain.method}", **few)
    if gain.low > 0 and gain.value > found.margin:
        return check.tip(f"the curve still rises: {text}", fix="label more training rows")
    if gain.high < found.margin:
        return check.passed(f"the last doubling changed little: {text}")
    text += f"; whether that is less than {found.margin:g} cannot be told on {gain.n:,} rows"
    return check.skipped(text, fix="give more held-out rows", needed_n=_needed(gain, found.margin))


def _needed(gain: Metric, margin: float) -> int:
    """Return about how many held-out rows would tell the gain, were it as seen, from the margin.

    Above the margin they are those that would tell it from 0; intervals shrink as 1/√n.
    """
    value, low, high = (part or 0.0 for part in (gain.value, gain.low, gain.high))
    half, apart = (high - value, margin - value) if value < margin else (value - low, value)
    ratio = min(half / apart, MOST_RATIO) if apart > 0 else MOST_RATIO
    return max(gain.n + 1, math.ceil(gain.n * ratio * ratio))
