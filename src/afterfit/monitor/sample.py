"""Some rows of a window, for signals that need rows: the same ones however the log is cut."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from afterfit.core.fingerprint import OUTPUT, ColumnCounts, Fingerprint
from afterfit.core.frame import Frame, is_missing, missing_mask, row_count

__all__ = [
    "MOST_BYTES",
    "MOST_ROWS",
    "RARE",
    "Sample",
    "decode_frame",
    "encode_column",
    "encode_frame",
    "mixed",
]

MOST_ROWS = 2000
MOST_BYTES = 480_000
"""What the rows of one window take at most, so that a state stays below a megabyte."""


RARE = "rare or new"
"""What a category is called whose name was not kept."""


class Sample(msgspec.Struct, kw_only=True):
    """The rows whose numbers come first when mixed with a seed (a bottom-k sample).

    Every row of the log has one number of its own, so each is as likely to be kept, and samples of
    parts merge into the sample of the whole. ``rows`` are float32 of [kept, columns] as
    ``encode_column`` gives them, the output last; ``keys`` uint64 of [kept], ascending.
    """

    names: tuple[str, ...]
    most: int
    seed: int = 0
    keys: bytes = b""
    rows: bytes = b""

    @classmethod
    def like(cls, reference: Fingerprint, seed: int, most: int = 0) -> Sample:
        """Return an empty sample of rows with the columns of a reference.

        ``most`` is how many rows it may hold: 2,000 where it is 0, and fewer of many columns.
        """
        names = (*(column.name for column in reference.columns), OUTPUT)
        most = most or min(MOST_ROWS, MOST_BYTES // (4 * len(names) + 8))
        return cls(names=names, most=most, seed=seed)

    def __len__(self) -> int:
        """Return how many rows it holds."""
        return len(self.keys) // 8

    def matrix(self) -> np.ndarray:
        """Return the rows, float32 of [kept, columns]."""
        flat: np.ndarray = np.frombuffer(self.rows, np.float32)
        return flat.reshape(len(self), len(self.names))

    def update(
        self, marks: np.ndarray, frame: Frame, scores: np.ndarray, reference: Fingerprint
    ) -> None:
        """Offer some rows by their numbers, uint64 of [n]."""
        keys = mixed(marks, self.seed)
        held: np.ndarray = np.frombuffer(self.keys, np.uint64)
        chosen = np.arange(len(keys))
        if len(held) >= self.most:
            chosen = np.flatnonzero(keys < held[-1])
        if len(chosen) > self.most:
            chosen = chosen[np.argpartition(keys[chosen], self.most - 1)[: self.most]]
        if len(chosen):
            self._add(keys[chosen], _encoded(chosen, frame, scores, reference))

    def merge(self, other: Sample) -> None:
        """Offer the rows of another sample; raises ValueError for other columns."""
        if self.names != other.names or self.seed != other.seed:
            raise ValueError("samples of other columns or another seed cannot be merged")
        if len(other):
            self._add(np.frombuffer(other.keys, np.uint64), other.matrix())

    def _add(self, keys: np.ndarray, rows: np.ndarray) -> None:
        every = np.concatenate([np.frombuffer(self.keys, np.uint64), keys])
        first = np.argsort(every, kind="stable")[: self.most]
        self.rows = np.concatenate([self.matrix(), rows])[first].tobytes()
        self.keys = every[first].tobytes()


def mixed(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Return uint64 numbers as others that look random: the finalizer of SplitMix64.

    Distinct numbers stay distinct. Source: Steele, Lea, Flood (2014), Fast Splittable
    Pseudorandom Number Generators.
    """
    x = numbers.astype(np.uint64) + np.uint64((0x9E3779B97F4A7C15 * (seed + 1)) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def encode_column(values: np.ndarray, column: ColumnCounts) -> np.ndarray:
    """Return a column as float32 of [n], NaN where it is missing.

    A category is its place among those of the reference, and -1 where that has it not; text is 0.
    """
    if column.kind not in ("category", "text"):
        if values.dtype.kind == "O":
            gone = missing_mask(values)
            values = np.where(gone, np.nan, values).astype(np.float64)
        with np.errstate(over="ignore"):
            return values.astype(np.float32)
    unknown = 0.0 if column.kind == "text" else -1.0
    places = {name: float(place) for place, name in enumerate(column.categories)}
    words = values.tolist()
    codes = {
        word: np.nan if is_missing(word) else places.get(str(word), unknown) for word in set(words)
    }
    return np.array([codes[word] for word in words], dtype=np.float32)


def encode_frame(frame: Frame, names: Sequence[str], reference: Fingerprint) -> np.ndarray:
    """Return the named columns of a fingerprint, float32 of [n, names]; see `encode_column`."""
    columns = (reference.column(name) for name in names)
    parts = [encode_column(frame[c.name], c) for c in columns if c is not None]
    return np.column_stack(parts) if parts else np.empty((row_count(frame), 0), np.float32)


def decode_frame(
    matrix: np.ndarray, names: Sequence[str], reference: Fingerprint
) -> dict[str, np.ndarray]:
    """Return the columns that encoded rows stand for: what `encode_column` did not keep is lost.

    Numbers are those nearest in float32, categories without a name are one, and so are all texts.
    """
    found = {}
    for place, name in enumerate(names):
        column = reference.column(name)
        if column is not None:
            found[name] = _decoded(matrix[:, place], column)
    return found


def _decoded(values: np.ndarray, column: ColumnCounts) -> np.ndarray:
    if column.kind in ("number", "integer"):
        return values.astype(np.float64)
    words: list[object] = [False, True]
    if column.kind == "text":
        words = [RARE]
    elif column.kind == "category":
        words = [*column.categories, RARE]
        values = np.where(values == -1, len(words) - 1, values)
    known = (values >= 0) & (values < len(words))
    table = np.array([*words, None], object)
    return table[np.where(known, values, len(words)).astype(np.intp)]


def _encoded(
    rows: np.ndarray, frame: Frame, scores: np.ndarray, reference: Fingerprint
) -> np.ndarray:
    columns: Sequence[ColumnCounts] = reference.columns
    found = np.full((len(rows), len(columns) + 1), np.nan, np.float32)
    for place, column in enumerate(columns):
        if column.name in frame:
            found[:, place] = encode_column(frame[column.name][rows], column)
    with np.errstate(over="ignore"):
        found[:, -1] = scores[rows]
    return found
