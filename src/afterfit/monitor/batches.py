"""What monitoring reads, a batch at a time: predictions and labels of any log, as columns.

Every source (events of our server, a table, a query) yields the same two shapes, so that signals
know nothing of where a log comes from, and memory does not grow with its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from afterfit.core.frame import Frame, take
from afterfit.records.signals import Scope

__all__ = ["Batch", "Cursor", "Labels", "Source"]

Cursor = dict[str, Any]
"""Where a source goes on, in plain JSON values; empty is its beginning."""


@dataclass(frozen=True)
class Batch:
    """Some predictions of one version and role, one item each, in the order of the log.

    ``ts`` int64 of [n], µs since 1970 in UTC. ``kinds`` object of [n]: ``served``, ``refused`` or
    ``failed``; what follows is of all rows and means nothing for those that were not served.
    ``scores`` float64 of [n] (NaN where there is none): the value of a regression, the positive
    class's probability, or the top probability. ``probabilities`` float64 of [n, classes] or None.
    ``codes`` int64 of [n] are decided classes, -1 where unknown. ``ids`` and ``entities`` object of
    [n], empty text where unknown. ``queue_us`` and ``infer_us`` int64 of [n], -1 where unknown.
    ``flags`` int64 of [n], the bits of docs/reference/events.md, -1 where a log cannot have them.
    ``errors`` object of [n], empty where there was none. ``truth`` object of [n] where the log
    carries the label beside the prediction (None: not yet known), or None.
    ``frame`` has the known inputs, all of n rows; no columns where none were captured. ``marks``
    uint64 of [n] is a number of each row, its own and the same whenever the log is read, for
    samples that do not depend on how a log is cut; None where a log has none.
    """

    scope: Scope
    role: str
    ts: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.object_]
    scores: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64] | None
    codes: npt.NDArray[np.int64]
    ids: npt.NDArray[np.object_]
    entities: npt.NDArray[np.object_]
    queue_us: npt.NDArray[np.int64]
    infer_us: npt.NDArray[np.int64]
    flags: npt.NDArray[np.int64]
    errors: npt.NDArray[np.object_]
    frame: Frame
    truth: npt.NDArray[np.object_] | None = None
    marks: npt.NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        """Return the number of predictions."""
        return len(self.ts)

    def take(self, rows: np.ndarray | slice) -> Batch:
        """Return some of the predictions: by their places, a mask, or a slice."""
        parts = {name: getattr(self, name) for name in _ROW_FIELDS}
        taken: dict[str, Any] = {n: None if p is None else p[rows] for n, p in parts.items()}
        return replace(self, **taken, frame=take(self.frame, rows))


_ROW_FIELDS = tuple(
    field.name for field in fields(Batch) if field.name not in ("scope", "role", "frame")
)


@dataclass(frozen=True)
class Labels:
    """Some labels that came later, one item each: ``values`` are true classes or numbers.

    ``ts`` int64 µs is when each was known; ``ids`` names the prediction, else ``entities`` whom it
    is about (empty text where not given). ``model`` is empty where a label names none.
    """

    model: str
    ts: npt.NDArray[np.int64]
    ids: npt.NDArray[np.object_]
    entities: npt.NDArray[np.object_]
    values: npt.NDArray[np.object_]

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.ts)


class Source(Protocol):
    """A log that is read once, a batch at a time, and can be gone on with later."""

    def read(self, cursor: Cursor) -> Iterator[tuple[Batch | Labels, Cursor]]:
        """Yield what comes after the cursor, each with the cursor that goes on behind it.

        What was read before a cursor is not yielded again; a torn end is left for the next time.
        """
        ...
