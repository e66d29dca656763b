"""What is kept of one window: counts that merge exactly, in less than a megabyte a model.

A window is of one version and role, whole or one slice, for a stretch of time or so many rows.
Parts of it that were read apart (by workers, after a restart, late) merge to what reading it in
one go gives; the moments of columns agree to rounding.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping

import msgspec
import numpy as np

from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import is_missing, row_count
from afterfit.monitor.batches import Batch
from afterfit.monitor.sample import Sample
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.waits import Waits
from afterfit.records.signals import Scope
from afterfit.runtime.event_schema import FLAG_BITS

__all__ = ["MOST_ERRORS", "WindowState", "is_one_value", "served_rows"]

MOST_ERRORS = 50
MOST_ERROR = 120
OTHER_ERRORS = "other errors"
_DIGITS = re.compile(r"\b(\d+(\.\d+)?|[0-9a-fA-F]{8}[0-9a-fA-F-]*)\b")


class WindowState(msgspec.Struct, kw_only=True):
    """What one version saw and said from ``start`` to ``end`` (µs since 1970, end excluded).

    ``n`` predictions were served, ``inputs_n`` of them with known inputs, ``flags_n`` with known
    flags. ``kinds`` counts served, refused and failed; ``errors`` their words, where numbers and
    ids are ``#`` and the 51st and later wordings are one; ``flags`` rows by flag. ``counts`` are
    those of inputs and output on the reference's bins; ``queue`` and ``infer`` waits, ``total``
    both together; ``scores``
    answers by score, and by truth once labels were joined. ``same`` has, by column, how many rows
    are of entities that the reference knows and how many of these differ from it. ``first`` and
    ``last`` are when the first and last prediction came, 0 where that is not known.
    """

    scope: Scope
    role: str = "primary"
    start: int
    end: int
    counts: Fingerprint
    sample: Sample
    n: int = 0
    inputs_n: int = 0
    flags_n: int = 0
    kinds: dict[str, int] = {}
    errors: dict[str, int] = {}
    flags: dict[str, int] = {}
    queue: Waits = msgspec.field(default_factory=Waits)
    infer: Waits = msgspec.field(default_factory=Waits)
    total: Waits = msgspec.field(default_factory=Waits)
    scores: ScoreTable | None = None
    same: dict[str, tuple[int, int]] = {}
    first: int = 0
    last: int = 0

    @classmethod
    def empty(
        cls,
        scope: Scope,
        start: int,
        end: int,
        reference: Fingerprint,
        *,
        role: str = "primary",
        scores: ScoreTable | None = None,
        seed: int = 0,
    ) -> WindowState:
        """Return the state of a window of which nothing was read, on a reference's bins.

        ``scores`` is a table of the same model, for quality; None counts none.
        """
        return cls(
            scope=scope,
            role=role,
            start=start,
            end=end,
            counts=reference.blank(),
            sample=Sample.like(reference, seed),
            scores=None if scores is None else scores.blank(),
        )

    def update(self, batch: Batch, truth: np.ndarray | None = None) -> None:
        """Add some predictions, all of them in this window and of its version and role.

        ``truth`` is what is known of them already, [n] as ``ScoreTable.update`` takes it.
        """
        if not len(batch):
            return
        served = served_rows(batch)
        if truth is not None and len(served) < len(batch):
            truth = truth[batch.kinds == "served"]
        for kind, count in _tally(batch.kinds).items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        self._add_errors({_wording(e): n for e, n in _tally(batch.errors).items() if e})
        self._add_span(batch.ts)
        if len(served):
            self._add_served(served, truth)

    def merge(self, other: WindowState) -> None:
        """Add what was read of the same window elsewhere; raises ValueError for other bins."""
        self.counts.merge(other.counts)
        self.sample.merge(other.sample)
        self.queue.merge(other.queue)
        self.infer.merge(other.infer)
        self.total.merge(other.total)
        if self.scores is not None and other.scores is not None:
            self.scores.merge(other.scores)
        self.n += other.n
        self.inputs_n += other.inputs_n
        self.flags_n += other.flags_n
        for mine, theirs in ((self.kinds, other.kinds), (self.flags, other.flags)):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        self.add_same(other.same)
        self._add_errors(other.errors)
        self._add_span(np.array([other.first, other.last]))
        self.start, self.end = min(self.start, other.start), max(self.end, other.end)

    def add_same(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Add, by column, rows in common with the reference and how many of them differ."""
        for name, (n, differ) in counts.items():
            before = self.same.get(name, (0, 0))
            self.same[name] = before[0] + n, before[1] + differ

    def _add_served(self, served: Batch, truth: np.ndarray | None) -> None:
        marks = _marks(served, self.n)
        self.n += len(served)
        self.counts.update(served.frame, served.scores)
        self.queue.update(served.queue_us)
        self.infer.update(served.infer_us)
        both = (served.queue_us >= 0) & (served.infer_us >= 0)
        self.total.update(np.where(both, served.queue_us + served.infer_us, -1))
        if row_count(served.frame):
            self.inputs_n += len(served)
            self.sample.update(marks, served.frame, served.scores, self.counts)
        if self.scores is not None:
            self.scores.update(served.scores, served.codes, truth, served.probabilities)
        known = served.flags[served.flags >= 0]
        self.flags_n += len(known)
        for name, bit in FLAG_BITS.items() if known.any() else ():
            if count := int(np.count_nonzero(known & bit)):
                self.flags[name] = self.flags.get(name, 0) + count

    def _add_errors(self, errors: dict[str, int]) -> None:
        for text, count in errors.items():
            known = text in self.errors or len(self.errors) < MOST_ERRORS
            name = text if known else OTHER_ERRORS
            self.errors[name] = self.errors.get(name, 0) + count

    def _add_span(self, ts: np.ndarray) -> None:
        known = ts[ts > 0]
        if len(known):
            least, greatest = int(known.min()), int(known.max())
            self.first = min(self.first or least, least)
            self.last = max(self.last, greatest)


def served_rows(batch: Batch) -> Batch:
    """Return the predictions that were answered."""
    if is_one_value(batch.kinds):
        return batch if batch.kinds[0] == "served" else batch.take(slice(0))
    served = batch.kinds == "served"
    return batch if served.all() else batch.take(served)


def is_one_value(array: np.ndarray) -> bool:
    """Return whether an array is one value broadcast, which is how a log says it once for all."""
    return len(array) > 0 and array.strides == (0,)


def _tally(values: np.ndarray) -> dict[str, int]:
    if is_one_value(values):
        return {str(values[0]): len(values)}
    return dict(Counter(map(str, values.tolist())))


def _wording(error: str) -> str:
    """Return an error without the numbers and ids that make each one differ."""
    return _DIGITS.sub("#", error)[:MOST_ERROR]


def _marks(batch: Batch, before: int) -> np.ndarray:
    """Return a number of each row: its own, one of its id, or its place in the window."""
    if batch.marks is not None:
        return batch.marks
    if is_one_value(batch.ids) or any(is_missing(i) or not i for i in batch.ids.tolist()):
        return np.arange(before, before + len(batch), dtype=np.uint64)
    texts = [str(each).encode() for each in batch.ids.tolist()]
    numbers = (zlib.crc32(text) << 32 | zlib.crc32(text, 1) for text in texts)
    return np.fromiter(numbers, np.uint64, len(texts))
