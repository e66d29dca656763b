"""Copies of answered requests on their way to the process that runs the shadows.

A worker that has answered puts the rows and the answers into a bounded queue, and sends them when
no request waits. What finds no room is dropped and counted. Nothing is ever waited for: the socket
does not block, and what it does not take now stays in the queue.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from afterfit.core.frame import Frame, MatrixFrame, Predictions, take
from afterfit.core.signature import Signature
from afterfit.runtime.answers import BatchAnswer
from afterfit.runtime.tally import PairTally

if TYPE_CHECKING:
    from afterfit.runtime.live_model import LiveModel

__all__ = ["Copy", "ShadowLink", "ShadowSender", "channel", "decode_copy", "frame_of", "scores_of"]

QUEUE_ROWS = 4096
MESSAGE_BYTES = 48 << 10
BUFFER_BYTES = 4 << 20
RETRY_SECONDS = 0.002
Tensor = tuple[str, bytes | list[Any]]
"""A column: its dtype and bytes, or ``O`` and its values."""


class Copy(msgspec.Struct, frozen=True, array_like=True):
    """Rows that the ``primary`` of ``model`` has answered; ``ids`` are the events of the rows.

    ``counts`` are the rows of each request. ``scores`` are float64, empty where there are none.
    ``matrix`` is float64 of [n, columns], or else ``columns`` holds one item a column.
    """

    model: str
    primary: str
    ids: list[str]
    request_ids: list[str]
    counts: list[int]
    codes: list[int]
    scores: bytes
    matrix: bytes | None = None
    columns: list[Tensor] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Copy)


@dataclass(frozen=True, slots=True)
class _Item:
    model: LiveModel
    batch: BatchAnswer
    frame: Frame
    request_ids: list[str]
    counts: list[int]
    pairs: Sequence[PairTally]


class ShadowLink:
    """One worker's queue and its end of the channel; without a ``link`` everything is dropped."""

    def __init__(self, link: socket.socket | None, rows: int = QUEUE_ROWS) -> None:
        self._link = link
        self._most = rows
        self._rows = 0
        self._queue: deque[_Item] = deque()
        self._scheduled = False

    def put(self, item: _Item) -> None:
        """Queue an item, or drop it; it is sent in a later turn of the event loop."""
        rows = len(item.batch.ids)
        if self._link is None or (self._queue and self._rows + rows > self._most):
            _drop(item, rows)
            return
        self._queue.append(item)
        self._rows += rows
        if not self._scheduled:
            self._scheduled = True
            # The answers are written at the end of this turn: what follows comes after them.
            asyncio.get_running_loop().call_soon(self._turn)

    def close(self) -> None:
        """Drop what is left."""
        while self._queue:
            item = self._queue.popleft()
            _drop(item, len(item.batch.ids))
        self._rows = 0

    def _turn(self) -> None:
        if not self._queue:
            self._scheduled = False
            return
        item = self._queue[0]
        batcher = item.model.batcher
        if (batcher is not None and batcher.rows) or not self._send(item):
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._turn)
            return
        self._queue.popleft()
        self._rows -= len(item.batch.ids)
        asyncio.get_running_loop().call_soon(self._turn)

    def _send(self, item: _Item) -> bool:
        """Return whether the item is off the queue: sent, or too large for the channel."""
        messages = _messages(item)
        for number, (message, _) in enumerate(messages):
            try:
                assert self._link is not None  # noqa: S101 - nothing is queued without a link
                self._link.send(message, socket.MSG_DONTWAIT)
            except OSError:
                if not number:
                    return False
                # A part of it has gone: sending that again would count it twice.
                _drop(item, sum(rest for _, rest in messages[number:]))
                return True
        return True


class ShadowSender:
    """Copies what one model has answered; ``pairs`` count what is dropped for each shadow."""

    def __init__(self, link: ShadowLink, pairs: Sequence[PairTally]) -> None:
        self._link = link
        self._pairs = tuple(pairs)

    def offer(
        self,
        model: LiveModel,
        batch: BatchAnswer,
        frame: Frame,
        requests: tuple[list[str], list[int]],
    ) -> None:
        """Take a copy of rows that were answered; ``requests`` are their ids and row counts."""
        self._link.put(_Item(model, batch, frame, *requests, pairs=self._pairs))


def channel() -> tuple[socket.socket, socket.socket]:
    """Return the end that all workers send to and the one that the shadows' process reads.

    A message arrives whole or not at all, so that many may send.
    """
    kind = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM)
    try:
        sending, receiving = socket.socketpair(socket.AF_UNIX, kind)
    except OSError:  # macOS has the name, and not for this family
        sending, receiving = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    # The kernel takes as much of it as its own limit allows.
    sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    receiving.setblocking(False)
    return sending, receiving


def decode_copy(message: bytes) -> Copy:
    """Return the copy in a message."""
    return _decoder.decode(message)


def frame_of(copy: Copy, signature: Signature) -> Frame:
    """Return the rows of a copy."""
    n = len(copy.ids)
    if copy.matrix is not None:
        kinds = {column.name: column.kind for column in signature.columns}
        return MatrixFrame(kinds, np.frombuffer(copy.matrix, np.float64).reshape(n, -1))
    return {
        column.name: _array(*tensor)
        for column, tensor in zip(signature.columns, copy.columns, strict=True)
    }


def scores_of(predictions: Predictions, signature: Signature) -> np.ndarray:
    """Return what is compared of each row, float64: a probability or a value; empty for labels."""
    if predictions.probabilities is None and predictions.values is None:
        return np.empty(0)
    return predictions.score(signature.positive_index)


def _array(dtype: str, data: bytes | list[Any]) -> np.ndarray:
    if isinstance(data, bytes):
        return np.frombuffer(data, np.dtype(dtype))
    values = np.empty(len(data), dtype=object)
    values[:] = data
    return values


def _messages(item: _Item) -> list[tuple[bytes, int]]:
    """Return the messages of an item and the rows of each, none larger than the channel takes."""
    whole = _message(item, 0, len(item.batch.ids))
    n = len(item.batch.ids)
    if len(whole) <= MESSAGE_BYTES or n == 1:
        return [(whole, n)]
    step = max(1, n * MESSAGE_BYTES // (len(whole) + MESSAGE_BYTES // 4))
    return [
        (_message(item, start, min(n, start + step)), min(n, start + step) - start)
        for start in range(0, n, step)
    ]


def _message(item: _Item, start: int, stop: int) -> bytes:
    batch, signature = item.batch, item.batch.model.signature
    rows = slice(start, stop)
    frame = take(item.frame, rows)
    matrix = columns = None
    if isinstance(frame, MatrixFrame):
        matrix = np.ascontiguousarray(frame.matrix, np.float64).tobytes()
    else:
        columns = [_tensor(frame[column.name]) for column in signature.columns]
    request_ids, counts = _requests(item, start, stop)
    scores = scores_of(batch.predictions.take(rows), signature)
    return _encoder.encode(
        Copy(
            item.model.name,
            item.model.digest,
            batch.ids[rows],
            request_ids,
            counts,
            batch.codes[rows],
            np.ascontiguousarray(scores, np.float64).tobytes(),
            matrix,
            columns or [],
        )
    )


def _requests(item: _Item, start: int, stop: int) -> tuple[list[str], list[int]]:
    """Return the ids, and the rows between ``start`` and ``stop``, of the requests there."""
    ids, counts, first = [], [], 0
    for request_id, count in zip(item.request_ids, item.counts, strict=True):
        inside = min(stop, first + count) - max(start, first)
        if inside > 0:
            ids.append(request_id)
            counts.append(inside)
        first += count
    return ids, counts


def _tensor(values: np.ndarray) -> Tensor:
    if values.dtype.kind == "O":
        return "O", values.tolist()
    return values.dtype.str, values.tobytes()


def _drop(item: _Item, rows: int) -> None:
    for pair in item.pairs:
        pair.add("dropped", rows)
