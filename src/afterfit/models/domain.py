"""A classifier that learns to tell two samples of rows apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["fit_domain"]

TREES = 60
LEAVES = 15


def fit_domain(
    rows: np.ndarray, side: np.ndarray, *, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of rows, [n, columns], to how much they look like side 1, float64 of [n].

    ``rows`` may hold NaN, which gradient-boosted trees take as it is, and no infinite value.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=TREES, max_leaf_nodes=LEAVES, early_stopping=False, random_state=seed
    )
    model.fit(rows, side)

    def scores(more: np.ndarray) -> np.ndarray:
        found: np.ndarray = model.predict_proba(more)[:, 1]
        return found

    return scores
