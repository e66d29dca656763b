"""Smaller ensembles of the same trees: fewer, collapsed, or with other values in their leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from afterfit.models.convert_trees import LEAF, LEQ, MEMBER, Tree, Trees

__all__ = [
    "at_alpha",
    "averaged",
    "collapse",
    "cuts",
    "first",
    "leaves_of",
    "margin",
    "size",
    "values_at",
]


def averaged(trees: Trees) -> bool:
    """Return whether each tree answers by itself and the answers are averaged, as a forest's."""
    whole = trees.n_outputs == 1 or trees.trees[0].value.shape[1] > 1
    return trees.divisor != 1.0 and whole


def size(trees: Trees) -> int:
    """Return the number of nodes."""
    return sum(len(tree.kind) for tree in trees.trees)


def cuts(trees: Trees) -> np.ndarray:
    """Return after how many trees every output has had equally many, int64, the last one all."""
    if averaged(trees) or trees.n_outputs == 1:
        return np.arange(1, len(trees.trees) + 1)
    target = np.array([tree.target for tree in trees.trees])
    counts = np.cumsum(target[:, None] == np.arange(trees.n_outputs), axis=0)
    return np.flatnonzero((counts == counts[:, :1]).all(axis=1)) + 1


def first(trees: Trees, count: int) -> Trees:
    """Return the ensemble of the first ``count`` trees; one that averages, averages those."""
    share = count / len(trees.trees)
    divisor = 1.0 if trees.divisor == 1.0 else float(round(trees.divisor * share))
    return replace(trees, trees=trees.trees[:count], divisor=divisor)


def leaves_of(tree: Tree, rows: np.ndarray) -> np.ndarray:
    """Return the leaf that each row ends in, as the number of its node, int64 of [n]."""
    node = np.zeros(len(rows), dtype=np.int64)
    active = np.flatnonzero(tree.kind[node] != LEAF)
    while len(active):
        at = node[active]
        value = rows[active, tree.feature[at]]
        kind, split = tree.kind[at], tree.split[at]
        goes = np.where(kind == LEQ, value <= split, value < split)
        for member in np.unique(at[kind == MEMBER]):
            here = at == member
            goes[here] = np.isin(value[here], tree.members[int(member)])
        goes = np.where(np.isnan(value), tree.missing_left[at], goes)
        node[active] = np.where(goes, tree.left[at], tree.right[at])
        active = active[tree.kind[node[active]] != LEAF]
    return node


def values_at(trees: Trees, tree: Tree, leaves: np.ndarray) -> np.ndarray:
    """Return what a tree adds to each output, float64 of [n, outputs]."""
    value: np.ndarray = tree.value[leaves]
    if trees.n_outputs == 1:
        return value[:, -1:]
    if value.shape[1] > 1:
        return value
    found = np.zeros((len(leaves), trees.n_outputs))
    found[:, tree.target] = value[:, 0]
    return found


def margin(trees: Trees, leaves: Sequence[np.ndarray]) -> np.ndarray:
    """Return the answers before the link, float64 of [n, outputs]."""
    total = np.zeros((len(leaves[0]), trees.n_outputs))
    for tree, found in zip(trees.trees, leaves, strict=True):
        total += values_at(trees, tree, found)
    return np.asarray(total / trees.divisor * trees.scale + trees.base)


class _Flat:
    """The nodes of all trees side by side, with their depth, for passes over all at once."""

    def __init__(self, trees: Sequence[Tree]) -> None:
        starts = np.cumsum([0, *(len(tree.kind) for tree in trees)])
        self.starts = starts
        self.leaf = np.concatenate([tree.kind == LEAF for tree in trees])
        self.left = np.concatenate([t.left + s for t, s in zip(trees, starts[:-1], strict=True)])
        self.right = np.concatenate([t.right + s for t, s in zip(trees, starts[:-1], strict=True)])
        self.levels: list[np.ndarray] = []
        level = starts[:-1]
        while len(level):
            inner = level[~self.leaf[level]]
            if len(inner):
                self.levels.append(inner)
            level = np.concatenate([self.left[inner], self.right[inner]])

    def collapsed(self, risk: np.ndarray, alpha: float) -> np.ndarray:
        """Return which nodes are no worse as leaves, at ``alpha`` a leaf; bool of [nodes]."""
        cost = risk + alpha
        found = self.leaf.copy()
        for level in self.levels[::-1]:
            below = cost[self.left[level]] + cost[self.right[level]]
            found[level] = cost[level] <= below + 1e-15
            cost[level] = np.minimum(cost[level], below)
        return found

    def leaves(self, collapsed: np.ndarray) -> int:
        """Return how many leaves are left."""
        count, level = 0, self.starts[:-1]
        while len(level):
            ends = collapsed[level]
            count += int(ends.sum())
            inner = level[~ends]
            level = np.concatenate([self.left[inner], self.right[inner]])
        return count

    def means(self, value: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return each node's mean of the leaves below it, by their weights."""
        total, mass = value * weight[:, None], weight.astype(np.float64).copy()
        for level in self.levels[::-1]:
            total[level] = total[self.left[level]] + total[self.right[level]]
            mass[level] = mass[self.left[level]] + mass[self.right[level]]
        return np.asarray(total / np.maximum(mass, 1e-300)[:, None])


def collapse(
    trees: Trees, risks: list[np.ndarray], weights: list[np.ndarray], share: float
) -> Trees:
    """Return trees with ``share`` of their leaves, those of the least worth collapsed.

    ``risks`` are the impurities of each tree's nodes times their share of its rows, ``weights``
    their numbers of rows. A node is collapsed where that saves more, at a price alpha for a leaf,
    than it costs: minimal cost-complexity pruning (Breiman et al. 1984, ch. 3), with one alpha
    for all trees. A collapsed node answers the mean of its leaves.
    """
    flat = _Flat(trees.trees)
    risk = np.concatenate(risks)
    wanted = share * int(flat.leaf.sum())
    low, high = -40.0, float(np.log(max(risk.max(), 1e-12)))
    for _ in range(30):
        middle = (low + high) / 2
        enough = flat.leaves(flat.collapsed(risk, float(np.exp(middle)))) <= wanted
        low, high = (low, middle) if enough else (middle, high)
    return at_alpha(trees, risks, weights, float(np.exp(high)))


def at_alpha(
    trees: Trees, risks: list[np.ndarray], weights: list[np.ndarray], alpha: float
) -> Trees:
    """Return the trees after cost-complexity pruning at one price for a leaf."""
    flat = _Flat(trees.trees)
    ends = flat.collapsed(np.concatenate(risks), alpha)
    value = np.concatenate([tree.value for tree in trees.trees])
    means = flat.means(value, np.concatenate(weights))
    value = np.where(flat.leaf[:, None], value, means)
    found = []
    for index, tree in enumerate(trees.trees):
        part = slice(flat.starts[index], flat.starts[index + 1])
        found.append(_compact(tree, ends[part], value[part]))
    return _folded(replace(trees, trees=tuple(found)))


def _folded(trees: Trees) -> Trees:
    """Return the ensemble with trees that are a lone leaf added to its start, where it adds up."""
    lone = [tree for tree in trees.trees if len(tree.kind) == 1]
    if averaged(trees) or not lone or len(lone) == len(trees.trees):
        return trees
    base = trees.base.astype(np.float64).copy()
    for tree in lone:
        base += trees.scale / trees.divisor * values_at(trees, tree, np.zeros(1, dtype=np.int64))[0]
    return replace(trees, trees=tuple(t for t in trees.trees if len(t.kind) > 1), base=base)


def _compact(tree: Tree, ends: np.ndarray, value: np.ndarray) -> Tree:
    """Return a tree whose marked nodes are leaves, without the nodes below them."""
    reached = np.zeros(len(ends), dtype=bool)
    level = np.array([0])
    while len(level):
        reached[level] = True
        inner = level[~ends[level]]
        level = np.concatenate([tree.left[inner], tree.right[inner]])
    kept = np.flatnonzero(reached)
    place = np.zeros(len(ends), dtype=np.int64)
    place[kept] = np.arange(len(kept))
    leaf = ends[kept]
    return Tree(
        kind=np.where(leaf, LEAF, tree.kind[kept]),
        feature=np.where(leaf, 0, tree.feature[kept]),
        split=np.where(leaf, 0.0, tree.split[kept]),
        left=np.where(leaf, 0, place[np.where(leaf, 0, tree.left[kept])]),
        right=np.where(leaf, 0, place[np.where(leaf, 0, tree.right[kept])]),
        missing_left=tree.missing_left[kept],
        value=value[kept],
        members={
            int(place[n]): known for n, known in tree.members.items() if reached[n] and not ends[n]
        },
        target=tree.target,
    )
