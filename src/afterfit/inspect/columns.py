"""The columns of a signature, from the model's names and the data's values."""

from __future__ import annotations

import re

import numpy as np

from afterfit.core.disclosure import MIN_ROWS, reference_range
from afterfit.core.frame import Frame, is_missing, missing_mask, row_count
from afterfit.core.signature import MAX_CATEGORIES, NUMERIC_KINDS, Column, ColumnKind
from afterfit.errors import InputError

__all__ = ["build_column", "matched_names", "require_kinds", "require_usable"]

LISTED = 255
TEXT_CHARACTERS = 40


def matched_names(features: tuple[str, ...], frame: Frame, source: str) -> tuple[str, ...]:
    """Return the data's names of the model's features, in the model's order.

    Equal names match; else names that differ in white space only (LightGBM writes underscores).
    Raises InputError naming the first column that is missing.
    """
    loose = {"_".join(name.split()): name for name in frame}
    found = [name if name in frame else loose.get(name) for name in features]
    missing = [name for name, here in zip(features, found, strict=True) if here is None]
    if missing:
        raise InputError(
            f"the data lacks {len(missing)} of the model's {len(features)} columns: "
            f"{', '.join(missing[:10])}",
            where=f"{source}: column {missing[0]}",
            why=f"the data has: {', '.join(list(frame)[:20])}",
            fix=f"add {missing[0]} to the data, or rename the column that holds it",
        )
    return tuple(str(name) for name in found)


def require_usable(frame: Frame, names: tuple[str, ...], source: str) -> None:
    """Do nothing if there are rows and every column has values; raises InputError."""
    if row_count(frame) == 0:
        raise InputError("the data has no rows", where=source, fix="give at least one row")
    for name in names:
        if missing_mask(frame[name]).all():
            raise InputError(
                f"every value of column {name} is missing",
                where=f"{source}: column {name}",
                why="nothing can be said of a column without values",
                fix=f"fill {name}, or train the model without it",
            )


def require_kinds(kinds: dict[str, str], frame: Frame, source: str) -> None:
    """Do nothing if columns hold text or numbers as the model learned them; raises InputError.

    ``kinds`` maps a column to ``text`` or ``number`` where a fitted step of the model tells.
    """
    for name, kind in kinds.items():
        values = frame[name][~missing_mask(frame[name])]
        text = values.dtype.kind == "O" and any(isinstance(v, str) for v in values.tolist())
        if not len(values) or text == (kind == "text"):
            continue
        if text:
            raise _no_numbers(name, frame[name], source)
        raise InputError(
            f"column {name} holds numbers where the model learned text",
            where=f"{source}: column {name}",
            why=f"for example {values[0]!r}",
            fix=f"write {name} in the type that it had in training",
        )


def _no_numbers(name: str, values: np.ndarray, source: str) -> InputError:
    """Return the error about a column of text: one cell that is no number makes all of it text."""
    bad = [row for row, value in enumerate(values.tolist(), start=1) if not _is_number(value)]
    row = bad[0] if bad else 1 + int(np.flatnonzero(~missing_mask(values))[0])
    example = values[row - 1]
    others = f"; {len(bad):,} of {len(values):,} rows hold no number" if bad else ""
    fix = f"write {name} in the type that it had in training"
    if bad and all(_has_decimal_comma(values[each - 1]) for each in bad):
        fix = f"write {name} with a decimal point: {str(example).replace(',', '.')}"
    elif bad and len(bad) < len(values) / 2:
        fix = f"mend row {row}, or leave the cell empty"
    return InputError(
        f"column {name} holds text where the model learned numbers",
        where=f"{source}: row {row}, column {name}" if bad else f"{source}: column {name}",
        why=f"for example {example!r}{others}",
        fix=fix,
    )


def _is_number(value: object) -> bool:
    if is_missing(value):
        return True
    try:
        float(value)  # type: ignore[arg-type]  # what it is no number of, it says
    except (TypeError, ValueError):
        return False
    return True


def _has_decimal_comma(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"\s*[-+]?\d*,\d+\s*", value))


def build_column(
    name: str, data: np.ndarray, train: np.ndarray | None, *, nullable: bool
) -> Column:
    """Return the column as the reference (``train``, else ``data``) and the data show it.

    Raises InputError where the two tables disagree about numbers and text.
    """
    kind = _kind(name, data, train)
    reference = data if train is None else train
    gap = bool(missing_mask(data).any()) or (train is not None and bool(missing_mask(train).any()))
    low = high = None
    categories: tuple[str, ...] = ()
    if kind == "category":
        categories = _categories(reference)
    elif kind in NUMERIC_KINDS and kind != "boolean":
        low, high = reference_range(reference)
    return Column(
        name=name, kind=kind, nullable=nullable or gap, categories=categories, low=low, high=high
    )


def _kind(name: str, data: np.ndarray, train: np.ndarray | None) -> ColumnKind:
    kinds = {_kind_of(data)}
    if train is not None:
        kinds.add(_kind_of(train))
    if len(kinds) == 1:
        return kinds.pop()
    if kinds <= NUMERIC_KINDS:
        return "number" if "number" in kinds else "integer"
    if kinds <= {"category", "text"}:
        return "text"
    raise InputError(
        f"column {name} holds {_kind_of(data)} values in the data and "
        f"{'' if train is None else _kind_of(train)} values in the training data",
        where=f"column {name}",
        why="the model saw the one in training and would be given the other",
        fix=f"write {name} in the same type in both tables",
    )


def _kind_of(array: np.ndarray) -> ColumnKind:
    if array.dtype.kind in "iu":
        return "integer"
    if array.dtype.kind == "f":
        return "number"
    if array.dtype.kind == "b":
        return "boolean"
    values = array[~missing_mask(array)].tolist()
    if values and all(isinstance(value, bool) for value in values):
        return "boolean"
    words = [str(value) for value in values]
    length = sum(map(len, words)) / len(words) if words else 0.0
    return "text" if length > TEXT_CHARACTERS or len(set(words)) > MAX_CATEGORIES else "category"


def _categories(array: np.ndarray) -> tuple[str, ...]:
    words = [str(value) for value in array[~missing_mask(array)].tolist()]
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    frequent = [(-count, word) for word, count in counts.items() if count >= MIN_ROWS]
    return tuple(sorted(word for _, word in sorted(frequent)[:LISTED]))
