"""An isolation forest whose leaves hold ten rows of the reference or more, or none."""

from __future__ import annotations

import math

import numpy as np

from afterfit.core.disclosure import MIN_ROWS
from afterfit.package.ood.columns import digits
from afterfit.runtime.ood import Forest

__all__ = ["make_forest"]

TREES = 64
DEPTH = 8
SAMPLE = 256
TRIES = 5
EULER = 0.5772156649


def make_forest(features: np.ndarray, rng: np.random.Generator) -> Forest:
    """Return trees of random cuts, each of a sample of 256 of the rows, [n, features].

    Source: Liu, Ting and Zhou (2008), ICDM 413. A cut that would leave one to nine rows on a side
    is not made, so that no leaf tells of one.
    """
    grown = [_Tree(features, rng) for _ in range(TREES)]
    return Forest(
        features=tuple(tuple(tree.features.tolist()) for tree in grown),
        cuts=tuple(tuple(None if c == math.inf else c for c in tree.cuts) for tree in grown),
        lengths=digits(np.array([tree.lengths for tree in grown]), 4),
    )


class _Tree:
    """One tree in arrays; where it ends early, all rows go on to the first of two equal nodes."""

    def __init__(self, features: np.ndarray, rng: np.random.Generator) -> None:
        inner = (1 << DEPTH) - 1
        self.rng = rng
        self.rows = features
        self.features = np.zeros(inner, dtype=np.int64)
        self.cuts = [math.inf] * inner
        self.lengths = [0.0] * (inner + 1)
        drawn = np.sort(rng.choice(len(features), min(SAMPLE, len(features)), replace=False))
        self.unit = _mean_path(len(drawn))
        self.grow(0, 0, drawn, np.arange(len(features)))

    def grow(self, node: int, depth: int, drawn: np.ndarray, whole: np.ndarray) -> None:
        """Divide the drawn rows, and with them all rows, or end here."""
        cut = self.cut(drawn, whole) if depth < DEPTH else None
        if cut is None:
            self.end(node, depth, (depth + _mean_path(len(drawn))) / self.unit)
            return
        feature, value = cut
        self.features[node], self.cuts[node] = feature, value
        right, rights = self.rows[drawn, feature] > value, self.rows[whole, feature] > value
        self.grow(2 * node + 1, depth + 1, drawn[~right], whole[~rights])
        self.grow(2 * node + 2, depth + 1, drawn[right], whole[rights])

    def cut(self, drawn: np.ndarray, whole: np.ndarray) -> tuple[int, float] | None:
        """Return a feature and a value between those of the drawn rows; None where none can be."""
        if len(drawn) < 2:
            return None
        low, high = self.rows[drawn].min(axis=0), self.rows[drawn].max(axis=0)
        varied = np.flatnonzero(high > low)
        for _ in range(TRIES if len(varied) else 0):
            feature = int(self.rng.choice(varied))
            value = float(f"{self.rng.uniform(low[feature], high[feature]):.3e}")
            above = int(np.count_nonzero(self.rows[whole, feature] > np.float32(value)))
            if all(side >= MIN_ROWS or not side for side in (above, len(whole) - above)):
                return feature, value
        return None

    def end(self, node: int, depth: int, length: float) -> None:
        """Give all leaves below the node one length."""
        below = DEPTH - depth
        first = (node + 1 << below) - (1 << DEPTH)
        self.lengths[first : first + (1 << below)] = [length] * (1 << below)


def _mean_path(rows: int) -> float:
    """Return the mean length of an unsuccessful search among so many rows."""
    if rows <= 1:
        return 0.0
    if rows == 2:
        return 1.0
    return 2 * (math.log(rows - 1) + EULER) - 2 * (rows - 1) / rows
