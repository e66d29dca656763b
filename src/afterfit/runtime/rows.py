"""Rows by signature at the speed of C: what fits is taken, the rest is left to ``decode``.

A msgspec struct is made for the signature, one field a column, so a JSON body that fits is parsed
and checked in one pass without a Python object for each name. A body that does not fit gives None
here; ``Decoder`` reads it again and names each field that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from afterfit.core.frame import Frame, MatrixFrame
from afterfit.core.signature import Column, Signature
from afterfit.runtime.columns import column_array
from afterfit.runtime.decode import MAX_ENTITY, Limits

__all__ = ["Parsed", "RowReader"]

Row = Sequence[Any]
_TYPES: dict[str, Any] = {
    "number": float,
    "integer": int,
    "boolean": bool,
    "category": str,
    "text": str,
}
EXACT = float(1 << 53)
"""Beyond it a float64 does not hold every integer."""


class Parsed(NamedTuple):
    """The rows of one request, as rows of plain values or as a frame that was checked.

    ``strict`` reads the request again, slowly: it returns a checked frame or raises FieldError.
    """

    size: int
    rows: Sequence[Row] | None = None
    frame: Frame | None = None
    entities: list[str] | None = None
    strict: Callable[[], Frame] | None = None


class RowReader:
    """Reads ``{"rows": […]}`` bodies of one signature, and makes frames of plain rows."""

    def __init__(self, signature: Signature, limits: Limits) -> None:
        self.signature = signature
        self.limits = limits
        self.numeric = signature.numeric_only
        self._decoder = _body_decoder(signature.columns)
        kinds = [column.kind for column in signature.columns]
        self._whole = np.array([kind == "integer" for kind in kinds], dtype=bool)
        self._yes_no = np.array([kind == "boolean" for kind in kinds], dtype=bool)
        self._kinds = {column.name: column.kind for column in signature.columns}
        self._names = signature.names
        self._width = len(kinds)
        self._any_whole, self._any_yes_no = bool(self._whole.any()), bool(self._yes_no.any())

    def read(self, body: bytes) -> tuple[list[Row], list[str] | None] | None:
        """Return the rows and entities of a JSON body that fits the signature, else None."""
        # A shorter body cannot hold a string beyond the limit.
        if self._decoder is None or len(body) > self.limits.string_characters:
            return None
        try:
            parsed = self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        rows = parsed.rows
        if not 0 < len(rows) <= self.limits.rows:
            return None
        if parsed.entities is not None and len(parsed.entities) != len(rows):
            return None
        return [msgspec.structs.astuple(row) for row in rows], parsed.entities

    def frame(self, rows: Sequence[Row]) -> Frame | None:
        """Return the frame of plain rows, or None where a value does not fit."""
        if self.numeric:
            return self._matrix(rows)
        frame: dict[str, np.ndarray] = {}
        limit = self.limits.string_characters
        columns = zip(*rows, strict=True)
        for column, values in zip(self.signature.columns, columns, strict=True):
            array = column_array(column, list(values), limit)
            if array is None:
                return None
            frame[column.name] = array
        return frame

    def matrix_frame(self, matrix: np.ndarray) -> Frame | None:
        """Return the frame of float64 of [n, columns], None where integers or booleans are none."""
        if self._any_whole:
            whole = matrix[:, self._whole]
            known = whole[~np.isnan(whole)]
            if not ((known == np.rint(known)) & (np.abs(known) < EXACT)).all():
                return None
        if self._any_yes_no:
            bits = matrix[:, self._yes_no]
            if not ((bits == 0) | (bits == 1) | np.isnan(bits)).all():
                return None
        return MatrixFrame(self._kinds, matrix, self._names)

    def _matrix(self, rows: Sequence[Row]) -> Frame | None:
        try:
            matrix = np.array(rows, dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            return None
        if matrix.ndim != 2 or matrix.shape[1] != self._width:
            return None
        return self.matrix_frame(matrix)


def _body_decoder(columns: Sequence[Column]) -> Any:
    """Return the decoder of bodies, or None for names that no field of msgspec can have."""
    try:
        return msgspec.json.Decoder(_body_type(columns))
    except ValueError:
        # A name with a quote, a backslash or a control character, which JSON escapes.
        return None


def _body_type(columns: Sequence[Column]) -> Any:
    fields = []
    for index, column in enumerate(columns):
        kind = _TYPES[column.kind]
        kind = kind | None if column.nullable else kind
        fields.append((f"f{index}", kind, msgspec.field(name=column.name)))
    row = msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)
    entities = list[Annotated[str, msgspec.Meta(max_length=MAX_ENTITY)]] | None
    rows = list[row]  # type: ignore[valid-type]  # the struct is made when the program runs
    return msgspec.defstruct(
        "Body", [("rows", rows), ("entities", entities, None)], forbid_unknown_fields=True
    )
