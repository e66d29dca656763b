"""The events of our own servers as predictions and labels, in constant memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from afterfit.core.frame import is_missing, missing_mask
from afterfit.core.signature import Signature
from afterfit.monitor.batches import Batch, Cursor, Labels
from afterfit.monitor.sources.columns import decided, fitted, same
from afterfit.records.signals import Scope
from afterfit.runtime.event_columns import EventColumns
from afterfit.runtime.event_schema import label_of
from afterfit.runtime.events import Scan, segments

__all__ = ["EventSource", "labels_of", "predictions_of"]

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class EventSource:
    """The segments of events in a folder and below, each up to its last whole batch.

    ``signature_of`` gives the signature of a version; the events of one without (None) are passed
    over, labels never are. A cursor has, of each segment that is there, the batches that were read
    and its size (bytes) then; one that has not grown is not opened again.
    """

    def __init__(self, folder: Path, signature_of: Callable[[Scope], Signature | None]) -> None:
        self.folder = folder
        self._signature_of = signature_of

    def read(self, cursor: Cursor) -> Iterator[tuple[Batch | Labels, Cursor]]:
        """Yield what comes after the cursor, each with the cursor that goes on behind it."""
        paths = {str(path.relative_to(self.folder)): path for path in segments(self.folder)}
        done: Cursor = {name: cursor[name] for name in paths if name in cursor}
        for name, path in paths.items():
            before, size, row = done.get(name, (0, -1, 0))
            try:
                data = path.read_bytes() if path.stat().st_size != size else b""
            except FileNotFoundError:
                continue  # retention took it away
            batches = list(Scan(data))
            for number, batch in enumerate(batches[before:], start=before + 1):
                found = self._batch(batch.columns(), name, row)
                row += batch.rows
                seen = len(data) if number == len(batches) else -1
                done = {**done, name: [number, seen, row]}
                if found is not None:
                    yield found, done

    def _batch(self, columns: EventColumns, name: str, row: int) -> Batch | Labels | None:
        if not len(columns):
            return None
        if columns["kind"][0] == "label":
            return labels_of(columns)
        scope = scope_of(columns)
        signature = self._signature_of(scope)
        return None if signature is None else predictions_of(columns, scope, signature, name, row)


def scope_of(columns: EventColumns) -> Scope:
    """Return whose events a batch has; all of them are of one origin."""
    texts = {name: columns[name][0] or "" for name in ("endpoint", "model", "digest")}
    return Scope(**texts, version=int(columns["version"][0]))


def predictions_of(
    columns: EventColumns, scope: Scope, signature: Signature, name: str, row: int
) -> Batch:
    """Return the predictions of a batch; ``name`` and ``row`` are of its segment, for marks."""
    n = len(columns)
    probabilities = columns["probabilities"]
    given = probabilities if probabilities.shape[1] == len(signature.classes) > 0 else None
    said = np.array(columns.values("label"), dtype=object)
    kind = columns["kind"][0]
    flags = np.where(columns.valid("flags"), columns["flags"], 0 if kind == "served" else -1)
    place = np.arange(row, row + n, dtype=np.uint64)
    return Batch(
        scope=scope,
        role=columns["role"][0] or "primary",
        ts=columns["ts"],
        kinds=same(kind, n),
        scores=_scores(columns["value"], given, signature),
        probabilities=given,
        codes=decided(said, given, signature, n),
        ids=_filled(columns["event_id"]),
        entities=_filled(columns["entity"]),
        queue_us=np.where(columns.valid("queue_us"), columns["queue_us"], -1),
        infer_us=np.where(columns.valid("infer_us"), columns["infer_us"], -1),
        flags=flags.astype(np.int64),
        errors=_filled(columns["error"]),
        frame=_captured(columns, signature),
        marks=place + np.uint64(zlib.crc32(name.encode()) << 32),
    )


def labels_of(columns: EventColumns) -> Labels:
    """Return the labels of a batch."""
    words, numbers = columns["true_label"], columns.values("true_value")
    values = np.empty(len(columns), dtype=object)
    values[:] = [
        number if word is None else label_of(word)
        for word, number in zip(words.tolist(), numbers, strict=True)
    ]
    return Labels(
        model=columns["model"][0] or "",
        ts=columns["ts"],
        ids=_filled(columns["event_id"]),
        entities=_filled(columns["entity"]),
        values=values,
    )


def _scores(
    values: np.ndarray, probabilities: np.ndarray | None, signature: Signature
) -> np.ndarray:
    if probabilities is None:
        return values
    positive = signature.positive_index
    shown = probabilities.max(axis=1) if positive is None else probabilities[:, positive]
    return np.where(np.isnan(shown), values, shown)


def _filled(texts: np.ndarray) -> np.ndarray:
    gone = missing_mask(texts)
    if not gone.any():
        return texts
    return same("", len(texts)) if gone.all() else np.where(gone, "", texts)


def _captured(columns: EventColumns, signature: Signature) -> dict[str, np.ndarray]:
    if not columns.valid("inputs").any():
        return {}
    rows = [{} if text is None else _decode(text) for text in columns["inputs"].tolist()]
    names = {name for row in rows for name in row}
    found = {}
    for column in signature.columns:
        if column.name in names:
            values = np.empty(len(rows), dtype=object)
            values[:] = [_plain(row.get(column.name)) for row in rows]
            found[column.name] = fitted(values, column)
    return found


def _plain(value: Any) -> Any:
    return None if is_missing(value) else value
