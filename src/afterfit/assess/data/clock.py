"""Columns that stand for time, and columns that are filled in later."""

from __future__ import annotations

import numpy as np

from afterfit.assess import findings
from afterfit.assess.data.tables import (
    MOST_ROWS,
    NO_TIME_LEFT,
    NO_TRAIN,
    SURE,
    columns_of,
    no_time_left,
    percent,
    sample,
    told,
    too_few,
)
from afterfit.assess.evidence import Evidence, Part
from afterfit.assess.splits import seconds_of
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import missing_mask
from afterfit.core.ranking import midranks
from afterfit.core.signature import Column
from afterfit.errors import InputError, in_record
from afterfit.stats.rates import newcombe_difference

LEAST_ROWS = 100
CLOCK = 0.99
"""The rank correlation with time from which on a column is a clock."""
LATEST = 10
"""The latest of so many equal parts is compared with the rest."""
LACKS = 0.2
"""So much more often a column must surely be missing there."""


def stands_for_time(evidence: Evidence) -> Part:
    """Return which columns go with time, or are missing in the latest training rows.

    A clock is a number whose rank correlation with time (Spearman) is 0.99 or more either way. A
    column is filled in later if its missing share in the latest tenth of the training rows is
    above that of the others by 0.2 or more for sure (Newcombe's interval at 99.9 %).
    """
    check = findings.StandsForTime
    found = _with_times(evidence)
    if isinstance(found, Finding):
        return told(found)
    part, times = found
    columns = columns_of(evidence, part)
    shown: list[Finding] = []
    for column in columns:
        if not evidence.left:
            shown.append(check.skipped(f"{NO_TIME_LEFT} at {column.name}"))
            break
        if finding := _clock(evidence, part, column, times) or _later(part, column, times):
            shown.append(finding)
    none = check.passed(f"none of {len(columns)} columns does", n=len(part))
    return told(*(shown or [none]))


def _with_times(evidence: Evidence) -> tuple[Dataset, np.ndarray] | Finding:
    """Return training rows that have a time, at most MOST_ROWS, and their times."""
    check, train = findings.StandsForTime, evidence.train
    if train is None:
        return check.not_applicable(NO_TRAIN)
    if train.time is None:
        return check.not_applicable("no column is named that says when a row is of: --time")
    if not evidence.left:
        return no_time_left(check, evidence)
    try:
        times = seconds_of(train.time)
    except InputError as error:
        return check.skipped(in_record(error), fix=error.fix)
    known = np.flatnonzero(~np.isnan(times))
    rows = known[sample(len(known), evidence.config.seed, MOST_ROWS)]
    if len(rows) < LEAST_ROWS:
        return too_few(check, len(rows), "training rows with a time", least=LEAST_ROWS)
    return train.take(rows), times[rows]


def _clock(evidence: Evidence, part: Dataset, column: Column, times: np.ndarray) -> Finding | None:
    values = part.frame[column.name]
    if values.dtype.kind not in "fiu":
        return None
    there = ~missing_mask(values)
    numbers, moments = values[there].astype(np.float64), times[there]
    if len(numbers) < LEAST_ROWS or numbers.min() == numbers.max() or np.ptp(moments) == 0:
        return None
    correlation = float(np.corrcoef(midranks(numbers), midranks(moments))[0, 1])
    if abs(correlation) < CLOCK:
        return None
    text = (
        f"{column.name} goes with time: rank correlation {correlation:.4f} in "
        f"{len(numbers)} training rows"
    )
    details: dict[str, float | int] = {"rank_correlation": correlation, "n": len(numbers)}
    held = evidence.data.frame.get(column.name)
    if held is not None and held.dtype.kind in "fiu":
        outside = int(((held < numbers.min()) | (held > numbers.max())).sum())
        text += f"; {percent(outside / len(held))} of the held-out rows lie beyond all of them"
        details |= {"outside": outside, "n_held_out": len(held)}
    text += ". New rows will, so what was learned from it may not hold: a suspicion"
    fix = f"leave {column.name} out, or replace it by what it stands for (an age, a season)"
    return findings.StandsForTime.issue(text, where=column.name, fix=fix, **details)


def _later(part: Dataset, column: Column, times: np.ndarray) -> Finding | None:
    gone = missing_mask(part.frame[column.name])
    if not gone.any():
        return None
    late = times > np.quantile(times, 1 - 1 / LATEST)
    n, others = int(late.sum()), int((~late).sum())
    if not n or not others:
        return None
    count, before = int(gone[late].sum()), int(gone[~late].sum())
    if newcombe_difference(count, n, before, others, SURE).low < LACKS:
        return None
    text = (
        f"{column.name} is missing in {percent(count / n)} of the latest {n} training rows, and in "
        f"{percent(before / others)} of the {others} before: it may be filled in only later. "
        "That it changed at that time is the other reading"
    )
    fix = f"show that {column.name} is known when a row is to be predicted, or leave it out"
    details = {"missing_latest": count, "n_latest": n, "missing_before": before, "n": others}
    return findings.StandsForTime.issue(text, where=column.name, fix=fix, **details)
