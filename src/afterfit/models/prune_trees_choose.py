"""Which trees of an ensemble to keep, and what their leaves say without the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from afterfit.models.convert_trees import Trees
from afterfit.models.prune_trees_table import averaged, margin, values_at

__all__ = ["Chosen", "choose", "refit"]

PRIOR = 5.0
"""Rows that a forest's leaf counts as having had before it is refitted."""

DAMP = 1.0
"""How much a boosted tree's leaf is held where it was, in rows."""


@dataclass(frozen=True)
class Chosen:
    """An ensemble of some trees, their numbers in the whole one, and how often each counts."""

    trees: Trees
    kept: tuple[int, ...]
    times: tuple[int, ...]


def choose(trees: Trees, leaves: Sequence[np.ndarray], count: int) -> Chosen:
    """Return the ensemble of the ``count`` trees that together say most nearly what all say.

    ``leaves`` are the leaves of each tree for some rows. Trees that are averaged are chosen one
    after the other, each as often as it helps (Caruana et al. 2004, "Ensemble selection"), so the
    answers stay averages. Trees that are added up are chosen by orthogonal matching pursuit and
    weighted by least squares.
    """
    parts = [values_at(trees, t, at).ravel() for t, at in zip(trees.trees, leaves, strict=True)]
    matrix = np.stack(parts)
    if averaged(trees):
        return _averaged(trees, matrix, count)
    return _added(trees, matrix, count)


def _averaged(trees: Trees, matrix: np.ndarray, count: int) -> Chosen:
    gram = matrix @ matrix.T / matrix.shape[1]
    wanted = gram.mean(axis=1)
    times = np.zeros(len(matrix), dtype=np.int64)
    square, cross, towards, total = 0.0, np.zeros(len(matrix)), 0.0, 0
    while (times > 0).sum() < count and total < 3 * count:
        new = total + 1
        # The error of the average with each tree added once more, less what is common to all.
        error = (square + 2 * cross + np.diag(gram)) / new**2 - 2 * (towards + wanted) / new
        best = int(error.argmin())
        square += 2 * cross[best] + gram[best, best]
        towards += wanted[best]
        cross += gram[best]
        times[best] += 1
        total = new
    kept = np.flatnonzero(times)
    chosen = [replace(trees.trees[k], value=trees.trees[k].value * times[k]) for k in kept]
    fewer = replace(trees, trees=tuple(chosen), divisor=float(total))
    return Chosen(fewer, tuple(kept.tolist()), tuple(times[kept].tolist()))


def _added(trees: Trees, matrix: np.ndarray, count: int) -> Chosen:
    outputs = trees.n_outputs
    shaped = matrix.reshape(len(matrix), -1, outputs)
    means = shaped.mean(axis=1)
    centred = (shaped - means[:, None, :]).reshape(len(matrix), -1)
    gram = centred @ centred.T / centred.shape[1]
    wanted = gram.sum(axis=1)
    norms = np.maximum(np.diag(gram), 1e-300)
    open_ = np.diag(gram) > 1e-12 * max(float(norms.max()), 1e-300)
    kept: list[int] = []
    weights = np.zeros(0)
    while len(kept) < count and open_.any():
        left = wanted - gram[:, kept] @ weights
        score = np.where(open_, left**2 / norms, -1.0)
        best = int(score.argmax())
        kept.append(best)
        open_[best] = False
        block = gram[np.ix_(kept, kept)] + 1e-9 * np.diag(norms[kept])
        weights = np.linalg.solve(block, wanted[kept])
    if not kept:
        kept, weights = [0], np.zeros(1)
    order = np.argsort(kept)
    kept, weights = [kept[index] for index in order], weights[order]
    base = trees.base + trees.scale / trees.divisor * (means.sum(axis=0) - weights @ means[kept])
    pairs = zip(kept, weights, strict=True)
    chosen = [replace(trees.trees[k], value=trees.trees[k].value * w) for k, w in pairs]
    fewer = replace(trees, trees=tuple(chosen), base=np.asarray(base))
    return Chosen(fewer, tuple(kept), (1,) * len(kept))


def refit(chosen: Chosen, leaves: Sequence[np.ndarray], wanted: np.ndarray) -> Trees:
    """Return the trees with leaves that say ``wanted``, [n, outputs] before the link, more nearly.

    ``leaves`` are those of the chosen trees. Where trees are averaged, each leaf becomes the mean
    of what is wanted for its rows, drawn toward what it said. Where they are added up, all leaves
    are fitted at once by least squares (Ren et al. 2015, "Global refinement of random forest"),
    held where they were.
    """
    fit = _local if averaged(chosen.trees) else _global
    return fit(chosen, leaves, wanted)


def _local(chosen: Chosen, leaves: Sequence[np.ndarray], wanted: np.ndarray) -> Trees:
    trees = chosen.trees
    target = (wanted - trees.base) / trees.scale
    found = []
    for tree, at, times in zip(trees.trees, leaves, chosen.times, strict=True):
        value = tree.value.copy()
        columns = value[:, -1:] if trees.n_outputs == 1 else value
        total, counts = np.zeros_like(columns), np.zeros((len(value), 1))
        np.add.at(total, at, target)
        np.add.at(counts, at, 1.0)
        columns[:] = (PRIOR * columns + times * total) / (PRIOR + counts)
        found.append(replace(tree, value=value))
    return replace(trees, trees=tuple(found))


def _global(chosen: Chosen, leaves: Sequence[np.ndarray], wanted: np.ndarray) -> Trees:
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import lsqr

    trees = chosen.trees
    gap = (wanted - margin(trees, leaves)) * trees.divisor / trees.scale
    pull = np.sqrt(_pull(trees, wanted))
    values = [tree.value.copy() for tree in trees.trees]
    for output in range(trees.n_outputs):
        members = [k for k, t in enumerate(trees.trees) if t.target == output]
        if not members:
            continue
        starts = np.cumsum([0, *(len(values[k]) for k in members)])
        columns = np.stack([leaves[k] + s for k, s in zip(members, starts[:-1], strict=True)], 1)
        weight = np.repeat(pull[:, output], len(members))
        index = np.arange(0, columns.size + 1, len(members))
        shape = (len(columns), int(starts[-1]))
        matrix = csr_matrix((weight, columns.ravel(), index), shape=shape)
        change = lsqr(matrix, pull[:, output] * gap[:, output], damp=DAMP**0.5, iter_lim=60)[0]
        for k, start in zip(members, starts[:-1], strict=True):
            values[k][:, -1] += change[start : start + len(values[k])]
    pairs = zip(trees.trees, values, strict=True)
    return replace(trees, trees=tuple(replace(tree, value=value) for tree, value in pairs))


def _pull(trees: Trees, wanted: np.ndarray) -> np.ndarray:
    """Return how much an error of the margin matters, [n, outputs]: the slope of the link."""
    if trees.link in ("sigmoid", "each_sigmoid"):
        chance = 1.0 / (1.0 + np.exp(-np.clip(wanted, -30, 30)))
        return np.asarray(np.maximum(4 * chance * (1 - chance), 0.01))
    if trees.link == "softmax":
        chance = np.exp(wanted - wanted.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        return np.asarray(np.maximum(4 * chance * (1 - chance), 0.01))
    return np.ones_like(wanted)
