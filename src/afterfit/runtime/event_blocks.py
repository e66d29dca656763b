"""What the request path hands to the journal: blocks of rows, refusals and labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from afterfit.core.event import Role, new_ids
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame, Predictions
from afterfit.runtime.decode import Decoder
from afterfit.runtime.event_batch import EventBatch
from afterfit.runtime.event_schema import Origin
from afterfit.runtime.event_write import encode, optional_texts, times
from afterfit.runtime.formats.arrow_write import array_column, text_column
from afterfit.runtime.ood import OodScorer
from afterfit.runtime.tally import ModelTally

__all__ = ["Block", "Capture", "LabelRows", "ModelKey", "Refusal", "refusal", "refusals"]

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
    primary's event ids of a shadow's rows. ``ood`` tells which rows are unlike the reference, and
    ``tally`` counts them.
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
    ood: OodScorer | None = None
    tally: ModelTally | None = None
    ts: int = msgspec.field(default_factory=now_us)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Requests without predictions, refused or failed for one reason at one time."""

    kind: Literal["refused", "failed"]
    error: str
    model: ModelKey
    request_ids: list[str]
    ts: int

    def __len__(self) -> int:
        """Return the number of requests: each counts as one row."""
        return len(self.request_ids)


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
            "event_id": optional_texts(self.event_ids),
            "entity": optional_texts(self.entities),
            "ts": times(np.array(self.ts, dtype=np.int64)),
        }
        if self.words is not None:
            columns["true_label"] = text_column(self.words)
        if self.values is not None:
            columns["true_value"] = array_column(np.array(self.values, dtype=np.float64))
        return encode(Origin("label", endpoint, self.model), len(self), columns)


def refusal(
    kind: Literal["refused", "failed"], error: str, model: ModelKey, request_ids: list[str]
) -> Refusal:
    """Return what becomes the events of requests without predictions, one for each."""
    return Refusal(kind, error[:MOST_ERROR], model, request_ids, time.time_ns() // 1000)


def refusals(items: Sequence[Refusal], endpoint: str) -> Iterator[EventBatch]:
    """Yield the events of refusals, a batch for each model and kind."""
    groups: dict[tuple[str, ModelKey], list[Refusal]] = {}
    for item in items:
        groups.setdefault((item.kind, item.model), []).append(item)
    for members in groups.values():
        kind, (name, version, digest) = members[0].kind, members[0].model
        counts = [len(item) for item in members]
        rows = sum(counts)
        moments = np.array([item.ts for item in members], dtype=np.int64)
        errors = [error for item in members for error in [item.error] * len(item)]
        columns = {
            "event_id": text_column(new_ids(rows)),
            "ts": times(np.repeat(moments, counts)),
            "request_id": text_column([each for item in members for each in item.request_ids]),
            "error": text_column(errors),
        }
        origin = Origin(kind, endpoint, name, version, digest)
        yield encode(origin, rows, columns)
