"""What one model did in one role, and how a shadow differs, counted in the file that workers share.

All are sums, so that workers add up and a later count less an earlier one is what happened in
between; ``last`` and ``largest`` are maxima.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from afterfit.runtime.slots import MODELS, PAIRS

__all__ = [
    "BOUNDS",
    "CLASSES",
    "WIDTH",
    "ModelTally",
    "ModelTotals",
    "PairTally",
    "PairTotals",
    "model_start",
    "pair_start",
]

CLASSES = 16
"""Classes that are counted one by one; the last of them holds all later ones as well."""
BOUNDS = tuple(16e-6 * 2 ** (step / 2) for step in range(47))
"""Upper bounds in seconds, 16 µs to 134 s: a quantile is known to a factor of 1.41."""
FEW = 64
"""Up to so many rows are counted one by one: quicker than to ask numpy."""
GREATEST = 1e150
"""Greater values count as this one: a square that overflows would stay in the sums for ever."""

_SUMS = (
    "requests",
    "seconds",
    "seconds_sq",
    "failed",
    "failed_seconds",
    "queue_seconds",
    "input_seconds",
    "infer_seconds",
    "output_seconds",
    "rows",
    "calls",
    "routed",
    "busy",
    "late",
    "defect",
    "values",
    "value_sum",
    "value_sq",
    "ood",
)
_PLACES = {name: place for place, name in enumerate((*_SUMS, "last", "busy_since"))}
_LAST, _BUSY_SINCE = _PLACES["last"], _PLACES["busy_since"]
_LABELS = len(_PLACES)
_BUCKETS = _LABELS + CLASSES
_MODEL_WIDTH = _BUCKETS + len(BOUNDS) + 1

_PAIR_SUMS = ("rows", "flips", "scores", "difference", "absolute", "square", "dropped", "failed")
_PAIR_PLACES = {name: place for place, name in enumerate((*_PAIR_SUMS, "largest"))}
_PAIR_WIDTH = len(_PAIR_PLACES)

_PAIRS_BEGIN = (MODELS + 1) * _MODEL_WIDTH
WIDTH = _PAIRS_BEGIN + (PAIRS + 1) * _PAIR_WIDTH
"""Doubles that the tallies of one worker take."""


class ModelTotals(msgspec.Struct, kw_only=True):
    """The counts of one model in one role; seconds, and rows by class and requests by latency.

    ``busy``, ``late`` and ``defect`` are requests that its stand-in answered, and why. ``routed``
    are requests that the document's shares sent to it, ``ood`` rows unlike the reference. ``last``
    is seconds since 1970.
    """

    requests: float = 0.0
    seconds: float = 0.0
    seconds_sq: float = 0.0
    failed: float = 0.0
    failed_seconds: float = 0.0
    queue_seconds: float = 0.0
    input_seconds: float = 0.0
    infer_seconds: float = 0.0
    output_seconds: float = 0.0
    rows: float = 0.0
    calls: float = 0.0
    routed: float = 0.0
    busy: float = 0.0
    late: float = 0.0
    defect: float = 0.0
    values: float = 0.0
    value_sum: float = 0.0
    value_sq: float = 0.0
    ood: float = 0.0
    last: float = 0.0
    labels: list[float] = []
    buckets: list[float] = []

    def less(self, earlier: ModelTotals) -> ModelTotals:
        """Return what came after ``earlier``."""
        sums = {name: getattr(self, name) - getattr(earlier, name) for name in _SUMS}
        return ModelTotals(
            **sums,
            last=self.last,
            labels=_less(self.labels, earlier.labels),
            buckets=_less(self.buckets, earlier.buckets),
        )


class PairTotals(msgspec.Struct, kw_only=True):
    """How a shadow's answers differ from the primary's; ``difference`` is shadow less primary.

    ``flips`` are rows with another class. ``scores`` are rows whose scores were compared (the
    positive class's probability, the top one's, or the value): ``difference``, ``absolute`` and
    ``square`` are sums over them, ``largest`` is the greatest absolute difference. ``dropped``
    rows found no room, ``failed`` rows no answer.
    """

    rows: float = 0.0
    flips: float = 0.0
    scores: float = 0.0
    difference: float = 0.0
    absolute: float = 0.0
    square: float = 0.0
    dropped: float = 0.0
    failed: float = 0.0
    largest: float = 0.0

    def merge(self, other: PairTotals) -> PairTotals:
        """Return both together."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in _PAIR_SUMS}
        return PairTotals(**sums, largest=max(self.largest, other.largest))


class ModelTally:
    """One worker's counts of one model in one role: a place in its row of the shared file."""

    __slots__ = ("_base", "_table")

    def __init__(self, table: memoryview[float], base: int) -> None:
        self._table = table
        self._base = base

    @classmethod
    def alone(cls) -> ModelTally:
        """Return counts that nobody else sees."""
        return cls(memoryview(array("d", bytes(8 * _MODEL_WIDTH))), 0)

    def enter(self, now: float) -> None:
        """Tell that a call of the model began, in seconds of the monotonic clock."""
        self._table[self._base + _BUSY_SINCE] = now

    def leave(self) -> None:
        """Tell that the call has ended."""
        self._table[self._base + _BUSY_SINCE] = 0.0

    def add(self, name: str, amount: float = 1.0) -> None:
        """Add to one sum."""
        self._table[self._base + _PLACES[name]] += amount

    def called(self, rows: int, codes: Sequence[int], values: np.ndarray | None) -> None:
        """Count a call of the model: its rows, and what it said of them."""
        table, base = self._table, self._base
        table[base + _ROWS] += rows
        table[base + _CALLS] += 1.0
        labels, top = base + _LABELS, CLASSES - 1
        if len(codes) <= FEW:
            for code in codes:
                table[labels + (min(top, code))] += 1.0
        else:
            for code, count in Counter(codes).items():
                table[labels + min(code, top)] += count
        if values is not None:
            values = values.clip(-GREATEST, GREATEST)
            table[base + _PLACES["values"]] += rows
            table[base + _PLACES["value_sum"]] += float(values.sum())
            table[base + _PLACES["value_sq"]] += float(values @ values)

    def answered(self, spent: Sequence[float], phases: tuple[float, ...], now: float) -> None:
        """Count answers: the seconds of each, and the sums of queue, input, infer and output."""
        table, base = self._table, self._base
        buckets = base + _BUCKETS
        total = squares = 0.0
        for seconds in spent:
            total += seconds
            squares += seconds * seconds
            table[buckets + bisect_left(BOUNDS, seconds)] += 1.0
        table[base] += len(spent)
        table[base + 1] += total
        table[base + 2] += squares
        for place, seconds in enumerate(phases, _QUEUE):
            table[base + place] += seconds
        table[base + _LAST] = now


class PairTally:
    """One process's counts of how a shadow differs."""

    __slots__ = ("_base", "_table")

    def __init__(self, table: memoryview[float], base: int) -> None:
        self._table = table
        self._base = base

    def add(self, name: str, amount: float) -> None:
        """Add to one sum."""
        self._table[self._base + _PAIR_PLACES[name]] += amount

    def compared(self, flips: int, differences: np.ndarray, rows: int) -> None:
        """Count rows that both have answered; ``differences`` are shadow less primary."""
        differences = differences.clip(-GREATEST, GREATEST)
        gaps = np.abs(differences)
        self.add("rows", rows)
        self.add("flips", flips)
        self.add("scores", len(gaps))
        self.add("difference", float(differences.sum()))
        self.add("absolute", float(gaps.sum()))
        self.add("square", float(gaps @ gaps))
        place = self._base + _PAIR_PLACES["largest"]
        self._table[place] = max(self._table[place], float(gaps.max(initial=0.0)))


_ROWS, _CALLS, _QUEUE = _PLACES["rows"], _PLACES["calls"], _PLACES["queue_seconds"]


def model_start(index: int | None) -> int:
    """Return where a model's counts begin in a worker's tallies; None is the shared last slot."""
    return _MODEL_WIDTH * (MODELS if index is None else index)


def pair_start(index: int | None) -> int:
    """Return where a pair's counts begin in a worker's tallies; None is the shared last slot."""
    return _PAIRS_BEGIN + _PAIR_WIDTH * (PAIRS if index is None else index)


def model_width() -> int:
    """Return the doubles that a model takes."""
    return _MODEL_WIDTH


def pair_width() -> int:
    """Return the doubles that a pair takes."""
    return _PAIR_WIDTH


def model_totals(workers: np.ndarray) -> ModelTotals:
    """Return the totals of the rows of all workers, [workers, doubles of a model]."""
    if not len(workers):
        return ModelTotals()
    total = workers.sum(axis=0).tolist()
    return ModelTotals(
        **{name: total[_PLACES[name]] for name in _SUMS},
        last=float(workers[:, _LAST].max()),
        labels=total[_LABELS:_BUCKETS],
        buckets=total[_BUCKETS:],
    )


def pair_totals(workers: np.ndarray) -> PairTotals:
    """Return the totals of the rows of all processes, [processes, doubles of a pair]."""
    if not len(workers):
        return PairTotals()
    total = workers.sum(axis=0).tolist()
    largest = float(workers[:, _PAIR_PLACES["largest"]].max())
    return PairTotals(**{name: total[_PAIR_PLACES[name]] for name in _PAIR_SUMS}, largest=largest)


def busy_since(row: np.ndarray) -> float:
    """Return when the oldest call began that one worker is in; 0 where it is in none.

    ``row`` holds the tallies of one worker.
    """
    calls = _calls(row)
    running = calls[calls > 0]
    return float(running.min()) if len(running) else 0.0


def stop_calls(row: np.ndarray) -> None:
    """Take note that a worker is in no call any more: it has ended."""
    _calls(row)[:] = 0.0


def _calls(row: np.ndarray) -> np.ndarray:
    return row[:_PAIRS_BEGIN].reshape(MODELS + 1, _MODEL_WIDTH)[:, _BUSY_SINCE]


def _less(now: list[float], before: list[float]) -> list[float]:
    return [a - b for a, b in zip(now, before, strict=True)] if before else list(now)
