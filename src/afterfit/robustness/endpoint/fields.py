"""The fields of a row, and rows with one of them changed."""

from __future__ import annotations

import copy
from typing import Any, Literal

import msgspec

Kind = Literal["number", "integer", "boolean", "text"]
Path = tuple[str | int, ...]
ABSENT = "afterfit_no_such_field"
"""The name of a field that no model has."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a row: ``path`` leads to it, ``name`` is what a refusal has to say.

    ``nullable`` and ``required`` are None where nobody told; ``low`` and ``high`` are the range
    that was declared, or that of the rows at hand.
    """

    name: str
    path: Path
    kind: Kind
    nullable: bool | None = None
    required: bool | None = None
    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()

    @property
    def numeric(self) -> bool:
        """Return whether numbers go in."""
        return self.kind in {"number", "integer"}


def kind_of(value: Any) -> Kind | None:
    """Return the kind of a JSON value, None where it is no plain value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "text" if isinstance(value, str) else None


def value_at(row: Any, path: Path) -> Any:
    """Return what stands at a path of a row."""
    for step in path:
        row = row[step]
    return row


def with_value(row: Any, path: Path, value: Any) -> Any:
    """Return a copy of the row with another value at the path."""
    changed = copy.deepcopy(row)
    value_at(changed, path[:-1])[path[-1]] = value
    return changed


def without(row: Any, path: Path) -> Any:
    """Return a copy of the row that lacks what stands at the path's first step."""
    changed = copy.deepcopy(row)
    del changed[path[0]]
    return changed


def raw(text: str) -> msgspec.Raw:
    """Return text that is written into JSON as it is: NaN, 1e309, numbers of any length."""
    return msgspec.Raw(text.encode())


def written(document: Any) -> bytes:
    """Return a document as JSON; `raw` parts are copied."""
    return msgspec.json.encode(document)
