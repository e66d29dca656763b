"""A dataset: a table with a target and, optionally, time, group and entity columns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from afterfit.core import frame as frames
from afterfit.core.frame import Frame
from afterfit.core.signature import Label


@dataclass(frozen=True)
class Dataset:
    """A table in memory.

    ``frame`` holds the feature columns, ``target`` the labels as they were given (object or
    numeric of [n]; None where there are none), and the roles their columns.
    ``source`` is where it came from, in the user's words; it is not part of the digest.
    """

    frame: Frame
    target: np.ndarray | None = None
    target_name: str | None = None
    time: np.ndarray | None = None
    group: np.ndarray | None = None
    entity: np.ndarray | None = None
    source: str = "memory"
    roles: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of rows."""
        return frames.row_count(self.frame)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all columns, target and roles included; equal for CSV and Parquet."""
        whole: dict[str, np.ndarray] = dict(self.frame)
        extra = {"target": self.target, "time": self.time, "group": self.group}
        extra["entity"] = self.entity
        for role, array in extra.items():
            if array is not None:
                whole[f"\0{role}"] = array
        return frames.frame_digest(whole)

    def take(self, rows: np.ndarray | slice) -> Dataset:
        """Return some rows."""

        def part(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else array[rows]

        return replace(
            self,
            frame=frames.take(self.frame, rows),
            target=part(self.target),
            time=part(self.time),
            group=part(self.group),
            entity=part(self.entity),
        )

    def select(self, names: tuple[str, ...]) -> Dataset:
        """Return the same rows with only the named feature columns, in that order."""
        return replace(self, frame=frames.select(self.frame, names))

    def labelled(self) -> np.ndarray:
        """Return which rows have a label, bool of [n]."""
        if self.target is None:
            return np.zeros(len(self), dtype=bool)
        return ~frames.missing_mask(self.target)


def to_label(value: object) -> Label:
    """Return a label as a plain Python value; whole floats become ints, numpy types their own."""
    item = value.item() if isinstance(value, np.generic) else value
    if isinstance(item, bool | str | int):
        return item
    if isinstance(item, float):
        return int(item) if item.is_integer() else item
    return str(item)


def encode_labels(target: np.ndarray, classes: tuple[Label, ...]) -> np.ndarray:
    """Return each label's index in ``classes``, int64 of [n]; -1 for a label not among them.

    Labels match by value and then by text, so 1, 1.0, "1" and True find the class 1. A missing
    label is -1, whatever the classes are called.
    """
    exact = {label: code for code, label in enumerate(classes)}
    by_text: dict[str, int] = {}
    for form in range(3):
        for index, label in enumerate(classes):
            by_text.setdefault(_texts(label)[form], index)

    def code(value: object) -> int:
        if frames.is_missing(value):
            return -1
        label = to_label(value)
        found = [exact[label]] if label in exact else []
        found += [by_text[text] for text in _texts(label) if text in by_text]
        return found[0] if found else -1

    unique, inverse = _unique(target)
    table = np.array([code(value) for value in unique], dtype=np.int64)
    return table[inverse] if len(unique) else np.empty(0, np.int64)


def _texts(label: Label) -> tuple[str, str, str]:
    """Return how a label may be written in a file, its own text first."""
    plain = to_label(label)
    if isinstance(plain, bool):
        return str(plain), str(plain).lower(), str(int(plain))
    return str(label), str(plain), str(plain)


def _unique(values: np.ndarray) -> tuple[list[object], np.ndarray]:
    """Return distinct values and each row's position among them, for any mixture of types."""
    items = values.tolist()
    distinct = list(dict.fromkeys(items))
    places = {value: place for place, value in enumerate(distinct)}
    return distinct, np.fromiter(map(places.__getitem__, items), np.int64, len(items))
