"""Moments as a log has them, in µs since 1970: numbers of any unit, timestamps, ISO 8601."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from afterfit.errors import ConfigError, InputError
from afterfit.monitor.log import moment

__all__ = ["microseconds"]

# A number of 2026 in seconds has 10 digits, in ms 13, in µs 16, in ns 19.
_LIMITS = (1e11, 1e14, 1e17)
_FACTORS = (1e6, 1e3, 1.0, 1e-3)


def microseconds(column: Any, where: str = "", first_row: int = 0) -> np.ndarray:
    """Return an Arrow column of moments as int64 µs of [n], 0 where one is missing.

    Numbers are seconds, ms, µs or ns by their size; text without a zone is UTC. Raises InputError
    naming the row, from 0, of the first that is no moment.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pt.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pt.is_timestamp(kind) or pt.is_date(kind):
        return _whole(column.cast(pa.timestamp("us", kind.tz if pt.is_timestamp(kind) else None)))
    if pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind):
        return _of_numbers(column, where, first_row)
    if pt.is_string(kind) or pt.is_large_string(kind):
        return _of_texts(column, where, first_row)
    if pt.is_null(kind):
        return np.zeros(len(column), np.int64)
    raise InputError(f"a column of {kind} holds no moments", where=where, fix="use ISO 8601")


def _whole(column: Any) -> np.ndarray:
    found: np.ndarray = pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    return found


def _of_numbers(column: Any, where: str, first_row: int) -> np.ndarray:
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    odd = np.flatnonzero(np.isinf(values))
    if len(odd):
        raise _no_moment(values[odd[0]], where, first_row + int(odd[0]))
    scale = np.array(_FACTORS)[np.searchsorted(_LIMITS, np.abs(values), side="right")]
    return np.where(np.isnan(values), 0.0, np.round(values * scale)).astype(np.int64)


def _of_texts(column: Any, where: str, first_row: int) -> np.ndarray:
    # Arrow reads a column at once where all or none have a zone; moment reads any.
    for zone in ("UTC", None):
        try:
            return _whole(column.cast(pa.timestamp("us", zone)))
        except pa.ArrowInvalid:
            continue
    found = np.zeros(len(column), np.int64)
    for row, text in enumerate(column.to_pylist()):
        if text is not None and text.strip():
            try:
                found[row] = moment(text)
            except ConfigError:
                raise _no_moment(text, where, first_row + row) from None
    return found


def _no_moment(value: object, where: str, row: int) -> InputError:
    place = f"{where}, row {row}" if where else f"row {row}"
    return InputError(f"not a moment: {value!r}", where=place, fix="use ISO 8601")
