"""Events into batches of Arrow columns."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

import msgspec
import numpy as np

from afterfit.core.event import Event
from afterfit.core.signature import Label
from afterfit.runtime.event_batch import EventBatch
from afterfit.runtime.event_schema import CODED, FIELDS, FLAG_BITS, Origin, label_text
from afterfit.runtime.formats.arrow_write import (
    Written,
    absent,
    array_column,
    dictionary_message,
    lists_column,
    records_message,
    text_column,
)

__all__ = [
    "MOST_ROWS",
    "batches_of",
    "encode",
    "flag_bits",
    "json_column",
    "optional_texts",
    "times",
]

MOST_ROWS = 65_536
"""Rows of one batch; the offsets of its texts are 32 bits wide."""

_lines = msgspec.json.Encoder().encode_lines


def encode(
    origin: Origin, rows: int, columns: Mapping[str, Written], labels: Sequence[str] = ()
) -> EventBatch:
    """Return a batch of some columns; the others are null, but for those that ``origin`` sets.

    ``labels`` are the texts that the codes of the column ``label`` stand for.
    """
    dictionaries, checksum = _dictionaries(origin, tuple(labels))
    same = _same(origin, rows)
    found = [
        columns.get(field.name) or same.get(field.name) or absent(field.codes or field.kind, rows)
        for field in FIELDS
    ]
    return EventBatch(rows, dictionaries, records_message(found, checksum=checksum))


def batches_of(events: Iterable[Event]) -> Iterator[EventBatch]:
    """Yield batches of single events; those of one origin that follow each other share one."""
    for (origin, _), group in groupby(events, key=_alike):
        members = list(group)
        for start in range(0, len(members), MOST_ROWS):
            yield _batch(origin, members[start : start + MOST_ROWS])


def times(values: np.ndarray) -> Written:
    """Return a column of timestamps from int64 µs since 1970."""
    return array_column(values.astype("<i8"))._replace(kind="timestamp")


def flag_bits(masks: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """Return the column of flags, int16 of [rows], of bool masks by the name of the flag."""
    bits = np.zeros(rows, dtype="<i2")
    for name, mask in masks.items():
        bits[mask] |= FLAG_BITS[name]
    return bits


def optional_texts(values: Sequence[str]) -> Written:
    """Return a column of text in which the empty text is null."""
    return text_column(values, np.array([value != "" for value in values], dtype=bool))


def json_column(values: Sequence[Any]) -> Written:
    """Return a column of JSON texts; NaN in a value becomes null."""
    return text_column(_lines(values).decode().split("\n")[: len(values)])


@lru_cache(maxsize=64)
def _dictionaries(origin: Origin, labels: tuple[str, ...]) -> tuple[bytes, int]:
    """Return the messages before a batch, and their CRC-32."""
    texts = {name: [text] if (text := getattr(origin, name)) else [] for name in _CONSTANTS}
    texts["label"] = list(labels)
    data = b"".join(dictionary_message(CODED[name], texts[name]) for name in CODED)
    return data, zlib.crc32(data)


_CONSTANTS = tuple(name for name in CODED if name != "label")


def _same(origin: Origin, rows: int) -> dict[str, Written]:
    """Return the columns of what the rows have alike, where it is set."""
    zeros = Written("int8", rows, (b"", bytes(rows)))
    found = {name: zeros for name in _CONSTANTS if getattr(origin, name)}
    if origin.version:
        found["version"] = array_column(np.full(rows, origin.version, dtype="<i4"))
    return found


def _alike(event: Event) -> tuple[Origin, int]:
    origin = Origin(
        event.kind, event.endpoint, event.model, event.version, event.digest, event.role
    )
    return origin, len(event.probabilities)


def _batch(origin: Origin, events: Sequence[Event]) -> EventBatch:
    """Return the batch of events of one origin and one number of probabilities."""
    served = origin.kind == "served"
    columns = {name: _texts([getattr(e, name) or None for e in events]) for name in _TEXTS}
    columns["ts"] = times(np.array([event.ts for event in events]))
    for name in ("value", "true_value"):
        columns[name] = _numbers([getattr(event, name) for event in events], "<f8")
    for name, dtype in _COUNTS.items() if served else ():
        columns[name] = _numbers([getattr(event, name) for event in events], dtype)
    bits = [sum(FLAG_BITS[flag] for flag in event.flags) for event in events]
    columns["flags"] = _numbers([b if b or served else None for b in bits], "<i2")
    columns["true_label"] = _texts([_word(event.true_label) for event in events])
    words = [_word(event.label) for event in events]
    labels = list(dict.fromkeys(word for word in words if word is not None))
    codes = {word: code for code, word in enumerate(labels)}
    columns["label"] = _numbers([None if w is None else codes[w] for w in words], "<i4")
    if events[0].probabilities:
        columns["probabilities"] = lists_column(np.array([e.probabilities for e in events]))
    columns["inputs"] = _texts([_json(event.inputs) for event in events])
    return encode(origin, len(events), columns, labels)


_TEXTS = ("event_id", "parent", "request_id", "entity", "subject", "error")
_COUNTS = {"row": "<i4", "queue_us": "<i8", "infer_us": "<i8"}


def _word(label: Label | None) -> str | None:
    return None if label is None else label_text(label)


def _json(inputs: dict[str, Any] | None) -> str | None:
    return None if inputs is None else msgspec.json.encode(inputs).decode()


def _texts(values: Sequence[str | None]) -> Written:
    there = np.array([value is not None for value in values])
    return text_column([value or "" for value in values], there)


def _numbers(values: Sequence[float | None], dtype: str) -> Written:
    there = np.array([value is not None for value in values])
    return array_column(np.array([value or 0 for value in values], dtype=dtype), there)
