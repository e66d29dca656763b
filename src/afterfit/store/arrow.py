"""Arrow columns to the arrays of a frame, with and without a signature."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from afterfit.core.signature import Column
from afterfit.errors import InputError

__all__ = ["BadValue", "arrow_type", "column_to_numpy", "columns_to_frame", "conform"]

_WORDS = {"number": "a number", "integer": "an integer", "boolean": "true or false"}
_TYPES = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_()}
_MISSING = "a missing value, and the column had none when the model was made"
_TRUE = ("true", "True", "TRUE", "1")
_FALSE = ("false", "False", "FALSE", "0")


class BadValue(NamedTuple):
    """The first value of a column that cannot be used: its row from 0, and what is wrong."""

    row: int
    message: str


def columns_to_frame(table: Any, where: str = "") -> dict[str, np.ndarray]:
    """Return the frame of an Arrow table or record batch.

    Numbers without missing values share the table's memory where they can, and are read-only.
    Raises InputError naming a column whose type has no place in a frame (a list, a struct, bytes).
    """
    names = table.schema.names
    return {
        name: column_to_numpy(table.column(index), name, where) for index, name in enumerate(names)
    }


def column_to_numpy(column: Any, name: str, where: str = "") -> np.ndarray:
    """Return one Arrow column as a frame has it; raises InputError for a type it has no place for.

    Dates and times become ISO 8601 text, decimals float64, integers beyond int64 float64.
    """
    kind = column.type
    if pt.is_dictionary(kind) and not _is_text(kind.value_type):
        return column_to_numpy(column.cast(kind.value_type), name, where)
    if pt.is_dictionary(kind) or _is_text(kind):
        return _strings(column)
    if pt.is_boolean(kind):
        return _numpy(column)
    if pt.is_integer(kind):
        return _integers(column)
    if pt.is_floating(kind) or pt.is_decimal(kind) or pt.is_null(kind):
        return _numpy(column.cast(pa.float64()))
    if _is_date(kind):
        return _strings(_iso(column))
    raise InputError(
        f"column {name!r} has the type {kind}",
        where=where,
        why="a column holds numbers, booleans, text or dates, one value a row",
        fix="make it several columns of plain values, or leave it out",
    )


def arrow_type(column: Column) -> pa.DataType:
    """Return the Arrow type of a signature's column."""
    return _TYPES.get(column.kind, pa.string())


def conform(values: Any, column: Column) -> Any:
    """Return an Arrow array as the signature's column has it, or the BadValue that forbids it.

    Text is parsed; ``3.0`` is an integer; 0 and 1 are booleans; whole numbers are categories by
    their digits. A number must be finite, and missing values need a nullable column.
    """
    if pt.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if values.null_count and not column.nullable:
        row = pc.index(pc.is_null(values), value=True).as_py()
        return BadValue(row, _MISSING)
    found = _CONFORM.get(column.kind, _conform_text)(values)
    if column.kind == "number" and not isinstance(found, BadValue):
        return _finite(found, column)
    return found


def _finite(values: Any, column: Column) -> Any:
    array = _numpy(values)
    if np.isfinite(array).all():
        return values
    # A NaN in a Parquet file is pandas' way to say missing; the column's own rule holds for it.
    bad = np.flatnonzero(np.isinf(array) if column.nullable else ~np.isfinite(array))
    if len(bad):
        value = array[bad[0]]
        return BadValue(int(bad[0]), _MISSING if np.isnan(value) else f"{value} is not finite")
    return values


def _conform_number(values: Any) -> Any:
    if _is_text(values.type):
        return _parse(values, pa.float64(), "number")
    if _is_number(values.type):
        return values.cast(pa.float64(), safe=False)
    return _wrong_type(values, "number")


def _conform_integer(values: Any) -> Any:
    if pt.is_signed_integer(values.type):
        return values.cast(pa.int64())
    if _is_text(values.type):
        try:
            return pc.utf8_trim_whitespace(values).cast(pa.int64())
        except pa.ArrowInvalid:
            values = _parse(values, pa.float64(), "integer")
            if isinstance(values, BadValue):
                return values
    if not _is_number(values.type):
        return _wrong_type(values, "integer")
    array = _numpy(values.cast(pa.float64(), safe=False))
    bad = np.flatnonzero(~np.isnan(array) & ((array != np.floor(array)) | (abs(array) >= 2.0**63)))
    if len(bad):
        return BadValue(int(bad[0]), f"{array[bad[0]]:g} is not an integer")
    return _whole(values, array)


def _whole(values: Any, array: np.ndarray) -> Any:
    if pt.is_integer(values.type):
        return values.cast(pa.int64())
    gone = np.isnan(array)
    return pa.array(np.where(gone, 0, array).astype(np.int64), mask=gone)


def _conform_boolean(values: Any) -> Any:
    if pt.is_boolean(values.type):
        return values
    if _is_text(values.type):
        text = pc.utf8_trim_whitespace(values)
        true = pc.is_in(text, value_set=pa.array(_TRUE, text.type))
        false = pc.is_in(text, value_set=pa.array(_FALSE, text.type))
    elif _is_number(values.type):
        true, false = pc.equal(values, 1), pc.equal(values, 0)
    else:
        return _wrong_type(values, "boolean")
    known = pc.or_(
        pc.or_(pc.fill_null(true, False), pc.fill_null(false, False)), pc.is_null(values)
    )
    row = pc.index(known, value=False).as_py()
    if row >= 0:
        return BadValue(row, _refusal(values[row].as_py(), "boolean"))
    return pc.if_else(pc.is_valid(values), pc.fill_null(true, False), None)


def _conform_text(values: Any) -> Any:
    kind = values.type
    if pt.is_string(kind):
        return values
    if _is_text(kind) or pt.is_integer(kind) or pt.is_null(kind):
        return values.cast(pa.string())
    if _is_date(kind):
        return _iso(values)
    return _wrong_type(values, "text")


_CONFORM = {
    "number": _conform_number,
    "integer": _conform_integer,
    "boolean": _conform_boolean,
}


def _parse(values: Any, kind: pa.DataType, word: str) -> Any:
    """Return text as numbers, or the first value that is none."""
    text = pc.utf8_trim_whitespace(values)
    try:
        return text.cast(kind)
    except pa.ArrowInvalid:
        for row, value in enumerate(text):
            try:
                value.cast(kind)
            except pa.ArrowInvalid:
                return BadValue(row, _refusal(values[row].as_py(), word))
        raise


def _wrong_type(values: Any, word: str) -> Any:
    if values.null_count == len(values):
        return pa.nulls(len(values), _TYPES.get(word, pa.string()))
    row = pc.index(pc.is_valid(values), value=True).as_py()
    return BadValue(row, _refusal(values[row].as_py(), word))


def _refusal(value: object, word: str) -> str:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
    return f"{shown} is not {_WORDS.get(word, 'text')}"


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def _is_date(kind: pa.DataType) -> bool:
    length = pt.is_duration(kind) or pt.is_interval(kind)
    return bool(pt.is_temporal(kind) and not length)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind))


def _numpy(column: Any) -> np.ndarray:
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    array: np.ndarray = column.to_numpy(zero_copy_only=False)
    # An Arrow array of no rows, or of missing values alone, may come back as objects.
    if pt.is_floating(column.type) and array.dtype != np.float64:
        return array.astype(np.float64)
    return array


def _integers(column: Any) -> np.ndarray:
    if column.null_count:
        return _numpy(column.cast(pa.float64(), safe=False))
    try:
        return _numpy(column.cast(pa.int64()))
    except pa.ArrowInvalid:
        return _numpy(column.cast(pa.float64(), safe=False))


def _strings(column: Any) -> np.ndarray:
    """Return an object array that holds each distinct text once."""
    encoded = column if pt.is_dictionary(column.type) else column.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):
            return np.empty(0, dtype=object)
    words = np.empty(len(encoded.dictionary) + 1, dtype=object)
    words[:-1] = encoded.dictionary.to_numpy(zero_copy_only=False)
    words[-1] = None
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), len(words) - 1)
    texts: np.ndarray = words[codes.to_numpy()]
    return texts


def _iso(column: Any) -> Any:
    """Return dates and times as text, with no more digits of a second than some value has."""
    kind = column.type
    if pt.is_timestamp(kind):
        for unit in ("s", "ms", "us"):
            try:
                return column.cast(pa.timestamp(unit, kind.tz)).cast(pa.string())
            except pa.ArrowInvalid:
                continue
    return column.cast(pa.string())
