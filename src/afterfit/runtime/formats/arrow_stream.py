"""Arrow IPC streams in and out, without pyarrow: ``application/vnd.apache.arrow.stream``.

Taken are integers, floats, booleans, nulls and text (``utf8``, ``large_utf8``, ``utf8_view``, and
dictionaries of these), uncompressed, little-endian, with the mark at the end. A null is a missing
value, and so is a NaN where the column is nullable, as in a file for ``afterfit predict``. A
number column without gaps that came in one batch is a view of the body: nothing is copied.

Why there is a reader of our own: docs/decisions, "Arrow streams".
Source: https://arrow.apache.org/docs/format/Columnar.html, format/Message.fbs and Schema.fbs
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from afterfit.runtime.answers import Answer
from afterfit.runtime.decode import Decoder, MalformedError, Rows
from afterfit.runtime.formats.arrow_columns import (
    BadTextError,
    Batch,
    Budget,
    Buffers,
    Part,
    Texts,
    booleans,
    numbers,
    offset_texts,
    pick,
    view_texts,
)
from afterfit.runtime.formats.arrow_frame import frame_of_parts
from afterfit.runtime.formats.arrow_schema import CONTENT_TYPE, Field, read_schema
from afterfit.runtime.formats.arrow_write import write_stream
from afterfit.runtime.formats.flatbuffers import BrokenError, Table, root
from afterfit.runtime.formats.scores import score_columns
from afterfit.runtime.formats.tables import too_many, wrong
from afterfit.runtime.messages import Response

__all__ = ["CONTENT_TYPE", "decode", "encode"]

_SCHEMA, _DICTIONARY, _RECORDS = 1, 2, 3
_VERSIONS = (3, 4)  # V4 and V5
_MAX_PARTS = 16_384
_MARK = b"\xff\xff\xff\xff"
_FIX = "write an uncompressed stream, for example pyarrow.ipc.new_stream(sink, table.schema)"


class _Message(NamedTuple):
    kind: int
    header: Table
    body: memoryview


def decode(body: bytes, decoder: Decoder) -> Rows:
    """Return the rows; raises MalformedError, FieldError or TooLargeError."""
    try:
        messages = _messages(memoryview(body))
        fields = read_schema(_schema(messages), decoder)
        return Rows(_Reader(fields, decoder).read(messages))
    except BrokenError as error:
        raise MalformedError(
            "the body is not an Arrow IPC stream", why=str(error), fix=_FIX
        ) from None


def encode(answer: Answer) -> Response:
    """Return ``id`` and the columns that ``afterfit predict`` writes, in one batch."""
    return Response(200, write_stream(score_columns(answer)), CONTENT_TYPE)


def _schema(messages: Iterator[_Message]) -> Table:
    first = next(messages, None)
    if first is None or first.kind != _SCHEMA:
        raise BrokenError("the stream does not begin with a schema")
    return first.header


class _Dictionary:
    """The texts that codes stand for; only those that occur are decoded, and once."""

    def __init__(self, texts: Texts, budget: Budget) -> None:
        self._texts = texts
        self._budget = budget
        self._known: dict[int, str | None] = {}

    def look_up(self, codes: np.ndarray) -> np.ndarray:
        """Return the text of each code, an object array; raises BrokenError or BadTextError."""
        used, places = np.unique(codes, return_inverse=True)
        if used[0] < 0 or used[-1] >= self._texts.length:
            raise BrokenError("a code is not in its dictionary")
        new = [code for code in used.tolist() if code not in self._known]
        picked = pick(self._texts, np.array(new, dtype=np.int64), self._budget)
        self._known.update(zip(new, picked.tolist(), strict=True))
        found = np.empty(len(used), dtype=object)
        found[:] = [self._known[code] for code in used.tolist()]
        return found[places]


class _Reader:
    """Gathers the parts of each column, batch by batch."""

    def __init__(self, fields: list[Field], decoder: Decoder) -> None:
        self.fields = fields
        self.decoder = decoder
        self.budget = Budget(decoder.limits.body_bytes)
        self.parts: dict[str, list[Part]] = {field.name: [] for field in fields}
        self.dictionaries: dict[int, _Dictionary] = {}
        self.coded = {field.dictionary: field for field in fields if field.codes is not None}
        self.rows = 0
        self.columns_read = 0

    def read(self, messages: Iterator[_Message]) -> dict[str, np.ndarray]:
        """Return the frame of all batches."""
        for message in messages:
            if message.kind == _RECORDS:
                self._add_rows(message)
            elif message.kind == _DICTIONARY:
                self._add_dictionary(message)
            else:
                raise BrokenError(f"a message of kind {message.kind} among the batches")
        if not self.rows:
            raise wrong("$", "expected at least one row")
        return frame_of_parts(self.parts, self.decoder)

    def _add_rows(self, message: _Message) -> None:
        self._count(len(self.fields))
        batch = _batch(message.header, message.body)
        if self.rows + batch.length > self.decoder.limits.rows:
            raise too_many(f"{self.rows + batch.length} rows", self.decoder)
        for field in self.fields:
            try:
                part = self._part(field, batch)
            except BadTextError as error:
                where = f"[{self.rows + error.at}]" if field.codes is None else ""
                raise wrong(f"$.{field.name}{where}", "text that is not UTF-8") from None
            self.parts[field.name].append(part)
        batch.end()
        self.rows += batch.length

    def _add_dictionary(self, message: _Message) -> None:
        self._count(1)
        number = message.header.scalar(0, "q")
        field = self.coded.get(number)
        content = message.header.table(1)
        if field is None or content is None:
            raise BrokenError(f"a dictionary {number} that no column has")
        if message.header.scalar(2, "B"):
            raise wrong(f"$.{field.name}", "a delta of a dictionary; write whole dictionaries")
        batch = _batch(content, message.body)
        self.dictionaries[number] = _Dictionary(_texts(field.kind, batch), self.budget)
        batch.end()

    def _count(self, columns: int) -> None:
        """Raise FieldError for a stream of very many tiny batches: each costs time."""
        self.columns_read += columns
        if self.columns_read > max(_MAX_PARTS, 2 * len(self.fields)):
            raise wrong("$", "very many small batches; write larger ones")

    def _part(self, field: Field, batch: Batch) -> Part:
        if field.codes is not None:
            return self._look_up(field, numbers(batch, field.codes))
        if field.kind == "null":
            batch.node()
            return Part(np.zeros(batch.length), np.zeros(batch.length, dtype=bool))
        if field.kind == "bool":
            return booleans(batch)
        if field.dtype is not None:
            return numbers(batch, field.dtype)
        return Part(pick(_texts(field.kind, batch), np.arange(batch.length), self.budget), None)

    def _look_up(self, field: Field, codes: Part) -> Part:
        valid = np.ones(len(codes.values), dtype=bool) if codes.valid is None else codes.valid
        found = np.full(len(valid), None, dtype=object)
        if valid.any():
            dictionary = self.dictionaries.get(field.dictionary)
            if dictionary is None:
                raise BrokenError(
                    f"the dictionary of {field.name!r} does not come before its codes"
                )
            found[valid] = dictionary.look_up(codes.values[valid])
        return Part(found, None)


def _texts(kind: str, batch: Batch) -> Texts:
    if kind == "utf8_view":
        return view_texts(batch)
    return offset_texts(batch, np.dtype("<i4" if kind == "utf8" else "<i8"))


def _batch(header: Table, body: memoryview) -> Batch:
    length = header.scalar(0, "q")
    if length < 0:
        raise BrokenError(f"a batch of {length} rows")
    if header.has(3):
        raise wrong("$", "compressed batches are not read; write the stream without compression")
    buffers = Buffers(header.numbers(2, 2), body)
    return Batch(length, header.numbers(1, 2), buffers, header.numbers(4, 1))


def _messages(stream: memoryview) -> Iterator[_Message]:
    """Yield the messages up to the mark at the end; raises BrokenError where it is missing."""
    at = 0
    while True:
        size = _message_size(stream, at)
        at += 8
        if not size:
            break
        message = root(stream[at : at + size])
        at += size
        length = message.scalar(3, "q")
        header = message.table(2)
        if header is None or message.scalar(0, "h") not in _VERSIONS:
            raise BrokenError("a message without content, or of another version of the format")
        if not 0 <= length <= len(stream) - at:
            raise BrokenError(f"the stream ends within a message of {length} bytes")
        yield _Message(message.scalar(1, "B"), header, stream[at : at + length])
        at += length
    if at != len(stream):
        raise BrokenError(f"{len(stream) - at} bytes after the end of the stream")


def _message_size(stream: memoryview, at: int) -> int:
    head: Any = bytes(stream[at : at + 8])
    if head[:6] == b"ARROW1":
        raise BrokenError("this is Arrow's file format, not its stream")
    if len(head) < 8:
        raise BrokenError("the stream ends without its mark; close the writer")
    if head[:4] != _MARK:
        raise BrokenError(f"no message begins at byte {at}")
    size = int.from_bytes(head[4:], "little", signed=True)
    if not 0 <= size <= len(stream) - at - 8:
        raise BrokenError(f"the stream ends within the description of a message, {size} bytes")
    return size
