"""Strange values by kind of column: what real callers send sooner or later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from afterfit.core.frame import missing_mask
from afterfit.core.signature import Column, Signature

Values = np.ndarray
Change = Callable[[Values], Values]

UNSEEN = "afterfit-unseen-category"
LONG_CHARACTERS = 10_000
DENORMAL = 5e-324
BEYOND_FLOAT32 = 1e39
ROUNDED = "rounded to float32"
LARGEST = float(np.finfo(np.float64).max)
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
NO_RANGE = "the reference data had no value in this column, so it has no range"


@dataclass(frozen=True)
class Spoiled:
    """One case: its name, the column it spoils ("" for whole rows), and how.

    ``change`` is None where the case makes no sense in this column, and ``why`` says so.
    ``alike`` is True where a sound model would decide as before, such as for a stray space.
    """

    case: str
    column: str
    change: Change | None
    alike: bool = False
    why: str = ""


def planned_cases(signature: Signature) -> list[Spoiled]:
    """Return every case of every column in the signature's order, then those of whole rows."""
    found = []
    for column in signature.columns:
        found.append(Spoiled("missing", column.name, missing_values))
        found += _by_kind(column)
    if all(column.nullable for column in signature.columns):
        found.append(Spoiled("every value missing", "", missing_values))
    return found


def missing_values(values: Values) -> Values:
    """Return the column with nothing in it."""
    if values.dtype.kind in "fiu":
        return np.full(len(values), np.nan)
    return np.full(len(values), None, dtype=object)


def _by_kind(column: Column) -> Iterator[Spoiled]:
    name = column.name
    if column.kind == "number":
        yield from _in_range(column, _number_range)
        yield Spoiled("negative zero", name, partial(_filled, value=-0.0))
        yield Spoiled("denormal", name, partial(_filled, value=DENORMAL))
        yield Spoiled("beyond float32", name, partial(_filled, value=BEYOND_FLOAT32))
        yield Spoiled(ROUNDED, name, _rounded, alike=True)
    elif column.kind == "integer":
        yield from _in_range(column, _integer_range)
        yield Spoiled("largest 64-bit integer", name, partial(_whole, value=INT64_MAX))
    elif column.kind == "boolean":
        yield Spoiled("negated", name, partial(_on_present, change=_negated))
    else:
        for case, text in _TEXTS.items():
            yield Spoiled(case, name, partial(_filled_text, value=text))
        yield Spoiled("stray space", name, partial(_on_present, change=_spaced), alike=True)
        yield Spoiled("other case", name, partial(_on_present, change=_swapped), alike=True)


def _in_range(
    column: Column, make: Callable[[float, float], dict[str, Change]]
) -> Iterator[Spoiled]:
    """Yield the cases around the reference range, ``not applicable`` where there is none."""
    if column.low is None or column.high is None:
        yield from (Spoiled(case, column.name, None, why=NO_RANGE) for case in make(0.0, 0.0))
    else:
        for case, change in make(column.low, column.high).items():
            yield Spoiled(case, column.name, change)


def _number_range(low: float, high: float) -> dict[str, Change]:
    far = max(abs(low), abs(high)) or 1.0
    values = {
        "below the minimum": low - max(1.0, 0.01 * far),
        "above the maximum": high + max(1.0, 0.01 * far),
        "ten times the maximum": far * 10.0,
        "a million times the maximum": far * 1e6,
    }
    return {case: partial(_filled, value=value) for case, value in values.items()}


def _integer_range(low: float, high: float) -> dict[str, Change]:
    far = max(abs(int(low)), abs(int(high))) or 1
    step = max(1, far // 100)
    values = {
        "below the minimum": int(low) - step,
        "above the maximum": int(high) + step,
        "a million times the maximum": far * 1_000_000,
    }
    return {case: partial(_whole, value=value) for case, value in values.items()}


_TEXTS = {
    "unseen category": UNSEEN,
    "empty string": "",
    "not Latin": "数据-данные-🙂",  # letters that look Latin are the point
    "very long": "x" * LONG_CHARACTERS,
    "NUL inside": "a\0b",
}


def _filled(values: Values, value: float) -> Values:
    # JSON has no infinity: the largest double is as far as a caller gets.
    return np.full(len(values), min(max(value, -LARGEST), LARGEST), dtype=np.float64)


def _whole(values: Values, value: int) -> Values:
    return np.full(len(values), min(max(value, INT64_MIN), INT64_MAX), dtype=np.int64)


def _filled_text(values: Values, value: str) -> Values:
    return np.full(len(values), value, dtype=object)


def _rounded(values: Values) -> Values:
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32).astype(np.float64)
    return np.where(np.isinf(rounded), values, rounded)


def _negated(value: object) -> object:
    return not value


def _spaced(value: object) -> object:
    return f" {value} "


def _swapped(value: object) -> object:
    return str(value).swapcase()


def _on_present(values: Values, change: Callable[[object], object]) -> Values:
    """Return the values changed one by one; missing ones stay missing."""
    gone = missing_mask(values)
    out = np.empty(len(values), dtype=object)
    for row, value in enumerate(values.tolist()):
        out[row] = None if gone[row] else change(value)
    return out.astype(bool) if values.dtype.kind == "b" else out
