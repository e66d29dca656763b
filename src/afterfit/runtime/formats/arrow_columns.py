"""The buffers of Arrow columns to numpy arrays, with every length checked before it is used.

A column of a batch is a ``Part``: its values, and which are valid. Numbers are views of the body.
Text is decoded for the rows that there are, so a dictionary costs what is used of it.

Source: https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from afterfit.runtime.formats.flatbuffers import BrokenError

__all__ = [
    "BadTextError",
    "Batch",
    "Budget",
    "Buffers",
    "OffsetTexts",
    "Part",
    "Texts",
    "ViewTexts",
    "booleans",
    "numbers",
    "offset_texts",
    "pick",
    "validity",
    "view_texts",
]

_INLINE = 12


class BadTextError(ValueError):
    """A value that is not UTF-8; ``at`` is its number."""

    def __init__(self, at: int) -> None:
        super().__init__(f"value {at} is not UTF-8")
        self.at = at


class Part(NamedTuple):
    """A column of one batch; ``valid`` None means that all values are."""

    values: np.ndarray
    valid: np.ndarray | None


class Budget:
    """How many bytes of text may still be decoded for one request.

    Views may share their bytes, so that a small body could stand for endless text.
    """

    def __init__(self, size: int) -> None:
        self.left = size

    def spend(self, size: int) -> None:
        """Take note of some bytes; raises BrokenError where there are too many."""
        self.left -= size
        if self.left < 0:
            raise BrokenError("the texts share bytes, and are together longer than a body may be")


class Buffers:
    """The buffers of one message: offset and length each, checked when one is asked for."""

    def __init__(self, places: np.ndarray, body: memoryview) -> None:
        self._places = places
        self._body = body

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> memoryview:
        offset, length = self._places[index].tolist()
        if offset < 0 or length < 0 or offset + length > len(self._body):
            raise BrokenError(f"a buffer of {length} bytes at {offset} is outside of the message")
        return self._body[offset : offset + length]

    def part(self, start: int, count: int) -> Buffers:
        """Return some of the buffers."""
        return Buffers(self._places[start : start + count], self._body)


class Batch:
    """The nodes and buffers of one record batch, taken one after the other."""

    def __init__(
        self, length: int, nodes: np.ndarray, buffers: Buffers, variadic: np.ndarray
    ) -> None:
        self.length = length
        self._nodes = nodes
        self._buffers = buffers
        self._variadic = variadic
        self._node = self._buffer = self._view = 0

    def node(self) -> int:
        """Return how many nulls the next column has; raises BrokenError for another length."""
        if self._node >= len(self._nodes) or self._nodes[self._node, 0] != self.length:
            raise BrokenError("the lengths of columns differ")
        self._node += 1
        return int(self._nodes[self._node - 1, 1])

    def buffer(self, size: int = 0) -> memoryview:
        """Return the next buffer; raises BrokenError for less than ``size`` bytes."""
        if self._buffer >= len(self._buffers):
            raise BrokenError("a column without its buffers")
        found = self._buffers[self._buffer]
        self._buffer += 1
        if len(found) < size:
            raise BrokenError(f"a buffer of {len(found)} bytes where {size} are needed")
        return found

    def data_buffers(self) -> Buffers:
        """Return the data buffers of a column of views."""
        if self._view >= len(self._variadic):
            raise BrokenError("a column of views without the number of its buffers")
        count = int(self._variadic[self._view, 0])
        if not 0 <= count <= len(self._buffers) - self._buffer:
            raise BrokenError(f"{count} data buffers")
        found = self._buffers.part(self._buffer, count)
        self._view += 1
        self._buffer += count
        return found

    def end(self) -> None:
        """Raise BrokenError where something is left over."""
        given = (len(self._nodes), len(self._buffers), len(self._variadic))
        if (self._node, self._buffer, self._view) != given:
            raise BrokenError("more buffers than the columns have")


def validity(batch: Batch) -> memoryview | None:
    """Return the next column's bitmap of valid values, or None where all are."""
    nulls = batch.node()
    bitmap = batch.buffer()
    if not len(bitmap):
        if nulls:
            raise BrokenError(f"{nulls} nulls without a validity bitmap")
        return None
    if len(bitmap) < _bytes(batch.length):
        raise BrokenError("a validity bitmap that is too short")
    if _zeros(bitmap, batch.length) != nulls:
        raise BrokenError("a validity bitmap that does not have as many nulls as are told")
    return bitmap if nulls else None


def numbers(batch: Batch, dtype: np.dtype[np.generic]) -> Part:
    """Return a column of numbers: a view of the body where that is aligned."""
    valid = _mask(validity(batch), batch.length)
    data = batch.buffer(batch.length * dtype.itemsize)
    values: np.ndarray = np.frombuffer(data, dtype, batch.length)
    # A writer pads its buffers; where one did not, what computes with the values may rely on it.
    return Part(values if values.flags.aligned else values.copy(), valid)


def booleans(batch: Batch) -> Part:
    """Return a column of booleans."""
    valid = _mask(validity(batch), batch.length)
    bits = _bits(batch.buffer(_bytes(batch.length)), batch.length)
    return Part(bits, valid)


class Texts(Protocol):
    """Text that is decoded when it is asked for."""

    length: int
    bitmap: memoryview | None

    def decode(self, rows: list[int], budget: Budget) -> list[str]:
        """Return the texts of some valid values; raises BrokenError or BadTextError."""
        ...


class OffsetTexts:
    """Strings, or large ones: a buffer of offsets and a buffer of UTF-8."""

    def __init__(
        self, length: int, bitmap: memoryview | None, offsets: np.ndarray, data: memoryview
    ) -> None:
        self.length = length
        self.bitmap = bitmap
        self._offsets = offsets
        self._data = data

    def decode(self, rows: list[int], budget: Budget) -> list[str]:
        """Return the texts of some valid values."""
        at = np.asarray(rows, dtype=np.int64)
        starts = self._offsets[at].astype(np.int64)
        ends = self._offsets[at + 1].astype(np.int64)
        if len(at) and (starts.min() < 0 or (starts > ends).any() or ends.max() > len(self._data)):
            raise BrokenError("an offset of a text is outside of its buffer")
        budget.spend(int((ends - starts).sum()))
        data = self._data
        places = zip(rows, starts.tolist(), ends.tolist(), strict=True)
        return [_utf8(data[start:end], row) for row, start, end in places]


class ViewTexts:
    """String views: 16 bytes each, that hold a short text or say where a long one is."""

    def __init__(
        self, length: int, bitmap: memoryview | None, views: memoryview, data: Buffers
    ) -> None:
        self.length = length
        self.bitmap = bitmap
        self._views = views
        self._data = data

    def decode(self, rows: list[int], budget: Budget) -> list[str]:
        """Return the texts of some valid values; equal views are decoded once."""
        known: dict[bytes, str] = {}
        found = []
        for row in rows:
            view = bytes(self._views[16 * row : 16 * row + 16])
            text = known.get(view)
            if text is None:
                text = known[view] = _utf8(self._bytes(view, budget), row)
            found.append(text)
        return found

    def _bytes(self, view: bytes, budget: Budget) -> memoryview | bytes:
        length = int.from_bytes(view[:4], "little", signed=True)
        if 0 <= length <= _INLINE:
            if any(view[4 + length :]):
                raise BrokenError("a view of a short text with something after it")
            return view[4 : 4 + length]
        buffer = int.from_bytes(view[8:12], "little", signed=True)
        offset = int.from_bytes(view[12:], "little", signed=True)
        if length < 0 or not 0 <= buffer < len(self._data) or offset < 0:
            raise BrokenError("a view of a text that is nowhere")
        data = self._data[buffer]
        if offset + length > len(data):
            raise BrokenError("a view of a text is outside of its buffer")
        if data[offset : offset + 4] != view[4:8]:
            raise BrokenError("a view of a text that begins with something else")
        budget.spend(length)
        return data[offset : offset + length]


def offset_texts(batch: Batch, dtype: np.dtype[np.generic]) -> OffsetTexts:
    """Return a column of strings; ``dtype`` is that of its offsets."""
    bitmap = validity(batch)
    # Without values there may be no offsets at all.
    size = (batch.length + 1) * dtype.itemsize if batch.length else 0
    offsets = batch.buffer(size)
    array = np.frombuffer(offsets[:size], dtype)
    return OffsetTexts(batch.length, bitmap, array, batch.buffer())


def view_texts(batch: Batch) -> ViewTexts:
    """Return a column of string views."""
    bitmap = validity(batch)
    views = batch.buffer(16 * batch.length)
    return ViewTexts(batch.length, bitmap, views, batch.data_buffers())


def pick(texts: Texts, rows: np.ndarray, budget: Budget) -> np.ndarray:
    """Return some values of a column of text as an object array, None where they are missing."""
    found = np.full(len(rows), None, dtype=object)
    valid = np.ones(len(rows), dtype=bool)
    if texts.bitmap is not None:
        bitmap: np.ndarray = np.frombuffer(texts.bitmap, np.uint8)
        valid = (bitmap[rows >> 3] >> (rows & 7)) & 1 == 1
    found[valid] = texts.decode(rows[valid].tolist(), budget)
    return found


def _mask(bitmap: memoryview | None, length: int) -> np.ndarray | None:
    return None if bitmap is None else _bits(bitmap, length)


def _bits(data: memoryview, length: int) -> np.ndarray:
    packed: np.ndarray = np.frombuffer(data, np.uint8, _bytes(length))
    return np.unpackbits(packed, count=length, bitorder="little").view(bool)


def _zeros(bitmap: memoryview, length: int) -> int:
    """Return how many of the first bits are not set."""
    packed: np.ndarray = np.frombuffer(bitmap, np.uint8, _bytes(length))
    ones = int(np.bitwise_count(packed).sum())
    if length % 8:
        ones -= (int(packed[-1]) >> length % 8).bit_count()
    return length - ones


def _bytes(bits: int) -> int:
    return (bits + 7) // 8


def _utf8(data: memoryview | bytes, at: int) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise BadTextError(at) from None
