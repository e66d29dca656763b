"""Strange values by kind of column: what real callers send sooner or later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from afterfit.core.frame import missing_mask
from afterfit.core.signature import Column, Signature

Values = np.ndarray
Change = Callable[[Values], Values]

UNSEEN = "afterfit-unseen-category"
LONG_CHARACTERS = 10_000
DENORMAL = 5e-324
BEYOND_FLOAT32 = 1e39
INT64_MAX = 2**63 - 1


@dataclass(frozen=True)
class Spoiled:
    """One case: its name, the column it spoils ("" for whole rows), and how.

    ``alike`` is True where a sound model would decide as before, such as for a stray space.
    """

    case: str
    column: str
    change: Change
    alike: bool = False


def column_cases(signature: Signature) -> Iterator[Spoiled]:
    """Yield every case of every column, in the order of the signature."""
    for column in signature.columns:
        yield Spoiled("missing", column.name, missing_values)
        for case, change, alike in _by_kind(column):
            yield Spoiled(case, column.name, change, alike)


def missing_values(values: Values) -> Values:
    """Return the column with nothing in it."""
    if values.dtype.kind in "fiu":
        return np.full(len(values), np.nan)
    return np.full(len(values), None, dtype=object)


def _by_kind(column: Column) -> Iterator[tuple[str, Change, bool]]:
    if column.kind == "number":
        yield from _number_cases(column)
    elif column.kind == "integer":
        yield from _integer_cases(column)
    elif column.kind == "boolean":
        yield "negated", lambda values: _on_present(values, lambda v: not v), False
    else:
        yield from _string_cases()


def _number_cases(column: Column) -> Iterator[tuple[str, Change, bool]]:
    low, high = column.low or 0.0, column.high or 0.0
    yield "below the minimum", _constant(low - 1.0), False
    yield "above the maximum", _constant(high + 1.0), False
    yield "ten times the maximum", _constant(high * 10.0), False
    yield "a million times the maximum", _constant((high or 1.0) * 1e6), False
    yield "negative zero", _constant(-0.0), False
    yield "denormal", _constant(DENORMAL), False
    yield "beyond float32", _constant(BEYOND_FLOAT32), False
    yield "rounded to float32", lambda values: values.astype(np.float32).astype(np.float64), True


def _integer_cases(column: Column) -> Iterator[tuple[str, Change, bool]]:
    low, high = int(column.low or 0), int(column.high or 0)
    yield "below the minimum", _whole(low - 1), False
    yield "above the maximum", _whole(high + 1), False
    yield "a million times the maximum", _whole((high or 1) * 1_000_000), False
    yield "largest 64-bit integer", _whole(INT64_MAX), False


def _string_cases() -> Iterator[tuple[str, Change, bool]]:
    yield "unseen category", _text(UNSEEN), False
    yield "empty string", _text(""), False
    yield "stray space", lambda values: _on_present(values, lambda v: f" {v} "), True
    yield "other case", lambda values: _on_present(values, lambda v: v.swapcase()), True
    yield "not Latin", _text("数据-данные-🙂"), False
    yield "very long", _text("x" * LONG_CHARACTERS), False
    yield "NUL inside", _text("a\0b"), False


def _constant(value: float) -> Change:
    return lambda values: np.full(len(values), value, dtype=np.float64)


def _whole(value: int) -> Change:
    bounded = max(-(2**63), min(INT64_MAX, value))
    return lambda values: np.full(len(values), bounded, dtype=np.int64)


def _text(value: str) -> Change:
    return lambda values: np.full(len(values), value, dtype=object)


def _on_present(values: Values, change: Callable[[object], object]) -> Values:
    """Return the values changed one by one; missing ones stay missing."""
    gone = missing_mask(values)
    out = np.empty(len(values), dtype=object)
    for row, value in enumerate(values.tolist()):
        out[row] = None if gone[row] else change(value)
    return out.astype(bool) if values.dtype.kind == "b" else out
