"""Strange values by kind of column: what real callers send sooner or later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Literal

import numpy as np

from afterfit.core.frame import Frame, missing_mask
from afterfit.core.signature import Column, Signature
from afterfit.robustness.resolution import Step, noised
from afterfit.robustness.words import LOOKS, SPELLINGS, TEXTS, changed_words

Values = np.ndarray
Change = Callable[[Values], Values]
Alike = Literal["", "spelling", "look", "noise"]

MISSING = "missing"
TOGETHER = "missing together"
USUAL = "its usual value"
COPY = "a copy of another column"
NOISE = "noise within its rounding"
ROUNDED = "rounded to float32"
DENORMAL = 5e-324
BEYOND_FLOAT32 = 1e39
LARGEST = float(np.finfo(np.float64).max)
INT32_MAX = 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
MOST_PAIRS = 190
"""Every pair of 20 columns; of more columns as many pairs are drawn."""
NO_RANGE = "the reference data had no value in this column, so it has no range"
NO_STEP = "its values are counts or have every digit, so they show no rounding"


@dataclass(frozen=True)
class Spoiled:
    """One case: its name, the column it spoils ("" for whole rows), and how.

    ``change`` is None where the case makes no sense in this column, and ``why`` says so.
    ``alike`` is set where a sound model would decide as before: another ``spelling``, another
    text of the same ``look``, ``noise`` below what the column's rounding shows. ``names`` are the
    columns where it spoils several; ``source`` is the column whose values it takes.
    """

    case: str
    column: str
    change: Change | None
    alike: Alike = ""
    why: str = ""
    names: tuple[str, ...] = ()
    source: str = ""

    @property
    def full_name(self) -> str:
        """The case with its column: ``missing in 'age'``."""
        return f"{self.case} in {self.column!r}" if self.column else self.case

    def applied(self, rows: Frame) -> dict[str, np.ndarray]:
        """Return the rows with the case in them; raises ValueError where it does not apply."""
        if self.source:
            return {**rows, self.column: rows[self.source]}
        if self.change is None:
            raise ValueError(f"{self.full_name}: {self.why}")
        return {**rows, **{name: self.change(rows[name]) for name in self.names or (self.column,)}}


def planned_cases(
    signature: Signature,
    steps: Mapping[str, Step] | None = None,
    *,
    seed: int = 0,
    most_columns: int | None = None,
) -> list[Spoiled]:
    """Return every case of every column in the signature's order, then those of whole rows.

    ``steps`` are the roundings of columns where the data shows one. ``most_columns`` bounds the
    columns whose cases are planned, drawn with ``seed``: an image has too many.
    """
    found = []
    columns = _drawn(signature.columns, most_columns, seed)
    for column in columns:
        found.append(Spoiled(MISSING, column.name, missing_values))
        found += _by_kind(column, (steps or {}).get(column.name), seed)
        found += _copies(column, columns)
        found.append(Spoiled(USUAL, column.name, usual_values))
    gaps = [column.name for column in columns if column.nullable]
    found += _pairs(gaps, seed)
    whole = tuple(column.name for column in signature.columns if column.nullable)
    if len(whole) > 1:
        every = len(whole) == len(signature.columns)
        case = "every value missing" if every else "every value that may be missing"
        found.append(Spoiled(case, "", missing_values, names=whole))
    return found


def missing_values(values: Values) -> Values:
    """Return the column with nothing in it."""
    if values.dtype.kind in "fiu":
        return np.full(len(values), np.nan)
    return np.full(len(values), None, dtype=object)


def usual_values(values: Values) -> Values:
    """Return the column with its median, or its most common word, in every row.

    The median is a value that some row has; a column without any value stays as it is.
    """
    there = values[~missing_mask(values)]
    if not len(there):
        return values
    if there.dtype.kind in "fiu":
        return np.full(len(values), np.sort(there)[len(there) // 2], dtype=values.dtype)
    common = Counter(there.tolist()).most_common(1)[0][0]
    return np.full(len(values), common, dtype=values.dtype)


def _drawn(columns: tuple[Column, ...], most: int | None, seed: int) -> tuple[Column, ...]:
    if most is None or len(columns) <= most:
        return columns
    chosen = np.random.default_rng(seed).permutation(len(columns))[:most]
    return tuple(columns[index] for index in sorted(chosen.tolist()))


def _pairs(gaps: list[str], seed: int) -> Iterator[Spoiled]:
    """Yield the pairs of columns that may be missing together; of too many, some."""
    pairs = list(combinations(gaps, 2))
    if len(pairs) > MOST_PAIRS:
        chosen = np.random.default_rng(seed).permutation(len(pairs))[:MOST_PAIRS]
        pairs = [pairs[index] for index in sorted(chosen.tolist())]
    for first, second in pairs:
        yield Spoiled(TOGETHER, f"{first} + {second}", missing_values, names=(first, second))


def _copies(column: Column, columns: tuple[Column, ...]) -> Iterator[Spoiled]:
    """Yield the case that two columns of numbers hold the same values."""
    if column.kind not in ("number", "integer"):
        return
    alike = [c for c in columns if c.kind == column.kind and c.nullable <= column.nullable]
    before = [other.name for other in alike if other.name != column.name]
    if before:
        yield Spoiled(COPY, column.name, None, source=before[0])


def _by_kind(column: Column, step: Step | None, seed: int) -> Iterator[Spoiled]:
    name = column.name
    if column.kind == "number":
        yield from _in_range(column, _number_range)
        yield Spoiled("negative zero", name, partial(_filled, value=-0.0))
        yield Spoiled("denormal", name, partial(_filled, value=DENORMAL))
        yield Spoiled("beyond float32", name, partial(_filled, value=BEYOND_FLOAT32))
        yield Spoiled(ROUNDED, name, _rounded, alike="spelling")
    elif column.kind == "integer":
        yield from _in_range(column, _integer_range)
        yield Spoiled("beyond 32 bits", name, partial(_whole, value=INT32_MAX + 1))
        yield Spoiled("largest 64-bit integer", name, partial(_whole, value=INT64_MAX))
        yield Spoiled("smallest 64-bit integer", name, partial(_whole, value=INT64_MIN))
    elif column.kind == "boolean":
        yield Spoiled("negated", name, partial(_on_present, change=_negated))
    else:
        for case, text in TEXTS.items():
            yield Spoiled(case, name, partial(_filled_text, value=text))
        for case, word in SPELLINGS.items():
            yield Spoiled(case, name, partial(changed_words, change=word), alike="spelling")
        for case, word in LOOKS.items():
            yield Spoiled(case, name, partial(changed_words, change=word), alike="look")
    if column.kind in ("number", "integer"):
        yield _noise(column, step, seed)


def _noise(column: Column, step: Step | None, seed: int) -> Spoiled:
    if step is None:
        return Spoiled(NOISE, column.name, None, "noise", why=NO_STEP)
    whole = column.kind == "integer"
    return Spoiled(NOISE, column.name, partial(noised, step=step, whole=whole, seed=seed), "noise")


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
        "ten times the maximum": far * 10,
        "a million times the maximum": far * 1_000_000,
    }
    return {case: partial(_whole, value=value) for case, value in values.items()}


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


def _on_present(values: Values, change: Callable[[object], object]) -> Values:
    """Return the values changed one by one; missing ones stay missing."""
    gone = missing_mask(values)
    out = np.empty(len(values), dtype=object)
    for row, value in enumerate(values.tolist()):
        out[row] = None if gone[row] else change(value)
    return out.astype(bool) if values.dtype.kind == "b" else out
