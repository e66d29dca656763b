"""Students that are a few boosted trees, trained on a teacher's answers."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from afterfit.models.convert_trees import LEQ, Trees
from afterfit.models.convert_trees_sklearn import read_sklearn

__all__ = ["Growth", "grow"]

CHUNKS = 5
"""Into how many parts the growing is cut, to look at the clock between them."""

BINS = 255
"""Parts of a column that a split can tell apart."""

LEAST = 0.01
"""The share of a class below which a row does not count for it."""


@dataclass(frozen=True)
class Growth:
    """How trees are grown; it stops early at ``deadline`` (monotonic), with a round at least."""

    rounds: int
    leaves: int
    rate: float
    classifier: bool
    seed: int
    deadline: float


def grow(
    rows: np.ndarray, soft: np.ndarray, weight: np.ndarray, growth: Growth
) -> tuple[Trees, np.ndarray]:
    """Return boosted trees that answer near to ``soft``, and each feature's gain, [features].

    ``rows`` is float64 of [n, features] with NaN for what is missing, ``soft`` [n, classes] or
    [n, 1]. A row counts for each class by the share that the teacher gives it, which makes the
    loss the cross entropy with soft targets (Hinton et al. 2015).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    options: dict[str, Any] = {
        "learning_rate": growth.rate,
        "max_leaf_nodes": growth.leaves,
        "l2_regularization": 1.0,
        "early_stopping": False,
        "warm_start": True,
        "random_state": growth.seed,
    }
    width = rows.shape[1]
    edges = [_edges(column) for column in rows.T]
    rows = _binned(rows, edges)
    if growth.classifier:
        rows, target, weight = _by_class(rows, soft, weight)
        student = HistGradientBoostingClassifier(**options)
    else:
        target = soft[:, 0]
        student = HistGradientBoostingRegressor(**options)
    for grown in _steps(growth.rounds):
        student.set_params(max_iter=grown)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            student.fit(rows, target, sample_weight=weight)
        if time.monotonic() >= growth.deadline:
            break
    return _unbinned(read_sklearn(student), edges), _gains(student, width)


def _edges(column: np.ndarray) -> np.ndarray:
    """Return at most 254 numbers between a column's values, sorted: every split is one of them.

    The library would look for them in each step, and with weights takes seconds for it.
    """
    values = np.unique(column[np.isfinite(column)])
    if len(values) > BINS:
        shares = np.linspace(0, 1, BINS + 1)[1:-1]
        return np.unique(np.quantile(column[np.isfinite(column)], shares, method="lower"))
    return np.asarray(values[:-1] + (values[1:] - values[:-1]) / 2)


def _binned(rows: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    """Return each number as how many edges are below it; what is missing stays so."""
    found = np.empty(rows.shape)
    for index, edge in enumerate(edges):
        column = rows[:, index]
        found[:, index] = np.where(np.isnan(column), np.nan, np.searchsorted(edge, column))
    return found


def _unbinned(trees: Trees, edges: list[np.ndarray]) -> Trees:
    """Return trees that compare with the edges themselves."""
    found = []
    for tree in trees.trees:
        split = tree.split.copy()
        for node in np.flatnonzero(tree.kind == LEQ):
            edge = edges[int(tree.feature[node])]
            # Where only missing values part, all numbers go left: the library writes infinity.
            at = int(np.floor(min(split[node], len(edge))))
            split[node] = edge[at] if at < len(edge) else np.inf
        found.append(replace(tree, split=split))
    return replace(trees, trees=tuple(found))


def _gains(student: Any, width: int) -> np.ndarray:
    found = np.zeros(width)
    for stage in student._predictors:  # noqa: SLF001 - its trees have no other name
        for tree in stage:
            inner = tree.nodes[tree.nodes["is_leaf"] == 0]
            np.add.at(found, inner["feature_idx"], np.maximum(inner["gain"], 0.0))
    return found


def _steps(rounds: int) -> list[int]:
    return sorted({max(1, round(rounds * part / CHUNKS)) for part in range(1, CHUNKS + 1)})


def _by_class(
    rows: np.ndarray, soft: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, classes and weights: each row once for every class that it has a share of."""
    counts = soft >= LEAST
    # A class that no row has a share of is still a class: its likeliest row stands for it.
    counts[soft.argmax(axis=0), np.arange(soft.shape[1])] = True
    index, classes = np.nonzero(counts)
    share = np.maximum(soft[index, classes], 1e-6)
    return rows[index], classes, share * weight[index]
