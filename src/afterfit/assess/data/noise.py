"""Labels that are likelier wrong than right."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.assess import findings
from afterfit.assess.data.tables import (
    EXAMPLES,
    SURE,
    no_time_left,
    percent,
    sides_of,
    told,
    too_few,
)
from afterfit.assess.evidence import Evidence, Part
from afterfit.core.finding import Finding
from afterfit.core.metric import Metric, in_percent
from afterfit.errors import ModelError
from afterfit.models import baseline
from afterfit.records.assess_data import Suspects
from afterfit.stats.label_noise import label_noise

LEAST_ROWS = 200
LEAST_OF_CLASS = 20
LIKELIER_WRONG = 0.5
THIRD = 0.05
"""Boosted trees of few rows see less than a line that fits: their word is a veto, not a proof."""
WORTH = 0.002
"""The lower bound of the share of wrong labels has to reach it."""
LEAST_SUSPECTS = 5
MOST_ROWS_KEPT = 100
SECOND_ROWS = 20_000


def wrong_labels(evidence: Evidence) -> Part:
    """Return the held-out labels that a flip explains better than the model's calibration does.

    The share of flipped labels comes with its interval; row numbers are those of the table that was
    given, from 0. Nothing is told of single rows unless flips are needed at all, at p <= 0.001, and
    it is an issue only where a linear model of the training rows needs them too.
    """
    check = findings.WrongLabels
    probabilities = evidence.predictions.probabilities
    if evidence.signature.task == "regression" or probabilities is None:
        return told(check.not_applicable("only probabilities of classes tell of wrong labels"))
    why = _why_not(evidence, probabilities)
    return told(why) if why else _looked(evidence, probabilities)


def _why_not(evidence: Evidence, probabilities: np.ndarray) -> Finding | None:
    check, n = findings.WrongLabels, len(evidence.truth)
    if not evidence.left:
        return no_time_left(check, evidence)
    if n < LEAST_ROWS:
        return too_few(check, n, least=LEAST_ROWS)
    if not np.isfinite(probabilities).all():
        return check.skipped("some probabilities are not finite")
    if (probabilities == probabilities[0]).all():
        return check.skipped("the model says the same of every row")
    second = int(np.sort(np.bincount(evidence.truth, minlength=2))[-2])
    if second < LEAST_OF_CLASS:
        return too_few(check, second, "rows of the second class", least=LEAST_OF_CLASS)
    return None


def _looked(evidence: Evidence, probabilities: np.ndarray) -> Part:
    config, n = evidence.config, len(evidence.truth)
    noise = label_noise(evidence.truth, probabilities, level=config.level, seed=config.seed)
    doubted = np.flatnonzero(noise.doubt > LIKELIER_WRONG)
    needed = noise.p_value <= 1 - SURE and noise.low >= WORTH and len(doubted) >= LEAST_SUSPECTS
    order = doubted[np.argsort(-noise.doubt[doubted], kind="stable")] if needed else doubted[:0]
    second = _second_opinion(evidence) if needed else None
    suspects = Suspects(
        n=n,
        count=len(order),
        share=noise.share,
        low=noise.low,
        high=noise.high,
        level=config.level,
        p_value=noise.p_value,
        second_p_value=second,
        rows=tuple(evidence.numbers(order[:MOST_ROWS_KEPT])),
    )
    metric = Metric(
        name="wrong_label_share",
        value=noise.share,
        low=noise.low,
        high=noise.high,
        level=config.level,
        n=n,
        method="profile likelihood of flips beside calibration",
        scope="data",
    )
    return Part((_judged(suspects, needed=needed),), (metric,), {"suspects": suspects})


def _second_opinion(evidence: Evidence) -> float | None:
    """Return the p-value of "no flips" by other models of the training rows, None without one.

    Rows on which a model is sure and wrong look like flips to it, and not to a model of another
    kind; flipped labels look like flips to all. A linear model has to need flips as surely; that a
    linear model is wrong in the same way as the user's own is not taken for a second opinion, so
    boosted trees have to lean the same way. The p-value is that of whichever does not agree.
    """
    sides = sides_of(evidence)
    if sides.same_table or not evidence.left:
        return None
    few, seed = slice(0, SECOND_ROWS), evidence.config.seed
    train, judge = dict(sides.fit.take(few).frame), dict(sides.judge.take(few).frame)
    p_values = []
    for fit, most in ((baseline.linear, 1 - SURE), (baseline.boosted, THIRD)):
        try:
            said = fit(evidence.signature, train, sides.fit_truth[few], judge, seed=seed).main
        except ModelError:
            return None
        found = label_noise(sides.judge_truth[few], said, seed=seed, interval=False).p_value
        p_values.append(found)
        if found > most:
            return found
    return p_values[0]


def _judged(suspects: Suspects, *, needed: bool) -> Finding:
    check, n = findings.WrongLabels, suspects.n
    bounds = f"{percent(suspects.low)} to {percent(suspects.high)} at {in_percent(suspects.level)}"
    details: dict[str, Any] = {"n": n, "p_value": suspects.p_value, "share": suspects.share}
    if not needed:
        text = f"{n} labels need no flips to be explained (p {suspects.p_value:.2g})"
        return check.passed(text, **details)
    text = (
        f"{suspects.count} of {n} labels are likelier wrong than right; flips of "
        f"{percent(suspects.share)} of the labels ({bounds}) explain the rows clearly better than "
        f"the model's calibration does (p {suspects.p_value:.1g})"
    )
    fix = "look at the rows named in the evidence, mend their labels and measure again"
    details |= {"count": suspects.count, "rows": list(suspects.rows[:EXAMPLES])}
    second = suspects.second_p_value
    if second is not None and second <= 1 - SURE:
        text += f". Other models of the training rows say so too (a linear one: p {second:.1g})"
        return check.issue(text, fix=fix, **details)
    other = "no other model could be asked" if second is None else "another model needs no flips"
    text += f"; but {other}, so it may be the model that is sure and wrong on them"
    return check.tip(text, fix=fix, **details)
