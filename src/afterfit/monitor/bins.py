"""A fingerprint's columns as arrays: what drift is measured on.

Each column has its bins (of a category also one for values that are rare or new), and behind them
one for infinite and one for missing values, all in a flat line of counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from types import NoneType

import numpy as np
import numpy.typing as npt

from afterfit.core.fingerprint import OUTPUT, ColumnCounts, Fingerprint
from afterfit.core.frame import Frame, is_missing, missing_mask
from afterfit.stats import surprise

__all__ = [
    "Column",
    "Group",
    "Side",
    "Surprises",
    "codes_of",
    "columns_of",
    "families",
    "groups_of",
    "line_of",
]

FloatArray = npt.NDArray[np.float64]
LEAST_PRESENT = 20
"""Of a column with fewer values in a window only the missing ones are judged."""
RARE_MORE, RARE_UNSEEN = 4 / 3, 3.0
"""How many more rare rows a reference may have had; of none seen, 3 is the bound at 95 %."""


@dataclass(frozen=True)
class Column:
    """One column: its place in the flat line, its number of bins, and whether they are in order."""

    name: str
    start: int
    bins: int
    ordered: bool
    text: bool

    @property
    def stop(self) -> int:
        """Where its bins end; infinite and missing values come next."""
        return self.start + self.bins


@dataclass(frozen=True)
class Surprises:
    """How surprising some windows are, float64 of (windows, columns of a group), in nats.

    ``shape`` is of the ordered distance or the deviance, its ``statistic``; ``spike`` of the bin
    ``place`` alone; ``rare`` of more rare or new categories (0 for numbers).
    """

    statistic: FloatArray
    shape: FloatArray
    spike: FloatArray
    place: npt.NDArray[np.intp]
    missing: FloatArray
    rare: FloatArray

    def greatest(self) -> FloatArray:
        """Return the greatest over columns and kinds, float64 of (windows,)."""
        return np.asarray(self.of_columns().max(axis=-1))

    def of_columns(self) -> FloatArray:
        """Return the greatest over kinds, float64 of (windows, columns)."""
        return np.asarray(np.maximum.reduce([self.shape, self.spike, self.missing, self.rare]))


class Side:
    """One side of a comparison: flat lines of counts, (..., length), as a group's columns see them.

    ``binned`` are its samples in bins; ``gone`` the infinite and missing values of each column,
    ``missing`` these alone; ``rows`` all values. All but the first are of (..., columns).
    """

    def __init__(self, group: Group, line: FloatArray) -> None:
        self.line = line
        self.binned = surprise.Binned(group.counts(line))
        self.missing = line[..., group.missing]
        self.gone = self.missing + line[..., group.missing - 1]

    @cached_property
    def rows(self) -> FloatArray:
        """The number of rows by column."""
        return np.asarray(self.binned.rows + self.gone)


class Group:
    """Columns of one kind with padded bins, (columns, bins), and the reference's counts in them.

    ``missing`` is where the missing values of each column stand in a flat line.
    """

    def __init__(self, columns: Sequence[Column], reference: FloatArray) -> None:
        self.columns = list(columns)
        self.ordered = columns[0].ordered
        self.bins = np.array([column.bins for column in columns])
        width = int(self.bins.max())
        # Padding points at a place behind the line that always counts 0.
        self._places = np.full((len(columns), width), len(reference))
        for row, column in enumerate(columns):
            self._places[row, : column.bins] = np.arange(column.start, column.stop)
        self._padded = bool((self.bins < width).any())
        self.missing = np.array([column.stop + 1 for column in columns])
        self._rare = np.array([column.stop - 1 for column in columns])
        self.reference = self.counts(reference)

    def counts(self, line: FloatArray) -> FloatArray:
        """Return counts of (..., columns, bins) from flat lines (..., length)."""
        if self._padded:
            line = np.concatenate([line, np.zeros((*line.shape[:-1], 1))], axis=-1)
        return np.asarray(np.take(line, self._places, axis=-1), np.float64)

    @cached_property
    def _gaps(self) -> surprise.Law:
        return surprise.law_of_gaps(self.reference)

    def law(self, n: float) -> surprise.Law:
        """Return the distribution of the distance for windows of ``n`` rows."""
        return self._gaps if self.ordered else surprise.law_of_deviance(self.reference, n)

    def surprises(self, before: FloatArray | Side, after: FloatArray, n: float) -> Surprises:
        """Return how surprising windows of ``n`` rows are; flat lines (..., length) of counts."""
        first = before if isinstance(before, Side) else Side(self, before)
        second = Side(self, after)
        if self.ordered:
            statistic = surprise.ordered(self.reference, first.binned, second.binned)
        else:
            first = self._allowed(first, second)
            counts = first.binned.counts, second.binned.counts
            statistic = surprise.deviance(self.reference, *counts, n)
        least = np.minimum(first.binned.rows, second.binned.rows)
        place, spike = surprise.spike(first.binned, second.binned, self.bins)
        missing = _missing(first, second)
        rare = np.zeros_like(missing)
        if not self.ordered:
            rare = surprise.share(
                first.line[..., self._rare], first.rows, after[..., self._rare], second.rows,
                more_only=True,
            )  # fmt: skip
        enough = least >= LEAST_PRESENT
        shape = np.where(enough, self.law(n).surprise(statistic), 0.0)
        return Surprises(statistic, shape, np.where(enough, spike, 0.0), place, missing, rare)

    def _allowed(self, before: Side, after: Side) -> Side:
        """Return the reference with as many rare rows as it may have had, towards the window's.

        Which categories have fewer than ten rows is partly chance: those that do were seen too
        seldom, and come more often later. Of 20,000 rows of Adult 35 have a rare country, and of
        as many later rows 47 have one of these or a new one.
        """
        r, k = before.line[..., self._rare], after.line[..., self._rare]
        usual = k * before.rows / np.maximum(after.rows, 1.0)
        found = np.array(np.broadcast_to(before.line, after.line.shape))
        found[..., self._rare] = np.clip(usual, r, RARE_MORE * r + RARE_UNSEEN)
        return Side(self, found)


def _missing(before: Side, after: Side) -> FloatArray:
    """Return the surprise at missing values by column: none where neither side has any."""
    pairs = (before.missing, before.rows), (after.missing, after.rows)
    r, n_ref, k, n = np.broadcast_arrays(*(each for pair in pairs for each in pair))
    some = (r > 0) | (k > 0)
    found = np.zeros(some.shape)
    found[some] = surprise.share(r[some], n_ref[some], k[some], n[some])
    return found


def columns_of(counts: Sequence[ColumnCounts]) -> list[Column]:
    """Return the places of columns in a flat line, one after the other."""
    found: list[Column] = []
    start = 0
    for each in counts:
        words = each.kind in ("category", "text")
        bins = len(each.categories) + 1 if words else max(1, len(each.counts))
        found.append(Column(each.name, start, bins, not words, each.kind == "text"))
        start += bins + 2
    return found


def groups_of(reference: Sequence[ColumnCounts]) -> list[Group]:
    """Return the columns by kind, none of them empty."""
    columns, line = columns_of(reference), line_of(reference)
    kinds = ([c for c in columns if c.ordered], [c for c in columns if not c.ordered])
    return [Group(kind, line) for kind in kinds if kind]


def line_of(counts: Sequence[ColumnCounts]) -> FloatArray:
    """Return the counts of all columns as one flat line."""
    parts: list[int] = []
    for each in counts:
        if each.kind in ("category", "text"):
            parts += [*each.categories.values(), each.other + each.new]
        else:
            parts += each.counts or [0]
        parts += [each.pinf + each.ninf, each.missing + each.nan]
    return np.array(parts, np.float64)


def codes_of(
    reference: Sequence[ColumnCounts], frame: Frame, scores: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.int32]:
    """Return where each value of some rows falls in the flat line, int32 of (rows, columns)."""
    values = (
        scores if c.name == OUTPUT and scores is not None else frame[c.name] for c in reference
    )
    pairs = zip(columns_of(reference), reference, values, strict=True)
    return np.column_stack([_codes(*pair) for pair in pairs]).astype(np.int32)


def _codes(
    column: Column, counts: ColumnCounts, values: npt.NDArray[np.generic]
) -> npt.NDArray[np.intp]:
    if not column.ordered:
        return _codes_of_words(column, counts, values.tolist())
    gone = missing_mask(values)
    found = np.full(len(values), column.stop + 1)
    numbers = values[~gone].astype(np.float64)
    inside = column.start + np.searchsorted(counts.edges, numbers, side="right")
    found[~gone] = np.where(np.isfinite(numbers), inside, column.stop)
    return found


def _codes_of_words(
    column: Column, counts: ColumnCounts, values: list[object]
) -> npt.NDArray[np.intp]:
    rare, missing = column.stop - 1, column.stop + 1
    places: dict[object, int] = {
        name: at for at, name in enumerate(counts.categories, start=column.start)
    }
    if set(map(type, values)) <= {str, NoneType}:
        places[None] = missing
        return np.fromiter(map(places.get, values, repeat(rare)), np.intp, len(values))
    found = (missing if is_missing(value) else places.get(str(value), rare) for value in values)
    return np.fromiter(found, np.intp, len(values))


def families(reference: Fingerprint) -> Iterator[tuple[str, list[ColumnCounts]]]:
    """Yield the families that are judged together: the inputs, and the output by itself."""
    if reference.columns:
        yield "inputs", reference.columns
    if reference.output is not None:
        yield "output", [reference.output]
