"""Batches of events as bytes of an Arrow stream, and the whole ones among the bytes of a segment.

Every batch names the CRC-32 of itself and of the dictionaries that it needs. A torn tail or a
flipped bit costs the batch that it is in: the reader goes on at the next message that fits.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from afterfit.core.event import Event
from afterfit.runtime.event_columns import EventColumns, batch_of, read_texts
from afterfit.runtime.event_schema import SCHEMA
from afterfit.runtime.formats.arrow_write import CHECKSUM, NO_CHECKSUM
from afterfit.runtime.formats.flatbuffers import BrokenError, Table, root

__all__ = ["EventBatch", "Scan"]

_END, _DICTIONARY, _RECORDS = 0, 2, 3
_MARK = b"\xff\xff\xff\xff"
_MARK_NUMBER = 0xFFFFFFFF


class EventBatch(NamedTuple):
    """Events of one origin as messages of the stream that begins with ``SCHEMA``.

    ``records`` need the ``dictionaries`` before them, unless the same ones are in force already.
    """

    rows: int
    dictionaries: bytes
    records: bytes

    def columns(self) -> EventColumns:
        """Return the columns; raises BrokenError for bytes that are no batch of events."""
        message = _message(memoryview(self.records), 0)
        if message.header is None:
            raise BrokenError("the end of a stream where a batch should be")
        return EventColumns(message.header, message.body, _dictionaries(self.dictionaries))

    def events(self) -> Iterator[Event]:
        """Yield the events."""
        return self.columns().events()


class Scan:
    """Iterates over the whole batches of a segment's bytes.

    ``whole`` is where the last whole batch ends, ``lost`` counts the bytes before that which belong
    to none, and ``torn`` those after it; ``ended`` tells whether the mark of the end was there. All
    of them are right when the iteration is over.
    """

    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data)
        self.whole = self.lost = self.torn = 0
        self.ended = False
        self._dictionaries = b""
        self._run: int | None = None

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield the batches; none for a file of another kind."""
        at = self.whole = len(SCHEMA)
        if self.data[:at] != SCHEMA:
            at, self.whole = len(self.data), 0
        while at < len(self.data) and not self.ended:
            try:
                message = _message(self.data, at)
                batch = self._take(message, at)
            except BrokenError:
                # A length may be what is wrong, so nothing since the last whole batch is believed.
                begun, self._run = at if self._run is None else self._run, None
                at = _next(self.data, begun + 8)
                continue
            at = message.end
            if batch is not None:
                yield batch
        self.torn = 0 if self.ended else len(self.data) - self.whole

    def _take(self, message: _Message, at: int) -> EventBatch | None:
        """Take note of a message, and return the batch that is whole with it."""
        if message.kind == _DICTIONARY:
            self._run = at if self._run is None else self._run
            return None
        start = at if self._run is None else self._run
        if message.kind == _END:
            self.ended = True
            self.lost += start - self.whole
            return None
        given = self._dictionaries if self._run is None else bytes(self.data[start:at])
        batch = _checked(message, given)
        self.lost += start - self.whole
        self.whole, self._dictionaries, self._run = message.end, given, None
        return batch


class _Message(NamedTuple):
    """A message: ``head`` is all before its body, ``end`` where the next one begins.

    The mark at the end of a stream has no ``header``.
    """

    kind: int
    header: Table | None
    head: memoryview
    body: memoryview
    checksum: str
    end: int


def _message(data: memoryview, at: int) -> _Message:
    """Return the message at a position; raises BrokenError."""
    start = at + 8
    if data[at : at + 4] != _MARK or start > len(data):
        raise BrokenError(f"no message begins at byte {at}")
    size = int.from_bytes(data[at + 4 : start], "little", signed=True)
    if not size and start == len(data):
        return _Message(_END, None, data[at:start], data[:0], "", start)
    if not 0 < size <= len(data) - start:
        raise BrokenError(f"a message of {size} bytes is cut off")
    table = root(data[start : start + size])
    kind, length, header = table.scalar(1, "B"), table.scalar(3, "q"), table.table(2)
    body = start + size
    if header is None or not 0 <= length <= len(data) - body:
        raise BrokenError(f"a body of {length} bytes is cut off")
    if kind not in (_DICTIONARY, _RECORDS):
        raise BrokenError(f"a message of kind {kind} among the batches")
    checksum = next((p.text(1) for p in table.tables(4) if p.text(0) == CHECKSUM), "")
    end = body + length
    return _Message(kind, header, data[at:body], data[body:end], checksum, end)


def _checked(message: _Message, dictionaries: bytes) -> EventBatch:
    """Return the batch; raises BrokenError where its checksum differs."""
    told = message.checksum.encode()
    if message.header is None or len(told) != len(NO_CHECKSUM):
        raise BrokenError("a batch without a checksum")
    head = bytes(message.head)
    # The value stands last in the head, and was zeros when the checksum was taken.
    before, _, after = head.rpartition(told)
    found = zlib.crc32(before + NO_CHECKSUM + after, zlib.crc32(dictionaries))
    if told != f"{zlib.crc32(message.body, found):08x}".encode():
        raise BrokenError("a checksum differs")
    return EventBatch(message.header.scalar(0, "q"), dictionaries, head + bytes(message.body))


def _next(data: memoryview, at: int) -> int:
    """Return where the next message may begin, a multiple of 8; the end where there is none."""
    at = min(at + -at % 8, len(data))
    words: np.ndarray = np.frombuffer(data, "<u4", (len(data) - at) // 8 * 2, at)
    places = np.flatnonzero(words[::2] == _MARK_NUMBER)
    return at + 8 * int(places[0]) if len(places) else len(data)


@lru_cache(maxsize=32)
def _dictionaries(data: bytes) -> dict[int, list[str]]:
    """Return the texts of each dictionary by its number."""
    found: dict[int, list[str]] = {}
    view, at = memoryview(data), 0
    while at < len(view):
        message = _message(view, at)
        content = None if message.header is None else message.header.table(1)
        if message.header is None or content is None:
            raise BrokenError("a dictionary without content")
        found[message.header.scalar(0, "q")] = read_texts(batch_of(content, message.body))
        at = message.end
    return found
