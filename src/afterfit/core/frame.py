"""Rows in memory: a frame is one numpy array a column, the same everywhere.

================  ======================  ==========================================
kind              nothing missing         something missing
================  ======================  ==========================================
number            float64                 float64 with NaN
integer           int64                   float64 with NaN (as pandas has it)
boolean           bool                    object of True, False and None
category, text    object of str           object of str and None
================  ======================  ==========================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import overload

import numpy as np

Frame = Mapping[str, np.ndarray]


class MatrixFrame(Mapping[str, np.ndarray]):
    """The rows of a table of numbers alone, held as one matrix.

    ``kinds`` are the kinds of the columns by name, in order; ``matrix`` is float64 of
    [n, columns] with NaN for what is missing. A column comes out with the dtype of the table
    above.
    """

    __slots__ = ("_columns", "kinds", "matrix", "names")

    def __init__(
        self, kinds: Mapping[str, str], matrix: np.ndarray, names: tuple[str, ...] = ()
    ) -> None:
        self.kinds = kinds
        self.matrix = matrix
        self.names = names or tuple(kinds)
        self._columns: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one column, [n]; raises KeyError."""
        known = self._columns.get(name)
        if known is None:
            if name not in self.kinds:
                raise KeyError(name)
            index = self.names.index(name)
            known = self._columns[name] = _as_kind(self.matrix[:, index], self.kinds[name])
        return known

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the columns."""
        return iter(self.kinds)

    def __len__(self) -> int:
        """Return the number of columns."""
        return len(self.kinds)


def _as_kind(column: np.ndarray, kind: str) -> np.ndarray:
    gone = np.isnan(column)
    if kind == "integer" and not gone.any():
        return column.astype(np.int64)
    if kind == "boolean":
        if not gone.any():
            return column.astype(bool)
        values = column.astype(bool).astype(object)
        values[gone] = None
        return values
    return column


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model said of n rows.

    ``probabilities`` is float64 of [n, classes], ``values`` is float64 of [n] (regression),
    ``codes`` is int64 of [n] (a classifier that gives labels). One of them is set, or
    probabilities and codes are, where the model decides by itself.
    """

    probabilities: np.ndarray | None = None
    values: np.ndarray | None = None
    codes: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.main)

    @property
    def labels_only(self) -> bool:
        """Whether there are labels and nothing else."""
        return self.codes is not None and self.probabilities is None

    @property
    def main(self) -> np.ndarray:
        """The array that is set: probabilities, else values, else codes."""
        for array in (self.probabilities, self.values, self.codes):
            if array is not None:
                return array
        raise ValueError("empty predictions")

    def score(self, positive: int | None) -> np.ndarray:
        """Return one float64 a row: the value, the positive class's or the top probability."""
        if self.values is not None:
            return self.values
        if self.probabilities is None:
            return self.main.astype(np.float64)
        shown = self.probabilities
        score: np.ndarray = shown.max(axis=1) if positive is None else shown[:, positive]
        return score

    def take(self, rows: np.ndarray | slice) -> Predictions:
        """Return the predictions of some rows."""
        return Predictions(
            *(None if a is None else a[rows] for a in (self.probabilities, self.values, self.codes))
        )


def concatenate(parts: list[Predictions]) -> Predictions:
    """Return the predictions of all parts, in order; raises ValueError for none."""
    if not parts:
        raise ValueError("no predictions to join")

    def join(arrays: list[np.ndarray | None]) -> np.ndarray | None:
        present = [array for array in arrays if array is not None]
        return np.concatenate(present) if present else None

    return Predictions(
        probabilities=join([part.probabilities for part in parts]),
        values=join([part.values for part in parts]),
        codes=join([part.codes for part in parts]),
    )


def row_count(frame: Frame) -> int:
    """Return the number of rows; 0 for a frame without columns."""
    if isinstance(frame, MatrixFrame):
        return len(frame.matrix)
    return next((len(array) for array in frame.values()), 0)


def join(frames: Sequence[Frame]) -> Frame:
    """Return the rows of all frames of one signature, in order."""
    if len(frames) == 1:
        return frames[0]
    first = frames[0]
    if isinstance(first, MatrixFrame) and all(isinstance(f, MatrixFrame) for f in frames):
        matrices = [frame.matrix for frame in frames if isinstance(frame, MatrixFrame)]
        return MatrixFrame(first.kinds, np.concatenate(matrices), first.names)
    return {name: _join_column([frame[name] for frame in frames]) for name in first}


def _join_column(arrays: list[np.ndarray]) -> np.ndarray:
    if any(array.dtype.kind == "O" for array in arrays):
        # A boolean column is an array of objects where something is missing: objects hold both.
        arrays = [array.astype(object) for array in arrays]
    return np.concatenate(arrays)


@overload
def take(frame: dict[str, np.ndarray], rows: np.ndarray | slice) -> dict[str, np.ndarray]: ...
@overload
def take(frame: Frame, rows: np.ndarray | slice) -> Frame: ...
def take(frame: Frame, rows: np.ndarray | slice) -> Frame:
    """Return some rows of a frame."""
    if isinstance(frame, MatrixFrame):
        return MatrixFrame(frame.kinds, frame.matrix[rows], frame.names)
    return {name: array[rows] for name, array in frame.items()}


def select(frame: Frame, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the named columns in that order; raises KeyError."""
    return {name: frame[name] for name in names}


def batches(frame: Frame, size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield a frame in slices of at most ``size`` rows."""
    for start in range(0, row_count(frame), size):
        yield {name: array[start : start + size] for name, array in frame.items()}


def missing_mask(array: np.ndarray) -> np.ndarray:
    """Return which values are missing, bool of [n]: NaN in numbers, None or NaN in objects."""
    if array.dtype.kind == "f":
        gone: np.ndarray = np.isnan(array)
        return gone
    if array.dtype.kind != "O":
        return np.zeros(len(array), dtype=bool)
    values = array.tolist()
    kinds = set(map(type, values))
    if kinds <= {str, bool, int}:
        return np.zeros(len(values), dtype=bool)
    if kinds <= {str, bool, int, NoneType}:
        return np.array([value is None for value in values], dtype=bool)
    return np.fromiter(map(is_missing, values), dtype=bool, count=len(values))


def is_missing(value: object) -> bool:
    """Return whether one value is None or NaN."""
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def column_digest(array: np.ndarray) -> bytes:
    """Return the SHA-256 of one column's values and dtype; all NaN are one NaN."""
    hasher = hashlib.sha256(array.dtype.str.encode())
    if array.dtype.kind == "O":
        values = array.tolist()
        # Text repeats; other values are rare, and 1, 1.0 and True would be one key of a dict.
        texts = {value: _digest_part(value) for value in set(filter(_is_text, values))}
        hasher.update(b"".join([texts[v] if _is_text(v) else _digest_part(v) for v in values]))
        return hasher.digest()
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    hasher.update(np.ascontiguousarray(array).tobytes())
    return hasher.digest()


def _is_text(value: object) -> bool:
    return type(value) is str


def _digest_part(value: object) -> bytes:
    text = b"\xff" if is_missing(value) else f"{type(value).__name__}:{value}".encode()
    return len(text).to_bytes(4, "little") + text


def frame_digest(frame: Frame) -> str:
    """Return the SHA-256 of a frame's names, dtypes and values, whatever file it came from."""
    hasher = hashlib.sha256()
    for name in sorted(frame):
        hasher.update(name.encode() + b"\0" + column_digest(frame[name]))
    return hasher.hexdigest()
