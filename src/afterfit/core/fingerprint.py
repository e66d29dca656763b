"""The fingerprint: a reference distribution in kilobytes, and counts that merge exactly.

A numeric column has up to 63 edges near quantiles of the reference, so up to 64 bins; value ``x``
falls in the bin ``searchsorted(edges, x, side="right")``. NaN, +inf and -inf have bins of their
own. A category has one bin a known value; fewer than 10 rows fold into ``other``; a value the
reference never had counts as ``new``.

No person can be read out of the reference's fingerprint: edges, least and greatest value follow
``core.disclosure``, and fewer than 10 numbers have neither these nor a mean. A boolean's two values
are nobody's. What a live window counts stays where it was counted.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import Any

import msgspec
import numpy as np

from afterfit.core.cells import Cells, cells_of
from afterfit.core.disclosure import MIN_ROWS, reference_bins, reference_range
from afterfit.core.frame import Frame, MatrixFrame, Predictions, missing_mask, row_count
from afterfit.core.signature import Column, ColumnKind, Signature

MAX_CATEGORY_BINS = 255
OUTPUT = "\0output"
MANY = 2048
"""From so many values on, looking each up among cells is quicker than sorting them."""
GREATEST = sys.float_info.max


class ColumnCounts(msgspec.Struct, kw_only=True):
    """The counts of one column, of the reference or of a live window.

    ``m2`` is the sum of squared deviations from ``mean`` over finite values (Welford), which
    merges exactly (Chan et al. 1979); where it overflows it stays at the greatest float64.
    ``missing`` counts None; ``nan`` counts NaN.
    """

    name: str
    kind: ColumnKind
    edges: list[float] = []
    counts: list[int] = []
    missing: int = 0
    nan: int = 0
    pinf: int = 0
    ninf: int = 0
    new: int = 0
    other: int = 0
    categories: dict[str, int] = {}
    mean: float = 0.0
    m2: float = 0.0
    min: float | None = None
    max: float | None = None

    @property
    def finite(self) -> int:
        """The number of finite numeric values."""
        return sum(self.counts)

    @property
    def total(self) -> int:
        """The number of rows counted."""
        absent = self.missing + self.nan + self.pinf + self.ninf
        return self.finite + absent + self.new + self.other + sum(self.categories.values())

    def blank(self) -> ColumnCounts:
        """Return zero counts on the same edges and categories."""
        return ColumnCounts(
            name=self.name,
            kind=self.kind,
            edges=list(self.edges),
            counts=[0] * len(self.counts),
            categories=dict.fromkeys(self.categories, 0),
        )

    def merge(self, other: ColumnCounts) -> None:
        """Add another window's counts to these; raises ValueError for other edges."""
        if self.edges != other.edges or self.categories.keys() != other.categories.keys():
            raise ValueError(f"{self.name}: counts on different edges cannot be merged")
        self._merge_moments(other)
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        for name in ("missing", "nan", "pinf", "ninf", "new", "other"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for category, count in other.categories.items():
            self.categories[category] += count

    def _merge_moments(self, other: ColumnCounts) -> None:
        mine, theirs = self.finite, other.finite
        if not theirs:
            return
        share = theirs / (mine + theirs)
        delta = other.mean - self.mean
        if not mine:
            self.mean, self.m2 = other.mean, other.m2
        elif math.isfinite(delta):
            self.mean += delta * share
            self.m2 = min(GREATEST, self.m2 + other.m2 + delta * delta * share * mine)
        else:
            self.mean, self.m2 = self.mean * (1 - share) + other.mean * share, GREATEST
        self.min = _least(min, self.min, other.min)
        self.max = _least(max, self.max, other.max)

    def update(self, values: np.ndarray) -> None:
        """Add the values of some rows."""
        if self.kind in ("category", "text"):
            self._update_categories(values)
        else:
            self._update_numbers(values)

    def _update_numbers(self, values: np.ndarray) -> None:
        numbers = values
        if values.dtype.kind == "O":
            gone = missing_mask(values)
            self.missing += int(gone.sum())
            numbers = values[~gone]
        numbers = numbers.astype(np.float64)
        cells = cells_of(tuple(self.edges)) if len(numbers) >= MANY else None
        if cells is None or self.kind == "boolean":
            self.add_sorted(np.sort(numbers))
        else:
            self._add_many(numbers, cells)

    def _add_many(self, numbers: np.ndarray, cells: Cells) -> None:
        """Add the values of many rows in any order, as ``add_sorted`` does."""
        known = np.isfinite(numbers)
        if not known.all():
            self.nan += int(np.isnan(numbers).sum())
            self.pinf += int((numbers == np.inf).sum())
            self.ninf += int((numbers == -np.inf).sum())
            numbers = numbers[known]
        if len(numbers):
            ends = float(numbers.min()), float(numbers.max())
            self._add_finite(numbers, cells.counts(numbers).tolist(), ends)

    def add_sorted(self, numbers: np.ndarray) -> None:
        """Add the values of some rows, float64 in ascending order with NaN last, as numpy sorts.

        Looking up 63 edges among sorted values costs less than each value among the edges: numpy
        sorts with vector instructions.
        """
        limits = np.array([*self.edges, np.inf, np.nan])
        *below, finite, known = np.searchsorted(numbers, limits).tolist()
        least = int(np.searchsorted(numbers, -np.inf, side="right"))
        self.ninf += least
        self.pinf += known - finite
        if self.kind == "boolean":
            # No boolean is NaN; a matrix of numbers holds a missing one as NaN.
            self.missing += len(numbers) - known
        else:
            self.nan += len(numbers) - known
        if finite > least:
            known_values = numbers[least:finite]
            ends = float(known_values[0]), float(known_values[-1])
            self._add_finite(known_values, np.diff([least, *below, finite]).tolist(), ends)

    def _add_finite(
        self, numbers: np.ndarray, counts: list[int], ends: tuple[float, float]
    ) -> None:
        mean, m2 = _moments(numbers)
        window = ColumnCounts(
            name=self.name,
            kind=self.kind,
            counts=counts,
            mean=mean,
            m2=m2,
            min=ends[0],
            max=ends[1],
        )
        self._merge_moments(window)
        self.counts = [a + b for a, b in zip(self.counts, counts, strict=True)]

    def _update_categories(self, values: np.ndarray) -> None:
        for value, count in Counter(values.tolist()).items():
            if value is None or value != value:  # noqa: PLR0124 - NaN is the value unequal to itself
                self.missing += count
            elif str(value) in self.categories:
                self.categories[str(value)] += count
            else:
                self.new += count


class Fingerprint(msgspec.Struct, kw_only=True):
    """The reference: ``n_ref`` rows, one ColumnCounts a column and one for the output.

    ``output`` counts the score: the positive class's probability, the top probability of a
    multiclass model, or the value. ``joint`` and ``calibration`` are filled by later steps.
    """

    n_ref: int
    seed: int
    columns: list[ColumnCounts]
    output: ColumnCounts | None = None
    period: tuple[str, str] | None = None
    joint: dict[str, Any] = {}
    calibration: dict[str, Any] = {}
    schema: int = 1

    def column(self, name: str) -> ColumnCounts | None:
        """Return the counts of the column called ``name``, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def blank(self) -> Fingerprint:
        """Return zero counts on the same edges: a live window."""
        return Fingerprint(
            n_ref=0,
            seed=self.seed,
            columns=[column.blank() for column in self.columns],
            output=None if self.output is None else self.output.blank(),
        )

    def update(self, frame: Frame, scores: np.ndarray | None = None) -> None:
        """Add some rows and, where given, their scores."""
        self.n_ref += row_count(frame)
        if isinstance(frame, MatrixFrame):
            self._update_matrix(frame)
        else:
            for column in self.columns:
                if column.name in frame:
                    column.update(frame[column.name])
        if self.output is not None and scores is not None:
            self.output.update(scores)

    def _update_matrix(self, frame: MatrixFrame) -> None:
        rows = np.array(frame.matrix.T, order="C")
        rows.sort(axis=1)
        places = {name: place for place, name in enumerate(frame.names)}
        for column in self.columns:
            if column.name in places:
                column.add_sorted(rows[places[column.name]])

    def merge(self, other: Fingerprint) -> None:
        """Add another window's counts; raises ValueError where the edges differ."""
        self.n_ref += other.n_ref
        for mine, theirs in zip(self.columns, other.columns, strict=True):
            mine.merge(theirs)
        if self.output is not None and other.output is not None:
            self.output.merge(other.output)


def build(
    frame: Frame, signature: Signature, predictions: Predictions | None = None, *, seed: int = 0
) -> Fingerprint:
    """Return the fingerprint of the reference rows and, where given, of the model's answers."""
    fingerprint = Fingerprint(
        n_ref=row_count(frame),
        seed=seed,
        columns=[_reference(column, frame[column.name]) for column in signature.columns],
    )
    if predictions is not None:
        scores = predictions.score(signature.positive_index)
        output = Column(name=OUTPUT, kind="number")
        fingerprint.output = _reference(output, scores.astype(np.float64))
    return fingerprint


def _keep_to_crowds(counts: ColumnCounts, numbers: np.ndarray) -> None:
    """Replace what would tell the values of single rows."""
    counts.min, counts.max = reference_range(numbers)
    if counts.finite < MIN_ROWS:
        counts.mean = counts.m2 = 0.0


def _reference(column: Column, values: np.ndarray) -> ColumnCounts:
    counts = ColumnCounts(name=column.name, kind=column.kind)
    if column.numeric:
        known = values[~missing_mask(values)] if values.dtype.kind == "O" else values
        # In order, so that the same rows in another order give the same digits, and one digest.
        given = np.sort(known.astype(np.float64))
        numbers = given[: np.searchsorted(given, np.nan)]
        counts.edges = [1.0] if column.kind == "boolean" else reference_bins(numbers)
        counts.counts = [0] * (len(counts.edges) + 1)
        counts.missing = len(values) - len(given)
        counts.add_sorted(given)
        if column.kind != "boolean":
            _keep_to_crowds(counts, numbers)
        return counts
    words = values[~missing_mask(values)].tolist()
    tally = Counter(words if set(map(type, words)) == {str} else map(str, words))
    common = [(name, n) for name, n in tally.most_common(MAX_CATEGORY_BINS)]
    keep = {name: n for name, n in common if n >= MIN_ROWS}
    if column.kind == "text":
        keep = {}
    counts.categories = dict(sorted(keep.items()))
    counts.other = sum(tally.values()) - sum(keep.values())
    counts.missing = len(values) - sum(tally.values())
    return counts


def _moments(numbers: np.ndarray) -> tuple[float, float]:
    """Return the mean of finite values, and the sum of squared deviations from it.

    Where values near the ends of float64 overflow, the mean is taken of parts; the sum saturates.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(numbers.mean())
        if not math.isfinite(mean):
            mean = float((numbers / len(numbers)).sum())
        deviations = numbers - mean
        # No dot product: its last digits differ between processors, and a digest covers them.
        m2 = float(np.square(deviations, out=deviations).sum())
    return mean, min(GREATEST, m2)


def _least(choose: Any, first: float | None, second: float | None) -> float | None:
    present = [value for value in (first, second) if value is not None]
    return choose(present) if present else None
