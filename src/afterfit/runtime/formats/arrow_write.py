"""Columns to messages of an Arrow IPC stream, without pyarrow.

``write_stream`` makes a whole stream of one batch. Whoever writes batch after batch makes the
messages one by one: a schema, then for each batch its dictionaries and its records.

Source: https://arrow.apache.org/docs/format/Columnar.html, format/Message.fbs and Schema.fbs
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from afterfit.runtime.formats.flatbuffers import Fields, Scalar, Structs, build

__all__ = [
    "CHECKSUM",
    "END",
    "Field",
    "Written",
    "absent",
    "array_column",
    "dictionary_message",
    "lists_column",
    "records_message",
    "schema_message",
    "text_column",
    "write_stream",
]

CHECKSUM = "crc32"
"""The key of a batch's checksum in its message; the value is eight hexadecimal digits."""
NO_CHECKSUM = b"00000000"
"""What stands in the place of the checksum while it is computed."""

_V5 = 4
_SCHEMA, _DICTIONARY, _RECORDS = 1, 2, 3
_MARK = b"\xff\xff\xff\xff"
END = _MARK + bytes(4)
"""The mark at the end of a stream."""
_NULLABLE = Scalar("B", 1)
_INT, _FLOAT, _UTF8, _BOOL, _TIMESTAMP, _LIST = 2, 3, 5, 6, 10, 12
# The number in the union Type of Schema.fbs, and the table that describes the type.
_TYPES: dict[str, tuple[int, Fields]] = {
    "float64": (_FLOAT, {0: Scalar("h", 2)}),
    **{f"int{n}": (_INT, {0: Scalar("i", n), 1: Scalar("B", 1)}) for n in (8, 16, 32, 64)},
    "bool": (_BOOL, {}),
    "utf8": (_UTF8, {}),
    "timestamp": (_TIMESTAMP, {0: Scalar("h", 2), 1: "UTC"}),
    "list": (_LIST, {}),
}


class Field(NamedTuple):
    """A column of a schema.

    ``kind`` is float64, int8 to int64, bool, utf8, timestamp (µs, UTC) or list (of float64).
    ``codes`` is the integer type of a dictionary's codes, where the column has a dictionary, whose
    number is ``dictionary``. ``metadata`` is text by key.
    """

    name: str
    kind: str
    codes: str = ""
    dictionary: int = 0
    metadata: Mapping[str, str] = {}


class Written(NamedTuple):
    """A column of a batch: its buffers as the format has them, the first that of validity."""

    kind: str
    length: int
    buffers: Sequence[bytes]
    nulls: int = 0
    child: Written | None = None


def write_stream(columns: Mapping[str, Sequence[str] | np.ndarray]) -> bytes:
    """Return a stream of columns of equal length.

    A column is a list of str, or an array of float64, int64 or bool; none has missing values.
    """
    written = {
        name: array_column(values) if isinstance(values, np.ndarray) else text_column(values)
        for name, values in columns.items()
    }
    schema = _plain_schema(tuple((name, column.kind) for name, column in written.items()))
    return schema + records_message(list(written.values())) + END


def array_column(values: np.ndarray, valid: np.ndarray | None = None) -> Written:
    """Return a column of numbers or booleans; ``valid`` (bool of [n]) None means that all are."""
    bitmap, nulls = _validity(valid)
    if values.dtype == bool:
        bits = np.packbits(values, bitorder="little").tobytes()
        return Written("bool", len(values), (bitmap, bits), nulls)
    return Written(values.dtype.name, len(values), (bitmap, values.tobytes()), nulls)


def text_column(values: Sequence[str], valid: np.ndarray | None = None) -> Written:
    """Return a column of text; a null's place holds the empty text."""
    whole = "".join(values)
    data = whole.encode("utf-8", "replace")
    if len(data) == len(whole):
        sizes: Iterable[int] = map(len, values)
    else:
        sizes = (len(text.encode("utf-8", "replace")) for text in values)
    ends = np.fromiter(accumulate(sizes, initial=0), "<i4", len(values) + 1)
    bitmap, nulls = _validity(valid)
    return Written("utf8", len(values), (bitmap, ends.tobytes(), data), nulls)


def lists_column(values: np.ndarray) -> Written:
    """Return a column of lists of float64, all of one length: the rows of [n, length]."""
    n, width = values.shape
    ends = np.arange(0, n * width + 1, width or 1, dtype="<i4") if width else np.zeros(n + 1, "<i4")
    flat = np.ascontiguousarray(values, dtype="<f8")
    child = Written("float64", n * width, (b"", flat.tobytes()))
    return Written("list", n, (b"", ends.tobytes()), 0, child)


def absent(kind: str, length: int) -> Written:
    """Return a column of nulls."""
    bitmap = bytes((length + 7) // 8)
    if kind == "utf8":
        return Written(kind, length, (bitmap, bytes(4 * length + 4), b""), length)
    if kind == "list":
        child = Written("float64", 0, (b"", b""))
        return Written(kind, length, (bitmap, bytes(4 * length + 4)), length, child)
    size = 8 if kind == "timestamp" else np.dtype(kind).itemsize
    return Written(kind, length, (bitmap, bytes(size * length)), length)


def schema_message(fields: Sequence[Field], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the message that a stream begins with."""
    content: Fields = {1: [_field(field) for field in fields]}
    if metadata:
        content[2] = _pairs(metadata)
    return _message(_SCHEMA, content, b"")


def dictionary_message(number: int, texts: Sequence[str]) -> bytes:
    """Return the message of the texts that the codes of a column stand for from here on."""
    header, body = _records([text_column(texts)])
    return _message(_DICTIONARY, {0: Scalar("q", number), 1: header}, body)


def records_message(columns: Sequence[Written], *, checksum: int | None = None) -> bytes:
    """Return the message of one batch.

    With ``checksum``, the CRC-32 of what the batch rests on (its dictionaries), the message holds
    the CRC-32 of that and of itself, taken with ``NO_CHECKSUM`` in the place of the value.
    """
    header, body = _records(columns)
    if checksum is None:
        return _message(_RECORDS, header, body)
    head = _head(_RECORDS, header, len(body), {CHECKSUM: NO_CHECKSUM.decode()})
    found = zlib.crc32(body, zlib.crc32(head, checksum))
    return head.replace(NO_CHECKSUM, f"{found:08x}".encode(), 1) + body


@lru_cache(maxsize=64)
def _plain_schema(types: tuple[tuple[str, str], ...]) -> bytes:
    return schema_message([Field(name, kind) for name, kind in types])


def _field(field: Field) -> Fields:
    number, details = _TYPES[field.kind]
    children = [_field(Field("item", "float64"))] if field.kind == "list" else []
    found: Fields = {
        0: field.name,
        1: _NULLABLE,
        2: Scalar("B", number),
        3: details,
        5: children,
    }
    if field.codes:
        found[4] = {0: Scalar("q", field.dictionary), 1: _TYPES[field.codes][1]}
    if field.metadata:
        found[6] = _pairs(field.metadata)
    return found


def _pairs(metadata: Mapping[str, str]) -> list[Fields]:
    return [{0: key, 1: value} for key, value in metadata.items()]


def _validity(valid: np.ndarray | None) -> tuple[bytes, int]:
    """Return the bitmap, empty where all values are valid, and the number of nulls."""
    if valid is None:
        return b"", 0
    nulls = len(valid) - int(np.count_nonzero(valid))
    return (np.packbits(valid, bitorder="little").tobytes() if nulls else b""), nulls


def _records(columns: Sequence[Written]) -> tuple[Fields, bytes]:
    """Return the description of a batch, and its body."""
    nodes: list[int] = []
    places: list[int] = []
    parts: list[bytes] = []
    at = 0
    for column in _with_children(columns):
        nodes += (column.length, column.nulls)
        for buffer in column.buffers:
            size = len(buffer)
            places += (at, size)
            if size:
                gap = -size % 8
                parts += (buffer, bytes(gap))
                at += size + gap
    length = Scalar("q", columns[0].length)
    return {0: length, 1: Structs(2, nodes), 2: Structs(2, places)}, b"".join(parts)


def _with_children(columns: Sequence[Written]) -> Iterable[Written]:
    for column in columns:
        yield column
        if column.child is not None:
            yield column.child


def _message(kind: int, header: Fields, body: bytes) -> bytes:
    return _head(kind, header, len(body)) + body


def _head(
    kind: int, header: Fields, body_bytes: int, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Return a message without its body."""
    content: dict[int, Any] = {
        0: Scalar("h", _V5),
        1: Scalar("B", kind),
        2: header,
        3: Scalar("q", body_bytes),
    }
    if metadata:
        content[4] = _pairs(metadata)
    described = build(content)
    return b"".join([_MARK, len(described).to_bytes(4, "little"), described])
