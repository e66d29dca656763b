"""The rows on which a variant must answer as the model does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from afterfit.core.dataset import Dataset
from afterfit.core.frame import Frame, row_count, take
from afterfit.core.signature import Column, Signature

__all__ = ["RowSet", "edge_rows", "held_out_rows", "join", "threshold_rows"]

BASES = 4
"""Real rows that each change is tried on."""

MAX_CATEGORIES = 30
UNSEEN = "afterfit-unseen"
Case = tuple[str, Frame]


@dataclass(frozen=True)
class RowSet:
    """Rows of one origin, with the case that each belongs to.

    ``cases`` are the names; ``case`` is int64 of [n], an index into them. Rows of one case are
    next to each other, so that a case the model refuses can be left out.
    """

    name: str
    frame: dict[str, np.ndarray]
    case: np.ndarray
    cases: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return row_count(self.frame)


def held_out_rows(data: Dataset, limit: int, seed: int) -> RowSet:
    """Return at most ``limit`` rows of the data, drawn without replacement, in their order."""
    rows = _sample(len(data), limit, seed)
    frame = dict(take(data.frame, rows))
    return RowSet("held-out rows", frame, np.zeros(len(rows), np.int64), ("held-out",))


def edge_rows(data: Dataset, signature: Signature, seed: int) -> RowSet:
    """Return real rows with one value changed: missing, unseen, extreme, tiny, signed zero."""
    base = take(data.frame, _sample(len(data), BASES, seed))
    cases: list[Case] = []
    for column in signature.columns:
        cases += [
            (f"{column.name}: {name}", {**base, column.name: values})
            for name, values in _changes(column, base[column.name])
        ]
    holes = {
        column.name: _filled(base[column.name], None)
        for column in signature.columns
        if column.nullable
    }
    if holes:
        cases.append(("every nullable column missing", {**base, **holes}))
    return _row_set("edge rows", cases, signature)


def threshold_rows(
    data: Dataset,
    signature: Signature,
    thresholds: dict[str, np.ndarray],
    limit: int,
    seed: int,
) -> RowSet:
    """Return real rows with one value on a threshold of the trees or a last digit beside it.

    A last digit is one of double precision or one of single precision. ``limit`` bounds the
    thresholds; those of integer columns are probed by the integers beside them.
    """
    rng = np.random.default_rng(seed)
    pairs = [(name, float(t)) for name, values in thresholds.items() for t in np.asarray(values)]
    pairs = [pair for pair in pairs if np.isfinite(pair[1])]
    if len(pairs) > limit:
        chosen = np.sort(rng.choice(len(pairs), limit, replace=False))
        pairs = [pairs[index] for index in chosen]
    cases: list[Case] = []
    for name in dict.fromkeys(name for name, _ in pairs):
        column = signature.column(name)
        splits = np.array([t for other, t in pairs if other == name])
        values = np.unique(_around(splits, integer=column.kind != "number"))
        rows = rng.integers(0, len(data), len(values))
        cases.append((f"{name}: thresholds", {**take(data.frame, rows), name: values}))
    return _row_set("threshold rows", cases, signature)


def _around(splits: np.ndarray, *, integer: bool) -> np.ndarray:
    if integer:
        return np.concatenate([np.floor(splits), np.ceil(splits)])
    with np.errstate(over="ignore"):
        single = splits.astype(np.float32)
    up, down = np.float32(np.inf), np.float32(-np.inf)
    parts = [splits, np.nextafter(splits, np.inf), np.nextafter(splits, -np.inf)]
    parts += [single, np.nextafter(single, up), np.nextafter(single, down)]
    values = np.concatenate([part.astype(np.float64) for part in parts])
    return np.asarray(values[np.isfinite(values)])


def _changes(column: Column, values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "missing", _filled(values, None)
    if column.kind == "boolean":
        yield "true", _filled(values, True)
        yield "false", _filled(values, False)
    elif column.numeric:
        low = -1.0 if column.low is None else column.low
        high = 1.0 if column.high is None else column.high
        for name, number in _numbers(low, high, integer=column.kind == "integer").items():
            yield name, _filled(values, number)
        if column.kind == "number":
            # Values with more digits than single precision holds.
            yield "more digits", np.asarray(values, np.float64) * (1 + 1e-9) + 1e-13
    else:
        for text in ("", " ", UNSEEN, *column.categories[:MAX_CATEGORIES]):
            yield repr(text), _filled(values, text)
        if column.kind == "text" or any(" " in known.strip() for known in column.categories):
            yield from _phrases(values)


def _phrases(values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield sentences in which a vectorizer of other words than the model's shows itself."""
    for name, pattern in (
        ("a short and a stop word between", "{0} a {0} the {0}"),
        ("letters beyond ASCII", "\u00e9{0} {0}\u00e9 na\u00efve"),
        ("punctuation", "{0},{0}-{0}'s."),
    ):
        yield name, _texts(values, pattern.format)
    yield "upper case", _texts(values, str.upper)


def _texts(values: np.ndarray, change: Callable[[str], str]) -> np.ndarray:
    changed = np.empty(len(values), dtype=object)
    changed[:] = [change(value) if isinstance(value, str) else value for value in values.tolist()]
    return changed


def _numbers(low: float, high: float, *, integer: bool) -> dict[str, float]:
    numbers = {
        "lowest": low,
        "highest": high,
        "lowest - 1": low - 1,
        "highest + 1": high + 1,
        "highest x 10": high * 10,
        "highest x 1e6": high * 1e6,
        "zero": 0.0,
    }
    if integer:
        # Beyond 2**53 an integer is no float64 any more.
        return {name: float(np.clip(np.round(v), -(2**53), 2**53)) for name, v in numbers.items()}
    return {
        **numbers,
        "-highest x 1e6": -high * 1e6,
        "minus zero": -0.0,
        "denormal": 5e-324,
        "denormal in single precision": 1e-40,
        "a third": low + (high - low) / 3,
        "a tenth": 0.1,
    }


def _filled(values: np.ndarray, value: Any) -> np.ndarray:
    """Return as many times ``value``, of the dtype that its column has with it in it."""
    if values.dtype.kind == "O":
        filled = np.empty(len(values), dtype=object)
        filled[:] = value
        return filled
    if value is None:
        if values.dtype.kind == "b":
            return np.full(len(values), None, dtype=object)
        return np.full(len(values), np.nan)
    if values.dtype.kind == "b":
        return np.full(len(values), value, dtype=bool)
    return np.full(len(values), float(value))


def _row_set(name: str, cases: list[Case], signature: Signature) -> RowSet:
    frames = [frame for _, frame in cases]
    index = np.repeat(np.arange(len(cases)), [row_count(frame) for frame in frames])
    return RowSet(name, join(frames, signature), index, tuple(case for case, _ in cases))


def join(frames: list[Frame], signature: Signature) -> dict[str, np.ndarray]:
    """Return the rows of all frames, each column of the dtype that holds them all."""
    joined = {}
    for column in signature.columns:
        parts = [frame[column.name] for frame in frames]
        if any(part.dtype.kind == "O" for part in parts):
            parts = [part.astype(object) for part in parts]
        whole = np.concatenate(parts) if parts else np.empty(0)
        if column.kind == "integer" and whole.dtype.kind == "f" and not np.isnan(whole).any():
            whole = whole.astype(np.int64)
        joined[column.name] = whole
    return joined


def _sample(count: int, limit: int, seed: int) -> np.ndarray:
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))
