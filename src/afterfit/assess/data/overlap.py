"""Groups and entities that have rows in both tables, and the order of time between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.assess import findings
from afterfit.assess.data.tables import (
    EXAMPLES,
    NO_TRAIN,
    as_severe,
    no_time_left,
    percent,
    told,
    too_few,
)
from afterfit.assess.evidence import Evidence, Part
from afterfit.assess.splits import seconds_of
from afterfit.core.finding import Finding, Severity
from afterfit.core.frame import missing_mask
from afterfit.core.metric import in_percent
from afterfit.errors import InputError, in_record
from afterfit.stats.interval import wilson

LEAST_ROWS = 10
FEW, MUCH = 0.01, 0.1


def shared_groups(evidence: Evidence) -> Part:
    """Return how many held-out rows are of a group, or an entity, with training rows."""
    check, train = findings.SharedGroups, evidence.train
    if train is None:
        return told(check.not_applicable(NO_TRAIN))
    pairs = {
        "group": (evidence.data.group, train.group),
        "entity": (evidence.data.entity, train.entity),
    }
    both = [
        (role, mine, theirs)
        for role, (mine, theirs) in pairs.items()
        if mine is not None and theirs is not None
    ]
    if not both:
        text = "no column is named that says which rows belong together: --group, --entity"
        return told(check.not_applicable(text))
    if not evidence.left:
        return told(no_time_left(check, evidence))
    return told(*(_shared(evidence, *each) for each in both))


def _shared(evidence: Evidence, role: str, mine: np.ndarray, theirs: np.ndarray) -> Finding:
    check = findings.SharedGroups
    named = ~missing_mask(mine)
    names = mine[named].astype(str)
    n, where = len(names), evidence.data.roles.get(role, role)
    if n < LEAST_ROWS:
        return too_few(check, n, f"rows with a {role}", least=LEAST_ROWS)
    known = set(theirs[~missing_mask(theirs)].astype(str).tolist())
    distinct, inverse = np.unique(names, return_inverse=True)
    hit = np.array([name in known for name in distinct.tolist()])[inverse]
    count = int(hit.sum())
    if not count:
        text = f"none of {len(distinct)} held-out {_plural(role)} has training rows"
        return check.passed(text, where=where, n=n)
    level = evidence.config.level
    low, high, _ = wilson(count, n, level)
    text = (
        f"{count} of {n} held-out rows ({percent(count / n)}, {percent(low)} to {percent(high)} "
        f"at {in_percent(level)}) are of {_plural(role)} that have training rows too"
    )
    places = np.flatnonzero(named)[hit][:EXAMPLES]
    details: dict[str, Any] = {"n": n, "count": count, "rows": evidence.numbers(places)}
    if role == "entity" and _all_later(evidence):
        text += "; the held-out rows are all later, so this may be as in service"
        return check.tip(text, where=where, **details)
    fix = f"split by {where}, so that each {role} is on one side"
    severity: Severity = "high" if role == "group" and count / n >= FEW else "medium"
    return as_severe(check.issue(text, where=where, fix=fix, **details), severity)


def _plural(role: str) -> str:
    return {"group": "groups", "entity": "entities"}[role]


def _all_later(evidence: Evidence) -> bool:
    train = evidence.train
    if train is None or train.time is None or evidence.data.time is None:
        return False
    try:
        ours, theirs = seconds_of(evidence.data.time), seconds_of(train.time)
    except InputError:
        return False
    ours, theirs = ours[~np.isnan(ours)], theirs[~np.isnan(theirs)]
    return bool(len(ours) and len(theirs) and ours.min() >= theirs.max())


def earlier_than_training(evidence: Evidence) -> Part:
    """Return how many held-out rows are earlier than the latest training row.

    How bad it is goes by the smaller of two shares: the held-out rows before the latest training
    row, and the training rows after the earliest held-out one; so one mistyped date is no alarm.
    """
    check, train = findings.EarlierThanTraining, evidence.train
    if train is None:
        return told(check.not_applicable(NO_TRAIN))
    if train.time is None or evidence.data.time is None:
        return told(check.not_applicable("no column is named that says when a row is of: --time"))
    if not evidence.left:
        return told(no_time_left(check, evidence))
    try:
        ours, theirs = seconds_of(evidence.data.time), seconds_of(train.time)
    except InputError as error:
        return told(check.skipped(in_record(error), fix=error.fix))
    known = ~np.isnan(ours)
    theirs = theirs[~np.isnan(theirs)]
    n = min(int(known.sum()), len(theirs))
    if n < LEAST_ROWS:
        return told(too_few(check, n, "rows with a time", least=LEAST_ROWS))
    return told(_order(evidence, np.where(known, ours, np.inf), theirs, int(known.sum())))


def _order(evidence: Evidence, ours: np.ndarray, theirs: np.ndarray, n: int) -> Finding:
    check = findings.EarlierThanTraining
    early = np.flatnonzero(ours < theirs.max())
    late = int((theirs > ours.min()).sum())
    where = evidence.data.roles.get("time", "time")
    if not len(early):
        return check.passed(f"all {n} held-out rows are as late as the last training row", n=n)
    level = evidence.config.level
    low, high, _ = wilson(len(early), n, level)
    text = (
        f"{len(early)} of {n} held-out rows ({percent(len(early) / n)}, {percent(low)} to "
        f"{percent(high)} at {in_percent(level)}) are earlier than the latest training row; "
        f"{late} of {len(theirs)} training rows are later than the earliest held-out row"
    )
    details: dict[str, Any] = {
        "n": n,
        "count": len(early),
        "later_training_rows": late,
        "n_train": len(theirs),
        "rows": evidence.numbers(early[:EXAMPLES]),
    }
    share = min(len(early) / n, late / len(theirs))
    fix = "train on the rows before a day, and hold out those after it"
    if share < FEW:
        return check.tip(text, where=where, fix=fix, **details)
    severity: Severity = "high" if share >= MUCH else "medium"
    return as_severe(check.issue(text, where=where, fix=fix, **details), severity)
