"""Columns to an Arrow IPC stream of one batch, without pyarrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from afterfit.runtime.formats.flatbuffers import Fields, Scalar, Structs, build

__all__ = ["write_stream"]

_V5 = 4
_SCHEMA, _RECORDS = 1, 3
_MARK = b"\xff\xff\xff\xff"
_NULLABLE = Scalar("B", 1)
# The number in the union Type of Schema.fbs, and the table that describes the type.
_TYPES: dict[str, tuple[int, Fields]] = {
    "float64": (3, {0: Scalar("h", 2)}),
    "int64": (2, {0: Scalar("i", 64), 1: Scalar("B", 1)}),
    "bool": (6, {}),
    "utf8": (5, {}),
}


class _Written(NamedTuple):
    kind: str
    length: int
    buffers: list[bytes]


def write_stream(columns: Mapping[str, Sequence[str] | np.ndarray]) -> bytes:
    """Return a stream of columns of equal length.

    A column is a list of str, or an array of float64, int64 or bool; none has missing values.
    """
    written = {name: _column(values) for name, values in columns.items()}
    schema = _schema(tuple((name, column.kind) for name, column in written.items()))
    return schema + _batch(list(written.values())) + _MARK + bytes(4)


def _column(values: Sequence[str] | np.ndarray) -> _Written:
    if isinstance(values, np.ndarray):
        if values.dtype == bool:
            bits = np.packbits(values, bitorder="little").tobytes()
            return _Written("bool", len(values), [b"", bits])
        return _Written(values.dtype.name, len(values), [b"", values.tobytes()])
    encoded = [text.encode() for text in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype="<i4")
    return _Written("utf8", len(encoded), [b"", ends.tobytes(), b"".join(encoded)])


@lru_cache(maxsize=64)
def _schema(types: tuple[tuple[str, str], ...]) -> bytes:
    fields = []
    for name, kind in types:
        number, details = _TYPES[kind]
        field: Fields = {0: name, 1: _NULLABLE, 2: Scalar("B", number), 3: details, 5: []}
        fields.append(field)
    return _message(_SCHEMA, {1: fields}, b"")


def _batch(columns: list[_Written]) -> bytes:
    length = columns[0].length
    places: list[int] = []
    body = bytearray()
    for column in columns:
        for buffer in column.buffers:
            places += [len(body), len(buffer)]
            body += buffer + bytes(-len(buffer) % 8)
    nodes = [number for column in columns for number in (column.length, 0)]
    header: Fields = {0: Scalar("q", length), 1: Structs(2, nodes), 2: Structs(2, places)}
    return _message(_RECORDS, header, body)


def _message(kind: int, header: Fields, body: bytes | bytearray) -> bytes:
    content: dict[int, Any] = {
        0: Scalar("h", _V5),
        1: Scalar("B", kind),
        2: header,
        3: Scalar("q", len(body)),
    }
    metadata = build(content)
    return _MARK + len(metadata).to_bytes(4, "little") + metadata + body
