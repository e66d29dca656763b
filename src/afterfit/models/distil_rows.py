"""Rows as a student reads them: numbers as they are, and each text as its place in one list.

One list for all columns of text costs one look-up a row, whatever the number of columns: a graph
with a node or two a column spends more on them than on the student.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from afterfit.core.frame import Frame, is_missing, missing_mask, row_count, take
from afterfit.core.signature import Signature

__all__ = ["MISSING", "Reader", "impact", "mixed", "read_rows", "reader"]

MISSING = "\x1fmissing"
"""The text that stands for a missing value in a student's string tensor."""

MAX_TEXTS = 255
"""Texts that a column may have to itself; the rarer ones are unknown to the student."""

MIN_ROWS = 3
"""Rows that a text must be in to be known."""


@dataclass(frozen=True)
class Reader:
    """The columns of a student, and the texts that it knows, sorted; one more is unknown."""

    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    known: tuple[str, ...]

    @property
    def width(self) -> int:
        """The number of places that a text may have, the unknown one included."""
        return len(self.known) + 1

    def only(self, features: Sequence[int]) -> Reader:
        """Return the reader of some features, numbers first: those that a student uses."""
        kept = set(features)
        names = self.numbers + self.texts
        chosen = {name for index, name in enumerate(names) if index in kept}
        return Reader(
            tuple(name for name in self.numbers if name in chosen),
            tuple(name for name in self.texts if name in chosen),
            self.known,
        )


def reader(signature: Signature, rows: Frame) -> Reader:
    """Return what reads these rows and others like them."""
    numbers = tuple(column.name for column in signature.columns if column.numeric)
    texts = tuple(column.name for column in signature.columns if not column.numeric)
    known: set[str] = set()
    for name in texts:
        counts = Counter(_texts(rows[name])).most_common(MAX_TEXTS)
        known |= {text for text, count in counts if count >= MIN_ROWS}
    return Reader(numbers, texts, tuple(sorted(known)))


def read_rows(read: Reader, rows: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Return (numbers, float64 of [n, numbers] with NaN; places, int64 of [n, texts])."""
    count = row_count(rows)
    numbers = np.empty((count, len(read.numbers)))
    for index, name in enumerate(read.numbers):
        numbers[:, index] = _numbers(rows[name])
    place = {text: index for index, text in enumerate(read.known)}
    places = np.empty((count, len(read.texts)), dtype=np.int64)
    for index, name in enumerate(read.texts):
        places[:, index] = [place.get(text, len(place)) for text in _texts(rows[name])]
    return numbers, places


def impact(places: np.ndarray, width: int, soft: np.ndarray) -> np.ndarray:
    """Return the number that each text becomes in each column, float64 of [texts, width].

    It is the mean answer of the column's rows with that text, drawn toward the mean of all as if
    ten more rows had that. Of several classes it is the mean's place on the line along which the
    means differ most. So one comparison parts a column's texts as well as a set of them would
    (Fisher 1958, "On grouping for maximum homogeneity").
    """
    centre = soft.mean(axis=0)
    means = np.zeros((places.shape[1], width, soft.shape[1]))
    counts = np.zeros((places.shape[1], width, 1))
    for column in range(places.shape[1]):
        np.add.at(means[column], places[:, column], soft - centre)
        np.add.at(counts[column], places[:, column], 1.0)
    means /= counts + 10.0
    if soft.shape[1] == 1 or not means.size:
        return means[:, :, 0]
    flat = (means * np.sqrt(counts)).reshape(-1, soft.shape[1])
    line = np.linalg.svd(flat, full_matrices=False)[2][0]
    return np.asarray(means @ (line if line[np.abs(line).argmax()] > 0 else -line))


def mixed(rows: Frame, scaled: np.ndarray, count: int, seed: int) -> dict[str, np.ndarray]:
    """Return ``count`` rows between rows: each column is the row's or that of a row near to it.

    ``scaled`` places the rows, float64 of [n, any]. After Bucila et al. 2006, "Model compression",
    without the noise: every value is one that was seen, so whole numbers stay whole.
    """
    from scipy.spatial import cKDTree

    generator = np.random.default_rng(seed)
    first = generator.integers(0, len(scaled), count)
    near = cKDTree(scaled).query(scaled[first], k=min(6, len(scaled)))[1].reshape(count, -1)
    other = near[np.arange(count), generator.integers(0, near.shape[1], count)]
    parts = take({name: rows[name] for name in rows}, first)
    for name in parts:
        swap = generator.random(count) < 0.5
        parts[name] = np.where(swap, rows[name][other], parts[name])
    return parts


def _texts(values: np.ndarray) -> list[str]:
    return [MISSING if is_missing(value) else str(value) for value in values.tolist()]


def _numbers(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "O":
        return values.astype(np.float64)
    numbers = np.full(len(values), np.nan)
    present = ~missing_mask(values)
    numbers[present] = values[present].astype(np.float64)
    return numbers
