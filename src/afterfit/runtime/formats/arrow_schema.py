"""Arrow schemas against the signature: which columns come, of which types."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from afterfit.core.signature import Column
from afterfit.runtime.columns import MAX_PROBLEMS, FieldError, Problem
from afterfit.runtime.decode import Decoder
from afterfit.runtime.formats.flatbuffers import BrokenError, Table
from afterfit.runtime.formats.tables import clip, name_problems, wrong

__all__ = ["CONTENT_TYPE", "Field", "read_schema"]

CONTENT_TYPE = "application/vnd.apache.arrow.stream"

# The union Type of Schema.fbs.
_KINDS = (
    "none",
    "null",
    "int",
    "float",
    "binary",
    "utf8",
    "bool",
    "decimal",
    "date",
    "time",
    "timestamp",
    "interval",
    "list",
    "struct",
    "union",
    "fixed_size_binary",
    "fixed_size_list",
    "map",
    "duration",
    "large_binary",
    "large_utf8",
    "large_list",
    "run_end_encoded",
    "binary_view",
    "utf8_view",
    "list_view",
    "large_list_view",
)
_TEXTS = frozenset({"utf8", "large_utf8", "utf8_view"})
_FLOATS = {0: "<f2", 1: "<f4", 2: "<f8"}
_BITS = frozenset({8, 16, 32, 64})
_ACCEPTED = {
    "number": frozenset({"int", "float"}),
    "integer": frozenset({"int", "float"}),
    "boolean": frozenset({"bool"}),
    "category": _TEXTS,
    "text": _TEXTS,
}
_WORDS = {
    "number": "a float or integer type",
    "integer": "an integer or float type",
    "boolean": "bool",
    "category": "a string type, or a dictionary of one",
    "text": "a string type, or a dictionary of one",
}


class Field(NamedTuple):
    """A column of a stream.

    ``dtype`` is that of numbers; ``codes`` that of the codes of a dictionary, else None.
    """

    name: str
    kind: str
    dtype: np.dtype[np.generic] | None
    codes: np.dtype[np.generic] | None = None
    dictionary: int = 0


def read_schema(schema: Table, decoder: Decoder) -> list[Field]:
    """Return the columns in the stream's order; raises FieldError for those that do not fit."""
    if schema.scalar(0, "h") != 0:
        raise wrong("$", "a big-endian stream; write it little-endian")
    most = len(decoder.names) + MAX_PROBLEMS
    if schema.length(1) > most:
        raise wrong("$", f"{schema.length(1)} columns; the model takes {len(decoder.names)}")
    tables = list(schema.tables(1))
    names = [table.text(0) for table in tables]
    problems = name_problems(Counter(names), decoder, "$")
    if problems:
        raise FieldError(problems)
    found = []
    for name, table in zip(names, tables, strict=True):
        field = _field(name, table)
        column = decoder.signature.column(name)
        if not _fits(field, column):
            expected = _WORDS[column.kind]
            message = f"the type {_name(field)}; expected {expected}"
            problems.append(Problem(f"$.{clip(name)}", message))
        found.append(field)
    if problems:
        raise FieldError(problems)
    return found


def _fits(field: Field, column: Column) -> bool:
    if field.codes is not None:
        return field.kind in _TEXTS and field.kind in _ACCEPTED[column.kind]
    if field.kind == "null":
        return column.nullable
    if field.kind in {"int", "float"} and field.dtype is None:
        return False
    return field.kind in _ACCEPTED[column.kind]


def _field(name: str, table: Table) -> Field:
    number = table.scalar(2, "B")
    kind = _KINDS[number] if number < len(_KINDS) else f"type {number}"
    details = table.table(3)
    if details is None:
        raise BrokenError(f"the column {clip(name)!r} has no type")
    dtype = _dtype(kind, details)
    encoding = table.table(4)
    if encoding is None:
        return Field(name, kind, dtype)
    details = encoding.table(1)
    codes = np.dtype("<i4") if details is None else _dtype("int", details)
    if codes is None:
        raise BrokenError(f"the codes of {clip(name)!r} have no type")
    return Field(name, kind, dtype, codes, encoding.scalar(0, "q"))


def _dtype(kind: str, details: Table) -> np.dtype[np.generic] | None:
    if kind == "int":
        bits = details.scalar(0, "i")
        sign = "i" if details.scalar(1, "B") else "u"
        return np.dtype(f"<{sign}{bits // 8}") if bits in _BITS else None
    if kind == "float":
        code = _FLOATS.get(details.scalar(0, "h"))
        return np.dtype(code) if code else None
    return None


def _name(field: Field) -> str:
    name = field.kind if field.dtype is None else field.dtype.name
    return f"dictionary of {name}" if field.codes is not None else name
