"""Columns that are distributed otherwise in the held-out rows than in the training rows."""

from __future__ import annotations

import numpy as np

from afterfit.assess import findings
from afterfit.assess.data.coding import coded
from afterfit.assess.data.tables import (
    NO_TIME_LEFT,
    NO_TRAIN,
    SURE,
    as_severe,
    columns_of,
    no_time_left,
    percent,
    sample,
    told,
    too_few,
)
from afterfit.assess.evidence import Evidence, Part
from afterfit.core.finding import Finding
from afterfit.records.assess_data import Shift
from afterfit.stats.distance import total_variation
from afterfit.stats.multiple import benjamini_hochberg
from afterfit.stats.two_sample import chi_squared, expected_by_chance

LEAST_ROWS = 100
BINS = 14
"""And one each for what is missing and, of words, for those that are rare or new."""
WORTH, MUCH = 0.1, 0.3
"""Total variation beyond chance: so many rows would have to change."""
MOST_TOLD = 5


def held_out_moved(evidence: Evidence) -> Part:
    """Return the columns whose held-out rows differ from the training rows.

    Chi-squared in about 16 bins, adjusted for the number of columns (Benjamini and Hochberg); an
    issue has a p-value of at most 0.001 and 0.1 more total variation than chance gives.
    """
    check, train = findings.HeldOutMoved, evidence.train
    if train is None:
        return told(check.not_applicable(NO_TRAIN))
    if not evidence.left:
        return told(no_time_left(check, evidence))
    fewest = min(len(train), len(evidence.data))
    if fewest < LEAST_ROWS:
        return told(too_few(check, fewest, least=LEAST_ROWS))
    columns = columns_of(evidence, train, evidence.data)
    before = train.take(sample(len(train), evidence.config.seed))
    after = evidence.data.take(sample(len(evidence.data), evidence.config.seed))
    found = []
    for column in columns:
        if not evidence.left:
            break
        one = coded(column, before.frame, after.frame, most=BINS)
        counts = [np.bincount(codes, minlength=one.bins) for codes in (one.reference, one.other)]
        found.append((column.name, counts[0], counts[1]))
    shifts = _shifts(found, len(after), len(before))
    shown = [_moved(shift) for shift in shifts if _matters(shift)][:MOST_TOLD]
    if not shown:
        text = f"none of {len(shifts)} columns moved by {percent(WORTH)} of the rows or more"
        shown.append(check.passed(text, n=len(after), n_ref=len(before)))
    if late := len(columns) - len(found):
        shown.append(check.skipped(f"{NO_TIME_LEFT}: {late} columns were not looked at"))
    return Part(tuple(shown), fields={"shifts": shifts})


def _shifts(
    found: list[tuple[str, np.ndarray, np.ndarray]], n: int, n_ref: int
) -> tuple[Shift, ...]:
    p_values = benjamini_hochberg(np.array([chi_squared(a, b) for _, a, b in found], np.float64))
    shifts = [
        Shift(
            column=name,
            total_variation=float(total_variation(before, after)),
            by_chance=expected_by_chance(before, after),
            p_value=float(p),
            n=n,
            n_ref=n_ref,
        )
        for (name, before, after), p in zip(found, p_values, strict=True)
    ]
    return tuple(sorted(shifts, key=lambda shift: -shift.total_variation))


def _matters(shift: Shift) -> bool:
    beyond = shift.total_variation - shift.by_chance
    return shift.p_value <= 1 - SURE and beyond >= WORTH


def _moved(shift: Shift) -> Finding:
    text = (
        f"{shift.column} has moved: {percent(shift.total_variation)} of its rows lie elsewhere "
        f"({percent(shift.by_chance)} by chance; {shift.n} held-out and {shift.n_ref} training "
        "rows)"
    )
    fix = "find out why; if live rows are like the held-out ones, train on such rows"
    finding = findings.HeldOutMoved.issue(
        text,
        where=shift.column,
        fix=fix,
        total_variation=shift.total_variation,
        by_chance=shift.by_chance,
        p_value=shift.p_value,
    )
    return as_severe(finding, "high" if shift.total_variation >= MUCH else "medium")
