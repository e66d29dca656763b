"""The score table: what quality is computed from, in kilobytes, and exact to merge.

One row of a log adds one to a few counts. Two tables of one model add up count by count, so those
of hours make that of a day, in any order. Whole numbers merge exactly; the sums of losses, as far
as float64 goes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterfit.core.formulae import confusion_matrix, row_losses
from afterfit.core.signature import Signature, Task
from afterfit.stats.score_bins import BINS, bin_of

__all__ = ["ERROR_BINS", "LossSum", "ScoreTable", "error_bounds"]

MOST_CLASSES = 10
"""With more classes than this, scores are counted in one row for all decided classes."""
ERROR_BINS = 256
PER_OCTAVE = 4
GREATEST = sys.float_info.max


class LossSum(msgspec.Struct, kw_only=True):
    """The sums of n numbers and of their squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Add finite numbers, [n]; squares that leave float64 stay at its end."""
        with np.errstate(over="ignore"):
            self.n += len(values)
            self.total = _held(self.total + float(values.sum()))
            self.squares = _held(self.squares + float(np.square(values).sum()))

    def merge(self, other: LossSum) -> None:
        """Add the sums of other numbers."""
        self.n += other.n
        self.total = _held(self.total + other.total)
        self.squares = _held(self.squares + other.squares)


class ScoreTable(msgspec.Struct, kw_only=True):
    """The counts of one model's answers in one window, and of those whose truth is known.

    ``answers`` counts all answers, ``[decided class][bin of the score]``, labelled or not;
    ``hits`` and ``misses`` the labelled ones among them. A hit is a row of the positive class
    where there is one (the score is then its probability), and else a row decided rightly (the
    score is the top probability). ``decided`` counts answers by class, with or without a score;
    ``cells`` labelled ones, ``[true class][decided class]``, flat. A regression has ``answered``,
    sums of its errors (prediction less truth), and a histogram of their sizes, four bins an
    octave. ``unclear`` counts labels that are no class of the model, or not finite.
    """

    task: Task
    classes: int = 0
    positive: int | None = None
    answered: int = 0
    unclear: int = 0
    decided: list[int] = []
    cells: list[int] = []
    answers: list[list[int]] = []
    hits: list[list[int]] = []
    misses: list[list[int]] = []
    brier: LossSum = msgspec.field(default_factory=LossSum)
    log_loss: LossSum = msgspec.field(default_factory=LossSum)
    error: LossSum = msgspec.field(default_factory=LossSum)
    absolute: LossSum = msgspec.field(default_factory=LossSum)
    squared: LossSum = msgspec.field(default_factory=LossSum)
    sizes: list[int] = []
    schema: int = 1

    @classmethod
    def of(cls, signature: Signature) -> ScoreTable:
        """Return an empty table for a model."""
        return cls.empty(signature.task, len(signature.classes), signature.positive_index)

    @classmethod
    def empty(cls, task: Task, classes: int = 0, positive: int | None = None) -> ScoreTable:
        """Return an empty table; ``classes`` is 0 for a regression."""
        if task == "regression":
            return cls(task=task, sizes=[0] * ERROR_BINS)
        rows = classes if classes <= MOST_CLASSES else 1
        return cls(
            task=task,
            classes=classes,
            positive=positive,
            decided=[0] * classes,
            cells=[0] * (classes * classes),
            answers=_zeros(rows),
            hits=_zeros(rows),
            misses=_zeros(rows),
        )

    @property
    def labelled(self) -> int:
        """The number of answers whose truth is known."""
        return self.absolute.n if self.task == "regression" else sum(self.cells)

    def blank(self) -> ScoreTable:
        """Return an empty table for the same model."""
        return ScoreTable.empty(self.task, self.classes, self.positive)

    def update(
        self,
        scores: NDArray[Any],
        codes: NDArray[Any],
        truth: NDArray[Any] | None = None,
        probabilities: NDArray[Any] | None = None,
    ) -> None:
        """Add some answers, each once.

        ``scores`` float64 of [n], NaN where there is none; ``codes`` int64 of [n], -1 where
        unknown. ``truth`` holds class codes, int64 of [n], -1 where no truth is known and -2 for
        a label that is no class; or values, float64 of [n], NaN where not known and infinite for
        a label that is no number. ``probabilities`` of [n, classes] give a model of three or
        more classes its losses.
        """
        if self.task == "regression":
            self._update_values(np.asarray(scores, np.float64), truth)
            return
        codes = np.asarray(codes, np.int64)
        known = (codes >= 0) & (codes < self.classes)
        self.answered += int(known.sum())
        self.decided = _plus(self.decided, np.bincount(codes[known], minlength=self.classes))
        scored = known & np.isfinite(scores)
        self._count(self.answers, codes, scores, scored)
        if truth is None:
            return
        truth = np.asarray(truth, np.int64)
        self.unclear += int((truth < -1).sum())
        labelled = known & (truth >= 0) & (truth < self.classes)
        cells = confusion_matrix(truth[labelled], codes[labelled], n_classes=self.classes)
        self.cells = _plus(self.cells, cells.ravel())
        hit = truth == (codes if self.positive is None else self.positive)
        self._count(self.hits, codes, scores, scored & labelled & hit)
        self._count(self.misses, codes, scores, scored & labelled & ~hit)
        self._add_losses(scores, truth, labelled & scored, probabilities)

    def _count(
        self, rows: list[list[int]], codes: NDArray[Any], scores: NDArray[Any], which: NDArray[Any]
    ) -> None:
        if not which.any():
            return
        row = codes[which] if len(rows) > 1 else np.zeros(int(which.sum()), np.int64)
        places = row * BINS + bin_of(scores[which])
        counts = np.bincount(places, minlength=len(rows) * BINS).reshape(-1, BINS)
        for place in np.flatnonzero(counts.any(axis=1)).tolist():
            rows[place] = _plus(rows[place], counts[place])

    def _add_losses(
        self,
        scores: NDArray[Any],
        truth: NDArray[Any],
        rows: NDArray[Any],
        probabilities: NDArray[Any] | None,
    ) -> None:
        answers, positive = probabilities, None
        if self.positive is not None and self.classes == 2:
            answers, positive = np.clip(np.asarray(scores, np.float64), 0.0, 1.0), self.positive
        if answers is None:
            return
        if answers.ndim == 2:
            rows = rows & np.isfinite(answers).all(axis=1)
        if rows.any():
            for name, sums in (("brier", self.brier), ("log_loss", self.log_loss)):
                sums.add(row_losses(name, truth[rows], answers[rows], positive=positive))

    def _update_values(self, scores: NDArray[Any], truth: NDArray[Any] | None) -> None:
        self.answered += int(np.isfinite(scores).sum())
        if truth is None:
            return
        values = np.asarray(truth, np.float64)
        self.unclear += int(np.isinf(values).sum())
        rows = np.isfinite(scores) & np.isfinite(values)
        with np.errstate(over="ignore"):
            errors = np.clip(scores[rows] - values[rows], -GREATEST, GREATEST)
            sizes = np.abs(errors)
            squares = np.minimum(np.square(errors), GREATEST)
        self.error.add(errors)
        self.absolute.add(sizes)
        self.squared.add(squares)
        self.sizes = _plus(self.sizes, np.bincount(_size_bin(sizes), minlength=ERROR_BINS))

    def merge(self, other: ScoreTable) -> None:
        """Add the counts of another window; raises ValueError for those of another model."""
        mine, theirs = ((t.task, t.classes, t.positive) for t in (self, other))
        if mine != theirs:
            raise ValueError(f"score tables of {mine} and {theirs} cannot be merged")
        self.answered += other.answered
        self.unclear += other.unclear
        for name in ("decided", "cells", "sizes"):
            setattr(self, name, _plus(getattr(self, name), np.array(getattr(other, name), int)))
        for name in ("answers", "hits", "misses"):
            pairs = zip(getattr(self, name), getattr(other, name), strict=True)
            setattr(self, name, [_plus(a, np.array(b, int)) for a, b in pairs])
        for name in ("brier", "log_loss", "error", "absolute", "squared"):
            getattr(self, name).merge(getattr(other, name))

    def confusion(self) -> NDArray[np.int64]:
        """Return labelled rows as a matrix, [true class, decided class]."""
        return np.array(self.cells, np.int64).reshape(self.classes, self.classes)

    def by_bin(self, name: str) -> NDArray[np.int64]:
        """Return ``answers``, ``hits`` or ``misses`` by bin over all decided classes, [BINS]."""
        found: NDArray[np.int64] = np.array(getattr(self, name), np.int64).sum(axis=0)
        return found


def error_bounds() -> NDArray[np.float64]:
    """Return the upper bounds of the bins of sizes of errors, the last of which has none."""
    steps = np.arange(1, ERROR_BINS) - ERROR_BINS // 2
    return np.exp2(steps / PER_OCTAVE)


def _size_bin(sizes: NDArray[Any]) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(error_bounds(), sizes, side="left"), np.int64)


def _zeros(rows: int) -> list[list[int]]:
    return [[0] * BINS for _ in range(rows)]


def _plus(counts: Sequence[int], more: NDArray[Any]) -> list[int]:
    found: list[int] = (np.array(counts, np.int64) + more).tolist()
    return found


def _held(number: float) -> float:
    """Return a number within float64, as JSON knows no other."""
    return math.copysign(GREATEST, number) if math.isinf(number) else number
