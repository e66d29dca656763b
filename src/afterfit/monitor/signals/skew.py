"""Train/serve skew: whether serving computes the columns as training did.

Where the same entities (at the same times) are in the training data and in the captured inputs,
values must be equal, row by row. Where they are not, the first windows of a version are compared
with the fingerprint of its training: nothing had time to drift, so what differs is computed
differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame, missing_mask
from afterfit.monitor.drift import adjusted, compare
from afterfit.records.signals import PointState, Scope, SignalPoint
from afterfit.stats.interval import wilson

__all__ = ["NEEDED", "Keyed", "Matcher", "first_windows", "same_points", "same_rows"]

NEEDED = 50
"""Rows in common below which nothing is said."""
LEAST = 0.01
"""The smallest share of unequal rows that is worth knowing."""


class Keyed(NamedTuple):
    """Rows with keys that say which are one: an entity, or a tuple of entity and time.

    A key that is empty is none; of one that comes several times the last row counts.
    """

    keys: Sequence[object]
    frame: Frame


def same_rows(
    training: Keyed,
    live: Keyed,
    scope: Scope,
    span: tuple[int, int],
    *,
    tolerance: float = 1e-6,
    least: float = LEAST,
    level: float = 0.95,
) -> list[SignalPoint]:
    """Return, of each column of both, the share of rows in common whose values differ.

    Numbers are equal within a relative ``tolerance``, and a gap equals a gap. It is an alarm where
    the lower bound (Wilson) is at least ``least``.
    """
    nothing = {name: (0, 0) for name in training.frame if name in live.frame}
    counts = nothing | Matcher(training).unequal(live, tolerance=tolerance)
    return same_points(counts, scope, span, least=least, level=level)


class Matcher:
    """Training rows that live ones are looked up in, a batch at a time."""

    def __init__(self, training: Keyed) -> None:
        self._frame = training.frame
        self._places = {key: row for row, key in enumerate(training.keys) if key not in ("", None)}

    def unequal(self, live: Keyed, *, tolerance: float = 1e-6) -> dict[str, tuple[int, int]]:
        """Return, of each column of both, how many rows they have in common and how many differ."""
        pairs = {key: row for row, key in enumerate(live.keys) if key in self._places}
        if not pairs:
            return {}
        mine = np.array([self._places[key] for key in pairs], dtype=np.int64)
        theirs = np.array(list(pairs.values()), dtype=np.int64)
        found = {}
        for name in self._frame:
            if name in live.frame:
                differ = _unequal(self._frame[name][mine], live.frame[name][theirs], tolerance)
                found[name] = len(differ), int(differ.sum())
        return found


def same_points(
    counts: Mapping[str, Sequence[int]],
    scope: Scope,
    span: tuple[int, int],
    *,
    least: float = LEAST,
    level: float = 0.95,
) -> list[SignalPoint]:
    """Return the points of what `Matcher.unequal` counted, batch by batch; see `same_rows`."""
    where = (scope, span, least, level)
    return [_share_point(name, n, differ, where) for name, (n, differ) in counts.items()]


def first_windows(
    reference: Fingerprint,
    live: Fingerprint,
    scope: Scope,
    span: tuple[int, int],
    *,
    min_rows: int = 200,
    least: float = 0.1,
    chance: float = 0.01,
) -> list[SignalPoint]:
    """Return how far each column of a version's first rows is from its training's counts.

    The value is the total variation distance; an alarm is at least ``least`` of it where chance
    explains it badly (chi-squared, adjusted for the number of columns, at most ``chance``).
    """
    pairs = [(column, live.column(column.name)) for column in reference.columns]
    found = [compare(a, b, min_rows=min_rows) for a, b in pairs if b is not None and b.total]
    points = []
    for comparison, p_value in zip(found, adjusted(found), strict=True):
        value = comparison.total_variation
        state: PointState = "insufficient" if value is None else "ok"
        if value is not None and value >= least and p_value <= chance:
            state = "alarm"
        points.append(
            SignalPoint(
                signal="skew",
                subject=comparison.column,
                scope=scope,
                start=span[0],
                end=span[1],
                n=comparison.n,
                state=state,
                value=value,
                usual=comparison.by_chance,
                threshold=least,
                least=least,
                needed=min_rows,
                message=f"first rows beside training: {comparison.message}",
                evidence={} if value is None else {"p_value": p_value},
            )
        )
    return points


def _share_point(
    name: str, n: int, count: int, where: tuple[Scope, tuple[int, int], float, float]
) -> SignalPoint:
    scope, span, least, level = where
    interval = wilson(count, n, level) if n else None
    state: PointState = "insufficient"
    if interval is not None and n >= NEEDED:
        state = "alarm" if interval.low >= least else "ok"
    return SignalPoint(
        signal="skew",
        subject=name,
        scope=scope,
        start=span[0],
        end=span[1],
        n=n,
        state=state,
        value=count / n if n else None,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        level=level,
        usual=0.0,
        threshold=least,
        least=least,
        needed=NEEDED,
        message=f"{count} of {n} rows in common have another value than in training",
    )


def _unequal(mine: np.ndarray, theirs: np.ndarray, tolerance: float) -> np.ndarray:
    gone, away = missing_mask(mine), missing_mask(theirs)
    if mine.dtype.kind != "O" and theirs.dtype.kind != "O":
        a, b = mine.astype(np.float64), theirs.astype(np.float64)
        with np.errstate(invalid="ignore"):
            near = np.isclose(a, b, rtol=tolerance, atol=0.0)
        return np.where(gone | away, gone != away, ~near)
    pairs = zip(mine.tolist(), theirs.tolist(), strict=True)
    differ = np.array([str(a) != str(b) for a, b in pairs], dtype=bool)
    return np.where(gone | away, gone != away, differ)
