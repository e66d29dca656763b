"""Whether live rows can be told from the reference's by all columns together.

Two signals on sampled rows. A classifier learns to tell both apart on half of the rows, and is
judged by its ROC AUC on the other half (C2ST; Lopez-Paz and Oquab 2017, arXiv 1610.06545). And a
row's distance from the principal components of the reference shows relations between columns that
no longer hold. Both end in ranks of rows that took no part in the fit, whose null distribution is
known: that of Mann and Whitney, with the noise of both samples in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterfit.core.fingerprint import OUTPUT, Fingerprint
from afterfit.core.ranking import midranks
from afterfit.models.domain import fit_domain
from afterfit.models.one_thread import one_thread
from afterfit.monitor.sample import Sample
from afterfit.records.signals import PointState, Scope, SignalPoint
from afterfit.stats.delong import delong

__all__ = ["NEEDED", "Limits", "Rows", "domain_classifier", "reconstruction", "rows_of"]

FloatArray = NDArray[np.float64]
NEEDED = 400
"""Rows of each side below which nothing is said."""
MOST_ROWS = 25_000
EXPLAINED = 0.65
MOST_CATEGORIES = 20
_FEW_ROWS = 5000
_LARGEST = 1e6
_LARGE = np.float32(1e30)


@dataclass(frozen=True)
class Rows:
    """Sampled rows: ``matrix`` float32 of [n, columns] as ``sample.encode_column`` gives them.

    ``categories`` tells which columns are places among categories.
    """

    names: tuple[str, ...]
    matrix: np.ndarray
    categories: tuple[bool, ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.matrix)

    def columns(self, places: Sequence[int]) -> Rows:
        """Return the same rows with some of the columns."""
        names = tuple(self.names[place] for place in places)
        kinds = tuple(self.categories[place] for place in places)
        return Rows(names, self.matrix[:, places], kinds)


@dataclass(frozen=True)
class Limits:
    """How sure to be: ``chance`` is the share of windows without a change that alarm.

    ``least`` is the smallest distance of an AUC from 0.5 that is worth knowing.
    """

    chance: float = 0.01
    least: float = 0.05
    level: float = 0.95
    seed: int = 0


def rows_of(sample: Sample, reference: Fingerprint) -> Rows:
    """Return a window's sample without its outputs."""
    kinds = tuple(column.kind == "category" for column in reference.columns)
    names = tuple(name for name in sample.names if name != OUTPUT)
    return Rows(names, sample.matrix()[:, : len(names)], kinds)


def domain_classifier(
    reference: Rows, live: Rows, scope: Scope, span: tuple[int, int], limits: Limits
) -> SignalPoint:
    """Return how well a classifier tells live rows from the reference's, as a ROC AUC.

    0.5 is not at all. Gradient-boosted trees take missing values as they are. The columns that it
    tells them by are in the evidence, with what shuffling each costs the AUC.
    """
    few = _too_few("domain", reference, live, scope, span)
    if few is not None:
        return few
    fit, held = _halves(reference, live, limits.seed)
    names = tuple(name for name, keep in zip(reference.names, _vary(fit[0]), strict=True) if keep)
    fit, held = ((part[0][:, _vary(fit[0])], part[1]) for part in (fit, held))
    with one_thread():
        likeness = fit_domain(*fit, seed=limits.seed)
        scores = likeness(held[0])
    point = _point("domain", scores, held[1], scope, span, limits, two_sided=False)
    if point.state != "alarm":
        return point
    told = _told_by(likeness, held, names, limits.seed)
    first = ", ".join(told)
    message = f"{point.message}; told apart by {first}" if told else point.message
    return msgspec.structs.replace(point, message=message, evidence={"columns": told})


def reconstruction(
    reference: Rows, live: Rows, scope: Scope, span: tuple[int, int], limits: Limits
) -> SignalPoint:
    """Return how often a live row lies farther from the reference's structure than one of its own.

    The structure are the principal components that explain 65 % of the variance of half of the
    reference's rows, standardized, with a column for each gap and category. 0.5 is as often as
    not. It says nothing where columns do not hang together.
    """
    few = _too_few("structure", reference, live, scope, span)
    if few is not None:
        return few
    random = np.random.default_rng(limits.seed)
    order = random.permutation(len(reference))[: 2 * MOST_ROWS]
    half = len(order) // 2
    fitted, own = reference.matrix[order[:half]], reference.matrix[order[half:]]
    other = live.matrix[random.permutation(len(live))[:MOST_ROWS]]
    with one_thread():
        spread = _Spread(fitted, reference.categories)
        errors = spread.errors(np.concatenate([own, other]))
    is_live = np.repeat([0, 1], [len(own), len(other)])
    return _point("structure", errors, is_live, scope, span, limits, two_sided=True)


class _Spread:
    """The principal components of some rows, and how far others are from them."""

    def __init__(self, rows: np.ndarray, categories: tuple[bool, ...]) -> None:
        self._categories = categories
        self._known = [
            _common(rows[:, i]) if category else np.empty(0)
            for i, category in enumerate(categories)
        ]
        raw = self._wide(rows)
        with np.errstate(invalid="ignore"):
            count = np.maximum(np.isfinite(raw).sum(axis=0), 1)
            self._middle = np.where(np.isfinite(raw), raw, 0.0).sum(axis=0) / count
            away = np.where(np.isfinite(raw), raw - self._middle, 0.0)
        width = np.sqrt(np.square(away).mean(axis=0))
        self._width = np.where(width > 0, width, 1.0)
        x = self._standard(rows)
        values, vectors = np.linalg.eigh(x.T @ x / len(x))
        explained = np.cumsum(values[::-1])
        kept = int(np.searchsorted(explained, EXPLAINED * explained[-1])) + 1
        self._vectors = vectors[:, ::-1][:, :kept]

    def errors(self, rows: np.ndarray) -> FloatArray:
        """Return the distance of each row from the components, [n], in standard deviations."""
        x = self._standard(rows)
        return np.asarray(np.linalg.norm(x - x @ self._vectors @ self._vectors.T, axis=1))

    def _standard(self, rows: np.ndarray) -> FloatArray:
        wide = self._wide(rows)
        wide = np.where(np.isnan(wide), self._middle, wide)
        # An infinite value is far away, and no more than that.
        found: FloatArray = np.clip((wide - self._middle) / self._width, -_LARGEST, _LARGEST)
        return found

    def _wide(self, rows: np.ndarray) -> FloatArray:
        """Return a column a number, one a common category, and one for each column's gaps."""
        parts = []
        for i, category in enumerate(self._categories):
            column = rows[:, i].astype(np.float64)
            gone = np.isnan(column)
            if category:
                parts += [(column == value).astype(np.float64) for value in self._known[i]]
            else:
                parts.append(np.clip(column, -_LARGE, _LARGE))
            parts.append(gone.astype(np.float64))
        return np.column_stack(parts)


def _common(column: np.ndarray) -> np.ndarray:
    values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    return np.union1d(values[np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]], [-1.0])


def _halves(
    reference: Rows, live: Rows, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return rows and side (1 is live) of the half that is learnt from, and of the other half."""
    random = np.random.default_rng(seed)
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for rows in (reference, live):
        order = random.permutation(len(rows))[:MOST_ROWS]
        for part, places in zip(parts, np.array_split(order, 2), strict=True):
            part.append(rows.matrix[places])
    first, second = (
        (_calm(np.concatenate(part)), np.repeat([0, 1], [len(part[0]), len(part[1])]))
        for part in parts
    )
    return first, second


def _calm(rows: np.ndarray) -> np.ndarray:
    """Return rows without infinite values, which trees cannot put into bins."""
    return np.asarray(np.clip(rows, -_LARGE, _LARGE))


def _vary(rows: np.ndarray) -> np.ndarray:
    """Return which columns have two values or a value and gaps, bool of [columns]."""
    with np.errstate(invalid="ignore"):
        gone = np.isnan(rows)
        least = np.where(gone, np.inf, rows).min(axis=0)
        greatest = np.where(gone, -np.inf, rows).max(axis=0)
    return np.asarray((greatest > least) | (gone.any(axis=0) & ~gone.all(axis=0)))


@one_thread()
def _told_by(
    likeness: Callable[[np.ndarray], np.ndarray],
    held: tuple[np.ndarray, np.ndarray],
    names: tuple[str, ...],
    seed: int,
) -> dict[str, float]:
    """Return the five columns without which the AUC falls most, and by how much."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(held[0]))[:_FEW_ROWS]
    rows, side = held[0][chosen], held[1][chosen]
    whole = _auc(likeness(rows), side)
    drops = {}
    for i, name in enumerate(names):
        shuffled = rows.copy()
        shuffled[:, i] = random.permutation(rows[:, i])
        drops[name] = round(whole - _auc(likeness(shuffled), side), 4)
    first = sorted(drops, key=lambda name: -drops[name])[:5]
    return {name: drops[name] for name in first if drops[name] > 0.005}


def _auc(scores: np.ndarray, side: np.ndarray) -> float:
    n = int(side.sum())
    m = len(side) - n
    return float((midranks(scores)[side == 1].sum() - n * (n + 1) / 2) / (n * m))


def _null_spread(scores: np.ndarray, n: int, m: int) -> float:
    """Return the standard deviation of an AUC of exchangeable rows, ties taken into account.

    Source: Lehmann (1975), Nonparametrics, 1.2 and 1.4.
    """
    total = n + m
    _, ties = np.unique(scores, return_counts=True)
    tied = float((ties.astype(np.float64) ** 3 - ties).sum()) / (total * (total - 1))
    return math.sqrt(max(0.0, total + 1 - tied) / (12 * n * m))


def _point(
    signal: str,
    scores: np.ndarray,
    side: np.ndarray,
    scope: Scope,
    span: tuple[int, int],
    limits: Limits,
    *,
    two_sided: bool,
) -> SignalPoint:
    from scipy.special import ndtri

    n = int(side.sum())
    m = len(side) - n
    value = _auc(scores, side)
    share = limits.chance / 2 if two_sided else limits.chance
    margin = float(ndtri(1 - share)) * _null_spread(scores, n, m)
    away = abs(value - 0.5) if two_sided else value - 0.5
    state: PointState = "alarm" if away > margin and away >= limits.least else "ok"
    bounds = delong(side, scores, positive=1, level=limits.level)
    return SignalPoint(
        signal=signal,
        scope=scope,
        start=span[0],
        end=span[1],
        n=n,
        state=state,
        value=value,
        low=bounds.low,
        high=bounds.high,
        level=limits.level,
        unit="AUC",
        usual=0.5,
        threshold=0.5 + math.copysign(margin, value - 0.5 if two_sided else 1.0),
        least=limits.least,
        needed=NEEDED,
        message=f"{n} live rows and {m} of the reference that took no part in the fit",
    )


def _too_few(
    signal: str, reference: Rows, live: Rows, scope: Scope, span: tuple[int, int]
) -> SignalPoint | None:
    n = min(len(reference), len(live))
    if n >= NEEDED and reference.names:
        return None
    which = "live" if len(live) < NEEDED else "reference"
    state: PointState = "insufficient" if reference.names else "not_applicable"
    return SignalPoint(
        signal=signal,
        scope=scope,
        start=span[0],
        end=span[1],
        n=len(live),
        state=state,
        unit="AUC",
        needed=NEEDED,
        message=f"too few {which} rows: {NEEDED} are needed" if reference.names else "no columns",
    )
