"""The parts of Arrow columns joined to a frame, by the rules of the signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from afterfit.core.signature import Column
from afterfit.runtime.columns import MAX_PROBLEMS, FieldError, Problem, check_column
from afterfit.runtime.decode import Decoder
from afterfit.runtime.formats.arrow_columns import Part

__all__ = ["frame_of_parts"]

_TOP = 2.0**63


def frame_of_parts(parts: dict[str, list[Part]], decoder: Decoder) -> dict[str, np.ndarray]:
    """Return the frame; raises FieldError with the column and row of each value that is wrong."""
    frame: dict[str, np.ndarray] = {}
    problems: list[Problem] = []
    for column in decoder.signature.columns:
        values, missing = _joined(parts[column.name], column)
        if column.kind in {"category", "text"}:
            limit = decoder.limits.string_characters
            texts = values.tolist()
            where = _where(column.name)
            frame[column.name] = check_column(column, texts, where, problems, limit=limit)
        else:
            complaints = _null_problems(column, missing) + _KINDS[column.kind](values, missing)
            problems += [Problem(_where(column.name)(row), text) for row, text in complaints]
            if not complaints:
                frame[column.name] = _MAKERS[column.kind](values, missing)
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise FieldError(problems)
    return frame


def _joined(parts: list[Part], column: Column) -> tuple[np.ndarray, np.ndarray | None]:
    """Return all values of a column, and which are missing or None where none is."""
    parts = [part for part in parts if len(part.values)]
    values = parts[0].values if len(parts) == 1 else np.concatenate([p.values for p in parts])
    missing = None
    if any(part.valid is not None for part in parts):
        missing = np.concatenate([_missing(part) for part in parts])
    if values.dtype.kind == "f":
        gone = np.isnan(values)
        if gone.any():
            missing = gone if missing is None else gone | missing
    if column.kind in {"category", "text"} and values.dtype.kind != "O":
        # A column of the type null.
        values = np.full(len(values), None, dtype=object)
    return values, missing if missing is not None and missing.any() else None


def _missing(part: Part) -> np.ndarray:
    return np.zeros(len(part.values), dtype=bool) if part.valid is None else ~part.valid


Complaints = list[tuple[int, str]]


def _null_problems(column: Column, missing: np.ndarray | None) -> Complaints:
    if missing is None or column.nullable:
        return []
    return [(row, "null, and the column is not nullable") for row in _some(missing)]


def _number_problems(values: np.ndarray, missing: np.ndarray | None) -> Complaints:
    if values.dtype.kind != "f":
        return []
    bad = np.isinf(values) & _present(values, missing)
    return [(row, f"{values[row]} is not finite") for row in _some(bad)]


def _integer_problems(values: np.ndarray, missing: np.ndarray | None) -> Complaints:
    if values.dtype.kind == "f":
        values = values.astype(np.float64, copy=False)
        whole = (values == np.trunc(values)) & np.isfinite(values)
        bad = ~whole & _present(values, missing)
        found = [(row, f"expected an integer, got {values[row]!s}") for row in _some(bad)]
        high = whole & ((values < -_TOP) | (values >= _TOP)) & _present(values, missing)
    elif values.dtype == np.uint64:
        found, high = [], (values >= np.uint64(2**63)) & _present(values, missing)
    else:
        return []
    return found + [(row, "an integer beyond the range of int64") for row in _some(high)]


def _no_problems(_: np.ndarray, __: np.ndarray | None) -> Complaints:
    return []


def _as_number(values: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
    if missing is None:
        return values.astype(np.float64, copy=False)
    return np.where(missing, np.nan, values.astype(np.float64))


def _as_integer(values: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
    if missing is not None:
        return _as_number(values, missing)
    return values.astype(np.int64, copy=False)


def _as_boolean(values: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
    if missing is None:
        return values
    found = values.astype(object)
    found[missing] = None
    return found


_KINDS: dict[str, Callable[[np.ndarray, np.ndarray | None], Complaints]] = {
    "number": _number_problems,
    "integer": _integer_problems,
    "boolean": _no_problems,
}
_MAKERS: dict[str, Callable[[np.ndarray, np.ndarray | None], np.ndarray]] = {
    "number": _as_number,
    "integer": _as_integer,
    "boolean": _as_boolean,
}


def _present(values: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
    return np.ones(len(values), dtype=bool) if missing is None else ~missing


def _some(mask: np.ndarray) -> list[int]:
    rows: list[Any] = np.flatnonzero(mask)[:MAX_PROBLEMS].tolist()
    return rows


def _where(name: str) -> Callable[[int], str]:
    return lambda row: f"$.{name}[{row}]"
