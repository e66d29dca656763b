"""The smallest change of a row that turns its decision: greedy by column, then reduced.

The model is only asked (black box). One column at a time is moved outwards on a grid, and the first
step that turns the decision is halved back; where no single column does, the best step is kept and
the next column is tried; at the end earlier steps are taken back as far as the decision stays
turned. Every change told was seen to turn the decision; a smaller one may exist between the steps.
In the line of greedy searches such as Yang et al. (2020), JMLR 21(43).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from afterfit.core import frame as frames
from afterfit.core.frame import Frame, Predictions
from afterfit.models.timebox import TimeOverError
from afterfit.robustness.evidence import Evidence
from afterfit.robustness.movable import Axis, Step
from afterfit.robustness.probe import unusable

__all__ = ["Change", "Search", "smallest_changes"]

MOST_MOVED = 4
"""Columns that are moved in one row, at most."""
HALVINGS = 14
CALL_ROWS = 20_000

Change = tuple[Step, ...]


class Asked(NamedTuple):
    """Of each changed row: whether its decision turned, and how far it is from turning."""

    turned: np.ndarray
    margin: np.ndarray


@dataclass(frozen=True)
class Search:
    """Rows with their answers, and the columns that may be moved.

    ``amount`` is by how much a value of a regression must move, in its own unit.
    """

    evidence: Evidence
    rows: Frame
    before: Predictions
    axes: tuple[Axis, ...]
    amount: float

    def ask(self, places: Sequence[int], changes: Sequence[Change]) -> Asked:
        """Return what became of some rows with a change each; raises TimeOverError.

        A row without a usable answer has not turned.
        """
        size = min(CALL_ROWS, self.evidence.rows_a_call)
        turned, margins = [np.zeros(0, dtype=bool)], [np.zeros(0)]
        for start in range(0, len(places), size):
            some = np.array(places[start : start + size])
            frame = self._changed(some, changes[start : start + size])
            found = self.evidence.ask(frame)[0]
            if found is None:
                turned.append(np.zeros(len(some), dtype=bool))
                margins.append(np.full(len(some), np.inf))
                continue
            told = self._judged(some, found)
            turned.append(told.turned)
            margins.append(told.margin)
        return Asked(np.concatenate(turned), np.concatenate(margins))

    def _changed(self, places: np.ndarray, changes: Sequence[Change]) -> Frame:
        rows = {name: values[places] for name, values in self.rows.items()}
        for row, change in enumerate(changes):
            for step in change:
                rows[step.axis.name][row] = step.value
        return rows

    def _judged(self, places: np.ndarray, after: Predictions) -> Asked:
        before, signature = self.before.take(places), self.evidence.signature
        usable = ~unusable(after)
        if before.values is not None and after.values is not None:
            gap = np.abs(after.values - before.values)
            return Asked(usable & (gap >= self.amount), np.where(usable, -gap, np.inf))
        codes = signature.codes(before)
        turned = usable & (signature.codes(after) != codes)
        if after.probabilities is None:
            return Asked(turned, np.zeros(len(places)))
        rest = after.probabilities.copy()
        rows = np.arange(len(places))
        own = rest[rows, codes]
        rest[rows, codes] = -np.inf
        return Asked(turned, np.where(usable, own - rest.max(axis=1), np.inf))


def smallest_changes(search: Search) -> tuple[dict[int, Change], bool]:
    """Return the smallest change found by row, and whether the time sufficed for all of them.

    Fewest columns first, then the sum of sizes. Raises TimeOverError where not even one column of
    each row could be tried.
    """
    n = frames.row_count(search.rows)
    found, best = _extended(search, dict.fromkeys(range(n), ()))
    try:
        for _ in range(MOST_MOVED - 1):
            if not best:
                break
            more, best = _extended(search, best)
            found |= _reduced(search, more)
    except TimeOverError:
        return found, False
    return found, True


def _extended(
    search: Search, open_rows: dict[int, Change]
) -> tuple[dict[int, Change], dict[int, Change]]:
    """Return the rows that one more column turns, and the best step of the others."""
    places, changes, before = [], [], []
    for row, prefix in open_rows.items():
        used = {step.axis.name for step in prefix}
        for axis in search.axes:
            if axis.name in used:
                continue
            last: Step | None = None
            for step in axis.steps(search.rows[axis.name][row]):
                inward = last if last is not None and last.way == step.way != 0 else None
                places.append(row)
                changes.append((*prefix, step))
                before.append(0.0 if inward is None else inward.size)
                last = step
    asked = search.ask(places, changes)
    brackets = _first_turns(places, changes, before, asked)
    found = _halved(search, brackets)
    best: dict[int, tuple[float, Change]] = {}
    for row, change, margin in zip(places, changes, asked.margin.tolist(), strict=True):
        if row not in found and (row not in best or margin < best[row][0]):
            best[row] = (margin, change)
    return found, {row: change for row, (_, change) in best.items()}


def _first_turns(
    places: Sequence[int], changes: Sequence[Change], before: Sequence[float], asked: Asked
) -> list[tuple[int, Change, float]]:
    """Return (row, change, size that did not turn) of the first turn in each direction."""
    seen: set[tuple[int, str, int]] = set()
    first = []
    for index in np.flatnonzero(asked.turned).tolist():
        step = changes[index][-1]
        key = (places[index], step.axis.name, step.way)
        if key not in seen:
            seen.add(key)
            first.append((places[index], changes[index], before[index]))
    least: dict[int, float] = {}
    for row, change, _ in first:
        least[row] = min(least.get(row, np.inf), change[-1].size)
    # What did not turn at a larger size than another turned at cannot become the smallest.
    return [each for each in first if each[2] < least[each[0]]]


def _halved(search: Search, brackets: Sequence[tuple[int, Change, float]]) -> dict[int, Change]:
    """Return by row the smallest of its changes after halving each back towards what did not."""
    places = [row for row, _, _ in brackets]
    changes = _back(search, places, [change for _, change, _ in brackets],
                    [low for _, _, low in brackets], -1)  # fmt: skip
    found: dict[int, Change] = {}
    for row, change in zip(places, changes, strict=True):
        if row not in found or change[-1].size < found[row][-1].size:
            found[row] = change
    return found


def _back(
    search: Search,
    places: Sequence[int],
    changes: Sequence[Change],
    lows: Sequence[float],
    which: int,
) -> list[Change]:
    """Return the changes with one of their steps halved back as far as the decision stays turned.

    ``lows`` are sizes of that step at which it is not turned.
    """
    now, low = list(changes), list(lows)
    for _ in range(HALVINGS):
        tried: list[int] = []
        middles: list[Change] = []
        for index, change in enumerate(now):
            step = change[which]
            if not step.way:
                continue
            start = search.rows[step.axis.name][places[index]]
            middle = step.axis.step(start, step.way, (low[index] + step.size) / 2)
            if low[index] < middle.size < step.size:
                tried.append(index)
                middles.append(_with(change, which, middle))
        if not tried:
            break
        turned = search.ask([places[index] for index in tried], middles).turned.tolist()
        for index, shorter, hit in zip(tried, middles, turned, strict=True):
            if hit:
                now[index] = shorter
            else:
                low[index] = shorter[which].size
    return now


def _with(change: Change, which: int, step: Step) -> Change:
    steps = list(change)
    steps[which] = step
    return tuple(steps)


def _reduced(search: Search, found: dict[int, Change]) -> dict[int, Change]:
    """Return the changes without the columns that they do not need, and with the rest cut back."""
    now = dict(found)
    for place in range(MOST_MOVED - 1):
        rows = [row for row, change in now.items() if place < len(change) - 1]
        if not rows:
            break
        without = [_left_out(now[row], place) for row in rows]
        needless = search.ask(rows, without).turned.tolist()
        needed = []
        for row, change, gone in zip(rows, without, needless, strict=True):
            if gone:
                now[row] = change
            else:
                needed.append(row)
        cut = _back(search, needed, [now[row] for row in needed], [0.0] * len(needed), place)
        now |= dict(zip(needed, cut, strict=True))
    return now


def _left_out(change: Change, place: int) -> Change:
    return change[:place] + change[place + 1 :]
