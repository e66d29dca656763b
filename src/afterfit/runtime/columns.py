"""Plain values of a column, checked one by one, and the array that they make."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from afterfit.core.frame import is_missing
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError

__all__ = ["FieldError", "Problem", "check_column", "column_array", "frame_of", "no_answer"]

MAX_PROBLEMS = 20
STRING_CHARACTERS = 262_144
_INT64 = 2**63
_NOTHING = type(None)
_WORDS = {
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "category": "a string",
    "text": "a string",
}


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with the input: the path of the field and what it should be."""

    path: str
    message: str


class FieldError(InputError):
    """Fields that cannot be used; ``problems`` has the path and message of each (at most 20)."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems[:MAX_PROBLEMS])
        first = self.problems[0]
        super().__init__(f"{first.path}: {first.message}", where=first.path)


def no_answer(rows: Sequence[int]) -> FieldError:
    """Return the error of rows without a finite answer, for which JSON has no word."""
    message = "the model has no finite answer for this row"
    return FieldError([Problem(f"$.rows[{row}]", message) for row in rows])


def frame_of(columns: Mapping[str, Sequence[Any]], signature: Signature) -> dict[str, np.ndarray]:
    """Return the frame of trusted plain values, such as golden rows; raises FieldError."""
    frame, problems = {}, list[Problem]()
    for column in signature.columns:
        values = [None if is_missing(value) else value for value in columns[column.name]]
        where = partial("$.columns.{}[{}]".format, column.name)
        frame[column.name] = check_column(column, values, where, problems)
    if problems:
        raise FieldError(problems)
    return frame


def check_column(
    column: Column,
    values: list[Any],
    where: Callable[[int], str],
    problems: list[Problem],
    *,
    limit: int = STRING_CHARACTERS,
) -> np.ndarray:
    """Return the array of one column's JSON values.

    What is wrong is added to ``problems`` with the path that ``where(row)`` gives, and the array
    is then empty.
    """
    array: np.ndarray | None = column_array(column, values, limit)
    if array is not None:
        return array
    for row, value in enumerate(values):
        message = complaint(column, value, limit)
        if message:
            problems.append(Problem(where(row), message))
            if len(problems) >= MAX_PROBLEMS:
                break
    return np.empty(0, dtype=object)


def column_array(column: Column, values: list[Any], limit: int = STRING_CHARACTERS) -> Any:
    """Return the array where every value fits, else None; quick, as nearly all values fit."""
    types = set(map(type, values))
    if _NOTHING in types and not column.nullable:
        return None
    return _MAKERS[column.kind](values, types, limit)


def complaint(column: Column, value: Any, limit: int = STRING_CHARACTERS) -> str:
    """Return what is wrong with one value of the column, or an empty string."""
    if value is None:
        return (
            ""
            if column.nullable
            else f"null, and the column is not nullable; expected {_WORDS[column.kind]}"
        )
    if column.kind == "number":
        return _number(value)
    if column.kind == "integer":
        return _integer(value)
    if not isinstance(value, bool if column.kind == "boolean" else str):
        return f"expected {_WORDS[column.kind]}, got {_name(value)}"
    return _string(value, limit) if isinstance(value, str) else ""


def _numbers(values: list[Any], types: set[type], _: int) -> Any:
    if not types <= {float, int, _NOTHING}:
        return None
    gaps = _NOTHING in types
    filled = [math.nan if value is None else value for value in values] if gaps else values
    try:
        array = np.array(filled, dtype=np.float64)
    except OverflowError:
        return None
    bad = ~np.isfinite(array)
    if bad.any() and any(values[row] is not None for row in np.flatnonzero(bad)):
        return None
    return array


def _integers(values: list[Any], types: set[type], limit: int) -> Any:
    if not types <= {float, int, _NOTHING}:
        return None
    if any(value is not None and _integer(value) for value in values):
        return None
    if _NOTHING in types:
        return _numbers(values, types, limit)
    return np.array([int(value) for value in values] if float in types else values, np.int64)


def _booleans(values: list[Any], types: set[type], _: int) -> Any:
    if not types <= {bool, _NOTHING}:
        return None
    return np.array(values, dtype=object if _NOTHING in types else bool)


def _strings(values: list[Any], types: set[type], limit: int) -> Any:
    if not types <= {str, _NOTHING}:
        return None
    for value in values:
        if value is not None and (len(value) > limit or not _encodable(value)):
            return None
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


_MAKERS: dict[str, Callable[[list[Any], set[type], int], Any]] = {
    "number": _numbers,
    "integer": _integers,
    "boolean": _booleans,
    "category": _strings,
    "text": _strings,
}


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"expected a number, got {_name(value)}{_string_hint(value)}"
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    return "" if finite else "a number beyond the range of float64, or NaN or Infinity"


def _integer(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"expected an integer, got {_name(value)}{_string_hint(value)}"
    if isinstance(value, float) and not value.is_integer():
        return f"expected an integer, got {value!r}"
    return "" if -_INT64 <= value < _INT64 else "an integer beyond the range of int64"


def _string(value: str, limit: int) -> str:
    if len(value) > limit:
        return f"a string of {len(value)} characters; the limit is {limit}"
    return "" if _encodable(value) else "a string with an unpaired surrogate"


def _name(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    names |= {list: "an array", dict: "an object", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _string_hint(value: Any) -> str:
    if isinstance(value, str) and value.strip().lower() in {"nan", "null", "none", "", "na"}:
        return "; send null for a missing value"
    return ""


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
