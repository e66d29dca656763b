"""The part of FlatBuffers that Arrow's messages need: a reader that trusts nothing, and a writer.

A table is found through a vtable of 16-bit offsets; strings, vectors and tables that it refers to
stand behind a 32-bit offset. Every position is checked before it is read, and nothing is followed
that was not asked for, so bytes of a stranger can make an error and no more.

Source: https://flatbuffers.dev/internals
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

__all__ = ["BrokenError", "Fields", "Scalar", "Structs", "Table", "build", "root"]

_UBYTE, _SHORT, _USHORT = struct.Struct("<B"), struct.Struct("<h"), struct.Struct("<H")
_INT, _UINT, _LONG = struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<q")
_STRUCTS = {"B": _UBYTE, "h": _SHORT, "i": _INT, "q": _LONG}
_NAME_BYTES = 4096


class BrokenError(ValueError):
    """Bytes that are no FlatBuffer of the expected kind."""


class Table:
    """One table; ``slot`` is the number of a field, from 0 in the order of the schema."""

    __slots__ = ("_at", "_buffer", "_slots", "_vtable")

    def __init__(self, buffer: memoryview, at: int) -> None:
        self._buffer = buffer
        self._at = at
        self._vtable = at - _read(_INT, buffer, at)
        self._slots = (_read(_USHORT, buffer, self._vtable) - 4) // 2

    def scalar(self, slot: int, form: str, default: int = 0) -> int:
        """Return a number: ``form`` B, h, i or q, as ``struct`` has them."""
        at = self._field(slot)
        return _read(_STRUCTS[form], self._buffer, at) if at else default

    def has(self, slot: int) -> bool:
        """Return whether the field is there."""
        return self._field(slot) != 0

    def table(self, slot: int) -> Table | None:
        """Return the table of a field, or None where it is not there."""
        at = self._field(slot)
        return Table(self._buffer, self._follow(at)) if at else None

    def text(self, slot: int) -> str:
        """Return the string of a field, empty where it is not there."""
        at = self._field(slot)
        if not at:
            return ""
        start, length = self._vector(at)
        if length > _NAME_BYTES or start + length > len(self._buffer):
            raise BrokenError(f"a string of {length} bytes")
        try:
            return str(self._buffer[start : start + length], "utf-8")
        except UnicodeDecodeError:
            raise BrokenError("a string that is not UTF-8") from None

    def length(self, slot: int) -> int:
        """Return the length of a vector, 0 where it is not there."""
        at = self._field(slot)
        return self._vector(at)[1] if at else 0

    def tables(self, slot: int) -> Iterator[Table]:
        """Yield the tables of a vector."""
        at = self._field(slot)
        if not at:
            return
        start, length = self._vector(at)
        for index in range(length):
            yield Table(self._buffer, self._follow(start + 4 * index))

    def numbers(self, slot: int, width: int) -> np.ndarray:
        """Return a vector of structs of ``width`` int64 each, as an array of [n, width]."""
        at = self._field(slot)
        if not at:
            return np.empty((0, width), dtype="<i8")
        start, length = self._vector(at)
        if start + 8 * width * length > len(self._buffer):
            raise BrokenError(f"a vector of {length} elements")
        flat: np.ndarray = np.frombuffer(self._buffer, "<i8", width * length, start)
        return flat.reshape(length, width)

    def _field(self, slot: int) -> int:
        if slot >= self._slots:
            return 0
        offset = _read(_USHORT, self._buffer, self._vtable + 4 + 2 * slot)
        return self._at + offset if offset else 0

    def _follow(self, at: int) -> int:
        return at + _read(_UINT, self._buffer, at)

    def _vector(self, at: int) -> tuple[int, int]:
        start = self._follow(at)
        return start + 4, _read(_UINT, self._buffer, start)


def root(buffer: memoryview) -> Table:
    """Return the root table; raises BrokenError, as everything that is asked of a table does."""
    return Table(buffer, _read(_UINT, buffer, 0))


def _read(form: struct.Struct, buffer: memoryview, at: int) -> int:
    # struct counts a negative position from the end.
    if not 0 <= at <= len(buffer) - form.size:
        raise BrokenError(f"a position outside of the message: {at}")
    value: int = form.unpack_from(buffer, at)[0]
    return value


class Scalar(NamedTuple):
    """A number of a table to write; ``form`` as in ``Table.scalar``."""

    form: str
    value: int


class Structs(NamedTuple):
    """A vector of structs of int64 to write: the struct's width, and all numbers."""

    width: int
    numbers: list[int]


# Any, as Python 3.11 has no way to name a type that holds itself: a Value is a Scalar, a string, a
# table, a list of tables or Structs.
Fields = dict[int, Any]
"""A table to write: its fields by slot."""


def build(fields: Fields) -> bytes:
    """Return the FlatBuffer whose root is the table."""
    out = bytearray(4)
    _INT.pack_into(out, 0, _write_table(out, fields))
    _pad(out, 8)
    return bytes(out)


def _write(out: bytearray, value: Fields | list[Fields] | str | Structs) -> int:
    """Append a value that is referred to; return its position."""
    if isinstance(value, dict):
        return _write_table(out, value)
    if isinstance(value, str):
        encoded = value.encode()
        _pad(out, 4)
        start = len(out)
        out += _UINT.pack(len(encoded)) + encoded + b"\0"
        return start
    if isinstance(value, Structs):
        _pad(out, 8, 4)
        start = len(out)
        count = len(value.numbers) // value.width
        out += _UINT.pack(count) + struct.pack(f"<{len(value.numbers)}q", *value.numbers)
        return start
    return _write_tables(out, value)


def _write_tables(out: bytearray, tables: list[Fields]) -> int:
    _pad(out, 4)
    start = len(out)
    out += _UINT.pack(len(tables)) + bytes(4 * len(tables))
    for index, fields in enumerate(tables):
        at = start + 4 + 4 * index
        _UINT.pack_into(out, at, _write_table(out, fields) - at)
    return start


def _write_table(out: bytearray, fields: Fields) -> int:
    places, size = _layout(fields)
    slots = max(fields, default=-1) + 1
    vtable = struct.pack(
        f"<{2 + slots}H", 4 + 2 * slots, size, *(places.get(slot, 0) for slot in range(slots))
    )
    _pad(out, 8, -len(vtable) % 8)
    out += vtable
    start = len(out)
    out += bytes(size)
    _INT.pack_into(out, start, len(vtable))
    for slot, value in fields.items():
        at = start + places[slot]
        if isinstance(value, Scalar):
            _STRUCTS[value.form].pack_into(out, at, value.value)
        else:
            _UINT.pack_into(out, at, _write(out, value) - at)
    return start


def _layout(fields: Fields) -> tuple[dict[int, int], int]:
    """Return where each field stands in the table, the widest first, and the table's size."""
    sizes = {
        slot: _STRUCTS[value.form].size if isinstance(value, Scalar) else 4
        for slot, value in fields.items()
    }
    places, size = {}, 4
    for slot in sorted(sizes, key=lambda slot: -sizes[slot]):
        size += -size % sizes[slot]
        places[slot] = size
        size += sizes[slot]
    return places, size


def _pad(out: bytearray, width: int, beyond: int = 0) -> None:
    """Append zeros until the position is ``beyond`` past a multiple of ``width``."""
    out += bytes((beyond - len(out)) % width)
