"""The columns of one batch of events, decoded when they are asked for, and events out of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import numpy as np

from afterfit.core.event import Event
from afterfit.runtime.event_schema import FIELDS, FLAG_BITS, label_of
from afterfit.runtime.formats.arrow_columns import Batch, Buffers, Part, numbers, validity
from afterfit.runtime.formats.arrow_write import Field
from afterfit.runtime.formats.flatbuffers import BrokenError, Table

__all__ = ["EventColumns", "batch_of", "read_texts"]

_OFFSETS = np.dtype("<i4")
_FLOAT = np.dtype("<f8")
_FIELDS = {field.name: field for field in FIELDS}
_FLAGS = {
    bits: tuple(name for name, bit in FLAG_BITS.items() if bits & bit)
    for bits in range(2 * max(FLAG_BITS.values()))
}
_MAKERS: dict[str, Any] = {
    "label": label_of,
    "true_label": label_of,
    "probabilities": tuple,
    "flags": lambda bits: _FLAGS.get(bits, ()),
    "inputs": msgspec.json.Decoder(dict[str, Any]).decode,
}


class Texts(NamedTuple):
    """A column of text: where each one ends in ``data``, and which are set (None: all)."""

    ends: np.ndarray
    data: memoryview
    valid: np.ndarray | None


class EventColumns:
    """The columns of the events of one batch.

    ``columns["ts"]`` is an array of [rows]: int64 µs since 1970 for ``ts``, float64 with NaN where
    null, integers with 0 where null, objects of str and None for text. ``probabilities`` is float64
    of [rows, classes]. ``label`` and ``true_label`` are text, see ``event_schema.label_of``.
    """

    def __init__(
        self, header: Table, body: memoryview, dictionaries: Mapping[int, list[str]]
    ) -> None:
        batch = batch_of(header, body)
        self.rows = batch.length
        self._raw = {field.name: _raw(field, batch) for field in FIELDS}
        batch.end()
        self._dictionaries = dictionaries
        self._known: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        """Return the number of events."""
        return self.rows

    def __getitem__(self, name: str) -> np.ndarray:
        """Return a column; raises KeyError for a name that no event has."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._decoded(name)
        return found

    def valid(self, name: str) -> np.ndarray:
        """Return where a column is set, bool of [rows]."""
        valid = self._raw[name].valid
        return np.ones(self.rows, dtype=bool) if valid is None else valid

    def codes(self, name: str) -> tuple[np.ndarray, list[str]]:
        """Return the codes (-1 where null) and the texts of a column with few distinct ones.

        They are kind, endpoint, model, digest, role and label; raises KeyError for others.
        """
        part = self._raw[name]
        if not isinstance(part, Part) or not _FIELDS[name].codes:
            raise KeyError(name)
        codes = part.values if part.valid is None else np.where(part.valid, part.values, -1)
        texts = self._dictionaries.get(_FIELDS[name].dictionary, [])
        if codes.min(initial=0) < -1 or codes.max(initial=-1) >= len(texts):
            raise BrokenError(f"a code of {name} is not in its dictionary")
        return codes, texts

    def events(self) -> Iterator[Event]:
        """Yield the events, in order."""
        names = [name for name in _FIELDS if self.valid(name).any()]
        for values in zip(*(self.values(name) for name in names), strict=True):
            found = zip(names, values, strict=True)
            given = {name: value for name, value in found if value is not None}
            # A label may name an entity in place of a prediction.
            yield Event(**{"event_id": "", **given})

    def values(self, name: str) -> list[Any]:
        """Return a column as the field of Event has it, None where it is not set."""
        make = _MAKERS.get(name)
        values: list[Any] = self[name].tolist()
        if make is not None:
            values = [None if value is None else make(value) for value in values]
        valid = self._raw[name].valid
        if valid is None:
            return values
        return [v if there else None for v, there in zip(values, valid.tolist(), strict=True)]

    def _decoded(self, name: str) -> np.ndarray:
        raw = self._raw[name]
        if isinstance(raw, Texts):
            return _strings(raw)
        if _FIELDS[name].codes:
            codes, texts = self.codes(name)
            decoded: np.ndarray = np.array([*texts, None], dtype=object)[codes]
            return decoded
        if raw.valid is None or raw.values.ndim > 1:
            return raw.values
        empty = np.nan if raw.values.dtype.kind == "f" else 0
        return np.where(raw.valid, raw.values, empty)


def batch_of(header: Table, body: memoryview) -> Batch:
    """Return the nodes and buffers of a record batch."""
    buffers = Buffers(header.numbers(2, 2), body)
    return Batch(header.scalar(0, "q"), header.numbers(1, 2), buffers, header.numbers(4, 1))


def read_texts(batch: Batch) -> list[str]:
    """Return the next column of text, none of which is null."""
    found: list[str] = _strings(_texts(batch)).tolist()
    return found


def _raw(field: Field, batch: Batch) -> Part | Texts:
    if field.kind == "utf8" and not field.codes:
        return _texts(batch)
    if field.kind == "list":
        return _lists(batch)
    kind = field.codes or field.kind
    return numbers(batch, np.dtype("<i8" if kind == "timestamp" else kind))


def _texts(batch: Batch) -> Texts:
    valid = _mask(validity(batch), batch.length)
    size = 4 * batch.length + 4
    ends: np.ndarray = np.frombuffer(batch.buffer(size), _OFFSETS, batch.length + 1)
    data = batch.buffer()
    if ends[0] < 0 or ends[-1] > len(data) or (ends[1:] < ends[:-1]).any():
        raise BrokenError("an offset of a text is outside of its buffer")
    return Texts(ends, data, valid)


def _lists(batch: Batch) -> Part:
    """Return a column of lists of one length as a matrix; a null is a row of NaN."""
    n = batch.length
    valid = _mask(validity(batch), n)
    ends: np.ndarray = np.frombuffer(batch.buffer(4 * n + 4), _OFFSETS, n + 1)
    # The values of the lists are a column of their own, of another length.
    batch.length = int(ends[-1])
    values = numbers(batch, _FLOAT).values
    batch.length = n
    there = np.ones(n, dtype=bool) if valid is None else valid
    sizes, count = np.unique(np.diff(ends)[there]).tolist(), int(there.sum())
    width = sizes[0] if len(sizes) == 1 else 0
    if len(sizes) > 1 or width * count != len(values):
        raise BrokenError("lists of several lengths in one batch")
    matrix = np.full((n, width), np.nan)
    matrix[there] = values.reshape(count, width)
    return Part(matrix, valid)


def _mask(bitmap: memoryview | None, length: int) -> np.ndarray | None:
    if bitmap is None:
        return None
    packed: np.ndarray = np.frombuffer(bitmap, np.uint8)
    return np.unpackbits(packed, count=length, bitorder="little").view(bool)


def _strings(column: Texts) -> np.ndarray:
    """Return an object array of str, None where it is null."""
    ends = column.ends.tolist()
    found = np.full(len(ends) - 1, None, dtype=object)
    places = pairwise(ends)
    data = bytes(column.data)
    if data.isascii():
        whole = data.decode("ascii")
        found[:] = [whole[start:end] for start, end in places]
    else:
        found[:] = [data[start:end].decode("utf-8", "replace") for start, end in places]
    if column.valid is not None:
        found[~column.valid] = None
    return found
