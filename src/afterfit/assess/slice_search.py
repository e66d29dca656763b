"""The search for slices with a higher mean loss, to two conditions, in the way of SliceLine.

Source: Sagadeeva and Boehm (2021), SliceLine, SIGMOD: a slice S of n rows with mean loss m scores
``a (m(S) / m - 1) - (1 - a) (n / |S| - 1)``, so it gains by its loss and pays for its size. Pairs
whose upper bound, from what is known of their two parts, cannot reach the best so far are not
counted. Different here: the ratio is shrunk towards 1 as if half an average error had been seen
more on both sides (Norén, Hopstadius and Bate 2013, Stat. Methods Med. Res. 22:57), so that rare
errors in few rows do not rise to the top; and numbers take every run of neighbouring ranges.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from afterfit.core.cuts import Cut, Span

__all__ = ["Coded", "Found", "distinct", "search"]

WEIGHT = 0.95
"""How much the loss counts against the size: the default of the paper."""
SHRINK = 0.5
MOST_SHARE = 0.5
"""A slice is at most this share of the rows."""
FINER = 4.0
"""Standard errors by which a pair must be worse than the rest of each of its parts."""
PER_PAIR = 3
POOL = 300
OVERLAP = 0.5
"""Of two slices that share more of their rows (Jaccard) the better scored one is told."""
OWN = 0.5
"""The share of its excess that a slice must keep without the rows of better ones."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Coded:
    """A column's cut and the cell of each row, int64 of [n]."""

    cut: Cut
    codes: np.ndarray


@dataclass(frozen=True)
class Found:
    """A slice: its spans by the place of their column, and its score."""

    score: float
    spans: tuple[tuple[int, Span], ...]

    @property
    def name(self) -> str:
        """What the rows have in common, in words."""
        return " and ".join(span.name for _, span in self.spans)

    def rows(self, columns: Sequence[Coded]) -> np.ndarray:
        """Return which rows lie in it, bool of [n]."""
        inside = [span.holds(columns[place].codes) for place, span in self.spans]
        rows: np.ndarray = np.logical_and.reduce(inside)
        return rows


@dataclass(frozen=True)
class _Scale:
    """What scores are relative to: rows, mean loss, shrinkage in units of loss, least rows."""

    n: int
    mean: float
    shrink: float
    least: int

    def score(self, size: FloatArray, total: FloatArray) -> FloatArray:
        ratio = (total + self.shrink) / (size * self.mean + self.shrink)
        loss, share = WEIGHT * (ratio - 1), self.n / np.maximum(size, 1.0)
        return np.asarray(loss - (1 - WEIGHT) * (share - 1), np.float64)


@dataclass(frozen=True)
class _Level:
    """The slices by one column: membership of its cells (s, cells), and sums, each (s,).

    ``top`` sums what is positive, ``square`` squares; ``peak`` is the greatest loss of a row.
    """

    place: int
    coded: Coded
    spans: list[Span]
    member: FloatArray
    size: FloatArray
    total: FloatArray
    top: FloatArray
    square: FloatArray
    peak: FloatArray
    score: FloatArray


def search(
    columns: Sequence[Coded],
    losses: FloatArray,
    least: int,
    *,
    deadline: float = math.inf,
    prune: bool = True,
) -> tuple[list[Found], bool]:
    """Return the best slices of at least ``least`` rows, best first, and whether all were seen.

    ``losses`` has one number a row, [n], of positive mean; single ones may be negative. The search
    ends early at ``deadline`` on the clock of `time.monotonic`. Without ``prune`` every pair is
    counted, which changes nothing but the time.
    """
    n, mean = len(losses), float(losses.mean()) if len(losses) else 0.0
    if n < 2 * least or mean <= 0:
        return [], True
    # Half an average error, in the unit of the losses: for errors 0 and 1 it is (1 - mean) / 2.
    scale = _Scale(n, mean, SHRINK * float(losses.var()) / mean, least)
    levels = [_level(place, coded, losses, scale) for place, coded in enumerate(columns)]
    pool = [
        Found(float(level.score[row]), ((level.place, level.spans[row]),))
        for level in levels
        for row in np.flatnonzero((level.score > 0) & (level.size <= MOST_SHARE * n)).tolist()
    ]
    pairs = [
        (bound, a, b) for a, b in combinations(levels, 2) if (bound := _bound(a, b, scale)) > 0
    ]
    for bound, a, b in sorted(pairs, key=lambda pair: -pair[0]):
        if len(pool) > 2 * POOL:
            pool = sorted(pool, key=_rank)[:POOL]
        floor = min(found.score for found in pool) if len(pool) >= POOL else 0.0
        if prune and bound <= floor:
            break
        if time.monotonic() > deadline:
            return sorted(pool, key=_rank)[:POOL], False
        pool += _pairs(a, b, losses, scale, floor)
    return sorted(pool, key=_rank)[:POOL], True


def _rank(found: Found) -> tuple[float, str]:
    return -found.score, found.name


def _level(place: int, coded: Coded, losses: FloatArray, scale: _Scale) -> _Level:
    cells, codes = coded.cut.cells, coded.codes
    spans = coded.cut.spans()
    member = np.zeros((len(spans), cells))
    for row, span in enumerate(spans):
        member[row, span.first : span.last + 1] = 1.0
    weighted = [
        member @ np.bincount(codes, weights, cells)
        for weights in (None, losses, np.maximum(losses, 0.0), losses * losses)
    ]
    peaks = np.zeros(cells)
    np.maximum.at(peaks, codes, losses)
    # Parts with less loss than the average may still hold a bad pair; those without any cannot.
    kept = (weighted[0] >= scale.least) & (weighted[2] > 0)
    size, total, top, square = (each[kept] for each in weighted)
    return _Level(
        place,
        coded,
        [span for span, keep in zip(spans, kept.tolist(), strict=True) if keep],
        member[kept],
        size,
        total,
        top,
        square,
        (member[kept] * peaks).max(axis=1, initial=0.0),
        scale.score(size, total),
    )


def _bound(a: _Level, b: _Level, scale: _Scale) -> float:
    """Return what no pair of slices of two columns can score more than."""
    if not len(a.size) or not len(b.size):
        return -math.inf
    size = np.minimum(np.minimum.outer(a.size, b.size), MOST_SHARE * scale.n)
    peak = np.minimum.outer(a.peak, b.peak)
    top = np.minimum(np.minimum.outer(a.top, b.top), size * peak)
    # The ratio is greatest in the smallest slice that can hold so much loss.
    smallest = np.maximum(scale.least, top / np.maximum(peak, 1e-300))
    ratio = (top + scale.shrink) / (smallest * scale.mean + scale.shrink)
    bound = WEIGHT * (ratio - 1) - (1 - WEIGHT) * (scale.n / size - 1)
    return float(bound.max())


def _pairs(a: _Level, b: _Level, losses: FloatArray, scale: _Scale, floor: float) -> list[Found]:
    """Return the best pairs of two columns that score more than ``floor`` and than their parts."""
    width = b.coded.cut.cells
    shape = a.coded.cut.cells, width
    both = a.coded.codes * width + b.coded.codes
    counts = np.bincount(both, minlength=shape[0] * width).reshape(shape)
    sums = np.bincount(both, losses, shape[0] * width).reshape(shape)
    size = a.member @ counts @ b.member.T
    total = a.member @ sums @ b.member.T
    score = scale.score(size, total)
    fit = (size >= scale.least) & (size <= MOST_SHARE * scale.n)
    fit &= score > np.maximum(np.maximum.outer(a.score, b.score), floor)
    if not fit.any():
        return []
    fit &= _finer(size, total, a.size[:, None], a.total[:, None], a.square[:, None])
    fit &= _finer(size, total, b.size, b.total, b.square)
    found = np.flatnonzero(fit)
    best = found[np.argsort(-score.reshape(-1)[found], kind="stable")][:PER_PAIR]
    rows, columns = np.unravel_index(best, score.shape)
    return [
        Found(float(score[i, j]), ((a.place, a.spans[i]), (b.place, b.spans[j])))
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


def _finer(
    size: FloatArray,
    total: FloatArray,
    whole: FloatArray,
    whole_total: FloatArray,
    square: FloatArray,
) -> np.ndarray:
    """Return which slices are surely worse than the rest of a part of them."""
    rest = whole - size
    divisor = np.maximum(rest, 1.0)
    gap = total / np.maximum(size, 1.0) - (whole_total - total) / divisor
    variance = np.maximum(square / whole - (whole_total / whole) ** 2, 0.0)
    error = np.sqrt(variance * (1 / np.maximum(size, 1.0) + 1 / divisor))
    finer: np.ndarray = (rest >= 1) & (gap > FINER * error)
    return finer


def distinct(
    pool: Sequence[Found],
    columns: Sequence[Coded],
    losses: FloatArray,
    least: int,
    most: int,
    before: Sequence[Found] = (),
) -> list[Found]:
    """Return at most ``most`` slices of the pool that each tell of other rows, in their order.

    Left out are near-duplicates of a better one or of those ``before`` (by Jaccard), and slices
    that are worse only because they share rows with these.
    """
    mean = float(losses.mean()) if len(losses) else 0.0
    kept: list[Found] = []
    masks = [found.rows(columns) for found in before]
    told = np.logical_or.reduce([np.zeros(len(losses), bool), *masks])
    for found in pool:
        if len(kept) >= most:
            break
        rows = found.rows(columns)
        own = rows & ~told
        size = int(rows.sum())
        excess = float(losses[rows].mean()) - mean
        if int(own.sum()) < max(1, least // 2) or excess <= 0:
            continue
        if float(losses[own].mean()) - mean < OWN * excess:
            continue
        shared = [int((rows & mask).sum()) for mask in masks]
        sizes = [int(mask.sum()) for mask in masks]
        pairs = zip(shared, sizes, strict=True)
        if any(both / (size + other - both) > OVERLAP for both, other in pairs):
            continue
        kept.append(found)
        masks.append(rows)
        told |= rows
    return kept
