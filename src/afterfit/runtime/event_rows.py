"""The rows of many blocks of one model, and the batches of events that are made of them.

No Python object is made for a row: texts are joined, numbers are arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np

from afterfit.core.event import FLAG_STAND_IN
from afterfit.core.frame import Frame, MatrixFrame, Predictions, join
from afterfit.runtime.decode import Flags
from afterfit.runtime.event_batch import EventBatch
from afterfit.runtime.event_blocks import Block, Capture
from afterfit.runtime.event_schema import Origin, label_text
from afterfit.runtime.event_write import (
    MOST_ROWS,
    encode,
    flag_bits,
    json_column,
    optional_texts,
    times,
)
from afterfit.runtime.formats.arrow_write import Written, array_column, lists_column, text_column
from afterfit.runtime.ood import unusual

__all__ = ["Gathered", "Pending", "gather"]


class Pending:
    """The rows of several blocks of one model in one role, as they come.

    Only arrays, texts and numbers of a block are kept. Objects that can refer to others would have
    the garbage collector go through them again and again, which costs more than all else here.
    """

    def __init__(self, first: Block) -> None:
        self.first = first
        self.rows = 0
        self.frames: list[Frame | np.ndarray] = []
        self.probabilities: list[np.ndarray] = []
        self.values: list[np.ndarray] = []
        self.own_codes: list[np.ndarray] = []
        self.ids: list[str] = []
        self.codes: list[int] = []
        self.request_ids: list[str] = []
        self.counts: list[int] = []
        self.queue_us: list[int] = []
        self.sizes: list[int] = []
        self.ts: list[int] = []
        self.infer_us: list[int] = []
        self.entities: list[str] | None = None
        self.parents: list[str] | None = None
        self._names = first.frame.names if isinstance(first.frame, MatrixFrame) else None

    def add(self, block: Block) -> None:
        """Add the rows of a block."""
        frame, predictions, size = block.frame, block.predictions, len(block.ids)
        if isinstance(frame, MatrixFrame) and (
            frame.names is self._names or frame.names == self._names
        ):
            self.frames.append(frame.matrix)
        else:
            self.frames.append(frame)
        if predictions.probabilities is not None:
            self.probabilities.append(predictions.probabilities)
        if predictions.values is not None:
            self.values.append(predictions.values)
        if predictions.codes is not None:
            self.own_codes.append(predictions.codes)
        if block.entities is not None or self.entities is not None:
            self.entities = _extended(self.entities, block.entities, self.rows, size)
        if block.parents is not None or self.parents is not None:
            self.parents = _extended(self.parents, block.parents, self.rows, size)
        self.ids += block.ids
        self.codes += block.codes
        self.request_ids += block.request_ids
        self.counts += block.counts
        self.queue_us += block.queue_us
        self.sizes.append(size)
        self.ts.append(block.ts)
        self.infer_us.append(block.infer_us)
        self.rows += size


class Gathered(NamedTuple):
    """The rows of several blocks as one frame, with their predictions and flags."""

    pending: Pending
    frame: Frame
    predictions: Predictions
    flags: Flags

    @property
    def scores(self) -> np.ndarray:
        """The score of each row, float64 of [n]."""
        signature = self.pending.first.decoder.signature
        return self.predictions.score(signature.positive_index)

    def batches(self, endpoint: str, capture: Capture) -> Iterator[EventBatch]:
        """Yield their events; ``capture`` says which inputs they keep."""
        first, n = self.pending.first, self.pending.rows
        columns = _columns(self.pending)
        columns["flags"] = flag_bits(self._masks(), n)
        inputs = capture.inputs(self.frame)
        if inputs is not None:
            columns["inputs"] = inputs
        labels = [label_text(label) for label in first.decoder.signature.classes]
        origin = Origin("served", endpoint, *first.model, first.role)
        for start in range(0, n, MOST_ROWS):
            part = slice(start, min(start + MOST_ROWS, n))
            written = {name: _WRITERS[name](values[part]) for name, values in columns.items()}
            written |= _answers(self.predictions.take(part))
            yield encode(origin, part.stop - part.start, written, labels)

    def _masks(self) -> dict[str, np.ndarray]:
        if not self.pending.first.stand_in:
            return self.flags.masks
        return {**self.flags.masks, FLAG_STAND_IN: np.ones(self.pending.rows, dtype=bool)}


def gather(pending: Pending) -> Gathered:
    """Return the rows as one frame, and what is unusual about them."""
    like = pending.first.frame
    matrices = [frame for frame in pending.frames if isinstance(frame, np.ndarray)]
    frame: Frame
    if isinstance(like, MatrixFrame) and len(matrices) == len(pending.frames):
        frame = MatrixFrame(like.kinds, np.concatenate(matrices), like.names)
    else:
        frame = join([_as_frame(each, like) for each in pending.frames])
    parts = (pending.probabilities, pending.values, pending.own_codes)
    answers = Predictions(*(np.concatenate(arrays) if arrays else None for arrays in parts))
    first = pending.first
    return Gathered(pending, frame, answers, unusual(first.decoder, first.ood, frame, answers))


def _as_frame(frame: Frame | np.ndarray, like: Frame) -> Frame:
    """Return plain columns: the columns of a matrix may stand in another order elsewhere."""
    if isinstance(frame, np.ndarray) and isinstance(like, MatrixFrame):
        frame = MatrixFrame(like.kinds, frame, like.names)
    return {name: frame[name] for name in like}


def _columns(pending: Pending) -> dict[str, Any]:
    """Return what is known of each row, arrays and lists by the name of the column."""
    n, sizes, counts = pending.rows, pending.sizes, np.array(pending.counts)
    request_ids = pending.request_ids
    if len(request_ids) != n:
        pairs = zip(request_ids, pending.counts, strict=True)
        request_ids = list(chain.from_iterable(repeat(one, count) for one, count in pairs))
    starts = np.cumsum(counts) - counts
    columns: dict[str, Any] = {
        "event_id": pending.ids,
        "ts": np.repeat(pending.ts, sizes),
        "request_id": request_ids,
        "row": np.arange(n, dtype="<i4") - np.repeat(starts, counts).astype("<i4"),
        "queue_us": np.repeat(pending.queue_us, counts),
        "infer_us": np.repeat(pending.infer_us, sizes),
    }
    if pending.entities is not None:
        columns["entity"] = pending.entities
    if pending.parents is not None:
        columns["parent"] = pending.parents
    if pending.first.decoder.signature.classes:
        columns["label"] = pending.codes
    return columns


def _answers(predictions: Predictions) -> dict[str, Written]:
    if predictions.values is not None:
        return {"value": array_column(predictions.values.astype("<f8", copy=False))}
    if predictions.probabilities is not None:
        return {"probabilities": lists_column(predictions.probabilities)}
    return {}


def _extended(known: list[str] | None, more: list[str] | None, rows: int, size: int) -> list[str]:
    """Return the texts of all rows, where some blocks have none."""
    found = [""] * rows if known is None else known
    found += [""] * size if more is None else more
    return found


def _integers(values: np.ndarray) -> Written:
    return array_column(values.astype("<i8", copy=False))


_WRITERS: dict[str, Callable[[Any], Written]] = {
    "event_id": text_column,
    "ts": times,
    "request_id": text_column,
    "row": array_column,
    "queue_us": _integers,
    "infer_us": _integers,
    "entity": optional_texts,
    "parent": optional_texts,
    "label": lambda codes: array_column(np.array(codes, dtype="<i4")),
    "flags": array_column,
    "inputs": json_column,
}
