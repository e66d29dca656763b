"""The signature: a model's columns and outputs, in the user's words."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from afterfit.core.frame import Frame, Predictions

Label = str | int | bool | float
Task = Literal["binary", "multiclass", "regression"]
ColumnKind = Literal["number", "integer", "boolean", "category", "text"]

NUMERIC_KINDS = frozenset({"number", "integer", "boolean"})
MIDDLE = 0.5
MAX_CATEGORIES = 1000
"""A string column with more distinct values than this is free text."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One input column: its name, kind, and what the reference data held.

    ``shape`` is empty for a scalar. ``categories`` are the known values of a category, sorted.
    ``low`` and ``high`` are the reference range of a numeric column, in its own unit, rounded
    outwards so that they are no single row's value (``core.disclosure``).
    """

    name: str
    kind: ColumnKind
    nullable: bool = False
    shape: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def numeric(self) -> bool:
        """Whether a value is a number, an integer or a boolean."""
        return self.kind in NUMERIC_KINDS


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """The columns a model takes and the outputs it gives.

    ``classes`` are the labels in the user's words and in the model's order; ``positive`` is one
    of them and ``threshold`` a probability of it in (0, 1), both for binary tasks only.
    ``probabilities`` is False for a classifier that gives labels alone. ``own_labels`` is True for
    one that gives probabilities and decides by something else; it then has no threshold.
    """

    task: Task
    columns: tuple[Column, ...]
    target: str = "target"
    classes: tuple[Label, ...] = ()
    positive: Label | None = None
    threshold: float | None = None
    probabilities: bool = True
    own_labels: bool | msgspec.UnsetType = msgspec.UNSET
    schema: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The column names, in the model's order."""
        return tuple(column.name for column in self.columns)

    @property
    def numeric_only(self) -> bool:
        """Whether every column is numeric, so that the rows form one tensor."""
        return all(column.numeric for column in self.columns)

    @property
    def positive_index(self) -> int | None:
        """The index of the positive class in ``classes``; None where there is none."""
        return index_of(self.classes, self.positive) if self.positive is not None else None

    @property
    def decides_by_likeliest(self) -> bool:
        """Whether the most probable class is decided, and no threshold of the user's own."""
        if self.own_labels is True:
            return False
        middle = self.threshold is None or self.threshold == MIDDLE
        return self.task != "binary" or self.positive is None or middle

    def column(self, name: str) -> Column:
        """Return the column called ``name``; raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def codes(self, predictions: Predictions) -> np.ndarray:
        """Return the decided class of each row as an index into ``classes``, int64 of [n].

        Binary tasks compare the positive class's probability with ``threshold``, where a tie is
        positive. At 0.5, and for other tasks, the most probable class is taken, the first of a
        tie, as scikit-learn's ``predict`` does: a label is then the model's own. With
        ``own_labels`` the model's codes are taken, and the likeliest class where it gave none.
        """
        own = self.own_labels is True or predictions.probabilities is None
        if own and predictions.codes is not None:
            return predictions.codes
        if predictions.probabilities is None:
            raise ValueError("a regression has no class codes")
        positive = self.positive_index
        if self.threshold is None or self.decides_by_likeliest or positive is None:
            likeliest: np.ndarray = predictions.probabilities.argmax(axis=1)
            return likeliest.astype(np.int64)
        hit = predictions.probabilities[:, positive] >= self.threshold
        return np.where(hit, positive, 1 - positive).astype(np.int64)

    def empty(self) -> Frame:
        """Return a frame of zero rows with this signature's columns."""
        return {column.name: np.empty(0, dtype=dtype_of(column.kind)) for column in self.columns}


def index_of(classes: tuple[Label, ...], label: Label) -> int:
    """Return where ``label`` stands among ``classes``, comparing type and value; raises ValueError.

    ``True`` and ``1`` are different words to a person, so they are different here.
    """
    for index, known in enumerate(classes):
        if type(known) is type(label) and known == label:
            return index
    raise ValueError(f"{label!r} is not one of {list(classes)!r}")


def dtype_of(kind: str) -> np.dtype[np.generic]:
    """Return the numpy dtype a column of ``kind`` has when nothing is missing."""
    dtypes = {"number": "float64", "integer": "int64", "boolean": "bool"}
    return np.dtype(dtypes.get(kind, "object"))
