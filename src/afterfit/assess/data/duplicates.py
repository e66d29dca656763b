"""Rows that stand in both tables, or twice in one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from afterfit.assess import findings
from afterfit.assess.data.hashing import row_hashes, value_hashes, with_label
from afterfit.assess.data.tables import (
    EXAMPLES,
    NO_TRAIN,
    SURE,
    as_severe,
    columns_of,
    known_truth,
    no_time_left,
    percent,
    sample,
    told,
    too_few,
    truth_of,
)
from afterfit.assess.evidence import Evidence, Part
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Check, Finding, Severity
from afterfit.core.metric import Metric, in_percent
from afterfit.core.signature import Column
from afterfit.records.assess_data import Repeats
from afterfit.stats.interval import wilson
from afterfit.stats.rates import newcombe_difference

LEAST_ROWS = 20
WORTH, MUCH = 0.001, 0.01
"""Shares of copied rows that are worth an issue, and a severe one."""
HANG_TOGETHER = 1000
"""How many times more equal rows than independent columns would give count as chance still."""
CHANCE_ROWS = 10_000


class Matches(NamedTuple):
    """Which held-out rows have an equal, by how much: bool of [n] each; and how often by chance."""

    exact: np.ndarray
    near: np.ndarray
    other_label: int
    within_training: int
    by_chance: float


def rows_in_training(evidence: Evidence) -> Part:
    """Return which held-out rows stand among the training rows too, with the same label.

    Linear in rows and columns. A training table that repeats n of its rows leads to expect as large
    a share of new rows of the same kind (Good 1953, Biometrika 40:237: the chance that a new row
    is unseen is the share of rows seen once).
    """
    check, train = findings.RowsInTraining, evidence.train
    if train is None:
        return told(check.not_applicable(NO_TRAIN))
    columns = columns_of(evidence, train, evidence.data)
    if why := _why_not(check, evidence, columns, len(train)):
        return told(why)
    found = _across(evidence, train, columns)
    repeats = _repeats(evidence, "training", found)
    shown = _judged_across(check, repeats, found, len(train))
    n, count = repeats.n, repeats.exact
    metric = Metric(
        name="repeated_share", value=count / n, **_bounds(count, n, evidence.config.level),
        n=n, scope="data",
    )  # fmt: skip
    return Part((shown,), (metric,), {"repeats_training": repeats})


def rows_twice(evidence: Evidence) -> Part:
    """Return which held-out rows repeat an earlier one."""
    check, data = findings.RowsTwice, evidence.data
    columns = columns_of(evidence, data)
    if why := _why_not(check, evidence, columns, len(data)):
        return told(why)
    both = []
    for near in (False, True):
        (hashes,) = row_hashes([data.frame], columns, near=near)
        both.append(_repeated(with_label(hashes, evidence.truth)))
    chance = _chance(evidence, data, evidence.truth, columns) * len(data) / 2
    found = Matches(both[0], both[1] & ~both[0], 0, 0, min(1.0, chance))
    repeats = _repeats(evidence, "held-out", found)
    count, n = repeats.exact + repeats.near, repeats.n
    text = f"{_count_text(repeats)} repeat an earlier held-out row"
    details = _details(repeats)
    if not count:
        shown = check.passed(f"none of {n} held-out rows repeats another", **details)
    elif count / n < MUCH or HANG_TOGETHER * chance >= count / n:
        shown = check.tip(f"{text}; as few values may give by chance", **details)
    else:
        fix = "drop the repeated rows, or name what belongs together: --group COLUMN"
        text += f"; independent columns would give {percent(repeats.by_chance)}"
        shown = check.issue(f"{text}. Every interval is too narrow by it", fix=fix, **details)
    return Part((shown,), fields={"repeats_held_out": repeats})


def _why_not(
    check: type[Check], evidence: Evidence, columns: list[Column], other: int
) -> Finding | None:
    if not columns:
        return check.not_applicable("the tables share no column of the model")
    if not evidence.left:
        return no_time_left(check, evidence)
    fewest = min(len(evidence.data), other)
    return too_few(check, fewest, least=LEAST_ROWS) if fewest < LEAST_ROWS else None


def _across(evidence: Evidence, train: Dataset, columns: list[Column]) -> Matches:
    labels = truth_of(evidence.signature, train)
    labelled = labels is not None and bool(known_truth(labels).any())
    exact = near = np.zeros(len(evidence.data), bool)
    equal_columns, repeated = exact, 0
    for rounded in (False, True):
        mine, theirs = row_hashes([evidence.data.frame, train.frame], columns, near=rounded)
        if not rounded:
            equal_columns = np.isin(mine, theirs)
        if labelled and labels is not None:
            mine, theirs = with_label(mine, evidence.truth), with_label(theirs, labels)
        near = np.isin(mine, theirs)
        if not rounded:
            exact = near
        # Of the near rows too: these are all that are compared.
        repeated = len(theirs) - _seen_once(theirs)
    told_truth = labels if labelled else None
    chance = _chance(evidence, train, told_truth, columns) * len(train)
    other_label = int((equal_columns & ~exact).sum()) if labelled else 0
    return Matches(exact, near & ~exact, other_label, repeated, min(1.0, chance))


def _seen_once(hashes: np.ndarray) -> int:
    ordered = np.sort(hashes)
    new = np.concatenate(([True], ordered[1:] != ordered[:-1], [True]))
    return int((new[1:] & new[:-1]).sum())


def _repeated(hashes: np.ndarray) -> np.ndarray:
    """Return which rows repeat an earlier one, bool of [n]."""
    found = np.ones(len(hashes), bool)
    found[np.unique(hashes, return_index=True)[1]] = False
    return found


def _chance(
    evidence: Evidence, data: Dataset, truth: np.ndarray | None, columns: list[Column]
) -> float:
    """Return the chance that two rows are equal if the columns had nothing to do with each other.

    A product over the columns of the chance that two rows share a value, each at least what one
    shared pair of the sample would give.
    """
    rows = sample(len(data), evidence.config.seed, CHANCE_ROWS)
    part = data.take(rows)
    arrays = [value_hashes([part.frame], column, near=True)[0] for column in columns]
    if truth is not None:
        arrays.append(truth[rows])
    pairs = len(part) * (len(part) - 1)
    logs = 0.0
    for array in arrays:
        counts = np.unique(array, return_counts=True)[1].astype(np.float64)
        logs += float(np.log(max(2.0, float((counts * (counts - 1)).sum())) / pairs))
    return float(np.exp(logs))


def _judged_across(
    check: type[findings.RowsInTraining], repeats: Repeats, found: Matches, n_train: int
) -> Finding:
    count, n = repeats.exact + repeats.near, repeats.n
    details = _details(repeats) | {"within_training": found.within_training, "n_train": n_train}
    if not count:
        text = f"none of {n} held-out rows stands among the {n_train} training rows"
        return check.passed(text, **details)
    own = found.within_training / n_train
    excess = newcombe_difference(count, n, found.within_training, n_train, SURE)
    text = f"{_count_text(repeats)} stand in the training rows with the same label"
    if repeats.other_label:
        text += f", {repeats.other_label} more with another"
    text += f". Of the training rows {percent(own)} stand there twice"
    fix = "drop repeated rows before you split: table.drop_duplicates()"
    beyond = count / n - own
    if excess.low > 0 and beyond >= WORTH:
        severity: Severity = "high" if beyond >= MUCH else "medium"
        text += ", so more are on both sides than chance puts there"
        return as_severe(check.issue(text, fix=fix, **details), severity)
    if count / n >= MUCH and HANG_TOGETHER * found.by_chance < count / n:
        text += ": the table had copies before it was split"
        return as_severe(check.issue(text, fix=fix, **details), "medium")
    why = "so more than by chance, but too few to matter"
    if excess.low <= 0:
        why = "so as many are to be expected"
    return check.tip(f"{text}, {why}", fix=fix, **details)


def _count_text(repeats: Repeats) -> str:
    bounds = f"{percent(repeats.low)} to {percent(repeats.high)} at {in_percent(repeats.level)}"
    near = f" and {repeats.near} nearly" if repeats.near else ""
    share = percent((repeats.exact + repeats.near) / repeats.n)
    return f"{repeats.exact} of {repeats.n} held-out rows{near} ({share}, {bounds})"


def _bounds(count: int, n: int, level: float) -> dict[str, Any]:
    low, high, method = wilson(count, n, level)
    return {"low": low, "high": high, "level": level, "method": method}


def _repeats(evidence: Evidence, among: str, found: Matches) -> Repeats:
    n, level = len(evidence.data), evidence.config.level
    exact, near = int(found.exact.sum()), int(found.near.sum())
    low, high, _ = wilson(exact + near, n, level)
    places = [*np.flatnonzero(found.exact)[:EXAMPLES], *np.flatnonzero(found.near)[:EXAMPLES]]
    return Repeats(
        among=among,
        n=n,
        exact=exact,
        near=near,
        low=low,
        high=high,
        level=level,
        by_chance=found.by_chance,
        other_label=found.other_label,
        rows=tuple(evidence.numbers(np.array(places[:EXAMPLES], np.int64))),
    )


def _details(repeats: Repeats) -> dict[str, Any]:
    return {
        "n": repeats.n,
        "exact": repeats.exact,
        "near": repeats.near,
        "other_label": repeats.other_label,
        "rows": list(repeats.rows),
    }
