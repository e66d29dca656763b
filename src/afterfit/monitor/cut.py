"""A stream of predictions cut into windows: by time or by count, by version, role and slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import msgspec
import numpy as np

from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import is_missing
from afterfit.errors import ConfigError
from afterfit.monitor.batches import Batch
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.state import WindowState
from afterfit.records.signals import Scope

__all__ = ["DAY", "HOUR", "Windows", "by_time", "slices_of"]

HOUR = 3_600_000_000
DAY = 24 * HOUR
"""µs."""
MOST_SLICES = 20
OTHER_SLICE = "other"

Key = tuple[Scope, str, int]


class Windows:
    """The windows that are being filled, one for each version, role, slice and stretch.

    ``width_us`` cuts by time, beginning at midnight UTC; ``rows`` by so many answered predictions
    in place of it. ``reference_of`` gives the bins of a version, None for one that is not watched;
    ``scores_of`` an empty table for its scores, and ``unequal`` looks its rows up in the reference.
    Slices have neither.
    """

    def __init__(
        self,
        reference_of: Callable[[Scope], Fingerprint | None],
        *,
        width_us: int = HOUR,
        rows: int = 0,
        slices: tuple[str, ...] = (),
        seed: int = 0,
        scores_of: Callable[[Scope], ScoreTable | None] = lambda _: None,
        unequal: Callable[[Batch], Mapping[str, tuple[int, int]]] = lambda _: {},
    ) -> None:
        if rows < 0 or width_us < 1:
            raise ConfigError(
                "a window of no rows and no time",
                where="monitor.windows",
                fix="give at least one row, or at least 1 µs",
            )
        self._reference_of = reference_of
        self._scores_of, self._unequal = scores_of, unequal
        self._width, self._rows, self._slices, self._seed = width_us, rows, slices, seed
        self._values: dict[tuple[Scope, str], set[str]] = {}
        self.open: dict[Key, WindowState] = {}
        self._full: list[WindowState] = []

    def add(self, batch: Batch) -> None:
        """Add predictions, also of windows that lie back."""
        reference = self._reference_of(batch.scope)
        if reference is None or not len(batch):
            return
        parts = [batch, *(p for column in self._slices for p in self._sliced(batch, column))]
        for part in parts:
            if self._rows:
                self._add_by_count(part, reference)
                continue
            for start, rows in by_time(part, self._width):
                self._update(self._state(rows, reference, start, start + self._width), rows)

    def close(self, before: int | None = None) -> list[WindowState]:
        """Take out the windows that end at or before a moment (µs), or that are full; None: all.

        Windows by count are taken when they are full, whatever the moment.
        """
        done, self._full = self._full, []
        for key, state in list(self.open.items()):
            if before is None or (not self._rows and state.end <= before):
                done.append(self.open.pop(key))
        return sorted(done, key=lambda state: (state.start, msgspec.json.encode(state.scope)))

    def put_back(self, state: WindowState) -> None:
        """Go on with a window that was kept, as after a restart."""
        start = 0 if self._rows else state.start
        key = (state.scope, state.role, start)
        if key in self.open:
            self.open[key].merge(state)
        else:
            self.open[key] = state

    def _state(self, batch: Batch, reference: Fingerprint, start: int, end: int) -> WindowState:
        key = (batch.scope, batch.role, 0 if self._rows else start)
        if key not in self.open:
            scores = None if batch.scope.slice else self._scores_of(batch.scope)
            self.open[key] = WindowState.empty(
                batch.scope, start, end, reference, role=batch.role, scores=scores, seed=self._seed
            )
        return self.open[key]

    def _update(self, state: WindowState, batch: Batch) -> None:
        state.update(batch)
        if not batch.scope.slice:
            state.add_same(self._unequal(batch))

    def _add_by_count(self, batch: Batch, reference: Fingerprint) -> None:
        answered = np.cumsum(batch.kinds == "served")
        begin = 0
        while begin < len(batch):
            first = int(batch.ts[begin])
            state = self._state(batch, reference, first, first + 1)
            done = int(answered[begin - 1]) if begin else 0
            end = int(np.searchsorted(answered, done + self._rows - state.n)) + 1
            part = batch.take(slice(begin, end))
            self._update(state, part)
            state.start = min(state.start, state.first or state.start)
            state.end = max(state.end, state.last + 1)
            if state.n >= self._rows:
                self._full.append(self.open.pop((batch.scope, batch.role, 0)))
            begin = end

    def _sliced(self, batch: Batch, column: str) -> Iterator[Batch]:
        known = self._values.setdefault((batch.scope, column), set())
        for value, part in slices_of(batch, column, known):
            scope = msgspec.structs.replace(batch.scope, slice=f"{column} = {value}")
            yield replace(part, scope=scope)


def by_time(batch: Batch, width_us: int) -> Iterator[tuple[int, Batch]]:
    """Yield the predictions of each stretch of time with its beginning (µs), in order."""
    starts = batch.ts // width_us * width_us
    if (starts == starts[0]).all():
        yield int(starts[0]), batch
        return
    for start in np.unique(starts).tolist():
        yield start, batch.take(np.flatnonzero(starts == start))


def slices_of(batch: Batch, column: str, known: set[str]) -> Iterator[tuple[str, Batch]]:
    """Yield the predictions of each value of a column; nothing where it was not captured.

    ``known`` are the values that have a slice, and grows to 20; the rest are one slice, ``other``.
    """
    if column not in batch.frame:
        return
    values = batch.frame[column].tolist()
    words = ["missing" if is_missing(value) else str(value) for value in values]
    for word in dict.fromkeys(words):
        if len(known) < MOST_SLICES:
            known.add(word)
    named = np.array([word if word in known else OTHER_SLICE for word in words], dtype=object)
    for word in dict.fromkeys(named.tolist()):
        yield word, batch.take(np.flatnonzero(named == word))
