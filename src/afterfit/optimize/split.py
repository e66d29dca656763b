"""Three parts of the rows that share none: to make variants, to select among them, to certify."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from afterfit.core.dataset import Dataset, encode_labels
from afterfit.core.frame import Frame, join, missing_mask, take
from afterfit.core.signature import Signature

__all__ = ["Part", "Parts", "joined", "numbered", "part_rows", "split", "trained_on"]

SHARES = (0.3, 0.25)
"""Of data without training rows of their own: for making, and for selecting; the rest certifies."""
SELECT = 1 / 3
MOST_SELECTING = 4000
UNIQUE = 0.99
"""Training rows of which so many are unlike all others come twice by no chance."""


@dataclass(frozen=True)
class Part:
    """Rows of one part; ``truth`` is class codes (int64) or values (float64), None without.

    ``group`` is what rows must stay together with, where the data says so.
    """

    frame: Frame
    truth: np.ndarray | None
    rows: int
    group: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Part:
        """Return a part of the part, by row numbers."""
        truth, group = (None if a is None else a[rows] for a in (self.truth, self.group))
        return Part(take(self.frame, rows), truth, len(rows), group)


@dataclass(frozen=True)
class Parts:
    """The three parts, and in ``notes`` what was left out of them and why."""

    making: Part
    selection: Part
    certification: Part
    notes: tuple[str, ...] = field(default_factory=tuple)


def split(
    signature: Signature, data: Dataset, train: Dataset | None, seed: int, *, even: bool = True
) -> Parts:
    """Return the parts of the data; the same seed gives the same.

    Groups stay whole. With times the newest rows certify and the oldest make; else classes are
    spread evenly, unless ``even`` is False: each part then tells nothing of another
    one's shares. Rows of ``train`` that are rows of the data too are left out of making, since a
    variant must be judged on rows that it was not made of. Rows without a known label, needed to
    judge, are left out of selection and certification.
    """
    truth, known = _truth(signature, data)
    notes = [] if known.all() else [f"{int((~known).sum())} rows have no label that is known"]
    data, truth = data.take(np.flatnonzero(known)), truth[known]
    sizes = _sizes(len(data), alone=train is None)
    rows = part_rows(data, truth, sizes, seed, stratify=even and signature.task != "regression")
    if train is None:
        making = _part(signature, data, truth, rows[0])
    else:
        making, left_out = _of_train(signature, train, data)
        notes += [left_out] if left_out else []
    parts = [_part(signature, data, truth, chosen) for chosen in rows[1:]]
    return Parts(making, parts[0], parts[1], tuple(notes))


def joined(first: Part, second: Part) -> Part:
    """Return the rows of both parts, those of the first before those of the second."""
    truth, group = (
        None if a is None or b is None else np.concatenate([a, b])
        for a, b in ((first.truth, second.truth), (first.group, second.group))
    )
    rows = first.rows + second.rows
    return Part(join([first.frame, second.frame]), truth, rows, group)


def trained_on(signature: Signature, part: Part, train: Dataset | None) -> np.ndarray:
    """Return which rows of a part stand in the training table with the same label, bool of [n].

    None of them where training rows are often alike: rows of few columns then come twice by chance,
    and to leave them out would leave out the commonest ones.
    """
    none = np.zeros(part.rows, dtype=bool)
    if train is None or part.truth is None or not len(train):
        return none
    truth, known = _truth(signature, train)
    rows = _rows_of(train.select(signature.names))
    seen = {(*row, y) for row, y, ok in zip(rows, truth.tolist(), known, strict=True) if ok}
    if len(set(rows)) < UNIQUE * len(rows):
        return none
    mine = _rows_of(Dataset(frame=dict(part.frame)))
    pairs = zip(mine, part.truth.tolist(), strict=True)
    return np.array([(*row, y) in seen for row, y in pairs], dtype=bool)


def part_rows(
    data: Dataset, truth: np.ndarray, sizes: tuple[int, int], seed: int, *, stratify: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the row numbers of the three parts, sorted; the third holds what the sizes leave."""
    rng = np.random.default_rng(seed)
    units = _units(data)
    if data.time is not None:
        place = _order(data.time)
    elif stratify and data.group is None:
        # A row's rank within its class, so that each stretch has every class in its share.
        place = _spread(truth, rng)
    else:
        place = rng.random(len(data))
    # A unit stands where its last row does, so no group's future makes what its past judges.
    at = np.full(units.max(initial=-1) + 1, -np.inf)
    if data.time is None:
        np.maximum.at(at, units, np.where(_first_of(units), place, -np.inf))
    else:
        np.maximum.at(at, units, place)
    order = np.lexsort((units, at[units]))
    cuts = [_whole(units[order], stop) for stop in (sizes[0], sizes[0] + sizes[1])]
    making, selecting, certifying = np.split(order, cuts)
    return np.sort(making), np.sort(selecting), np.sort(certifying)


def _sizes(n: int, *, alone: bool) -> tuple[int, int]:
    if alone:
        return int(n * SHARES[0]), min(MOST_SELECTING, int(n * SHARES[1]))
    return 0, min(MOST_SELECTING, int(n * SELECT))


def _units(data: Dataset) -> np.ndarray:
    """Return what each row must stay together with, as a number of [n]."""
    return np.arange(len(data)) if data.group is None else numbered(data.group)


def numbered(group: np.ndarray) -> np.ndarray:
    """Return the number of each row's group, int64 of [n]."""
    labels = [str(value) for value in group.tolist()]
    return np.unique(np.array(labels, dtype=str), return_inverse=True)[1].reshape(-1)


def _first_of(units: np.ndarray) -> np.ndarray:
    first = np.zeros(len(units), dtype=bool)
    first[np.unique(units, return_index=True)[1]] = True
    return first


def _whole(units: np.ndarray, stop: int) -> int:
    """Return the first cut at or after ``stop`` that parts no unit."""
    while 0 < stop < len(units) and units[stop] == units[stop - 1]:
        stop += 1
    return stop


def _order(time: np.ndarray) -> np.ndarray:
    """Return the ranks of the times; rows without one come first, since they certify least."""
    gone = missing_mask(time)
    values = time[~gone]
    if values.dtype.kind == "O":
        values = values.astype(str)
    ranks = np.full(len(time), -1.0)
    ranks[~gone] = np.unique(values, return_inverse=True)[1].reshape(-1)
    return ranks


def _spread(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    place = np.empty(len(truth))
    for code in np.unique(truth):
        rows = np.flatnonzero(truth == code)
        place[rng.permutation(rows)] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return place


def _truth(signature: Signature, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels as the metrics take them, and which rows have one."""
    if data.target is None:
        return np.zeros(len(data)), np.zeros(len(data), dtype=bool)
    if signature.task != "regression":
        codes = encode_labels(data.target, signature.classes)
        return codes, codes >= 0
    try:
        values = np.where(data.labelled(), data.target, np.nan).astype(np.float64)
    except (TypeError, ValueError):
        return np.zeros(len(data)), np.zeros(len(data), dtype=bool)
    return values, np.isfinite(values)


def _part(signature: Signature, data: Dataset, truth: np.ndarray, rows: np.ndarray) -> Part:
    taken = data.select(signature.names).take(rows)
    group = None if data.group is None else data.group[rows]
    return Part(taken.frame, truth[rows], len(rows), group)


def _of_train(signature: Signature, train: Dataset, data: Dataset) -> tuple[Part, str]:
    held_out = set(_rows_of(data.select(signature.names)))
    twice = np.array([row in held_out for row in _rows_of(train.select(signature.names))], bool)
    kept = train.take(np.flatnonzero(~twice))
    truth, known = _truth(signature, kept)
    taken = kept.select(signature.names)
    note = f"{int(twice.sum())} training rows are held-out rows too" if twice.any() else ""
    # Rows without labels are welcome where none has one; mixed tables keep those that have.
    if known.all() and len(kept):
        return Part(taken.frame, truth, len(kept)), note
    if known.any():
        rows = np.flatnonzero(known)
        return Part(taken.take(rows).frame, truth[rows], len(rows)), note
    return Part(taken.frame, None, len(kept)), note


def _plain(values: np.ndarray) -> list[object]:
    # A NaN equals nothing, and would make no row the same as another.
    gone = missing_mask(values).tolist()
    return [None if hole else value for value, hole in zip(values.tolist(), gone, strict=True)]


def _rows_of(data: Dataset) -> list[tuple[object, ...]]:
    columns = [_plain(values) for values in data.frame.values()]
    return list(zip(*columns, strict=True))
