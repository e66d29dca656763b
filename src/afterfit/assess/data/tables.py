"""What the checks of the tables share: samples of rows, labels, and how sure they have to be."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from afterfit.assess.evidence import Evidence, Part
from afterfit.core.dataset import Dataset, encode_labels
from afterfit.core.effort import more_time
from afterfit.core.finding import Check, Finding, Severity
from afterfit.core.frame import missing_mask
from afterfit.core.signature import Column, Signature

SURE = 0.999
"""The level of decisions: many checks look at one table, and few may cry wolf."""
LEAST_ROWS = 50
MOST_ROWS = 100_000
"""More rows of a side than this are sampled where a share or a curve is all that is wanted."""
EXAMPLES = 10
LEAST_TOLD = 1e-5
NO_TRAIN = "there are no training rows to compare with: give --train"
NO_TIME_LEFT = "the time was over"


class Sides(NamedTuple):
    """Rows to fit on and rows to judge on: places in either table, and what both hold."""

    fit: Dataset
    fit_truth: np.ndarray
    judge: Dataset
    judge_truth: np.ndarray
    same_table: bool


def told(*findings: Finding) -> Part:
    """Return a part of findings alone."""
    return Part(findings=findings)


def as_severe(finding: Finding, severity: Severity) -> Finding:
    """Return an issue of another severity than its check's usual one."""
    return msgspec.structs.replace(finding, severity=severity)


def too_few(check: type[Check], n: int, what: str = "rows", *, least: int = LEAST_ROWS) -> Finding:
    """Return that there are too few rows, and how many there have to be."""
    return check.skipped(f"{n} {what} say too little", needed_n=least, n=n)


def no_time_left(check: type[Check], evidence: Evidence) -> Finding:
    """Return that the check did not run for want of time, and what would give it more."""
    return check.skipped(NO_TIME_LEFT, fix=more_time(evidence.config.effort))


def sample(n: int, seed: int, most: int = MOST_ROWS) -> np.ndarray | slice:
    """Return the places of at most ``most`` of n rows, in order."""
    if n <= most:
        return slice(None)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def columns_of(evidence: Evidence, *tables: Dataset) -> list[Column]:
    """Return the model's scalar columns that all tables have."""
    return [
        column
        for column in evidence.signature.columns
        if not column.shape and all(column.name in table.frame for table in tables)
    ]


def truth_of(signature: Signature, data: Dataset) -> np.ndarray | None:
    """Return class codes (-1 for none that the model knows) or values (NaN), None without labels.

    What the labels cannot mean is no error here: the comparison has a refusal of its own.
    """
    target = data.target
    if target is None:
        return None
    if signature.task != "regression":
        return encode_labels(target, signature.classes)
    try:
        return np.where(missing_mask(target), np.nan, target).astype(np.float64)
    except (TypeError, ValueError):
        return np.full(len(target), np.nan)


def known_truth(truth: np.ndarray) -> np.ndarray:
    """Return which rows have a label that means something, bool of [n]."""
    return np.isfinite(truth) if truth.dtype.kind == "f" else truth >= 0


def sides_of(evidence: Evidence) -> Sides:
    """Return training rows to fit on and held-out rows to judge on, at most MOST_ROWS each.

    Without labelled training rows one half of the held-out rows is fitted on, for the other.
    """
    seed, truth = evidence.config.seed, evidence.truth
    labels = None if evidence.train is None else truth_of(evidence.signature, evidence.train)
    if evidence.train is None or labels is None or not known_truth(labels).any():
        order = np.random.default_rng(seed).permutation(len(truth))[: 2 * MOST_ROWS]
        first, second = np.sort(order[::2]), np.sort(order[1::2])
        data = evidence.data
        return Sides(data.take(first), truth[first], data.take(second), truth[second], True)
    with_label = np.flatnonzero(known_truth(labels))
    fit = with_label[sample(len(with_label), seed)]
    judge = sample(len(truth), seed)
    return Sides(
        evidence.train.take(fit),
        labels[fit],
        evidence.data.take(judge),
        truth[judge],
        False,
    )


def percent(share: float) -> str:
    """Return a share for a person: ``0.14 %``."""
    if 0 < share < LEAST_TOLD:
        return f"less than {100 * LEAST_TOLD:g} %"
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.3g} %"


def names_of(names: list[str], most: int = 5) -> str:
    """Return names in a row, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
