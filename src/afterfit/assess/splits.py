"""Which rows train and which rows test in each fold of a cross-validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from afterfit.core.frame import missing_mask
from afterfit.errors import InputError

LEAST_LEFT = 0.5
"""A fold forward in time with whole groups trains on this part of its earlier rows, or more."""


@dataclass(frozen=True)
class Split:
    """One fold: its number, the rows of both sides, and which repetition it is of."""

    fold: int
    train: np.ndarray
    test: np.ndarray
    repeat: int = 0


def splits(
    truth: np.ndarray,
    folds: int,
    *,
    stratify: bool,
    group: np.ndarray | None,
    seed: int,
    time: np.ndarray | None = None,
) -> Iterator[Split]:
    """Yield the folds that have rows on both sides; a group is never on both.

    Without ``time`` rows are shuffled with ``seed``, classes are spread evenly where
    ``stratify``, and each row is tested once. With ``time`` the folds go forward: each trains
    on rows strictly earlier than those it tests (Tashman 2000, Int. J. Forecast. 16:437), so
    the earliest rows are never tested; rows without a time take no part, and a group's earlier
    rows do not train the fold that tests it. A fold that would lose more than half of its earlier
    rows so is left out: its model would not stand for one of all rows. Raises InputError for
    times that have no order.
    """
    if time is None:
        found = _shuffled(truth, folds, stratify=stratify, group=group, seed=seed)
    else:
        found = _forward(time, folds, group)
    yield from (split for split in found if len(split.train) and len(split.test))


def _shuffled(
    truth: np.ndarray, folds: int, *, stratify: bool, group: np.ndarray | None, seed: int
) -> Iterator[Split]:
    random = np.random.default_rng(seed)
    assigned = np.empty(len(truth), dtype=np.int64)
    if group is not None:
        member = members_of(group)
        assigned = (random.permutation(int(member.max(initial=-1)) + 1) % folds)[member]
    elif stratify:
        started = 0
        for code in np.unique(truth):
            rows = np.flatnonzero(truth == code)
            # Each class goes on where the last one ended, so that small classes fill all folds.
            assigned[random.permutation(rows)] = (started + np.arange(len(rows))) % folds
            started += len(rows)
    else:
        assigned[random.permutation(len(truth))] = np.arange(len(truth)) % folds
    for fold in range(folds):
        yield Split(fold, np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold))


def _forward(time: np.ndarray, folds: int, group: np.ndarray | None) -> Iterator[Split]:
    moments = seconds_of(time)
    known = np.sort(moments[~np.isnan(moments)])
    distinct = np.unique(known)
    if len(distinct) < 2:
        return
    member = None if group is None else members_of(group)
    starts = known[[len(known) * k // (folds + 1) for k in range(1, folds + 1)]]
    # Where many rows share the earliest moment, the first test starts at the second one.
    edges = np.append(np.unique(np.maximum(starts, distinct[1])), np.inf)
    for fold, (start, end) in enumerate(pairwise(edges)):
        earlier = moments < start
        tested = (moments >= start) & (moments < end)
        if member is not None:
            before = int(earlier.sum())
            earlier &= ~np.isin(member, member[tested])
            if earlier.sum() < LEAST_LEFT * before:
                continue
        yield Split(fold, np.flatnonzero(earlier), np.flatnonzero(tested))


def members_of(group: np.ndarray) -> np.ndarray:
    """Return the number of each row's group; rows without one are one group."""
    names = np.where(missing_mask(group), "", group.astype(str))
    return np.unique(names, return_inverse=True)[1]


def growing_order(
    truth: np.ndarray,
    *,
    stratify: bool,
    group: np.ndarray | None,
    time: np.ndarray | None,
    seed: int,
) -> np.ndarray:
    """Return the rows in an order whose every beginning is a fair part of the whole, int64 of [n].

    With ``time`` the latest rows come first, as they would be kept; groups come one after another;
    classes are spread evenly where ``stratify``. Raises InputError for times that have no order.
    """
    random = np.random.default_rng(seed)
    if time is not None:
        return np.argsort(-seconds_of(time), kind="stable")
    chance = random.permutation(len(truth))
    if group is not None:
        member = members_of(group)
        return np.lexsort((chance, random.permutation(int(member.max(initial=-1)) + 1)[member]))
    if not stratify:
        return chance
    place = np.empty(len(truth))
    for code in np.unique(truth):
        rows = np.flatnonzero(truth == code)
        place[random.permutation(rows)] = (np.arange(len(rows)) + random.random()) / len(rows)
    return np.argsort(place, kind="stable")


def seconds_of(time: np.ndarray) -> np.ndarray:
    """Return times as float64 of [n] in their own order, NaN for missing.

    Numbers (also written as text) stay as they are; ISO 8601 text becomes seconds since 1970,
    in UTC where it names no zone. Raises InputError for anything else.
    """
    if time.dtype.kind in "fiub":
        return np.where(np.isfinite(time), time, np.nan).astype(np.float64)
    if time.dtype.kind == "M":
        gone = np.isnat(time)
        return np.where(gone, np.nan, time.astype("datetime64[us]").astype(np.int64) / 1e6)
    gone = missing_mask(time)
    found = np.full(len(time), np.nan)
    for read in (float, _iso_seconds):
        try:
            found[~gone] = [read(value) for value in time[~gone].tolist()]
        except (TypeError, ValueError) as error:
            why = str(error)
        else:
            return found
    raise InputError(
        "the time column has no order", why=why, fix="write times as 2026-11-23T10:00:00"
    )


def _iso_seconds(value: str) -> float:
    moment = datetime.fromisoformat(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
