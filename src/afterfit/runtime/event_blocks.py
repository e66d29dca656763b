"""What the request path hands to the journal, and the batches of events that are made of it.

A block holds rows that ran together, as arrays and lists; no Python object is made for a row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from afterfit.core.event import FLAG_STAND_IN, Role, new_ids
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame, Predictions, concatenate, join
from afterfit.runtime.decode import Decoder, Flags
from afterfit.runtime.event_batch import EventBatch
from afterfit.runtime.event_schema import Origin, label_text
from afterfit.runtime.event_write import MOST_ROWS, encode, flag_bits, json_column, times
from afterfit.runtime.formats.arrow_write import Written, array_column, lists_column, text_column

__all__ = ["Block", "Capture", "Gathered", "LabelRows", "ModelKey", "Refusal", "gather", "refusal"]

ModelKey = tuple[str, int, str]
"""The (name, version, digest) of a model."""
MOST_ERROR = 500
"""Characters of an error that an event keeps."""


def now_us() -> int:
    """Return microseconds since 1970."""
    return time.time_ns() // 1000


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """Which inputs an event keeps: none (as long as nobody asks), the named columns, or all."""

    mode: Literal["none", "columns", "all"] = "none"
    columns: tuple[str, ...] = ()

    def inputs(self, frame: Frame) -> list[dict[str, Any]] | None:
        """Return the inputs of each row as plain values, or None where nothing is kept."""
        if self.mode == "none":
            return None
        names = list(frame) if self.mode == "all" else [n for n in self.columns if n in frame]
        rows = zip(*(frame[name].tolist() for name in names), strict=True)
        return [dict(zip(names, row, strict=True)) for row in rows]


# gc=False: a block refers to nothing that could refer to it.
class Block(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The rows of requests that ran together; ``ts`` is microseconds since 1970.

    ``model`` is (name, version, digest). ``request_ids``, ``counts`` (rows) and ``queue_us`` have
    one item a request, the others one a row, in the order of the requests. ``parents`` are the
    primary's event ids of a shadow's rows.
    """

    model: ModelKey
    decoder: Decoder
    fingerprint: Fingerprint
    frame: Frame
    predictions: Predictions
    codes: list[int]
    ids: list[str]
    request_ids: list[str]
    counts: list[int]
    queue_us: list[int]
    entities: list[str] | None = None
    infer_us: int = 0
    role: Role = "primary"
    parents: list[str] | None = None
    stand_in: bool = False
    ts: int = msgspec.field(default_factory=now_us)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """A request without predictions: refused, or failed."""

    kind: Literal["refused", "failed"]
    error: str
    model: ModelKey
    request_id: str
    ts: int

    def __len__(self) -> int:
        """Return 1: it counts as one row."""
        return 1


class LabelRows(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """True classes (``words``) or values that came later, for predictions or entities.

    One of ``event_ids`` and ``entities`` is set for each, the other is empty; ``ts`` in µs.
    ``done`` is called once, from another thread, with whether they are where events are kept.
    """

    model: str
    event_ids: list[str]
    entities: list[str]
    ts: list[int]
    words: list[str] | None = None
    values: list[float] | None = None
    done: Callable[[bool], None] | None = None

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.ts)

    def tell(self, *, kept: bool) -> None:
        """Tell whoever waits whether the labels are kept."""
        if self.done is not None:
            self.done(kept)

    def batch(self, endpoint: str = "") -> EventBatch:
        """Return their events; at most 65,536 labels."""
        columns = {
            "event_id": _optional(self.event_ids),
            "entity": _optional(self.entities),
            "ts": times(np.array(self.ts, dtype=np.int64)),
        }
        if self.words is not None:
            columns["true_label"] = text_column(self.words)
        if self.values is not None:
            columns["true_value"] = array_column(np.array(self.values, dtype=np.float64))
        return encode(Origin("label", endpoint, self.model), len(self), columns)


def refusal(
    kind: Literal["refused", "failed"], error: str, model: ModelKey, request_id: str = ""
) -> Refusal:
    """Return what becomes the event of a request without predictions."""
    return Refusal(kind, error[:MOST_ERROR], model, request_id, time.time_ns() // 1000)


def refusals(items: Sequence[Refusal], endpoint: str) -> Iterator[EventBatch]:
    """Yield the events of refusals, a batch for each model and kind."""
    groups: dict[tuple[str, ModelKey], list[Refusal]] = {}
    for item in items:
        groups.setdefault((item.kind, item.model), []).append(item)
    for members in groups.values():
        kind, (name, version, digest) = members[0].kind, members[0].model
        columns = {
            "event_id": text_column(new_ids(len(members))),
            "ts": times(np.array([item.ts for item in members], dtype=np.int64)),
            "request_id": text_column([item.request_id for item in members]),
            "error": text_column([item.error for item in members]),
        }
        origin = Origin(kind, endpoint, name, version, digest)
        yield encode(origin, len(members), columns)


class Gathered(NamedTuple):
    """The rows of several blocks of one model in one role, with their predictions and flags."""

    blocks: Sequence[Block]
    frame: Frame
    predictions: Predictions
    flags: Flags

    @property
    def scores(self) -> np.ndarray:
        """The score of each row, float64 of [n]."""
        return self.predictions.score(self.blocks[0].decoder.signature.positive_index)

    def batches(self, endpoint: str, capture: Capture) -> Iterator[EventBatch]:
        """Yield their events; ``capture`` says which inputs they keep."""
        first, n = self.blocks[0], len(self.predictions)
        columns = _row_columns(self.blocks, n)
        inputs = capture.inputs(self.frame)
        if inputs is not None:
            columns["inputs"] = inputs
        masks = self.flags.masks
        if any(block.stand_in for block in self.blocks):
            sizes = [len(block) for block in self.blocks]
            stood_in = np.repeat([block.stand_in for block in self.blocks], sizes)
            masks = {**masks, FLAG_STAND_IN: stood_in}
        columns["flags"] = flag_bits(masks, n)
        labels = [label_text(label) for label in first.decoder.signature.classes]
        origin = Origin("served", endpoint, *first.model, first.role)
        for start in range(0, n, MOST_ROWS):
            part = slice(start, min(start + MOST_ROWS, n))
            written = {name: _WRITERS[name](values[part]) for name, values in columns.items()}
            written |= _answers(self.predictions.take(part))
            yield encode(origin, part.stop - part.start, written, labels)


def gather(blocks: Sequence[Block]) -> Gathered:
    """Return the rows of blocks of one model, and what is unusual about them."""
    frame = join([block.frame for block in blocks])
    predictions = concatenate([block.predictions for block in blocks])
    return Gathered(blocks, frame, predictions, blocks[0].decoder.flags(frame))


def _row_columns(blocks: Sequence[Block], n: int) -> dict[str, Any]:
    """Return what is known of each row, arrays and lists by the name of the column."""
    sizes = [len(block.ids) for block in blocks]
    counts = np.array(list(chain.from_iterable(block.counts for block in blocks)))
    waits = np.array(list(chain.from_iterable(block.queue_us for block in blocks)))
    request_ids = list(chain.from_iterable(block.request_ids for block in blocks))
    if len(request_ids) != n:
        pairs = zip(request_ids, counts.tolist(), strict=True)
        request_ids = list(chain.from_iterable(repeat(one, count) for one, count in pairs))
    starts = np.cumsum(counts) - counts
    columns: dict[str, Any] = {
        "event_id": list(chain.from_iterable(block.ids for block in blocks)),
        "ts": np.repeat([block.ts for block in blocks], sizes),
        "request_id": request_ids,
        "row": np.arange(n, dtype="<i4") - np.repeat(starts, counts).astype("<i4"),
        "queue_us": np.repeat(waits, counts),
        "infer_us": np.repeat([block.infer_us for block in blocks], sizes),
    }
    for name in ("entities", "parents"):
        given = [getattr(block, name) for block in blocks]
        if any(given):
            filled = (g or [""] * size for g, size in zip(given, sizes, strict=True))
            columns[_SINGULAR[name]] = list(chain.from_iterable(filled))
    if blocks[0].decoder.signature.classes:
        columns["label"] = list(chain.from_iterable(block.codes for block in blocks))
    return columns


def _answers(predictions: Predictions) -> dict[str, Written]:
    if predictions.values is not None:
        return {"value": array_column(predictions.values.astype("<f8", copy=False))}
    if predictions.probabilities is not None:
        return {"probabilities": lists_column(predictions.probabilities)}
    return {}


def _optional(texts: list[str]) -> Written:
    return text_column(texts, np.array([text != "" for text in texts], dtype=bool))


def _integers(values: np.ndarray) -> Written:
    return array_column(values.astype("<i8", copy=False))


_SINGULAR = {"entities": "entity", "parents": "parent"}
_WRITERS: dict[str, Callable[[Any], Written]] = {
    "event_id": text_column,
    "ts": times,
    "request_id": text_column,
    "row": array_column,
    "queue_us": _integers,
    "infer_us": _integers,
    "entity": _optional,
    "parent": _optional,
    "label": lambda codes: array_column(np.array(codes, dtype="<i4")),
    "flags": array_column,
    "inputs": json_column,
}
